package catalog_test

import (
	"testing"

	"tidemark/catalog"
)

// TestPagesAreUsedAgain stores a tree twice with a few changes in between, as
// captures do: the second has pages of its own where something changed, in
// identity, hints or places, and pages of the first everywhere else.
func TestPagesAreUsedAgain(t *testing.T) {
	a := newMaker(21).dir("", 0)
	files := newMaker(22)
	for i, r := range plainRows(5000) {
		x := &entry{row: r}
		if i%1000 == 0 {
			x = files.dir(r.Name, 100)
		}
		a.entries = append(a.entries, x)
	}
	sa := newShelf(t, 1, 60_000)
	ta := sa.tree(a)
	for _, tt := range []struct {
		name   string
		change func(e *entry)
		pages  int // new ones, at most
		sameID bool
	}{
		{"nothing", func(*entry) {}, 0, true},
		{"the time of a file", func(e *entry) { e.entries[1234].row.Mtime.Sec++ }, 3, false},
		{"the inode number of a file", func(e *entry) { e.entries[1234].row.Ino++ }, 3, true},
		{"a file in a directory", func(e *entry) { e.entries[3000].entries[7].row.Mtime.Sec++ }, 3 + 3, false},
		{"the place of a chunk", func(e *entry) {
			for _, x := range e.entries[4000].entries {
				if len(x.extents) > 0 && len(x.extents) <= catalog.MaxNodeExtents && !x.extents[0].Zero {
					x.extents[0].Place.Start ^= 1
					return
				}
			}
			t.Fatal("no file with a chunk")
		}, 3 + 3, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := a.deepClone()
			tt.change(b)
			sb := newShelf(t, 2, 60_000)
			sb.parent = sa
			tb := sb.treeIn(b, both{sa, sb})
			if n := len(sb.stored); n > tt.pages || n == 0 && tt.pages > 0 {
				t.Errorf("%d new pages; want 1 to %d", n, tt.pages)
			}
			ra, rb := ta.Root(), tb.Root()
			if same := ra.Child.ID == rb.Child.ID; same != tt.sameID {
				t.Errorf("the root page has the same id: %t; want %t", same, tt.sameID)
			}
			checkEntries(t, tb, &rb.Node, b)
		})
	}
}

// checkEntries compares all that is below a directory.
func checkEntries(t *testing.T, tree *catalog.Tree, dir *catalog.Node, e *entry) {
	t.Helper()
	rows, _ := listAll(t, tree.List(dir, ""))
	if len(rows) != len(e.entries) {
		t.Fatalf("%q has %d entries; want %d", dir.Name, len(rows), len(e.entries))
	}
	for i := range rows {
		want := e.entries[i]
		if d := difference(rows[i].Node, want.row.Node) + difference(rows[i].Hints, want.row.Hints); d != "" {
			t.Fatalf("%q: %s", rows[i].Name, d)
		}
		if want.row.Type == catalog.Dir {
			checkEntries(t, tree, &rows[i].Node, want)
		}
	}
}

// deepClone is clone, with extents that may be changed too.
func (e *entry) deepClone() *entry {
	c := e.clone()
	c.all("", func(_ string, x *entry) { x.extents = append([]catalog.Extent(nil), x.extents...) })
	return c
}
