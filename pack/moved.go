package pack

import (
	"cmp"
	"math"

	"tidemark/chunk"
)

// A MovedBody is the body of a moved object: where the pieces of a pack went
// that is to be deleted.
type MovedBody struct {
	Moves []Move // ascending by Ordinal and Start, each pair once
	Ext   []Ext
}

// A Move says where one piece went.
type Move struct {
	Ordinal uint32 // of its block in the old pack
	Start   uint32 // in that block's plain bytes
	ID      chunk.ID
	To      Place // the new place; its Len is also the old one
}

// EncodeMoved returns the body of a moved object, for [SignBody] and
// then [SealRecord]. It panics if the moves do not ascend, or contradict
// each other.
//
//	size  field
//	      runs and blocks, as in a page's places
//	   4  number of moves, u32
//	  52  each: old ordinal u32, old offset u32, length u32, id, new block u32,
//	      new offset u32
//	      ext
func EncodeMoved(m MovedBody) []byte {
	index := make(map[blockName]uint32)
	var blocks []Block
	for i, v := range m.Moves {
		if i > 0 && m.Moves[i-1].compare(v) >= 0 {
			panic("pack: encoding moves: they do not ascend")
		}
		to, known := index[v.To.name()]
		if !known {
			to = length[uint32](len(blocks), math.MaxUint32)
			index[v.To.name()] = to
			blocks = append(blocks, v.To.Block)
		}
		if blocks[to] != v.To.Block {
			panic("pack: encoding moves: one block in two places")
		}
	}
	var e Encoder
	e.blocks(blocks)
	e.U32(length[uint32](len(m.Moves), math.MaxUint32))
	for _, v := range m.Moves {
		e.U32(v.Ordinal)
		e.U32(v.Start)
		e.U32(v.To.Len)
		e.ID(v.ID)
		e.U32(index[v.To.name()])
		e.U32(v.To.Start)
	}
	e.Ext(m.Ext)
	return e.B
}

const moveLen = 4 + 4 + 4 + 32 + 4 + 4 // bytes

// ParseMoved reads what [EncodeMoved] writes, and nothing else, from the body
// of the object called name. The error is a [*DamageError].
func ParseMoved(name string, body []byte) (MovedBody, error) {
	d := NewDecoder(name, body)
	blocks := d.blocks()
	n := d.Count(moveLen)
	m := MovedBody{Moves: make([]Move, 0, n)}
	used := 0 // blocks that a move has used; they are used in order
	for i := range n {
		v := Move{Ordinal: d.U32(), Start: d.U32()}
		size := d.U32()
		v.ID = d.ID()
		block := d.U32()
		start := d.U32()
		if d.err != nil {
			return MovedBody{}, d.err
		}
		v.To = d.place(blocks, block, start, size, &used)
		if v.Ordinal >= MaxBlocks || uint64(v.Start)+uint64(size) > MaxBlock {
			d.Fail(ReasonLimit, "%d bytes at %d of block %d were moved", size, v.Start, v.Ordinal)
		}
		if i > 0 && d.err == nil {
			d.ascending(m.Moves[i-1].compare(v))
		}
		m.Moves = append(m.Moves, v)
	}
	if d.err == nil && used != len(blocks) {
		d.Fail(ReasonCount, "%d blocks, %d are used", len(blocks), used)
	}
	m.Ext = d.Ext()
	if err := d.Done(); err != nil {
		return MovedBody{}, err
	}
	return m, nil
}

func (v Move) compare(o Move) int {
	return cmp.Or(cmp.Compare(v.Ordinal, o.Ordinal), cmp.Compare(v.Start, o.Start))
}

// place returns the place that a row with an index into blocks says, and
// counts the blocks that rows have used so far.
func (d *Decoder) place(blocks []Block, block, start, size uint32, used *int) Place {
	switch {
	case int64(block) >= int64(len(blocks)):
		d.Fail(ReasonRange, "a place in block %d, there are %d", block, len(blocks))
		return Place{}
	case int(block) > *used:
		d.Fail(ReasonOrder, "blocks do not stand in the order of their first use")
		return Place{}
	case size == 0:
		d.Fail(ReasonLength, "a place of no bytes")
		return Place{}
	case uint64(start)+uint64(size) > uint64(blocks[block].Plain):
		d.Fail(ReasonRange, "a place of %d bytes at %d in a block of %d", size, start, blocks[block].Plain)
		return Place{}
	}
	*used = max(*used, int(block)+1)
	return Place{blocks[block], start, size}
}
