package fusefs_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/hanwen/go-fuse/v2/fuse"

	"tidemark/catalog"
	"tidemark/chunk"
	"tidemark/fusefs"
)

// These tests ask as the kernel does, without one.

type raw struct {
	t *testing.T
	fuse.RawFileSystem
	cancel chan struct{}
}

func newRaw(t *testing.T, cfg fusefs.Config, w fusefs.World, c fusefs.Chunks) raw {
	t.Helper()
	fs, err := fusefs.NewRaw(cfg, w, c)
	if err != nil {
		t.Fatal(err)
	}
	return raw{t, fs, make(chan struct{})}
}

// at follows a path from the top, and returns the kernel id of what is there.
func (r raw) at(path string) uint64 {
	r.t.Helper()
	id := uint64(fuse.FUSE_ROOT_ID)
	for name := range strings.SplitSeq(path, "/") {
		var out fuse.EntryOut
		if s := r.Lookup(r.cancel, &fuse.InHeader{NodeId: id}, name, &out); s != fuse.OK || out.NodeId == 0 {
			r.t.Fatalf("lookup of %s in %s: %v, node %d", name, path, s, out.NodeId)
		}
		id = out.NodeId
	}
	return id
}

func (r raw) stat(id uint64) (fuse.Attr, fuse.Status) {
	var out fuse.AttrOut
	s := r.GetAttr(r.cancel, &fuse.GetAttrIn{InHeader: fuse.InHeader{NodeId: id}}, &out)
	return out.Attr, s
}

// read reads with a handle that may not be there.
func (r raw) read(id, fh uint64, off uint64, n int) ([]byte, fuse.Status) {
	in := &fuse.ReadIn{InHeader: fuse.InHeader{NodeId: id}, Fh: fh, Offset: off, Size: uint32(n)}
	result, s := r.Read(r.cancel, in, make([]byte, n))
	if s != fuse.OK {
		return nil, s
	}
	b, s := result.Bytes(nil)
	result.Done()
	return bytes.Clone(b), s
}

// list lists a directory, with a handle that may not be there.
func (r raw) list(id, fh uint64) (names []string, s fuse.Status) {
	for off := uint64(0); ; {
		entries, s := r.readDir(id, fh, off, 4096)
		if s != fuse.OK || len(entries) == 0 {
			return names, s
		}
		for _, e := range entries {
			names = append(names, e.Name)
			off = e.Off
		}
	}
}

// entries lists a directory from an offset on, size bytes at a time, until it
// has some entries, or, with -1, all.
func (r raw) entries(id, off uint64, size, limit int) (all []fuse.DirEntry) {
	r.t.Helper()
	for limit < 0 || len(all) < limit {
		entries, s := r.readDir(id, 7, off, size)
		if s != fuse.OK {
			r.t.Fatal(s)
		}
		if len(entries) == 0 {
			break
		}
		all = append(all, entries...)
		off = all[len(all)-1].Off
	}
	return all
}

func (r raw) readDir(id, fh, off uint64, size int) ([]fuse.DirEntry, fuse.Status) {
	r.t.Helper()
	out := fuse.NewDirEntryList(make([]byte, size), off)
	if s := r.ReadDir(r.cancel, &fuse.ReadIn{InHeader: fuse.InHeader{NodeId: id}, Fh: fh, Offset: off}, out); s != fuse.OK {
		return nil, s
	}
	entries, err := fuse.ParseDirEntries(out.Bytes())
	if err != nil {
		r.t.Fatal(err)
	}
	return entries, fuse.OK
}

func dirEntry(name string, children ...*entry) *entry {
	return &entry{
		Row:      catalog.Row{Node: catalog.Node{Name: name, Type: catalog.Dir, Mode: 0o755}},
		children: slices.Values(children),
	}
}

func fileEntry(name string, content []byte) *entry {
	return &entry{Row: catalog.Row{Node: catalog.Node{Name: name, Type: catalog.File, Mode: 0o644}}, content: content}
}

func TestInventedIDsAreStale(t *testing.T) {
	r := newRepo(t)
	fs := newRaw(t, fusefs.Config{}, oneWorld(r.tree(dirEntry("", dirEntry("d", fileEntry("f", []byte("x")))))), r)
	file := fs.at(onlyPoint + "/d/f")
	period := fs.at("daily/2026-11-20")
	const above, number = 1 << 63, 1 << 36
	for name, id := range map[string]uint64{
		"zero":                            0,
		"a rank of no point":              2,
		"the largest":                     1<<64 - 1,
		"a number never given":            1000*number | 1,
		"a rank past the tree":            file + 1,
		"a rank far past the tree":        file | (number - 1),
		"a directory above, as a point":   (period &^ above) * number,
		"a point, as a directory above":   above | file/number,
		"a directory above, never given":  above | 1<<40,
		"a directory above, of number 0":  above,
		"the number after the last, root": (file/number + 100) * number,
	} {
		t.Run(name, func(t *testing.T) {
			if _, s := fs.stat(id); s != fuse.Status(syscall.ESTALE) {
				t.Errorf("stat of %#x: %v", id, s)
			}
			if _, s := fs.read(id, 7, 0, 10); s != fuse.Status(syscall.ESTALE) {
				t.Errorf("read of %#x: %v", id, s)
			}
			if _, s := fs.list(id, 7); s != fuse.Status(syscall.ESTALE) {
				t.Errorf("list of %#x: %v", id, s)
			}
			var out fuse.EntryOut
			if s := fs.Lookup(fs.cancel, &fuse.InHeader{NodeId: id}, "x", &out); s != fuse.Status(syscall.ESTALE) {
				t.Errorf("lookup in %#x: %v", id, s)
			}
		})
	}
	for range 1000 {
		fs.stat(rand.Uint64() >> rand.IntN(64)) // whatever it is, it is an answer
	}
}

// TestNothingIsRemembered asks by ids, with handles that nobody gave out, as the
// kernel does of a program that came after the one that did.
func TestNothingIsRemembered(t *testing.T) {
	r := newRepo(t)
	content := pattern(20 * zeroLen)
	tree := r.tree(dirEntry("", dirEntry("d", fileEntry("f", content), fileEntry("g", []byte("g")))))
	fs := newRaw(t, fusefs.Config{NodeBytes: 1, ReadBytes: 1}, oneWorld(tree), r)
	dir, file := fs.at(onlyPoint+"/d"), fs.at(onlyPoint+"/d/f")
	if got, s := fs.read(file, 123, 5*zeroLen-5, 100); s != fuse.OK || !bytes.Equal(got, content[5*zeroLen-5:][:100]) {
		t.Errorf("read: %v, or other bytes", s)
	}
	if got, s := fs.list(dir, 123); s != fuse.OK || fmt.Sprint(got) != "[. .. f g]" {
		t.Errorf("list: %v, %v", got, s)
	}
	// A handle of another node: numbers begin anywhere, so it may happen.
	if got, s := fs.read(fs.at(onlyPoint+"/d/g"), 123, 0, 100); s != fuse.OK || string(got) != "g" {
		t.Errorf("read of another file with the same handle: %q, %v", got, s)
	}
}

func TestNoTwoNodesShareAKernelID(t *testing.T) {
	r := newRepo(t)
	w := newWorld(testHost)
	tree := r.tree(dirEntry("", dirEntry("d", fileEntry("f", []byte("x")))))
	w.add(testHost, "app", noon, tree)
	w.add(testHost, "db", noon, tree)
	fs := newRaw(t, fusefs.Config{Inodes: fusefs.InodesShared}, w, r)
	seen := map[uint64]string{}
	for _, top := range []string{"", "hosts/" + testHost + "/"} {
		for _, period := range []string{"daily/2026-11-20", "hourly/2026-11-20T1200", "weekly/2026-W47", "at/2026-11-20T120000"} {
			for _, path := range []string{"", "/app", "/app/d", "/app/d/f", "/db", "/db/d", "/db/d/f"} {
				id := fs.at(top + period + path)
				if seen[id] != "" {
					t.Errorf("%s%s%s has the kernel id of %s", top, period, path, seen[id])
				}
				seen[id] = top + period + path
				if again := fs.at(top + period + path); again != id {
					t.Errorf("%s%s%s: %#x, then %#x", top, period, path, id, again)
				}
			}
		}
	}
}

// TestInterrupted closes the cancel channel of requests that wait for content.
func TestInterrupted(t *testing.T) {
	r := newRepo(t)
	w := oneWorld(r.tree(dirEntry("", fileEntry("f", pattern(1000)))))
	w.add(testHost, "db", noon, r.said("not opened yet"))
	fs := newRaw(t, fusefs.Config{}, w, r)
	file := fs.at(onlyPoint + "/f")
	waiting := make(chan struct{})
	wait := func(ctx context.Context, _ chunk.ID) error {
		waiting <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	}
	r.before.Store(&wait)
	status := make(chan fuse.Status)
	go func() {
		_, s := fs.read(file, 0, 0, 10)
		status <- s
	}()
	<-waiting
	close(fs.cancel)
	if s := <-status; s != fuse.EINTR {
		t.Errorf("an interrupted read: %v", s)
	}
	// A listing that is interrupted does not pass for one that is at its end.
	if got, s := fs.list(fs.at("daily/2026-11-20"), 7); s != fuse.EINTR {
		t.Errorf("an interrupted listing: %v, %v", got, s)
	}
	r.before.Store(nil)
	fs.cancel = make(chan struct{})
	if _, s := fs.read(file, 0, 0, 10); s != fuse.OK {
		t.Errorf("the next read: %v", s)
	}
	top := &fuse.OpenIn{InHeader: fuse.InHeader{NodeId: fuse.FUSE_ROOT_ID}}
	var out fuse.OpenOut
	if s := fs.OpenDir(fs.cancel, top, &out); s != fuse.OK {
		t.Fatal(s)
	}
	close(fs.cancel)
	if got, s := fs.list(fuse.FUSE_ROOT_ID, out.Fh); s != fuse.EINTR && len(got) != 11 {
		t.Errorf("an interrupted listing of what is known: %v, %v", got, s)
	}
}

// TestStaleLink asks for a link that leads elsewhere by now.
func TestStaleLink(t *testing.T) {
	r := newRepo(t)
	w := oneWorld(r.said("old"))
	fs := newRaw(t, fusefs.Config{}, w, r)
	link := fs.at("latest/app")
	if target, s := fs.Readlink(fs.cancel, &fuse.InHeader{NodeId: link}); string(target) != "../at/2026-11-20T120000/app" {
		t.Errorf("it leads to %q, %v", target, s)
	}
	w.add(testHost, "app", noon.AddDate(0, 0, 1), r.said("new"))
	if target, s := fs.Readlink(fs.cancel, &fuse.InHeader{NodeId: link}); s != fuse.Status(syscall.ESTALE) {
		t.Errorf("the kernel may keep that it leads to %q, but now it is told %v", target, s)
	}
	if now := fs.at("latest/app"); now == link {
		t.Error("the new link is the same node")
	}
}

func TestErrnos(t *testing.T) {
	r := newRepo(t)
	w := oneWorld(r.tree(dirEntry("", fileEntry("f", pattern(1000)), fileEntry("g", pattern(1001)))))
	var log bytes.Buffer
	fs := newRaw(t, fusefs.Config{Log: slog.New(slog.NewTextHandler(&log, nil))}, w, r)
	file := fs.at(onlyPoint + "/f")
	for _, tt := range []struct {
		name string
		err  error
		want fuse.Status
	}{
		{"anything", errors.New("block 3 of packs/x is gone"), fuse.EIO},
		{"an errno of something else", fmt.Errorf("store: %w", syscall.ENOENT), fuse.EIO},
		{"a deadline that is not the reader's", context.DeadlineExceeded, fuse.EIO},
		{"a flight that was cancelled", context.Canceled, fuse.EIO},
		{"damage", fmt.Errorf("fetch: %w", errors.New("pack: packs/y: damaged")), fuse.EIO},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fusefs.RenewFailures(fs.RawFileSystem)
			log.Reset()
			fail := func(context.Context, chunk.ID) error { return tt.err }
			r.before.Store(&fail)
			defer r.before.Store(nil)
			for range 3 {
				if _, s := fs.read(file, 0, 0, 10); s != tt.want {
					t.Errorf("%v gives %v; want %v", tt.err, s, tt.want)
				}
			}
			if got := strings.Count(log.String(), "path=daily/2026-11-20/app/f"); got != 1 {
				t.Errorf("it is logged %d times:\n%s", got, log.String())
			}
		})
	}
	t.Run("many", func(t *testing.T) {
		fusefs.RenewFailures(fs.RawFileSystem)
		log.Reset()
		n := 0
		fail := func(context.Context, chunk.ID) error { n++; return fmt.Errorf("failure %d", n) }
		r.before.Store(&fail)
		defer r.before.Store(nil)
		for range 3 * fusefs.MaxFailures {
			fs.read(file, 0, 0, 10)
		}
		if got := strings.Count(log.String(), "\n"); got != fusefs.MaxFailures {
			t.Errorf("%d lines", got)
		}
		fusefs.RenewFailures(fs.RawFileSystem)
		if want := fmt.Sprintf("times=%d", 2*fusefs.MaxFailures); !strings.Contains(log.String(), want) {
			t.Errorf("%s is not said", want)
		}
	})
}

// TestChangesNothing asks for every change that the kernel could ask for.
func TestChangesNothing(t *testing.T) {
	r := newRepo(t)
	fs := newRaw(t, fusefs.Config{}, oneWorld(r.tree(dirEntry("", fileEntry("f", []byte("x"))))), r)
	c, id := fs.cancel, fs.at(onlyPoint)
	h := fuse.InHeader{NodeId: id}
	var entry fuse.EntryOut
	for name, s := range map[string]fuse.Status{
		"setattr":     fs.SetAttr(c, &fuse.SetAttrIn{}, &fuse.AttrOut{}),
		"mknod":       fs.Mknod(c, &fuse.MknodIn{InHeader: h}, "n", &entry),
		"mkdir":       fs.Mkdir(c, &fuse.MkdirIn{InHeader: h}, "n", &entry),
		"unlink":      fs.Unlink(c, &h, "f"),
		"rmdir":       fs.Rmdir(c, &h, "f"),
		"rename":      fs.Rename(c, &fuse.RenameIn{InHeader: h}, "f", "g"),
		"link":        fs.Link(c, &fuse.LinkIn{InHeader: h}, "n", &entry),
		"symlink":     fs.Symlink(c, &h, "f", "n", &entry),
		"setxattr":    fs.SetXAttr(c, &fuse.SetXAttrIn{InHeader: h}, "user.x", nil),
		"removexattr": fs.RemoveXAttr(c, &h, "user.x"),
		"create":      fs.Create(c, &fuse.CreateIn{InHeader: h}, "n", &fuse.CreateOut{}),
		"tmpfile":     fs.Tmpfile(c, &fuse.CreateIn{InHeader: h}, &fuse.CreateOut{}),
		"fallocate":   fs.Fallocate(c, &fuse.FallocateIn{InHeader: h}),
		"open":        fs.Open(c, &fuse.OpenIn{InHeader: fuse.InHeader{NodeId: fs.at(onlyPoint + "/f")}, Flags: syscall.O_RDWR}, &fuse.OpenOut{}),
	} {
		if s != fuse.EROFS {
			t.Errorf("%s: %v", name, s)
		}
	}
	if _, s := fs.Write(c, &fuse.WriteIn{}, nil); s != fuse.EROFS {
		t.Errorf("write: %v", s)
	}
	if _, s := fs.Writev(c, &fuse.WriteIn{}, nil); s != fuse.EROFS {
		t.Errorf("writev: %v", s)
	}
	if _, s := fs.CopyFileRange(c, &fuse.CopyFileRangeIn{}); s != fuse.EROFS {
		t.Errorf("copy_file_range: %v", s)
	}
}

func TestCache(t *testing.T) {
	for _, tt := range []struct {
		name          string
		budget        int64
		values        []int64
		kept, dropped []int64
	}{
		{"within the budget", 10, []int64{1, 2, 3}, []int64{1, 2, 3}, nil},
		{"the last ones", 10, []int64{4, 3, 5, 2}, []int64{3, 5, 2}, []int64{4}},
		{"the same again", 10, []int64{4, 4, 4}, []int64{4}, []int64{4, 4}},
		{"more than the budget", 10, []int64{1, 11}, nil, []int64{1, 11}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			kept, dropped := fusefs.CacheOf(tt.budget, tt.values...)
			if !slices.Equal(kept, tt.kept) || !slices.Equal(dropped, tt.dropped) {
				t.Errorf("kept %v, dropped %v; want %v, %v", kept, dropped, tt.kept, tt.dropped)
			}
		})
	}
}
