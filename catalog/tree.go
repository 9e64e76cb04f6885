package catalog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"tidemark/pack"
)

var (
	// ErrNotDirectory means that entries were asked of what has none.
	ErrNotDirectory = errors.New("not a directory")

	// ErrUnreadable means that the content of a node could not be captured.
	// The node exists, and what is known of it is right.
	ErrUnreadable = errors.New("could not be read when it was captured")

	// ErrNoRank means that a tree has no entry of a rank: it has fewer.
	ErrNoRank = errors.New("no entry of this rank")
)

// A Tree is the tree of a point. It holds the root page only: whatever is
// below is asked of its Pages each time, and checked: every page must be what
// the row that names it says. Methods may be called concurrently.
//
// Entries have ranks, their numbers in preorder: the root has 0, an entry the
// rank of its directory, plus 1, plus the names of all entries before it in
// the directory with what is below those. The totals in the pages make a rank
// as quick to find as a name.
type Tree struct {
	pages Pages
	root  Row
	page  *Page
}

// OpenTree returns the tree with a root page, as it stands in the point. The
// bytes must not change while the tree is in use.
func OpenTree(pages Pages, rootPage []byte) (*Tree, error) {
	p, err := ParsePage(rootPage, pack.Block{})
	if err != nil {
		return nil, fmt.Errorf("catalog: root of a point: %w", err)
	}
	if p.kind != DirPage || p.level != 0 || p.n != 1 || len(p.name(0)) > 0 {
		return nil, fmt.Errorf("catalog: root of a point: %w", p.damaged(flawf(pack.ReasonKind, "it is not one row without a name")))
	}
	root, err := p.Row(0)
	if err != nil {
		return nil, fmt.Errorf("catalog: root of a point: %w", err)
	}
	return &Tree{pages: pages, root: root, page: p}, nil
}

// Root returns the row of the source itself, whose rank is 0.
func (t *Tree) Root() Row { return t.root }

// RootPage returns the page of that one row.
func (t *Tree) RootPage() *Page { return t.page }

// Lookup returns the entry of dir with a name. Its error wraps fs.ErrNotExist
// if there is none, and never otherwise; [ErrNotDirectory] or [ErrUnreadable]
// if dir cannot have entries; [pack.ErrTooOld] if this entry needs a later
// version of the program.
func (t *Tree) Lookup(ctx context.Context, dir *Node, name string) (Node, error) {
	n, _, err := t.LookupRank(ctx, dir, 0, name)
	return n, err
}

// LookupRank is Lookup in a directory whose rank is dirRank. It also returns
// the entry's rank.
func (t *Tree) LookupRank(ctx context.Context, dir *Node, dirRank uint64, name string) (Node, uint64, error) {
	c, err := t.entries(ctx, dir)
	if err != nil {
		return Node{}, 0, err
	}
	found := false
	if c != nil {
		if found, err = c.seekName(ctx, name); err != nil {
			return Node{}, 0, err
		}
	}
	if !found {
		return Node{}, 0, fmt.Errorf("catalog: %q: %w", name, fs.ErrNotExist)
	}
	p, i := c.row()
	n, err := p.Node(i)
	return n, dirRank + 1 + c.pos, err
}

// entries returns a cursor at the first entry of dir, or nil if it is empty.
func (t *Tree) entries(ctx context.Context, dir *Node) (*cursor, error) {
	switch {
	case dir.Type != Dir:
		return nil, fmt.Errorf("catalog: %q, a %v: %w", dir.Name, dir.Type, ErrNotDirectory)
	case dir.Unreadable != "":
		return nil, unreadable(dir)
	case dir.Below.Names == 0:
		return nil, nil
	}
	return openCursor(ctx, t.pages, DirPage, &Branch{Ref: dir.Child, Sums: dirSums(dir.Below)})
}

func unreadable(n *Node) error {
	return fmt.Errorf("catalog: %q: %w: %s", n.Name, ErrUnreadable, n.Unreadable)
}

// Resolve returns the node at a path below the root: names joined by "/", as
// bytes; "" is the root. Errors are those of Lookup.
func (t *Tree) Resolve(ctx context.Context, path string) (Node, error) {
	n := t.root.Node
	if path == "" {
		return n, nil
	}
	for name := range strings.SplitSeq(path, "/") {
		var err error
		if n, err = t.Lookup(ctx, &n, name); err != nil {
			return Node{}, fmt.Errorf("catalog: path %q: %w", path, err)
		}
	}
	return n, nil
}

// AtRank returns the entry of a rank, with all above it: first the root, last
// the entry. Its error wraps [ErrNoRank] if the tree has fewer entries.
func (t *Tree) AtRank(ctx context.Context, rank uint64) ([]Node, error) {
	n := t.root.Node
	path := []Node{n}
	for left := rank; left > 0; n = path[len(path)-1] {
		left-- // from here on it counts from the first entry of n
		if n.Type != Dir || n.Unreadable != "" || left >= n.Below.Names {
			return nil, fmt.Errorf("catalog: rank %d: %w", rank, ErrNoRank)
		}
		c, err := t.entries(ctx, &n)
		if err != nil {
			return nil, err
		}
		if _, err := c.seek(ctx, left); err != nil {
			return nil, err
		}
		p, i := c.row() // there is one: the sums of the pages are those of n
		entry, err := p.Node(i)
		if err != nil {
			return nil, err
		}
		path = append(path, entry)
		left -= c.pos
	}
	return path, nil
}

// A Listing is the entries of a directory in the order of their names, from
// some entry on. It is for one goroutine.
type Listing struct {
	tree  *Tree
	dir   Node
	seek  func(context.Context, *cursor) error // to the first entry; nil when done
	c     *cursor                              // nil before the first entry was sought, and in an empty directory
	names names
	rank  uint64
}

// List returns the entries of dir whose names come after a name; after "",
// all of them.
func (t *Tree) List(dir *Node, after string) *Listing {
	return &Listing{tree: t, dir: *dir, seek: func(ctx context.Context, c *cursor) error {
		if after == "" {
			return nil
		}
		found, err := c.seekName(ctx, after)
		if found {
			c.skip()
		}
		return err
	}}
}

// ListAt returns the entries of dir from the first whose rank, less that of
// dir, is not less than rank: with 1 (or 0), all of them. The rank of an entry
// plus its Totals().Names is the rank of the next.
func (t *Tree) ListAt(dir *Node, rank uint64) *Listing {
	return &Listing{tree: t, dir: *dir, seek: func(ctx context.Context, c *cursor) error {
		if rank < 2 {
			return nil
		}
		found, err := c.seek(ctx, rank-1)
		if found && c.pos < rank-1 {
			c.skip() // rank is below this entry
		}
		return err
	}}
}

// Next returns the next entry. It reports false after the last.
//
// If one entry cannot be decoded, the error is about that one and the next
// call returns the one after it; a Row that needs a later version of the
// program, [pack.ErrTooOld], has its Name and Type. After any other error the
// next call tries again.
func (l *Listing) Next(ctx context.Context) (Row, bool, error) {
	if l.seek != nil {
		if err := l.begin(ctx); err != nil {
			return Row{}, false, err
		}
	}
	if l.c == nil {
		return Row{}, false, nil
	}
	ok, err := l.c.leaf(ctx)
	if err != nil || !ok {
		return Row{}, false, err
	}
	p, i := l.c.row()
	l.rank = l.c.pos + 1
	l.c.skip()
	var r Row
	err = p.readRow(i, &r, &l.names)
	return r, true, err
}

func (l *Listing) begin(ctx context.Context) error {
	c, err := l.tree.entries(ctx, &l.dir)
	if err != nil {
		return err
	}
	if c != nil {
		if err := l.seek(ctx, c); err != nil {
			return err
		}
	}
	l.c, l.seek = c, nil
	return nil
}

// Rank returns the rank of the entry that Next returned last, less that of
// the directory: 1 for its first entry.
func (l *Listing) Rank() uint64 { return l.rank }
