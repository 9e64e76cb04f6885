package restore_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"

	"tidemark/catalog"
	"tidemark/chunk"
	"tidemark/pack"
	"tidemark/restore"
	"tidemark/store"
)

var errDamaged = fmt.Errorf("a test says: %w", pack.ErrDamaged)

// noTemps fails the test if there is a temporary name anywhere below dir.
func noTemps(t testing.TB, dir string) {
	t.Helper()
	for path := range facts(t, dir) {
		if base := filepath.Base(path); len(base) > 18 && base[:18] == ".tidemark-restore-" && base != ".tidemark-restore-not" {
			t.Errorf("%q was left behind", path)
		}
	}
}

// TestDamagedChunk damages each chunk of a tree in turn: the files that have
// it are named and not there, and everything else is. A retry mends it.
func TestDamagedChunk(t *testing.T) {
	src := t.TempDir()
	write(t, filepath.Join(src, "a/small"), random(5000))
	write(t, filepath.Join(src, "a/large"), random(5<<20))
	write(t, filepath.Join(src, "b"), []byte("inline"))
	must(t, os.Link(filepath.Join(src, "a/small"), filepath.Join(src, "a/linked")))
	r := newRepository(t, store.NewMem())
	tree, chunks := r.open(r.capture(src))
	damaged, last := 0, ""
	for bad := range int64(1000) {
		var asked atomic.Int64
		var hit atomic.Pointer[chunk.ID]
		faulty := chunksFunc(func(ctx context.Context, id chunk.ID, at pack.Place) (restore.Piece, error) {
			if asked.Add(1)-1 == bad {
				hit.Store(&id)
			}
			if h := hit.Load(); h != nil && *h == id {
				return nil, errDamaged
			}
			return chunks.Chunk(ctx, id, at)
		})
		var told notices
		dst := target(t)
		cfg := restore.Config{Chunks: faulty, Workers: 1, Notice: told.add}
		res, err := restore.Run(t.Context(), cfg, tree, "", dst)
		if err == nil {
			break // there are no more
		}
		damaged++
		if !errors.Is(err, restore.ErrIncomplete) || !errors.Is(err, pack.ErrDamaged) {
			t.Errorf("chunk %d: error = %v", bad, err)
		}
		want := []string{"a/large"}
		if res.Failed == 2 {
			want = []string{"a/linked", "a/small"}
		}
		if got := told.paths(); !slices.Equal(got, want) {
			t.Errorf("chunk %d: told of %q, want %q", bad, got, want)
		}
		there := facts(t, dst)
		for _, path := range want {
			if _, ok := there[path]; ok {
				t.Errorf("chunk %d: %s is there", bad, path)
			}
		}
		if len(there) != 6-len(want) { // with the root
			t.Errorf("chunk %d: there are %d entries", bad, len(there))
		}
		noTemps(t, dst)
		if res := run(t, restore.Config{Chunks: chunks}, tree, "", dst); res.Files+res.Links != uint64(len(want)) {
			t.Errorf("chunk %d: a retry restored %d files, want %d", bad, res.Files, len(want))
		}
		last = dst
	}
	compare(t, src, last)
	if damaged < 5 {
		t.Errorf("%d chunks were damaged, want some", damaged)
	}
}

// damagedPages is Pages of which one is damaged.
type damagedPages struct {
	catalog.Pages
	seen []chunk.ID // in the order of their first use
	bad  chunk.ID
}

func (p *damagedPages) Page(ctx context.Context, id chunk.ID, at pack.Place) ([]byte, error) {
	if id == p.bad {
		return nil, errDamaged
	}
	if !slices.Contains(p.seen, id) {
		p.seen = append(p.seen, id)
	}
	return p.Pages.Page(ctx, id, at)
}

// TestDamagedPage damages pages of a tree in turn: what other pages tell of is
// restored.
func TestDamagedPage(t *testing.T) {
	src := t.TempDir()
	for i := range 600 {
		write(t, filepath.Join(src, fmt.Sprintf("d/%04d", i)), []byte{1})
	}
	for i := range 3 {
		write(t, filepath.Join(src, fmt.Sprintf("d/0300 %d/x", i)), []byte{1})
	}
	r := newRepository(t, store.NewMem())
	root, f := r.fetcher(r.capture(src))
	pages := &damagedPages{Pages: f}
	tree, err := catalog.OpenTree(pages, root)
	must(t, err)
	cfg := restore.Config{Chunks: restore.FromFetcher(f), NoSync: true}
	whole := run(t, cfg, tree, "", target(t))
	if len(pages.seen) < 8 {
		t.Fatalf("the tree has %d pages, want more", len(pages.seen))
	}
	partly := 0
	for i, bad := range pages.seen {
		pages.bad = bad
		progress := new(restore.Progress)
		cfg.Progress = progress
		dst := target(t)
		res, err := restore.Run(t.Context(), cfg, tree, "", dst)
		if !errors.Is(err, restore.ErrIncomplete) || !errors.Is(err, pack.ErrDamaged) {
			t.Errorf("page %d: error = %v", i, err)
		}
		if got, want := res.Files+res.Dirs+res.Failed, whole.Files+whole.Dirs; got != want || progress.Names.Load() != want {
			t.Errorf("page %d: %d restored and %d failed, progress %d, want %d in all",
				i, res.Files+res.Dirs, res.Failed, progress.Names.Load(), want)
		}
		if there := count(t, dst); there != res.Files+res.Dirs {
			t.Errorf("page %d: %d are there, want %d", i, there, res.Files+res.Dirs)
		}
		if res.Failed < 300 {
			partly++
		}
	}
	if partly < len(pages.seen)-3 {
		t.Errorf("of %d damaged pages, only %d left most of the rest", len(pages.seen), partly)
	}
}

// count returns how many entries there are from dir on.
func count(t testing.TB, dir string) (n uint64) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(_ string, _ fs.DirEntry, err error) error {
		n++
		return err
	}))
	return n
}

// TestUnreadable restores what a capture could not read: not at all.
func TestUnreadable(t *testing.T) {
	row := func(name string, n catalog.Node) *catalog.Row {
		n.Name = name
		return &catalog.Row{Node: n}
	}
	tree := buildTree(t,
		row("dir", catalog.Node{Type: catalog.Dir, Unreadable: "permission denied"}),
		row("file", catalog.Node{Type: catalog.File, Size: 5, Unreadable: "it changed while it was read"}),
		row("good", catalog.Node{Type: catalog.File, Mode: 0o600, Size: 1, Inline: []byte("x")}))
	var told notices
	dst := target(t)
	res, err := restore.Run(t.Context(), restore.Config{Chunks: noChunks, Notice: told.add}, tree, "", dst)
	if !errors.Is(err, restore.ErrIncomplete) || !errors.Is(err, catalog.ErrUnreadable) || res.Failed != 2 {
		t.Errorf("error = %v, %d failed", err, res.Failed)
	}
	if got, want := told.paths(), []string{"dir", "file"}; !slices.Equal(got, want) {
		t.Errorf("told of %q, want %q", got, want)
	}
	if there := facts(t, dst); len(there) != 2 {
		t.Errorf("there are %v, want only the good file", there)
	}
	for _, path := range []string{"dir", "file"} {
		if _, err := restore.Run(t.Context(), restore.Config{Chunks: noChunks}, tree, path, target(t)); !errors.Is(err, catalog.ErrUnreadable) {
			t.Errorf("%s alone: %v", path, err)
		}
	}
}

// noChunks are the chunks of a tree that has none.
var noChunks = chunksFunc(func(context.Context, chunk.ID, pack.Place) (restore.Piece, error) {
	return nil, errors.New("there are no chunks")
})

// memoryPages are pages by their id, which a test gives them.
type memoryPages map[chunk.ID][]byte

func (m memoryPages) Page(_ context.Context, id chunk.ID, _ pack.Place) ([]byte, error) {
	if b, ok := m[id]; ok {
		return b, nil
	}
	return nil, errDamaged
}

// buildTree returns a tree whose root has these rows, in order of their names.
func buildTree(t testing.TB, rows ...*catalog.Row) *catalog.Tree {
	t.Helper()
	pages := memoryPages{}
	block := pack.Block{Host: "web", Sealed: 1 << 20, Plain: 1<<20 - 16}
	resolve := func(b pack.Block) (pack.Block, bool, error) { return b, b == block, nil }
	p := catalog.NewDirPager(func(d *catalog.Draft) (catalog.Ref, error) {
		b, err := d.Encode(resolve)
		var id chunk.ID
		binary.LittleEndian.PutUint32(id[:], uint32(len(pages)+1))
		pages[id] = b
		return catalog.Ref{ID: id, Place: pack.Place{Block: block, Len: uint32(len(b))}}, err
	})
	for _, row := range rows {
		must(t, p.Add(row))
	}
	ref, below, err := p.Close()
	must(t, err)
	root := &catalog.Row{Node: catalog.Node{Type: catalog.Dir, Mode: 0o755, Child: ref, Below: below}}
	b, err := catalog.RootPage(root, func(b pack.Block) (pack.Block, bool, error) { return b, false, nil })
	must(t, err)
	tree, err := catalog.OpenTree(pages, b)
	must(t, err)
	return tree
}
