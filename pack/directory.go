package pack

// A DirBlock is a block as the directory of its pack, and the index of its
// run, have it.
type DirBlock struct {
	Offset uint64 // in the pack, in bytes
	Sealed uint32 // length in the pack, with the tag's 16 bytes
	Plain  uint32
	Codec  uint8
	Pieces []Piece // in the order of their bytes, at least one
}

// at returns b as a block, but for its run and pack.
func (b DirBlock) at(ordinal int) Block {
	return Block{Ordinal: uint32(ordinal), Offset: b.Offset, Sealed: b.Sealed, Plain: b.Plain, Codec: b.Codec}
}

// end returns the offset after b.
func (b DirBlock) end() uint64 { return b.Offset + uint64(b.Sealed) }

// A Directory says what is in a pack.
type Directory struct {
	Blocks []DirBlock // in order, each beginning where the one before ends
	Ext    []Ext
}

// The lengths of a block and of a piece in a directory, in bytes; a block's
// is without its pieces.
const (
	dirBlockLen = 8 + 4 + 4 + 1 + 4
	pieceLen    = 32 + 4
)

// Encode returns the directory's bytes before they are sealed.
func (dir Directory) Encode() []byte {
	var e Encoder
	e.dirBlocks(dir.Blocks)
	e.Ext(dir.Ext)
	return e.B
}

// ParseDirectory reads what [Directory.Encode] writes, and nothing else. The
// directory is that of the pack called object. The error is a [*DamageError].
func ParseDirectory(object string, b []byte) (Directory, error) {
	d := NewDecoder(object, b)
	dir := Directory{Blocks: d.dirBlocks()}
	dir.Ext = d.Ext()
	if err := d.Done(); err != nil {
		return Directory{}, err
	}
	return dir, nil
}

func (e *Encoder) dirBlocks(blocks []DirBlock) {
	e.U32(length[uint32](len(blocks), MaxBlocks))
	for _, b := range blocks {
		e.U64(b.Offset)
		e.U32(b.Sealed)
		e.U32(b.Plain)
		e.U8(b.Codec)
		e.U32(length[uint32](len(b.Pieces), MaxBlock))
		for _, p := range b.Pieces {
			e.ID(p.ID)
			e.U32(p.Len)
		}
	}
}

// dirBlocks takes the blocks of one pack, from their number on.
func (d *Decoder) dirBlocks() []DirBlock {
	n := d.Count(dirBlockLen + pieceLen)
	if n == 0 {
		d.Fail(ReasonCount, "a pack of no blocks")
	}
	if n > MaxBlocks {
		d.Fail(ReasonLimit, "a pack of %d blocks, at most %d are allowed", n, MaxBlocks)
	}
	if d.err != nil {
		return nil
	}
	blocks := make([]DirBlock, 0, n)
	for i := range n {
		b := DirBlock{Offset: d.U64(), Sealed: d.U32(), Plain: d.U32(), Codec: d.U8()}
		switch bad := b.at(i).check(); {
		case d.err != nil:
		case bad != nil:
			d.Fail(bad.Reason, "%s", bad.Detail)
		case i > 0 && b.Offset != blocks[i-1].end():
			d.Fail(ReasonRange, "block %d begins at %d, the one before it ends at %d", i, b.Offset, blocks[i-1].end())
		}
		b.Pieces = d.pieces(b.Plain)
		if d.err != nil {
			return nil
		}
		blocks = append(blocks, b)
	}
	return blocks
}

// pieces takes the pieces of a block of plain bytes, from their number on.
func (d *Decoder) pieces(plain uint32) []Piece {
	n := d.Count(pieceLen)
	if n == 0 {
		d.Fail(ReasonCount, "a block of no pieces")
		return nil
	}
	pieces := make([]Piece, n)
	var sum uint64
	for i := range pieces {
		pieces[i] = Piece{d.ID(), d.U32()}
		if pieces[i].Len == 0 {
			d.Fail(ReasonLength, "an empty piece")
			return nil
		}
		sum += uint64(pieces[i].Len)
	}
	if sum != uint64(plain) {
		d.Fail(ReasonSum, "pieces of %d bytes in a block of %d", sum, plain)
		return nil
	}
	return pieces
}
