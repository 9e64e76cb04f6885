package capture

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"tidemark/catalog"
	"tidemark/pack"
	"tidemark/store"
)

const (
	// stats is how many packs are asked for at once before a commit.
	stats = 16

	// maxIntentAge is how old an intent may be when its point is written:
	// prune waits three times as long before it overlooks one.
	maxIntentAge = 30 * 24 * time.Hour

	// A point is complete if of its entries at most toleratedFiles, and one in
	// toleratedShare, could not be read whole: on a live tree some file always
	// moves. A directory is never tolerated.
	toleratedFiles = 10
	toleratedShare = 1000
)

// commit makes the point visible, in the order of docs/format.md, section 14.
// All that it names is durable.
func (a *capturing) commit(ctx context.Context) (*Result, error) {
	if err := a.run.up.index(ctx, nil); err != nil {
		return nil, err
	}
	p := a.point()
	c := a.c
	ring := catalog.CaptureKeyring(c.Key)
	announced := c.Now().Round(0) // by the wall clock, which goes on in suspend
	intent, object, err := p.Seal(c.Rand, catalog.IntentArea, ring, a.run.keys, c.Key.Signing())
	if err != nil {
		return nil, fmt.Errorf("capture: seal the intent: %w", err)
	}
	if err := a.run.putObject(ctx, intent, object); err != nil {
		return nil, err
	}
	if err := a.look(ctx); err != nil {
		return nil, err
	}
	if age := c.Now().Round(0).Sub(announced); age > maxIntentAge {
		return nil, fmt.Errorf("capture: the point was announced %v ago, too long to be sure that nothing of it was deleted; capture again", age.Round(time.Hour))
	}
	name, object, err := p.Seal(c.Rand, catalog.PointArea, ring, a.run.keys, c.Key.Signing())
	if err != nil {
		return nil, fmt.Errorf("capture: seal the point: %w", err)
	}
	if err := a.run.putObject(ctx, name, object); err != nil {
		return nil, err
	}
	if err := a.remember(ctx, p, name, object); err != nil {
		c.notice(name, err) // the point is made; its state is only for speed
	}
	return &Result{Object: name, Name: p.Name(a.run.keys.ID), Point: p, Unreadable: a.bad.count}, nil
}

// point returns the point that was captured.
func (a *capturing) point() *catalog.Point {
	req, progress := &a.req, a.req.Progress
	t := req.Time
	if t.IsZero() {
		t = a.began
	}
	p := &catalog.Point{
		Host: a.c.Key.Host, Source: req.Source.Name, Sequence: req.Sequence,
		Time:     time.Unix(t.Unix(), 0).UTC(),
		Complete: a.complete(),
		Fresh:    true,
		Instant:  timeOf(a.began), Began: timeOf(a.began), Ended: timeOf(a.c.Now()),
		Title: req.Label, Path: req.Source.Path,
		Set:             []catalog.Member{{Source: req.Source.Name, Sequence: req.Sequence}},
		ReadBytes:       uint64(progress.ReadBytes.Load()),
		ChangedFiles:    uint64(progress.FilesRead.Load()),
		NewBytes:        uint64(progress.NewBytes.Load()),
		AddedBytes:      uint64(progress.StoredBytes.Load()),
		UnreadableCount: a.bad.count,
		Unreadable:      a.bad.sorted(),
		Crossed:         req.Source.CrossFilesystems,
		Excludes:        req.Source.Exclude,
		Version:         a.c.Version,
		Root:            a.builder.rootPage, Usage: a.builder.usagePage,
	}
	if req.Previous != nil {
		p.Fresh, p.Previous = false, *req.Previous
	}
	return p
}

func timeOf(t time.Time) catalog.Time {
	return catalog.Time{Sec: t.Unix(), Nsec: uint32(t.Nanosecond())}
}

// complete reports whether what could not be read is within the tolerance.
func (a *capturing) complete() bool {
	others := a.bad.count - a.bad.dirs
	return a.bad.dirs == 0 && others <= toleratedFiles+uint64(a.req.Progress.Files.Load())/toleratedShare
}

// look makes sure, after the intent and before the point, that nothing which
// the point names is being deleted: a prune that has condemned a pack either
// is seen here, or sees the intent.
func (a *capturing) look(ctx context.Context) error {
	if parent := a.req.Parent; parent != nil {
		_, err := a.c.Store.Stat(ctx, parent.Object)
		if errors.Is(err, store.ErrNotExist) {
			return &errTaken{parent: true}
		}
		if err != nil {
			return fmt.Errorf("capture: look for %s: %w", parent.Object, err)
		}
	}
	condemned, err := a.c.condemned(ctx)
	if err != nil {
		return err
	}
	var (
		mu    sync.Mutex
		taken []packKey
	)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(stats)
	// What else the point names is of this run, and durable, or the parent
	// vouches for it.
	for key, host := range a.reused {
		g.Go(func() error {
			ok := !condemned[key]
			if ok {
				var err error
				if ok, err = a.c.packExists(ctx, host, key); err != nil {
					return err
				}
			}
			if !ok {
				mu.Lock()
				taken = append(taken, key)
				mu.Unlock()
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if len(taken) > 0 {
		return &errTaken{packs: taken}
	}
	return nil
}

func (c *Capturer) packExists(ctx context.Context, host string, p packKey) (bool, error) {
	name, err := pack.ObjectName(c.Key.Names(), host, p.run, p.n)
	if err != nil {
		return false, fmt.Errorf("capture: pack %d of run %v: %w", p.n, p.run, err)
	}
	_, err = c.Store.Stat(ctx, name)
	if errors.Is(err, store.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("capture: look for %s: %w", name, err)
	}
	return true, nil
}

// condemned returns the packs that a prune means to delete.
func (c *Capturer) condemned(ctx context.Context) (map[packKey]bool, error) {
	roster := catalog.Roster{Objects: objects{c.Store}, Keys: catalog.CaptureKeyring(c.Key)}
	lists, err := roster.ReadCondemned(ctx)
	if err != nil {
		return nil, fmt.Errorf("capture: %w", err)
	}
	packs := map[packKey]bool{}
	for _, list := range lists {
		for _, p := range list.Packs {
			packs[packKey{p.Run, p.Number}] = true
		}
	}
	return packs, nil
}

// objects makes a [catalog.Objects] of a store.
type objects struct{ store store.Store }

func (o objects) List(ctx context.Context, prefix, after string, fn func(string, int64, time.Time) error) error {
	return o.store.List(ctx, prefix, after, func(i store.Info) error { return fn(i.Key, i.Size, i.Time) })
}

func (o objects) Get(ctx context.Context, name string, limit int64) ([]byte, error) {
	b, err := store.ReadAll(ctx, o.store, name, limit)
	if errors.Is(err, store.ErrNotExist) {
		err = fmt.Errorf("%w (%w)", err, catalog.ErrNoObject)
	}
	return b, err
}
