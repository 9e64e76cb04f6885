package catalog

import (
	"encoding/binary"
	"fmt"

	"tidemark/chunk"
	"tidemark/keys"
	"tidemark/pack"
)

// A PageKind is what the rows of a page are.
type PageKind uint8

// The kinds of pages, with the numbers that the format gives them.
const (
	DirPage   PageKind = 1 + iota // nodes, in the order of their names
	ListPage                      // extents of a file, in their order
	UsagePage                     // packs, in the order of run and number
)

// String returns "directory page", "list page" or "usage page".
func (k PageKind) String() string {
	switch k {
	case DirPage:
		return "directory page"
	case ListPage:
		return "list page"
	case UsagePage:
		return "usage page"
	}
	return fmt.Sprintf("page of kind %d", uint8(k))
}

// Limits of a page, docs/format.md, section 19.
const (
	MaxPageLen   = 8 << 20 // bytes; half of what fits in a block
	MaxPageRows  = 1 << 16
	MaxPageLevel = 16      // a level has at most a quarter of the rows of the one below
	MaxHintsLen  = 4 << 20 // bytes, of a page's hints; leaves room for the rest of MaxPageLen
)

// Lengths of what is fixed in a page, in bytes; docs/format.md, section 9.
const (
	pageHeaderLen = 12 // lengths of the three sections
	identityLen   = 8  // of the identity before the table of rows: kind, level, zero, count
	endLen        = 4  // of a number in a table of ends
	runLen        = 17 // of a run, with an empty host
	blockLen      = 27
	placeLen      = 12
)

// A Page is a read-only view of a page's bytes, which must not change while
// it is in use. Rows are decoded, and checked, one by one when asked for, so
// that one name can be found without touching the others. Whatever the bytes,
// no method panics but for a row number that is not from 0 to Len()-1.
// Methods may be called concurrently.
type Page struct {
	kind  PageKind
	level uint8
	n     int
	id    chunk.ID // for messages; zero if the page was not loaded by its id
	self  pack.Block

	identity          []byte
	rowEnds, rows     []byte
	hintsBytes        []byte // the whole section
	hintEnds, hints   []byte // empty but in leaf pages of directories
	runs              []pageRun
	blocks            []byte
	placeEnds, places []byte
}

// A pageRun is a row of the table of runs.
type pageRun struct {
	id   keys.RunID
	host string
}

// A Branch is a row of an interior page: a page of the level below, and what
// it must be found to hold.
type Branch struct {
	// First is the first key below: a name in a directory; in a usage the 20
	// bytes of run id and number. Lists have none.
	First string
	Ref   Ref
	Sums  Sums
}

// ParsePage checks the sections of a page and their tables. The page was
// found in the block self; its places that say "the block of this page" are
// given out as places in self. A page that stands in a point has the zero
// self, and may have no such places.
//
// That the page is the one it should be, see [Pages], is not checked here;
// nor are the rows, see [CheckPage].
func ParsePage(b []byte, self pack.Block) (*Page, error) {
	p := &Page{self: self}
	identity, hints, places, bad := sections(b)
	if bad == nil {
		bad = p.parseIdentity(identity)
	}
	if bad == nil {
		bad = p.parseHints(hints)
	}
	if bad == nil {
		bad = p.parsePlaces(places)
	}
	if bad != nil {
		return nil, p.damaged(bad)
	}
	return p, nil
}

// sections divides a page into its three sections.
func sections(b []byte) (identity, hints, places []byte, bad *flaw) {
	if len(b) > MaxPageLen {
		return nil, nil, nil, flawf(pack.ReasonLimit, "%d bytes, more than %d", len(b), MaxPageLen)
	}
	if len(b) < pageHeaderLen {
		return nil, nil, nil, flawf(pack.ReasonTruncated, "only %d bytes", len(b))
	}
	i, h, p := uint64(u32(b)), uint64(u32(b[4:])), uint64(u32(b[8:]))
	b = b[pageHeaderLen:]
	switch n := uint64(len(b)); {
	case n < i+h+p:
		return nil, nil, nil, flawf(pack.ReasonTruncated, "sections of %d bytes, %d are here", i+h+p, n)
	case n > i+h+p:
		return nil, nil, nil, flawf(pack.ReasonTrailing, "sections of %d bytes, %d are here", i+h+p, n)
	}
	return b[:i:i], b[i : i+h : i+h], b[i+h:], nil
}

func (p *Page) parseIdentity(b []byte) *flaw {
	if len(b) < identityLen {
		return flawf(pack.ReasonTruncated, "an identity of %d bytes", len(b))
	}
	p.identity = b
	p.kind, p.level = PageKind(b[0]), b[1]
	n := u32(b[4:])
	switch {
	case p.kind < DirPage || p.kind > UsagePage:
		return flawf(pack.ReasonKind, "%v", p.kind)
	case p.level > MaxPageLevel:
		return flawf(pack.ReasonLimit, "level %d, more than %d", p.level, MaxPageLevel)
	case b[2] != 0 || b[3] != 0:
		return flawf(pack.ReasonReserved, "reserved bytes are not zero")
	case n == 0:
		return flawf(pack.ReasonCount, "no rows")
	case n > MaxPageRows:
		return flawf(pack.ReasonLimit, "%d rows, more than %d", n, MaxPageRows)
	}
	p.n = int(n)
	var bad *flaw
	p.rowEnds, p.rows, bad = table(b[identityLen:], p.n, "row")
	return bad
}

func (p *Page) parseHints(b []byte) *flaw {
	if p.kind != DirPage || p.level > 0 {
		if len(b) > 0 {
			return flawf(pack.ReasonLength, "%d bytes of hints, where there are none", len(b))
		}
		return nil
	}
	if len(b) > MaxHintsLen {
		return flawf(pack.ReasonLimit, "%d bytes of hints, more than %d", len(b), MaxHintsLen)
	}
	p.hintsBytes = b
	var bad *flaw
	p.hintEnds, p.hints, bad = table(b, p.n, "hint")
	return bad
}

// table divides b into the n ends of a table and the rows they divide.
func table(b []byte, n int, noun string) (ends, rows []byte, bad *flaw) {
	if len(b) < n*endLen {
		return nil, nil, flawf(pack.ReasonTruncated, "the table of %ss is cut off", noun)
	}
	ends, rows = b[:n*endLen], b[n*endLen:]
	last, reason := lastEnd(ends, MaxRowLen)
	switch {
	case reason == pack.ReasonLimit:
		return nil, nil, flawf(reason, "a %s of more than %d bytes", noun, MaxRowLen)
	case reason != "":
		return nil, nil, flawf(reason, "a %s ends before it begins", noun)
	case uint64(last) > uint64(len(rows)):
		return nil, nil, flawf(pack.ReasonTruncated, "the %ss are cut off", noun)
	case uint64(last) < uint64(len(rows)):
		return nil, nil, flawf(pack.ReasonTrailing, "bytes after the last %s", noun)
	}
	return ends, rows, nil
}

// lastEnd returns the last of a table of ends. It is a flaw if they fall
// (range), or rise by more than most (limit).
func lastEnd(ends []byte, most uint32) (last uint32, bad pack.Reason) {
	for ; len(ends) >= endLen; ends = ends[endLen:] {
		end := u32(ends)
		switch {
		case end < last:
			return 0, pack.ReasonRange
		case end-last > most:
			return 0, pack.ReasonLimit
		}
		last = end
	}
	return last, ""
}

// between returns where item i begins and ends, from a table of ends.
func between(ends []byte, i int) (from, to uint32) {
	if i > 0 {
		from = u32(ends[(i-1)*endLen:])
	}
	return from, u32(ends[i*endLen:])
}

// Kind returns what the rows are.
func (p *Page) Kind() PageKind { return p.kind }

// Level returns 0 for a leaf page, and n for an interior page whose rows name
// pages of level n-1.
func (p *Page) Level() uint8 { return p.level }

// Len returns the number of rows, at least 1.
func (p *Page) Len() int { return p.n }

// Identity returns the section that the page's id is the keyed hash of.
func (p *Page) Identity() []byte { return p.identity }

// row returns the bytes of row i in the identity.
func (p *Page) row(i int) []byte {
	from, to := between(p.rowEnds, i)
	return p.rows[from:to]
}

// Name returns the name of row i: in an interior page of a directory, the
// first name below it. It is not checked; of a malformed row it is "".
func (p *Page) Name(i int) string { return string(p.name(i)) }

// name returns the str8 that the rows of directory pages begin with.
func (p *Page) name(i int) []byte {
	row := p.row(i)
	if p.kind != DirPage || len(row) == 0 || len(row) <= int(row[0]) {
		return nil
	}
	return row[1 : 1+int(row[0])]
}

// Search looks for name in a directory page. In a leaf page, i is the first
// row whose name is not less, and found says whether it is name. In an
// interior page, i is the row of the page that would hold name, and found is
// false if that is none: name is less than all of them.
func (p *Page) Search(name string) (i int, found bool) {
	lo, hi := 0, p.n // rows before lo are less than name, rows from hi on are not
	for lo < hi {
		mid := int(uint(lo+hi) / 2)
		if string(p.name(mid)) < name {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	here := lo < p.n && string(p.name(lo)) == name
	if p.level == 0 || here {
		return lo, here
	}
	return max(lo-1, 0), lo > 0
}

// Interior decodes row i of an interior page.
func (p *Page) Interior(i int) (Branch, error) {
	if p.level == 0 {
		return Branch{}, fmt.Errorf("catalog: row %d of a leaf page is not an interior row", i)
	}
	var br Branch
	places := p.placesOf(i)
	bad := p.decodeBranch(p.row(i), &br)
	if bad == nil {
		br.Ref.Level = p.level - 1
		br.Ref.Place, bad = places.next()
	}
	if bad == nil {
		bad = places.done()
	}
	if bad != nil {
		return Branch{}, p.damagedRow(i, bad)
	}
	return br, nil
}

// decodeBranch decodes all of an interior row but the page's level and place.
func (p *Page) decodeBranch(row []byte, br *Branch) *flaw {
	first := 0
	switch p.kind {
	case DirPage:
		if len(row) == 0 || len(row) <= int(row[0]) {
			return flawf(pack.ReasonTruncated, "the name is cut off")
		}
		br.First = string(row[1 : 1+int(row[0])])
		if why := checkName(br.First); why != "" {
			return flawf(pack.ReasonText, "%s", why)
		}
		first = 1 + len(br.First)
	case UsagePage:
		first = usageKeyLen
		if len(row) < first {
			return flawf(pack.ReasonTruncated, "the row is cut off")
		}
		br.First = string(row[:first])
	}
	row = row[first:]
	n := p.kind.sums()
	if len(row) < len(chunk.ID{})+8*n {
		return flawf(pack.ReasonTruncated, "the row is cut off")
	}
	if len(row) > len(chunk.ID{})+8*n {
		return flawf(pack.ReasonTrailing, "bytes after the row's end")
	}
	br.Ref.ID = chunk.ID(row)
	for i := range n {
		br.Sums[i] = u64(row[len(chunk.ID{})+8*i:])
	}
	return nil
}

func u16(b []byte) uint16 { return binary.LittleEndian.Uint16(b) }
func u32(b []byte) uint32 { return binary.LittleEndian.Uint32(b) }
func u64(b []byte) uint64 { return binary.LittleEndian.Uint64(b) }
