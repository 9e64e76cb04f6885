package restore

import (
	"bytes"
	"context"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"

	"tidemark/catalog"
	"tidemark/chunk"
	"tidemark/pack"
)

// partsAhead is how many extents of one file are on their way at once. With
// chunks of 256 KiB that is 100 MB/s at round trips of 40 ms.
const partsAhead = 16

// A part is an extent of a file: zeros, or a chunk that is being fetched.
type part struct {
	off    uint64
	extent catalog.Extent
	cost   int64         // taken from the run's budget
	ready  chan struct{} // closed when piece or err is set; nil for zeros
	piece  Piece
	err    error
}

// content writes the content of the file to fd, in order.
func (e *entry) content(ctx context.Context, fd int) error {
	w := &writer{fd: fd, alloc: e.row.Alloc, holes: e.row.Holes}
	err := e.extents(ctx, w)
	if err == nil && w.pos != e.row.Size {
		err = fmt.Errorf("its extents have %d bytes of %d", w.pos, e.row.Size)
	}
	if err == nil {
		err = w.finish()
	}
	return err
}

func (e *entry) extents(ctx context.Context, w *writer) error {
	n := &e.row.Node
	if n.Size <= catalog.MaxInlineLen && len(n.Extents) == 0 {
		return e.wrote(w.data(n.Inline), uint64(len(n.Inline)))
	}
	if len(n.Extents) == 1 && !n.Extents[0].Zero { // most files: nothing to do at the same time
		x := &n.Extents[0]
		return e.wrote(e.r.withChunk(ctx, x.ID, x.Place, x.Len, w.data), x.Len)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	parts := make(chan *part, partsAhead)
	var fetching sync.WaitGroup
	fetching.Go(func() {
		defer close(parts)
		e.r.fetchAhead(ctx, e.r.tree.Extents(n, 0), parts)
	})
	defer fetching.Wait()
	var err error
	for p := range parts {
		if err == nil {
			err = e.wrote(p.write(ctx, w), p.extent.Len)
		}
		if err != nil {
			cancel() // the rest need not come
		}
		p.drop(e.r)
	}
	return err
}

// wrote counts n bytes that were written, if err does not say otherwise.
func (e *entry) wrote(err error, n uint64) error {
	if err == nil {
		e.told += n
		e.r.cfg.Progress.Bytes.Add(n)
	}
	return err
}

// fetchAhead sends the extents as parts, the chunks among them being fetched
// already, as many as the run's budget has room for. Whoever takes one must
// drop it. Its error is that of the last part.
func (r *run) fetchAhead(ctx context.Context, extents *catalog.Extents, parts chan<- *part) {
	for {
		off, x, ok, err := extents.Next(ctx)
		if err == nil && !ok {
			return
		}
		p := &part{off: off, extent: x, err: err}
		last := err != nil
		if !last && !x.Zero {
			p.cost, p.err = r.spend(ctx, x.Len)
			if last = p.err != nil; !last {
				r.fetch(ctx, p)
			}
		}
		select {
		case parts <- p:
		case <-ctx.Done():
			p.drop(r)
			return
		}
		if last {
			return
		}
	}
}

// fetch begins to fetch the chunk of p; drop waits for it.
func (r *run) fetch(ctx context.Context, p *part) {
	p.ready = make(chan struct{})
	go func() {
		defer close(p.ready)
		p.piece, p.err = r.cfg.Chunks.Chunk(ctx, p.extent.ID, p.extent.Place)
	}()
}

// spend waits until a chunk of n bytes has room in the budget.
func (r *run) spend(ctx context.Context, n uint64) (cost int64, err error) {
	cost = int64(min(n, uint64(r.cfg.MemoryBytes)))
	return cost, r.budget.Acquire(ctx, cost)
}

// write waits for the part and writes it.
func (p *part) write(ctx context.Context, w *writer) error {
	if p.ready != nil {
		<-p.ready
	}
	switch {
	case p.err != nil:
		return p.err
	case p.off != w.pos:
		return fmt.Errorf("an extent at byte %d follows byte %d", p.off, w.pos)
	case p.extent.Zero:
		return w.zeros(ctx, p.extent.Len)
	}
	if err := checkLen(p.piece, p.extent.Len); err != nil {
		return err
	}
	return w.data(p.piece.Bytes())
}

func (p *part) drop(r *run) {
	if p.ready == nil {
		return
	}
	<-p.ready
	if p.err == nil {
		p.piece.Release()
	}
	r.budget.Release(p.cost)
}

// withChunk calls fn with the bytes of a chunk of n bytes.
func (r *run) withChunk(ctx context.Context, id chunk.ID, at pack.Place, n uint64, fn func([]byte) error) error {
	cost, err := r.spend(ctx, n)
	if err != nil {
		return err
	}
	defer r.budget.Release(cost)
	p, err := r.cfg.Chunks.Chunk(ctx, id, at)
	if err != nil {
		return err
	}
	defer p.Release()
	if err := checkLen(p, n); err != nil {
		return err
	}
	return fn(p.Bytes())
}

// checkLen refuses a chunk that is not as long as its extent says.
func checkLen(p Piece, want uint64) error {
	if got := uint64(len(p.Bytes())); got != want {
		return fmt.Errorf("a chunk has %d bytes, its extent %d: %w", got, want, pack.ErrDamaged)
	}
	return nil
}

// A writer writes a content with the holes that it had.
type writer struct {
	fd    int
	alloc catalog.Alloc
	holes []catalog.Range // not passed yet
	pos   uint64          // bytes of the content so far
	end   uint64          // how long the file is
}

// zeroBuf is what zeros are written from, in bytes.
var zeroBuf [256 << 10]byte

// data writes the next bytes. A listed hole in them stays one only if they are
// zeros there: holes are hints, and bytes are not.
func (w *writer) data(b []byte) error {
	return w.split(uint64(len(b)), func(n uint64, hole bool) error {
		some := b[:n]
		b = b[n:]
		if hole && isZero(some) {
			return nil
		}
		return w.write(some)
	})
}

// zeros writes the next n bytes, which are zero: as holes, as far as they were.
func (w *writer) zeros(ctx context.Context, n uint64) error {
	if w.alloc == catalog.HolesZero {
		w.pos += n
		return nil
	}
	return w.split(n, func(n uint64, hole bool) error {
		for at := w.pos; !hole && n > 0; at = w.end {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			some := min(n, uint64(len(zeroBuf)))
			if err := write(w.fd, zeroBuf[:some], at); err != nil {
				return err
			}
			w.end = at + some
			n -= some
		}
		return nil
	})
}

// split calls fn for each part of the next n bytes that is within a listed
// hole or outside of all, at w.pos, and moves over it.
func (w *writer) split(n uint64, fn func(n uint64, hole bool) error) error {
	for n > 0 {
		for len(w.holes) > 0 && w.holes[0].Off+w.holes[0].Len <= w.pos {
			w.holes = w.holes[1:]
		}
		some, hole := n, false
		if len(w.holes) > 0 {
			h := w.holes[0]
			if hole = h.Off <= w.pos; hole {
				some = min(n, h.Off+h.Len-w.pos)
			} else {
				some = min(n, h.Off-w.pos)
			}
		}
		if err := fn(some, hole); err != nil {
			return err
		}
		w.pos += some
		n -= some
	}
	return nil
}

func (w *writer) write(b []byte) error {
	w.end = w.pos + uint64(len(b))
	return write(w.fd, b, w.pos)
}

// finish makes the file as long as its content, if that ends in a hole.
func (w *writer) finish() error {
	if w.end == w.pos {
		return nil
	}
	if err := retry(func() error { return unix.Ftruncate(w.fd, int64(w.pos)) }); err != nil {
		return fmt.Errorf("make it %d bytes long: %w", w.pos, err)
	}
	return nil
}

func isZero(b []byte) bool {
	for len(b) > 0 {
		n := min(len(b), len(zeroBuf))
		if !bytes.Equal(b[:n], zeroBuf[:n]) {
			return false
		}
		b = b[n:]
	}
	return true
}
