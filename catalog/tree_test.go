package catalog_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"

	"tidemark/catalog"
	"tidemark/chunk"
	"tidemark/pack"
)

// listAll returns what a listing still has, and the rank of each row.
func listAll(t testing.TB, l *catalog.Listing) (rows []catalog.Row, ranks []uint64) {
	t.Helper()
	for {
		r, ok, err := l.Next(t.Context())
		if err != nil {
			t.Fatalf("Next: %v", err)
		}
		if !ok {
			return rows, ranks
		}
		rows, ranks = append(rows, r), append(ranks, l.Rank())
	}
}

// TestTree stores random trees and finds everything in them, in every way.
func TestTree(t *testing.T) {
	for seed := range uint64(2) {
		m := newMaker(seed)
		e := m.dir("", 500)
		for range 400 { // and one directory of several pages
			e.entries = append(e.entries, m.entry(fmt.Sprintf("%d", m.Uint64())))
		}
		e.sort()
		shelf := newShelf(t, 1, 60_000)
		tree := shelf.tree(e)
		if d := difference(tree.Root().Node, e.row.Node); d != "" {
			t.Fatalf("seed %d: Root: %s", seed, d)
		}
		rank := uint64(0)
		var find func(path string, x *entry, dirRank uint64)
		find = func(path string, x *entry, dirRank uint64) {
			own := rank
			rank++
			findEntry(t, tree, path, x, own, dirRank)
			if x.row.Type == catalog.Dir {
				findEntries(t, tree, path, x)
			}
			for _, below := range x.entries {
				find(strings.TrimPrefix(path+"/"+below.row.Name, "/"), below, own)
			}
		}
		find("", e, 0)
		if n := e.row.Totals().Names; n != rank {
			t.Errorf("seed %d: the tree has %d names; want %d", seed, n, rank)
		}
		for _, r := range []uint64{rank, rank + 1, math.MaxUint64} {
			if path, err := tree.AtRank(t.Context(), r); !errors.Is(err, catalog.ErrNoRank) {
				t.Errorf("seed %d: AtRank(%d) = %d nodes, %v; want ErrNoRank", seed, r, len(path), err)
			}
		}
	}
}

// findEntry looks for an entry by its path and its rank, and reads its extents.
func findEntry(t *testing.T, tree *catalog.Tree, path string, x *entry, rank, dirRank uint64) {
	t.Helper()
	n, err := tree.Resolve(t.Context(), path)
	if d := difference(n, x.row.Node); err != nil || d != "" {
		t.Fatalf("Resolve(%q): %v; %s", path, err, d)
	}
	chain, err := tree.AtRank(t.Context(), rank)
	if err != nil {
		t.Fatalf("AtRank(%d): %v", rank, err)
	}
	var names []string
	for _, n := range chain[1:] {
		names = append(names, n.Name)
	}
	if got := strings.Join(names, "/"); got != path {
		t.Fatalf("AtRank(%d) is %q; want %q", rank, got, path)
	}
	if d := difference(chain[len(chain)-1], x.row.Node); d != "" {
		t.Fatalf("AtRank(%d): %s", rank, d)
	}
	if len(chain) > 1 {
		got, r, err := tree.LookupRank(t.Context(), &chain[len(chain)-2], dirRank, x.row.Name)
		if d := difference(got, x.row.Node); err != nil || r != rank || d != "" {
			t.Fatalf("LookupRank(%q) has rank %d, %v; want %d; %s", path, r, err, rank, d)
		}
	}
	if x.row.Type == catalog.File {
		findExtents(t, tree, &n, x)
	}
}

// findEntries lists a directory from its beginning, and from some places in it.
func findEntries(t *testing.T, tree *catalog.Tree, path string, x *entry) {
	t.Helper()
	dir, err := tree.Resolve(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	all, ranks := listAll(t, tree.List(&dir, ""))
	if len(all) != len(x.entries) {
		t.Fatalf("%q has %d entries; want %d", path, len(all), len(x.entries))
	}
	next := uint64(1)
	for i, r := range all {
		if d := difference(r.Node, x.entries[i].row.Node) + difference(r.Hints, x.entries[i].row.Hints); d != "" {
			t.Fatalf("entry %d of %q: %s", i, path, d)
		}
		if ranks[i] != next {
			t.Fatalf("entry %d of %q has rank %d; want %d", i, path, ranks[i], next)
		}
		next += r.Totals().Names
	}
	step := max(1, len(all)/8)
	for i := 0; i < len(all); i += step {
		for what, l := range map[string]*catalog.Listing{
			"after its name":          tree.List(&dir, all[i].Name),
			"after a name behind it":  tree.List(&dir, all[i].Name+"\x00"),
			"at the next rank":        tree.ListAt(&dir, ranks[i]+all[i].Totals().Names),
			"at a rank just after it": tree.ListAt(&dir, ranks[i]+1),
		} {
			if rest, _ := listAll(t, l); len(rest) != len(all)-i-1 || len(rest) > 0 && rest[0].Name != all[i+1].Name {
				t.Fatalf("%q from entry %d on, %s: %d entries; want %d", path, i, what, len(rest), len(all)-i-1)
			}
		}
		if rest, _ := listAll(t, tree.ListAt(&dir, ranks[i])); len(rest) != len(all)-i {
			t.Fatalf("%q at the rank of entry %d: %d entries; want %d", path, i, len(rest), len(all)-i)
		}
	}
	for _, name := range []string{"no such name", "\xff\xff", "\x01 none", ""} {
		if _, err := tree.Lookup(t.Context(), &dir, name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Lookup(%q): %v; want fs.ErrNotExist", name, err)
		}
	}
}

// findExtents reads the extents of a file from some offsets on.
func findExtents(t *testing.T, tree *catalog.Tree, n *catalog.Node, x *entry) {
	t.Helper()
	offsets := []uint64{0, 1, n.Size / 2, n.Size - min(n.Size, 1), n.Size, n.Size + 1}
	var at uint64
	for i, want := range x.extents {
		if at += want.Len; i%8 == 1 {
			offsets = append(offsets, at-1, at)
		}
	}
	for _, off := range offsets {
		l := tree.Extents(n, off)
		at := uint64(0)
		for _, want := range x.extents {
			at += want.Len
			if at <= off {
				continue
			}
			if got, x, ok, err := l.Next(t.Context()); err != nil || !ok || got != at-want.Len || x != want {
				if n.Unreadable != "" {
					break
				}
				t.Fatalf("%q from %d on: %d, %+v, %t, %v; want %d, %+v", n.Name, off, got, x, ok, err, at-want.Len, want)
			}
		}
		_, _, ok, err := l.Next(t.Context())
		if ok || (err != nil) != (n.Unreadable != "") || err != nil && !errors.Is(err, catalog.ErrUnreadable) {
			t.Fatalf("%q from %d on: after the last extent %t, %v", n.Name, off, ok, err)
		}
	}
}

// TestLookupReadsOnePageALevel counts pages.
func TestLookupReadsOnePageALevel(t *testing.T) {
	shelf := newShelf(t, 1, 60_000)
	e := &entry{}
	e.row.Type = catalog.Dir
	for _, r := range plainRows(200_000) {
		e.entries = append(e.entries, &entry{row: r})
	}
	tree := shelf.tree(e)
	root := tree.Root()
	levels := int64(root.Child.Level) + 1
	if levels != 3 {
		t.Errorf("a directory of 200,000 entries has %d levels", levels)
	}
	for what, read := range map[string]func() error{
		"Lookup":  func() error { _, err := tree.Lookup(t.Context(), &root.Node, "00123456"); return err },
		"AtRank":  func() error { _, err := tree.AtRank(t.Context(), 123_456); return err },
		"List":    func() error { _, _, err := tree.List(&root.Node, "00123456").Next(t.Context()); return err },
		"ListAt":  func() error { _, _, err := tree.ListAt(&root.Node, 123_456).Next(t.Context()); return err },
		"missing": func() error { _, err := tree.Lookup(t.Context(), &root.Node, "x"); return notExist(err) },
	} {
		before := shelf.reads.Load()
		if err := read(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if n := shelf.reads.Load() - before; n > levels+1 { // a listing may have to turn a page
			t.Errorf("%s reads %d pages of %d levels", what, n, levels)
		}
	}
}

func notExist(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return fmt.Errorf("want fs.ErrNotExist: %w", err)
}

// TestNoEntries asks for entries of what has none.
func TestNoEntries(t *testing.T) {
	e := newMaker(1).dir("", 0)
	for _, r := range []catalog.Row{
		{Node: catalog.Node{Name: "closed", Type: catalog.Dir, Unreadable: "permission denied"}},
		{Node: catalog.Node{Name: "empty", Type: catalog.Dir}},
		{Node: catalog.Node{Name: "file", Type: catalog.File}},
	} {
		e.entries = append(e.entries, &entry{row: r})
	}
	tree := newShelf(t, 1, 1).tree(e)
	for _, tt := range []struct {
		path string
		want error
	}{
		{"file/a", catalog.ErrNotDirectory},
		{"closed/a", catalog.ErrUnreadable},
		{"empty/a", fs.ErrNotExist},
		{"none/a", fs.ErrNotExist},
		{"file/", catalog.ErrNotDirectory},
		{"empty/", fs.ErrNotExist},
		{"/empty", fs.ErrNotExist},
		{".", fs.ErrNotExist},
	} {
		if _, err := tree.Resolve(t.Context(), tt.path); !errors.Is(err, tt.want) {
			t.Errorf("Resolve(%q): %v; want %v", tt.path, err, tt.want)
		}
	}
	for path, want := range map[string]error{"closed": catalog.ErrUnreadable, "file": catalog.ErrNotDirectory, "empty": nil} {
		n, err := tree.Resolve(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok, err := tree.List(&n, "").Next(t.Context()); ok || !errors.Is(err, want) {
			t.Errorf("listing %q: %t, %v; want %v", path, ok, err, want)
		}
	}
}

// TestTooOld sees that a node with an odd extension is refused, and only that.
func TestTooOld(t *testing.T) {
	e := newMaker(1).dir("", 0)
	for _, name := range []string{"a", "b", "c"} {
		e.entries = append(e.entries, &entry{row: plainRow(name)})
	}
	e.entries[1].row.Ext = []pack.Ext{{ID: 2}, {ID: 3}}
	tree := newShelf(t, 1, 1).tree(e)
	root := tree.Root()
	var names []string
	l := tree.List(&root.Node, "")
	for {
		r, ok, err := l.Next(t.Context())
		if !ok {
			if err != nil {
				t.Fatal(err)
			}
			break
		}
		if errors.Is(err, pack.ErrTooOld) != (r.Name == "b") || r.Type != catalog.File {
			t.Errorf("Next = %q, %v, %v", r.Name, r.Type, err)
		}
		names = append(names, r.Name)
	}
	if !slices.Equal(names, []string{"a", "b", "c"}) {
		t.Errorf("listed %q", names)
	}
	if _, err := tree.Lookup(t.Context(), &root.Node, "b"); !errors.Is(err, pack.ErrTooOld) || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Lookup: %v; want ErrTooOld", err)
	}
}

// A liar gives out other pages than it is asked for.
type liar struct {
	*shelf
	pages map[chunk.ID]pack.Place // what stands for what
}

func (l liar) Page(_ context.Context, id chunk.ID, at pack.Place) ([]byte, error) {
	if other, ok := l.pages[id]; ok {
		at = other
	}
	return l.plain[at.Ordinal][at.Start:][:at.Len:at.Len], nil
}

// TestWrongPages puts other pages in the place of those that a tree should
// have, as a writer could who has the keys. Each page is whole by itself; what
// is above it says that it is not the one.
func TestWrongPages(t *testing.T) {
	shelf := newShelf(t, 1, 1) // one page a block, so that each is good anywhere
	m := newMaker(7)
	e := m.dir("", 0)
	for _, r := range plainRows(2000) {
		e.entries = append(e.entries, &entry{row: r})
	}
	big := &entry{row: plainRow("big")}
	big.extents, big.row.Size = m.extents(1000)
	e.entries = append(e.entries, big)
	e.sort()
	shelf.tree(e)
	var places []pack.Place
	for _, b := range shelf.sealed {
		places = append(places, pack.Place{Block: b, Len: b.Plain})
	}
	ids := slices.Clone(shelf.stored)
	rootBytes := rootPageOf(t, e, shelf)
	read := func(l liar) error {
		tree, err := catalog.OpenTree(l, rootBytes)
		if err != nil {
			return err
		}
		dir := tree.Root()
		list := tree.List(&dir.Node, "")
		for {
			if _, ok, err := list.Next(t.Context()); err != nil || !ok {
				if err != nil {
					return err
				}
				break
			}
		}
		n, err := tree.Lookup(t.Context(), &dir.Node, "big")
		if err != nil {
			return err
		}
		extents := tree.Extents(&n, 0)
		for {
			if _, _, ok, err := extents.Next(t.Context()); err != nil || !ok {
				return err
			}
		}
	}
	if err := read(liar{shelf, nil}); err != nil {
		t.Fatalf("reading the pages as they are: %v", err)
	}
	if len(ids) < 15 {
		t.Fatalf("only %d pages", len(ids))
	}
	for i, id := range ids {
		for _, at := range places {
			if p, err := catalog.ParsePage(shelf.plain[at.Ordinal], at.Block); err != nil {
				t.Fatal(err)
			} else if shelf.keys.PageID(p.Identity()) == id {
				continue
			}
			err := read(liar{shelf, map[chunk.ID]pack.Place{id: at}})
			if !errors.Is(err, pack.ErrDamaged) || errors.Is(err, fs.ErrNotExist) || !strings.Contains(fmt.Sprint(err), id.String()) {
				t.Fatalf("block %d in the place of page %d: %v; want damage that names the page", at.Ordinal, i, err)
			}
			for _, name := range []string{"00000000", "00000700", "00001999", "big", "none"} {
				tree, err := catalog.OpenTree(liar{shelf, map[chunk.ID]pack.Place{id: at}}, rootBytes)
				if err != nil {
					t.Fatal(err)
				}
				dir := tree.Root()
				n, err := tree.Lookup(t.Context(), &dir.Node, name)
				if errors.Is(err, fs.ErrNotExist) && name != "none" || err == nil && n.Name != name {
					t.Fatalf("block %d in the place of page %d: Lookup(%q) = %q, %v", at.Ordinal, i, name, n.Name, err)
				}
			}
		}
	}
}

func rootPageOf(t *testing.T, e *entry, s *shelf) []byte {
	t.Helper()
	b, err := catalog.RootPage(&e.row, s.resolve)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestMissingPage sees that a page that cannot be had is never "no such name".
func TestMissingPage(t *testing.T) {
	e := newMaker(2).dir("", 300)
	shelf := newShelf(t, 1, 1)
	tree := shelf.tree(e)
	clear(shelf.sealed)
	root := tree.Root()
	if _, err := tree.Lookup(t.Context(), &root.Node, "x"); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Lookup: %v", err)
	}
	if _, ok, err := tree.List(&root.Node, "").Next(t.Context()); ok || err == nil {
		t.Errorf("Next: %t, %v", ok, err)
	}
	if _, err := tree.AtRank(t.Context(), 3); err == nil || errors.Is(err, catalog.ErrNoRank) {
		t.Errorf("AtRank: %v", err)
	}
}

// TestOpenTreeRefuses gives OpenTree pages that are no root.
func TestOpenTreeRefuses(t *testing.T) {
	if _, err := catalog.OpenTree(nil, onePage(t, plainRows(1))); !errors.Is(err, pack.ErrDamaged) {
		t.Errorf("a row with a name: %v", err)
	}
	if _, err := catalog.OpenTree(nil, nil); !errors.Is(err, pack.ErrDamaged) {
		t.Errorf("no bytes: %v", err)
	}
	usage := catalog.NewUsagePager(nil)
	if err := usage.Add(&catalog.UsageRow{Host: "h", Refs: 1}); err != nil {
		t.Fatal(err)
	}
	b, err := usage.Close(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := catalog.OpenTree(nil, b); !errors.Is(err, pack.ErrDamaged) {
		t.Errorf("a usage: %v", err)
	}
}

// TestConcurrentReaders reads one tree from several goroutines.
func TestConcurrentReaders(t *testing.T) {
	e := newMaker(5).dir("", 2000)
	tree := newShelf(t, 1, 60_000).tree(e)
	var paths []string
	e.all("", func(path string, _ *entry) { paths = append(paths, path) })
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := g; i < len(paths); i += 7 {
				n, err := tree.Resolve(t.Context(), paths[i])
				chain, err2 := tree.AtRank(t.Context(), uint64(i))
				if err != nil || err2 != nil || n.Name != chain[len(chain)-1].Name {
					t.Errorf("entry %d: %v, %v", i, err, err2)
				}
			}
		})
	}
	wg.Wait()
}
