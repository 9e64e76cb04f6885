package pack

import (
	"math"

	"tidemark/keys"
)

// The codecs of a block.
const (
	Raw  uint8 = 0
	Zstd uint8 = 1 // one frame, without a dictionary
)

// A Block says where a block is, and what is needed to open it. Run, Pack and
// Ordinal name it; the rest follows from them.
type Block struct {
	Host    string // whose run it is; see keys.ValidName
	Run     keys.RunID
	Pack    uint32 // number of the pack in its run
	Ordinal uint32 // number of the block in its pack
	Offset  uint64 // in the pack, in bytes
	Sealed  uint32 // length in the pack, with the tag's 16 bytes
	Plain   uint32 // length of its pieces together, before compression
	Codec   uint8
}

// A Place says where a piece is: a range of a block's plain bytes.
type Place struct {
	Block
	Start, Len uint32 // in bytes
}

// Check returns a [*DamageError] that names no object unless b can be in a
// pack. It bounds what a reader fetches and allocates for b, which somebody
// else may have written: check before fetching.
func (b Block) Check() error {
	if bad := b.check(); bad != nil {
		return bad
	}
	return nil
}

func (b Block) check() *DamageError {
	switch {
	case b.Ordinal >= MaxBlocks:
		return flaw(ReasonLimit, "a block with ordinal %d", b.Ordinal)
	case b.Offset > MaxPack || b.Offset+uint64(b.Sealed) > MaxPack:
		return flaw(ReasonLimit, "a block of %d bytes at offset %d", b.Sealed, b.Offset)
	}
	return checkLengths(uint64(b.Sealed), b.Plain, b.Codec)
}

// checkLengths returns a flaw unless a block may have these lengths and this
// codec. What zstd would lengthen is stored raw.
func checkLengths(sealed uint64, plain uint32, codec uint8) *DamageError {
	raw := uint64(plain) + tagLen
	switch {
	case codec > Zstd:
		return flaw(ReasonCodec, "a block with codec %d", codec)
	case plain == 0:
		return flaw(ReasonLength, "a block of no bytes")
	case plain > MaxBlock:
		return flaw(ReasonLimit, "a block of %d bytes, at most %d are allowed", plain, MaxBlock)
	case sealed <= tagLen, codec == Raw && sealed != raw, codec == Zstd && sealed >= raw:
		return flaw(ReasonLength, "a block of %d bytes is sealed in %d, with codec %d", plain, sealed, codec)
	}
	return nil
}

// The lengths of rows of the tables of blocks, in bytes; a run's is the least.
const (
	runRowLen   = 16 + 2
	blockRowLen = 27
)

// blocks appends two tables: runs, and blocks of them, each run in the order
// of its first use. The blocks must be distinct. It panics if one run has two
// hosts.
//
//	size  field
//	   2  number of runs, u16
//	17+n  each: run id; host name, str8
//	   4  number of blocks, u32
//	  27  each: run (index above) u16, pack u32, ordinal u32, offset u64,
//	      sealed length u32, plain length u32, codec u8
func (e *Encoder) blocks(blocks []Block) {
	type run struct {
		host  string
		index uint16
	}
	runs := make(map[keys.RunID]run)
	var table Encoder
	for _, b := range blocks {
		r, known := runs[b.Run]
		if !known {
			r = run{b.Host, length[uint16](len(runs), math.MaxUint16-1)}
			runs[b.Run] = r
			table.Raw(b.Run[:])
			table.Str8(b.Host)
		}
		if r.host != b.Host {
			panic("pack: encoding blocks: one run of two hosts")
		}
	}
	e.U16(uint16(len(runs)))
	e.Raw(table.B)
	e.U32(length[uint32](len(blocks), math.MaxUint32))
	for _, b := range blocks {
		e.U16(runs[b.Run].index)
		e.U32(b.Pack)
		e.U32(b.Ordinal)
		e.U64(b.Offset)
		e.U32(b.Sealed)
		e.U32(b.Plain)
		e.U8(b.Codec)
	}
}

// A blockName is what tells blocks apart.
type blockName struct {
	run           keys.RunID
	pack, ordinal uint32
}

func (b Block) name() blockName { return blockName{b.Run, b.Pack, b.Ordinal} }

// blocks takes what [Encoder.blocks] writes, and nothing else. That each block
// is used, and first used in this order, is for the caller to check.
func (d *Decoder) blocks() []Block {
	runs := d.runs()
	n := d.Count(blockRowLen)
	blocks := make([]Block, 0, n)
	seen := make(map[blockName]struct{}, n)
	used := 0 // how many runs have a block; they come in order
	for range n {
		r := int(d.U16())
		b := Block{Pack: d.U32(), Ordinal: d.U32(), Offset: d.U64(), Sealed: d.U32(), Plain: d.U32(), Codec: d.U8()}
		switch bad := b.check(); {
		case d.err != nil:
		case r >= len(runs):
			d.Fail(ReasonRange, "a block of run %d, there are %d", r, len(runs))
		case r > used:
			d.Fail(ReasonOrder, "runs do not stand in the order of their first use")
		case bad != nil:
			d.Fail(bad.Reason, "%s", bad.Detail)
		}
		if d.err != nil {
			return nil
		}
		used = max(used, r+1)
		b.Host, b.Run = runs[r].Host, runs[r].Run
		if _, ok := seen[b.name()]; ok {
			d.Fail(ReasonDuplicate, "block %d of pack %08x of run %s stands twice", b.Ordinal, b.Pack, b.Run)
		}
		seen[b.name()] = struct{}{}
		blocks = append(blocks, b)
	}
	if used != len(runs) {
		d.Fail(ReasonCount, "%d runs, of which %d are used", len(runs), used)
	}
	return blocks
}

// runs takes the table of runs; of the blocks it returns, Run and Host are
// set.
func (d *Decoder) runs() []Block {
	n := int(d.U16())
	if n*runRowLen > d.Len() {
		d.Fail(ReasonTruncated, "it ends early: %d runs do not fit into %d bytes", n, d.Len())
		return nil
	}
	runs := make([]Block, 0, n)
	seen := make(map[keys.RunID]struct{}, n)
	for range n {
		var r Block
		copy(r.Run[:], d.Raw(len(r.Run)))
		r.Host = d.Str8(1, keys.MaxName)
		if d.err == nil && keys.ValidName(r.Host) != nil {
			d.Fail(ReasonText, "%q is not a host's name", r.Host)
		}
		if _, ok := seen[r.Run]; ok {
			d.Fail(ReasonDuplicate, "run %s stands twice", r.Run)
		}
		if d.err != nil {
			return nil
		}
		seen[r.Run] = struct{}{}
		runs = append(runs, r)
	}
	return runs
}
