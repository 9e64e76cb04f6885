package catalog

import (
	"encoding/binary"
	"fmt"

	"tidemark/keys"
	"tidemark/pack"
)

// ownBlock stands in a place for the block that the page itself lies in,
// which cannot be in the page's table: its sealed length depends on the page.
const ownBlock = 1<<32 - 1

// parsePlaces checks the places section: runs, blocks, places, and for each
// row the number of places up to its end.
func (p *Page) parsePlaces(b []byte) *flaw {
	if len(b) < 2 {
		return placesCutOff()
	}
	n := int(u16(b))
	if b = b[2:]; len(b) < n*runLen {
		return placesCutOff()
	}
	p.runs = make([]pageRun, n)
	for i := range p.runs {
		if len(b) < runLen || len(b) < runLen+int(b[runLen-1]) {
			return placesCutOff()
		}
		p.runs[i].id = keys.RunID(b)
		host := b[runLen : runLen+int(b[runLen-1])]
		if i > 0 && string(host) == p.runs[i-1].host {
			p.runs[i].host = p.runs[i-1].host
		} else {
			p.runs[i].host = string(host)
		}
		b = b[runLen+len(host):]
	}
	var ok bool
	if p.blocks, b, ok = counted(b, blockLen); !ok {
		return placesCutOff()
	}
	if p.places, b, ok = counted(b, placeLen); !ok {
		return placesCutOff()
	}
	if len(b) < p.n*endLen {
		return placesCutOff()
	}
	if len(b) > p.n*endLen {
		return flawf(pack.ReasonTrailing, "bytes after the places")
	}
	p.placeEnds = b
	last, bad := lastEnd(b, ownBlock)
	if bad != "" {
		return flawf(bad, "the places of a row end before they begin")
	}
	if int64(last) != int64(len(p.places)/placeLen) {
		return flawf(pack.ReasonCount, "%d places, and rows with %d", len(p.places)/placeLen, last)
	}
	return nil
}

func placesCutOff() *flaw { return flawf(pack.ReasonTruncated, "the places are cut off") }

// counted takes from b a u32 and as many items of the given length.
func counted(b []byte, itemLen int) (items, rest []byte, ok bool) {
	if len(b) < 4 {
		return nil, nil, false
	}
	n := uint64(u32(b)) * uint64(itemLen)
	b = b[4:]
	if uint64(len(b)) < n {
		return nil, nil, false
	}
	return b[:n:n], b[n:], true
}

// place decodes place k of the page.
func (p *Page) place(k uint32) (pack.Place, *flaw) {
	b := p.places[k*placeLen:]
	at := pack.Place{Start: u32(b[4:]), Len: u32(b[8:])}
	switch i := u32(b); {
	case i != ownBlock:
		var bad *flaw
		if at.Block, bad = p.block(i); bad != nil {
			return pack.Place{}, bad
		}
	case p.self == pack.Block{}:
		return pack.Place{}, flawf(pack.ReasonRange, "a place in the block of a page that lies in none")
	default:
		at.Block = p.self
	}
	if at.Len == 0 || uint64(at.Start)+uint64(at.Len) > uint64(at.Plain) {
		return pack.Place{}, flawf(pack.ReasonRange, "a place of %d bytes at %d of a block of %d", at.Len, at.Start, at.Plain)
	}
	return at, nil
}

// block decodes row i of the table of blocks, and checks it.
func (p *Page) block(i uint32) (pack.Block, *flaw) {
	b, bad := p.blockRow(i)
	if bad == nil {
		bad = flawOf(b.Check())
	}
	return b, bad
}

func (p *Page) blockRow(i uint32) (pack.Block, *flaw) {
	if uint64(i) >= uint64(len(p.blocks)/blockLen) {
		return pack.Block{}, flawf(pack.ReasonRange, "a place in block %d of %d", i, len(p.blocks)/blockLen)
	}
	b := p.blocks[i*blockLen:]
	r := int(u16(b))
	if r >= len(p.runs) {
		return pack.Block{}, flawf(pack.ReasonRange, "a block of run %d of %d", r, len(p.runs))
	}
	return pack.Block{
		Host: p.runs[r].host, Run: p.runs[r].id,
		Pack: u32(b[2:]), Ordinal: u32(b[6:]), Offset: u64(b[10:]),
		Sealed: u32(b[18:]), Plain: u32(b[22:]), Codec: b[26],
	}, nil
}

// A placeCursor gives out the places of one row, in order.
type placeCursor struct {
	p       *Page
	at, end uint32
}

func (p *Page) placesOf(i int) placeCursor {
	from, to := between(p.placeEnds, i)
	return placeCursor{p, from, to}
}

func (c *placeCursor) next() (pack.Place, *flaw) {
	if c.at == c.end {
		return pack.Place{}, flawf(pack.ReasonCount, "fewer places than pieces")
	}
	c.at++
	return c.p.place(c.at - 1)
}

func (c *placeCursor) done() *flaw {
	if c.at != c.end {
		return flawf(pack.ReasonCount, "more places than pieces")
	}
	return nil
}

// PageUsage calls add for each reference that p itself makes, in order: what
// it adds to the usage of a tree that reaches it once is one reference to
// at.Pack, of at.Len bytes. Pages below p are not looked at. Neither the pages
// of a usage nor a point's root page count, see docs/format.md, section 11;
// what the root page refers to does.
func PageUsage(p *Page, add func(at pack.Place)) error {
	for k := range uint32(len(p.places) / placeLen) {
		at, bad := p.place(k)
		if bad != nil {
			return p.damaged(bad)
		}
		add(at)
	}
	return nil
}

// appendBlocks appends the tables of runs and blocks, for blocks in the order
// of their first use.
func appendBlocks(e *pack.Encoder, blocks []pack.Block) error {
	type run struct {
		host string
		i    uint16
	}
	runs := make(map[keys.RunID]run, 1)
	start := len(e.B)
	e.U16(0) // how many they are, for now
	for i := range blocks {
		b := &blocks[i]
		r, known := runs[b.Run]
		switch {
		case !known:
			if err := keys.ValidName(b.Host); err != nil {
				return fmt.Errorf("catalog: host of run %s: %w", b.Run, err)
			}
			runs[b.Run] = run{b.Host, uint16(len(runs))} // a page has fewer places than an uint16 has values
			e.Raw(b.Run[:])
			e.Str8(b.Host)
		case r.host != b.Host:
			return fmt.Errorf("catalog: run %s is of two hosts, %q and %q", b.Run, r.host, b.Host)
		}
	}
	binary.LittleEndian.PutUint16(e.B[start:], uint16(len(runs)))
	e.U32(uint32(len(blocks)))
	for i := range blocks {
		b := &blocks[i]
		e.U16(runs[b.Run].i)
		e.U32(b.Pack)
		e.U32(b.Ordinal)
		e.U64(b.Offset)
		e.U32(b.Sealed)
		e.U32(b.Plain)
		e.U8(b.Codec)
	}
	return nil
}

// A blockKey is what tells blocks apart; the rest of a [pack.Block] is detail
// that may come later.
type blockKey struct {
	run           keys.RunID
	pack, ordinal uint32
}

func keyOf(b *pack.Block) blockKey { return blockKey{b.Run, b.Pack, b.Ordinal} }

// A placeTable collects the places of a page in the making.
type placeTable struct {
	blocks []pack.Block        // in the order of their first use
	index  map[blockKey]uint32 // of blocks
	last   uint32              // index of the block used last
	places []byte              // as in the page, with indexes of blocks
	ends   []byte              // as in the page
}

func (t *placeTable) reset() {
	t.blocks, t.last, t.places, t.ends = t.blocks[:0], 0, t.places[:0], t.ends[:0]
	clear(t.index)
}

// add adds a place to the row that is being added.
func (t *placeTable) add(at *pack.Place) {
	key := keyOf(&at.Block)
	if len(t.blocks) == 0 || keyOf(&t.blocks[t.last]) != key {
		i, ok := t.index[key]
		if !ok {
			if t.index == nil {
				t.index = make(map[blockKey]uint32)
			}
			i = uint32(len(t.blocks))
			t.blocks = append(t.blocks, at.Block)
			t.index[key] = i
		}
		t.last = i
	}
	t.places = binary.LittleEndian.AppendUint32(t.places, t.last)
	t.places = binary.LittleEndian.AppendUint32(t.places, at.Start)
	t.places = binary.LittleEndian.AppendUint32(t.places, at.Len)
}

// endRow ends the row that places were added to.
func (t *placeTable) endRow() {
	t.ends = binary.LittleEndian.AppendUint32(t.ends, uint32(len(t.places)/placeLen))
}
