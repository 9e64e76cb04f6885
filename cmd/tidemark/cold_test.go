package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"tidemark/catalog"
	"tidemark/chunk"
	"tidemark/fusefs"
	"tidemark/pack"
	"tidemark/store"
)

// TestColdMount opens one file through a mount that knows nothing yet, of a
// point with 200,000 files, and counts what that asks of the store: each block
// on the way once, the content, and one header for each run that is met. Lists
// are of what the views are made of, and no index is read.
func TestColdMount(t *testing.T) {
	needFUSE(t)
	const dirs, files = 200, 1000
	s := newSite(t)
	source := memoryDir(t) + "/source"
	for i := range dirs {
		makeEmpty(t, fmt.Sprintf("%s/dir-%03d", source, i), files)
	}
	noise := rand.NewChaCha8([32]byte{7})
	contents := map[string][]byte{}
	for _, path := range []string{"dir-017/entry-000500", "dir-150/entry-000999"} {
		b := make([]byte, 100<<10)
		_, _ = noise.Read(b) // it never fails
		contents[path] = b
		must(t, os.WriteFile(source+"/"+path, b, 0o644))
		s.ok(t, "capture", "app="+source)
	}
	for path, content := range contents {
		s.inside(t, func(ctx context.Context, r *repository) error {
			blocks, runs, err := r.wayTo(ctx, path)
			if err != nil {
				return err
			}
			counter := store.Count(r.store)
			r.store = counter
			got, err := r.catThroughMount(ctx, t.TempDir(), "latest/app/"+path)
			if err != nil {
				return err
			}
			if !bytes.Equal(got, content) {
				t.Errorf("%s: the mount gives %d bytes that are not its content", path, len(got))
			}
			var points, headers, reads, lists int
			for _, q := range counter.Requests() {
				area, _, _ := strings.Cut(q.Key, "/")
				switch {
				case q.Op == store.OpRead && area == "points":
					points++
				case q.Op == store.OpRead && area == "packs" && q.Off == 0 && q.N == pack.MaxHeader:
					headers++
				case q.Op == store.OpRead && area == "packs":
					reads++
				case q.Op == store.OpRead && area == "hosts", q.Op == store.OpList && (area == "points" || area == "hosts" || area == "marks"):
					lists++
				default:
					t.Errorf("%s: it asked for %v %s", path, q.Op, q.Key)
				}
			}
			t.Logf("%s: %d reads of the point, %d of blocks, %d of headers for %d runs; and %d requests for the views", path, points, reads, headers, runs, lists)
			if points != 1 || reads != blocks || headers != runs {
				t.Errorf("%s: want 1 read of the point, %d of blocks and %d of headers", path, blocks, runs)
			}
			return nil
		})
	}
}

// makeEmpty makes n empty files in a new directory.
func makeEmpty(t *testing.T, dir string, n int) {
	t.Helper()
	must(t, os.MkdirAll(dir, 0o755))
	for i := range n {
		must(t, unix.Mknod(fmt.Sprintf("%s/entry-%06d", dir, i), unix.S_IFREG|0o644, 0))
	}
}

// inside runs do in the repository, as a command of the program would.
func (s *site) inside(t *testing.T, do func(context.Context, *repository) error) {
	t.Helper()
	given := testProcess(t, envConfig+"="+s.dir+"/"+s.host+".yaml", envRepository+"="+s.repo, envIdentityFile+"="+s.identity)
	got := runTable(t, given, oneCommand(func(c *cli.Context, s *settings) error {
		r, err := s.openRepository(c.Context, catalog.Reading)
		if err != nil {
			return err
		}
		defer r.close()
		return do(c.Context, r)
	}), "do")
	if got.code != exitOK {
		t.Fatalf("inside the repository: %s", got.err)
	}
}

// catThroughMount mounts r at dir and returns what cat prints of a file in it.
func (r *repository) catThroughMount(ctx context.Context, dir, path string) (content []byte, err error) {
	f, err := r.fetcher(0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	w, err := r.world(ctx, f, "")
	if err != nil {
		return nil, err
	}
	defer w.close()
	mounted, unmount := context.WithCancel(ctx)
	defer unmount()
	server, err := fusefs.Mount(mounted, dir, fusefs.Config{Log: r.s.log}, w, chunks{f})
	if err != nil {
		return nil, err
	}
	content, err = exec.CommandContext(ctx, "cat", dir+"/"+path).Output()
	unmount()
	if ended := server.Wait(); err == nil {
		err = ended
	}
	return content, err
}

// wayTo returns how many blocks, of how many runs, hold the pages on the way to
// a file of the newest point, and its content.
func (r *repository) wayTo(ctx context.Context, path string) (blocks, runs int, err error) {
	f, err := r.fetcher(0)
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	hosts, _, err := r.hosts(ctx)
	if err != nil || len(hosts) != 1 {
		return 0, 0, fmt.Errorf("hosts %v, %w", hosts, err)
	}
	entries, _, err := r.roster().ReadPoints(ctx, hosts[0])
	if err != nil || len(entries) == 0 {
		return 0, 0, fmt.Errorf("points %v, %w", entries, err)
	}
	p, err := r.roster().OpenPoint(ctx, hosts[0], entries[len(entries)-1])
	if err != nil {
		return 0, 0, err
	}
	pages := &pageRecorder{pages: f}
	tree, err := catalog.OpenTree(pages, p.Root)
	if err != nil {
		return 0, 0, err
	}
	n, err := tree.Resolve(ctx, path)
	if err != nil {
		return 0, 0, err
	}
	places := pages.asked
	for _, x := range n.Extents {
		places = append(places, x.Place)
	}
	seen, seenRuns := map[pack.Block]bool{}, map[string]bool{}
	for _, at := range places {
		seen[at.Block], seenRuns[at.Run.String()] = true, true
	}
	return len(seen), len(seenRuns), nil
}

// A pageRecorder notes where the pages are that are asked for.
type pageRecorder struct {
	pages catalog.Pages
	asked []pack.Place
}

func (r *pageRecorder) Page(ctx context.Context, id chunk.ID, at pack.Place) ([]byte, error) {
	r.asked = append(r.asked, at)
	return r.pages.Page(ctx, id, at)
}
