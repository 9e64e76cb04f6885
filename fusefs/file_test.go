package fusefs_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"tidemark/catalog"
	"tidemark/fusefs"
	"tidemark/pack"
)

// someFiles are contents of each form: in the node, a few extents, a list; with
// and without zeros.
func someFiles() map[string][]byte {
	zeros := bytes.Clone(pattern(40 * zeroLen))
	clear(zeros[3*zeroLen : 9*zeroLen])
	clear(zeros[20*zeroLen : 21*zeroLen])
	few := bytes.Clone(pattern(4*zeroLen + 10))
	clear(few[zeroLen : 2*zeroLen])
	return map[string][]byte{
		"empty": {}, "byte": {7}, "inline": pattern(512), "extent": pattern(513),
		"few": few, "list": pattern(70*zeroLen - 1), "zeros": zeros, "all": make([]byte, 3*zeroLen+5),
	}
}

func fileTree(r *repo, files map[string][]byte) *catalog.Tree {
	return r.tree(&entry{
		Row: catalog.Row{Node: catalog.Node{Type: catalog.Dir, Mode: 0o755}},
		children: func(yield func(*entry) bool) {
			for _, name := range sorted(files) {
				if !yield(fileEntry(name, files[name])) {
					return
				}
			}
		},
	})
}

// TestRandomReads compares reads at random places, from several goroutines on
// one handle and on handles of their own, with and without caches.
func TestRandomReads(t *testing.T) {
	for name, cfg := range map[string]fusefs.Config{"caches": {}, "no caches": {NodeBytes: 1, ReadBytes: 1}, "small caches": {NodeBytes: 4096, ReadBytes: 3 * zeroLen}} {
		t.Run(name, func(t *testing.T) {
			r := newRepo(t)
			files := someFiles()
			fs := newRaw(t, cfg, oneWorld(fileTree(r, files)), r)
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			var wg sync.WaitGroup
			for name, want := range files {
				id := fs.at(onlyPoint + "/" + name)
				for g := range 3 {
					rnd := rand.New(rand.NewPCG(seed, uint64(g)))
					wg.Go(func() {
						for range 25 {
							off := rnd.IntN(len(want) + 3)
							n := rnd.IntN(1 << rnd.IntN(20))
							end := min(off+n, len(want))
							got, s := fs.read(id, uint64(g/2), uint64(off), n)
							if s != fuse.OK || !bytes.Equal(got, want[min(off, end):end]) {
								t.Errorf("%s: %d bytes at %d of %d: %v, or other bytes", name, n, off, len(want), s)
								return
							}
						}
					})
				}
			}
			wg.Wait()
		})
	}
}

// TestReads reads through the kernel: whole, backwards, mapped, and by eight at once.
func TestReads(t *testing.T) {
	r := newRepo(t)
	files := someFiles()
	dir := serve(t, fusefs.Config{ReadBytes: 8 * zeroLen}, oneWorld(fileTree(r, files)), r) + "/" + onlyPoint
	for name, want := range files {
		f, err := os.Open(dir + "/" + name)
		if err != nil {
			t.Fatal(err)
		}
		for end := len(want); end > 0; end -= zeroLen / 2 {
			b := make([]byte, min(end, zeroLen/2))
			if _, err := f.ReadAt(b, int64(end-len(b))); err != nil || !bytes.Equal(b, want[end-len(b):end]) {
				t.Errorf("%s, to byte %d: %v, or other bytes", name, end, err)
			}
		}
		if n, err := f.ReadAt(make([]byte, 10), int64(len(want))); n != 0 || err != io.EOF {
			t.Errorf("%s, behind the end: %d bytes, %v", name, n, err)
		}
		f.Close()
		if got, err := os.ReadFile(dir + "/" + name); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %v, or other bytes", name, err)
		}
	}
	t.Run("mapped", func(t *testing.T) {
		out, err := child(t, "mapped", dir+"/list").Output()
		if want := fmt.Sprintf("%x", sum(files["list"])); err != nil || string(out) != want {
			t.Errorf("mapped: %s, %v; want %s", out, err, want)
		}
	})
	t.Run("at once", func(t *testing.T) {
		out := run(t, dir, `for i in 1 2 3 4 5 6 7 8; do sha256sum <$m/list & sha256sum <$m/zeros & done; wait`)
		if n := len(countLines(out)); n != 2 {
			t.Errorf("eight readers of two files saw %d:\n%s", n, out)
		}
	})
	t.Run("past the cache", func(t *testing.T) {
		out := run(t, dir, `dd if=$m/list iflag=direct bs=100K status=none | sha256sum`)
		if want := fmt.Sprintf("%x  -\n", sum(files["list"])); out != want {
			t.Errorf("with O_DIRECT: %s; want %s", out, want)
		}
	})
	t.Run("executed", func(t *testing.T) {
		// nosuid and nodev, but not noexec.
		if out := run(t, dir, `grep " $(realpath $m/../../..) " /proc/self/mounts`); !strings.Contains(out, "ro,nosuid,nodev") || strings.Contains(out, "noexec") {
			t.Errorf("it is mounted so: %s", out)
		}
	})
}

// printMapped prints the hash of a file that it maps into memory.
func printMapped(args []string) error {
	f, err := os.Open(args[0])
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	b, err := unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_PRIVATE)
	if err != nil {
		return err
	}
	fmt.Printf("%x", sum(b))
	return unix.Munmap(b)
}

// TestFarAway reads a file of 4 EiB that is nearly all hole.
func TestFarAway(t *testing.T) {
	r := newRepo(t)
	end := pattern(1000)
	id := r.keys.ChunkID(end)
	at, err := r.put(pack.DataPack, id, end)
	if err != nil {
		t.Fatal(err)
	}
	const size = 1<<62 + 1000
	e := fileEntry("far", nil)
	e.Size, e.Alloc = size, catalog.HolesZero
	e.Extents = []catalog.Extent{{Zero: true, Len: 1 << 62}, {Len: 1000, ID: id, Place: at}}
	e.made = true
	dir := serve(t, fusefs.Config{}, oneWorld(r.tree(dirEntry("", e))), r) + "/" + onlyPoint
	f, err := os.Open(dir + "/far")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 2000)
	if n, err := f.ReadAt(b, 1<<62-1000); n != 2000 || err != nil || !bytes.Equal(b, append(make([]byte, 1000), end...)) {
		t.Errorf("at its end: %d bytes, %v, or other bytes", n, err)
	}
	if off, err := f.Seek(5, unix.SEEK_DATA); off != 1<<62 || err != nil {
		t.Errorf("data from 5 on is at %d, %v", off, err)
	}
	var st unix.Stat_t
	if err := unix.Stat(dir+"/far", &st); err != nil || st.Size != size || st.Blocks != 8 {
		t.Errorf("size %d, %d blocks, %v", st.Size, st.Blocks, err)
	}
}

// TestSeek looks for data and holes of every kind of allocation, in the node
// and in a list.
func TestSeek(t *testing.T) {
	r := newRepo(t)
	holey := func(name string, blocks int, alloc catalog.Alloc, holes ...catalog.Range) *entry {
		content := bytes.Clone(pattern(blocks*zeroLen + 100))
		clear(content[2*zeroLen : 4*zeroLen])
		clear(content[5*zeroLen : 6*zeroLen])
		e := fileEntry(name, content)
		e.Alloc, e.Holes = alloc, holes
		return e
	}
	listed := []catalog.Range{{Off: 2*zeroLen + 4096, Len: 8192}, {Off: 7 * zeroLen, Len: zeroLen + 100}}
	fs := newRaw(t, fusefs.Config{}, oneWorld(r.tree(dirEntry("",
		holey("a none", 7, catalog.HolesUnknown), holey("b zero", 7, catalog.HolesZero), holey("c zero list", 12, catalog.HolesZero),
		holey("d listed", 8, catalog.HolesListed, listed...), fileEntry("e inline", []byte("x"))))), r)
	const z = zeroLen
	for _, tt := range []struct {
		name       string
		off        uint64
		data, hole int64 // -1: ENXIO
	}{
		{"a none", 0, 0, 7*z + 100},
		{"a none", 3 * z, 3 * z, 7*z + 100},
		{"a none", 7*z + 100, -1, -1},
		{"b zero", 0, 0, 2 * z},
		{"b zero", 2*z + 5, 4 * z, 2*z + 5},
		{"b zero", 4 * z, 4 * z, 5 * z},
		{"b zero", 6 * z, 6 * z, 7*z + 100},
		{"c zero list", 1, 1, 2 * z},
		{"c zero list", 3*z + 9, 4 * z, 3*z + 9},
		{"c zero list", 5 * z, 6 * z, 5 * z},
		{"c zero list", 11 * z, 11 * z, 12*z + 100},
		{"d listed", 0, 0, 2*z + 4096},
		{"d listed", 2*z + 5000, 2*z + 4096 + 8192, 2*z + 5000},
		{"d listed", 5 * z, 5 * z, 7 * z},
		{"d listed", 7*z + 1, -1, 7*z + 1},
		{"e inline", 0, 0, 1},
		{"e inline", 1, -1, -1},
	} {
		id := fs.at(onlyPoint + "/" + tt.name)
		for whence, want := range map[uint32]int64{unix.SEEK_DATA: tt.data, unix.SEEK_HOLE: tt.hole} {
			var out fuse.LseekOut
			s := fs.Lseek(fs.cancel, &fuse.LseekIn{InHeader: fuse.InHeader{NodeId: id}, Offset: tt.off, Whence: whence}, &out)
			got := int64(out.Offset)
			if s == fuse.Status(unix.ENXIO) {
				got = -1
			} else if s != fuse.OK {
				t.Errorf("%s: %v", tt.name, s)
			}
			if got != want {
				t.Errorf("%s from %d, whence %d: %d; want %d", tt.name, tt.off, whence, got, want)
			}
		}
	}
	for name, blocks := range map[string]uint64{
		"a none": (7*z + 4096) / 512, "b zero": (4*z + 4096) / 512, "c zero list": (9*z + 4096) / 512,
		"d listed": (8*z - 8192 - z) / 512, "e inline": 8,
	} {
		if a, s := fs.stat(fs.at(onlyPoint + "/" + name)); s != fuse.OK || a.Blocks != blocks {
			t.Errorf("%s has %d blocks, %v; want %d", name, a.Blocks, s, blocks)
		}
	}
}
