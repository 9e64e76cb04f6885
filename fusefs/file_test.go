package fusefs_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"tidemark/catalog"
	"tidemark/chunk"
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
		"few": few, "list": pattern(100*zeroLen - 1), "zeros": zeros, "all": make([]byte, 3*zeroLen+5),
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
						for range 40 {
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
	t.Run("executed", func(t *testing.T) {
		// nosuid and nodev, but not noexec.
		if out := run(t, dir, `grep " $(realpath $m/../../..) " /proc/self/mounts`); !strings.Contains(out, "ro,nosuid,nodev") || strings.Contains(out, "noexec") {
			t.Errorf("it is mounted so: %s", out)
		}
	})
}

func init() {
	children["mapped"] = func(args []string) error {
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

// TestDamage flips a byte of a pack: the read fails, says so once, and is never
// short; with the right byte there again it succeeds.
func TestDamage(t *testing.T) {
	r := newRepo(t)
	content := pattern(30 * zeroLen)
	w := oneWorld(fileTree(r, map[string][]byte{"f": content, "other": pattern(700)}))
	var log lockedBuffer
	dir := serve(t, fusefs.Config{Log: slog.New(slog.NewTextHandler(&log, nil))}, w, r) + "/" + onlyPoint
	broken := r.keys.ChunkID(content[17*zeroLen : 18*zeroLen])
	object := "packs/abc/def/00000001"
	fail := func(_ context.Context, id chunk.ID) error {
		if id == broken {
			return &pack.DamageError{Object: object, Reason: pack.ReasonSeal, Detail: "block 17: its seal does not open"}
		}
		return nil
	}
	r.before.Store(&fail)
	got, err := os.ReadFile(dir + "/f")
	wantErrno(t, "reading a damaged file", err, unix.EIO)
	if len(got) > 17*zeroLen || !bytes.Equal(got, content[:len(got)]) {
		t.Errorf("before the error came %d bytes, or other ones", len(got))
	}
	if out, err := runErr(t, dir, `cp $m/f `+quoted(t.TempDir()+"/copy")); err == nil {
		t.Errorf("cp of a damaged file succeeds: %s", out)
	}
	if got, err := os.ReadFile(dir + "/other"); err != nil || !bytes.Equal(got, pattern(700)) {
		t.Errorf("another file: %v, or other bytes", err)
	}
	if n := strings.Count(log.String(), object); n != 1 || !strings.Contains(log.String(), "path="+onlyPoint+"/f") {
		t.Errorf("the log names the object %d times:\n%s", n, log.String())
	}
	r.before.Store(nil)
	if got, err := os.ReadFile(dir + "/f"); err != nil || !bytes.Equal(got, content) {
		t.Errorf("once it is whole again: %v, or other bytes", err)
	}
}

// TestDamagedTree has pages that cannot be read: a directory is an error, never
// empty, and a name in it is an error, never missing.
func TestDamagedTree(t *testing.T) {
	r := newRepo(t)
	tree := r.tree(dirEntry("", dirEntry("d", fileEntry("f", []byte("x"))), fileEntry("g", []byte("g"))))
	pages := &failingPages{repo: r}
	page, err := catalog.RootPage(&[]catalog.Row{tree.Root()}[0], nil)
	if err != nil {
		t.Fatal(err)
	}
	failing, err := catalog.OpenTree(pages, page)
	if err != nil {
		t.Fatal(err)
	}
	dir := serve(t, fusefs.Config{NodeBytes: 1}, oneWorld(failing), r) + "/" + onlyPoint
	if got := names(t, dir); got != "d g" {
		t.Fatalf("it lists %q", got)
	}
	d, err := tree.Resolve(t.Context(), "d")
	if err != nil {
		t.Fatal(err)
	}
	pages.fail.Store(&d.Child.ID)
	_, err = os.ReadDir(dir + "/d")
	wantErrno(t, "listing it", err, unix.EIO)
	_, err = os.Lstat(dir + "/d/f")
	wantErrno(t, "a name in it", err, unix.EIO)
	_, err = os.Lstat(dir + "/d/none")
	wantErrno(t, "a name that is not in it", err, unix.EIO)
	if out, err := runErr(t, dir, `rsync -a --delete $m/ `+quoted(t.TempDir())); err == nil {
		t.Errorf("rsync succeeds: %s", out)
	}
	pages.fail.Store(nil)
	if got := names(t, dir+"/d"); got != "f" {
		t.Errorf("once it is whole again it lists %q", got)
	}
}

// failingPages fails one page.
type failingPages struct {
	*repo
	fail atomic.Pointer[chunk.ID]
}

func (p *failingPages) Page(ctx context.Context, id chunk.ID, at pack.Place) ([]byte, error) {
	if bad := p.fail.Load(); bad != nil && *bad == id {
		return nil, fmt.Errorf("page %v is damaged: %w", id, unix.ENOENT) // whatever it wraps
	}
	return p.repo.Page(ctx, id, at)
}

// TestKilledReaders kills readers of a chunk that does not come, while others
// wait for the same one.
func TestKilledReaders(t *testing.T) {
	r := newRepo(t)
	content := pattern(50_000)
	dir := serve(t, fusefs.Config{}, oneWorld(fileTree(r, map[string][]byte{"f": content})), r) + "/" + onlyPoint
	release := make(chan struct{})
	wait := func(ctx context.Context, _ chunk.ID) error {
		select {
		case <-release:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	r.before.Store(&wait)
	var killed, patient []*exec.Cmd
	var out [4]bytes.Buffer
	for i := range out {
		cmd := exec.CommandContext(t.Context(), "cat", dir+"/f")
		cmd.Stdout = &out[i]
		patient = append(patient, cmd)
		killed = append(killed, exec.CommandContext(t.Context(), "cat", dir+"/f"))
	}
	for i := range out {
		for _, cmd := range []*exec.Cmd{patient[i], killed[i]} {
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
		}
	}
	within(t, 10*time.Second, "somebody waits for the chunk", func() bool { return r.chunks.Load() > 0 })
	for _, cmd := range killed {
		cmd.Process.Kill()
		if err := cmd.Wait(); err == nil {
			t.Error("a reader that was killed succeeded")
		}
	}
	close(release)
	for i, cmd := range patient {
		if err := cmd.Wait(); err != nil || !bytes.Equal(out[i].Bytes(), content) {
			t.Errorf("a reader that waited: %v, or other bytes", err)
		}
	}
}

// TestPanic has a mistake in what the mount reads from: one request fails.
func TestPanic(t *testing.T) {
	r := newRepo(t)
	var log lockedBuffer
	dir := serve(t, fusefs.Config{Log: slog.New(slog.NewTextHandler(&log, nil))}, oneWorld(fileTree(r, someFiles())), r) + "/" + onlyPoint
	panics := func(context.Context, chunk.ID) error { panic("no such luck") }
	r.before.Store(&panics)
	_, err := os.ReadFile(dir + "/extent")
	wantErrno(t, "reading", err, unix.EIO)
	if !strings.Contains(log.String(), "no such luck") {
		t.Errorf("the log says\n%s", log.String())
	}
	r.before.Store(nil)
	if _, err := os.ReadFile(dir + "/extent"); err != nil {
		t.Error(err)
	}
}

// TestUnreadable lists what could not be captured, and fails to read it.
func TestUnreadable(t *testing.T) {
	r := newRepo(t)
	bad := func(e *entry) *entry {
		e.Unreadable = "input/output error"
		return e
	}
	file := bad(fileEntry("f", nil))
	file.Size = 12345
	link := &entry{Row: catalog.Row{Node: catalog.Node{Name: "l", Type: catalog.Symlink, Mode: 0o777}}}
	var log lockedBuffer
	dir := serve(t, fusefs.Config{Log: slog.New(slog.NewTextHandler(&log, nil))},
		oneWorld(r.tree(dirEntry("", bad(dirEntry("d")), file, bad(link)))), r) + "/" + onlyPoint
	if got := names(t, dir); got != "d f l" {
		t.Errorf("it lists %q", got)
	}
	if info, err := os.Stat(dir + "/f"); err != nil || info.Size() != 12345 {
		t.Errorf("stat of the file: %v, %v", info, err)
	}
	_, err := os.ReadFile(dir + "/f")
	wantErrno(t, "reading the file", err, unix.EIO)
	_, err = os.ReadDir(dir + "/d")
	wantErrno(t, "listing the directory", err, unix.EIO)
	_, err = os.Lstat(dir + "/d/x")
	wantErrno(t, "a name in the directory", err, unix.EIO)
	_, err = os.Readlink(dir + "/l")
	wantErrno(t, "reading the link", err, unix.EIO)
	if !strings.Contains(log.String(), "could not be read when it was captured: input/output error") {
		t.Errorf("the log says\n%s", log.String())
	}
}

// TestReadOnly tries to change things through the kernel.
func TestReadOnly(t *testing.T) {
	r := newRepo(t)
	dir := serve(t, fusefs.Config{}, oneWorld(fileTree(r, someFiles())), r)
	for _, below := range []string{"", "/daily", "/daily/2026-11-20", "/" + onlyPoint} {
		d := dir + below
		file := dir + "/" + onlyPoint + "/inline"
		for name, err := range map[string]error{
			"create":   func() error { _, err := os.Create(d + "/new"); return err }(),
			"mkdir":    os.Mkdir(d+"/new", 0o755),
			"mknod":    unix.Mknod(d+"/new", unix.S_IFIFO|0o600, 0),
			"symlink":  os.Symlink("x", d+"/new"),
			"link":     os.Link(file, dir+"/"+onlyPoint+"/new"),
			"rename":   os.Rename(file, dir+"/"+onlyPoint+"/new"),
			"remove":   os.Remove(file),
			"rmdir":    unix.Rmdir(d),
			"truncate": os.Truncate(file, 0),
			"chmod":    os.Chmod(d, 0o777),
			"chown":    os.Chown(d, 1, 1),
			"utimes":   os.Chtimes(d, time.Unix(1, 0), time.Unix(1, 0)),
			"setxattr": unix.Setxattr(d, "user.x", []byte("x"), 0),
			"rmxattr":  unix.Removexattr(d, "user.x"),
			"open":     func() error { _, err := os.OpenFile(file, os.O_RDWR, 0); return err }(),
			"append":   func() error { _, err := os.OpenFile(file, os.O_WRONLY|os.O_APPEND, 0); return err }(),
			"access":   unix.Access(file, unix.W_OK),
		} {
			if name == "rmdir" && below == "" {
				continue // a mount point is busy before it is anything else
			}
			wantErrno(t, name+" in "+d, err, unix.EROFS)
		}
	}
}

// A lockedBuffer is a log that may be written while it is read.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer // guarded by mu
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
