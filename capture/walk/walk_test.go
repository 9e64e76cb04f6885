package walk_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"tidemark/capture/walk"
)

// noLeaks fails the test if it leaves descriptors or goroutines behind.
func noLeaks(t *testing.T) {
	t.Helper()
	// The runtime keeps descriptors of its own from the first use of these on.
	r, w, err := os.Pipe()
	must(t, err)
	r.Close()
	w.Close()
	fds, goroutines := openFDs(t), runtime.NumGoroutine()
	t.Cleanup(func() {
		if got := openFDs(t); got > fds {
			t.Errorf("%d descriptors are open, %d were", got, fds)
		}
		// A goroutine that has been waited for may still be on its last step.
		for range 1_000_000 {
			if runtime.NumGoroutine() <= goroutines {
				return
			}
			runtime.Gosched()
		}
		t.Errorf("%d goroutines are left, %d were", runtime.NumGoroutine(), goroutines)
	})
}

func openFDs(t *testing.T) int {
	t.Helper()
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(names)
}

// open starts a walk that is closed, with its accounts balanced, at the end of
// the test. Temporary files go where t's do.
func open(t *testing.T, root string, cfg walk.Config) *walk.Dir {
	t.Helper()
	noLeaks(t)
	if cfg.TempDir == "" {
		cfg.TempDir = t.TempDir()
	}
	d, err := walk.Open(t.Context(), root, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		d.Close()
		if memory, ahead, busy, runs := d.Accounts(); memory != 0 || ahead != 0 || busy != 0 || runs != 0 {
			t.Errorf("after Close the walk holds %d bytes, %d directories ahead, %d readers, %d runs", memory, ahead, busy, runs)
		}
	})
	return d
}

// next returns the next entry of d, which must be called name.
func next(t *testing.T, d *walk.Dir, name string) walk.Entry {
	t.Helper()
	e, ok, err := d.Next()
	if err != nil || !ok || e.Name != name {
		t.Fatalf("Next of %q = %.40q, %t, %v; want %.40q", d.Path(), e.Name, ok, err, name)
	}
	return e
}

// child enters e, and closes it at the end of the test at the latest.
func child(t *testing.T, d *walk.Dir, e walk.Entry) *walk.Dir {
	t.Helper()
	c, err := d.Child(e)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// names returns all names that are left in d, which end with an error or not.
func names(d *walk.Dir) (all []string, err error) {
	for {
		e, ok, err := d.Next()
		if err != nil || !ok {
			return all, err
		}
		all = append(all, e.Name)
	}
}

// paths returns the paths of all below d, depth first.
func paths(t *testing.T, d *walk.Dir) []string {
	t.Helper()
	var all []string
	for {
		e, ok, err := d.Next()
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return all
		}
		all = append(all, filepath.Join(d.Path(), e.Name))
		if e.Stat.IsDir() && !e.Boundary {
			c, err := d.Child(e)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, paths(t, c)...)
			c.Close()
		}
	}
}

func mkdir(t *testing.T, elem ...string) string {
	t.Helper()
	path := filepath.Join(elem...)
	if err := os.MkdirAll(path, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func write(t *testing.T, content string, elem ...string) string {
	t.Helper()
	path := filepath.Join(elem...)
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// scratch returns a temporary directory for many files, in memory if the test
// may mount that.
func scratch(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if os.Getuid() == 0 {
		mount(t, "tmpfs", dir, "tmpfs", 0)
	}
	return dir
}

// awkward are names that a filesystem takes and a program may stumble over.
var awkward = []string{
	"a\nb", "\xff\xfe", "-rf", " ", "...", "\"quoted\"", "back\\slash", "é", "e\u0301", "\x01", "~", "*",
	strings.Repeat("x", 255), strings.Repeat("\xf0", 255),
}

func TestEntriesSayWhatLstatSays(t *testing.T) {
	root := t.TempDir()
	for _, name := range awkward {
		write(t, name, root, name)
	}
	mkdir(t, root, "dir")
	must(t, os.Symlink("no such target", filepath.Join(root, "symlink")))
	must(t, unix.Mkfifo(filepath.Join(root, "fifo"), 0o4610))
	must(t, unix.Mknod(filepath.Join(root, "socket"), unix.S_IFSOCK|0o700, 0))
	must(t, os.Link(filepath.Join(root, " "), filepath.Join(root, "hard link")))
	want := append(slices.Clone(awkward), "dir", "symlink", "fifo", "socket", "hard link")
	if os.Getuid() == 0 {
		must(t, unix.Mknod(filepath.Join(root, "char"), unix.S_IFCHR|0o600, int(unix.Mkdev(300, 70000))))
		must(t, unix.Mknod(filepath.Join(root, "block"), unix.S_IFBLK|0o600, int(unix.Mkdev(7, 3))))
		must(t, os.Lchown(filepath.Join(root, "fifo"), 2_000_000_000, 70_000))
		want = append(want, "char", "block")
	}
	old := []unix.Timespec{{Sec: -5_000_000, Nsec: 999_999_999}, {Sec: -5_000_000, Nsec: 999_999_999}}
	must(t, unix.UtimesNanoAt(unix.AT_FDCWD, filepath.Join(root, "symlink"), old, unix.AT_SYMLINK_NOFOLLOW))
	slices.Sort(want)

	d := open(t, root, walk.Config{})
	for _, name := range want {
		e := next(t, d, name)
		if e.Err != nil || e.Boundary {
			t.Errorf("%.40q: error %v, boundary %t", name, e.Err, e.Boundary)
		}
		checkStat(t, filepath.Join(root, name), e.Stat)
	}
	if e, ok, err := d.Next(); ok || err != nil {
		t.Errorf("Next at the end = %v, %t, %v", e, ok, err)
	}
	checkStat(t, root, d.Stat())
	if n, names := d.Vanished(); n != 0 || names != nil {
		t.Errorf("Vanished() = %d, %q", n, names)
	}
}

func checkStat(t *testing.T, path string, got walk.Stat) {
	t.Helper()
	var st unix.Stat_t
	must(t, unix.Lstat(path, &st))
	want := walk.Stat{
		Mode: st.Mode, UID: st.Uid, GID: st.Gid, Nlink: uint32(st.Nlink), Ino: st.Ino, Dev: st.Dev,
		RdevMajor: unix.Major(st.Rdev), RdevMinor: unix.Minor(st.Rdev), Size: st.Size, Blocks: st.Blocks,
		Mtime: walk.Time{Sec: int64(st.Mtim.Sec), Nsec: uint32(st.Mtim.Nsec)},
		Ctime: walk.Time{Sec: int64(st.Ctim.Sec), Nsec: uint32(st.Ctim.Nsec)},
		// lstat does not tell these.
		Btime: got.Btime, HasBtime: got.HasBtime,
		Attributes: got.Attributes, AttributesMask: got.AttributesMask, MountID: got.MountID,
	}
	if got != want {
		t.Errorf("%.40q:\n got %+v\nwant %+v", path, got, want)
	}
	if got.HasBtime && got.Btime.Sec < 1_700_000_000 {
		t.Errorf("%.40q: born at %+v", path, got.Btime)
	}
}

// TestTreeInOrder compares a tree of random shape with what os.ReadDir sees,
// with little and with enough memory, and few and many workers.
func TestTreeInOrder(t *testing.T) {
	root := scratch(t)
	rng := rand.New(rand.NewPCG(1, 2))
	dirs := []string{root}
	for i := range 300 {
		dirs = append(dirs, mkdir(t, dirs[rng.IntN(len(dirs))], fmt.Sprintf("%c%d", 'A'+rng.IntN(60), i)))
	}
	for i := range 1500 {
		write(t, "", dirs[rng.IntN(len(dirs))], fmt.Sprintf("%c%d", 'A'+rng.IntN(60), i))
	}
	want := readTree(t, root, "")
	for _, tt := range []struct {
		name   string
		cfg    walk.Config
		onDisk bool // the root's names are sorted there
	}{
		{"defaults", walk.Config{}, false},
		{"one worker", walk.Config{Workers: 1}, false},
		{"all sorted on disk", walk.Config{Workers: 3, SortMemory: 1}, true},
		{"merged name by name", walk.Config{Workers: 2, Memory: 1, SortMemory: 1 << 20}, true},
		{"some sorted on disk", walk.Config{Workers: 16, Memory: 64 << 10}, false},
		{"one filesystem", walk.Config{OneFilesystem: true}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := open(t, root, tt.cfg)
			if _, _, _, runs := d.Accounts(); tt.onDisk && runs == 0 {
				t.Error("the root's names are in memory")
			}
			if got := paths(t, d); !slices.Equal(got, want) {
				t.Errorf("%d paths, want %d; or another order", len(got), len(want))
			}
		})
	}
}

func readTree(t *testing.T, root, dir string) (all []string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(root, dir)) // sorted by name
	must(t, err)
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		all = append(all, path)
		if e.IsDir() {
			all = append(all, readTree(t, root, path)...)
		}
	}
	return all
}

// TestLargeDirectory sorts on disk, in more runs than one merge takes, and
// keeps little in memory.
func TestLargeDirectory(t *testing.T) {
	const count = 20_000
	root := scratch(t)
	pad := strings.Repeat("n", 240) // few names to a getdents, so many runs
	var want []string
	rng := rand.New(rand.NewPCG(3, 4))
	for _, i := range rng.Perm(count) {
		name := fmt.Sprintf("%05d%s", i, pad)
		want = append(want, name)
		if i%20 == 0 {
			mkdir(t, root, name, "inner")
		} else {
			must(t, unix.Mknod(filepath.Join(root, name), unix.S_IFREG|0o600, 0))
		}
	}
	slices.Sort(want)

	temp := t.TempDir()
	before := liveHeap()
	d := open(t, root, walk.Config{SortMemory: 64 << 10, Memory: 1 << 20, TempDir: temp})
	if left, err := os.ReadDir(temp); len(left) > 0 || err != nil {
		t.Errorf("in TempDir: %v, %v", left, err)
	}
	if _, _, _, runs := d.Accounts(); runs < 2 || runs >= walk.MergeFan {
		t.Errorf("%d runs: want some, and merged ones", runs)
	}
	for i, name := range want {
		e := next(t, d, name)
		if i%1000 == 0 {
			checkStat(t, filepath.Join(root, name), e.Stat)
		}
		if i == len(want)/2 {
			if grown := liveHeap() - before; grown > 2<<20 {
				t.Errorf("%d bytes more are live in the middle of it", grown)
			}
		}
		if e.Stat.IsDir() && i%3 > 0 { // skip the others
			c, err := d.Child(e)
			must(t, err)
			next(t, c, "inner")
			c.Close()
		}
	}
	if e, ok, err := d.Next(); ok || err != nil {
		t.Errorf("Next at the end = %v, %t, %v", e, ok, err)
	}
}

func liveHeap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestTempDirMissing wants an error and no shorter list where names cannot be
// sorted.
func TestTempDirMissing(t *testing.T) {
	root := t.TempDir()
	write(t, "", root, "file")
	d := open(t, root, walk.Config{SortMemory: 1, TempDir: filepath.Join(root, "missing")})
	if all, err := names(d); !errors.Is(err, unix.ENOENT) || len(all) > 0 {
		t.Errorf("names = %q, %v; want the error of making the temporary file", all, err)
	}
}

// TestDeep goes down further than PATH_MAX and comes back, with few
// descriptors, although directories on the way were moved in the meantime.
func TestDeep(t *testing.T) {
	const depth, moved, replaced, removed = 2000, 1001, 500, 250 // from moved, the way back is to one that has an "up"
	dir := scratch(t)
	root, elsewhere := mkdir(t, dir, "root"), mkdir(t, dir, "elsewhere")
	makeDeep(t, root, depth)
	const workers = 2
	d := open(t, root, walk.Config{Workers: workers})
	fds := openFDs(t)

	chain := []*walk.Dir{d}
	for i := range depth {
		d = child(t, d, next(t, d, "down"))
		chain = append(chain, d)
		if i%100 == 99 {
			if got := openFDs(t) - fds; got > walk.OpenChain+workers*(walk.AheadPerWorker+2) {
				t.Fatalf("%d descriptors more at depth %d", got, i)
			}
		}
	}
	if len(d.Path()) < unix.PathMax {
		t.Fatalf("path of %d bytes", len(d.Path()))
	}
	f, err := d.OpenFile(next(t, d, "file"))
	must(t, err)
	must(t, f.Close())

	moveDeep(t, root, moved, filepath.Join(elsewhere, "moved"))
	for i := depth - 1; i >= 0; i-- {
		if i == replaced || i == removed {
			moveDeep(t, root, i+1, filepath.Join(elsewhere, fmt.Sprint(i+1)))
			moveDeep(t, root, i, filepath.Join(elsewhere, fmt.Sprint(i)))
		}
		if i == replaced {
			mkdir(t, root, strings.Repeat("down/", i), "up")
		}
		chain[i+1].Close()
		if i%deepUp != 0 {
			continue
		}
		up := next(t, chain[i], "up")
		c, err := chain[i].Child(up)
		if i == replaced || i == removed {
			if err == nil { // it was read ahead on the way down
				defer c.Close() // not now: its own ".." leads there
				_, err = chain[i].Child(up)
			}
			// Neither its child's ".." nor its path leads to it. What was in
			// it has not vanished, as far as one can tell.
			if !errors.Is(err, walk.ErrChanged) {
				t.Errorf("Child of a directory that was moved: %v, want ErrChanged", err)
			}
			continue
		}
		must(t, err)
		c.Close()
	}
}

// deepUp is how many levels there are from one directory "up" to the next.
const deepUp = 5

// makeDeep makes a chain of directories "down", some with a directory "up"
// after it, and a file in the last.
func makeDeep(t *testing.T, root string, depth int) {
	t.Helper()
	at, err := unix.Open(root, unix.O_PATH|unix.O_CLOEXEC, 0)
	must(t, err)
	for i := range depth {
		if i%deepUp == 0 {
			must(t, unix.Mkdirat(at, "up", 0o700))
		}
		must(t, unix.Mkdirat(at, "down", 0o700))
		at = enter(t, at, "down")
	}
	defer unix.Close(at)
	must(t, unix.Mknodat(at, "file", unix.S_IFREG|0o600, 0))
}

// enter opens name in at, which it closes.
func enter(t *testing.T, at int, name string) int {
	t.Helper()
	fd, err := unix.Openat(at, name, unix.O_PATH|unix.O_CLOEXEC, 0)
	unix.Close(at)
	must(t, err)
	return fd
}

// moveDeep moves the directory at depth to path.
func moveDeep(t *testing.T, root string, depth int, path string) {
	t.Helper()
	at, err := unix.Open(root, unix.O_PATH|unix.O_CLOEXEC, 0)
	must(t, err)
	for range depth - 1 {
		at = enter(t, at, "down")
	}
	defer unix.Close(at)
	must(t, unix.Renameat(at, "down", unix.AT_FDCWD, path))
}

// TestReadsAhead waits for what nobody has asked for, and wants no more of it
// than there may be, in the order in which it would be asked for.
func TestReadsAhead(t *testing.T) {
	root := t.TempDir()
	const workers, limit = 2, 2 * walk.AheadPerWorker
	var dirs []string
	for i := range 3 * limit {
		dirs = append(dirs, fmt.Sprintf("%03d", i))
		write(t, "", mkdir(t, root, dirs[i]), "file")
	}
	read := make(chan string, len(dirs))
	d := open(t, root, walk.Config{Workers: workers, Skip: func(dir string, _ *walk.Entry) bool {
		if dir != "" {
			read <- dir
		}
		return false
	}})
	var got []string
	for range limit {
		select {
		case dir := <-read:
			got = append(got, dir)
		case <-time.After(10 * time.Second):
			t.Fatalf("only %d directories were read ahead", len(got))
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, dirs[:limit]) {
		t.Errorf("read ahead: %q, want the first %d", got, limit)
	}
	d.Close()
	if len(read) > 0 {
		t.Errorf("%d more directories than %d were read ahead", len(read), limit)
	}
}

func TestSkip(t *testing.T) {
	root := t.TempDir()
	write(t, "", mkdir(t, root, "a", "cache"), "x")
	write(t, "", root, "a", "keep")
	write(t, "", mkdir(t, root, "cache"), "y")
	var calls atomic.Int32
	d := open(t, root, walk.Config{Skip: func(dir string, e *walk.Entry) bool {
		calls.Add(1)
		return dir == "a" && e.Name == "cache" && e.Stat.IsDir()
	}})
	if got, want := paths(t, d), []string{"a", "a/keep", "cache", "cache/y"}; !slices.Equal(got, want) {
		t.Errorf("paths = %q, want %q", got, want)
	}
	if calls.Load() != 5 {
		t.Errorf("Skip was called %d times for 5 entries", calls.Load())
	}
}

// TestCloseEarly stops at every place of a walk: what was read ahead is given
// back, whoever was reading has stopped.
func TestCloseEarly(t *testing.T) {
	root := scratch(t)
	for i := range 20 {
		for j := range 4 {
			write(t, "", mkdir(t, root, fmt.Sprint(i), fmt.Sprint(j)), "file")
		}
	}
	total := len(readTree(t, root, ""))
	for stop := 0; stop < total; stop += 3 {
		d := open(t, root, walk.Config{Workers: 4, SortMemory: int64(stop % 2)})
		left := stop
		visit(t, d, &left)
		d.Close()
		if _, _, err := d.Next(); err == nil {
			t.Fatal("Next of a closed Dir gave no error")
		}
	}
}

// visit goes through d until left names were seen, and leaves Dirs open.
func visit(t *testing.T, d *walk.Dir, left *int) {
	for *left > 0 {
		e, ok, err := d.Next()
		must(t, err)
		if !ok {
			return
		}
		*left--
		if e.Stat.IsDir() {
			c, err := d.Child(e)
			must(t, err)
			visit(t, c, left)
			if *left > 0 {
				c.Close()
			}
		}
	}
}

// TestCancel ends the context while a large directory is being read.
func TestCancel(t *testing.T) {
	const count = 6000
	root := scratch(t)
	mkdir(t, root, "large")
	for i := range count {
		must(t, unix.Mknod(filepath.Join(root, "large", fmt.Sprintf("file %04d", i)), unix.S_IFREG|0o600, 0))
	}
	mkdir(t, root, "small")
	noLeaks(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("the user pressed a key")
	var reads atomic.Int32
	opened := make(chan *walk.Dir, 1)
	d, err := walk.Open(ctx, root, walk.Config{Skip: func(dir string, _ *walk.Entry) bool {
		if dir == "large" && reads.Add(1) == 1 {
			cancel(cause)
			for d := <-opened; !d.Ended(); {
				runtime.Gosched()
			}
		}
		return false
	}})
	must(t, err)
	opened <- d
	if e, _, err := d.Next(); err == nil { // reading ahead may have ended it by now
		_, err = d.Child(e)
		if !errors.Is(err, cause) {
			t.Errorf("Child = %v, want %v", err, cause)
		}
	}
	if _, _, err := d.Next(); !errors.Is(err, cause) {
		t.Errorf("Next = %v, want %v", err, cause)
	}
	d.Close()
	if n := reads.Load(); n == 0 || n == count {
		t.Errorf("%d entries of %d were read", n, count)
	}
	if _, err := walk.Open(ctx, root, walk.Config{}); !errors.Is(err, cause) {
		t.Errorf("Open with a context that is done: %v", err)
	}
}

func TestRoot(t *testing.T) {
	dir := t.TempDir()
	write(t, "", mkdir(t, dir, "real"), "file")
	must(t, os.Symlink("real", filepath.Join(dir, "link")))
	if got := paths(t, open(t, filepath.Join(dir, "link"), walk.Config{})); !slices.Equal(got, []string{"file"}) {
		t.Errorf("through a symlink: %q", got)
	}
	for path, want := range map[string]error{"missing": unix.ENOENT, "real/file": unix.ENOTDIR} {
		noLeaks(t)
		if _, err := walk.Open(t.Context(), filepath.Join(dir, path), walk.Config{}); !errors.Is(err, want) || !strings.Contains(err.Error(), path) {
			t.Errorf("Open(%s): %v, want %v", path, err, want)
		}
	}
	if _, err := walk.Open(t.Context(), dir, walk.Config{Workers: -1}); err == nil {
		t.Error("a negative number of workers was taken")
	}
}
