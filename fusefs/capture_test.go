package fusefs_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tidemark/catalog"
)

// captured reads a directory of this machine, without hurry, as a tree to be
// written: what a real tree has of names, nodes, holes and attributes, the
// tree in the mount is to have, too.
func captured(t *testing.T, dir string) *entry {
	t.Helper()
	c := capturing{t: t, links: map[uint64]catalog.LinkGroup{}}
	root := c.read(dir)
	root.Name = ""
	return root
}

type capturing struct {
	t     *testing.T
	links map[uint64]catalog.LinkGroup // by inode number
}

func (c capturing) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c capturing) read(path string) *entry {
	c.t.Helper()
	var st unix.Stat_t
	c.must(unix.Lstat(path, &st))
	e := &entry{}
	e.Name, e.Mode = filepath.Base(path), uint16(st.Mode&0o7777)
	e.UID, e.GID = st.Uid, st.Gid
	e.Mtime, e.Ctime = catalogTime(st.Mtim), catalogTime(st.Ctim)
	e.Ino = st.Ino
	e.Xattrs = c.xattrs(path)
	if st.Mode&unix.S_IFMT != unix.S_IFDIR && st.Nlink > 1 {
		group, seen := c.links[st.Ino]
		if !seen {
			group = catalog.LinkGroup{byte(len(c.links)), byte(len(c.links) >> 8), 1}
			c.links[st.Ino] = group
		}
		e.Link, e.Links = group, uint32(st.Nlink)
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		e.Type = catalog.File
		var err error
		e.content, err = os.ReadFile(path)
		c.must(err)
		e.Alloc, e.Holes = c.holes(path, st.Size)
	case unix.S_IFDIR:
		e.Type = catalog.Dir
		names, err := os.ReadDir(path) // sorted
		c.must(err)
		e.children = func(yield func(*entry) bool) {
			for _, n := range names {
				if !yield(c.read(path + "/" + n.Name())) {
					return
				}
			}
		}
	case unix.S_IFLNK:
		e.Type = catalog.Symlink
		var err error
		e.Target, err = os.Readlink(path)
		c.must(err)
	case unix.S_IFIFO:
		e.Type = catalog.Fifo
	case unix.S_IFSOCK:
		e.Type = catalog.Socket
	case unix.S_IFCHR:
		e.Type, e.Major, e.Minor = catalog.CharDevice, unix.Major(st.Rdev), unix.Minor(st.Rdev)
	case unix.S_IFBLK:
		e.Type, e.Major, e.Minor = catalog.BlockDevice, unix.Major(st.Rdev), unix.Minor(st.Rdev)
	}
	return e
}

func catalogTime(ts unix.Timespec) catalog.Time {
	return catalog.Time{Sec: ts.Sec, Nsec: uint32(ts.Nsec)}
}

func (c capturing) xattrs(path string) []catalog.Xattr {
	c.t.Helper()
	list := make([]byte, 64<<10)
	n, err := unix.Llistxattr(path, list)
	c.must(err)
	var xattrs []catalog.Xattr
	for name := range strings.SplitSeq(strings.TrimSuffix(string(list[:n]), "\x00"), "\x00") {
		if name == "" {
			continue
		}
		value := make([]byte, 64<<10)
		n, err := unix.Lgetxattr(path, name, value)
		c.must(err)
		xattrs = append(xattrs, catalog.Xattr{Name: name, Value: value[:n]})
	}
	slices.SortFunc(xattrs, func(a, b catalog.Xattr) int { return strings.Compare(a.Name, b.Name) })
	return xattrs
}

// holes asks the filesystem where a file has holes.
func (c capturing) holes(path string, size int64) (catalog.Alloc, []catalog.Range) {
	c.t.Helper()
	f, err := os.Open(path)
	c.must(err)
	defer f.Close()
	var holes []catalog.Range
	for off := int64(0); off < size; {
		hole, err := f.Seek(off, unix.SEEK_HOLE)
		c.must(err)
		data, err := f.Seek(hole, unix.SEEK_DATA)
		if err != nil {
			data = size // the last one goes to the end
		}
		if hole < size {
			holes = append(holes, catalog.Range{Off: uint64(hole), Len: uint64(data - hole)})
		}
		off = data
	}
	if len(holes) == 0 {
		return catalog.HolesUnknown, nil
	}
	return catalog.HolesListed, holes
}

// generate makes a directory with every kind of node and awkward names.
func generate(t *testing.T, dir string) {
	t.Helper()
	c := capturing{t: t}
	write := func(name string, content []byte) {
		c.must(os.WriteFile(dir+"/"+name, content, 0o644))
	}
	write("empty", nil)
	write("inline", []byte("a few bytes\n"))
	write("small", pattern(3000))
	write("several", pattern(5*zeroLen+77))
	write("list", pattern(40*zeroLen+1))
	write("zeros", make([]byte, 6*zeroLen+5)) // written ones
	for _, name := range awkward {
		write(name, []byte(name))
	}

	sparse, err := os.Create(dir + "/sparse")
	c.must(err)
	for _, off := range []int64{0, 1 << 20, 1<<20 + 12288, 20 << 20} {
		_, err := sparse.WriteAt(pattern(5000), off)
		c.must(err)
	}
	c.must(sparse.Truncate(30<<20 + 1))
	c.must(sparse.Close())
	onlyHole, err := os.Create(dir + "/hole")
	c.must(err)
	c.must(onlyHole.Truncate(3<<20 + 100))
	c.must(onlyHole.Close())

	c.must(os.Symlink("inline", dir+"/link"))
	c.must(os.Symlink("../no/such/"+strings.Repeat("long/", 100), dir+"/dangling"))
	c.must(os.Symlink("b\xff\xfe", dir+"/l\xf1nk"))
	c.must(unix.Mkfifo(dir+"/fifo", 0o620))
	c.must(unix.Mknod(dir+"/socket", unix.S_IFSOCK|0o700, 0))
	c.must(unix.Mknod(dir+"/null", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
	c.must(unix.Mknod(dir+"/big", unix.S_IFCHR|0o600, int(unix.Mkdev(4000, 1_000_000))))
	c.must(unix.Mknod(dir+"/loop", unix.S_IFBLK|0o660, int(unix.Mkdev(7, 0))))

	c.must(os.Mkdir(dir+"/links", 0o755))
	write("links/one", pattern(1000))
	c.must(os.Link(dir+"/links/one", dir+"/links/two"))
	c.must(os.Link(dir+"/links/one", dir+"/three"))
	c.must(os.Link(dir+"/fifo", dir+"/links/fifo"))
	write("links/equal", pattern(1000)) // and no link

	deep := dir
	for i := range 60 {
		deep = fmt.Sprintf("%s/%d", deep, i)
		c.must(os.Mkdir(deep, 0o700))
	}
	c.must(os.WriteFile(deep+"/bottom", []byte("deep"), 0o600))
	c.must(os.Mkdir(dir+"/none", 0o755))
	c.must(os.Mkdir(dir+"/many", 0o2775))
	for i := range 500 {
		write(fmt.Sprintf("many/file %04d", i), pattern(i))
	}

	c.must(os.Chown(dir+"/small", 1234, 4321))
	c.must(os.Lchown(dir+"/link", 77, 88))
	c.must(os.Chmod(dir+"/small", 0o7751&0o777|os.ModeSetuid|os.ModeSetgid|os.ModeSticky))
	c.must(os.Chmod(dir+"/empty", 0))
	c.must(unix.Lsetxattr(dir+"/small", "user.note", []byte("a note"), 0))
	c.must(unix.Lsetxattr(dir+"/small", "user.empty", nil, 0))
	c.must(unix.Lsetxattr(dir+"/small", "trusted.secret", []byte("for root"), 0))
	c.must(unix.Lsetxattr(dir+"/none", "user.dir", pattern(2000), 0))
	run(t, dir, `setcap cap_net_raw+ep $m/list && setfacl -m u:1234:r,g:99:rw $m/inline && setfacl -d -m u:77:rwx $m/many`)

	for name, at := range map[string]unix.Timespec{
		"inline": {Sec: 1e9, Nsec: 123456789}, "empty": {Sec: -1e9, Nsec: 999999999}, "list": {Sec: 5e9, Nsec: 1}, "link": {Sec: 3, Nsec: 4},
	} {
		c.must(unix.UtimesNanoAt(unix.AT_FDCWD, dir+"/"+name, []unix.Timespec{at, at}, unix.AT_SYMLINK_NOFOLLOW))
	}
}

// awkward are names that programs trip over.
var awkward = []string{
	" ", "-rf", "a\nb", "b\xff\xfe", "quote'\"", "star*", "tab\t", "back\\slash", "\xc3\xa9", "e\xcc\x81", ".hidden", "...", "~",
	"\x01\x7f", "$(id)", strings.Repeat("n", 255),
}

// pattern returns n bytes without runs of zeros, other ones for each n.
func pattern(n int) []byte {
	b := make([]byte, n)
	x := uint32(n)*2654435761 + 1
	for i := range b {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		b[i] = byte(x)
	}
	return b
}
