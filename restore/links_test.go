package restore_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"tidemark/catalog"
	"tidemark/chunk"
	"tidemark/pack"
	"tidemark/restore"
	"tidemark/store"
)

// linkedSource makes two files of several names, one of them immutable.
func linkedSource(t testing.TB) string {
	t.Helper()
	src := t.TempDir()
	write(t, filepath.Join(src, "a/one"), random(300<<10))
	write(t, filepath.Join(src, "flags/linked"), []byte("hard"))
	for name, to := range map[string]string{"a/two": "a/one", "b/three": "a/one", "c": "a/one", "flags/again": "flags/linked"} {
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(src, name)), 0o755))
		must(t, os.Link(filepath.Join(src, to), filepath.Join(src, name)))
	}
	if os.Geteuid() == 0 {
		setFlags(t, filepath.Join(src, "flags/linked"), 8)
		t.Cleanup(func() { setFlags(t, filepath.Join(src, "flags/linked"), 0) })
	}
	return src
}

// TestLinksFetchedOnce counts: the content of a linked file is had once.
func TestLinksFetchedOnce(t *testing.T) {
	src := linkedSource(t)
	r := newRepository(t, store.NewMem())
	tree, chunks := r.open(r.capture(src))
	var bytes atomic.Int64
	counted := chunksFunc(func(ctx context.Context, id chunk.ID, at pack.Place) (restore.Piece, error) {
		bytes.Add(int64(at.Len))
		return chunks.Chunk(ctx, id, at)
	})
	dst := target(t)
	res := run(t, restore.Config{Chunks: counted}, tree, "", dst)
	compare(t, src, dst)
	if res.Files != 2 || res.Links != 4 || bytes.Load() != 300<<10 {
		t.Errorf("%d files, %d links and %d bytes fetched; want 2, 4 and %d", res.Files, res.Links, bytes.Load(), 300<<10)
	}
}

// TestLinksAgain restores onto trees that lack some names.
func TestLinksAgain(t *testing.T) {
	src := linkedSource(t)
	r := newRepository(t, store.NewMem())
	tree, chunks := r.open(r.capture(src))
	names := []string{"a/one", "a/two", "b/three", "c", "flags/again", "flags/linked"}
	for gone := 1; gone < 1<<len(names); gone += gone%3 + 1 { // about half of all ways
		dst := target(t)
		cfg := restore.Config{Chunks: chunks, NoSync: true}
		run(t, cfg, tree, "", dst)
		clearFlags(t, dst)
		for i, name := range names {
			if gone>>i&1 == 1 {
				must(t, os.Remove(filepath.Join(dst, name)))
			}
		}
		if os.Geteuid() == 0 { // as the first run left it
			setFlags(t, filepath.Join(dst, "flags/linked"), 8)
			setFlags(t, filepath.Join(dst, "flags/again"), 8)
		}
		run(t, cfg, tree, "", dst)
		if got, want := facts(t, dst), facts(t, src); !maps.Equal(got, want) {
			t.Errorf("without %06b: %q, want %q", gone, lines(got), lines(want))
		}
	}
}

// TestLinksBesideAnother restores a single file into the same directory
// meanwhile, which looks for leftovers there.
func TestLinksBesideAnother(t *testing.T) {
	src := linkedSource(t)
	write(t, filepath.Join(src, "b/z"), random(1000))
	r := newRepository(t, store.NewMem())
	tree, chunks := r.open(r.capture(src))
	dst := target(t)
	during := chunksFunc(func(ctx context.Context, id chunk.ID, at pack.Place) (restore.Piece, error) {
		if at.Len == 1000 { // a/one and a/two are there
			_, err := restore.Run(ctx, restore.Config{Chunks: chunks}, tree, "c", dst+"/other")
			must(t, err)
			must(t, os.Remove(dst+"/other"))
		}
		return chunks.Chunk(ctx, id, at)
	})
	run(t, restore.Config{Chunks: during, Workers: 1}, tree, "", dst)
	compare(t, src, dst)
}

func lines(facts map[string]string) (all []string) {
	for path, fact := range facts {
		all = append(all, path+": "+fact)
	}
	slices.Sort(all)
	return all
}

// TestLinksOverwritten has other files in the place of linked ones.
func TestLinksOverwritten(t *testing.T) {
	src := linkedSource(t)
	r := newRepository(t, store.NewMem())
	tree, chunks := r.open(r.capture(src))
	dst := target(t)
	for _, name := range []string{"a/two", "b/three", "flags/again"} {
		write(t, filepath.Join(dst, name), []byte("mine"))
	}
	res, err := restore.Run(t.Context(), restore.Config{Chunks: chunks}, tree, "", dst)
	if !errors.Is(err, restore.ErrExists) || res.Failed != 3 {
		t.Errorf("%v, %d failed; want 3 that are there", err, res.Failed)
	}
	if b, err := os.ReadFile(filepath.Join(dst, "b/three")); string(b) != "mine" {
		t.Errorf("b/three is %q, %v", b, err)
	}
	run(t, restore.Config{Chunks: chunks, Overwrite: true}, tree, "", dst)
	compare(t, src, dst)
}

// TestLinksAcrossMounts restores linked files into two filesystems: they are
// there, and that they are not linked is said.
func TestLinksAcrossMounts(t *testing.T) {
	needRoot(t)
	src := linkedSource(t)
	r := newRepository(t, store.NewMem())
	tree, chunks := r.open(r.capture(src))
	dst := target(t)
	mount(t, filepath.Join(dst, "b"), "")
	var told notices
	res := run(t, restore.Config{Chunks: chunks, Notice: told.add}, tree, "", dst)
	if len(res.Losses) != 1 || res.Losses[0].Aspect != restore.HardLink || res.Losses[0].Count != 1 || len(told.paths()) != 1 {
		t.Errorf("losses = %+v, told of %q; want one link", res.Losses, told.paths())
	}
	silent(t, "rsync", "-aniAX", "--checksum", "--delete", src+"/", dst+"/")
	if again := run(t, restore.Config{Chunks: chunks}, tree, "", dst); again.Files+again.Links != 0 {
		t.Errorf("a second restore found work: %+v", again)
	}
}

// mount mounts a small filesystem in memory at dir for the time of the test.
func mount(t testing.TB, dir, options string) {
	t.Helper()
	must(t, os.MkdirAll(dir, 0o755))
	must(t, unix.Mount("tmpfs", dir, "tmpfs", 0, options))
	unmount(t, dir)
}

// TestManyLinks gives a file more names than the filesystem allows.
func TestManyLinks(t *testing.T) {
	needRoot(t)
	const limit, names = 65000, 65010 // limit is that of ext4
	dst := filepath.Join(loopMount(t), "target")
	var rows []*catalog.Row
	for i := range names {
		rows = append(rows, &catalog.Row{Node: catalog.Node{
			Name: fmt.Sprintf("%06d", i), Type: catalog.File, Mode: 0o600, Size: 1, Inline: []byte("x"),
			Link: catalog.LinkGroup{1}, Links: names,
		}})
	}
	res := run(t, restore.Config{Chunks: noChunks}, buildTree(t, rows...), "", dst)
	if res.Files != 2 || res.Links != names-2 || len(res.Losses) != 1 || res.Losses[0].Aspect != restore.HardLink {
		t.Errorf("result = %+v, want two files, and that said", res)
	}
	counts := map[uint64]uint64{}
	entries, err := os.ReadDir(dst)
	must(t, err)
	for _, e := range entries {
		info, err := e.Info()
		must(t, err)
		st := info.Sys().(*syscall.Stat_t)
		counts[st.Ino] = uint64(st.Nlink)
	}
	if got := slices.Sorted(maps.Values(counts)); !slices.Equal(got, []uint64{names - limit, limit}) {
		t.Errorf("files have %v names, want %d and %d", got, names-limit, limit)
	}
}

// loopMount makes an ext4 filesystem of 64 MiB in a file, and mounts it for
// the time of the test.
func loopMount(t testing.TB, mkfs ...string) (dir string) {
	t.Helper()
	image := filepath.Join(t.TempDir(), "image")
	must(t, os.WriteFile(image, nil, 0o600))
	must(t, os.Truncate(image, 64<<20))
	if out, err := exec.CommandContext(t.Context(), "mkfs.ext4", append(mkfs, image)...).CombinedOutput(); err != nil {
		t.Fatalf("mkfs.ext4: %v\n%s", err, out)
	}
	dir = filepath.Join(t.TempDir(), "mounted")
	must(t, os.Mkdir(dir, 0o755))
	silent(t, "mount", "-o", "loop", image, dir)
	unmount(t, dir)
	return dir
}

// unmount unmounts dir at the end of the test.
func unmount(t testing.TB, dir string) {
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
			_ = unix.Unmount(dir, unix.MNT_DETACH)
		}
	})
}
