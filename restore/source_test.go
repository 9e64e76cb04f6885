package restore_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// makeSource makes a tree with every kind of node and awkward name in dir. As
// root it has owners, devices, file capabilities and inode flags too.
func makeSource(t testing.TB, dir string) {
	t.Helper()
	s := &source{t, dir}
	s.contents()
	s.names()
	s.kinds()
	s.linked()
	s.modes()
	s.attributes()
	if os.Geteuid() == 0 {
		s.privileged()
	}
	s.times()
}

type source struct {
	t   testing.TB
	dir string
}

func (s *source) path(name string) string { return filepath.Join(s.dir, name) }

func (s *source) write(name string, content []byte) string {
	s.t.Helper()
	write(s.t, s.path(name), content)
	return s.path(name)
}

func (s *source) contents() {
	s.write("content/empty", nil)
	s.write("content/one byte", []byte("x"))
	s.write("content/inline", random(512))
	s.write("content/a chunk", random(513))
	s.write("content/zeros", make([]byte, 700<<10))
	s.write("content/list", random(7<<20))
	for i := range 200 {
		s.write(fmt.Sprintf("content/many/%d", i), random(i*13))
	}
	// Each part is n bytes of data, of zeros if it is negative, or a hole.
	sparse := func(name string, parts ...any) {
		f, err := os.Create(s.path("content/" + name))
		must(s.t, err)
		defer f.Close()
		pos := int64(0)
		for _, p := range parts {
			switch n := p.(type) {
			case hole:
				pos += int64(n)
				must(s.t, f.Truncate(pos))
			case int:
				b := make([]byte, max(n, -n))
				if n > 0 {
					b = random(n)
				}
				_, err := f.WriteAt(b, pos)
				must(s.t, err)
				pos += int64(len(b))
			}
		}
	}
	sparse("all a hole", hole(1<<20))
	sparse("hole at the end", 100<<10, hole(500<<10))
	sparse("hole first", hole(256<<10), 64<<10)
	sparse("holes that are the zeros", 64<<10, hole(128<<10), 64<<10, hole(64<<10), 5000)
	sparse("holes within chunks", 8<<10, hole(4<<10), 8<<10, hole(12<<10), 300<<10, hole(4<<10))
	sparse("zeros and holes", -(128 << 10), hole(128<<10), -(64 << 10), 100, hole(1<<20), 4<<10)
	sparse("holes in a list", 3<<20, hole(1<<20), -(1 << 20), hole(4096), 3<<20, hole(8192))
	sparse("very large", hole(1<<40), 4096)
}

type hole int64

func (s *source) names() {
	for _, name := range []string{
		"\xff\xfe not UTF-8 \x80", "new\nline", "-rf", " blank ", "~", "back\\slash", "\"'`$(x)", "*?[a]", "...",
		"\x01\x7f\x1b[31m", "ünïcödé 漢字 🌊", strings.Repeat("n", 255), strings.Repeat("漢", 85), ".tidemark-restore-not",
	} {
		s.write("names/"+name, []byte(name))
		must(s.t, os.MkdirAll(s.path("names/directories/"+name+"/"+name), 0o755))
	}
}

func (s *source) kinds() {
	must(s.t, os.MkdirAll(s.path("kinds/hollow"), 0o755))
	for name, target := range map[string]string{
		"dangling": "nowhere", "up": "../../../../../../etc/passwd", "root": "/", "self": "self", "odd": "\xff\n",
		"long": strings.Repeat("a/", 2047) + "b", "dir": "hollow",
	} {
		must(s.t, os.Symlink(target, s.path("kinds/"+name)))
	}
	must(s.t, unix.Mknod(s.path("kinds/fifo"), unix.S_IFIFO|0o640, 0))
	must(s.t, unix.Mknod(s.path("kinds/socket"), unix.S_IFSOCK|0o750, 0))
}

func (s *source) linked() {
	s.write("links/a/first", random(100<<10))
	for _, name := range []string{"links/a/second", "links/b/c/third", "zlast"} {
		must(s.t, os.MkdirAll(filepath.Dir(s.path(name)), 0o755))
		must(s.t, os.Link(s.path("links/a/first"), s.path(name)))
	}
	for i := range 20 {
		s.write(fmt.Sprintf("links/many/%d", i), []byte{byte(i)})
		must(s.t, os.Link(s.path(fmt.Sprintf("links/many/%d", i)), s.path(fmt.Sprintf("links/b/%d", 19-i))))
	}
}

func (s *source) modes() {
	for _, mode := range []uint32{0, 0o400, 0o777, 0o1666, 0o2755, 0o4711, 0o6755} {
		name := fmt.Sprintf("modes/%04o", mode)
		must(s.t, unix.Chmod(s.write(name, []byte("mode")), mode))
	}
	for _, mode := range []uint32{0o500, 0o1777, 0o2770, 0o3700} {
		name := fmt.Sprintf("modes/dir %04o", mode)
		s.write(name+"/inside", []byte("x"))
		must(s.t, unix.Chmod(s.path(name), mode))
	}
}

// An ACL, in the bytes of Linux: of the owner, user 1234, the group, the mask
// and others.
func testACL() []byte {
	b := binary.LittleEndian.AppendUint32(nil, 2)
	for _, e := range [][3]uint32{{1, 6, 1<<32 - 1}, {2, 7, 1234}, {4, 4, 1<<32 - 1}, {16, 7, 1<<32 - 1}, {32, 0, 1<<32 - 1}} {
		b = binary.LittleEndian.AppendUint16(b, uint16(e[0]))
		b = binary.LittleEndian.AppendUint16(b, uint16(e[1]))
		b = binary.LittleEndian.AppendUint32(b, e[2])
	}
	return b
}

func (s *source) attributes() {
	file := s.write("attributes/file", []byte("x"))
	dir := s.path("attributes/dir")
	must(s.t, os.Mkdir(dir, 0o755))
	s.set(file, "user.empty", nil)
	s.set(file, "user.\xff odd", []byte("\x00\xff"))
	s.set(file, "user.long", bytes.Repeat([]byte("long"), 500))
	s.set(dir, "user.comment", []byte("of a directory"))
	s.set(file, "system.posix_acl_access", testACL())
	s.set(dir, "system.posix_acl_access", testACL())
	s.set(dir, "system.posix_acl_default", testACL())
	s.write("attributes/dir/made before", []byte("inherits from the directory"))
	_ = unix.Removexattr(s.path("attributes/dir/made before"), "system.posix_acl_access")
	must(s.t, os.Chmod(s.path("attributes/dir/made before"), 0o640))
}

func (s *source) set(path, name string, value []byte) {
	s.t.Helper()
	must(s.t, unix.Lsetxattr(path, name, value, 0))
}

func (s *source) privileged() {
	must(s.t, unix.Mknod(s.path("kinds/null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
	must(s.t, unix.Mknod(s.path("kinds/disk"), unix.S_IFBLK|0o660, int(unix.Mkdev(4095, 1048575))))
	must(s.t, unix.Lchown(s.path("kinds/null"), 12, 34))
	must(s.t, unix.Lchown(s.path("kinds/dangling"), 1234, 5678))
	must(s.t, unix.Lchown(s.path("kinds/fifo"), 65534, 65533))
	must(s.t, unix.Lchown(s.path("kinds/hollow"), 4_000_000_000, 3_000_000_000))
	must(s.t, unix.Lchown(s.path("links/a/first"), 1234, 1234))
	must(s.t, unix.Lchown(s.path("modes/dir 2770"), 1234, 99))

	setuid := s.write("modes/setuid of another", []byte("#!"))
	must(s.t, os.Chown(setuid, 1234, 5678))
	must(s.t, unix.Chmod(setuid, 0o6755))

	// VFS_CAP_REVISION_2, effective, CAP_NET_BIND_SERVICE.
	capable := s.write("attributes/capable", []byte("#!"))
	must(s.t, os.Chown(capable, 1234, 5678))
	s.set(capable, "security.capability", binary.LittleEndian.AppendUint64(
		binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint32(nil, 0x02000001), 1<<10), 0))
	s.set(capable, "trusted.tidemark", []byte("for root"))
	s.set(s.path("kinds/dangling"), "trusted.tidemark", []byte("of a symlink"))
	s.set(s.path("kinds/fifo"), "trusted.tidemark", []byte("of a fifo"))
	s.set(s.path("kinds/null"), "security.tidemark", []byte("of a device"))

	s.write("flags/dir/inside", []byte("x"))
	s.write("flags/linked", []byte("x"))
	must(s.t, os.Link(s.path("flags/linked"), s.path("flags/again")))
	for name, flags := range map[string]uint32{
		"nodump": 0x80, "append": 0x10, "immutable": 0x8 | 0x40, "linked": 0x8, "dir": 0x8 | 0x80,
	} {
		path := s.path("flags/" + name)
		if name != "dir" && name != "linked" {
			s.write("flags/"+name, []byte("x"))
		}
		setFlags(s.t, path, flags)
		s.t.Cleanup(func() { setFlags(s.t, path, 0) })
	}
}

func (s *source) times() {
	for name, times := range map[string]unix.Timespec{
		"1901": {Sec: -1<<31 + 1, Nsec: 1}, "1969": {Sec: -1, Nsec: 999999999}, "1970": {}, "now": {Sec: 1_700_000_000, Nsec: 123456789},
		"2038": {Sec: 1 << 31}, "2106": {Sec: 1 << 32, Nsec: 5}, "2400": {Sec: 13_569_465_600, Nsec: 1},
	} {
		file := s.write("times/"+name, nil)
		must(s.t, os.Symlink("x", s.path("times/link "+name)))
		must(s.t, os.MkdirAll(s.path("times/dir "+name+"/inside"), 0o755))
		for _, path := range []string{file, s.path("times/link " + name), s.path("times/dir " + name)} {
			must(s.t, unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{times, times}, unix.AT_SYMLINK_NOFOLLOW))
		}
	}
	old := []unix.Timespec{{Sec: 1e9}, {Sec: 1e9, Nsec: 7}}
	must(s.t, unix.UtimesNanoAt(unix.AT_FDCWD, s.dir, old, 0))
}

// setFlags sets the inode flags of a file or directory, FS_XFLAG_*.
func setFlags(t testing.TB, path string, flags uint32) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		return // it is gone, or was never made
	}
	defer f.Close()
	x := struct {
		flags uint32
		_     [24]byte
	}{flags: flags}
	const fsIocFssetxattr = 0x401c5820
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), fsIocFssetxattr, uintptr(unsafe.Pointer(&x))); errno != 0 {
		t.Fatalf("set the inode flags of %s to %#x: %v", path, flags, errno)
	}
}

// clearFlags clears the inode flags that makeSource sets, for a directory to
// be removed.
func clearFlags(t testing.TB, dir string) {
	for _, name := range []string{"dir", "nodump", "append", "immutable", "linked", "again"} {
		setFlags(t, filepath.Join(dir, "flags", name), 0)
	}
}
