package capture

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"time"

	"tidemark/pack"
)

const (
	// indexPacks and indexEvery say when index/ is written: after so many data
	// packs, or when that long has passed since the last. What a run that died
	// had sent after its last index object is sent again.
	indexPacks = 4
	indexEvery = 2 * time.Second

	// bufferSlack is the room, in bytes, that a pack's buffer has beyond its
	// target: for its last block, header and directory.
	bufferSlack = 2 << 20
)

// An uploader stores complete packs, a few at once, and the index of the data packs.
type uploader struct {
	run   *run
	now   func() time.Time
	slots chan struct{} // a token for each upload under way

	mu      sync.Mutex
	free    [][]byte         // buffers of packs; guarded by mu
	pending []pack.IndexPack // data packs that are durable and in no index; guarded by mu
	number  uint32           // of the next index object; guarded by mu
	indexed time.Time        // when the last index object was written; guarded by mu
}

// newBuilder begins pack n.
func (u *uploader) newBuilder(kind pack.Kind, n uint32, target int64) (*pack.Builder, error) {
	r := u.run
	b, err := pack.NewBuilder(r.key.Names(), r.keys, r.key.Repository, r.key.Host, kind, n, u.buffer(target))
	if err != nil {
		return nil, fmt.Errorf("capture: begin pack %d: %w", n, err)
	}
	return b, nil
}

// buffer returns an empty buffer for a pack of target bytes.
func (u *uploader) buffer(target int64) []byte {
	u.mu.Lock()
	defer u.mu.Unlock()
	for i, b := range u.free {
		if int64(cap(b)) >= target+bufferSlack/2 {
			u.free = append(u.free[:i], u.free[i+1:]...)
			return b[:0]
		}
	}
	return make([]byte, 0, target+bufferSlack)
}

// put stores the complete pack in b: it returns when an upload of it has begun.
func (u *uploader) put(ctx context.Context, kind pack.Kind, n uint32, b *pack.Builder) error {
	blocks := b.Directory()
	name, object, err := b.Finish()
	if err != nil {
		return fmt.Errorf("capture: finish pack %d: %w", n, err)
	}
	select {
	case u.slots <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	u.run.group.Go(func() error {
		defer func() { <-u.slots }()
		if err := u.run.putObject(ctx, name, object); err != nil {
			return err
		}
		u.mu.Lock()
		u.free = append(u.free, object)
		u.mu.Unlock()
		if kind != pack.DataPack {
			return nil
		}
		return u.index(ctx, &pack.IndexPack{N: n, Blocks: blocks})
	})
	return nil
}

// index notes that a data pack is durable, and writes the index when it is
// time. With nil it writes what has not been written.
func (u *uploader) index(ctx context.Context, p *pack.IndexPack) error {
	u.mu.Lock()
	if p != nil {
		u.pending = append(u.pending, *p)
	}
	now := u.now()
	if len(u.pending) == 0 || p != nil && len(u.pending) < indexPacks && now.Sub(u.indexed) < indexEvery {
		u.mu.Unlock()
		return nil
	}
	batch, n := u.pending, u.number
	u.pending, u.indexed = nil, now
	u.number++
	u.mu.Unlock()

	r := u.run
	name, err := pack.IndexName(r.key.Names(), r.key.Host, r.keys.ID, n)
	if err != nil {
		return fmt.Errorf("capture: name index %d: %w", n, err)
	}
	object, err := pack.SealIndex(r.rand, r.key.Repository, name, r.key.Group, batch)
	if err != nil {
		return fmt.Errorf("capture: seal index %d: %w", n, err)
	}
	if err := r.putObject(ctx, name, object); err != nil {
		u.mu.Lock()
		u.pending = append(u.pending, batch...) // for another index object
		u.mu.Unlock()
		return err
	}
	return nil
}

// putObject stores an object and counts it.
func (r *run) putObject(ctx context.Context, name string, object []byte) error {
	if err := r.store.Put(ctx, name, bytes.NewReader(object), int64(len(object))); err != nil {
		return fmt.Errorf("capture: store %s: %w", name, err)
	}
	r.stats.StoredBytes.Add(int64(len(object)))
	return nil
}
