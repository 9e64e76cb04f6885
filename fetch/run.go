package fetch

import (
	"context"
	"fmt"

	"tidemark/chunk"
	"tidemark/keys"
	"tidemark/pack"
)

// How much is remembered of keys. What is forgotten costs a small request
// (a run), or 5 µs (a pack, a group).
const (
	maxRuns   = 4096 // 200 bytes each: runs of 100 hosts in 40 days
	maxPacks  = 1024 // 1.5 KiB each: 32 GiB of packs of 32 MiB
	maxGroups = 256  // 3 KiB each
)

// A packID names a pack.
type packID struct {
	kind pack.Kind
	host string
	run  keys.RunID
	n    uint32
}

// A run is what the header of any of its packs says.
type run struct {
	secret keys.RunSecret
	keys   chunk.Keys // of its group
}

type groupName struct {
	epoch uint32
	name  string
}

// An openPack is what opens a pack, and checks what is in it.
type openPack struct {
	opener *pack.Opener
	keys   chunk.Keys
}

// An opening is a pack that is being opened.
type opening struct {
	f      *Fetcher
	id     packID
	object string
	open   *openPack             // if it was open already
	header *flight[packID, *run] // if its run is new
	ours   bool                  // the header is that of this very pack
}

// open begins to open a pack. If its run is new to the reader, the header is
// read meanwhile. The caller must call leave in the end.
func (f *Fetcher) open(ctx context.Context, id packID, object string) *opening {
	o := &opening{f: f, id: id, object: object}
	if open, ok := f.packs.get(id); ok {
		o.open = open
		return o
	}
	if r, ok := f.runs.get(id.run); ok {
		o.done(r)
		return o
	}
	// All packs of a run share one flight, for one header is enough.
	o.header, o.ours = f.opens.join(ctx, packID{run: id.run}, o.read)
	return o
}

// wait returns what opens the pack.
func (o *opening) wait(ctx context.Context) (*openPack, error) {
	if o.open != nil {
		return o.open, nil
	}
	r, err := o.f.opens.wait(ctx, o.header)
	o.header = nil
	if err != nil && !o.ours && ctx.Err() == nil {
		// It was another pack's header, whose damage is not ours.
		fl, _ := o.f.opens.join(ctx, o.id, o.read)
		r, err = o.f.opens.wait(ctx, fl)
	}
	if err != nil {
		return nil, err
	}
	o.done(r)
	return o.open, nil
}

// leave stops waiting, if that was not done.
func (o *opening) leave() {
	if o.header != nil {
		o.f.opens.leave(o.header)
	}
}

// done makes the pack open.
func (o *opening) done(r *run) {
	o.open = &openPack{pack.NewOpener(o.f.repo, o.object, o.id.kind, r.secret, o.id.n), r.keys}
	o.f.packs.put(o.id, o.open)
}

// read reads the header of the pack, and opens the run. It is the work of a
// flight.
func (o *opening) read(ctx context.Context) (*run, error) {
	f := o.f
	if r, ok := f.runs.get(o.id.run); ok {
		return r, nil // another flight landed just before this one began
	}
	f.headers.Add(1)
	b := make([]byte, pack.MaxHeader)
	n, err := f.read(ctx, o.object, b, 0)
	if err != nil {
		return nil, err
	}
	h, err := pack.ParseHeader(b[:n], f.repo, o.object, o.id.kind)
	if err != nil {
		return nil, err
	}
	ring := &runRing{Keys: f.keys}
	if _, err := h.Opener(ring); err != nil {
		return nil, err
	}
	ids, err := f.group(ring.run)
	if err != nil {
		return nil, fmt.Errorf("fetch: %s: %w", o.object, err)
	}
	r := &run{ring.run, ids}
	f.runs.put(o.id.run, r)
	return r, nil
}

// group returns the id keys of a run.
func (f *Fetcher) group(r keys.RunSecret) (chunk.Keys, error) {
	name := groupName{r.Epoch, r.Group}
	if ids, ok := f.groups.get(name); ok {
		return ids, nil
	}
	g, err := f.keys.Group(r.Epoch, r.Group)
	if err != nil {
		return chunk.Keys{}, err
	}
	ids := chunk.NewKeys(g.Secret())
	f.groups.put(name, ids)
	return ids, nil
}

// A runRing is a pack.Ring that opens one run, and keeps its secret.
type runRing struct {
	Keys
	run keys.RunSecret
}

func (r *runRing) OpenRun(sealed []byte) (s keys.RunSecret, err error) {
	r.run, err = r.Keys.OpenRun(sealed)
	return r.run, err
}

func (r *runRing) Records() keys.Key               { return keys.Key{} }
func (r *runRing) Index([16]byte) (keys.Key, bool) { return keys.Key{}, false }
