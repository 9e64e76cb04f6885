package fusefs

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"math"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"tidemark/catalog"
)

// How long the kernel may keep what it was told. Below a point nothing ever
// changes; above, a new point is to be seen at once.
const (
	forever = time.Duration(math.MaxInt64) // the kernel takes it for as long as it can count
	awhile  = time.Second
)

// blockLen is what a block of a file takes: st_blocks are those of a
// filesystem of 4 KiB blocks, so that du says of a file what it said where the
// file came from.
const blockLen = 4096

// preferredLen is st_blksize, in bytes: what programs like to read at a time.
const preferredLen = 128 << 10

// maxHoleExtents bounds how many extents are looked at to count the bytes of a
// file that has holes: 8 GiB of content at the usual chunks, in a dozen fetches.
// A file that has more, and holes that are just its zero extents, is shown
// as if it had none.
const maxHoleExtents = 32 << 10

// attr returns the attributes of n.
func (m *mount) attr(n *node) fuse.Attr {
	if n.spot != nil {
		return m.spotAttr(n)
	}
	r := &n.row
	a := fuse.Attr{
		Ino:     n.inode,
		Size:    r.Size,
		Blocks:  (n.alloc + blockLen - 1) / blockLen * (blockLen / 512),
		Mode:    typeBits(r.Type) | uint32(r.Mode),
		Nlink:   max(r.Links, 1),
		Owner:   fuse.Owner{Uid: r.UID, Gid: r.GID},
		Blksize: preferredLen,
	}
	a.Mtime, a.Mtimensec = uint64(r.Mtime.Sec), r.Mtime.Nsec
	a.Ctime, a.Ctimensec = uint64(r.Ctime.Sec), r.Ctime.Nsec
	a.Atime, a.Atimensec = a.Mtime, a.Mtimensec // it is not kept
	switch r.Type {
	case catalog.Dir:
		// A link count of 1 says, as on btrfs, that it does not count the
		// directories in it: find must not conclude that there are none.
		a.Size = blockLen
	case catalog.Symlink:
		a.Size = uint64(len(r.Target))
	case catalog.CharDevice, catalog.BlockDevice:
		a.Rdev = uint32(unix.Mkdev(r.Major, r.Minor))
	}
	return a
}

func (m *mount) spotAttr(n *node) fuse.Attr {
	s := n.spot
	a := fuse.Attr{Ino: n.inode, Nlink: 1, Owner: m.owner, Blksize: preferredLen}
	switch {
	case s.dir != nil:
		a.Mode, a.Size = unix.S_IFDIR|0o555, blockLen
	case s.target != "":
		a.Mode, a.Size = unix.S_IFLNK|0o777, uint64(len(s.target))
	default:
		a.Mode, a.Size = unix.S_IFREG|0o444, uint64(len(s.text))
	}
	at := s.time
	if at.IsZero() {
		at = m.born
	}
	a.SetTimes(&at, &at, &at)
	return a
}

// typeBits returns the bits of a mode that say what a node is.
func typeBits(t catalog.Type) uint32 {
	switch t {
	case catalog.Dir:
		return unix.S_IFDIR
	case catalog.Symlink:
		return unix.S_IFLNK
	case catalog.Fifo:
		return unix.S_IFIFO
	case catalog.Socket:
		return unix.S_IFSOCK
	case catalog.CharDevice:
		return unix.S_IFCHR
	case catalog.BlockDevice:
		return unix.S_IFBLK
	}
	return unix.S_IFREG
}

// allocated returns how many bytes of a file are not holes. It waits only if
// countsZeros says so. A list of extents that cannot be read is left to who
// reads the file.
func allocated(ctx context.Context, t *catalog.Tree, r *catalog.Row) (uint64, error) {
	bytes := r.Size
	switch {
	case r.Type != catalog.File:
		return 0, nil
	case r.Unreadable != "":
		return bytes, nil
	case r.Alloc == catalog.HolesListed:
		for _, h := range r.Holes {
			bytes -= h.Len
		}
		return bytes, nil
	case r.Alloc != catalog.HolesZero || r.ExtentCount > maxHoleExtents:
		return bytes, nil
	}
	for extents := t.Extents(&r.Node, 0); ; {
		_, x, ok, err := extents.Next(ctx)
		switch {
		case ctx.Err() != nil:
			return 0, ctx.Err()
		case err != nil:
			return r.Size, nil
		case !ok:
			return bytes, nil
		case x.Zero:
			bytes -= x.Len
		}
	}
}

// countsZeros reports whether allocated reads a file's list of extents.
func countsZeros(r *catalog.Row) bool {
	return r.Alloc == catalog.HolesZero && !r.List.IsZero() && r.ExtentCount <= maxHoleExtents
}

// inode returns the st_ino of an entry: a hash of what makes it the same file.
//
// That is its path below the point and all that is said of it but hints and
// places: type, owner, times, content … . Without the path two equal files of
// one point would be links of each other, which cp and tar would make of them.
// With the metadata, a file whose permissions alone changed is not taken for
// the same one. Names of one file share its link group in place of the path.
//
// What is to have a number of its own has the place and the point in it. The
// numbers are the same at the next mount, for programs that remember them.
func (m *mount) inode(p *point, path string, n *catalog.Node) uint64 {
	b := make([]byte, 0, 1024)
	shared := m.cfg.Inodes == InodesShared || m.cfg.Inodes == InodesFiles && n.Type != catalog.Dir
	if path == "" {
		shared = false // two points are never the same
	}
	if shared {
		b = appendText(append(b, 's'), p.host, p.source())
	} else {
		b = appendText(append(b, 'u'), p.pointKey.path, p.object)
	}
	if n.Links > 0 {
		b = append(append(b, 'l'), n.Link[:]...)
	} else {
		b = appendText(append(b, 'p'), path)
	}
	if shared {
		b = appendIdentity(b, n)
	}
	return inodeOf(b)
}

// inodeAbove returns the st_ino of a spot.
func inodeAbove(line string) uint64 { return inodeOf(appendText([]byte{'a'}, line)) }

// inodeOf returns an inode number. Of a good hash 64 bits are enough: of a
// hundred million files no two are taken for one, with odds of 1 to 3,000. Small
// numbers are left out: programs give a meaning to some.
func inodeOf(b []byte) uint64 {
	sum := sha256.Sum256(b)
	ino := binary.LittleEndian.Uint64(sum[:])
	if ino <= math.MaxUint32 {
		ino |= 1 << 32
	}
	return ino
}

// appendText appends texts so that no two lists of them give the same bytes.
func appendText[T string | []byte](b []byte, texts ...T) []byte {
	for _, s := range texts {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	return b
}

// appendIdentity appends what is said of n, without its name, hints and
// places, so that no two nodes give the same bytes.
func appendIdentity(b []byte, n *catalog.Node) []byte {
	for _, v := range []uint64{
		uint64(n.Type), uint64(n.Mode), uint64(n.UID), uint64(n.GID),
		uint64(n.Mtime.Sec), uint64(n.Mtime.Nsec), bit(n.HasBtime), uint64(n.Btime.Sec), uint64(n.Btime.Nsec),
		uint64(n.Links), uint64(n.Xflags), uint64(n.Project),
		n.Size, uint64(len(n.Extents)), n.ExtentCount, uint64(n.List.Level),
		n.Below.Names, n.Below.Files, n.Below.Dirs, n.Below.Bytes, uint64(n.Child.Level),
		uint64(n.Major), uint64(n.Minor), uint64(len(n.Xattrs)), uint64(len(n.Ext)),
	} {
		b = binary.AppendUvarint(b, v)
	}
	b = appendText(b, n.Owner, n.Group, n.Unreadable, n.Target)
	b = appendText(b, n.Inline)
	b = append(append(b, n.List.ID[:]...), n.Child.ID[:]...)
	for i := range n.Extents {
		b = binary.AppendUvarint(b, n.Extents[i].Len)
		b = append(b, n.Extents[i].ID[:]...) // zero of a zero extent
	}
	for i := range n.Xattrs {
		x := &n.Xattrs[i]
		b = appendText(b, x.Name)
		b = appendText(b, x.Value)
		b = binary.AppendUvarint(b, uint64(x.Len))
		b = append(b, x.ID[:]...)
	}
	for i := range n.Ext {
		b = binary.AppendUvarint(b, uint64(n.Ext[i].ID))
		b = appendText(b, n.Ext[i].Value)
	}
	return b
}

func bit(set bool) uint64 {
	if set {
		return 1
	}
	return 0
}
