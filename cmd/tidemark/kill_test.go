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
	const rounds, tries, perRound = 4, 7, 1100
	s := newSite(t)
	source := s.dir + "/source"
	rnd := rand.New(rand.NewPCG(2026, 9))
	noise := rand.NewChaCha8([32]byte{5})
	grow := func(round int) {
		for i := range perRound { // of a size that shares packs of 16 MiB: there are many
			path := fmt.Sprintf("%s/%d/%d/file-%d", source, round, i%7, i)
			must(t, os.MkdirAll(filepath.Dir(path), 0o755))
			b := make([]byte, 80<<10+rnd.IntN(40<<10))
			_, _ = noise.Read(b) // it never fails
			must(t, os.WriteFile(path, b, 0o644))
		}
	}
	touch := func(n int) {
		path := fmt.Sprintf("%s/changes/%d", source, n)
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, os.WriteFile(path, fmt.Append(nil, "change ", n), 0o644))
	}
	watch := newWatcher(s)
	must(t, os.Mkdir(source, 0o755))
	touch(0)
	s.ok(t, "capture", "app="+source) // enrols the host

	var killed, afterPacks, afterIndex, resent, spared int64
	var whole time.Duration
	for round := range rounds {
		grow(round)
		if round == 0 { // how long the capture of a round's files takes
			began := time.Now()
			watch.capture(t, source, 0)
			whole = time.Since(began)
			watch.look(t)
			continue
		}
		for try := range tries + 1 {
			touch(round*tries + try)
			moment := time.Duration(rnd.Int64N(int64(whole*3/4))) + time.Millisecond
			switch try {
			case 0: // soon after it has written index/ for the first time, far from its end
				moment = untilIndex + moment/8
			case tries:
				moment = 0
			}
			packs, indexes := len(watch.packs), len(watch.index)
			ended := watch.capture(t, source, moment)
			sent := watch.look(t)
			resent += sent.again
			spared += sent.indexed
			if ended {
				continue
			}
			if killed++; moment == 0 {
				t.Fatal("a capture that nobody killed did not end")
			}
			if len(watch.packs) > packs {
				afterPacks++
			}
			if len(watch.index) > indexes {
				afterIndex++
			}
		}
	}
	t.Logf("%d captures killed, of up to %v each: %d when they had stored packs, %d when they had written index/; "+
		"%d bytes of chunks were sent again that no index named, %d that one did",
		killed, whole.Round(time.Millisecond), afterPacks, afterIndex, resent, spared)
	if killed < 10 || afterPacks < 3 || afterIndex < 1 {
		t.Error("that is too few: the test shows little")
	}
	again := newWatcher(s)
	again.whole(t) // all of it once more
	if n := len(again.points); n != len(watch.points) || n < rounds+1 {
		t.Errorf("%d points, want %d", n, len(watch.points))
	}
	restored := s.dir + "/restored"
	s.ok(t, "restore", "latest/app", restored)
	wantSameTree(t, source, restored)
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

// untilIndex, added to a time, counts it from the moment that index/ has a new object.
const untilIndex = time.Hour

// capture captures source, and kills that after some time, if it is not 0. It
// reports whether the capture ended by itself; then it must have succeeded.
// All points must be whole.
func (w *watcher) capture(t *testing.T, source string, kill time.Duration) (ended bool) {
	t.Helper()
	indexes := w.indexes(t)
	cmd := w.site.command(t, "capture", "app="+source)
	var said strings.Builder
	cmd.Stderr = &said
	must(t, cmd.Start())
	done := make(chan struct{})
	var killer sync.WaitGroup
	killer.Go(func() {
		look := time.NewTicker(2 * time.Millisecond)
		defer look.Stop()
		for kill >= untilIndex {
			select {
			case <-look.C:
				if w.indexes(t) > indexes {
					kill -= untilIndex
				}
			case <-done:
				return
			}
		}
		if kill == 0 {
			return
		}
		timer := time.NewTimer(kill)
		defer timer.Stop()
		select {
		case <-timer.C:
			_ = cmd.Process.Kill() // it may just have ended
		case <-done:
		}
	})
	_ = cmd.Wait() // its state says it
	close(done)
	killer.Wait()
	status := cmd.ProcessState.Sys().(syscall.WaitStatus)
	ended = !status.Signaled()
	if ended && cmd.ProcessState.ExitCode() != exitOK {
		t.Errorf("a capture after others were killed: %v\n%s", cmd.ProcessState, said.String())
	}
	w.whole(t)
	return ended
}

// indexes returns how many objects index/ has.
func (w *watcher) indexes(t *testing.T) int {
	found, err := filepath.Glob(w.site.repo + "/index/*/*/*")
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

// sent says how much a run sent of what was there before it, in bytes of chunks.
type sent struct {
	again   int64 // that were in packs, and in no index
	indexed int64 // that an index named: there must be none
}

// look finds out what a run has sent since the last look.
func (w *watcher) look(t *testing.T) (total sent) {
	t.Helper()
	w.site.inside(t, func(ctx context.Context, r *repository) error {
		packs, err := newObjects(ctx, r, catalog.PackArea, w.packs)
		if err != nil {
			return err
		}
		var pieces []pack.Piece
		for _, name := range packs {
			more, err := piecesOf(ctx, r, name)
			if err != nil {
				return err
			}
			pieces = append(pieces, more...)
		}
		for _, p := range pieces {
			switch {
			case w.named[p.ID]:
				total.indexed += int64(p.Len)
			case w.stored[p.ID]:
				total.again += int64(p.Len)
			}
			w.stored[p.ID] = true
		}
		return w.readIndex(ctx, r)
	})
	if total.indexed > 0 {
		t.Errorf("%d bytes of chunks were sent again that index/ had named before", total.indexed)
	}
	return total
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
