package catalog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"

	"tidemark/pack"
)

// A Draft is a page that a pager has completed and that has no bytes yet,
// since those of its places depend on where it will lie. Its slices must not
// be changed.
type Draft struct {
	Level    uint8
	Identity []byte // the page's id is its keyed hash
	Hints    []byte

	places *placeTable
}

// A Resolve completes a block that may be known by Run, Pack and Ordinal
// only, or says that it is the one that the page itself will lie in. It is
// asked once for each block of a page. Nil means that all blocks are complete
// and none is the page's own.
type Resolve func(b pack.Block) (full pack.Block, self bool, err error)

func (r Resolve) block(b pack.Block) (pack.Block, bool, error) {
	if r == nil {
		return b, false, nil
	}
	return r(b)
}

// draft returns o as a draft, which is valid until o changes.
func (o *openPage) draft(kind PageKind) *Draft {
	b := append(o.identity[:0], byte(kind), o.level, 0, 0)
	b = binary.LittleEndian.AppendUint32(b, uint32(o.n))
	b = append(b, o.rowEnds...)
	o.identity = append(b, o.rows...)
	o.hintsSection = append(append(o.hintsSection[:0], o.hintEnds...), o.hints...)
	return &Draft{Level: o.level, Identity: o.identity, Hints: o.hintsSection, places: &o.places}
}

// Places returns the places that the page refers to, in order, as they were
// given to the pager.
func (d *Draft) Places() iter.Seq[pack.Place] {
	return func(yield func(pack.Place) bool) {
		for b := d.places.places; len(b) > 0; b = b[placeLen:] {
			if !yield(pack.Place{Block: d.places.blocks[u32(b)], Start: u32(b[4:]), Len: u32(b[8:])}) {
				return
			}
		}
	}
}

// Same reports whether old says all that d does: identity, hints and every
// place are equal, though a block of the draft may be incomplete. Then a
// reference to old may stand for d.
func (d *Draft) Same(old *Page) bool {
	t := d.places
	if !bytes.Equal(d.Identity, old.identity) ||
		!bytes.Equal(d.Hints, old.hintsBytes) ||
		!bytes.Equal(t.ends, old.placeEnds) || len(t.places) != len(old.places) {
		return false
	}
	k := uint32(0)
	for at := range d.Places() {
		was, bad := old.place(k)
		if bad != nil || keyOf(&was.Block) != keyOf(&at.Block) || was.Start != at.Start || was.Len != at.Len {
			return false
		}
		k++
	}
	return true
}

// Encode returns the page's bytes, in a slice of its own.
func (d *Draft) Encode(resolve Resolve) ([]byte, error) {
	t := d.places
	blocks := make([]pack.Block, 0, len(t.blocks))
	index := make([]uint32, len(t.blocks)) // in the page, of the blocks of the draft
	for i, b := range t.blocks {
		full, self, err := resolve.block(b)
		if err != nil {
			return nil, fmt.Errorf("catalog: place of block %d of pack %d of run %s: %w", b.Ordinal, b.Pack, b.Run, err)
		}
		if self {
			index[i] = ownBlock
			continue
		}
		if keyOf(&full) != keyOf(&b) {
			return nil, fmt.Errorf("catalog: block %d of pack %d of run %s was taken for another", b.Ordinal, b.Pack, b.Run)
		}
		index[i] = uint32(len(blocks))
		blocks = append(blocks, full)
	}

	const aRun = 64 // bytes of a run's row, about; most pages have one or two
	size := pageHeaderLen + len(d.Identity) + len(d.Hints) + aRun + blockLen*len(blocks) + len(t.places) + len(t.ends)
	e := pack.Encoder{B: make([]byte, pageHeaderLen, size)}
	e.Raw(d.Identity)
	e.Raw(d.Hints)
	places := len(e.B)
	if err := appendBlocks(&e, blocks); err != nil {
		return nil, err
	}
	e.U32(uint32(len(t.places) / placeLen))
	for b := t.places; len(b) > 0; b = b[placeLen:] {
		e.U32(index[u32(b)])
		e.Raw(b[4:placeLen])
	}
	e.Raw(t.ends)
	if len(e.B) > MaxPageLen {
		return nil, fmt.Errorf("catalog: a page of %d bytes, more than %d", len(e.B), MaxPageLen)
	}
	binary.LittleEndian.PutUint32(e.B, uint32(len(d.Identity)))
	binary.LittleEndian.PutUint32(e.B[4:], uint32(len(d.Hints)))
	binary.LittleEndian.PutUint32(e.B[8:], uint32(len(e.B)-places))
	return e.B, nil
}

// encodeForPoint is Encode for a page that stands in a point.
func (d *Draft) encodeForPoint(resolve Resolve) ([]byte, error) {
	return d.Encode(func(b pack.Block) (pack.Block, bool, error) {
		full, self, err := resolve.block(b)
		if err == nil && self {
			err = errors.New("a page that stands in a point lies in no block")
		}
		return full, self, err
	})
}

// FillBlocks replaces each row of a page's table of blocks by what fill makes
// of it, in place: blocks that were incomplete when [Draft.Encode] was called.
// fill must not change Run, Pack and Ordinal.
func FillBlocks(page []byte, fill func(pack.Block) (pack.Block, error)) error {
	p, err := ParsePage(page, pack.Block{})
	if err != nil {
		return err
	}
	for i := range uint32(len(p.blocks) / blockLen) {
		b, bad := p.blockRow(i)
		if bad != nil {
			return p.damaged(bad)
		}
		full, err := fill(b)
		if err != nil {
			return fmt.Errorf("catalog: place of block %d of pack %d of run %s: %w", b.Ordinal, b.Pack, b.Run, err)
		}
		if keyOf(&full) != keyOf(&b) {
			return fmt.Errorf("catalog: block %d of pack %d of run %s was taken for another", b.Ordinal, b.Pack, b.Run)
		}
		row := p.blocks[i*blockLen:][:blockLen]
		binary.LittleEndian.PutUint64(row[10:], full.Offset)
		binary.LittleEndian.PutUint32(row[18:], full.Sealed)
		binary.LittleEndian.PutUint32(row[22:], full.Plain)
		row[26] = full.Codec
	}
	return nil
}
