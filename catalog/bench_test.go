package catalog_test

import (
	"context"
	"fmt"
	"testing"

	"tidemark/catalog"
	"tidemark/chunk"
	"tidemark/pack"
)

// typicalRows are as in a tree of sources: a third of the files inline, the
// others one chunk each, in a few blocks.
func typicalRows(n int) []catalog.Row {
	m := newMaker(1)
	rows := plainRows(n)
	for i := range rows {
		r := &rows[i]
		r.Name += ".go"
		r.Mode, r.Mtime, r.HasBtime, r.Btime = 0o644, m.time(), true, m.time()
		r.Ctime, r.Ino = m.time(), uint64(i)
		if i%3 == 0 {
			r.Size, r.Inline = 200, m.bytes(200)
			continue
		}
		r.Size = 4000
		at := pack.Place{Block: m.blocks[i/40%len(m.blocks)], Start: uint32(i % 40 * 4000), Len: 4000}
		r.Extents = []catalog.Extent{{Len: 4000, ID: m.id(), Place: at}}
	}
	return rows
}

// benchPages returns the pages of a directory, and its node.
func benchPages(b *testing.B, rows []catalog.Row) (onlyID, *catalog.Tree) {
	pages := onlyID{}
	keys := chunk.NewKeys([32]byte{})
	var n uint32
	pager := catalog.NewDirPager(func(d *catalog.Draft) (catalog.Ref, error) {
		page, err := d.Encode(nil)
		id := keys.PageID(d.Identity)
		pages[id] = page
		n++
		at := pack.Place{Len: uint32(len(page)), Block: pack.Block{
			Host: "host", Ordinal: n / 10, Plain: pack.MaxBlock, Sealed: pack.MaxBlock + 16,
		}}
		return catalog.Ref{ID: id, Place: at}, err
	})
	for i := range rows {
		if err := pager.Add(&rows[i]); err != nil {
			b.Fatal(err)
		}
	}
	var root catalog.Row
	var err error
	root.Type = catalog.Dir
	if root.Child, root.Below, err = pager.Close(); err != nil {
		b.Fatal(err)
	}
	page, err := catalog.RootPage(&root, nil)
	if err != nil {
		b.Fatal(err)
	}
	tree, err := catalog.OpenTree(pages, page)
	if err != nil {
		b.Fatal(err)
	}
	return pages, tree
}

// onlyID is Pages without a check, to leave the time of that out.
type onlyID map[chunk.ID][]byte

func (p onlyID) Page(_ context.Context, id chunk.ID, _ pack.Place) ([]byte, error) {
	if b, ok := p[id]; ok {
		return b, nil
	}
	return nil, fmt.Errorf("no page %v", id)
}

func (p onlyID) leaf(b *testing.B) *catalog.Page {
	for _, page := range p {
		q, err := catalog.ParsePage(page, pack.Block{})
		if err != nil {
			b.Fatal(err)
		}
		if q.Level() == 0 && q.Len() > 100 {
			return q
		}
	}
	b.Fatal("no leaf page of more than 100 rows")
	return nil
}

func BenchmarkAddRow(b *testing.B) {
	rows := typicalRows(10_000)
	pager := catalog.NewDirPager(func(d *catalog.Draft) (catalog.Ref, error) {
		return catalog.Ref{Place: pack.Place{Block: pack.Block{Host: "h"}, Len: 1}}, nil
	})
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		if n == len(rows) {
			n = 0
			if _, _, err := pager.Close(); err != nil {
				b.Fatal(err)
			}
		}
		if err := pager.Add(&rows[n]); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncodePage(b *testing.B) {
	rows := typicalRows(100)
	pager := catalog.NewDirPager(func(d *catalog.Draft) (catalog.Ref, error) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := d.Encode(nil); err != nil {
				b.Fatal(err)
			}
		}
		return catalog.Ref{}, nil
	})
	for i := range 16 {
		if err := pager.Add(&rows[i]); err != nil {
			b.Fatal(err)
		}
	}
	if _, _, err := pager.Close(); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkRow(b *testing.B) {
	pages, _ := benchPages(b, typicalRows(2000))
	p := pages.leaf(b)
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		if _, err := p.Row(n % p.Len()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkList(b *testing.B) {
	_, tree := benchPages(b, typicalRows(20_000))
	root := tree.Root()
	l := tree.List(&root.Node, "")
	b.ReportAllocs()
	for b.Loop() {
		_, ok, err := l.Next(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		if !ok {
			l = tree.List(&root.Node, "")
		}
	}
}

func BenchmarkParsePage(b *testing.B) {
	pages, _ := benchPages(b, typicalRows(2000))
	var page []byte
	for _, q := range pages {
		if len(q) > len(page) {
			page = q
		}
	}
	p, _ := catalog.ParsePage(page, pack.Block{})
	b.ReportMetric(float64(p.Len()), "rows")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := catalog.ParsePage(page, pack.Block{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSums(b *testing.B) {
	pages, _ := benchPages(b, typicalRows(2000))
	p := pages.leaf(b)
	b.ReportMetric(float64(p.Len()), "rows")
	for b.Loop() {
		if _, err := p.Sums(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSearch(b *testing.B) {
	rows := typicalRows(2000)
	pages, _ := benchPages(b, rows)
	p := pages.leaf(b)
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		p.Search(rows[n%len(rows)].Name)
	}
}

func BenchmarkLookup(b *testing.B) {
	for _, n := range []int{100, 200_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			rows := typicalRows(n)
			_, tree := benchPages(b, rows)
			root := tree.Root()
			b.ReportAllocs()
			for i := 0; b.Loop(); i += 7919 {
				if _, err := tree.Lookup(b.Context(), &root.Node, rows[i%n].Name); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkSame(b *testing.B) {
	rows := typicalRows(16)
	var page *catalog.Page
	pager := catalog.NewDirPager(func(d *catalog.Draft) (catalog.Ref, error) {
		if page == nil {
			raw, err := d.Encode(nil)
			if err != nil {
				return catalog.Ref{}, err
			}
			page, err = catalog.ParsePage(raw, pack.Block{})
			return catalog.Ref{}, err
		}
		for b.Loop() {
			if !d.Same(page) {
				b.Fatal("not the same")
			}
		}
		return catalog.Ref{}, nil
	})
	for range 2 {
		for i := range rows {
			if err := pager.Add(&rows[i]); err != nil {
				b.Fatal(err)
			}
		}
		if _, _, err := pager.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
