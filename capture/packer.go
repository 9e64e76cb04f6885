package capture

import (
	"context"
	"fmt"
	"sync/atomic"

	"tidemark/catalog"
	"tidemark/chunk"
	"tidemark/pack"
)

const (
	// aloneLen is the length, in bytes, from which a chunk is a block of its
	// own: a block is what a random read has to fetch and decode.
	aloneLen = 128 << 10

	// blockLen is the plain length, in bytes, that a block of small pieces is
	// filled up to. Blocks of 1 MiB would save 2 % of the space and cost four
	// times the decoding for a small read.
	blockLen = 256 << 10

	// queuedBlocks is how many closed blocks of one packer wait to be
	// compressed and sealed: enough to keep the cores busy, and at most
	// queuedBlocks times the largest chunk in memory.
	queuedBlocks = 6
)

// A packer puts pieces into blocks, and blocks into packs, of one kind. A run
// has three: chunks that are blocks of their own, chunks that share one (so
// that small files lie together), and pages.
//
// Adding is serialized by turn, which is held while the queue is full: that is
// how a slow store slows down reading. Behind the queue one goroutine, in seal,
// seals the blocks in their order while others compress the ones behind.
type packer struct {
	run    *run
	kind   pack.Kind
	target int64 // bytes of a pack

	turn  chan struct{} // a token: who has it may use the fields below
	open  *block        // being filled, or nil
	n     uint32        // number of the pack being filled
	begun bool          // there is one
	next  uint32        // ordinal of the next block of pack n

	filled *atomic.Int64 // bytes of pack n: as sealed, or for what is queued as plain
	queue  chan *block
}

// block is a block on its way from being filled to being sealed.
type block struct {
	at     pack.Block // Host, Run, Pack and Ordinal; the rest when it is sealed
	plain  []byte
	pieces []pack.Piece
	filled *atomic.Int64 // of its pack
	last   bool          // the last of its pack

	codec uint8
	data  []byte        // what to seal
	done  chan struct{} // closed when data is there
}

func newPacker(r *run, kind pack.Kind, target int64) *packer {
	p := &packer{
		run: r, kind: kind, target: target,
		turn:  make(chan struct{}, 1),
		queue: make(chan *block, queuedBlocks),
	}
	p.turn <- struct{}{}
	return p
}

// lock takes the turn.
func (p *packer) lock(ctx context.Context) error {
	select {
	case <-p.turn:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (p *packer) unlock() { p.turn <- struct{}{} }

// add puts a chunk into a block and returns its place, which names the block
// by pack and ordinal only. It copies data.
func (p *packer) add(ctx context.Context, id chunk.ID, data []byte) (pack.Place, error) {
	if err := p.lock(ctx); err != nil {
		return pack.Place{}, err
	}
	defer p.unlock()
	if err := p.room(ctx, len(data)); err != nil {
		return pack.Place{}, err
	}
	at := p.put(id, data)
	if len(data) >= aloneLen {
		return at, p.close(ctx)
	}
	return at, nil
}

// addPage puts a page into a block and returns its place. Pages in the same
// block refer to each other as in "this block", so that a small tree is one
// block. What else the page refers to may not be sealed yet: its table of
// blocks is completed when the block is closed.
func (p *packer) addPage(ctx context.Context, id chunk.ID, d *catalog.Draft) (pack.Place, error) {
	if err := p.lock(ctx); err != nil {
		return pack.Place{}, err
	}
	defer p.unlock()
	if err := p.room(ctx, len(d.Identity)+len(d.Hints)); err != nil {
		return pack.Place{}, err
	}
	page, err := d.Encode(func(b pack.Block) (pack.Block, bool, error) {
		return b, sameBlock(b, p.open.at), nil
	})
	if err != nil {
		return pack.Place{}, err
	}
	return p.put(id, page), nil
}

func sameBlock(a, b pack.Block) bool {
	return a.Run == b.Run && a.Pack == b.Pack && a.Ordinal == b.Ordinal
}

// patchPages completes the tables of blocks of the pages in b.
func (p *packer) patchPages(ctx context.Context, b *block) error {
	if p.kind != pack.TreePack {
		return nil
	}
	start := 0
	for _, piece := range b.pieces {
		end := start + int(piece.Len)
		err := catalog.FillBlocks(b.plain[start:end], func(at pack.Block) (pack.Block, error) {
			return p.run.resolve(ctx, at)
		})
		if err != nil {
			return fmt.Errorf("capture: complete a page: %w", err)
		}
		start = end
	}
	return nil
}

// room closes the open block if n more bytes would overfill it, and sees to it
// that there is an open one. The caller has the turn.
func (p *packer) room(ctx context.Context, n int) error {
	if p.open != nil && len(p.open.plain)+n > blockLen {
		if err := p.close(ctx); err != nil {
			return err
		}
	}
	if p.open != nil {
		return nil
	}
	if !p.begun {
		p.n, p.next, p.begun = p.run.nextPack(), 0, true
		p.filled = new(atomic.Int64)
	}
	p.open = &block{
		at:     pack.Block{Host: p.run.key.Host, Run: p.run.keys.ID, Pack: p.n, Ordinal: p.next},
		plain:  p.run.buffers.get(max(n, blockLen)),
		filled: p.filled,
		done:   make(chan struct{}),
	}
	p.next++
	return nil
}

// put appends a piece to the open block. The caller has the turn.
func (p *packer) put(id chunk.ID, data []byte) pack.Place {
	b := p.open
	at := pack.Place{Block: b.at, Start: uint32(len(b.plain)), Len: uint32(len(data))}
	b.plain = append(b.plain, data...)
	b.pieces = append(b.pieces, pack.Piece{ID: id, Len: uint32(len(data))})
	return at
}

// close sends the open block on its way. The caller has the turn.
func (p *packer) close(ctx context.Context) error {
	b := p.open
	if b == nil {
		return nil
	}
	if err := p.patchPages(ctx, b); err != nil {
		return err
	}
	p.open = nil
	if p.filled.Add(int64(len(b.plain))) >= p.target || p.next >= pack.MaxBlocks {
		b.last, p.begun = true, false
	}
	return p.enqueue(ctx, b)
}

// enqueue has b compressed, beside others, and queues it to be sealed in its order.
func (p *packer) enqueue(ctx context.Context, b *block) error {
	if len(b.plain) > 0 {
		p.run.compress(b)
	}
	select {
	case p.queue <- b:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// flush closes the block at, if that is the open one: somebody waits for it.
func (p *packer) flush(ctx context.Context, at pack.Block) error {
	if err := p.lock(ctx); err != nil {
		return err
	}
	defer p.unlock()
	if p.open == nil || !sameBlock(p.open.at, at) {
		return nil
	}
	return p.close(ctx)
}

// finish closes the open block and the pack, and lets seal return. No other
// method may be called after it.
func (p *packer) finish(ctx context.Context) error {
	if err := p.lock(ctx); err != nil {
		return err
	}
	defer p.unlock()
	defer close(p.queue)
	if err := p.close(ctx); err != nil {
		return err
	}
	if p.begun { // an empty block says that the pack ends
		p.begun = false
		return p.enqueue(ctx, &block{at: pack.Block{Pack: p.n}, last: true})
	}
	return nil
}

// seal seals what is queued, in order, and hands complete packs on. It returns
// when finish was called and everything is handed on, or at the first error.
func (p *packer) seal(ctx context.Context) error {
	var builder *pack.Builder
	for {
		var b *block
		select {
		case b = <-p.queue:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if b == nil {
			return nil
		}
		if len(b.plain) > 0 {
			<-b.done // compressing waits for nothing but a core
			if builder == nil {
				var err error
				if builder, err = p.run.up.newBuilder(p.kind, b.at.Pack, p.target); err != nil {
					return err
				}
			}
			if err := p.sealBlock(builder, b); err != nil {
				return err
			}
		}
		if b.last && builder != nil {
			if err := p.run.up.put(ctx, p.kind, b.at.Pack, builder); err != nil {
				return err
			}
			builder = nil
			if err := p.run.table.finished(b.at.Pack); err != nil {
				return err
			}
		}
	}
}

// sealBlock seals b into the pack in the making, and tells where it lies.
func (p *packer) sealBlock(builder *pack.Builder, b *block) error {
	at, err := builder.AddBlock(b.codec, b.data, uint32(len(b.plain)), b.pieces)
	if err != nil {
		return fmt.Errorf("capture: seal a block: %w", err)
	}
	if at.Pack != b.at.Pack || at.Ordinal != b.at.Ordinal {
		return fmt.Errorf("capture: block %d of pack %d was sealed as block %d of pack %d",
			b.at.Ordinal, b.at.Pack, at.Ordinal, at.Pack)
	}
	b.filled.Add(int64(at.Sealed) - int64(at.Plain))
	if p.kind == pack.TreePack {
		p.run.mirrorBlock(at, b)
	}
	p.run.table.sealed(at)
	p.run.buffers.put(b.plain)
	if b.codec != 0 {
		p.run.buffers.put(b.data)
	}
	return nil
}
