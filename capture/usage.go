package capture

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"

	"tidemark/catalog"
	"tidemark/chunk"
	"tidemark/pack"
)

// usageDelta is how the usage of a new point differs from that of its parent:
// what its new pages refer to, less what the pages of the parent did that it
// no longer has. Its size follows the number of packs, not of files.
type usageDelta struct {
	mu    sync.Mutex
	packs map[packKey]*catalog.UsageDelta // guarded by mu
}

func newUsageDelta() *usageDelta { return &usageDelta{packs: map[packKey]*catalog.UsageDelta{}} }

// add counts refs references to bytes bytes of a pack; both may be negative.
func (u *usageDelta) add(b pack.Block, refs, bytes int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	key := packKey{b.Run, b.Pack}
	d := u.packs[key]
	if d == nil {
		d = &catalog.UsageDelta{Host: b.Host, Run: b.Run, N: b.Pack}
		u.packs[key] = d
	}
	d.Refs += refs
	d.Bytes += bytes
}

// merge adds what other counted, which is done with.
func (u *usageDelta) merge(other *usageDelta) {
	for _, d := range other.packs {
		u.add(pack.Block{Host: d.Host, Run: d.Run, Pack: d.N}, d.Refs, d.Bytes)
	}
}

// sorted returns the changes in the order of the usage's rows.
func (u *usageDelta) sorted() []catalog.UsageDelta {
	u.mu.Lock()
	defer u.mu.Unlock()
	all := make([]catalog.UsageDelta, 0, len(u.packs))
	for _, d := range u.packs {
		all = append(all, *d)
	}
	slices.SortFunc(all, func(a, b catalog.UsageDelta) int {
		if c := a.Run.Compare(b.Run); c != 0 {
			return c
		}
		return cmp.Compare(a.N, b.N)
	})
	return all
}

// addPage counts what a page refers to, n times.
func (u *usageDelta) addPage(p *catalog.Page, n int64) error {
	return catalog.PageUsage(p, func(at pack.Place) { u.add(at.Block, n, n*int64(at.Len)) })
}

// addDraft counts what a new page refers to.
func (u *usageDelta) addDraft(d *catalog.Draft) {
	for at := range d.Places() {
		u.add(at.Block, 1, int64(at.Len))
	}
}

// oldPages are the pages of one sequence of rows in the parent's tree: of a
// directory, of a list of extents, of the usage. A page that a new one equals
// is kept; what is left is no longer referred to.
type oldPages struct {
	pages catalog.Pages
	byID  map[chunk.ID]*oldPage
}

type oldPage struct {
	ref  catalog.Ref
	left int // how often it stands in the parent and not in the new tree
}

// readOld finds the pages from root downwards. It reads the interior ones only.
func readOld(ctx context.Context, pages catalog.Pages, root catalog.Ref) (*oldPages, error) {
	o := &oldPages{pages: pages, byID: map[chunk.ID]*oldPage{}}
	if root.IsZero() {
		return o, nil
	}
	return o, o.read(ctx, root)
}

func (o *oldPages) read(ctx context.Context, ref catalog.Ref) error {
	old := o.byID[ref.ID]
	if old == nil {
		old = &oldPage{ref: ref}
		o.byID[ref.ID] = old
	}
	old.left++
	if ref.Level == 0 {
		return nil
	}
	p, err := o.load(ctx, ref)
	if err != nil {
		return err
	}
	return o.readBelow(ctx, p)
}

// readBelow reads the pages that the interior page p names.
func (o *oldPages) readBelow(ctx context.Context, p *catalog.Page) error {
	for i := range p.Len() {
		b, err := p.Interior(i)
		if err != nil {
			return err
		}
		if err := o.read(ctx, b.Ref); err != nil {
			return err
		}
	}
	return nil
}

// readOldUsage finds the pages of the parent's usage below its root page,
// which stands in the point.
func readOldUsage(ctx context.Context, parent *Parent) (*oldPages, error) {
	o := &oldPages{pages: parent.Pages, byID: map[chunk.ID]*oldPage{}}
	if len(parent.Point.Usage) == 0 {
		return o, nil
	}
	p, err := catalog.ParsePage(parent.Point.Usage, pack.Block{})
	if err != nil || p.Level() == 0 {
		return o, err
	}
	return o, o.readBelow(ctx, p)
}

func (o *oldPages) load(ctx context.Context, ref catalog.Ref) (*catalog.Page, error) {
	b, err := o.pages.Page(ctx, ref.ID, ref.Place)
	if err != nil {
		return nil, fmt.Errorf("capture: page %v of the point before: %w", ref.ID, err)
	}
	return catalog.ParsePage(b, ref.Place.Block)
}

// same returns the old page that d may stand for, if there is one.
func (o *oldPages) same(ctx context.Context, id chunk.ID, d *catalog.Draft) (catalog.Ref, bool, error) {
	if o == nil {
		return catalog.Ref{}, false, nil
	}
	old := o.byID[id]
	if old == nil || old.left == 0 || old.ref.Level != d.Level {
		return catalog.Ref{}, false, nil
	}
	p, err := o.load(ctx, old.ref)
	if err != nil {
		return catalog.Ref{}, false, err
	}
	if !d.Same(p) {
		return catalog.Ref{}, false, nil
	}
	old.left--
	return old.ref, true, nil
}

// drop counts off what the pages refer to that were not kept.
func (o *oldPages) drop(ctx context.Context, u *usageDelta) error {
	if o == nil {
		return nil
	}
	for _, old := range o.byID {
		if old.left == 0 {
			continue
		}
		p, err := o.load(ctx, old.ref)
		if err != nil {
			return err
		}
		if err := u.addPage(p, -int64(old.left)); err != nil {
			return err
		}
	}
	return nil
}

// dropTree counts off all that n, which the new tree no longer has, leads to:
// not the references in its own row, which are its page's.
func dropTree(ctx context.Context, pages catalog.Pages, tree *catalog.Tree, n *catalog.Node, u *usageDelta) error {
	root := n.List
	if n.Type == catalog.Dir {
		root = n.Child
	}
	if root.IsZero() {
		return nil
	}
	old, err := readOld(ctx, pages, root)
	if err != nil {
		return err
	}
	if err := old.drop(ctx, u); err != nil {
		return err
	}
	if n.Type != catalog.Dir {
		return nil
	}
	rows := tree.List(n, "")
	for {
		row, ok, err := rows.Next(ctx)
		if err != nil || !ok {
			return err
		}
		if err := dropTree(ctx, pages, tree, &row.Node, u); err != nil {
			return err
		}
	}
}
