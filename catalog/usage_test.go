package catalog_test

import (
	"bytes"
	"encoding/binary"
	"maps"
	"slices"
	"testing"

	"tidemark/catalog"
	"tidemark/keys"
	"tidemark/pack"
)

type packKey struct {
	run keys.RunID
	n   uint32
}

// usageOf stores a usage and returns its root page.
func (s *shelf) usageOf(rows []catalog.UsageRow) []byte {
	s.t.Helper()
	pager := catalog.NewUsagePager(s.sink)
	for i := range rows {
		if err := pager.Add(&rows[i]); err != nil {
			s.t.Fatalf("Add(%+v): %v", rows[i], err)
		}
	}
	root, err := pager.Close(s.resolve)
	if err != nil {
		s.t.Fatalf("Close: %v", err)
	}
	return root
}

// usageRows reads all rows of a usage.
func usageRows(t *testing.T, pages catalog.Pages, root []byte) (rows []catalog.UsageRow) {
	t.Helper()
	u, err := catalog.OpenUsage(pages, root)
	if err != nil {
		t.Fatalf("OpenUsage: %v", err)
	}
	for {
		r, ok, err := u.Next(t.Context())
		if err != nil {
			t.Fatalf("Next: %v", err)
		}
		if !ok {
			return rows
		}
		rows = append(rows, r)
	}
}

func (m *maker) usage(n int) []catalog.UsageRow {
	rows := make([]catalog.UsageRow, n)
	for i := range rows {
		rows[i] = catalog.UsageRow{Host: "host", Run: keys.RunID{byte(i / 100), 9}, N: uint32(i) * 7, Refs: 1 + m.Uint64N(1000), Bytes: m.Uint64N(1 << 40)}
	}
	return rows
}

func TestUsageRoundTrip(t *testing.T) {
	for _, n := range []int{0, 1, 100, 20_000} {
		shelf := newShelf(t, 1, 60_000)
		rows := newMaker(1).usage(n)
		root := shelf.usageOf(rows)
		if got := usageRows(t, shelf, root); !slices.Equal(got, rows) {
			t.Errorf("%d rows: %d rows came back, or others", n, len(got))
		}
		if n < 1000 && len(shelf.stored) > 0 {
			t.Errorf("%d rows: %d pages beside the root", n, len(shelf.stored))
		}
	}
}

func TestUsagePagerRefuses(t *testing.T) {
	good := catalog.UsageRow{Host: "host", Run: keys.RunID{1}, N: 256, Refs: 1}
	for name, r := range map[string]catalog.UsageRow{
		"the same row":         good,
		"a smaller number":     {Host: "host", Run: keys.RunID{1}, N: 255, Refs: 1},
		"a smaller run":        {Host: "host", Run: keys.RunID{0, 9}, N: 300, Refs: 1},
		"no references":        {Host: "host", Run: keys.RunID{2}},
		"no host":              {Run: keys.RunID{2}, Refs: 1},
		"a host that is a way": {Host: "a/b", Run: keys.RunID{2}, Refs: 1},
	} {
		pager := catalog.NewUsagePager(nil)
		if err := pager.Add(&good); err != nil {
			t.Fatal(err)
		}
		if err := pager.Add(&r); err == nil {
			t.Errorf("%s: Add succeeded", name)
		}
		if _, err := pager.Close(nil); err == nil {
			t.Errorf("%s: Close succeeded after that", name)
		}
	}
}

// TestMergeUsage changes usages at random, and compares with a map.
func TestMergeUsage(t *testing.T) {
	for seed := range uint64(20) {
		m := newMaker(seed)
		shelf := newShelf(t, 1, 60_000)
		rows := m.usage(int(seed) * 150)
		want := map[packKey]catalog.UsageRow{}
		for _, r := range rows {
			want[packKey{r.Run, r.N}] = r
		}
		var deltas []catalog.UsageDelta
		for range m.IntN(400) {
			d := catalog.UsageDelta{Host: "host", Run: keys.RunID{byte(m.IntN(40)), 9}, N: uint32(m.IntN(20_000))}
			if len(rows) > 0 && m.IntN(2) == 0 {
				r := rows[m.IntN(len(rows))]
				d.Run, d.N = r.Run, r.N
			}
			key := packKey{d.Run, d.N}
			old := want[key]
			switch {
			case m.IntN(3) == 0:
				d.Refs, d.Bytes = -int64(old.Refs), -int64(old.Bytes)
				delete(want, key)
			default:
				d.Refs, d.Bytes = 1+m.Int64N(50), m.Int64N(1<<30)
				want[key] = catalog.UsageRow{Host: "host", Run: d.Run, N: d.N, Refs: old.Refs + uint64(d.Refs), Bytes: old.Bytes + uint64(d.Bytes)}
			}
			deltas = append(deltas, d)
		}
		// Several changes of one pack in a row are made into one.
		slices.SortStableFunc(deltas, func(a, b catalog.UsageDelta) int { return comparePacks(packKey{a.Run, a.N}, packKey{b.Run, b.N}) })
		merged := deltas[:0]
		for _, d := range deltas {
			if n := len(merged); n > 0 && merged[n-1].Run == d.Run && merged[n-1].N == d.N {
				merged[n-1].Refs += d.Refs
				merged[n-1].Bytes += d.Bytes
			} else {
				merged = append(merged, d)
			}
		}
		var old *catalog.UsageRows
		if len(rows) > 0 || seed%2 == 0 {
			var err error
			if old, err = catalog.OpenUsage(shelf, shelf.usageOf(rows)); err != nil {
				t.Fatal(err)
			}
		}
		var got []catalog.UsageRow
		err := catalog.MergeUsage(t.Context(), old, merged, func(r *catalog.UsageRow) error {
			got = append(got, *r)
			return nil
		})
		if err != nil {
			t.Fatalf("seed %d: MergeUsage: %v", seed, err)
		}
		sorted := slices.SortedFunc(maps.Values(want), func(a, b catalog.UsageRow) int {
			return comparePacks(packKey{a.Run, a.N}, packKey{b.Run, b.N})
		})
		if !slices.Equal(got, sorted) {
			t.Errorf("seed %d: %d rows; want %d", seed, len(got), len(sorted))
		}
	}
}

func comparePacks(a, b packKey) int {
	x := binary.BigEndian.AppendUint32(slices.Clone(a.run[:]), a.n)
	return bytes.Compare(x, binary.BigEndian.AppendUint32(slices.Clone(b.run[:]), b.n))
}

func TestMergeUsageRefuses(t *testing.T) {
	rows := []catalog.UsageRow{{Host: "host", N: 5, Refs: 3, Bytes: 30}}
	for name, deltas := range map[string][]catalog.UsageDelta{
		"fewer than no references":     {{Host: "host", N: 5, Refs: -4, Bytes: -30}},
		"less than no bytes":           {{Host: "host", N: 5, Refs: -1, Bytes: -31}},
		"bytes without references":     {{Host: "host", N: 5, Refs: -3, Bytes: -29}},
		"less of a pack that is new":   {{Host: "host", N: 6, Refs: -1}},
		"changes that do not ascend":   {{Host: "host", N: 6, Refs: 1}, {Host: "host", N: 4, Refs: 1}},
		"two changes of the same pack": {{Host: "host", N: 6, Refs: 1}, {Host: "host", N: 6, Refs: 1}},
	} {
		shelf := newShelf(t, 1, 60_000)
		old, err := catalog.OpenUsage(shelf, shelf.usageOf(rows))
		if err != nil {
			t.Fatal(err)
		}
		err = catalog.MergeUsage(t.Context(), old, deltas, func(*catalog.UsageRow) error { return nil })
		if err == nil {
			t.Errorf("%s: MergeUsage succeeded", name)
		} else {
			t.Logf("%s: %v", name, err)
		}
	}
}

// TestPageUsage counts what the pages of a tree refer to, and compares with
// what its rows and pages are known to be.
func TestPageUsage(t *testing.T) {
	m := newMaker(11)
	e := m.dir("", 2000)
	shelf := newShelf(t, 1, 60_000)
	tree := shelf.tree(e)
	type count struct{ refs, bytes uint64 }
	want, got := map[packKey]count{}, map[packKey]count{}
	add := func(to map[packKey]count, at pack.Place, n uint32) {
		c := to[packKey{at.Run, at.Pack}]
		to[packKey{at.Run, at.Pack}] = count{c.refs + 1, c.bytes + uint64(n)}
	}
	e.all("", func(_ string, x *entry) {
		for _, a := range x.row.Xattrs {
			if a.Len > 0 {
				add(want, a.Place, a.Len)
			}
		}
		for _, x := range x.extents {
			if !x.Zero {
				add(want, x.Place, uint32(x.Len))
			}
		}
	})
	for _, b := range shelf.plain { // each page is referred to once: no two are equal
		for len(b) > 0 {
			n := pageHeader + binary.LittleEndian.Uint32(b) + binary.LittleEndian.Uint32(b[4:]) + binary.LittleEndian.Uint32(b[8:])
			add(want, pack.Place{Block: pack.Block{Run: shelf.run, Pack: 7}}, n)
			b = b[n:]
		}
	}
	count1 := func(p *catalog.Page) {
		if err := catalog.PageUsage(p, func(at pack.Place) { add(got, at, at.Len) }); err != nil {
			t.Fatalf("PageUsage: %v", err)
		}
	}
	count1(tree.RootPage())
	for ordinal, b := range shelf.plain {
		for len(b) > 0 {
			n := pageHeader + binary.LittleEndian.Uint32(b) + binary.LittleEndian.Uint32(b[4:]) + binary.LittleEndian.Uint32(b[8:])
			p, err := catalog.ParsePage(b[:n], shelf.sealed[ordinal])
			if err != nil {
				t.Fatal(err)
			}
			count1(p)
			if err := catalog.CheckPage(b[:n], shelf.sealed[ordinal]); err != nil {
				t.Errorf("CheckPage: %v", err)
			}
			b = b[n:]
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("PageUsage counts %v; want %v", got, want)
	}
}

// pageHeader is the length of what comes before a page's sections.
const pageHeader = 12
