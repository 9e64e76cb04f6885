package capture

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"tidemark/chunk"
	"tidemark/keys"
	"tidemark/pack"
	"tidemark/store"
)

const (
	// ownChunks is how many chunks of the running capture are kept in memory
	// before they are sorted into a temporary file: about 25 MiB.
	ownChunks = 1 << 18

	// mostSegments is how many segments of the local index there may be
	// before they are merged into one: each costs a lookup a read.
	mostSegments = 8

	// indexFetches is how many index objects are fetched at once.
	indexFetches = 8

	// maxIndexLen bounds an index object, in bytes (docs/format.md, section 19).
	maxIndexLen = 64 << 20
)

// packKey names a pack.
type packKey struct {
	run keys.RunID
	n   uint32
}

// An index says where the chunks are that the trust group has: those of
// earlier runs by index/, of which the state directory keeps a sorted copy, and those
// of this run.
type index struct {
	host    string
	run     keys.RunID
	tempDir string
	banned  map[packKey]bool // packs that nothing new may refer to

	mu       sync.Mutex
	own      map[chunk.ID]ownPlace      // guarded by mu
	spilling map[chunk.ID]ownPlace      // being written to a segment; read only; guarded by mu
	claims   map[chunk.ID]chan struct{} // chunks being added; guarded by mu
	segments []*segment                 // guarded by mu; each is immutable
	reused   map[packKey]string         // packs of earlier runs that something was found in, with their hosts; guarded by mu
}

// ownPlace is a place in this run.
type ownPlace struct{ pack, ordinal, start, len uint32 }

// place returns where id is, adding it by add if it is nowhere: once, however
// many ask at the same time. The place is complete unless it is in this run.
func (x *index) place(ctx context.Context, id chunk.ID, length int, add func() (pack.Place, error)) (pack.Place, error) {
	for {
		at, ok, err := x.find(id, length)
		if err != nil || ok {
			return at, err
		}
		x.mu.Lock()
		claim := x.claims[id]
		if claim == nil {
			if _, ok := x.ownPlace(id); ok {
				x.mu.Unlock()
				continue // it was added after find had looked
			}
			x.claims[id] = make(chan struct{})
		}
		x.mu.Unlock()
		if claim == nil {
			return x.addClaimed(id, add)
		}
		select {
		case <-claim:
		case <-ctx.Done():
			return pack.Place{}, context.Cause(ctx)
		}
	}
}

// ownPlace looks id up among this run's chunks in memory. The caller holds mu.
func (x *index) ownPlace(id chunk.ID) (ownPlace, bool) {
	p, ok := x.own[id]
	if !ok {
		p, ok = x.spilling[id]
	}
	return p, ok
}

// addClaimed adds id, which the caller has claimed.
func (x *index) addClaimed(id chunk.ID, add func() (pack.Place, error)) (pack.Place, error) {
	at, err := add()
	x.mu.Lock()
	close(x.claims[id])
	delete(x.claims, id)
	if err == nil {
		x.own[id] = ownPlace{at.Pack, at.Ordinal, at.Start, at.Len}
	}
	full := err == nil && len(x.own) >= ownChunks && x.spilling == nil
	if full {
		x.spilling, x.own = x.own, make(map[chunk.ID]ownPlace, ownChunks)
	}
	x.mu.Unlock()
	if full {
		err = x.spill()
	}
	return at, err
}

// find looks a chunk up, first in memory. What the index says of another
// length is not true, and passed over.
func (x *index) find(id chunk.ID, length int) (pack.Place, bool, error) {
	x.mu.Lock()
	p, ok := x.ownPlace(id)
	segments := x.segments
	x.mu.Unlock()
	if ok {
		return x.ownAt(p), true, nil
	}
	for _, s := range slices.Backward(segments) {
		at, ok, err := s.find(id)
		if errors.Is(err, errSegment) {
			continue // as if it were not known: then it is stored again
		}
		if err != nil {
			return at, false, fmt.Errorf("capture: chunk %v: %w", id, err)
		}
		key := packKey{at.Run, at.Pack}
		if !ok || int(at.Len) != length || x.banned[key] {
			continue
		}
		if at.Run != x.run {
			x.mu.Lock()
			x.reused[key] = at.Host
			x.mu.Unlock()
		}
		return at, true, nil
	}
	return pack.Place{}, false, nil
}

func (x *index) ownAt(p ownPlace) pack.Place {
	return pack.Place{
		Block: pack.Block{Host: x.host, Run: x.run, Pack: p.pack, Ordinal: p.ordinal},
		Start: p.start, Len: p.len,
	}
}

// spill writes x.spilling to a segment that nothing names.
func (x *index) spill() error {
	x.mu.Lock()
	full := x.spilling
	x.mu.Unlock()
	ids := make([]chunk.ID, 0, len(full))
	for id := range full {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, chunk.ID.Compare)
	f, err := unlinkedFile(x.tempDir, "tidemark-index-*")
	if err != nil {
		return fmt.Errorf("capture: temporary file for the index: %w", err)
	}
	err = writeSegment(f, nil, func(yield func(entry) error) error {
		for _, id := range ids {
			if err := yield(entry{id, x.ownAt(full[id])}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		_ = f.Close()
		return fmt.Errorf("capture: write the index: %w", err)
	}
	s, err := openSegment(f, "")
	if err != nil {
		_ = f.Close()
		return fmt.Errorf("capture: open the index: %w", err)
	}
	x.mu.Lock()
	x.segments = append(slices.Clone(x.segments), s)
	x.spilling = nil
	x.mu.Unlock()
	return nil
}

// close closes the files.
func (x *index) close() {
	for _, s := range x.segments {
		s.close()
	}
}

// openIndex brings the copy of index/ in the state directory up to date and
// opens it.
func (c *Capturer) openIndex(ctx context.Context) (_ *index, err error) {
	x := &index{host: c.Key.Host, tempDir: c.TempDir, own: map[chunk.ID]ownPlace{}, claims: map[chunk.ID]chan struct{}{}, reused: map[packKey]string{}}
	defer func() {
		if err != nil {
			x.close()
		}
	}()
	names, err := c.indexObjects(ctx)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(c.StateDir, "index")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("capture: directory for the local index: %w", err)
	}
	if err := x.openSegments(dir, names); err != nil {
		return nil, err
	}
	for _, s := range x.segments {
		for _, name := range s.Objects {
			delete(names, name)
		}
	}
	if err := x.addObjects(ctx, c, dir, names); err != nil {
		return nil, err
	}
	if len(x.segments) <= mostSegments {
		return x, nil
	}
	err = x.merge(dir)
	if !errors.Is(err, errSegment) {
		return x, err
	}
	c.notice(dir, fmt.Errorf("capture: the copy of index/ is made again: %w", err))
	if err := x.removeSegments(); err != nil {
		return nil, err
	}
	if names, err = c.indexObjects(ctx); err != nil {
		return nil, err
	}
	return x, x.addObjects(ctx, c, dir, names)
}

// removeSegments removes all that openSegments and addObjects opened.
func (x *index) removeSegments() error {
	for _, s := range x.segments {
		s.close()
		if err := os.Remove(s.path); err != nil {
			return fmt.Errorf("capture: renew the local index: %w", err)
		}
	}
	x.segments = nil
	return nil
}

// indexObjects lists the index objects of the trust group: this host's, and
// all others' if the group is not the host's alone (those that are not the
// group's do not open).
func (c *Capturer) indexObjects(ctx context.Context) (map[string]bool, error) {
	prefix := "index/"
	if c.Key.Group.Name == c.Key.Host {
		segment, err := c.Key.Names().Host(c.Key.Host)
		if err != nil {
			return nil, fmt.Errorf("capture: %w", err)
		}
		prefix += segment + "/"
	}
	names := map[string]bool{}
	err := c.Store.List(ctx, prefix, "", func(o store.Info) error {
		names[o.Key] = true
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("capture: list %s: %w", prefix, err)
	}
	return names, nil
}

// openSegments opens the segments in dir, and removes those that are damaged or that
// hold chunks of an index object that is no more.
func (x *index) openSegments(dir string, names map[string]bool) error {
	leftovers, err := filepath.Glob(filepath.Join(dir, unfinished+"*")) // of captures that were killed
	if err != nil {
		return err
	}
	for _, path := range leftovers {
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("capture: renew the local index: %w", err)
		}
	}
	paths, err := filepath.Glob(filepath.Join(dir, "*"+segmentSuffix))
	if err != nil {
		return err
	}
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			return fmt.Errorf("capture: open the local index: %w", err)
		}
		s, err := openSegment(f, path)
		stale := err == nil && slices.ContainsFunc(s.Objects, func(name string) bool { return !names[name] })
		if stale || errors.Is(err, errSegment) {
			_ = f.Close()
			if err := os.Remove(path); err != nil {
				return fmt.Errorf("capture: renew the local index: %w", err)
			}
			continue
		}
		if err != nil {
			_ = f.Close()
			return fmt.Errorf("capture: open the local index %s: %w", path, err)
		}
		x.segments = append(x.segments, s)
	}
	return nil
}

// addObjects fetches the named index objects into new segments.
func (x *index) addObjects(ctx context.Context, c *Capturer, dir string, names map[string]bool) error {
	var (
		mu      sync.Mutex
		objects []string
		entries []entry
	)
	flush := func() error { // under mu
		if len(objects) == 0 {
			return nil
		}
		slices.SortStableFunc(entries, func(a, b entry) int { return a.id.Compare(b.id) })
		s, err := createSegment(dir, objects, func(yield func(entry) error) error {
			for _, e := range entries {
				if err := yield(e); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("capture: write the local index: %w", err)
		}
		x.segments = append(x.segments, s)
		objects, entries = nil, entries[:0]
		return nil
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(indexFetches)
	for name := range names {
		g.Go(func() error {
			found, err := c.readIndex(ctx, name)
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			objects = append(objects, name)
			entries = append(entries, found...)
			if len(entries) >= ownChunks {
				return flush()
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return flush()
}

// readIndex fetches an index object. One of another group, one that is damaged
// or one of a later version gives nothing: its chunks are stored again when
// they are met.
func (c *Capturer) readIndex(ctx context.Context, name string) ([]entry, error) {
	object, err := store.ReadAll(ctx, c.Store, name, maxIndexLen)
	if errors.Is(err, store.ErrNotExist) {
		return nil, nil // pruned since it was listed
	}
	if err != nil {
		return nil, fmt.Errorf("capture: read %s: %w", name, err)
	}
	host, run, _, err := pack.ParseIndexName(c.Key.Names(), name)
	if err != nil {
		return nil, nil // no name of this repository
	}
	packs, err := pack.OpenIndex(c.Key.Repository, name, c.Key.Group, object)
	if errors.Is(err, keys.ErrNotForUs) {
		return nil, nil // another group's, or from before the keys were rotated
	}
	if err != nil {
		c.notice(name, err)
		return nil, nil
	}
	var found []entry
	for _, p := range packs {
		for i, b := range p.Blocks {
			at := pack.Place{Block: pack.Block{
				Host: host, Run: run, Pack: p.N, Ordinal: uint32(i),
				Offset: b.Offset, Sealed: b.Sealed, Plain: b.Plain, Codec: b.Codec,
			}}
			for _, piece := range b.Pieces {
				at.Len = piece.Len
				found = append(found, entry{piece.ID, at})
				at.Start += piece.Len
			}
		}
	}
	return found, nil
}

// merge makes one segment of all.
func (x *index) merge(dir string) error {
	var objects []string
	for _, s := range x.segments {
		objects = append(objects, s.Objects...)
	}
	one, err := createSegment(dir, objects, mergeSegments(x.segments))
	if err != nil {
		return fmt.Errorf("capture: merge the local index: %w", err)
	}
	if err := x.removeSegments(); err != nil {
		one.close()
		return err
	}
	x.segments = []*segment{one}
	return nil
}
