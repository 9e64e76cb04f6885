package fetch

import "sync/atomic"

// A Piece is a chunk, decoded and checked. It holds the whole block that the
// chunk is in, so who keeps one between two reads finds the neighbours there.
// It is for one goroutine at a time.
type Piece struct {
	b     *block // nil once released
	bytes []byte
	held  *atomic.Int64
}

func newPiece(b *block, bytes []byte, held *atomic.Int64) *Piece {
	if b.pieces.Add(1) == 1 {
		held.Add(int64(b.size))
	}
	return &Piece{b, bytes, held}
}

// Bytes returns the chunk. It must not be changed, nor used after Release.
func (p *Piece) Bytes() []byte { return p.bytes }

// Release ends the use of the Piece. Releasing it again does nothing.
func (p *Piece) Release() {
	if p.b == nil {
		return
	}
	if p.b.pieces.Add(-1) == 0 {
		p.held.Add(-int64(p.b.size))
	}
	p.b.release()
	p.b, p.bytes = nil, nil
}
