package catalog

import (
	"encoding/binary"
	"fmt"
)

// A DirPager makes the pages of one directory from its rows. After Close it
// may be used for another.
type DirPager struct {
	p    pager
	last string // name of the last row; "" before the first
}

// NewDirPager returns a DirPager that gives its pages to sink.
func NewDirPager(sink Sink) *DirPager { return &DirPager{p: pager{kind: DirPage, sink: sink}} }

// Add adds a row. Names ascend strictly, as bytes. A row that lists too many
// holes for a page is stored with HolesZero instead.
//
// If Add refuses a row there is nothing of it in the directory, and the next
// one may be added. An error of the sink stays until Close.
func (d *DirPager) Add(r *Row) error {
	if d.p.err != nil {
		return d.p.err
	}
	if bad := checkRow(r, false); bad != nil {
		return fmt.Errorf("catalog: entry %q: %s", r.Name, bad.Detail)
	}
	if r.Name <= d.last {
		return fmt.Errorf("catalog: entry %q: does not come after %q", r.Name, d.last)
	}
	o, err := d.p.open(0)
	if err != nil {
		d.p.err = err
		return err
	}
	start := len(o.rows)
	o.rows = appendNode(o.rows, &r.Node)
	if n := len(o.rows) - start; n > MaxRowLen {
		o.rows = o.rows[:start]
		return fmt.Errorf("catalog: entry %q: %d bytes, with its extended attributes, are more than the %d that an entry may have", r.Name, n, MaxRowLen)
	}
	o.appendHints(&r.Hints)
	addNodePlaces(&o.places, &r.Node)
	d.last = r.Name
	d.p.err = d.p.endRow(o, r.Name, keyHash(r.Name), true, dirSums(r.Node.Totals()))
	return d.p.err
}

// Close ends the directory. It returns its root page, the zero Ref if there
// were no rows, and the totals of what was added.
func (d *DirPager) Close() (Ref, Totals, error) {
	defer d.reset()
	o, err := d.p.root()
	if err != nil || o == nil {
		return Ref{}, Totals{}, err
	}
	ref, err := d.p.sink(o.draft(DirPage))
	if err != nil {
		return Ref{}, Totals{}, err
	}
	ref.Level = o.level
	return ref, o.sums.Totals(), nil
}

func (d *DirPager) reset() {
	d.p.reset()
	d.last = ""
}

// appendHints appends the hints of a row. What is fixed in the hints of all
// rows that a page can have fits in what MaxHintsLen leaves.
func (o *openPage) appendHints(h *Hints) {
	const fixedLen = 25 + 4 + endLen
	n := fixedLen + 16*len(h.Holes)
	if n > MaxRowLen || len(o.hintEnds)+len(o.hints)+n > MaxHintsLen-cutRowsLen {
		short := *h
		short.Alloc, short.Holes = HolesZero, nil
		h = &short
	}
	o.hints = appendHints(o.hints, h)
	o.hintEnds = binary.LittleEndian.AppendUint32(o.hintEnds, uint32(len(o.hints)))
}

// RootPage returns the bytes of a point's root page: one row, the source
// itself, whose name is empty.
func RootPage(r *Row, resolve Resolve) ([]byte, error) {
	if bad := checkRow(r, true); bad != nil {
		return nil, fmt.Errorf("catalog: root of a point: %s", bad.Detail)
	}
	o := new(openPage)
	o.rows = appendNode(o.rows, &r.Node)
	if len(o.rows) > MaxRowLen {
		return nil, fmt.Errorf("catalog: root of a point: %d bytes, with its extended attributes, are more than the %d that an entry may have", len(o.rows), MaxRowLen)
	}
	o.appendHints(&r.Hints)
	addNodePlaces(&o.places, &r.Node)
	p := pager{kind: DirPage}
	if err := p.endRow(o, "", 0, false, dirSums(r.Node.Totals())); err != nil {
		return nil, err
	}
	return o.draft(DirPage).encodeForPoint(resolve)
}
