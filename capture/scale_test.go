package capture_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tidemark/capture"
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

// TestHugeDirectory captures a tree with a directory of 200,000 entries, and
// again with one thing changed: what is written is that, and the way to it.
// Then it opens files of the newest point, knowing nothing: each block of
// pages on the way is asked for once, the content too, and one header for each
// run that is met. Nothing is listed, and no index is read.
func TestHugeDirectory(t *testing.T) {
	const entries = 200_000
	dir := memoryDir(t)
	makeEmpty(t, filepath.Join(dir, "huge"), entries)
	for i := range 200 { // beside it, what must not be touched
		write(t, filepath.Join(dir, "other", fmt.Sprint(i), "file"), []byte("other"))
	}
	contents := map[string][]byte{"huge/entry-017500": random(100 << 10), "huge/entry-123456": []byte("changed"), "huge/entry-077777-new": []byte("new")}
	write(t, filepath.Join(dir, "huge/entry-017500"), contents["huge/entry-017500"])
	counter := store.Count(store.NewMem())
	r := newRepository(t, counter)
	_, progress := r.capture(dir)
	if got := progress.Files.Load(); got != entries+200 {
		t.Fatalf("%d files were captured, want %d", got, entries+200)
	}
	t.Logf("%d pages were written for %d files", progress.NewPages.Load(), entries+200)

	var p *catalog.Opened
	for _, changed := range []string{"huge/entry-123456", "huge/entry-077777-new"} {
		packs := r.packKinds()
		write(t, filepath.Join(dir, changed), contents[changed])
		p, progress = r.capture(dir)
		r.checkOneChange(p, changed, packs, progress)
	}
	for path, runs := range map[string]int{
		"huge/entry-017500":     2, // the pages above its own, and what the first run wrote
		"huge/entry-123456":     2, // as the second run wrote it
		"huge/entry-077777-new": 1,
	} {
		levels := len(r.pathPages(p, path))
		counter.Reset()
		got, blocks, met := r.openCold(p.Object, path)
		if string(got) != string(contents[path]) {
			t.Errorf("%s: %d bytes that are not its content", path, len(got))
		}
		checkColdRequests(t, counter.Requests(), p.Object, path, blocks, met)
		if met != runs || levels != 4 || blocks > levels+1 {
			t.Errorf("%s: %d levels of pages, %d blocks, %d runs; want 4, at most 5, and %d", path, levels, blocks, met, runs)
		}
	}
}

// checkOneChange looks what a capture has written that found one path changed.
func (r *repository) checkOneChange(p *catalog.Opened, changed string, packs map[string]pack.Kind, progress *capture.Progress) {
	r.t.Helper()
	pages, opened := progress.NewPages.Load(), progress.FilesRead.Load()
	depth := strings.Count(changed, "/") + 1
	r.t.Logf("%s: %d pages written, %d on the way to it at depth %d; %d files opened; %d bytes stored",
		changed, pages, len(r.pathPages(p, changed)), depth, opened, progress.StoredBytes.Load())
	if pages > int64(depth+2) {
		r.t.Errorf("%s: %d pages were written, want at most depth + 2 = %d", changed, pages, depth+2)
	}
	if opened != 1 {
		r.t.Errorf("%s: %d files were opened, want 1", changed, opened)
	}
	trees := 0
	for name, kind := range r.packKinds() {
		if packs[name] != 0 {
			continue
		}
		if kind != pack.TreePack {
			r.t.Errorf("%s: a %v was written, and the content is inline", changed, kind)
		}
		trees++
	}
	if trees != 1 {
		r.t.Errorf("%s: %d packs of pages were written, want 1", changed, trees)
	}
}

// checkColdRequests looks what was asked of the store to open one file.
func checkColdRequests(t *testing.T, requests []store.Request, object, path string, blocks, runs int) {
	t.Helper()
	var points, headers, reads int
	for _, q := range requests {
		switch {
		case q.Op == store.OpRead && q.Key == object:
			points++
		case q.Op == store.OpRead && strings.HasPrefix(q.Key, "packs/") && q.Off == 0 && q.N == pack.MaxHeader:
			headers++
		case q.Op == store.OpRead && strings.HasPrefix(q.Key, "packs/"):
			reads++
		default:
			t.Errorf("%s: it asked for %v %s", path, q.Op, q.Key)
		}
	}
	t.Logf("%s: %d requests: %d of the point, %d of blocks, %d of headers of packs", path, len(requests), points, reads, headers)
	if points != 1 || headers != runs || reads != blocks {
		t.Errorf("%s: want 1 of the point, %d of blocks and %d of headers", path, blocks, runs)
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
	content = n.Inline
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
