package catalog_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"reflect"
	"runtime"
	"slices"
	"testing"

	"tidemark/catalog"
	"tidemark/chunk"
	"tidemark/keys"
	"tidemark/pack"
)

// pages returns the pages of a directory of rows.
func pages(t testing.TB, rows []catalog.Row) *collected {
	t.Helper()
	c := newCollected()
	pager := catalog.NewDirPager(c.sink)
	for i := range rows {
		if err := pager.Add(&rows[i]); err != nil {
			t.Fatalf("Add(%q): %v", rows[i].Name, err)
		}
	}
	if _, _, err := pager.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	return c
}

// plainRows returns n rows of about 50 bytes whose names are numbers.
func plainRows(n int) []catalog.Row {
	rows := make([]catalog.Row, n)
	for i := range rows {
		rows[i] = plainRow(fmt.Sprintf("%08d", i))
	}
	return rows
}

func plainRow(name string) catalog.Row {
	return catalog.Row{Node: catalog.Node{Name: name, Type: catalog.File, Owner: "root", Group: "root"}}
}

// cutHash is H of docs/format.md, section 9, written from there.
func cutHash(key []byte) uint64 {
	f := fnv.New64a()
	f.Write(key)
	x := f.Sum64()
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

// cutRows returns how many rows each page of a level has, by the words of
// docs/format.md. A nil key never ends a page.
func cutRows(level int, keys [][]byte, lens []int) (counts []int, firsts [][]byte) {
	least, modulus := 16, uint64(128)
	if level > 0 {
		least, modulus = 4, 256
	}
	rows, size := 0, 0
	for i, key := range keys {
		if rows == 0 {
			firsts = append(firsts, key)
		}
		rows++
		size += lens[i]
		if rows >= least && key != nil && cutHash(key)%modulus == 0 || size >= 131072 || i == len(keys)-1 {
			counts = append(counts, rows)
			rows, size = 0, 0
		}
	}
	return counts, firsts
}

// TestCuts compares the pages of directories with cuts made by a reference.
func TestCuts(t *testing.T) {
	long := plainRows(4000)
	for i := range long { // of 600 bytes: 150 are less than the mean of cuts by names, so some are forced
		long[i].Size, long[i].Inline = 500, make([]byte, 500)
	}
	var exact []catalog.Row // of 512 bytes, and no name that ends a page
	for i := 0; len(exact) < 600; i++ {
		if r := plainRow(fmt.Sprintf("%08d", i)); cutHash([]byte(r.Name))%128 != 0 {
			r.Size, r.Inline = 512-48-8, make([]byte, 512-48-8)
			exact = append(exact, r)
		}
	}
	huge := plainRows(40)
	for i := range huge {
		for x := range 40 {
			huge[i].Xattrs = append(huge[i].Xattrs, catalog.Xattr{Name: fmt.Sprintf("user.%02d", x), Value: make([]byte, 4000)})
		}
	}
	for _, tt := range []struct {
		name   string
		rows   []catalog.Row
		rowLen int // bytes, less the name
		forced bool
	}{
		{"short rows", plainRows(100_000), 48, false},
		{"long rows", long, 548, true},
		{"rows that fill a page to the byte", exact, 512 - 8, true},
		{"pages of the fewest rows", fewestRows(), 48, false},
		{"rows of more than a page", huge, 48 + 40*(1+7+1+4+4000), true},
		{"one row", plainRows(1), 48, false},
		{"no rows", nil, 0, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := pages(t, tt.rows)
			var ks [][]byte
			var lens []int
			for _, r := range tt.rows {
				ks = append(ks, []byte(r.Name))
				lens = append(lens, tt.rowLen+len(r.Name))
			}
			forced := false
			for level := uint8(0); len(ks) > 0; level++ {
				want, firsts := cutRows(int(level), ks, lens)
				if !slices.Equal(got.rows[level], want) {
					t.Errorf("pages of level %d have %v rows; want %v", level, got.rows[level], want)
				}
				for i, n := range want[:len(want)-1] {
					forced = forced || level == 0 && n > 0 && cutHash(ks[sum(want[:i+1])-1])%128 != 0
				}
				if len(want) == 1 {
					if extra := len(got.rows[level+1]); extra > 0 {
						t.Errorf("%d pages above the root of level %d", extra, level)
					}
					break
				}
				ks, lens = firsts, make([]int, len(firsts))
				for i, k := range ks {
					lens[i] = 1 + len(k) + 32 + 32
				}
			}
			if forced != tt.forced {
				t.Errorf("a page was cut by its length: %t; want %t", forced, tt.forced)
			}
		})
	}
}

// fewestRows returns rows whose names end each page as soon as it may.
func fewestRows() (rows []catalog.Row) {
	named := func(i int, fits func(hash uint64) bool) {
		for j := 0; ; j++ {
			if name := fmt.Sprintf("%04d-%06d", i, j); fits(cutHash([]byte(name))) {
				rows = append(rows, plainRow(name))
				return
			}
		}
	}
	for i := range 16 * 4 * 4 * 4 {
		switch i % 16 {
		case 0: // the key of the page in the levels above
			named(i, func(hash uint64) bool { return hash%256 == 0 })
		case 15:
			named(i, func(hash uint64) bool { return hash%128 == 0 })
		default:
			named(i, func(hash uint64) bool { return true })
		}
	}
	return rows
}

func sum(ns []int) (total int) {
	for _, n := range ns {
		total += n
	}
	return total
}

// TestBuildBySteps edits directories at random. Paged again from the cut
// before the first change until the cuts agree again, a directory has the
// pages that it has when it is built from scratch.
func TestBuildBySteps(t *testing.T) {
	for seed := range uint64(6) {
		m := newMaker(seed)
		rows := m.rows(2500)
		old := pages(t, rows)
		for step := range 6 {
			edited, from, to := m.edit(rows)
			scratch := pages(t, edited)

			// What precedes the page of the first change stays; what follows the
			// last change by a whole page is to be the same as before.
			keep, start := 0, 0
			for start+old.rows[0][keep] <= from && keep < len(old.rows[0])-1 {
				start += old.rows[0][keep]
				keep++
			}
			again := pages(t, edited[start:])
			steps := slices.Clone(old.ids[0][:keep])
			tail := len(rows) - to // rows behind the last change
			left := len(edited) - start
			for i, id := range again.ids[0] {
				if page, ok := pageWith(old.rows[0], len(rows)-left); ok && left <= tail {
					steps = append(steps, old.ids[0][page:]...)
					break
				}
				steps = append(steps, id)
				left -= again.rows[0][i]
			}
			if !slices.Equal(steps, scratch.ids[0]) {
				t.Errorf("seed %d, step %d: %d pages by steps, not the %d from scratch", seed, step, len(steps), len(scratch.ids[0]))
			}
			rows, old = edited, scratch
		}
	}
}

// pageWith returns the page that begins with a row.
func pageWith(counts []int, row int) (page int, ok bool) {
	for ; row > 0 && page < len(counts); page++ {
		row -= counts[page]
	}
	return page, row == 0 && page < len(counts)
}

// edit returns rows with some of them added, removed or changed. Rows before
// from, and those of the old ones from to on, are as before.
func (m *maker) edit(rows []catalog.Row) (edited []catalog.Row, from, to int) {
	from = m.IntN(len(rows))
	to = min(from+1+m.IntN(300), len(rows))
	edited = slices.Clone(rows[:from])
	for _, r := range rows[from:to] {
		switch m.IntN(4) {
		case 0: // removed
		case 1:
			r.Mtime = m.time()
			edited = append(edited, r)
		case 2:
			added := plainRow(r.Name)
			r.Name += "+"
			edited = append(edited, added)
			if len(r.Name) <= catalog.MaxNameLen {
				edited = append(edited, r)
			}
		default:
			edited = append(edited, r)
		}
	}
	edited = append(edited, rows[to:]...)
	slices.SortFunc(edited, func(a, b catalog.Row) int { return slices.Compare([]byte(a.Name), []byte(b.Name)) })
	edited = slices.CompactFunc(edited, func(a, b catalog.Row) bool { return a.Name == b.Name })
	return edited, from, to
}

// TestEqualDirectoriesHaveEqualIDs changes places and hints only.
func TestEqualDirectoriesHaveEqualIDs(t *testing.T) {
	for seed := range uint64(10) {
		m := newMaker(seed)
		rows := m.rows(500)
		other := slices.Clone(rows)
		for i := range other {
			r := &other[i]
			r.Hints = catalog.Hints{Ctime: m.time(), Ino: m.Uint64(), FS: 7}
			r.Extents = slices.Clone(r.Extents)
			for j := range r.Extents {
				if !r.Extents[j].Zero {
					r.Extents[j].Place = m.place(r.Extents[j].Len)
				}
			}
			r.Xattrs = slices.Clone(r.Xattrs)
			for j := range r.Xattrs {
				if r.Xattrs[j].Len > 0 {
					r.Xattrs[j].Place = m.place(uint64(r.Xattrs[j].Len))
				}
			}
		}
		if a, b := pages(t, rows), pages(t, other); !reflect.DeepEqual(a.ids, b.ids) {
			t.Errorf("seed %d: other places and hints give other ids", seed)
		}
	}
	// A whole tree, in blocks of one page and of many.
	e := newMaker(1).dir("", 3000)
	a, b := newShelf(t, 1, 1), newShelf(t, 2, 200_000)
	ta, tb := a.tree(e.clone()), b.tree(e.clone())
	if ta.Root().Child.ID != tb.Root().Child.ID || !slices.Equal(a.stored, b.stored) {
		t.Errorf("the tree has other ids in other blocks")
	}
	if len(a.sealed) <= len(b.sealed) {
		t.Errorf("%d blocks of one page, %d of many: the test tests nothing", len(a.sealed), len(b.sealed))
	}
}

// TestOneChangeInALargeDirectory counts the pages that one changed row costs.
func TestOneChangeInALargeDirectory(t *testing.T) {
	rows := plainRows(200_000)
	before := pages(t, rows)
	if len(before.ids[2]) != 1 {
		t.Fatalf("%d pages of level 2; want the root", len(before.ids[2]))
	}
	for _, i := range []int{0, 123_456} {
		rows[i].Mtime.Sec++
		after := pages(t, rows)
		changed := 0
		for level, ids := range after.ids {
			for _, id := range ids {
				if !slices.Contains(before.ids[level], id) {
					changed++
				}
			}
		}
		if changed != 3 {
			t.Errorf("row %d changed: %d new pages; want a leaf, an interior page and the root", i, changed)
		}
		before = after
	}
}

// TestSame compares drafts with pages that were stored before.
func TestSame(t *testing.T) {
	rows := newMaker(3).rows(12)
	page, err := catalog.ParsePage(onePage(t, rows), pack.Block{})
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(rows, func(r catalog.Row) bool { return len(r.Extents) > 0 && !r.Extents[0].Zero })
	if i < 0 {
		t.Fatal("no row with an extent")
	}
	for _, tt := range []struct {
		name   string
		change func(r *catalog.Row)
		want   bool
	}{
		{"nothing changed", func(r *catalog.Row) {}, true},
		{"a block is not complete", func(r *catalog.Row) { r.Extents[0].Place.Sealed = 0 }, true},
		{"the identity", func(r *catalog.Row) { r.UID++ }, false},
		{"the hints", func(r *catalog.Row) { r.Ino++ }, false},
		{"another start", func(r *catalog.Row) { r.Extents[0].Place.Start++ }, false},
		{"another block", func(r *catalog.Row) { r.Extents[0].Place.Ordinal++ }, false},
		{"another run", func(r *catalog.Row) { r.Extents[0].Place.Run[15]++ }, false},
	} {
		changed := slices.Clone(rows)
		changed[i].Extents = slices.Clone(rows[i].Extents)
		tt.change(&changed[i])
		var got bool
		pager := catalog.NewDirPager(func(d *catalog.Draft) (catalog.Ref, error) {
			got = d.Same(page)
			return catalog.Ref{}, nil
		})
		for j := range changed {
			if err := pager.Add(&changed[j]); err != nil {
				t.Fatal(err)
			}
		}
		if _, _, err := pager.Close(); err != nil {
			t.Fatal(err)
		}
		if got != tt.want {
			t.Errorf("%s: Same = %t; want %t", tt.name, got, tt.want)
		}
	}
}

func TestDirPagerRefusesDisorder(t *testing.T) {
	for _, next := range []string{"a", "b"} {
		pager := catalog.NewDirPager(newCollected().sink)
		b, r := plainRow("b"), plainRow(next)
		if err := pager.Add(&b); err != nil {
			t.Fatal(err)
		}
		if err := pager.Add(&r); err == nil {
			t.Errorf("Add(%q) after %q succeeded", next, "b")
		}
	}
}

// TestSinkError sees that an error of the sink is what Add or Close returns,
// and that the pager is as new after Close.
func TestSinkError(t *testing.T) {
	fault := errors.New("disk full")
	rows := plainRows(50_000)
	all := pages(t, rows)
	for _, failAt := range []uint32{1, 2, all.n - 1, all.n} {
		c := newCollected()
		failing := true
		pager := catalog.NewDirPager(func(d *catalog.Draft) (catalog.Ref, error) {
			ref, err := c.sink(d)
			if failing && c.n == failAt {
				return catalog.Ref{}, fault
			}
			return ref, err
		})
		var err error
		for i := range rows {
			if err = pager.Add(&rows[i]); err != nil {
				break
			}
		}
		if err != nil {
			if again := pager.Add(&rows[len(rows)-1]); !errors.Is(again, fault) {
				t.Errorf("page %d failed: the next Add returns %v", failAt, again)
			}
		}
		if _, _, err := pager.Close(); !errors.Is(err, fault) {
			t.Errorf("page %d failed: Close returns %v", failAt, err)
		}
		failing = false
		if root, totals, err := pager.Close(); err != nil || totals != (catalog.Totals{}) || !root.IsZero() {
			t.Errorf("page %d failed: a second Close returns %+v, %+v, %v", failAt, root, totals, err)
		}
	}
}

// TestPagerMemory adds many rows and sees that they are not kept.
func TestPagerMemory(t *testing.T) {
	pager := catalog.NewDirPager(func(d *catalog.Draft) (catalog.Ref, error) {
		return catalog.Ref{Place: pack.Place{Block: pack.Block{Host: "h"}, Len: 1}}, nil
	})
	heap := func() uint64 {
		runtime.GC()
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		return s.HeapAlloc
	}
	r := plainRow("")
	before := heap()
	for i := range 150_000 {
		r.Name = fmt.Sprintf("%08d", i)
		if err := pager.Add(&r); err != nil {
			t.Fatal(err)
		}
	}
	if used := int64(heap()) - int64(before); used > 2<<20 {
		t.Errorf("after 150,000 rows the pager holds %d bytes", used)
	}
	if _, totals, err := pager.Close(); err != nil || totals.Names != 150_000 {
		t.Errorf("Close = %+v, %v", totals, err)
	}
}

// TestTooManyHoles stores a file whose holes do not fit: it is stored, with
// less known of its holes.
func TestTooManyHoles(t *testing.T) {
	r := plainRow("")
	r.Size, r.Inline, r.Alloc = 512, make([]byte, 512), catalog.HolesListed
	for i := range uint64(250) {
		r.Holes = append(r.Holes, catalog.Range{Off: 2 * i, Len: 1})
	}
	kept, dropped := []int{0, 0}, 0
	pager := catalog.NewDirPager(func(d *catalog.Draft) (catalog.Ref, error) {
		b, err := d.Encode(nil)
		if err != nil || d.Level > 0 {
			return catalog.Ref{Place: pack.Place{Block: pack.Block{Host: "h"}, Len: 1}}, err
		}
		p, err := catalog.ParsePage(b, pack.Block{})
		if err != nil {
			t.Fatal(err)
		}
		for i := range p.Len() {
			got, err := p.Row(i)
			switch {
			case err != nil:
				t.Fatal(err)
			case got.Alloc == catalog.HolesListed && len(got.Holes) == 250:
				kept[0]++
			case got.Alloc == catalog.HolesListed && len(got.Holes) == 65_000:
				kept[1]++
			case got.Alloc == catalog.HolesZero && got.Holes == nil:
				dropped++
			default:
				t.Fatalf("allocation %d, %d holes", got.Alloc, len(got.Holes))
			}
		}
		return catalog.Ref{Place: pack.Place{Block: pack.Block{Host: "h"}, Len: 1}}, nil
	})
	for i := range 200 {
		r.Name = fmt.Sprintf("%03d", i)
		if err := pager.Add(&r); err != nil {
			t.Fatal(err)
		}
	}
	big := plainRow("")
	at := pack.Place{Block: pack.Block{Host: "h", Plain: 140_000, Sealed: 140_016}, Len: 140_000}
	big.Size, big.Extents, big.Alloc = 140_000, []catalog.Extent{{Len: 140_000, Place: at}}, catalog.HolesListed
	for i, n := range []uint64{70_000, 65_000, 65_000, 65_000, 65_000} { // the first has more than 1 MiB, all together 4
		big.Name = fmt.Sprintf("big%d", i)
		big.Holes = nil
		for j := range n {
			big.Holes = append(big.Holes, catalog.Range{Off: 2 * j, Len: 1})
		}
		if err := pager.Add(&big); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := pager.Close(); err != nil {
		t.Fatal(err)
	}
	if want := []int{200, 3}; !slices.Equal(kept, want) || dropped != 2 {
		t.Errorf("%v rows, small and large ones, kept their holes and %d did not; want %v and 2", kept, dropped, want)
	}
}

// TestListCuts compares the pages of a list with cuts made by a reference.
func TestListCuts(t *testing.T) {
	list, size := newMaker(5).extents(50_000)
	var ks [][]byte
	var lens []int
	for _, x := range list {
		if x.Zero {
			ks, lens = append(ks, nil), append(lens, 9)
		} else {
			ks, lens = append(ks, x.ID[:]), append(lens, 37)
		}
	}
	c := newCollected()
	pager := catalog.NewListPager(c.sink)
	for range 2 { // the second time with a pager that was used
		c.ids, c.rows = map[uint8][]chunk.ID{}, map[uint8][]int{}
		for i := range list {
			if err := pager.Add(&list[i]); err != nil {
				t.Fatal(err)
			}
		}
		root, n, count, err := pager.Close()
		if err != nil || n != size || count != uint64(len(list)) {
			t.Fatalf("Close: %d bytes, %d extents, %v; want %d, %d", n, count, err, size, len(list))
		}
		if want, _ := cutRows(0, ks, lens); !slices.Equal(c.rows[0], want) {
			t.Errorf("leaf pages have %v extents; want %v", c.rows[0], want)
		}
		keys1, lens1 := childKeys(c.ids[0])
		if want, _ := cutRows(1, keys1, lens1); !slices.Equal(c.rows[1], want) {
			t.Errorf("pages of level 1 have %v rows; want %v", c.rows[1], want)
		}
		if top := c.ids[root.Level]; len(top) != 1 || top[0] != root.ID {
			t.Errorf("the root is %v of level %d; there are %v", root.ID, root.Level, top)
		}
	}
	if _, _, _, err := pager.Close(); err == nil {
		t.Error("Close of a list without extents succeeded")
	}
}

func childKeys(ids []chunk.ID) (ks [][]byte, lens []int) {
	for _, id := range ids {
		ks, lens = append(ks, id[:]), append(lens, 32+16)
	}
	return ks, lens
}

// TestUsagePager sees that a small usage needs no sink, that a large one gives
// it all but the root page, and that the cuts are those of the format.
func TestUsagePager(t *testing.T) {
	for _, n := range []int{0, 1, 15, 100, 60_000} {
		c := newCollected()
		pager := catalog.NewUsagePager(c.sink)
		var ks [][]byte
		var lens []int
		for i := range n {
			r := catalog.UsageRow{Host: "host", Run: keys.RunID{0: byte(i >> 16), 1: byte(i >> 12)}, N: uint32(i), Refs: 1, Bytes: 10}
			if err := pager.Add(&r); err != nil {
				t.Fatal(err)
			}
			ks = append(ks, binary.LittleEndian.AppendUint32(slices.Clone(r.Run[:]), r.N))
			lens = append(lens, 16+4+1+4+16)
		}
		root, err := pager.Close(func(b pack.Block) (pack.Block, bool, error) {
			b.Plain, b.Sealed = 100, 116
			return b, false, nil
		})
		if err != nil {
			t.Fatalf("%d rows: Close: %v", n, err)
		}
		if n == 0 {
			if root != nil {
				t.Errorf("no rows have a root page of %d bytes", len(root))
			}
			continue
		}
		p, err := catalog.ParsePage(root, pack.Block{})
		if err != nil {
			t.Fatalf("%d rows: ParsePage: %v", n, err)
		}
		if err := catalog.CheckPage(root, pack.Block{}); err != nil {
			t.Errorf("%d rows: CheckPage: %v", n, err)
		}
		counts, firsts := cutRows(0, ks, lens)
		if len(counts) == 1 {
			if c.n != 0 || p.Level() != 0 || p.Len() != n {
				t.Errorf("%d rows: %d pages in the sink, a root of level %d with %d rows", n, c.n, p.Level(), p.Len())
			}
			continue
		}
		if !slices.Equal(c.rows[0], counts) || p.Level() == 0 {
			t.Errorf("%d rows: leaf pages of %v rows below level %d; want %v", n, c.rows[0], p.Level(), counts)
		}
		if p.Level() == 1 && p.Len() != len(firsts) {
			t.Errorf("%d rows: a root of %d rows above %d pages", n, p.Len(), len(firsts))
		}
	}
}

// TestEncodeAsksOnceForEachBlock also sees that a page that stands in a point
// cannot lie in a block, and that a resolver cannot take one for another.
func TestEncodeAsksOnceForEachBlock(t *testing.T) {
	m := newMaker(4)
	r := plainRow("")
	r.Extents, r.Size = m.extents(8)
	asked := map[pack.Block]int{}
	if _, err := catalog.RootPage(&r, func(b pack.Block) (pack.Block, bool, error) {
		asked[b]++
		return b, false, nil
	}); err != nil {
		t.Fatalf("RootPage: %v", err)
	}
	if len(asked) < 2 {
		t.Errorf("asked for %d blocks", len(asked))
	}
	for b, n := range asked {
		if n != 1 {
			t.Errorf("asked %d times for %+v", n, b)
		}
	}
	for name, resolve := range map[string]catalog.Resolve{
		"its own block": func(b pack.Block) (pack.Block, bool, error) { return b, true, nil },
		"another block": func(b pack.Block) (pack.Block, bool, error) { b.Pack++; return b, false, nil },
		"an error":      func(b pack.Block) (pack.Block, bool, error) { return b, false, errors.New("gone") },
		"two hosts": func(b pack.Block) (pack.Block, bool, error) {
			b.Host = fmt.Sprint("h", b.Ordinal)
			return b, false, nil
		},
	} {
		if _, err := catalog.RootPage(&r, resolve); err == nil {
			t.Errorf("RootPage with %s succeeded", name)
		} else {
			t.Logf("%s: %v", name, err)
		}
	}
}
