package fusefs

import (
	"context"
	"errors"
	"sync"

	"github.com/hanwen/go-fuse/v2/fuse"

	"tidemark/catalog"
	"tidemark/pack"
)

// Offsets in a directory: 0 is before ".", 1 before "..". In a directory of a
// point, offset 1+r is before the entry whose rank, less that of the
// directory, is r, or the first after it; so any offset is found again from
// the totals. Above the points, offset 2+i is before child i.
const firstEntry = 2

// An openDir is an open directory.
type openDir struct {
	node  *node
	spots []*spot // above the points: the children when it was opened

	mu   sync.Mutex
	last *position // where the last READDIR ended; nil while one is using it; guarded by mu
}

// A position is a place in the listing of a directory of a point, for one
// READDIR at a time.
type position struct {
	offset uint64 // of what comes next
	list   *catalog.Listing
	ahead  *entryAhead // what comes next, if it was taken from list already
}

// An entryAhead is an entry that did not fit.
type entryAhead struct {
	row   catalog.Row
	rank  uint64 // less that of the directory
	inode uint64 // 0: not known
	node  *node  // nil if no more is to be said than this
}

// OpenDir opens a directory.
func (m *mount) OpenDir(cancel <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	ctx := interruptible(cancel)
	d, err := m.openDir(ctx, in.NodeId)
	if err != nil {
		return m.status(ctx, "opendir", d.where(), err)
	}
	out.Fh = m.dirs.add(d)
	if d.node.spot == nil {
		out.OpenFlags = fuse.FOPEN_CACHE_DIR | fuse.FOPEN_KEEP_CACHE
	}
	return fuse.OK
}

// openDir opens the directory with a kernel id. With an error it returns what
// it knows.
func (m *mount) openDir(ctx context.Context, id uint64) (*openDir, error) {
	n, err := m.find(ctx, id)
	if err != nil {
		return &openDir{}, err
	}
	d := &openDir{node: n}
	switch {
	case n.spot != nil && n.spot.dir != nil:
		d.spots, err = n.spot.dir.children(ctx)
	case n.spot != nil || n.row.Type != catalog.Dir:
		err = catalog.ErrNotDirectory
	case n.row.Unreadable != "":
		err = unreadable(n)
	}
	return d, err
}

func (d *openDir) where() string {
	if d.node == nil {
		return ""
	}
	return d.node.where()
}

// ReleaseDir closes a directory.
func (m *mount) ReleaseDir(in *fuse.ReleaseIn) { m.dirs.remove(in.Fh) }

// ReadDir lists a directory from an offset on.
func (m *mount) ReadDir(cancel <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	return m.list(interruptible(cancel), in, lister{m, out, false})
}

// ReadDirPlus lists a directory with the attributes of what is in it.
func (m *mount) ReadDirPlus(cancel <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	return m.list(interruptible(cancel), in, lister{m, out, true})
}

func (m *mount) list(ctx context.Context, in *fuse.ReadIn, out lister) fuse.Status {
	d, err := m.dirs.get(in.Fh, func(d *openDir) bool { return d.node.id == in.NodeId },
		func() (*openDir, error) { return m.openDir(ctx, in.NodeId) })
	if err != nil {
		return m.status(ctx, "readdir", "", err)
	}
	offset := in.Offset
	for _, name := range []string{".", ".."}[min(offset, firstEntry):] {
		offset++
		if !out.dot(name, d.node, offset) {
			return fuse.OK
		}
	}
	if d.node.spot != nil {
		err = m.listSpots(ctx, d, offset, out)
	} else {
		err = m.listEntries(ctx, d, offset, out)
	}
	if err != nil && len(out.list.Bytes()) > 0 {
		return fuse.OK // the next call will come to it again
	}
	return m.status(ctx, "readdir", d.where(), err)
}

func (m *mount) listSpots(ctx context.Context, d *openDir, offset uint64, out lister) error {
	for i := offset - firstEntry; i < uint64(len(d.spots)); i++ {
		n, err := m.spotNode(ctx, d.spots[i])
		if err != nil && ctx.Err() != nil {
			return err
		}
		if err != nil {
			n = nil // a point that cannot be opened is there all the same
		}
		offset++
		if !out.spot(d.spots[i], n, offset) {
			return nil
		}
	}
	return nil
}

func (m *mount) listEntries(ctx context.Context, d *openDir, offset uint64, out lister) error {
	at := d.take(offset)
	for {
		e, err := m.next(ctx, d, at)
		if err != nil {
			// The position is given up: from a new one, the same error comes
			// again, and no entry is passed over.
			return err
		}
		if e == nil {
			break
		}
		// A node that is too new for this program has no totals; inside it is
		// as good an offset as behind it.
		if !out.entry(e, at.offset+e.row.Totals().Names) {
			at.ahead = e
			break
		}
		at.offset += e.row.Totals().Names
	}
	d.put(at)
	return nil
}

// take returns a position at an offset: the last one, if that is there.
func (d *openDir) take(offset uint64) *position {
	d.mu.Lock()
	defer d.mu.Unlock()
	if at := d.last; at != nil && at.offset == offset {
		d.last = nil
		return at
	}
	return &position{offset: offset, list: d.node.point.tree.ListAt(&d.node.row.Node, offset-1)}
}

func (d *openDir) put(at *position) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.last = at
}

// next takes the next entry, or nil at the end, and moves at.offset to it.
func (m *mount) next(ctx context.Context, d *openDir, at *position) (*entryAhead, error) {
	if e := at.ahead; e != nil {
		at.ahead = nil
		return e, nil
	}
	row, ok, err := at.list.Next(ctx)
	tooNew := errors.Is(err, pack.ErrTooOld) && row.Name != ""
	if err != nil && !tooNew || !ok {
		return nil, err
	}
	e := &entryAhead{row: row, rank: at.list.Rank()}
	at.offset = 1 + e.rank
	if tooNew {
		return e, nil // stat will say so
	}
	path := join(d.node.path, row.Name)
	if countsZeros(&row) {
		e.inode = m.inode(d.node.point, path, &row.Node)
		return e, nil // stat will take the time to count
	}
	if e.node, err = m.entry(ctx, d.node.point, path, d.node.id&maxRank+e.rank, row); err != nil {
		return nil, err
	}
	e.inode = e.node.inode
	return e, nil
}

// A lister writes the entries of a READDIR or READDIRPLUS. Its methods say
// whether there was room.
type lister struct {
	m    *mount
	list *fuse.DirEntryList
	plus bool
}

func (l lister) dot(name string, dir *node, next uint64) bool {
	e := fuse.DirEntry{Name: name, Mode: fuse.S_IFDIR, Ino: dir.inode, Off: next}
	if name == ".." {
		e.Ino = fuse.FUSE_UNKNOWN_INO
	}
	return l.add(e, nil)
}

func (l lister) spot(s *spot, n *node, next uint64) bool {
	// A point that cannot be opened passes for a directory: of a type that is
	// not known, who lists would ask, and fail as a whole.
	e := fuse.DirEntry{Name: s.name(), Mode: fuse.S_IFDIR, Off: next}
	if n != nil {
		e.Ino, e.Mode = n.inode, l.m.attr(n).Mode
	}
	if s.target != "" {
		n = nil // the point that it leads to is opened when somebody looks at it
	}
	return l.add(e, n)
}

func (l lister) entry(a *entryAhead, next uint64) bool {
	return l.add(fuse.DirEntry{Name: a.row.Name, Mode: typeBits(a.row.Type), Ino: a.inode, Off: next}, a.node)
}

// add writes an entry. Without a node the kernel is told nothing about it, and
// will ask when somebody wants to know.
func (l lister) add(e fuse.DirEntry, n *node) bool {
	if !l.plus {
		return l.list.AddDirEntry(e)
	}
	out := l.list.AddDirLookupEntry(e)
	if out == nil {
		return false
	}
	if n != nil {
		l.m.fill(out, n)
	}
	return true
}
