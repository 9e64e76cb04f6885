package catalog_test

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"tidemark/catalog"
	"tidemark/pack"
)

// rows returns n rows of a directory without directories.
func (m *maker) rows(n int) []catalog.Row {
	e := &entry{}
	names := map[string]bool{}
	for len(e.entries) < n {
		if name := m.name(); !names[name] {
			names[name] = true
			x := m.entry(name)
			for len(x.extents) > catalog.MaxNodeExtents { // a list would need pages of its own
				x = m.entry(name)
			}
			x.row.Extents = x.extents
			e.entries = append(e.entries, x)
		}
	}
	e.sort()
	rows := make([]catalog.Row, n)
	for i, x := range e.entries {
		rows[i] = x.row
	}
	return rows
}

// onePage returns the bytes of the only page of a few rows.
func onePage(t testing.TB, rows []catalog.Row) []byte {
	t.Helper()
	var page []byte
	pager := catalog.NewDirPager(func(d *catalog.Draft) (catalog.Ref, error) {
		var err error
		if page != nil {
			t.Fatalf("%d rows have more than one page", len(rows))
		}
		page, err = d.Encode(nil)
		return catalog.Ref{}, err
	})
	for i := range rows {
		if err := pager.Add(&rows[i]); err != nil {
			t.Fatalf("Add(%q): %v", rows[i].Name, err)
		}
	}
	if _, _, err := pager.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	return page
}

// difference names the fields in which two structs differ.
func difference(got, want any) string {
	var b strings.Builder
	g, w := reflect.ValueOf(got), reflect.ValueOf(want)
	for i := range g.NumField() {
		if x, y := g.Field(i).Interface(), w.Field(i).Interface(); !reflect.DeepEqual(x, y) {
			fmt.Fprintf(&b, "%s is %.200q, want %.200q; ", g.Type().Field(i).Name, fmt.Sprint(x), fmt.Sprint(y))
		}
	}
	return b.String()
}

func TestRowsRoundTrip(t *testing.T) {
	for seed := range uint64(50) {
		m := newMaker(seed)
		rows := m.rows(15)
		p, err := catalog.ParsePage(onePage(t, rows), pack.Block{})
		if err != nil {
			t.Fatalf("seed %d: ParsePage: %v", seed, err)
		}
		if p.Len() != len(rows) || p.Kind() != catalog.DirPage || p.Level() != 0 {
			t.Fatalf("seed %d: a %v of level %d with %d rows", seed, p.Kind(), p.Level(), p.Len())
		}
		for i, want := range rows {
			got, err := p.Row(i)
			if err != nil {
				t.Fatalf("seed %d: Row(%d): %v", seed, i, err)
			}
			if d := difference(got.Node, want.Node) + difference(got.Hints, want.Hints); d != "" {
				t.Errorf("seed %d: Row(%d): %s", seed, i, d)
			}
			n, err := p.Node(i)
			if d := difference(n, want.Node); err != nil || d != "" {
				t.Errorf("seed %d: Node(%d): %v; %s", seed, i, err, d)
			}
			if name := p.Name(i); name != want.Name {
				t.Errorf("seed %d: Name(%d) = %q; want %q", seed, i, name, want.Name)
			}
		}
		if err := catalog.CheckPage(onePage(t, rows), pack.Block{}); err != nil {
			t.Errorf("seed %d: CheckPage: %v", seed, err)
		}
	}
}

// TestRowsAreCopies writes over a page after its rows were decoded.
func TestRowsAreCopies(t *testing.T) {
	rows := newMaker(1).rows(15)
	page := onePage(t, rows)
	p, err := catalog.ParsePage(page, pack.Block{})
	if err != nil {
		t.Fatal(err)
	}
	var got []catalog.Row
	for i := range p.Len() {
		r, err := p.Row(i)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, r)
	}
	for i := range page {
		page[i] = 0xff
	}
	for i := range got {
		if d := difference(got[i].Node, rows[i].Node); d != "" {
			t.Errorf("row %d changed with its page: %s", i, d)
		}
	}
}

func TestSearch(t *testing.T) {
	rows := newMaker(1).rows(15)
	p, err := catalog.ParsePage(onePage(t, rows), pack.Block{})
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range rows {
		if j, found := p.Search(r.Name); j != i || !found {
			t.Errorf("Search(%q) = %d, %t; want %d, true", r.Name, j, found, i)
		}
		if j, found := p.Search(r.Name + "\x00"); j != i+1 || found {
			t.Errorf("Search(%q + NUL) = %d, %t; want %d, false", r.Name, j, found, i+1)
		}
	}
	if j, found := p.Search(""); j != 0 || found {
		t.Errorf(`Search("") = %d, %t; want 0, false`, j, found)
	}
}

// TestRefusedRows gives the pager rows that have no encoding.
func TestRefusedRows(t *testing.T) {
	chunkOf := func(n uint64) catalog.Extent {
		return catalog.Extent{Len: n, Place: pack.Place{Block: pack.Block{Host: "h"}, Len: uint32(n)}}
	}
	for _, tt := range []struct {
		name   string
		change func(*catalog.Row)
	}{
		{"no name", func(r *catalog.Row) { r.Name = "" }},
		{"a name that means this directory", func(r *catalog.Row) { r.Name = "." }},
		{"a name that means another directory", func(r *catalog.Row) { r.Name = ".." }},
		{"a name with a slash", func(r *catalog.Row) { r.Name = "a/b" }},
		{"a name with a NUL", func(r *catalog.Row) { r.Name = "a\x00b" }},
		{"a long name", func(r *catalog.Row) { r.Name = string(make([]byte, 256)) }},
		{"no type", func(r *catalog.Row) { r.Type = 0 }},
		{"an unknown type", func(r *catalog.Row) { r.Type = 8 }},
		{"permissions with a type", func(r *catalog.Row) { r.Mode = 0o100644 }},
		{"a second of nanoseconds", func(r *catalog.Row) { r.Mtime.Nsec = 1e9 }},
		{"a second of nanoseconds of birth", func(r *catalog.Row) { r.HasBtime, r.Btime.Nsec = true, 1e9 }},
		{"a second of nanoseconds of change", func(r *catalog.Row) { r.Ctime.Nsec = 1e9 }},
		{"a linked directory", func(r *catalog.Row) { r.Type, r.Links = catalog.Dir, 2 }},
		{"a fifo with a size", func(r *catalog.Row) { r.Type, r.Size = catalog.Fifo, 1 }},
		{"a symlink to nowhere", func(r *catalog.Row) { r.Type = catalog.Symlink }},
		{"a symlink to a NUL", func(r *catalog.Row) { r.Type, r.Target = catalog.Symlink, "a\x00" }},
		{"a symlink to far away", func(r *catalog.Row) { r.Type, r.Target = catalog.Symlink, string(bytes.Repeat([]byte("a"), 4096)) }},
		{"an inline content that is short", func(r *catalog.Row) { r.Size = 3 }},
		{"a content of 513 bytes without extents", func(r *catalog.Row) { r.Size, r.Inline = 513, make([]byte, 513) }},
		{"nine extents in the node", func(r *catalog.Row) {
			r.Size, r.Extents = 9000, slices.Repeat([]catalog.Extent{chunkOf(1000)}, 9)
		}},
		{"extents that do not add up", func(r *catalog.Row) { r.Size, r.Extents = 1001, []catalog.Extent{chunkOf(1000)} }},
		{"a chunk that is larger than a block", func(r *catalog.Row) {
			r.Size, r.Extents = 16<<20+1, []catalog.Extent{chunkOf(16<<20 + 1)}
		}},
		{"zero extents that touch", func(r *catalog.Row) {
			r.Size, r.Extents = 128<<10, []catalog.Extent{{Zero: true, Len: 64 << 10}, {Zero: true, Len: 64 << 10}}
		}},
		{"a zero extent that ends anywhere", func(r *catalog.Row) {
			r.Size, r.Extents = 1000, []catalog.Extent{{Zero: true, Len: 1000}}
		}},
		{"a zero extent that begins anywhere", func(r *catalog.Row) {
			r.Size, r.Extents = 1000+64<<10, []catalog.Extent{chunkOf(1000), {Zero: true, Len: 64 << 10}}
		}},
		{"a list of eight extents", func(r *catalog.Row) { r.Size, r.ExtentCount = 9000, 8 }},
		{"an empty directory with bytes", func(r *catalog.Row) { r.Type, r.Below.Bytes = catalog.Dir, 1 }},
		{"an xattr without a name", func(r *catalog.Row) { r.Xattrs = []catalog.Xattr{{}} }},
		{"an xattr whose name has a NUL", func(r *catalog.Row) { r.Xattrs = []catalog.Xattr{{Name: "user.a\x00"}} }},
		{"an xattr twice", func(r *catalog.Row) { r.Xattrs = []catalog.Xattr{{Name: "a"}, {Name: "a"}} }},
		{"xattrs out of order", func(r *catalog.Row) { r.Xattrs = []catalog.Xattr{{Name: "b"}, {Name: "a"}} }},
		{"a long xattr in the node", func(r *catalog.Row) {
			r.Xattrs = []catalog.Xattr{{Name: "a", Value: make([]byte, 4097)}}
		}},
		{"a short xattr as a chunk", func(r *catalog.Row) { r.Xattrs = []catalog.Xattr{{Name: "a", Len: 4096}} }},
		{"a row of more than 1 MiB", func(r *catalog.Row) {
			for i := range 300 {
				r.Xattrs = append(r.Xattrs, catalog.Xattr{Name: fmt.Sprintf("user.%03d", i), Value: make([]byte, 4096)})
			}
		}},
		{"extensions out of order", func(r *catalog.Row) { r.Ext = []pack.Ext{{ID: 4}, {ID: 2}} }},
		{"holes that touch", func(r *catalog.Row) {
			r.Size, r.Inline, r.Alloc = 9, make([]byte, 9), catalog.HolesListed
			r.Holes = []catalog.Range{{Off: 0, Len: 2}, {Off: 2, Len: 1}}
		}},
		{"a hole behind the end", func(r *catalog.Row) {
			r.Alloc, r.Holes = catalog.HolesListed, []catalog.Range{{Off: 0, Len: 2}}
		}},
		{"holes in a directory", func(r *catalog.Row) { r.Type, r.Alloc = catalog.Dir, catalog.HolesZero }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			pager := catalog.NewDirPager(newCollected().sink)
			r := catalog.Row{Node: catalog.Node{Name: "name", Type: catalog.File}}
			tt.change(&r)
			if err := pager.Add(&r); err == nil {
				t.Fatalf("Add(%+v) succeeded", r)
			} else {
				t.Log(err)
			}
			good := catalog.Row{Node: catalog.Node{Name: "name", Type: catalog.File}}
			if err := pager.Add(&good); err != nil {
				t.Errorf("the next row was refused too: %v", err)
			}
			if _, totals, err := pager.Close(); err != nil || totals.Names != 1 {
				t.Errorf("Close = %+v, %v; want one name", totals, err)
			}
		})
	}
}
