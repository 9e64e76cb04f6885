package catalog

import (
	"context"
	"fmt"

	"tidemark/pack"
)

// Extent decodes and checks row i of a leaf page of a list.
func (p *Page) Extent(i int) (Extent, error) {
	if p.kind != ListPage || p.level > 0 {
		return Extent{}, p.notRows("extents")
	}
	d := pack.NewDecoder("", p.row(i))
	places := p.placesOf(i)
	var x Extent
	decodeExtent(d, &places, &x)
	bad := flawOf(d.Done())
	if bad == nil {
		bad = places.done()
	}
	if bad == nil {
		bad = new(extentRun).add(&x)
	}
	if bad != nil {
		return Extent{}, p.damagedRow(i, bad)
	}
	return x, nil
}

// Extents are the extents of a file, from some offset on, in their order. It
// is for one goroutine.
type Extents struct {
	tree *Tree
	file Node
	off  uint64 // of a byte in the first extent

	begun bool
	i     int       // of the next extent, if they are in the node
	c     *cursor   // if they are in a list
	run   extentRun // run.off is where the next extent begins
}

// Extents returns the extents of file, from the one that holds the byte at
// off on. There are none in a content that is inline, nor at and behind the
// end of the file.
func (t *Tree) Extents(file *Node, off uint64) *Extents {
	return &Extents{tree: t, file: *file, off: off}
}

// Next returns the next extent, and its offset in the file. It reports false
// after the last. After an error the next call tries again.
func (e *Extents) Next(ctx context.Context) (off uint64, x Extent, ok bool, err error) {
	switch {
	case e.file.Unreadable != "":
		return 0, Extent{}, false, unreadable(&e.file)
	case e.file.Type != File || e.off >= e.file.Size || e.file.form() == formInline:
		return 0, Extent{}, false, nil
	}
	if !e.begun {
		if err := e.begin(ctx); err != nil {
			return 0, Extent{}, false, err
		}
		e.begun = true
	}
	if e.c == nil {
		if e.i == len(e.file.Extents) {
			return 0, Extent{}, false, nil
		}
		x = e.file.Extents[e.i]
		e.i++
		e.run.off += x.Len
		return e.run.off - x.Len, x, true, nil
	}
	if ok, err = e.c.leaf(ctx); err != nil || !ok {
		return 0, Extent{}, false, err
	}
	p, i := e.c.row()
	if x, err = p.Extent(i); err != nil {
		return 0, Extent{}, false, err
	}
	if bad := e.run.add(&x); bad != nil {
		return 0, Extent{}, false, p.damagedRow(i, bad)
	}
	e.c.skip()
	return e.run.off - x.Len, x, true, nil
}

func (e *Extents) begin(ctx context.Context) error {
	if e.file.form() == formExtents {
		for e.i = 0; e.off-e.run.off >= e.file.Extents[e.i].Len; e.i++ {
			e.run.off += e.file.Extents[e.i].Len
		}
		return nil
	}
	c, err := openCursor(ctx, e.tree.pages, ListPage, listRoot(&e.file))
	if err != nil {
		return err
	}
	if _, err := c.seek(ctx, e.off); err != nil {
		return err
	}
	e.c, e.run.off = c, c.pos
	return nil
}

// listRoot returns what the list of a large file must be found to be.
func listRoot(n *Node) *Branch {
	return &Branch{Ref: n.List, Sums: Sums{n.Size, n.ExtentCount}}
}

// A ListPager makes the pages of one file's list of extents. After Close it
// may be used for another.
type ListPager struct {
	p   pager
	run extentRun
}

// NewListPager returns a ListPager that gives its pages to sink.
func NewListPager(sink Sink) *ListPager { return &ListPager{p: pager{kind: ListPage, sink: sink}} }

// Add adds the next extent. An error stays until Close.
func (l *ListPager) Add(x *Extent) error {
	if l.p.err != nil {
		return l.p.err
	}
	l.p.err = l.add(x)
	return l.p.err
}

func (l *ListPager) add(x *Extent) error {
	if bad := l.run.add(x); bad != nil {
		return fmt.Errorf("catalog: list of extents: %s", bad.Detail)
	}
	o, err := l.p.open(0)
	if err != nil {
		return err
	}
	o.rows = appendExtent(o.rows, x)
	var hash uint64
	if !x.Zero {
		o.places.add(&x.Place)
		hash = keyHash(x.ID[:])
	}
	return l.p.endRow(o, "", hash, !x.Zero, Sums{x.Len, 1})
}

// Close ends the list. It returns its root page and the length and number of
// all extents. A list without extents is an error: it has no pages.
func (l *ListPager) Close() (root Ref, bytes, extents uint64, err error) {
	defer l.reset()
	o, err := l.p.root()
	if err != nil {
		return Ref{}, 0, 0, err
	}
	if o == nil {
		return Ref{}, 0, 0, fmt.Errorf("catalog: list of extents: there are none")
	}
	root, err = l.p.sink(o.draft(ListPage))
	if err != nil {
		return Ref{}, 0, 0, err
	}
	root.Level = o.level
	return root, o.sums[0], o.sums[1], nil
}

func (l *ListPager) reset() {
	l.p.reset()
	l.run = extentRun{}
}
