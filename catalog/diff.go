package catalog

import (
	"bytes"
	"context"
	"slices"

	"tidemark/pack"
)

// A ChangeKind says how a path differs between two trees.
type ChangeKind uint8

// The kinds of change.
const (
	Added        ChangeKind = 1 + iota // not in the old tree
	Removed                            // not in the new tree
	Modified                           // content, target or device number differ
	TypeChanged                        // a file became a directory, …
	MetadataOnly                       // only owner, times, permissions, xattrs … differ
)

// String returns the word for k: "added" …
func (k ChangeKind) String() string {
	words := [...]string{"", "added", "removed", "modified", "type changed", "metadata only"}
	if k < Added || k > MetadataOnly {
		return "unknown"
	}
	return words[k]
}

// A Change is one path that differs. Old is nil if it was added, New if it was
// removed.
type Change struct {
	Path     string // below the nodes compared, whose own path is ""
	Kind     ChangeKind
	Old, New *Node
}

// A Side is one of two versions to compare: a node of a tree, or nothing if
// Node is nil.
type Side struct {
	Tree *Tree
	Node *Node
}

// DiffOptions are the options of [Diff].
type DiffOptions struct {
	// TopOnly leaves out what is below a directory that was added, removed,
	// or changed its type. Its Below says how much that is.
	TopOnly bool
}

// Diff calls fn for each path that differs between two versions, a directory
// before what is below it, entries in the order of their names. It stops at
// the first error of fn. Pages that both versions have are not read, so the
// cost follows the differences.
//
// Contents are compared by their ids. Equal ids are equal contents; but a file
// that was captured under two epochs of a group's key has other ids in each,
// and counts as modified though its bytes may be the same. An unreadable
// content differs from every readable one. The directory itself is modified
// only in its metadata. Which names are linked to each other is not compared,
// how many they are is.
func Diff(ctx context.Context, a, b Side, opt DiffOptions, fn func(Change) error) error {
	d := &differ{opt: opt, fn: fn}
	return d.nodes(ctx, a, b, "")
}

type differ struct {
	opt DiffOptions
	fn  func(Change) error
}

func (d *differ) nodes(ctx context.Context, a, b Side, path string) error {
	if a.Node == nil && b.Node == nil {
		return nil
	}
	kind, err := compareNodes(ctx, a, b)
	if err != nil {
		return err
	}
	if kind != 0 {
		if err := d.fn(Change{Path: path, Kind: kind, Old: a.Node, New: b.Node}); err != nil {
			return err
		}
	}
	switch {
	case kind == Modified || kind == MetadataOnly || kind == 0: // also what a directory that was unreadable has now
		return d.entries(ctx, a, b, path)
	case d.opt.TopOnly:
		return nil
	}
	if err := d.entries(ctx, a, Side{}, path); err != nil {
		return err
	}
	return d.entries(ctx, Side{}, b, path)
}

// compareNodes returns how b differs from a, or 0. What is below a directory
// does not count.
func compareNodes(ctx context.Context, a, b Side) (ChangeKind, error) {
	switch {
	case a.Node == nil:
		return Added, nil
	case b.Node == nil:
		return Removed, nil
	case a.Node.Type != b.Node.Type:
		return TypeChanged, nil
	}
	same, err := sameContent(ctx, a, b)
	switch {
	case err != nil:
		return 0, err
	case !same:
		return Modified, nil
	case !sameMetadata(a.Node, b.Node):
		return MetadataOnly, nil
	}
	return 0, nil
}

// entries compares the entries of directories. A side that has none, for
// whatever reason but damage, is empty.
func (d *differ) entries(ctx context.Context, a, b Side, path string) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if a.hasEntries() && b.hasEntries() && a.Node.Child.ID == b.Node.Child.ID {
		return nil
	}
	ca, err := a.entries(ctx)
	if err != nil {
		return err
	}
	cb, err := b.entries(ctx)
	if err != nil {
		return err
	}
	return mergeRows(ctx, ca, cb, func(inA, inB bool) error {
		var err error
		na, nb := Side{Tree: a.Tree}, Side{Tree: b.Tree}
		if inA {
			if na.Node, err = ca.node(); err != nil {
				return err
			}
		}
		if inB {
			if nb.Node, err = cb.node(); err != nil {
				return err
			}
		}
		return d.nodes(ctx, na, nb, joinPath(path, na, nb))
	})
}

func joinPath(path string, a, b Side) string {
	n := a.Node
	if n == nil {
		n = b.Node
	}
	if path == "" {
		return n.Name
	}
	return path + "/" + n.Name
}

func (s Side) hasEntries() bool {
	return s.Node != nil && s.Node.Type == Dir && s.Node.Unreadable == "" && s.Node.Below.Names > 0
}

// entries returns a cursor at the first entry; at its end if there is none.
func (s Side) entries(ctx context.Context) (*cursor, error) {
	if !s.hasEntries() {
		return new(cursor), nil
	}
	return s.Tree.entries(ctx, s.Node)
}

// node decodes the row of a directory that the cursor is at.
func (c *cursor) node() (*Node, error) {
	p, i := c.row()
	n, err := p.Node(i)
	return &n, err
}

// mergeRows calls fn for each leaf row that is in one sequence only or not
// equal in both: fn is told which, and finds it at the cursor. Rows of both
// have equal keys. Pages with equal ids are passed over.
func mergeRows(ctx context.Context, a, b *cursor, fn func(inA, inB bool) error) error {
	for {
		inA, inB := a.settle(), b.settle()
		if !inA && !inB {
			return nil
		}
		order := compareItems(a, b, inA, inB)
		inA, inB = order <= 0, order >= 0
		if inA && inB {
			if a.sameItem(b) {
				a.skip()
				b.skip()
				continue
			}
			// Descend on the side that is further from the leaves, or on either.
			inA, inB = a.level() >= b.level(), b.level() >= a.level()
		}
		if inA && a.level() > 0 {
			if err := a.descend(ctx); err != nil {
				return err
			}
			continue
		}
		if inB && b.level() > 0 {
			if err := b.descend(ctx); err != nil {
				return err
			}
			continue
		}
		if err := fn(inA, inB); err != nil {
			return err
		}
		if inA {
			a.skip()
		}
		if inB {
			b.skip()
		}
	}
}

// compareItems returns the order of the first keys of the items; an end comes
// after everything.
func compareItems(a, b *cursor, inA, inB bool) int {
	switch {
	case !inA:
		return 1
	case !inB:
		return -1
	}
	pa, ia := a.row()
	pb, ib := b.row()
	return pa.compareKeys(pa.key(ia), pb.key(ib))
}

func (c *cursor) level() uint8 {
	p, _ := c.row()
	return p.level
}

// sameItem reports whether two items are the same: rows of equal bytes, which
// name pages by their ids.
func (c *cursor) sameItem(o *cursor) bool {
	p, i := c.row()
	q, j := o.row()
	return p.level == q.level && bytes.Equal(p.row(i), q.row(j))
}

// sameContent compares what is no metadata of two nodes of one type.
func sameContent(ctx context.Context, a, b Side) (bool, error) {
	x, y := a.Node, b.Node
	switch {
	case (x.Unreadable != "") != (y.Unreadable != "") || x.Size != y.Size:
		return false, nil
	case x.Unreadable != "" || x.Type == Dir:
		return true, nil
	case x.Type != File:
		return x.Target == y.Target && x.Major == y.Major && x.Minor == y.Minor, nil
	}
	switch form := x.form(); {
	case form != y.form():
		return false, nil
	case form == formInline:
		return bytes.Equal(x.Inline, y.Inline), nil
	case form == formExtents:
		return slices.EqualFunc(x.Extents, y.Extents, sameExtent), nil
	case x.List.ID == y.List.ID:
		return true, nil
	case x.ExtentCount != y.ExtentCount:
		return false, nil
	}
	return sameLists(ctx, a, b)
}

func sameExtent(x, y Extent) bool { return x.Zero == y.Zero && x.Len == y.Len && x.ID == y.ID }

// sameLists compares two lists of extents whose root pages have other ids.
// Those can be the same extents in pages of two epochs.
func sameLists(ctx context.Context, a, b Side) (bool, error) {
	ca, err := openCursor(ctx, a.Tree.pages, ListPage, listRoot(a.Node))
	if err != nil {
		return false, err
	}
	cb, err := openCursor(ctx, b.Tree.pages, ListPage, listRoot(b.Node))
	if err != nil {
		return false, err
	}
	for {
		// Both stand at the same position: they pass what is the same in both.
		if inA, inB := ca.settle(), cb.settle(); !inA || !inB {
			return inA == inB, nil
		}
		switch la, lb := ca.level(), cb.level(); {
		case ca.sameItem(cb):
			ca.skip()
			cb.skip()
		case la == 0 && lb == 0:
			return false, nil
		case la >= lb:
			if err := ca.descend(ctx); err != nil {
				return false, err
			}
		default:
			if err := cb.descend(ctx); err != nil {
				return false, err
			}
		}
	}
}

// sameMetadata compares all of two nodes but name, content, link group and
// what is below them.
func sameMetadata(x, y *Node) bool {
	return x.Mode == y.Mode && x.UID == y.UID && x.GID == y.GID && x.Owner == y.Owner && x.Group == y.Group &&
		x.Mtime == y.Mtime && x.HasBtime == y.HasBtime && x.Btime == y.Btime && x.Links == y.Links &&
		x.Xflags == y.Xflags && x.Project == y.Project && x.Unreadable == y.Unreadable &&
		slices.EqualFunc(x.Xattrs, y.Xattrs, func(x, y Xattr) bool {
			return x.Name == y.Name && bytes.Equal(x.Value, y.Value) && x.Len == y.Len && x.ID == y.ID
		}) &&
		slices.EqualFunc(x.Ext, y.Ext, func(x, y pack.Ext) bool { return x.ID == y.ID && bytes.Equal(x.Value, y.Value) })
}
