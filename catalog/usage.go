package catalog

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"math/bits"

	"tidemark/keys"
	"tidemark/pack"
)

// usageKeyLen is the length, in bytes, of the key of a usage row: run id, and
// number of the pack.
const usageKeyLen = len(keys.RunID{}) + 4

// A UsageRow says that a point's tree refers to a pack.
type UsageRow struct {
	Host        string
	Run         keys.RunID
	N           uint32 // the pack's number in its run
	Refs, Bytes uint64 // references to pieces in the pack, at least 1, and the length of the pieces
}

// A UsageDelta is a change of a usage: what is to be added to the row of a
// pack, or taken off it.
type UsageDelta struct {
	Host        string
	Run         keys.RunID
	N           uint32
	Refs, Bytes int64
}

func (r *UsageRow) key() (key [usageKeyLen]byte) {
	copy(key[:], r.Run[:])
	binary.LittleEndian.PutUint32(key[len(r.Run):], r.N)
	return key
}

// compare returns -1, 0 or +1: the order of rows in a usage.
func (r *UsageRow) compare(o *UsageRow) int {
	return cmp.Or(bytes.Compare(r.Run[:], o.Run[:]), cmp.Compare(r.N, o.N))
}

func (r *UsageRow) check() *flaw {
	if err := keys.ValidName(r.Host); err != nil {
		return flawf(pack.ReasonText, "the name of its host: %v", err)
	}
	if r.Refs == 0 {
		return flawf(pack.ReasonCount, "no references")
	}
	return nil
}

func appendUsage(b []byte, r *UsageRow) []byte {
	e := pack.Encoder{B: b}
	e.Raw(r.Run[:])
	e.U32(r.N)
	e.Str8(r.Host)
	e.U64(r.Refs)
	e.U64(r.Bytes)
	return e.B
}

// Usage decodes and checks row i of a leaf page of a usage.
func (p *Page) Usage(i int) (UsageRow, error) {
	if p.kind != UsagePage || p.level > 0 {
		return UsageRow{}, p.notRows("usage")
	}
	d := pack.NewDecoder("", p.row(i))
	var r UsageRow
	copy(r.Run[:], d.Raw(len(r.Run)))
	r.N = d.U32()
	r.Host = d.Str8(1, keys.MaxName)
	r.Refs, r.Bytes = d.U64(), d.U64()
	bad := flawOf(d.Done())
	if bad == nil {
		bad = r.check()
	}
	if bad == nil {
		places := p.placesOf(i)
		bad = places.done()
	}
	if bad != nil {
		return UsageRow{}, p.damagedRow(i, bad)
	}
	return r, nil
}

// A UsagePager makes the pages of a usage.
type UsagePager struct {
	p    pager
	last UsageRow
	rows bool
}

// NewUsagePager returns a UsagePager that gives its pages to sink, but for
// the root page.
func NewUsagePager(sink Sink) *UsagePager {
	return &UsagePager{p: pager{kind: UsagePage, sink: sink}}
}

// Add adds a row; they ascend by run and number. An error stays until Close.
func (u *UsagePager) Add(r *UsageRow) error {
	if u.p.err != nil {
		return u.p.err
	}
	u.p.err = u.add(r)
	return u.p.err
}

func (u *UsagePager) add(r *UsageRow) error {
	if bad := r.check(); bad != nil {
		return fmt.Errorf("catalog: usage of pack %d of run %s: %s", r.N, r.Run, bad.Detail)
	}
	if u.rows && r.compare(&u.last) <= 0 {
		return fmt.Errorf("catalog: usage of pack %d of run %s: does not come after pack %d of run %s", r.N, r.Run, u.last.N, u.last.Run)
	}
	o, err := u.p.open(0)
	if err != nil {
		return err
	}
	o.rows = appendUsage(o.rows, r)
	u.last, u.rows = *r, true
	key := r.key()
	return u.p.endRow(o, string(key[:]), keyHash(key[:]), true, Sums{1, r.Refs, r.Bytes})
}

// Close ends the usage. It returns the bytes of the root page, which stands
// in the point and is not given to the sink: a small usage has no other. They
// are empty if there were no rows.
func (u *UsagePager) Close(resolve Resolve) ([]byte, error) {
	o, err := u.p.root()
	var page []byte
	if err == nil && o != nil {
		page, err = o.draft(UsagePage).encodeForPoint(resolve)
	}
	u.p.reset()
	u.last, u.rows = UsageRow{}, false
	return page, err
}

// A UsageRows reads the rows of a usage in their order, page by page. It is
// for one goroutine.
type UsageRows struct {
	c *cursor
}

// OpenUsage returns the rows of the usage whose root page, as it stands in
// the point, is rootPage. It is empty for a tree that uses no pack.
func OpenUsage(pages Pages, rootPage []byte) (*UsageRows, error) {
	if len(rootPage) == 0 {
		return &UsageRows{}, nil
	}
	p, err := ParsePage(rootPage, pack.Block{})
	if err != nil {
		return nil, err
	}
	if p.kind != UsagePage {
		return nil, p.damaged(flawf(pack.ReasonKind, "stands where a usage page belongs"))
	}
	if _, bad := p.scan(); bad != nil {
		return nil, bad
	}
	return &UsageRows{c: newCursor(pages, p)}, nil
}

// Next returns the next row. It reports false after the last.
func (u *UsageRows) Next(ctx context.Context) (UsageRow, bool, error) {
	if u == nil || u.c == nil {
		return UsageRow{}, false, nil
	}
	ok, err := u.c.leaf(ctx)
	if err != nil || !ok {
		return UsageRow{}, false, err
	}
	p, i := u.c.row()
	r, err := p.Usage(i)
	if err != nil {
		return UsageRow{}, false, err
	}
	u.c.skip()
	return r, true, nil
}

// MergeUsage calls add with the rows of old, changed by deltas, in their
// order. Nil is an empty old. The deltas ascend by run and number. It is an
// error if a delta takes off more than there is: then old is not the usage
// that the deltas were counted from. The row is add's until it returns.
func MergeUsage(ctx context.Context, old *UsageRows, deltas []UsageDelta, add func(*UsageRow) error) error {
	for i := 1; i < len(deltas); i++ {
		if last, next := deltas[i-1].row(), deltas[i].row(); last.compare(&next) >= 0 {
			return fmt.Errorf("catalog: usage: change of pack %d of run %s: does not come after pack %d of run %s", next.N, next.Run, last.N, last.Run)
		}
	}
	row, more, err := old.Next(ctx)
	for err == nil && (more || len(deltas) > 0) {
		order := -1 // whether the next row is one of old, of deltas or of both
		var r UsageRow
		if len(deltas) > 0 {
			r, order = deltas[0].row(), 1
			if more {
				order = row.compare(&r)
			}
		}
		if order <= 0 {
			r = row
			if row, more, err = old.Next(ctx); err != nil {
				return err
			}
		}
		if order >= 0 {
			if err := r.change(&deltas[0]); err != nil {
				return err
			}
			deltas = deltas[1:]
		}
		if r.Refs > 0 {
			if err := add(&r); err != nil {
				return err
			}
		}
	}
	return err
}

// row returns the row that d changes, with nothing in it.
func (d *UsageDelta) row() UsageRow { return UsageRow{Host: d.Host, Run: d.Run, N: d.N} }

// change adds d to r.
func (r *UsageRow) change(d *UsageDelta) error {
	refs, ok1 := addSigned(r.Refs, d.Refs)
	sum, ok2 := addSigned(r.Bytes, d.Bytes)
	if !ok1 || !ok2 || refs == 0 && sum != 0 {
		return fmt.Errorf("catalog: usage of pack %d of run %s: has %d references to %d bytes, which cannot change by %+d and %+d",
			r.N, r.Run, r.Refs, r.Bytes, d.Refs, d.Bytes)
	}
	r.Refs, r.Bytes = refs, sum
	return nil
}

// addSigned returns a + b, and whether that is a uint64.
func addSigned(a uint64, b int64) (uint64, bool) {
	if b < 0 {
		diff, borrow := bits.Sub64(a, -uint64(b), 0)
		return diff, borrow == 0
	}
	sum, carry := bits.Add64(a, uint64(b), 0)
	return sum, carry == 0
}
