package fusefs

import (
	"context"
	"fmt"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"tidemark/catalog"
)

// interruptible returns a context that ends when the request is interrupted.
func interruptible(cancel <-chan struct{}) context.Context { return &fuse.Context{Cancel: cancel} }

// Lookup finds a name in a directory.
func (m *mount) Lookup(cancel <-chan struct{}, in *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	ctx := interruptible(cancel)
	dir, err := m.find(ctx, in.NodeId)
	if err != nil {
		return m.status(ctx, "lookup", name, err)
	}
	if len(name) > catalog.MaxNameLen {
		return m.status(ctx, "lookup", dir.where(), errNameTooLong)
	}
	n, err := m.lookup(ctx, dir, name)
	if notThere(err) && dir.spot == nil {
		out.SetEntryTimeout(forever) // a name that never will be; NodeId 0 says so
		return fuse.OK
	}
	if err != nil {
		return m.status(ctx, "lookup", join(dir.where(), name), err)
	}
	m.fill(out, n)
	return fuse.OK
}

func (m *mount) lookup(ctx context.Context, dir *node, name string) (*node, error) {
	switch {
	case dir.spot == nil:
		return m.childOf(ctx, dir, name)
	case dir.spot.dir == nil:
		return nil, fmt.Errorf("fusefs: %q: %w", dir.spot.path, catalog.ErrNotDirectory)
	}
	s, err := dir.spot.dir.child(ctx, name)
	if err != nil {
		return nil, err
	}
	return m.spotNode(ctx, s)
}

// fill describes n to the kernel, as an entry of its directory.
func (m *mount) fill(out *fuse.EntryOut, n *node) {
	out.NodeId = n.id
	out.Attr = m.attr(n)
	entry, attr := m.validity(n)
	out.SetEntryTimeout(entry)
	out.SetAttrTimeout(attr)
}

// Forget is told what the kernel does not hold any more. Nothing is held here.
func (m *mount) Forget(nodeid, nlookup uint64) {}

// GetAttr returns the attributes of a node.
func (m *mount) GetAttr(cancel <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	ctx := interruptible(cancel)
	n, err := m.find(ctx, in.NodeId)
	if err != nil {
		return m.status(ctx, "stat", "", err)
	}
	out.Attr = m.attr(n)
	_, attr := m.validity(n)
	out.SetTimeout(attr)
	return fuse.OK
}

// Statx is GetAttr with the birth time.
func (m *mount) Statx(cancel <-chan struct{}, in *fuse.StatxIn, out *fuse.StatxOut) fuse.Status {
	ctx := interruptible(cancel)
	n, err := m.find(ctx, in.NodeId)
	if err != nil {
		return m.status(ctx, "stat", "", err)
	}
	a := m.attr(n)
	out.Statx = fuse.Statx{
		Mask: unix.STATX_BASIC_STATS, Blksize: a.Blksize, Nlink: a.Nlink,
		Uid: a.Uid, Gid: a.Gid, Mode: uint16(a.Mode), Ino: a.Ino, Size: a.Size, Blocks: a.Blocks,
		Atime:     fuse.SxTime{Sec: a.Atime, Nsec: a.Atimensec},
		Ctime:     fuse.SxTime{Sec: a.Ctime, Nsec: a.Ctimensec},
		Mtime:     fuse.SxTime{Sec: a.Mtime, Nsec: a.Mtimensec},
		RdevMajor: n.row.Major, RdevMinor: n.row.Minor,
	}
	if n.row.HasBtime {
		out.Mask |= unix.STATX_BTIME
		out.Btime = fuse.SxTime{Sec: uint64(n.row.Btime.Sec), Nsec: n.row.Btime.Nsec}
	}
	_, attr := m.validity(n)
	out.SetTimeout(attr)
	return fuse.OK
}

// Readlink returns where a symlink leads.
func (m *mount) Readlink(cancel <-chan struct{}, in *fuse.InHeader) ([]byte, fuse.Status) {
	ctx := interruptible(cancel)
	n, err := m.find(ctx, in.NodeId)
	if err != nil {
		return nil, m.status(ctx, "readlink", "", err)
	}
	switch {
	case n.spot != nil && n.spot.target != "":
		return []byte(n.spot.target), fuse.OK
	case n.spot != nil || n.row.Type != catalog.Symlink:
		return nil, m.status(ctx, "readlink", n.where(), errNotLink)
	case n.row.Unreadable != "":
		return nil, m.status(ctx, "readlink", n.where(), unreadable(n))
	}
	return []byte(n.row.Target), fuse.OK
}

// unreadable is the error of who wants the content of what has none.
func unreadable(n *node) error { return fmt.Errorf("%w: %s", catalog.ErrUnreadable, n.row.Unreadable) }

// Access is asked only while the kernel does not check permissions itself:
// then whoever gets in may read everything, and it need not ask again, which
// is what ENOSYS says.
func (m *mount) Access(cancel <-chan struct{}, in *fuse.AccessIn) fuse.Status { return fuse.ENOSYS }

// StatFs says how large the point is that a node is in. Above the points all
// is 0, as in /proc: df leaves such a mount out, and nobody is warned of a
// filesystem that is full.
func (m *mount) StatFs(cancel <-chan struct{}, in *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	ctx := interruptible(cancel)
	*out = fuse.StatfsOut{Bsize: blockLen, Frsize: blockLen, NameLen: catalog.MaxNameLen}
	n, err := m.find(ctx, in.NodeId)
	if err != nil {
		return m.status(ctx, "statfs", "", err)
	}
	if n.spot == nil {
		all := n.point.tree.Root()
		total := all.Totals()
		out.Blocks = (total.Bytes + blockLen - 1) / blockLen
		out.Files = total.Names
	}
	return fuse.OK
}
