package catalog

import (
	"context"
	"fmt"

	"tidemark/chunk"
	"tidemark/pack"
)

// Pages gives out the pages of trees. It is all that reading a tree needs of
// the world; tests use a map.
//
// Page returns the bytes of the page id, found at the given place: at.Len
// bytes whose identity section has that id, which Page has checked. They may
// be shared and must not be changed by either side. Page returns promptly
// when ctx is done, and retries by itself what is worth retrying. A page that
// cannot be had is an error that does not wrap fs.ErrNotExist. Page may be
// called concurrently. It caches if anybody does: readers here ask for the
// pages above an entry each time they look for it.
type Pages interface {
	Page(ctx context.Context, id chunk.ID, at pack.Place) ([]byte, error)
}

// A cursor moves over one sequence of rows through its pages. It stands at an
// item: a row of a leaf page, or one of an interior page and so all that is
// below that.
type cursor struct {
	pages Pages
	kind  PageKind
	stack []frame // the root page first; empty at the end
	pos   uint64  // sum of the weights of all leaf rows before the item
}

// A frame is a page on the way to the item, and a row of it.
type frame struct {
	p     *Page
	i     int
	limit []byte // the first key after the page; empty if it is not known
}

// newCursor returns a cursor at the first item of p, whose rows were scanned.
func newCursor(pages Pages, p *Page) *cursor {
	return &cursor{pages: pages, kind: p.kind, stack: []frame{{p: p}}}
}

// openCursor returns a cursor at the first item of the root page.
func openCursor(ctx context.Context, pages Pages, kind PageKind, root *Branch) (*cursor, error) {
	p, err := loadPage(ctx, pages, kind, root, nil)
	if err != nil {
		return nil, err
	}
	return newCursor(pages, p), nil
}

// loadPage returns the page that a row names, if it is what the row says:
// of this kind and level, beginning with that key, ending before limit, with
// the sums.
func loadPage(ctx context.Context, pages Pages, kind PageKind, want *Branch, limit []byte) (*Page, error) {
	b, err := pages.Page(ctx, want.Ref.ID, want.Ref.Place)
	if err != nil {
		return nil, fmt.Errorf("catalog: %v %v: %w", kind, want.Ref.ID, err)
	}
	p, err := ParsePage(b, want.Ref.Place.Block)
	if err != nil {
		return nil, fmt.Errorf("catalog: %v %v: %w", kind, want.Ref.ID, err)
	}
	p.id = want.Ref.ID
	if bad := p.checkAgainst(kind, want, limit); bad != nil {
		if bad.Object == "" { // else it is about a row
			bad.Object = p.subject()
		}
		return nil, bad
	}
	return p, nil
}

func (p *Page) checkAgainst(kind PageKind, want *Branch, limit []byte) *flaw {
	if p.kind != kind || p.level != want.Ref.Level {
		return flawf(pack.ReasonKind, "its level is %d; a %v of level %d belongs here", p.level, kind, want.Ref.Level)
	}
	sums, bad := p.scan()
	if bad != nil {
		return bad
	}
	if sums != want.Sums {
		return flawf(pack.ReasonSum, "its sums are %v; the page above it says %v", sums[:kind.sums()], want.Sums[:kind.sums()])
	}
	first := p.key(0)
	if want.First != "" && string(first) != want.First {
		return flawf(pack.ReasonOrder, "it begins with %q; the page above it says %q", first, want.First)
	}
	if last := p.key(p.n - 1); len(limit) > 0 && p.compareKeys(last, limit) >= 0 {
		return flawf(pack.ReasonOrder, "it ends with %q; the page after it begins with %q", last, limit)
	}
	return nil
}

// settle moves past pages that are used up. It reports false at the end.
func (c *cursor) settle() bool {
	for len(c.stack) > 0 {
		top := &c.stack[len(c.stack)-1]
		if top.i < top.p.n {
			return true
		}
		c.stack = c.stack[:len(c.stack)-1]
		if len(c.stack) > 0 {
			c.stack[len(c.stack)-1].i++
		}
	}
	return false
}

// row returns the page and the row of the item. The cursor is not at its end.
func (c *cursor) row() (*Page, int) {
	top := &c.stack[len(c.stack)-1]
	return top.p, top.i
}

// skip moves past the item, with all that is below it.
func (c *cursor) skip() {
	top := &c.stack[len(c.stack)-1]
	c.pos += top.p.weight(top.i)
	top.i++
}

// descend moves from an interior row to the first row of its page.
func (c *cursor) descend(ctx context.Context) error {
	top := &c.stack[len(c.stack)-1]
	br, err := top.p.Interior(top.i)
	if err != nil {
		return err
	}
	limit := top.limit
	if top.i+1 < top.p.n {
		limit = top.p.key(top.i + 1)
	}
	p, err := loadPage(ctx, c.pages, c.kind, &br, limit)
	if err != nil {
		return err
	}
	c.stack = append(c.stack, frame{p: p, limit: limit})
	return nil
}

// leaf moves down to a leaf row. It reports false at the end.
func (c *cursor) leaf(ctx context.Context) (bool, error) {
	for c.settle() {
		if p, _ := c.row(); p.level == 0 {
			return true, nil
		}
		if err := c.descend(ctx); err != nil {
			return false, err
		}
	}
	return false, nil
}

// seek moves forward to the leaf row that holds position pos: the first one
// that it does not lie behind. It reports false if that is none.
func (c *cursor) seek(ctx context.Context, pos uint64) (bool, error) {
	for c.settle() {
		p, i := c.row()
		if w := p.weight(i); pos-c.pos >= w { // pos is never less
			c.skip()
			continue
		}
		if p.level == 0 {
			return true, nil
		}
		if err := c.descend(ctx); err != nil {
			return false, err
		}
	}
	return false, nil
}

// seekName moves forward to the first leaf row of a directory whose name is
// not less than name. It reports whether that is name.
func (c *cursor) seekName(ctx context.Context, name string) (bool, error) {
	for c.settle() {
		p, i := c.row()
		to, found := p.Search(name)
		for ; i < to; i++ {
			c.skip()
		}
		if p.level == 0 {
			if to < p.n {
				return found, nil
			}
			continue // the next page begins behind name, as was checked
		}
		if err := c.descend(ctx); err != nil {
			return false, err
		}
	}
	return false, nil
}
