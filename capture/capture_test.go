package capture_test

import (
	"bytes"
	"fmt"
	"maps"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tidemark/catalog"
	"tidemark/store"
)

// objects returns how many objects there are below each top-level name.
func objects(t *testing.T, s store.Store) map[string]int {
	t.Helper()
	n := map[string]int{}
	err := s.List(t.Context(), "", "", func(o store.Info) error {
		area, _, _ := strings.Cut(o.Key, "/")
		n[area]++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestCapture(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "empty"), nil)
	write(t, filepath.Join(dir, "small"), []byte("hello\n"))
	write(t, filepath.Join(dir, "a/b/c/medium"), random(5000))
	write(t, filepath.Join(dir, "a/b/large"), random(9<<20))
	write(t, filepath.Join(dir, "a/zeros"), make([]byte, 300<<10))
	write(t, filepath.Join(dir, "odd \xff\n name"), []byte("x"))
	for i := range 700 {
		write(t, filepath.Join(dir, "many", fmt.Sprintf("file-%d", i)), random(i*3))
	}
	if err := os.Symlink("../nowhere", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "hollow"), 0o700); err != nil {
		t.Fatal(err)
	}

	r := newRepository(t, store.NewMem())
	p, _ := r.capture(dir)
	r.compare(p, dir)
	if !p.Complete || p.UnreadableCount != 0 {
		t.Errorf("complete = %t with %d unreadable, want true with 0", p.Complete, p.UnreadableCount)
	}
	if got, want := r.usage(p), r.recount(p); !maps.Equal(got, want) {
		t.Errorf("usage = %v, recounted %v", got, want)
	}

	before := objects(t, r.store)
	again, progress := r.capture(dir)
	if n := progress.FilesRead.Load(); n != 0 {
		t.Errorf("nothing had changed, and %d files were opened", n)
	}
	if n := progress.NewPages.Load(); n != 0 {
		t.Errorf("nothing had changed, and %d pages were written", n)
	}
	after := objects(t, r.store)
	if after["packs"] != before["packs"] || after["index"] != before["index"] {
		t.Errorf("nothing had changed, and objects went from %v to %v", before, after)
	}
	if !bytes.Equal(again.Root, p.Root) || !bytes.Equal(again.Usage, p.Usage) {
		t.Error("nothing had changed, and the roots are not the same")
	}
	r.compare(again, dir)
}

// TestCaptureBySteps edits a tree at random and captures it step by step. Each
// point must be the tree, have the usage that a recount gives, and the ids that a
// capture from nothing gives.
func TestCaptureBySteps(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			rnd := mathrand.New(mathrand.NewPCG(seed, 1))
			dir := t.TempDir()
			r := newRepository(t, store.NewMem())
			for step := range 6 {
				edit(t, rnd, dir, 150)
				p, _ := r.capture(dir)
				r.compare(p, dir)
				if got, want := r.usage(p), r.recount(p); !maps.Equal(got, want) {
					t.Fatalf("step %d: usage = %v, recounted %v", step, got, want)
				}
				parent := r.parent
				r.parent = nil
				scratch, _ := r.capture(dir)
				r.parent = parent
				if a, b := child(t, r, p), child(t, r, scratch); a != b {
					t.Fatalf("step %d: root page %v by steps, %v from nothing", step, a, b)
				}
			}
		})
	}
}

// child returns the id of the root directory's page.
func child(t *testing.T, r *repository, p *catalog.Opened) string {
	t.Helper()
	root := r.tree(p).Root()
	return root.Child.ID.String()
}

// edit makes, changes, moves and removes files below dir at random.
func edit(t *testing.T, rnd *mathrand.Rand, dir string, steps int) {
	t.Helper()
	path := func() string {
		p := dir
		for range rnd.IntN(4) {
			p = filepath.Join(p, fmt.Sprintf("d%d", rnd.IntN(4)))
		}
		return filepath.Join(p, fmt.Sprintf("f%d", rnd.IntN(60)))
	}
	sizes := []int{0, 10, 400, 600, 3000, 70 << 10, 200 << 10, 1 << 20}
	for range steps {
		p := path()
		switch rnd.IntN(10) {
		case 0:
			_ = os.RemoveAll(p)
		case 1:
			_ = os.RemoveAll(filepath.Dir(p))
			_ = os.MkdirAll(dir, 0o755)
		case 2:
			_ = os.Rename(p, path())
		case 3:
			if f, err := os.OpenFile(p, os.O_WRONLY, 0); err == nil { // in place
				_, _ = f.WriteAt(random(100), rnd.Int64N(1<<20))
				_ = f.Close()
			}
		case 4:
			if rnd.IntN(5) == 0 { // long enough for a list of pages
				write(t, p, random(4<<20))
			}
		default:
			if info, err := os.Lstat(p); err == nil && info.IsDir() {
				continue
			}
			write(t, p, random(sizes[rnd.IntN(len(sizes))]))
		}
	}
}
