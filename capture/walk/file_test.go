package walk_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"tidemark/capture/walk"
)

// entries returns all of d, by name.
func entries(t *testing.T, d *walk.Dir) map[string]walk.Entry {
	t.Helper()
	all := make(map[string]walk.Entry)
	for {
		e, ok, err := d.Next()
		must(t, err)
		if !ok {
			return all
		}
		all[e.Name] = e
	}
}

func TestOpenFile(t *testing.T) {
	root := t.TempDir()
	write(t, "content", root, "file")
	for _, name := range []string{"gone", "other", "symlink", "fifo", "dir", "socket"} {
		write(t, "as it was", root, name)
	}
	mkdir(t, root, "a directory")
	d := open(t, root, walk.Config{})
	all := entries(t, d)

	f, err := d.OpenFile(all["file"])
	must(t, err)
	defer f.Close()
	if b, err := io.ReadAll(f); string(b) != "content" || err != nil {
		t.Errorf("read %q, %v", b, err)
	}
	if f.Name() != filepath.Join(root, "file") {
		t.Errorf("Name() = %s", f.Name())
	}
	if st, err := walk.FileStat(f); err != nil || st != all["file"].Stat {
		t.Errorf("FileStat() = %+v, %v; want %+v", st, err, all["file"].Stat)
	}
	write(t, "more content", root, "file")
	if st, err := walk.FileStat(f); err != nil || st.Size != 12 || st.Ino != all["file"].Stat.Ino {
		t.Errorf("FileStat() after a write = %+v, %v", st, err)
	}
	if _, err := d.OpenFile(all["a directory"]); err == nil {
		t.Error("a directory was opened as a file")
	}

	// The inode of what is removed must not be given to what replaces it.
	for _, name := range []string{"gone", "other", "symlink", "fifo", "dir", "socket"} {
		must(t, os.Rename(filepath.Join(root, name), filepath.Join(root, "was "+name)))
	}
	write(t, "not this", root, "other")
	must(t, os.Symlink("file", filepath.Join(root, "symlink")))
	must(t, unix.Mkfifo(filepath.Join(root, "fifo"), 0o600))
	mkdir(t, root, "dir")
	must(t, unix.Mknod(filepath.Join(root, "socket"), unix.S_IFSOCK|0o700, 0))
	for name, want := range map[string]error{
		"gone": walk.ErrVanished, "other": walk.ErrChanged, "symlink": walk.ErrChanged,
		"fifo": walk.ErrChanged, "dir": walk.ErrChanged, "socket": walk.ErrChanged,
	} {
		if f, err := d.OpenFile(all[name]); !errors.Is(err, want) || f != nil {
			t.Errorf("OpenFile(%s) = %v, want %v", name, err, want)
		}
		if _, err := d.Xattrs(all[name]); !errors.Is(err, want) {
			t.Errorf("Xattrs(%s) = %v, want %v", name, err, want)
		}
	}
}

// TestOpenFileWithLease opens a file that a server, here the test, has a lease
// on: it must be asked to give that up, and waited for.
func TestOpenFileWithLease(t *testing.T) {
	root := t.TempDir()
	path := write(t, "content", root, "file")
	holder, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	defer holder.Close()
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, unix.SIGIO)
	defer signal.Stop(asked)
	if _, err := unix.FcntlInt(holder.Fd(), unix.F_SETLEASE, unix.F_WRLCK); err != nil {
		t.Skipf("SKIPPED: no leases here: %v", err)
	}
	d := open(t, root, walk.Config{})
	e := next(t, d, "file")
	select {
	case <-asked:
		t.Fatal("the walk broke the lease: it opened the file")
	default:
	}
	given := make(chan error)
	go func() {
		<-asked
		_, err := unix.FcntlInt(holder.Fd(), unix.F_SETLEASE, unix.F_UNLCK)
		given <- err
	}()
	f, err := d.OpenFile(e)
	must(t, err)
	f.Close()
	must(t, <-given)
}

// TestOpensNoFile watches for opens while a tree is walked.
func TestOpensNoFile(t *testing.T) {
	root := t.TempDir()
	for i := range 50 {
		write(t, "", mkdir(t, root, fmt.Sprint(i)), "file")
	}
	must(t, unix.Mkfifo(filepath.Join(root, "fifo"), 0o600))
	watch, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	must(t, err)
	defer unix.Close(watch)
	_, err = unix.InotifyAddWatch(watch, root, unix.IN_OPEN)
	must(t, err)
	for i := range 50 {
		_, err = unix.InotifyAddWatch(watch, filepath.Join(root, fmt.Sprint(i)), unix.IN_OPEN)
		must(t, err)
	}
	d := open(t, root, walk.Config{})
	if got := paths(t, d); len(got) != 101 {
		t.Fatalf("%d paths", len(got))
	}
	if files, dirs := opens(t, watch); files != 0 || dirs < 50 {
		t.Errorf("%d files and %d directories were opened, want none and all 50", files, dirs)
	}
	c := open(t, filepath.Join(root, "0"), walk.Config{})
	e := next(t, c, "file")
	if _, err := c.Xattrs(e); err != nil {
		t.Error(err)
	}
	if files, _ := opens(t, watch); files != 0 {
		t.Error("Xattrs opened the file")
	}
	f, err := c.OpenFile(e)
	must(t, err)
	f.Close()
	if files, _ := opens(t, watch); files != 1 {
		t.Errorf("%d opens were seen, want 1: this test sees none", files)
	}
}

// opens reads the events that are there.
func opens(t *testing.T, watch int) (files, dirs int) {
	t.Helper()
	buf := make([]byte, 64<<10)
	for {
		n, err := unix.Read(watch, buf)
		if err == unix.EAGAIN {
			return files, dirs
		}
		must(t, err)
		for b := buf[:n]; len(b) > 0; {
			mask, nameLen := binary.LittleEndian.Uint32(b[4:]), binary.LittleEndian.Uint32(b[12:])
			if mask&unix.IN_ISDIR != 0 {
				dirs++
			} else {
				files++
			}
			b = b[unix.SizeofInotifyEvent+nameLen:]
		}
	}
}

func TestReadlink(t *testing.T) {
	root := t.TempDir()
	long := strings.Repeat("t/", unix.PathMax/2-1) + "t"
	targets := map[string]string{"plain": "target", "odd": "\xff\n", "long": long, "changed": "one"}
	for name, target := range targets {
		must(t, os.Symlink(target, filepath.Join(root, name)))
	}
	must(t, os.Symlink("x", filepath.Join(root, "gone")))
	d := open(t, root, walk.Config{})
	all := entries(t, d)
	for name, want := range targets {
		if got, err := d.Readlink(all[name]); got != want || err != nil {
			t.Errorf("Readlink(%s) = %.20q, %v; want %.20q", name, got, err, want)
		}
	}
	must(t, os.Remove(filepath.Join(root, "gone")))
	must(t, os.Rename(filepath.Join(root, "plain"), filepath.Join(root, "changed")))
	if _, err := d.Readlink(all["gone"]); !errors.Is(err, walk.ErrVanished) {
		t.Errorf("Readlink of what was removed: %v", err)
	}
	if _, err := d.Readlink(all["changed"]); !errors.Is(err, walk.ErrChanged) {
		t.Errorf("Readlink of another symlink: %v", err)
	}
}

func TestXattrs(t *testing.T) {
	root := t.TempDir()
	file := write(t, "", root, "file")
	mkdir(t, root, "dir")
	write(t, "", root, "none")
	big := bytes.Repeat([]byte("v"), 3000) // more than the first buffer
	want := []walk.Xattr{{Name: "user.a", Value: []byte("1")}, {Name: "user.big", Value: big}, {Name: "user.empty", Value: []byte{}}}
	for _, a := range []int{2, 0, 1} {
		if err := unix.Lsetxattr(file, want[a].Name, want[a].Value, 0); err == unix.ENOTSUP {
			t.Skip("SKIPPED: no extended attributes of users in the temporary directory")
		} else if err != nil {
			t.Fatal(err)
		}
	}
	must(t, unix.Lsetxattr(filepath.Join(root, "dir"), "user.d", []byte("dir"), 0))
	must(t, unix.Lsetxattr(root, "user.root", []byte("root"), 0))
	d := open(t, root, walk.Config{})
	all := entries(t, d)
	checkXattrs(t, d, all["file"], want)
	checkXattrs(t, d, all["none"], nil)
	checkXattrs(t, d, all["dir"], []walk.Xattr{{Name: "user.d", Value: []byte("dir")}})
	checkXattrs(t, d, d.Self(), []walk.Xattr{{Name: "user.root", Value: []byte("root")}})
}

// TestXattrsOfEveryKind sets attributes of a kind that only root may set, on
// nodes that cannot be opened or would do something when they are.
func TestXattrsOfEveryKind(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: trusted attributes need root")
	}
	root := t.TempDir()
	write(t, "", root, "target")
	must(t, os.Symlink("target", filepath.Join(root, "symlink")))
	must(t, os.Symlink("nowhere", filepath.Join(root, "dangling")))
	must(t, unix.Mkfifo(filepath.Join(root, "fifo"), 0o600))
	must(t, unix.Mknod(filepath.Join(root, "socket"), unix.S_IFSOCK|0o700, 0))
	must(t, unix.Mknod(filepath.Join(root, "device"), unix.S_IFCHR|0o600, int(unix.Mkdev(250, 250)))) // no driver
	kinds := []string{"symlink", "dangling", "fifo", "socket", "device"}
	for _, name := range kinds {
		if err := unix.Lsetxattr(filepath.Join(root, name), "trusted.kind", []byte(name), 0); err == unix.ENOTSUP {
			t.Skip("SKIPPED: no trusted attributes in the temporary directory")
		} else if err != nil {
			t.Fatal(err)
		}
	}
	d := open(t, root, walk.Config{})
	all := entries(t, d)
	for _, name := range kinds {
		checkXattrs(t, d, all[name], []walk.Xattr{{Name: "trusted.kind", Value: []byte(name)}})
	}
	checkXattrs(t, d, all["target"], nil)
}

func checkXattrs(t *testing.T, d *walk.Dir, e walk.Entry, want []walk.Xattr) {
	t.Helper()
	got, err := d.Xattrs(e)
	if err != nil {
		t.Error(err)
	}
	// A security module may have added its own.
	got = slices.DeleteFunc(got, func(a walk.Xattr) bool { return strings.HasPrefix(a.Name, "security.") })
	same := func(x, y walk.Xattr) bool { return x.Name == y.Name && bytes.Equal(x.Value, y.Value) }
	if !slices.EqualFunc(got, want, same) {
		t.Errorf("Xattrs(%s) = %.100q, want %.100q", e.Name, got, want)
	}
}

func TestFlags(t *testing.T) {
	root := t.TempDir()
	f, err := os.Create(filepath.Join(root, "file"))
	must(t, err)
	defer f.Close()
	fl, ok, err := walk.FileFlags(f)
	must(t, err)
	if !ok {
		t.Skip("SKIPPED: the temporary directory's filesystem knows no flags")
	}
	const nodumpFL, nodumpX = 0x40, 0x80 // FS_NODUMP_FL, FS_XFLAG_NODUMP
	if fl.Inode&nodumpFL != 0 || fl.X&nodumpX != 0 {
		t.Errorf("flags of a new file: %+v", fl)
	}
	must(t, unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, int(fl.Inode|nodumpFL)))
	after, ok, err := walk.FileFlags(f)
	if want := (walk.Flags{Inode: fl.Inode | nodumpFL, X: fl.X | nodumpX, Project: fl.Project}); after != want || !ok || err != nil {
		t.Errorf("FileFlags() = %+v, %t, %v; want %+v", after, ok, err, want)
	}
	d := open(t, root, walk.Config{})
	if fl, ok, err := d.Flags(); !ok || err != nil || fl.X&nodumpX != 0 {
		t.Errorf("flags of the directory: %+v, %t, %v", fl, ok, err)
	}
	p, w, err := os.Pipe() // a filesystem that knows none
	must(t, err)
	defer p.Close()
	defer w.Close()
	if fl, ok, err := walk.FileFlags(p); ok || err != nil || fl != (walk.Flags{}) {
		t.Errorf("flags of a pipe: %+v, %t, %v", fl, ok, err)
	}
}

func TestHoles(t *testing.T) {
	const block = 64 << 10 // of any filesystem, at most
	for _, tt := range []struct {
		name string
		data []int64 // blocks that are written
		size int64   // blocks
		want string
	}{
		{"empty", nil, 0, ""},
		{"all data", []int64{0, 1, 2}, 3, ""},
		{"all hole", nil, 3, "0+3 "},
		{"hole first", []int64{2}, 3, "0+2 "},
		{"hole last", []int64{0}, 3, "1+2 "},
		{"several", []int64{1, 4}, 7, "0+1 2+2 5+2 "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, err := os.Create(filepath.Join(t.TempDir(), "file"))
			must(t, err)
			defer f.Close()
			for _, at := range tt.data {
				_, err := f.WriteAt(bytes.Repeat([]byte{1}, block), at*block)
				must(t, err)
			}
			must(t, f.Truncate(tt.size*block))
			must(t, f.Sync())
			checkHoles(t, f, tt.size*block, tt.want)
			if tt.name == "several" {
				checkHoles(t, f, 3*block, "0+1 2+1 ") // a part of it
				must(t, f.Truncate(3*block))
				checkHoles(t, f, 7*block, "0+1 2+1 ") // what is not there is no hole
				must(t, f.Truncate(0))
				checkHoles(t, f, 7*block, "")
			}
		})
	}
	p, w, err := os.Pipe()
	must(t, err)
	defer p.Close()
	defer w.Close()
	if err := walk.Holes(p, 1, nil); !errors.Is(err, unix.ESPIPE) {
		t.Errorf("Holes of a pipe: %v", err)
	}
	full, err := os.Open("/proc/self/status") // a filesystem that knows none
	must(t, err)
	defer full.Close()
	checkHoles(t, full, 100, "")
}

func checkHoles(t *testing.T, f *os.File, size int64, want string) {
	t.Helper()
	const block = 64 << 10
	var got strings.Builder
	err := walk.Holes(f, size, func(off, n int64) error {
		fmt.Fprintf(&got, "%d+%d ", off/block, n/block)
		return nil
	})
	if got.String() != want || err != nil {
		t.Errorf("Holes(%d) = %q, %v; want %q", size, got.String(), err, want)
	}
	if want != "" {
		stop := errors.New("enough")
		if err := walk.Holes(f, size, func(int64, int64) error { return stop }); err != stop {
			t.Errorf("Holes() = %v, want the error of fn", err)
		}
	}
}
