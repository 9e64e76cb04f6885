package capture

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"tidemark/catalog"
	"tidemark/chunk"
	"tidemark/pack"
)

// queuedRows is how many rows may wait for the contents of those before them:
// so far the scan runs ahead of the reading. A row is about 1 KiB.
const queuedRows = 4096

// An event is a step of the scan, in the order of the tree: depth first, names
// in order.
type event struct {
	step step
	row  *catalog.Row
	done <-chan struct{} // closed when the row is complete; nil if it is already
	from *job            // another name of the same file, that the content is taken from
	old  *catalog.Node   // what the parent has there, or nil
	path string          // below the source, for messages
}

type step uint8

const (
	stepRow     step = iota // an entry that is no directory
	stepEnter               // a directory: its entries follow
	stepLeave               // the end of the directory entered last; row is its row
	stepGone                // something the parent has, and the new tree has not
	stepUnnamed             // an entry whose name is too long to be stored
)

// A builder makes pages of the scan's events. It is one goroutine: only lists
// of extents are paged elsewhere, by the readers.
type builder struct {
	run    *run
	keys   chunk.Keys
	parent *Parent // nil: none
	delta  *usageDelta
	bad    *unreadable

	stack []*directory
	root  *catalog.Row // when the scan is over

	rootPage, usagePage []byte // by finish
}

// directory is one whose entries are being paged.
type directory struct {
	pager *catalog.DirPager
	old   *oldPages
}

// build consumes events until they end.
func (b *builder) build(ctx context.Context, events <-chan event) error {
	for {
		select {
		case e, ok := <-events:
			if !ok {
				return nil
			}
			if err := b.step(ctx, e); err != nil {
				return err
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (b *builder) step(ctx context.Context, e event) error {
	switch e.step {
	case stepEnter:
		return b.enter(ctx, e)
	case stepLeave:
		return b.leave(ctx, e)
	case stepGone:
		return dropTree(ctx, b.parent.Pages, b.parent.Tree, e.old, b.delta)
	case stepUnnamed:
		b.bad.add(e.path, "its name is too long", catalog.File)
		return nil
	}
	done := e.done
	if e.from != nil {
		done = e.from.done
	}
	if done != nil {
		select {
		case <-done:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	if e.from != nil {
		takeContent(e.row, e.from.row)
	}
	return b.add(e)
}

// takeContent makes row, another name of the file that from is of, the same
// but for its name: they were one inode when from was read.
func takeContent(row, from *catalog.Row) {
	name, link, links := row.Name, row.Link, row.Links
	*row = *from
	row.Name, row.Link, row.Links = name, link, links
}

// add adds a complete row to the directory that is open.
func (b *builder) add(e event) error {
	if e.row.Unreadable != "" {
		b.bad.add(e.path, e.row.Unreadable, e.row.Type)
	}
	if len(b.stack) == 0 {
		b.root = e.row
		return nil
	}
	if err := b.stack[len(b.stack)-1].pager.Add(e.row); err != nil {
		return fmt.Errorf("capture: %s: %w", quote(e.path), err)
	}
	return nil
}

func (b *builder) enter(ctx context.Context, e event) error {
	d := &directory{}
	if e.old != nil {
		old, err := readOld(ctx, b.parent.Pages, e.old.Child)
		if err != nil {
			return err
		}
		d.old = old
	}
	d.pager = catalog.NewDirPager(func(draft *catalog.Draft) (catalog.Ref, error) {
		return b.keep(ctx, draft, d.old, b.delta)
	})
	b.stack = append(b.stack, d)
	return nil
}

func (b *builder) leave(ctx context.Context, e event) error {
	d := b.stack[len(b.stack)-1]
	b.stack = b.stack[:len(b.stack)-1]
	child, below, err := d.pager.Close()
	if err != nil {
		return fmt.Errorf("capture: %s: %w", quote(e.path), err)
	}
	if err := d.old.drop(ctx, b.delta); err != nil {
		return err
	}
	e.row.Child, e.row.Below = child, below
	return b.add(e)
}

// keep stores a page and counts what it refers to, or finds that it is in the parent.
func (b *builder) keep(ctx context.Context, d *catalog.Draft, old *oldPages, delta *usageDelta) (catalog.Ref, error) {
	ref, err := b.keepUncounted(ctx, d, old)
	if err == nil && ref.new {
		delta.addDraft(d)
	}
	return ref.Ref, err
}

type keptRef struct {
	catalog.Ref
	new bool
}

// keepUncounted is keep for the pages of the usage, which count nothing.
func (b *builder) keepUncounted(ctx context.Context, d *catalog.Draft, old *oldPages) (keptRef, error) {
	id := b.keys.PageID(d.Identity)
	ref, ok, err := old.same(ctx, id, d)
	if err != nil || ok {
		return keptRef{Ref: ref}, err
	}
	at, err := b.run.tree.addPage(ctx, id, d)
	if err != nil {
		return keptRef{}, err
	}
	b.run.stats.NewPages.Add(1)
	return keptRef{catalog.Ref{ID: id, Level: d.Level, Place: at}, true}, nil
}

// finish makes the two root pages that stand in the point, and writes what the
// usage needs of others. It waits until all that they name is sealed.
func (b *builder) finish(ctx context.Context) error {
	resolve := func(k pack.Block) (pack.Block, bool, error) {
		if err := b.run.tree.flush(ctx, k); err != nil {
			return k, false, err
		}
		full, err := b.run.resolve(ctx, k)
		return full, false, err
	}
	var err error
	if b.rootPage, err = catalog.RootPage(b.root, resolve); err != nil {
		return fmt.Errorf("capture: %w", err)
	}
	if err := b.countRoots(); err != nil {
		return err
	}
	pager, err := b.usage(ctx)
	if err != nil {
		return fmt.Errorf("capture: usage: %w", err)
	}
	if b.usagePage, err = pager.Close(resolve); err != nil {
		return fmt.Errorf("capture: usage: %w", err)
	}
	return nil
}

// countRoots counts what the root page refers to, and off what the parent's did.
func (b *builder) countRoots() error {
	pages := map[int64][]byte{1: b.rootPage}
	if b.parent != nil {
		pages[-1] = b.parent.Point.Root
	}
	for n, page := range pages {
		p, err := catalog.ParsePage(page, pack.Block{})
		if err != nil {
			return fmt.Errorf("capture: root page: %w", err)
		}
		if err := b.delta.addPage(p, n); err != nil {
			return err
		}
	}
	return nil
}

// usage pages the usage of the new tree: the parent's, and what differs.
func (b *builder) usage(ctx context.Context) (*catalog.UsagePager, error) {
	var old *oldPages
	var rows *catalog.UsageRows
	if b.parent != nil {
		var err error
		if old, err = readOldUsage(ctx, b.parent); err != nil {
			return nil, err
		}
		if rows, err = catalog.OpenUsage(b.parent.Pages, b.parent.Point.Usage); err != nil {
			return nil, err
		}
	}
	pager := catalog.NewUsagePager(func(d *catalog.Draft) (catalog.Ref, error) {
		ref, err := b.keepUncounted(ctx, d, old)
		return ref.Ref, err
	})
	return pager, catalog.MergeUsage(ctx, rows, b.delta.sorted(), pager.Add)
}

// unreadable collects the nodes that could not be captured whole. It is the
// builder's until that is done.
type unreadable struct {
	count uint64
	dirs  uint64 // of count, directories
	list  []catalog.Unreadable
}

// maxUnreadable is how many of them a point lists.
const maxUnreadable = 1000

func (u *unreadable) add(path, reason string, t catalog.Type) {
	u.count++
	if t == catalog.Dir {
		u.dirs++
	}
	if len(u.list) < maxUnreadable {
		u.list = append(u.list, catalog.Unreadable{Path: path, Reason: reason})
	}
}

// sorted returns the list by path.
func (u *unreadable) sorted() []catalog.Unreadable {
	slices.SortFunc(u.list, func(a, b catalog.Unreadable) int { return cmp.Compare(a.Path, b.Path) })
	return u.list
}
