package catalog_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"testing"

	"tidemark/catalog"
	"tidemark/chunk"
	"tidemark/pack"
)

// pagesOf returns the pages that lie in a shelf.
func (s *shelf) pagesOf() (all [][]byte) {
	for _, b := range s.plain {
		for len(b) > 0 {
			n := pageHeader + binary.LittleEndian.Uint32(b) + binary.LittleEndian.Uint32(b[4:]) + binary.LittleEndian.Uint32(b[8:])
			all = append(all, b[:n:n])
			b = b[n:]
		}
	}
	return all
}

// FuzzPage sees that no page makes a reader panic, and that one that is
// accepted is the only encoding of what it says.
func FuzzPage(f *testing.F) {
	for _, page := range []*raw{rawDir(), rawInterior(), rawList(), rawUsage()} {
		f.Add(page.bytes(), true)
	}
	for _, d := range damages {
		if b := d.bytes(); len(b) < 1<<12 {
			f.Add(b, true)
		}
	}
	shelf := newShelf(f, 1, 1)
	e := newMaker(1).dir("", 100)
	shelf.tree(e)
	for _, b := range shelf.pagesOf() {
		f.Add(b, false)
	}
	f.Fuzz(func(t *testing.T, b []byte, inBlock bool) {
		var self pack.Block
		if inBlock {
			self = ownBlock()
		}
		touch(b, self)
		err := catalog.CheckPage(b, self)
		if err != nil {
			if !errors.Is(err, pack.ErrDamaged) && !errors.Is(err, pack.ErrTooOld) {
				t.Fatalf("CheckPage: %v, which is neither damage nor too old", err)
			}
			return
		}
		p, err := catalog.ParsePage(b, self)
		if err != nil {
			t.Fatalf("ParsePage: %v, after CheckPage accepted it", err)
		}
		again, err := catalog.Reencode(p)
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("accepted %q, encoded again %q, %v", b, again, err)
		}
	})
}

// somePages gives out one of its pages for any id: whatever a writer may have
// made who has the keys, and more.
type somePages struct {
	pages [][]byte
	reads int
}

var errEnough = errors.New("enough pages")

func (s *somePages) Page(_ context.Context, id chunk.ID, _ pack.Place) ([]byte, error) {
	if s.reads++; len(s.pages) == 0 || s.reads > 500 {
		return nil, errEnough
	}
	return s.pages[int(id[0])%len(s.pages)], nil
}

// FuzzTree walks trees of pages that need not belong together. Nothing may
// panic, and nothing go on without reading further pages, of which there is an
// end.
func FuzzTree(f *testing.F) {
	add := func(root []byte, pages [][]byte) {
		b := binary.LittleEndian.AppendUint32(nil, uint32(len(root)))
		b = append(b, root...)
		for _, page := range pages {
			b = binary.LittleEndian.AppendUint32(b, uint32(len(page)))
			b = append(b, page...)
		}
		f.Add(b, "a", uint64(3))
	}
	for seed := range uint64(4) {
		shelf := newShelf(f, 1, 1)
		e := newMaker(seed).dir("", 60)
		shelf.tree(e)
		root, err := catalog.RootPage(&e.row, shelf.resolve)
		if err != nil {
			f.Fatal(err)
		}
		add(root, shelf.pagesOf())
		add(rawUsage().bytes(), [][]byte{rawList().bytes(), rawInterior().bytes(), rawDir().bytes()})
	}
	f.Fuzz(func(t *testing.T, b []byte, name string, n uint64) {
		var all [][]byte
		for len(b) >= 4 {
			n := min(uint64(binary.LittleEndian.Uint32(b)), uint64(len(b)-4))
			all = append(all, b[4:4+n])
			b = b[4+n:]
		}
		if len(all) == 0 {
			return
		}
		pages := &somePages{pages: all[1:]}
		walkUsage(t, pages, all[0])
		tree, err := catalog.OpenTree(pages, all[0])
		if err != nil {
			return
		}
		tree.Resolve(t.Context(), name)
		tree.AtRank(t.Context(), n)
		root := tree.Root()
		steps := 0
		walkTree(t, tree, &root.Node, &steps)
		pages.reads = 0
		side := catalog.Side{Tree: tree, Node: &root.Node}
		for _, other := range all {
			if tree2, err := catalog.OpenTree(&somePages{pages: all}, other); err == nil {
				root2 := tree2.Root()
				catalog.Diff(t.Context(), side, catalog.Side{Tree: tree2, Node: &root2.Node}, catalog.DiffOptions{}, func(catalog.Change) error {
					return step(t, &steps)
				})
			}
		}
	})
}

// step counts one step, and fails after more than the pages read can have rows.
func step(t *testing.T, steps *int) error {
	if *steps++; *steps > 1<<20 {
		t.Fatal("it goes on and on")
	}
	return nil
}

func walkTree(t *testing.T, tree *catalog.Tree, n *catalog.Node, steps *int) {
	x := tree.Extents(n, n.Size/2)
	for {
		step(t, steps)
		if _, _, ok, err := x.Next(t.Context()); err != nil || !ok {
			break
		}
	}
	l := tree.List(n, "")
	for {
		step(t, steps)
		r, ok, err := l.Next(t.Context())
		if !ok {
			return
		}
		if err == nil && r.Type == catalog.Dir {
			walkTree(t, tree, &r.Node, steps)
		}
	}
}

func walkUsage(t *testing.T, pages catalog.Pages, root []byte) {
	u, err := catalog.OpenUsage(pages, root)
	for n := 0; err == nil; {
		var ok bool
		if _, ok, err = u.Next(t.Context()); !ok {
			return
		}
		step(t, &n)
	}
}
