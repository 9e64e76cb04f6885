package capture

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"tidemark/chunk"
	"tidemark/keys"
	"tidemark/pack"
	"tidemark/store"
)

// Sizes of packs, in bytes. A pack is held in memory until it is stored: one of
// each is being filled while up to uploads are on their way, 128 MiB in all.
const (
	largePackLen = 32 << 20 // chunks that are blocks of their own
	smallPackLen = 16 << 20 // chunks that share blocks
	treePackLen  = 16 << 20
	uploads      = 2
)

// A run is one writing session: the key that its packs are sealed under, the
// packs being filled, and what is on its way to the store. All that works for
// it is in one errgroup, whose context is done when any of it fails.
type run struct {
	key    *keys.CaptureKey
	keys   *keys.Run
	store  store.Store
	rand   io.Reader
	table  *blockTable
	stats  *Progress
	mirror *mirror // keeps the pages that are written; nil: nobody needs it, or it failed
	notice func(object string, err error)
	group  *errgroup.Group

	large, small, tree *packer

	buffers buffers
	cores   chan struct{}  // a token for each block being compressed
	working sync.WaitGroup // compressions
	packs   atomic.Uint32  // how many were begun
	up      uploader
}

// begin begins a run in group g: nothing is written yet.
func (c *Capturer) begin(ctx context.Context, g *errgroup.Group, req *Request) (*run, error) {
	sealed, err := c.Key.NewRun(c.Rand)
	if err != nil {
		return nil, fmt.Errorf("capture: begin a run: %w", err)
	}
	table, err := newBlockTable(c.TempDir)
	if err != nil {
		return nil, err
	}
	r := &run{
		key: c.Key, keys: sealed, store: c.Store, table: table, stats: req.Progress, group: g, rand: c.Rand, notice: c.notice,
		cores: make(chan struct{}, runtime.GOMAXPROCS(0)),
	}
	if c.Mirror {
		r.mirror = c.mirrorOf(req.Source.Name)
	}
	r.up = uploader{run: r, now: c.Now, slots: make(chan struct{}, uploads), indexed: c.Now()}
	r.large = newPacker(r, pack.DataPack, largePackLen)
	r.small = newPacker(r, pack.DataPack, smallPackLen)
	r.tree = newPacker(r, pack.TreePack, treePackLen)
	for _, p := range []*packer{r.large, r.small, r.tree} {
		g.Go(func() error { return p.seal(ctx) })
	}
	return r, nil
}

// abandon is for a run that will not be committed: it writes the index of what
// is durable, so that the next run need not send it again.
func (r *run) abandon(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abandonTime)
	defer cancel()
	return r.up.index(ctx, nil)
}

// abandonTime bounds what a capture that was interrupted still does.
const abandonTime = 10 * time.Second

// close waits for what the group does not; call it when the group has ended.
func (r *run) close() {
	r.working.Wait()
	r.table.close()
}

// addChunk puts a new chunk on its way to the repository.
func (r *run) addChunk(ctx context.Context, id chunk.ID, data []byte) (pack.Place, error) {
	r.stats.NewBytes.Add(int64(len(data)))
	if len(data) >= aloneLen {
		return r.large.add(ctx, id, data)
	}
	return r.small.add(ctx, id, data)
}

// finish sends what is left of chunks and pages on its way. What it sends is
// durable when the group has ended without an error.
func (r *run) finish(ctx context.Context) error {
	// Pages last: completing them may close a block of chunks.
	for _, p := range []*packer{r.tree, r.small, r.large} {
		if err := p.finish(ctx); err != nil {
			return err
		}
	}
	return nil
}

// nextPack returns the number of a new pack.
func (r *run) nextPack() uint32 { return r.packs.Add(1) - 1 }

// compress begins to compress b as soon as a core is free; b.done says when it is done.
func (r *run) compress(b *block) {
	r.cores <- struct{}{}
	r.working.Go(func() {
		defer func() { <-r.cores; close(b.done) }()
		out := r.buffers.get(pack.CompressBound(len(b.plain)))
		b.codec, b.data = pack.Compress(out, b.plain)
		if b.codec == pack.Raw {
			r.buffers.put(out)
		}
	})
}

// mirrorBlock keeps a block of pages for the next capture. That is only for
// speed: if it fails, the next one reads everything.
func (r *run) mirrorBlock(at pack.Block, b *block) {
	if r.mirror == nil {
		return
	}
	if err := r.mirror.save(at, b.codec, b.data); err != nil {
		r.notice("state directory", err)
		r.mirror = nil
	}
}

// resolve completes a block of this run that was known by its number only. One
// that is still being filled is closed for it.
func (r *run) resolve(ctx context.Context, b pack.Block) (pack.Block, error) {
	if b.Run != r.keys.ID || b.Sealed != 0 {
		return b, nil
	}
	if err := r.small.flush(ctx, b); err != nil {
		return b, err
	}
	return r.table.fill(ctx, b)
}

// buffers are byte slices to use again, by size: the blocks of a capture would
// otherwise be garbage faster than it is collected.
type buffers struct {
	small sync.Pool // of *[]byte with room for smallBuffer
	large sync.Pool // with room for more
}

// smallBuffer is the room, in bytes, for a block of small pieces, which pages
// may overfill a little, and for what compressing it may need.
const smallBuffer = blockLen + blockLen/8

func (b *buffers) get(n int) []byte {
	pool := &b.small
	if n > smallBuffer {
		pool = &b.large
	}
	if p, _ := pool.Get().(*[]byte); p != nil && cap(*p) >= n {
		return (*p)[:0]
	}
	return make([]byte, 0, max(n, smallBuffer))
}

func (b *buffers) put(p []byte) {
	p = p[:0]
	if cap(p) <= smallBuffer {
		b.small.Put(&p)
		return
	}
	b.large.Put(&p)
}
