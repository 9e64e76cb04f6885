package fusefs_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"tidemark/catalog"
	"tidemark/fusefs"
)

const manyNames = 200_000

// many is a directory of n files and, among them, a few directories, so that
// ranks and positions differ.
func many(n int) *entry {
	return &entry{
		Row: catalog.Row{Node: catalog.Node{Name: "many", Type: catalog.Dir, Mode: 0o755}},
		children: func(yield func(*entry) bool) {
			for i := range n {
				name := fmt.Sprintf("name-%06d", i)
				e := fileEntry(name, nil)
				if i%1000 == 7 {
					e = dirEntry(name, fileEntry("in", nil), fileEntry("inside", nil))
				}
				e.Mtime.Sec = int64(i)
				if !yield(e) {
					return
				}
			}
		},
	}
}

// TestManyNames lists a directory of many names in every way, in bounded memory.
func TestManyNames(t *testing.T) {
	r := newRepo(t)
	dir := serve(t, fusefs.Config{}, oneWorld(r.tree(dirEntry("", many(manyNames)))), r) + "/" + onlyPoint
	if got := run(t, dir, `ls -f $m/many | grep -c ^name-; find $m/many -printf '%p %y %T@\n' | sort -u | wc -l`); got !=
		fmt.Sprintf("%d\n%d\n", manyNames, 1+manyNames+2*manyNames/1000) {
		t.Errorf("ls and find say\n%s", got)
	}
	var memory runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&memory)
	if limit := uint64(160 << 20); memory.HeapAlloc > limit { // the repository itself is in it
		t.Errorf("%d bytes are in use afterwards; want at most %d", memory.HeapAlloc, limit)
	}
	if info, err := os.Stat(fmt.Sprintf("%s/many/name-%06d", dir, manyNames-1)); err != nil || info.ModTime().Unix() != manyNames-1 {
		t.Errorf("the last one: %v, %v", info, err)
	}
}

// TestSeekDir goes to places in a directory, in the kernel's copy of it and
// without one.
func TestSeekDir(t *testing.T) {
	r := newRepo(t)
	const n = 3000
	w := oneWorld(r.tree(dirEntry("", many(n))))
	fs := newRaw(t, fusefs.Config{}, w, r)
	id := fs.at(onlyPoint + "/many")
	for _, size := range []int{300, 4096, 64 << 10} {
		all := fs.entries(id, 0, size, -1)
		if len(all) != n+2 || all[0].Name != "." || all[1].Name != ".." {
			t.Fatalf("%d names", len(all))
		}
		for range 30 {
			i := rand.IntN(len(all) - 1)
			if got := fs.entries(id, all[i].Off, size, 3); got[0] != all[i+1] {
				t.Fatalf("behind %v is %v; want %v", all[i], got[0], all[i+1])
			}
		}
		for _, off := range []uint64{all[n+1].Off, all[n+1].Off + 1, 1 << 40, 1<<63 - 1} {
			if got := fs.entries(id, off, size, -1); len(got) != 0 {
				t.Errorf("at %d, the end, is %v", off, got)
			}
		}
	}

	dir := serve(t, fusefs.Config{}, w, r) + "/" + onlyPoint
	fd, err := unix.Open(dir+"/many", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	begin := dirents(t, fd, 100)
	if _, err := unix.Seek(fd, begin[50].next, 0); err != nil {
		t.Fatal(err)
	}
	if got := dirents(t, fd, 1); got[0] != begin[51] {
		t.Errorf("behind %v is %v; want %v", begin[50], got[0], begin[51])
	}
	if all := dirents(t, fd, -1); all[len(all)-1].name != fmt.Sprintf("name-%06d", n-1) {
		t.Errorf("the last one is %v", all[len(all)-1])
	}
	unix.Seek(fd, 0, 0)
	if got := dirents(t, fd, -1); len(got) != n+2 || got[0].name != "." {
		t.Errorf("from the beginning: %d, first %v", len(got), got[0])
	}
}

// TestListAtOnce lists one directory from several descriptors, and from one by
// several at once, with a small buffer.
func TestListAtOnce(t *testing.T) {
	r := newRepo(t)
	files := map[string][]byte{}
	for i := range 3000 {
		files[fmt.Sprintf("%d-%s", i, strings.Repeat("x", i%200))] = nil
	}
	dir := serve(t, fusefs.Config{}, oneWorld(fileTree(r, files)), r) + "/" + onlyPoint
	shared, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(shared)
	var wg sync.WaitGroup
	var mu sync.Mutex
	together := map[string]int{}
	for range 4 {
		wg.Go(func() {
			fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
			if err != nil {
				t.Error(err)
				return
			}
			defer unix.Close(fd)
			seen := map[string]bool{}
			for _, e := range dirents(t, fd, -1) {
				seen[e.name] = true
			}
			if len(seen) != len(files)+2 {
				t.Errorf("one descriptor: %d names", len(seen))
			}
			for _, e := range dirents(t, shared, -1) {
				mu.Lock()
				together[e.name]++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for name := range files {
		if together[name] != 1 {
			t.Errorf("several on one descriptor saw %s %d times", name, together[name])
		}
	}
}

// TestListOneHandleAtOnce does what the kernel does not: several READDIRs of one
// handle at the same time.
func TestListOneHandleAtOnce(t *testing.T) {
	r := newRepo(t)
	const n = 2000
	fs := newRaw(t, fusefs.Config{}, oneWorld(r.tree(dirEntry("", many(n)))), r)
	id := fs.at(onlyPoint + "/many")
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if got, s := fs.list(id, 7); s != fuse.OK || len(got) != n+2 {
				t.Errorf("%d names, %v", len(got), s)
			}
		})
	}
	wg.Wait()
}

// A dirent is an entry as getdents gives it.
type dirent struct {
	name string
	next int64 // d_off
	ino  uint64
	kind byte
}

// dirents lists from where fd stands: limit entries or a few more, or with -1
// all.
func dirents(t *testing.T, fd, limit int) (all []dirent) {
	t.Helper()
	buf := make([]byte, 2048)
	for limit < 0 || len(all) < limit {
		n, err := unix.Getdents(fd, buf)
		if err != nil {
			t.Errorf("getdents: %v", err)
			return all
		}
		if n == 0 {
			return all
		}
		for b := buf[:n]; len(b) > 0; {
			length := binary.NativeEndian.Uint16(b[16:])
			name, _, _ := bytes.Cut(b[19:length], []byte{0})
			all = append(all, dirent{string(name), int64(binary.NativeEndian.Uint64(b[8:])), binary.NativeEndian.Uint64(b), b[18]})
			b = b[length:]
		}
	}
	return all
}

// TestInodesOfDirents compares the inode numbers that a listing gives with
// those of stat.
func TestInodesOfDirents(t *testing.T) {
	r := newRepo(t)
	zeros := fileEntry("zeros", append(make([]byte, 12*zeroLen), 1)) // whose blocks are counted only when asked for
	for i := range 12 {
		zeros.content[i*zeroLen+i%2*(zeroLen-1)] = byte(i % 2)
	}
	zeros.Alloc = catalog.HolesZero
	dir := serve(t, fusefs.Config{}, oneWorld(r.tree(dirEntry("", dirEntry("d"), fileEntry("f", []byte("x")), zeros))), r)
	for _, path := range []string{"", "/daily", "/daily/2026-11-20", "/" + onlyPoint, "/latest"} {
		fd, err := unix.Open(dir+path, unix.O_RDONLY|unix.O_DIRECTORY, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range dirents(t, fd, -1) {
			var st unix.Stat_t
			if err := unix.Lstat(dir+path+"/"+e.name, &st); err != nil {
				t.Error(err)
			}
			if e.name != ".." && (st.Ino != e.ino || byte(st.Mode>>12) != e.kind) {
				t.Errorf("%s/%s: listed as %d, type %d; stat says %d, mode %o", path, e.name, e.ino, e.kind, st.Ino, st.Mode)
			}
		}
		unix.Close(fd)
	}
}
