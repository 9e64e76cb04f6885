package main

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A grove is a directory to fill with all that a filesystem can hold.
type grove struct {
	t      *testing.T
	dir    string
	random *rand.ChaCha8
}

// growTree makes a directory with every kind of node and awkward names. It
// needs root, and programs: setfacl.
func growTree(t *testing.T, dir string) {
	t.Helper()
	must(t, os.Mkdir(dir, 0o755))
	g := &grove{t, dir, rand.NewChaCha8([32]byte{1})}
	g.contents()
	g.holes()
	g.names()
	g.kinds()
	g.links()
	g.owners()
	g.attributes()
	g.times() // last: all else changes the times of directories
}

func (g *grove) path(name string) string { return g.dir + "/" + name }

// write makes a file, and the directories above it, and returns its path.
func (g *grove) write(name string, content []byte) string {
	g.t.Helper()
	must(g.t, os.MkdirAll(filepath.Dir(g.path(name)), 0o755))
	must(g.t, os.WriteFile(g.path(name), content, 0o644))
	return g.path(name)
}

// noise returns n bytes that nothing compresses.
func (g *grove) noise(n int) []byte {
	b := make([]byte, n)
	_, _ = g.random.Read(b) // it never fails
	return b
}

func (g *grove) contents() {
	for _, size := range []int{0, 1, 511, 512, 513, 4096, 64<<10 - 1, 64 << 10, 128 << 10, 300_001, 5 << 20} {
		g.write(fmt.Sprintf("contents/noise %d", size), g.noise(size))
		g.write(fmt.Sprintf("contents/text %d", size), []byte(strings.Repeat("the same again\n", size/15+1)[:size]))
	}
	large := g.noise(2 << 20)
	g.write("contents/shared 1", large)
	g.write("contents/shared 2", append([]byte("some bytes before: "), large...))
	for i := range 3000 {
		g.write(fmt.Sprintf("contents/three thousand/%x-%d", i*2654435761%65536, i), g.noise(i%40*25))
	}
}

// holes makes sparse files. Data begins and ends where no block of anything does.
func (g *grove) holes() {
	type part struct {
		at int64
		n  int
	}
	for name, f := range map[string]struct {
		size int64
		data []part
	}{
		"nothing else":       {size: 3<<20 + 1},
		"first":              {size: 1<<20 + 5, data: []part{{1 << 20, 5}}},
		"last":               {size: 1 << 20, data: []part{{0, 5000}}},
		"odd":                {size: 2<<20 + 77, data: []part{{4096, 4096}, {12 << 10, 100}, {70_000, 1}, {1 << 20, 300_000}}},
		"small":              {size: 40 << 10, data: []part{{8 << 10, 4 << 10}, {24 << 10, 1}}},
		"many":               {size: 4 << 20, data: []part{{0, 10}, {128 << 10, 10}, {256<<10 + 4096, 10}, {640 << 10, 200 << 10}, {3 << 20, 64 << 10}}},
		"a terabyte":         {size: 1 << 40, data: []part{{1 << 39, 10}}},
		"zeros that are not": {size: 1 << 20, data: []part{{0, 1}, {1<<20 - 1, 1}}},
	} {
		path := g.write("holes/"+name, nil)
		file, err := os.OpenFile(path, os.O_WRONLY, 0)
		must(g.t, err)
		must(g.t, file.Truncate(f.size))
		for _, p := range f.data {
			_, err := file.WriteAt(g.noise(p.n), p.at)
			must(g.t, err)
		}
		if name == "zeros that are not" { // stored on the disk, and equal to a hole
			_, err := file.WriteAt(make([]byte, 512<<10), 256<<10)
			must(g.t, err)
		}
		must(g.t, file.Close())
	}
}

func (g *grove) names() {
	for _, name := range awkward { // of names_test.go
		if name != "" {
			g.write("names/"+name, []byte(name))
		}
	}
	for _, name := range []string{
		"\xff\xfe not UTF-8 \x80\xc3", "ends in a newline\n", "...", "-rf", "\x01\x02\x7f", "C:\\x", strings.Repeat("n", 255), strings.Repeat("漢", 85),
	} {
		g.write("names/files/"+name, []byte(name))
		must(g.t, os.MkdirAll(g.path("names/directories/"+name+"/"+name), 0o755))
	}
	// As deep as programs can go that call everything by its whole path.
	g.write("deep"+strings.Repeat("/"+strings.Repeat("d", 40), 70)+"/bottom", []byte("at last"))
	must(g.t, os.MkdirAll(g.path("empty directory"), 0o700))
}

// specials matches the names of what diff does not compare: it can only say
// that a fifo is a fifo, and counts that as a difference.
const specials = "*.special"

func (g *grove) kinds() {
	must(g.t, os.Mkdir(g.path("kinds"), 0o755))
	for name, target := range map[string]string{
		"dangling": "nowhere", "to itself": "to itself", "absolute": "/etc/passwd", "up and out": "../../../../etc", "to a directory": "../contents",
		"odd": "\xff\n\x1b", "long": strings.Repeat("1234567/", 511) + "1234567",
	} {
		must(g.t, os.Symlink(target, g.path("kinds/"+name)))
	}
	for name, node := range map[string]struct {
		mode uint32
		dev  uint64
	}{
		"fifo": {unix.S_IFIFO | 0o640, 0}, "socket": {unix.S_IFSOCK | 0o755, 0}, "null": {unix.S_IFCHR | 0o666, unix.Mkdev(1, 3)},
		"large numbers": {unix.S_IFBLK | 0o600, unix.Mkdev(4095, 1048575)}, "zero": {unix.S_IFCHR, 0},
	} {
		must(g.t, unix.Mknod(g.path("kinds/"+name+".special"), node.mode, int(node.dev)))
	}
}

func (g *grove) links() {
	first := g.write("links/a/first", g.noise(200<<10))
	for _, name := range []string{"links/a/second", "links/b/c/third", "zzz fourth"} {
		must(g.t, os.MkdirAll(filepath.Dir(g.path(name)), 0o755))
		must(g.t, os.Link(first, g.path(name)))
	}
	must(g.t, os.Link(g.path("kinds/dangling"), g.path("links/of a symlink")))
	must(g.t, os.Link(g.path("kinds/fifo.special"), g.path("links/of a fifo.special")))
	for i := range 20 {
		inline := g.write(fmt.Sprintf("links/many/%d", i), []byte{byte(i)})
		must(g.t, os.Link(inline, g.path(fmt.Sprintf("links/b/%d", 19-i))))
	}
}

func (g *grove) owners() {
	for i, id := range []int{1, 12, 1000, 65534, 100_000, 4_000_000_000} {
		file := g.write(fmt.Sprintf("owners/%d", id), []byte("mine"))
		must(g.t, os.Chown(file, id, 7*i))
		must(g.t, os.Mkdir(file+" directory", 0o750))
		must(g.t, os.Chown(file+" directory", id, 3_000_000_000+i))
		must(g.t, os.Symlink("x", file+" link"))
		must(g.t, os.Lchown(file+" link", i, id))
	}
	must(g.t, os.Chown(g.path("kinds/null.special"), 55, 66))
	for _, mode := range []uint32{0, 0o111, 0o444, 0o777, 0o1644, 0o2755, 0o4711, 0o6755, 0o7777} {
		file := g.write(fmt.Sprintf("modes/%04o", mode), []byte("mode"))
		must(g.t, os.Chown(file, 1234, 4321))
		must(g.t, unix.Chmod(file, mode)) // after chown, which takes setuid away
		must(g.t, os.Mkdir(file+" directory", 0o700))
		must(g.t, unix.Chmod(file+" directory", mode))
	}
}

func (g *grove) attributes() {
	file := g.write("attributes/file", []byte("x"))
	dir := g.path("attributes/directory")
	must(g.t, os.Mkdir(dir, 0o755))
	capable := g.write("attributes/capable", []byte("#!"))
	for _, x := range []struct{ path, name, value string }{
		{file, "user.empty", ""}, {file, "user.\xff odd", "\x00\xff\n"}, {file, "user.long", strings.Repeat("long", 700)},
		{dir, "user.comment", "of a directory"}, {file, "trusted.tidemark", "for root"}, {g.path("kinds/fifo.special"), "trusted.of.a.fifo", "x"},
		{g.path("kinds/dangling"), "trusted.of.a.link", "x"},
		// Revision 2, effective; CAP_NET_BIND_SERVICE, as setcap writes it.
		{capable, "security.capability", "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"},
	} {
		if err := unix.Lsetxattr(x.path, x.name, []byte(x.value), 0); err != nil {
			g.t.Fatalf("set %s of %s: %v", x.name, x.path, err)
		}
	}
	command(g.t, "setfacl", "-m", "u:1234:rw,g:99:r,m::rw", file)
	command(g.t, "setfacl", "-m", "u:1234:rwx,o::-", "-d", "-m", "u:77:rx,g::r,m::rwx", dir)
	g.write("attributes/directory/inherits", []byte("from above"))
	must(g.t, os.Mkdir(g.path("attributes/directory/inherits too"), 0o755))
}

func (g *grove) times() {
	for name, at := range map[string]unix.Timespec{
		"1901": {Sec: -1<<31 + 1, Nsec: 1}, "1969": {Sec: -1, Nsec: 999_999_999}, "1970": {}, "2023": {Sec: 1_700_000_000, Nsec: 123_456_789},
		"2038": {Sec: 1 << 31}, "2106": {Sec: 1 << 32, Nsec: 5}, "2400": {Sec: 13_569_465_600, Nsec: 999_999_999},
	} {
		file := g.write("times/"+name, nil)
		must(g.t, os.MkdirAll(file+" directory/inside", 0o755))
		must(g.t, os.Symlink("x", file+" link"))
		must(g.t, unix.Mkfifo(file+".special", 0o600))
		for _, path := range []string{file, file + " directory", file + " link", file + ".special"} {
			must(g.t, unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{at, at}, unix.AT_SYMLINK_NOFOLLOW))
		}
	}
	must(g.t, unix.UtimesNanoAt(unix.AT_FDCWD, g.dir, []unix.Timespec{{Sec: 1}, {Sec: 1e9, Nsec: 7}}, 0))
}

// wantSameTree fails the test unless two directories are the same in all that
// lstat and extended attributes tell, and which names are links of one another.
// rsync and diff are for the contents; and rsync takes whole seconds for times.
func wantSameTree(t *testing.T, want, got string) {
	t.Helper()
	w, g := facts(t, want), facts(t, got)
	wrong := 0
	for _, path := range sortedKeys(w, g) {
		if w[path] != g[path] {
			if wrong++; wrong <= 10 {
				t.Errorf("%.200q is\n\t%s\nnot\n\t%s", path, g[path], w[path])
			}
		}
	}
	if wrong > 10 {
		t.Errorf("and %d more", wrong-10)
	}
}

func sortedKeys(maps ...map[string]string) []string {
	var all []string
	for _, m := range maps {
		for k := range m {
			all = append(all, k)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// facts returns what is known of each path below dir without reading files.
func facts(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	firsts := map[uint64]string{} // by inode; the walk is in order of names
	must(t, filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		about := fmt.Sprintf("mode %o owner %d:%d mtime %d.%09d device %x", st.Mode, st.Uid, st.Gid, st.Mtim.Sec, st.Mtim.Nsec, st.Rdev)
		rel := strings.TrimPrefix(path, dir)
		if st.Mode&unix.S_IFMT != unix.S_IFDIR {
			if firsts[st.Ino] == "" {
				firsts[st.Ino] = rel
			}
			about += fmt.Sprintf(" size %d links %d of %.100q", st.Size, st.Nlink, firsts[st.Ino])
		}
		if st.Mode&unix.S_IFMT == unix.S_IFLNK {
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			about += fmt.Sprintf(" to %q", target)
		}
		xattrs, err := xattrsOf(path)
		all[rel] = about + xattrs
		return err
	}))
	return all
}

// xattrsOf returns the extended attributes of path as text, ACLs among them.
func xattrsOf(path string) (string, error) {
	buf := make([]byte, 64<<10)
	n, err := unix.Llistxattr(path, buf)
	if err != nil || n == 0 {
		if err == unix.ENOTSUP {
			err = nil
		}
		return "", err
	}
	names := strings.Split(strings.TrimSuffix(string(buf[:n]), "\x00"), "\x00")
	slices.Sort(names)
	var b strings.Builder
	for _, name := range names {
		n, err := unix.Lgetxattr(path, name, buf)
		if err != nil {
			return "", fmt.Errorf("%s: %s: %w", path, name, err)
		}
		fmt.Fprintf(&b, " %q=%q", name, buf[:n])
	}
	return b.String(), nil
}
