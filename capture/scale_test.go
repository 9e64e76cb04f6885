package capture_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tidemark/catalog"
	"tidemark/chunk"
	"tidemark/fetch"
	"tidemark/pack"
	"tidemark/store"
)

// memoryDir returns an empty directory, in memory if there is such a filesystem:
// a disk takes half a minute for 200,000 files.
func memoryDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "tidemark-test-*")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// makeEmpty makes n empty files in dir, which it makes too.
func makeEmpty(t testing.TB, dir string, n int) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	d, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for i := range n {
		if err := unix.Mknodat(int(d.Fd()), fmt.Sprintf("entry-%06d", i), unix.S_IFREG|0o644, 0); err != nil {
			t.Fatal(err)
		}
	}
}

// A pageRecorder notes which pages are asked for.
type pageRecorder struct {
	pages catalog.Pages
	asked []pack.Place
}

func (r *pageRecorder) Page(ctx context.Context, id chunk.ID, at pack.Place) ([]byte, error) {
	r.asked = append(r.asked, at)
	return r.pages.Page(ctx, id, at)
}

// pathPages returns the places of the pages on the way to path, which is
// there: one a level of each directory.
func (r *repository) pathPages(p *catalog.Opened, path string) []pack.Place {
	r.t.Helper()
	pages := &pageRecorder{pages: r.pages()}
	tree, err := catalog.OpenTree(pages, p.Root)
	if err == nil {
		_, err = tree.Resolve(r.t.Context(), path)
	}
	if err != nil {
		r.t.Fatal(err)
	}
	return pages.asked
}

// packKinds returns the kinds of the packs in the store, by name.
func (r *repository) packKinds() map[string]pack.Kind {
	r.t.Helper()
	kinds := map[string]pack.Kind{}
	var names []string
	if err := r.store.List(r.t.Context(), "packs/", "", func(o store.Info) error {
		names = append(names, o.Key)
		return nil
	}); err != nil {
		r.t.Fatal(err)
	}
	for _, name := range names {
		head := make([]byte, pack.MaxHeader)
		n, err := r.store.ReadAt(r.t.Context(), name, head, 0)
		if err != nil {
			r.t.Fatal(err)
		}
		for _, kind := range []pack.Kind{pack.DataPack, pack.TreePack} {
			if _, err := pack.ParseHeader(head[:n], r.secret.Repository, name, kind); err == nil {
				kinds[name] = kind
			}
		}
		if kinds[name] == 0 {
			r.t.Fatalf("%s is a pack of no kind", name)
		}
	}
	return kinds
}

// TestChangeInHugeDirectory changes one thing in a tree with a directory of
// 200,000 entries: what is written is that, and the way to it.
func TestChangeInHugeDirectory(t *testing.T) {
	const entries = 200_000
	dir := memoryDir(t)
	huge := filepath.Join(dir, "huge")
	makeEmpty(t, huge, entries)
	for i := range 200 { // beside it, what must not be touched
		write(t, filepath.Join(dir, "other", fmt.Sprint(i), "file"), []byte("other"))
	}
	r := newRepository(t, store.NewMem())
	_, progress := r.capture(dir)
	if got := progress.Files.Load(); got != entries+200 {
		t.Fatalf("%d files were captured, want %d", got, entries+200)
	}
	all := progress.NewPages.Load()

	for _, step := range []struct {
		name   string
		change func() error
		path   string // of it
	}{
		{"a file is written", func() error {
			return os.WriteFile(filepath.Join(huge, "entry-123456"), []byte("changed"), 0o644)
		}, "huge/entry-123456"},
		{"a file is made", func() error {
			return os.WriteFile(filepath.Join(huge, "entry-077777-new"), []byte("new"), 0o644)
		}, "huge/entry-077777-new"},
	} {
		if err := step.change(); err != nil {
			t.Fatal(err)
		}
		before := r.packKinds()
		p, progress := r.capture(dir)
		pages, opened := progress.NewPages.Load(), progress.FilesRead.Load()
		way := len(r.pathPages(p, step.path))
		depth := strings.Count(step.path, "/") + 1
		t.Logf("%s: %d of %d pages written, %d on the way to it at depth %d; %d files opened; %d bytes stored",
			step.name, pages, all, way, depth, opened, progress.StoredBytes.Load())
		if pages > int64(depth+2) {
			t.Errorf("%s: %d pages were written, want at most depth + 2 = %d", step.name, pages, depth+2)
		}
		if opened != 1 {
			t.Errorf("%s: %d files were opened, want 1", step.name, opened)
		}
		trees := 0
		for name, kind := range r.packKinds() {
			if before[name] != 0 {
				continue
			}
			if kind != pack.TreePack {
				t.Errorf("%s: a %v was written, and all content is inline", step.name, kind)
			}
			trees++
		}
		if trees != 1 {
			t.Errorf("%s: %d packs of pages were written, want 1", step.name, trees)
		}
	}
}

// TestColdOpen opens one file of a point with 200,000 files, knowing nothing:
// each block of pages on the way is asked for once, its content too, and one
// header for each run that is met. Nothing is listed, and no index is read.
func TestColdOpen(t *testing.T) {
	dir := memoryDir(t)
	const dirs, files = 200, 1000
	for i := range dirs {
		makeEmpty(t, filepath.Join(dir, fmt.Sprintf("dir-%03d", i)), files)
	}
	early, late := "dir-017/entry-000500", "dir-150/entry-000999"
	contents := map[string][]byte{early: random(100 << 10), late: random(30 << 10)}
	counter := store.Count(store.NewMem())
	r := newRepository(t, counter)
	write(t, filepath.Join(dir, early), contents[early])
	r.capture(dir)
	write(t, filepath.Join(dir, late), contents[late])
	p, progress := r.capture(dir)
	if got := progress.Files.Load(); got != dirs*files {
		t.Fatalf("the point has %d files, want %d", got, dirs*files)
	}

	for _, tt := range []struct {
		path string
		runs int
	}{
		{late, 1},  // all that leads to it was written by the second run
		{early, 2}, // its directory and its content were by the first
	} {
		levels := len(r.pathPages(p, tt.path))
		counter.Reset()
		got, blocks, runs := r.openCold(p.Object, tt.path)
		if string(got) != string(contents[tt.path]) {
			t.Errorf("%s: %d bytes that are not its content", tt.path, len(got))
		}
		var points, headers, reads, others int
		for _, q := range counter.Requests() {
			area, _, _ := strings.Cut(q.Key, "/")
			switch {
			case q.Op == store.OpRead && q.Key == p.Object:
				points++
			case q.Op == store.OpRead && area == "packs" && q.Off == 0 && q.N == pack.MaxHeader:
				headers++
			case q.Op == store.OpRead && area == "packs":
				reads++
			default:
				others++
				t.Errorf("%s: it asked for %v %s", tt.path, q.Op, q.Key)
			}
		}
		t.Logf("%s: %d requests: %d of the point, %d blocks for %d levels of pages and the content, %d headers of packs for %d runs, %d others",
			tt.path, points+headers+reads+others, points, reads, levels, headers, runs, others)
		if points != 1 || headers != runs || reads != blocks {
			t.Errorf("%s: it took %d reads of the point, %d headers and %d blocks; want 1, %d and %d", tt.path, points, headers, reads, runs, blocks)
		}
		if runs != tt.runs || reads > levels+1 {
			t.Errorf("%s: %d runs and %d blocks, want %d runs and at most %d blocks", tt.path, runs, reads, tt.runs, levels+1)
		}
	}
}

// openCold reads the content at path of a point with nothing in memory, and
// says how many blocks, of how many runs, the places on the way named.
func (r *repository) openCold(object, path string) (content []byte, blocks, runs int) {
	r.t.Helper()
	f, err := fetch.New(fetch.Config{}, r.secret.Repository, r.store, r.secret)
	if err != nil {
		r.t.Fatal(err)
	}
	defer f.Close()
	p := r.open(object)
	pages := &pageRecorder{pages: f}
	tree, err := catalog.OpenTree(pages, p.Root)
	if err != nil {
		r.t.Fatal(err)
	}
	n, err := tree.Resolve(r.t.Context(), path)
	if err != nil {
		r.t.Fatal(err)
	}
	places := pages.asked
	for _, x := range n.Extents {
		c, err := f.Chunk(r.t.Context(), x.ID, x.Place)
		if err != nil {
			r.t.Fatal(err)
		}
		content = append(content, c.Bytes()...)
		c.Release()
		places = append(places, x.Place)
	}
	seen, runsSeen := map[pack.Block]bool{}, map[string]bool{}
	for _, at := range places {
		seen[at.Block], runsSeen[at.Run.String()] = true, true
	}
	return content, len(seen), len(runsSeen)
}
