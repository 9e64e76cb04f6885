package restore_test

import (
	"context"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"tidemark/restore"
	"tidemark/store"
)

// TestHostileTarget restores while somebody exchanges what is in the target
// for symlinks, and temporary names for links to a file that is not his, as
// fast as he can. Nothing outside changes.
func TestHostileTarget(t *testing.T) {
	src := t.TempDir()
	for i := range 6 {
		for j := range 20 {
			write(t, filepath.Join(src, fmt.Sprintf("d%d/e/%d", i, j)), random(j*100))
			must(t, os.Symlink("x", filepath.Join(src, fmt.Sprintf("d%d/e/link %d", i, j))))
		}
		must(t, os.Link(filepath.Join(src, fmt.Sprintf("d%d/e/1", i)), filepath.Join(src, fmt.Sprintf("d%d/linked", i))))
		must(t, os.Chmod(filepath.Join(src, fmt.Sprintf("d%d/e/1", i)), 0o4755))
	}
	r := newRepository(t, store.NewMem())
	tree, chunks := r.open(r.capture(src))
	base := t.TempDir()
	sibling, dst := filepath.Join(base, "sibling"), filepath.Join(base, "target")
	write(t, filepath.Join(sibling, "secret"), []byte("not yours"))
	write(t, filepath.Join(sibling, "e/0"), []byte("not yours"))
	write(t, filepath.Join(sibling, "d0/e/0"), []byte("not yours"))
	must(t, os.Mkdir(filepath.Join(sibling, "e/empty"), 0o700))
	must(t, os.Symlink("not yours", filepath.Join(sibling, "symlink")))
	outside := func() (all string) {
		for _, line := range lines(facts(t, sibling)) {
			before, after, _ := strings.Cut(line, " links ") // he may make links
			_, after, _ = strings.Cut(after, " of ")
			all += before + after + "\n"
		}
		return all
	}
	before := outside()

	attacks, exchanged := 0, 0
	for seed := range uint64(8) {
		must(t, os.MkdirAll(dst, 0o755))
		ctx, cancel := context.WithCancel(t.Context())
		var attacker sync.WaitGroup
		attacker.Go(func() {
			rnd := mathrand.New(mathrand.NewPCG(seed, 1))
			for ctx.Err() == nil {
				attacks++
				if attack(rnd, dst, sibling) {
					exchanged++
				}
			}
		})
		for range 3 {
			// What comes of it is his business, and need not be whole.
			_, _ = restore.Run(t.Context(), restore.Config{Chunks: chunks, NoSync: true, Overwrite: seed%2 == 1}, tree, "", dst)
		}
		cancel()
		attacker.Wait()
		if after := outside(); after != before {
			t.Fatalf("outside of the target there is now\n%swant\n%s", after, before)
		}
		must(t, os.RemoveAll(dst))
	}
	if exchanged < 20 {
		t.Errorf("of %d attacks %d exchanged something, want more", attacks, exchanged)
	}
	run(t, restore.Config{Chunks: chunks}, tree, "", dst)
	compare(t, src, dst)
}

// attack exchanges something below dst for a way out to sibling. It reports
// whether there was something.
func attack(rnd *mathrand.Rand, dst, sibling string) bool {
	dir := filepath.Join(dst, fmt.Sprintf("d%d", rnd.IntN(6)))
	switch rnd.IntN(4) {
	case 0: // a directory that is being filled
		return exchange(dir, filepath.Join(sibling, "d0"))
	case 1:
		return exchange(filepath.Join(dir, "e"), filepath.Join(sibling, "e"))
	case 2: // a name
		return exchange(filepath.Join(dir, "e", fmt.Sprint(rnd.IntN(20))), filepath.Join(sibling, "secret"))
	}
	// What has a temporary name.
	some, _ := filepath.Glob(filepath.Join(dir, "e", ".tidemark-restore-*"))
	for _, path := range some {
		if os.Rename(path, path+"x") == nil {
			switch rnd.IntN(3) {
			case 0:
				_ = os.Link(filepath.Join(sibling, "secret"), path)
			case 1:
				_ = os.Link(filepath.Join(sibling, "symlink"), path)
			case 2:
				_ = os.Symlink(filepath.Join(sibling, "secret"), path)
			}
			return true
		}
	}
	return false
}

// exchange puts a symlink to outside in the place of path for a moment.
func exchange(path, outside string) bool {
	aside := path + ".aside"
	if os.Rename(path, aside) != nil {
		return false
	}
	_ = os.Symlink(outside, path)
	_, _ = os.ReadDir(outside) // a moment
	_ = os.Remove(path)
	_ = os.Rename(aside, path)
	return true
}

// TestSymlinkInPlaceOfDirectory restores over a symlink that leads out: it is
// not followed, whatever is below it.
func TestSymlinkInPlaceOfDirectory(t *testing.T) {
	src := t.TempDir()
	write(t, filepath.Join(src, "a/b/c"), []byte("x"))
	r := newRepository(t, store.NewMem())
	tree, chunks := r.open(r.capture(src))
	for _, overwrite := range []bool{false, true} {
		outside, dst := t.TempDir(), t.TempDir()
		must(t, os.MkdirAll(filepath.Join(outside, "b"), 0o700))
		must(t, os.Symlink(outside, filepath.Join(dst, "a")))
		before := fmt.Sprint(facts(t, outside))
		_, err := restore.Run(t.Context(), restore.Config{Chunks: chunks, Overwrite: overwrite}, tree, "", dst)
		if (err == nil) != overwrite {
			t.Errorf("overwrite %t: %v", overwrite, err)
		}
		if after := fmt.Sprint(facts(t, outside)); after != before {
			t.Errorf("overwrite %t: outside there is now %s, want %s", overwrite, after, before)
		}
	}
	// The target itself may be a symlink: the user gave it.
	dir := t.TempDir()
	link := filepath.Join(t.TempDir(), "link")
	must(t, os.Symlink(dir, link))
	run(t, restore.Config{Chunks: chunks}, tree, "", link)
	compare(t, src, dir)
}
