package catalog

import (
	"fmt"

	"tidemark/chunk"
	"tidemark/pack"
)

// Limits of a node, docs/format.md, sections 10 and 19.
const (
	MaxNameLen            = 255       // bytes, of a name, of an xattr's name, of an owner's; what Linux allows
	MaxInlineLen          = 512       // bytes, of a content that is kept in its node
	MaxNodeExtents        = 8         // extents kept in the node; more are a list of their own
	MaxXattrCount         = 4096      // of one node
	MaxInlineXattr        = 4 << 10   // bytes, of a value that is kept in the node; a longer one is a chunk
	MaxXattrLen           = 64 << 10  // bytes, of a value; what Linux allows
	MaxTargetLen          = 4095      // bytes, of a symlink's target; PATH_MAX without its NUL
	MaxReasonLen          = 1<<16 - 1 // bytes, of the reason why a node is unreadable
	MaxFileLen            = 1<<63 - 1 // bytes, of a file; what off_t can say
	MaxRowLen             = 1 << 20   // bytes, of a row in the identity, and of a row's hints
	zeroAlign      uint64 = 64 << 10  // bytes; zero extents begin and end at multiples of it
)

// A Time is a time as filesystems keep it: seconds since 1970-01-01 UTC
// without leap seconds, and nanoseconds, below 1e9, to be added to them.
// time.Time has the same range but not one form a value.
type Time struct {
	Sec  int64
	Nsec uint32
}

// Compare returns -1, 0 or +1: whether t is before, at or after u.
func (t Time) Compare(u Time) int {
	switch {
	case t == u:
		return 0
	case t.Sec < u.Sec, t.Sec == u.Sec && t.Nsec < u.Nsec:
		return -1
	}
	return 1
}

// A Type is what a node is.
type Type uint8

// The types, with the numbers that the format gives them.
const (
	File Type = 1 + iota
	Dir
	Symlink
	Fifo
	Socket
	CharDevice
	BlockDevice
)

// String returns the word for t: "file", "directory" …
func (t Type) String() string {
	words := [...]string{"", "file", "directory", "symlink", "fifo", "socket", "character device", "block device"}
	if t < File || t > BlockDevice {
		return fmt.Sprintf("type %d", uint8(t))
	}
	return words[t]
}

// Totals are sums over everything below a directory, or below a page: names
// (a file of two names counts twice), regular files and directories among
// them, and the bytes of the files. A sum of bytes too large for a uint64 is
// the largest uint64; the others cannot be so large.
type Totals struct{ Names, Files, Dirs, Bytes uint64 }

// A Ref names a page below: a root page or a child. The zero Ref names none.
type Ref struct {
	ID    chunk.ID
	Level uint8 // 0: a leaf page
	Place pack.Place
}

// IsZero reports whether r names no page.
func (r Ref) IsZero() bool { return r == Ref{} }

// A LinkGroup is the random token that all names of one file share if it has
// several. It is carried on from point to point.
type LinkGroup [16]byte

// A Node is an entry of a tree: everything about a file, directory … but the
// hints of its row. What a field is not for is zero.
type Node struct {
	Name string // any bytes but NUL and "/"; empty only in the root of a point
	Type Type

	Mode         uint16 // permissions, set-id bits and sticky bit: the low 12 bits of st_mode
	UID, GID     uint32
	Owner, Group string // names of UID and GID on the host, "" if it had none
	Mtime        Time
	HasBtime     bool // whether the filesystem knew Btime, the birth time
	Btime        Time

	Link  LinkGroup // of a file that has several names, Links of them when it was captured
	Links uint32    // 0: the file is in no group

	Xflags  uint32 // inode flags as FS_IOC_FSGETXATTR gives them (fsx_xflags)
	Project uint32 // project id of quotas, from the same source
	Xattrs  []Xattr

	// Unreadable is why the content could not be captured; "" if it was. An
	// unreadable node has nothing of what follows, but a file has a Size.
	Unreadable string

	// Of a file: Size bytes, which are in Inline if there are at most
	// MaxInlineLen, in Extents if there are at most MaxNodeExtents of those,
	// else in the list of ExtentCount extents whose root page is List.
	Size        uint64
	Inline      []byte
	Extents     []Extent
	List        Ref
	ExtentCount uint64

	// Of a directory: what is below, and the root page of its entries, if any.
	Below Totals
	Child Ref

	Target       string // of a symlink
	Major, Minor uint32 // of a device

	Ext []pack.Ext // even ids only: a node with an odd one is refused
}

// Totals returns what n adds to the totals of the page it is in: itself and,
// if it is a directory, what is below it.
func (n *Node) Totals() Totals {
	switch n.Type {
	case File:
		return Totals{Names: 1, Files: 1, Bytes: n.Size}
	case Dir:
		t := n.Below // no overflow: rows with such totals are refused
		t.Names++
		t.Dirs++
		return t
	}
	return Totals{Names: 1}
}

// An Xattr is an extended attribute. A value of at most MaxInlineXattr bytes
// is in Value; a longer one is the chunk ID of Len bytes at Place.
type Xattr struct {
	Name  string
	Value []byte
	ID    chunk.ID
	Len   uint32 // 0 if Value holds the value
	Place pack.Place
}

// An Extent is a part of a file's content: Len bytes that are zero, or the
// chunk ID of Len bytes at Place.
type Extent struct {
	Zero  bool
	Len   uint64
	ID    chunk.ID
	Place pack.Place
}

// Hints are what a writer wants to remember of a node to see next time
// whether it changed, and where the holes of a file were. Nothing else rests
// on them.
type Hints struct {
	Ctime Time
	Ino   uint64

	// FS tells the filesystems of a source apart: 0 is that of its root, any
	// other is the CRC-32 (IEEE) of the path, below the source, of the
	// directory where it was entered.
	FS uint32

	Alloc Alloc
	Holes []Range // if Alloc is HolesListed: ascending, apart, not empty, within the file
}

// An Alloc says what is known of a file's holes.
type Alloc uint8

// The kinds of allocation, with the numbers that the format gives them.
const (
	HolesUnknown Alloc = iota // none is known; the only one for what is no file
	HolesZero                 // the zero extents are the holes
	HolesListed               // Holes lists them
)

// A Range is Len bytes of a file from Off.
type Range struct{ Off, Len uint64 }

// A Row is a row of a leaf page of a directory.
type Row struct {
	Node
	Hints
}
