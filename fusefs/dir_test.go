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

	"golang.org/x/sys/unix"

	"tidemark/catalog"
	"tidemark/fusefs"
)

const manyNames = 200_000

// many is a directory of manyNames files and, among them, a few directories, so
// that ranks and positions differ.
func many() *entry {
	return &entry{
		Row: catalog.Row{Node: catalog.Node{Name: "many", Type: catalog.Dir, Mode: 0o755}},
		children: func(yield func(*entry) bool) {
			for i := range manyNames {
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
	dir := serve(t, fusefs.Config{}, oneWorld(r.tree(dirEntry("", many()))), r) + "/" + onlyPoint
	if got := run(t, dir, `ls -f $m/many | grep -c ^name-; find $m/many | sort | uniq | wc -l; ls -l $m/many | awk '/name-/ { n++ } END { print n }'`); got !=
		fmt.Sprintf("%d\n%d\n%d\n", manyNames, 1+manyNames+2*manyNames/1000, manyNames) {
		t.Errorf("ls, find and ls -l say\n%s", got)
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

	t.Run("seek", func(t *testing.T) {
		fd, err := unix.Open(dir+"/many", unix.O_RDONLY|unix.O_DIRECTORY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		all := dirents(t, fd, -1)
		if len(all) != manyNames+2 || all[0].name != "." || all[1].name != ".." {
			t.Fatalf("%d names", len(all))
		}
		for range 50 {
			i := rand.IntN(len(all) - 1)
			if _, err := unix.Seek(fd, all[i].next, 0); err != nil {
				t.Fatal(err)
			}
			if got := dirents(t, fd, 3); got[0] != all[i+1] {
				t.Fatalf("behind %v is %v; want %v", all[i], got[0], all[i+1])
			}
		}
		if _, err := unix.Seek(fd, all[len(all)-1].next, 0); err != nil {
			t.Fatal(err)
		}
		if got := dirents(t, fd, 1); len(got) != 0 {
			t.Errorf("at the end is %v", got)
		}
		unix.Seek(fd, 0, 0)
		if got := dirents(t, fd, 1); len(got) == 0 || got[0].name != "." {
			t.Errorf("at the beginning is %v", got)
		}
	})
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
