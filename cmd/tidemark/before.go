package main

import (
	"context"
	"errors"
	"slices"

	"tidemark/capture"
	"tidemark/catalog"
)

// before is what there is of a source already.
type before struct {
	sequence uint64          // the highest of its points
	parent   *capture.Parent // the newest that can be started from; nil: everything is read
	sum      *[32]byte       // SHA-256 of the object of the newest point, if that is parent
}

// before finds out what there is of a source.
func (w *writer) before(ctx context.Context, source string) (before, error) {
	entries, notices, err := w.r.roster().ReadPoints(ctx, w.host)
	if err != nil {
		return before{}, err
	}
	w.r.say(notices)
	entries = slices.DeleteFunc(entries, func(e catalog.Entry) bool { return e.Source != source })
	if w.r.secret == nil {
		return w.remembered(source, entries), nil
	}
	var b before
	for _, e := range slices.Backward(entries) {
		p, err := w.r.roster().OpenPoint(ctx, w.host, e)
		if ctx.Err() != nil {
			return before{}, ctx.Err()
		}
		if err == nil {
			var tree *catalog.Tree
			if tree, err = catalog.OpenTree(w.fetcher, p.Root); err == nil {
				b.parent = &capture.Parent{Object: p.Object, Sum: p.Sum, Point: &p.Point, Tree: tree, Pages: w.fetcher}
			}
		}
		if err != nil {
			w.r.s.p.warn("%s cannot be started from: %v", e.Object, err)
		}
		if b.sequence == 0 && !errors.Is(err, catalog.ErrForged) { // anybody can make names
			b.sequence = e.Name.Sequence
			if b.parent != nil {
				b.sum = &b.parent.Sum
			}
		}
		if b.parent != nil {
			break
		}
	}
	return b, nil
}

// sequenceSlack is how far the numbers of points may have gone on without this
// host's memory of it, for a host that cannot verify them. Beyond it they are
// not believed: anybody who can write can make names.
const sequenceSlack = 1_000_000

// remembered is before for who cannot open points: the state directory has the
// newest, or the names alone have to do.
func (w *writer) remembered(source string, entries []catalog.Entry) before {
	var b before
	parent := w.capturer.Remembered(source)
	if parent != nil {
		b.sequence = parent.Point.Sequence
	}
	newest := ""
	for _, e := range entries {
		if e.Name.Sequence >= b.sequence && e.Name.Sequence <= b.sequence+sequenceSlack {
			b.sequence, newest = e.Name.Sequence, e.Object
		}
	}
	switch {
	case parent == nil:
	case !slices.ContainsFunc(entries, func(e catalog.Entry) bool { return e.Object == parent.Object }):
		w.r.s.p.warn("%s: the point that this host remembers, of %v, is not in the repository any more; everything is read", source, parent.Point.Time)
	default:
		b.parent = parent
		if newest == parent.Object {
			b.sum = &parent.Sum
		}
	}
	return b
}
