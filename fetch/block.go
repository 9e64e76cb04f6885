package fetch

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"tidemark/chunk"
	"tidemark/pack"
	"tidemark/store"
)

// A block is a decoded block: plain bytes that were under its seal. It counts
// who uses it, and gives its buffer back when nobody does. The buffer is not
// changed while anybody uses it, so a piece that was checked once stays so.
type block struct {
	id     blockID
	object string     // the pack's name
	keys   chunk.Keys // of the run
	plain  []byte     // in a buffer of pool; nil when nobody uses it
	size   int        // of the buffer, in bytes
	pool   *pool

	refs   atomic.Int32 // who uses it
	pieces atomic.Int32 // how many of those are Pieces

	mu      sync.Mutex
	checked map[span]chunk.ID // pieces that match their id; guarded by mu
}

// A blockID names a block. The kind of the pack belongs to it: a chunk in a
// tree pack is none.
type blockID struct {
	kind pack.Kind
	pack.Block
}

// is reports whether both are the same block, whatever else is said of them.
func (id blockID) is(o blockID) bool {
	return id.Run == o.Run && id.Pack == o.Pack && id.Ordinal == o.Ordinal && id.kind == o.kind
}

type span struct{ start, len uint32 }

// maxChecked bounds how many pieces of a block are remembered as checked. A
// block of 256 KiB has fewer: files of 512 bytes or less are in the tree.
const maxChecked = 512

// retain takes part in using b. It returns false if its buffer is gone
// already, as can be for who found b without taking part.
func (b *block) retain() bool {
	for n := b.refs.Load(); n > 0; n = b.refs.Load() {
		if b.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
	return false
}

// release ends what retain, or the making of b, began.
func (b *block) release() {
	switch n := b.refs.Add(-1); {
	case n == 0:
		b.pool.put(b.plain)
		b.plain = nil
	case n < 0:
		panic("fetch: a block was released twice")
	}
}

// chunk returns the chunk at at, if id names it.
func (b *block) chunk(id chunk.ID, at pack.Place) ([]byte, error) {
	p, err := b.slice("chunk", id, at)
	if err != nil {
		return nil, err
	}
	where := span{at.Start, at.Len}
	b.mu.Lock()
	known, ok := b.checked[where]
	b.mu.Unlock()
	if ok && known == id {
		return p, nil
	}
	if b.keys.VerifyChunk(id, p) != nil {
		return nil, b.mismatch("chunk", id, at)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.checked == nil {
		b.checked = make(map[span]chunk.ID)
	}
	if len(b.checked) < maxChecked {
		b.checked[where] = id
	}
	return p, nil
}

// page returns the page at at, if id names it.
func (b *block) page(id chunk.ID, at pack.Place) ([]byte, error) {
	p, err := b.slice("page", id, at)
	if err != nil {
		return nil, err
	}
	identity, err := pack.PageIdentity(b.object, p)
	if err != nil || b.keys.VerifyPage(id, identity) != nil {
		return nil, b.mismatch("page", id, at)
	}
	if n := pageLen(p); n != uint64(len(p)) {
		return nil, damage(b.object, pack.ReasonLength, "block %d: page %s is said to have %d bytes, and has %d", at.Ordinal, id, len(p), n)
	}
	return p, nil
}

// pageLen returns how long p is by its header: I, H and P of docs/format.md,
// section 9. The id covers only the identity section.
func pageLen(p []byte) uint64 {
	n := uint64(12)
	for i := range 3 {
		n += uint64(binary.LittleEndian.Uint32(p[4*i:]))
	}
	return n
}

// slice returns the bytes of the piece at at, before any check of them.
func (b *block) slice(noun string, id chunk.ID, at pack.Place) ([]byte, error) {
	end := uint64(at.Start) + uint64(at.Len)
	if at.Len == 0 || end > uint64(len(b.plain)) {
		return nil, damage(b.object, pack.ReasonRange, "block %d: %s %s is said to be %d bytes at %d of %d",
			at.Ordinal, noun, id, at.Len, at.Start, len(b.plain))
	}
	return b.plain[at.Start:end:end], nil
}

// mismatch returns the error for a piece that is not the one that was asked
// for.
func (b *block) mismatch(noun string, id chunk.ID, at pack.Place) error {
	return damage(b.object, pack.ReasonID, "block %d: the %d bytes at %d are not %s %s", at.Ordinal, at.Len, at.Start, noun, id)
}

func damage(object string, reason pack.Reason, format string, args ...any) error {
	return &pack.DamageError{Object: object, Reason: reason, Detail: fmt.Sprintf(format, args...)}
}

// fly fetches a block, which the caller must release, with all who want it at
// the same time. The error is a *goneError if its pack is not there.
func (f *Fetcher) fly(ctx context.Context, id blockID) (*block, error) {
	fl, _ := f.blocks.join(ctx, id, func(ctx context.Context) (*block, error) {
		return f.fetchBlock(ctx, id)
	})
	return f.blocks.wait(ctx, fl)
}

// inMemory returns a block that need not be fetched, which the caller must
// release, or nil.
func (f *Fetcher) inMemory(id blockID) *block {
	b := f.recent.of(id.kind).get(id)
	if b != nil || id.kind == pack.TreePack {
		return b
	}
	b, ok := f.cache.get(blockKey(id)).(*block)
	if !ok || !b.retain() {
		return nil
	}
	f.recent.data.put(b)
	return b
}

// fetchBlock is the work of a flight.
func (f *Fetcher) fetchBlock(ctx context.Context, id blockID) (*block, error) {
	f.waiting.Add(1)
	defer f.waiting.Add(-1)
	if b := f.inMemory(id); b != nil {
		return b, nil // another flight landed just before this one began
	}
	object, err := pack.ObjectName(f.names, id.Host, id.Run, id.Pack)
	if err != nil {
		return nil, damage("pack "+id.Run.String(), pack.ReasonName, "its host: %v", err)
	}
	if err := checkBlock(object, id.Block); err != nil {
		return nil, err
	}
	done, err := f.turn(ctx, int64(id.Sealed)+int64(id.Plain))
	if err != nil {
		return nil, err
	}
	defer done()
	b, err := f.readBlock(ctx, id, object)
	if err != nil {
		return nil, err
	}
	f.recent.of(id.kind).put(b)
	if id.kind == pack.DataPack {
		f.cache.put(b)
	}
	return b, nil
}

// checkBlock returns an error unless b can be in a pack.
func checkBlock(object string, b pack.Block) error {
	err := b.Check()
	if bad, ok := errors.AsType[*pack.DamageError](err); ok {
		return damage(object, bad.Reason, "block %d: its place: %s", b.Ordinal, bad.Detail)
	}
	return err
}

// turn waits until so many bytes may be fetched. The caller calls done when
// they are no longer in flight.
func (f *Fetcher) turn(ctx context.Context, bytes int64) (done func(), err error) {
	bytes = min(bytes, portion(f.cfg.MemoryBytes, flightPart))
	if err := f.slots.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	if err := f.room.Acquire(ctx, bytes); err != nil {
		f.slots.Release(1)
		return nil, err
	}
	return func() {
		f.room.Release(bytes)
		f.slots.Release(1)
	}, nil
}

// read reads from an object until the store answers, the time for it is over,
// or ctx is done. The error is a *goneError if there is no such object.
func (f *Fetcher) read(ctx context.Context, object string, p []byte, off int64) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, f.cfg.Timeout)
	defer cancel()
	n, err := f.store.ReadAt(ctx, object, p, off)
	switch {
	case err == nil:
		return n, nil
	case errors.Is(err, store.ErrNotExist):
		return 0, &goneError{object}
	}
	return 0, f.late(ctx, object, err)
}

// late says so if err came of the end of a fetch's time.
func (f *Fetcher) late(ctx context.Context, object string, err error) error {
	if ctx.Err() == context.DeadlineExceeded {
		return fmt.Errorf("fetch: %s: the store did not answer within %v: %w", object, f.cfg.Timeout, err)
	}
	return err
}

// readBlock reads, opens and decodes a block. Its reference is the caller's.
func (f *Fetcher) readBlock(ctx context.Context, id blockID, object string) (*block, error) {
	p := packID{id.kind, id.Host, id.Run, id.Pack}
	opening := f.open(ctx, p, object)
	defer opening.leave()
	sealed := f.pool.get(int(id.Sealed))
	defer f.pool.put(sealed)
	f.fetches.Add(1)
	n, err := f.read(ctx, object, sealed, int64(id.Offset))
	if err != nil {
		return nil, err
	}
	f.bytes.Add(int64(n))
	o, err := opening.wait(ctx)
	if err != nil {
		return nil, err
	}
	buf := f.pool.get(int(id.Plain))
	plain, err := o.opener.OpenBlock(buf, id.Block, sealed[:n])
	if err != nil {
		f.pool.put(buf)
		return nil, err
	}
	b := &block{id: id, object: object, keys: o.keys, plain: plain, size: cap(buf), pool: f.pool}
	b.refs.Store(1)
	return b, nil
}
