package catalog

import (
	"encoding/binary"
	"fmt"

	"tidemark/chunk"
)

// Where pages end, docs/format.md, section 9. The numbers are part of the
// format: a page of about 150 rows is 10 to 20 KiB, small beside the block
// it shares and large enough that a tree of any size is three or four deep.
const (
	leafMinRows     = 16
	leafModulus     = 128
	interiorMinRows = 4
	interiorModulus = 256
	cutRowsLen      = 128 << 10 // bytes of rows, from which any page ends
)

// endsPage reports whether a page ends after a row, if it then has so many
// rows of so many bytes. keyed is false for rows that never end a page by
// their key.
func endsPage(level uint8, rows, rowsLen int, hash uint64, keyed bool) bool {
	if rowsLen >= cutRowsLen {
		return true
	}
	if !keyed {
		return false
	}
	if level > 0 {
		return rows >= interiorMinRows && hash%interiorModulus == 0
	}
	return rows >= leafMinRows && hash%leafModulus == 0
}

// keyHash is H of docs/format.md, section 9: FNV-1a of 64 bits, whose low
// bits hardly mix the last bytes, and then the finisher of MurmurHash3.
func keyHash[T string | []byte](key T) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(key) {
		h = (h ^ uint64(key[i])) * 1099511628211
	}
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// cutKey returns the key of row i that pages are cut by. keyed is as in
// endsPage.
func (p *Page) cutKey(i int) (key []byte, keyed bool) {
	row := p.row(i)
	switch {
	case p.kind != ListPage:
		key = p.key(i)
	case p.level > 0:
		key = row[:len(chunk.ID{})]
	case row[0] == extentZero:
		return nil, false
	default:
		key = row[len(row)-len(chunk.ID{}):]
	}
	return key, true
}

// A Sink takes a page that is complete, and returns where it is: of a page
// that it stored, or of an older one that the draft is the same as. It fills
// in ID and Place; of the place's block, Run, Pack and Ordinal are enough.
// The draft is the pager's and valid until the sink returns.
//
// Children come before the pages that name them, and pages of one level in
// their order.
type Sink func(d *Draft) (Ref, error)

// A pager divides one sequence of rows into pages, and those into levels. It
// holds one open page a level, however long the sequence.
//
// A page that is complete stays open until another row follows: the only page
// of a level is the root, and that is known at the end.
type pager struct {
	kind   PageKind
	sink   Sink
	levels []*openPage // levels[0] are the leaves
	err    error       // of the sink, or of the first row refused; stays until close
}

// An openPage is a page that rows are being added to.
type openPage struct {
	level    uint8
	complete bool // the next row belongs to another page
	n        int
	first    string // first key below, as in an interior row
	sums     Sums

	rowEnds, rows   []byte
	hintEnds, hints []byte
	places          placeTable

	identity, hintsSection []byte // of the draft, reused
}

func (o *openPage) reset() {
	o.complete, o.n, o.first, o.sums = false, 0, "", Sums{}
	o.rowEnds, o.rows = o.rowEnds[:0], o.rows[:0]
	o.hintEnds, o.hints = o.hintEnds[:0], o.hints[:0]
	o.places.reset()
}

// open returns the page of a level that the next row is to be appended to.
func (p *pager) open(level int) (*openPage, error) {
	if level == len(p.levels) {
		if level > MaxPageLevel {
			return nil, fmt.Errorf("catalog: %ss: more than %d levels", p.kind, MaxPageLevel)
		}
		p.levels = append(p.levels, &openPage{level: uint8(level)})
	}
	o := p.levels[level]
	if o.complete {
		if err := p.flush(level); err != nil {
			return nil, err
		}
	}
	return o, nil
}

// endRow ends the row that was appended to o. first is its key in an interior
// row, hash that of the key that pages are cut by.
func (p *pager) endRow(o *openPage, first string, hash uint64, keyed bool, sums Sums) error {
	if o.n == 0 {
		o.first = first
	}
	if !o.sums.add(p.kind, &sums) {
		return fmt.Errorf("catalog: %ss: the totals are out of range", p.kind)
	}
	o.n++
	o.rowEnds = binary.LittleEndian.AppendUint32(o.rowEnds, uint32(len(o.rows)))
	o.places.endRow()
	o.complete = endsPage(o.level, o.n, len(o.rows), hash, keyed)
	return nil
}

// flush gives the page of a level to the sink, and its row to the level above.
func (p *pager) flush(level int) error {
	o := p.levels[level]
	ref, err := p.sink(o.draft(p.kind))
	if err != nil {
		return err
	}
	ref.Level = o.level
	br := Branch{First: o.first, Ref: ref, Sums: o.sums}
	o.reset()
	return p.addBranch(level+1, &br)
}

func (p *pager) addBranch(level int, br *Branch) error {
	o, err := p.open(level)
	if err != nil {
		return err
	}
	o.rows = appendBranch(o.rows, p.kind, br)
	o.places.add(&br.Ref.Place)
	var hash uint64
	if p.kind == ListPage {
		hash = keyHash(br.Ref.ID[:])
	} else {
		hash = keyHash(br.First)
	}
	return p.endRow(o, br.First, hash, true, br.Sums)
}

// root ends the sequence: it gives all but the root page to the sink, and
// returns that, or nil if there were no rows.
func (p *pager) root() (*openPage, error) {
	if p.err != nil || len(p.levels) == 0 || p.levels[0].n == 0 {
		return nil, p.err
	}
	level := 0
	for ; level < len(p.levels)-1; level++ { // flush may add a level
		if err := p.flush(level); err != nil {
			return nil, err
		}
	}
	return p.levels[level], nil
}

// reset makes p ready for another sequence. It keeps the leaves' buffers.
func (p *pager) reset() {
	if len(p.levels) > 0 {
		clear(p.levels[1:])
		p.levels = p.levels[:1]
		p.levels[0].reset()
	}
	p.err = nil
}

func appendBranch(b []byte, kind PageKind, br *Branch) []byte {
	if kind == DirPage {
		b = append(b, byte(len(br.First)))
	}
	b = append(b, br.First...)
	b = append(b, br.Ref.ID[:]...)
	for _, sum := range br.Sums[:kind.sums()] {
		b = binary.LittleEndian.AppendUint64(b, sum)
	}
	return b
}
