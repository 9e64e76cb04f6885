package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tidemark/catalog"
	"tidemark/chunk"
	"tidemark/fetch"
	"tidemark/pack"
	"tidemark/store"
)

// TestKilledCaptures kills captures at random moments, of a tree that changes
// in between. After each, every point that is visible is whole; chunks that an
// index names are not sent again; and in the end a capture succeeds, and its
// point is the tree.
func TestKilledCaptures(t *testing.T) {
	const rounds, perRound, mostTries = 4, 6, 30
	s := newSite(t)
	source := s.dir + "/source"
	rnd := rand.New(rand.NewPCG(2026, 9))
	watch := newWatcher(s)
	var killed, withPacks, withIndex int
	var again int64
	var took time.Duration // by the last capture that nobody killed
	for round := range rounds {
		growChunks(t, fmt.Sprintf("%s/%d", source, round), 1100, rnd) // seven packs; index/ is written after four
		kills := 0
		for try := 0; round > 0 && kills < perRound && try < mostTries; try++ {
			growChunks(t, fmt.Sprintf("%s/changes/%d-%d", source, round, try), 50, rnd)
			kill := moment{delay: time.Duration(rnd.Int64N(int64(took))) + 1}
			switch try % 3 {
			case 0: // soon after it has written index/: the first time, that is far from its end
				kill = moment{catalog.IndexArea, kill.delay / 8}
			case 1: // soon after it has stored a pack
				kill = moment{catalog.PackArea, kill.delay / 8}
			}
			packs, index := len(watch.packs), len(watch.index)
			ended, this := watch.capture(t, source, kill)
			again += watch.look(t)
			if ended {
				took = this
				continue
			}
			kills++
			if len(watch.packs) > packs {
				withPacks++
			}
			if len(watch.index) > index {
				withIndex++
			}
		}
		killed += kills
		var ended bool
		if ended, took = watch.capture(t, source, moment{}); !ended {
			t.Fatal("a capture that nobody killed did not end")
		}
		again += watch.look(t)
	}
	t.Logf("%d captures were killed: %d when they had stored packs, %d when they had written index/ too; %d bytes of chunks were sent again, none that index/ had named",
		killed, withPacks, withIndex, again)
	if killed != (rounds-1)*perRound || withPacks < 4 || withIndex < 1 {
		t.Error("that is too few: the test shows little")
	}
	fresh := newWatcher(s)
	fresh.whole(t) // all of it once more
	if n := len(fresh.points); n != len(watch.points) || n < rounds {
		t.Errorf("%d points, want %d", n, len(watch.points))
	}
	restored := s.dir + "/restored"
	s.ok(t, "restore", "latest/app", restored)
	wantSameTree(t, source, restored)
}

// growChunks makes n files of about 100 KB in a new directory: chunks of a size
// that shares packs of 16 MiB.
func growChunks(t *testing.T, dir string, n int, rnd *rand.Rand) {
	t.Helper()
	noise := rand.NewChaCha8([32]byte{byte(rnd.Uint32()), byte(rnd.Uint32())})
	for i := range n {
		path := fmt.Sprintf("%s/%d/file-%d", dir, i%7, i)
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		b := make([]byte, 80<<10+rnd.IntN(40<<10))
		_, _ = noise.Read(b) // it never fails
		must(t, os.WriteFile(path, b, 0o644))
	}
}

// A watcher looks into the repository of a site from within. What it has seen
// once it does not look at again: objects do not change.
type watcher struct {
	site   *site
	points map[string]bool     // that were read and were whole
	chunks map[pack.Place]bool // that were read and were right
	packs  map[string]bool
	index  map[string]bool
	stored map[chunk.ID]bool // in a data pack
	named  map[chunk.ID]bool // by an object of index/
}

func newWatcher(s *site) *watcher {
	return &watcher{s, map[string]bool{}, map[pack.Place]bool{}, map[string]bool{}, map[string]bool{}, map[chunk.ID]bool{}, map[chunk.ID]bool{}}
}

// A moment of a capture: so long after it has stored its first object of an
// area, or after its start. The zero moment never comes.
type moment struct {
	area  catalog.Area
	delay time.Duration
}

// capture captures source, and kills that at a moment. It reports whether the
// capture ended by itself, as it must have succeeded then, and how long it
// took. All points must be whole.
func (w *watcher) capture(t *testing.T, source string, kill moment) (ended bool, took time.Duration) {
	t.Helper()
	before := w.count(t, kill.area)
	began := time.Now()
	cmd := w.site.command(t, "capture", "app="+source)
	var said strings.Builder
	cmd.Stderr = &said
	must(t, cmd.Start())
	done := make(chan struct{})
	var killer sync.WaitGroup
	killer.Go(func() {
		if kill == (moment{}) {
			return
		}
		look := time.NewTicker(2 * time.Millisecond)
		defer look.Stop()
		for kill.area != "" && w.count(t, kill.area) == before {
			select {
			case <-look.C:
			case <-done:
				return
			}
		}
		timer := time.NewTimer(kill.delay)
		defer timer.Stop()
		select {
		case <-timer.C:
			_ = cmd.Process.Kill() // it may just have ended
		case <-done:
		}
	})
	_ = cmd.Wait() // its state says it
	took = time.Since(began)
	close(done)
	killer.Wait()
	status := cmd.ProcessState.Sys().(syscall.WaitStatus)
	ended = !status.Signaled()
	if ended && cmd.ProcessState.ExitCode() != exitOK {
		t.Errorf("a capture after others were killed: %v\n%s", cmd.ProcessState, said.String())
	}
	w.whole(t)
	return ended, took
}

// count returns how many objects all runs have stored in an area.
func (w *watcher) count(t *testing.T, area catalog.Area) int {
	found, err := filepath.Glob(fmt.Sprintf("%s/%s/*/*/*", w.site.repo, area))
	if err != nil {
		t.Error(err)
	}
	return len(found)
}

// whole reads every point that is visible: nothing may be wrong with it.
func (w *watcher) whole(t *testing.T) {
	t.Helper()
	w.site.inside(t, func(ctx context.Context, r *repository) error {
		f, err := r.fetcher(0)
		if err != nil {
			return err
		}
		defer f.Close()
		hosts, said, err := r.hosts(ctx)
		if err != nil || len(said) > 0 || len(hosts) != 1 {
			return fmt.Errorf("hosts: %v, %v, %w", hosts, said, err)
		}
		entries, said, err := r.roster().ReadPoints(ctx, hosts[0])
		if err != nil || len(said) > 0 {
			return fmt.Errorf("points: %v, %w", said, err)
		}
		for _, e := range entries {
			if w.points[e.Object] {
				continue
			}
			p, err := r.roster().OpenPoint(ctx, hosts[0], e)
			if err != nil {
				return err
			}
			tree, err := catalog.OpenTree(f, p.Root)
			if err != nil {
				return err
			}
			root := tree.Root()
			if err := w.readNode(ctx, f, tree, &root.Node); err != nil {
				return fmt.Errorf("%s: %w", p.Object, err)
			}
			w.points[e.Object] = true
		}
		return nil
	})
}

// readNode reads all that is at and below n.
func (w *watcher) readNode(ctx context.Context, f *fetch.Fetcher, tree *catalog.Tree, n *catalog.Node) error {
	if n.Unreadable != "" {
		return errors.New(n.Unreadable)
	}
	if n.Type == catalog.Dir {
		rows := tree.List(n, "")
		for {
			row, ok, err := rows.Next(ctx)
			if err != nil || !ok {
				return err
			}
			if err := w.readNode(ctx, f, tree, &row.Node); err != nil {
				return fmt.Errorf("%s: %w", row.Name, err)
			}
		}
	}
	for _, x := range n.Extents { // no file has so many that they are a list
		if x.Zero || w.chunks[x.Place] {
			continue
		}
		p, err := f.Chunk(ctx, x.ID, x.Place)
		if err != nil {
			return err
		}
		p.Release()
		w.chunks[x.Place] = true
	}
	if !n.List.IsZero() {
		return errors.New("a file with more extents than this test reads")
	}
	return nil
}

// look finds out what a run has sent since the last look. It returns how many
// bytes of chunks were in packs already, and in no index. None that an index
// named may be among what was sent.
func (w *watcher) look(t *testing.T) (again int64) {
	t.Helper()
	w.site.inside(t, func(ctx context.Context, r *repository) error {
		packs, err := newObjects(ctx, r, catalog.PackArea, w.packs)
		if err != nil {
			return err
		}
		indexed := int64(0)
		for _, name := range packs {
			pieces, err := piecesOf(ctx, r, name)
			if err != nil {
				return err
			}
			for _, p := range pieces {
				if w.named[p.ID] {
					indexed += int64(p.Len)
				} else if w.stored[p.ID] {
					again += int64(p.Len)
				}
				w.stored[p.ID] = true
			}
		}
		if indexed > 0 {
			t.Errorf("%d bytes of chunks were sent again that index/ had named before", indexed)
		}
		return w.readIndex(ctx, r)
	})
	return again
}

// readIndex notes which chunks the new objects of index/ name.
func (w *watcher) readIndex(ctx context.Context, r *repository) error {
	names, err := newObjects(ctx, r, catalog.IndexArea, w.index)
	if err != nil {
		return err
	}
	group, err := r.secret.Group(r.secret.Epoch(), w.site.host)
	if err != nil {
		return err
	}
	for _, name := range names {
		b, err := store.ReadAll(ctx, r.store, name, pack.Index.Limit())
		if err != nil {
			return err
		}
		packs, err := pack.OpenIndex(r.id, name, group, b)
		if err != nil {
			return err
		}
		for _, p := range packs {
			for _, b := range p.Blocks {
				for _, piece := range b.Pieces {
					w.named[piece.ID] = true
				}
			}
		}
	}
	return nil
}

// newObjects returns the objects of an area that are not in known, and adds them.
func newObjects(ctx context.Context, r *repository, area catalog.Area, known map[string]bool) (names []string, err error) {
	err = r.store.List(ctx, string(area)+"/", "", func(o store.Info) error {
		if !known[o.Key] {
			known[o.Key] = true
			names = append(names, o.Key)
		}
		return nil
	})
	return names, err
}

// piecesOf returns what is in a data pack, by its directory; nil if it is one of pages.
func piecesOf(ctx context.Context, r *repository, name string) ([]pack.Piece, error) {
	info, err := r.store.Stat(ctx, name)
	if err != nil {
		return nil, err
	}
	head := make([]byte, min(pack.MaxHeader, info.Size))
	if _, err := r.store.ReadAt(ctx, name, head, 0); err != nil {
		return nil, err
	}
	h, err := pack.ParseHeader(head, r.id, name, pack.DataPack)
	if err != nil {
		_, err = pack.ParseHeader(head, r.id, name, pack.TreePack)
		return nil, err
	}
	opener, err := h.Opener(catalog.SecretKeyring(r.secret).Ring)
	if err != nil {
		return nil, err
	}
	const tailLen = 1 << 20 // more than the directories here take
	tail, err := io.ReadAll(io.NewSectionReader(objectReader{ctx, r.store, name}, max(0, info.Size-tailLen), tailLen))
	if err != nil {
		return nil, err
	}
	dir, err := opener.OpenDirectory(tail, info.Size, h.Len)
	if err != nil {
		return nil, err
	}
	var pieces []pack.Piece
	for _, b := range dir.Blocks {
		pieces = append(pieces, b.Pieces...)
	}
	return pieces, nil
}

// objectReader reads an object as an io.ReaderAt.
type objectReader struct {
	ctx   context.Context // of the one look
	store store.Store
	name  string
}

func (o objectReader) ReadAt(p []byte, off int64) (int, error) {
	n, err := o.store.ReadAt(o.ctx, o.name, p, off)
	if err == nil && n < len(p) {
		err = io.EOF
	}
	return n, err
}
