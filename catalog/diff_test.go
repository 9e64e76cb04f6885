package catalog_test

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"testing"

	"tidemark/catalog"
	"tidemark/chunk"
)

// change is a catalog.Change without the nodes.
type change struct {
	path string
	kind catalog.ChangeKind
}

// diff returns the changes that Diff finds, and sees that their nodes are the
// right ones.
func diff(t *testing.T, a, b catalog.Side, opt catalog.DiffOptions) []change {
	t.Helper()
	var all []change
	err := catalog.Diff(t.Context(), a, b, opt, func(c catalog.Change) error {
		if (c.Old == nil) != (c.Kind == catalog.Added) || (c.New == nil) != (c.Kind == catalog.Removed) {
			t.Errorf("%q, %v: Old is nil: %t, New is nil: %t", c.Path, c.Kind, c.Old == nil, c.New == nil)
		}
		for _, n := range []*catalog.Node{c.Old, c.New} {
			if n != nil && c.Path != "" && n.Name != c.Path[len(c.Path)-len(n.Name):] {
				t.Errorf("%q has a node named %q", c.Path, n.Name)
			}
		}
		all = append(all, change{c.Path, c.Kind})
		return nil
	})
	if err != nil {
		t.Fatalf("Diff: %v", err)
	}
	return all
}

// naiveDiff compares two trees in memory entry by entry.
func naiveDiff(a, b *entry, path string, topOnly bool) (all []change) {
	below := func(e *entry, kind catalog.ChangeKind) {
		if !topOnly {
			e.all(path, func(p string, x *entry) {
				if x != e {
					all = append(all, change{p, kind})
				}
			})
		}
	}
	switch {
	case a == nil:
		all = append(all, change{path, catalog.Added})
		below(b, catalog.Added)
		return all
	case b == nil:
		all = append(all, change{path, catalog.Removed})
		below(a, catalog.Removed)
		return all
	case a.row.Type != b.row.Type:
		all = append(all, change{path, catalog.TypeChanged})
		below(a, catalog.Removed)
		below(b, catalog.Added)
		return all
	}
	// What is left of a node without its content is its metadata.
	x, y := a.row.Node, b.row.Node
	content := func(n *catalog.Node, e *entry) []any {
		unreadable := n.Unreadable != ""
		ids := []any{n.Size, unreadable}
		if !unreadable {
			ids = append(ids, string(n.Inline), n.Target, n.Major, n.Minor)
			for _, x := range e.extents {
				ids = append(ids, x.Zero, x.Len, x.ID)
			}
		}
		n.Inline, n.Target, n.Size, n.Major, n.Minor = nil, "", 0, 0, 0
		n.Extents, n.List, n.ExtentCount, n.Below, n.Child = nil, catalog.Ref{}, 0, catalog.Totals{}, catalog.Ref{}
		n.Link = catalog.LinkGroup{}
		return ids
	}
	switch {
	case !reflect.DeepEqual(content(&x, a), content(&y, b)):
		all = append(all, change{path, catalog.Modified})
	case !reflect.DeepEqual(x, y):
		all = append(all, change{path, catalog.MetadataOnly})
	}
	names := map[string][2]*entry{}
	for i, e := range []*entry{a, b} {
		for _, x := range e.entries {
			pair := names[x.row.Name]
			pair[i] = x
			names[x.row.Name] = pair
		}
	}
	var sorted []string
	for name := range names {
		sorted = append(sorted, name)
	}
	slices.Sort(sorted)
	for _, name := range sorted {
		p := name
		if path != "" {
			p = path + "/" + name
		}
		all = append(all, naiveDiff(names[name][0], names[name][1], p, topOnly)...)
	}
	return all
}

// mutate changes a tree here and there.
func (m *maker) mutate(e *entry, odds int) {
	var kept []*entry
	for _, x := range e.entries {
		switch m.IntN(odds) {
		case 0: // removed
			continue
		case 1:
			m.touch(&x.row.Node)
		case 2: // another node of the same name
			x = m.entry(x.row.Name)
		case 3:
			x.row.Ino++ // hints do not count
		case 4:
			x.row.Name += "+"
		case 5:
			if x.row.Type == catalog.Dir {
				x = m.entry(x.row.Name)
			} else {
				x = m.dir(x.row.Name, 5)
			}
		case 6:
			if len(x.extents) > 0 {
				x.extents = slices.Clone(x.extents)
				i := m.IntN(len(x.extents))
				if !x.extents[i].Zero {
					x.extents[i].ID = m.id()
				}
			}
		case 7:
			kept = append(kept, m.entry(x.row.Name[:min(len(x.row.Name), 200)]+"-"))
		}
		if x.row.Type == catalog.Dir {
			m.mutate(x, odds)
		}
		if len(x.row.Name) <= catalog.MaxNameLen {
			kept = append(kept, x)
		}
	}
	e.entries = kept
	e.sort()
	e.entries = slices.CompactFunc(e.entries, func(a, b *entry) bool { return a.row.Name == b.row.Name })
}

// touch changes something of a node that is not its content.
func (m *maker) touch(n *catalog.Node) {
	switch m.IntN(9) {
	case 0:
		n.Mtime = m.time()
	case 1:
		n.Mode ^= 0o200
	case 2:
		n.UID++
	case 3:
		n.Owner += "x"
	case 4:
		n.Group += "x"
	case 5:
		n.Project++
	case 6:
		n.HasBtime, n.Btime = !n.HasBtime, catalog.Time{}
	case 7:
		n.Xattrs = append(slices.Clone(n.Xattrs), catalog.Xattr{Name: "user.\xff", Value: []byte{1}})
	case 8:
		if n.Type != catalog.Dir {
			n.Links++
		}
	}
}

// TestDiff compares what Diff finds with what is found entry by entry, for
// trees that differ a little and for trees that differ much.
func TestDiff(t *testing.T) {
	for seed := range uint64(4) {
		m := newMaker(seed)
		a := m.dir("", 500)
		for range 400 {
			a.entries = append(a.entries, m.entry(fmt.Sprintf("%d", m.Uint64())))
		}
		a.sort()
		b := a.clone()
		m.mutate(b, []int{9, 30, 300, 3000}[seed%4])
		sa, sb := newShelf(t, 1, 60_000), newShelf(t, 2, 1)
		ta, tb := sa.tree(a), sb.tree(b)
		ra, rb := ta.Root(), tb.Root()
		for _, top := range []bool{false, true} {
			got := diff(t, catalog.Side{Tree: ta, Node: &ra.Node}, catalog.Side{Tree: tb, Node: &rb.Node}, catalog.DiffOptions{TopOnly: top})
			if want := naiveDiff(a, b, "", top); !slices.Equal(got, want) {
				t.Errorf("seed %d, top %t: %d changes; want %d: %s", seed, top, len(got), len(want), firstDifference(got, want))
			}
		}
		for what, sides := range map[string][2]catalog.Side{
			"added":   {{}, {Tree: tb, Node: &rb.Node}},
			"removed": {{Tree: ta, Node: &ra.Node}, {}},
			"neither": {},
		} {
			n := rb.Totals().Names
			if what == "removed" {
				n = ra.Totals().Names
			} else if what == "neither" {
				n = 0
			}
			if got := diff(t, sides[0], sides[1], catalog.DiffOptions{}); uint64(len(got)) != n {
				t.Errorf("seed %d: all %s: %d changes; want %d", seed, what, len(got), n)
			}
		}
	}
}

// TestDiffReadsWhatDiffers counts pages.
func TestDiffReadsWhatDiffers(t *testing.T) {
	a := newMaker(1).dir("", 0)
	for _, r := range plainRows(60_000) {
		a.entries = append(a.entries, &entry{row: r})
	}
	b := a.clone()
	b.entries[30_000].row.UID = 5
	added := &entry{row: plainRow("00040000+")}
	b.entries = append(b.entries, added)
	b.sort()
	sa, sb := newShelf(t, 1, 60_000), newShelf(t, 2, 60_000)
	ta, tb := sa.tree(a), sb.tree(b)
	ra, rb := ta.Root(), tb.Root()
	sa.reads.Store(0)
	sb.reads.Store(0)
	got := diff(t, catalog.Side{Tree: ta, Node: &ra.Node}, catalog.Side{Tree: tb, Node: &rb.Node}, catalog.DiffOptions{})
	want := []change{{"00030000", catalog.MetadataOnly}, {"00040000+", catalog.Added}}
	if !slices.Equal(got, want) {
		t.Errorf("Diff = %v; want %v", got, want)
	}
	// A root, and for each change an interior page and a leaf.
	if reads := sa.reads.Load() + sb.reads.Load(); reads > 2*(1+2*2) {
		t.Errorf("two changes in 60,000 entries read %d pages", reads)
	}
	same := diff(t, catalog.Side{Tree: ta, Node: &ra.Node}, catalog.Side{Tree: ta, Node: &ra.Node}, catalog.DiffOptions{})
	if len(same) > 0 {
		t.Errorf("a tree differs from itself: %v", same)
	}
}

// TestDiffOfEpochs compares trees whose pages have ids of two epochs, and so
// none in common, while the chunks are the same.
func TestDiffOfEpochs(t *testing.T) {
	a := newMaker(9).dir("", 600)
	sa, sb := newShelf(t, 1, 60_000), newShelf(t, 2, 60_000)
	sb.keys = chunk.NewKeys([32]byte{2})
	for _, name := range []string{"~changed", "~large"} {
		x := &entry{row: plainRow(name)}
		x.extents, x.row.Size = newMaker(4).extents(2000)
		a.entries = append(a.entries, x)
	}
	a.sort()
	b := a.clone()
	i := slices.IndexFunc(b.entries, func(e *entry) bool { return e.row.Name == "~changed" })
	b.entries[i].extents = slices.Clone(b.entries[i].extents)
	last := &b.entries[i].extents[len(b.entries[i].extents)-1]
	if last.ID[0]++; last.Zero {
		*last = catalog.Extent{Len: last.Len, Place: newMaker(1).place(last.Len)}
	}
	ta, tb := sa.tree(a), sb.tree(b)
	ra, rb := ta.Root(), tb.Root()
	if ra.Child.ID == rb.Child.ID {
		t.Fatal("ids do not depend on the key")
	}
	got := diff(t, catalog.Side{Tree: ta, Node: &ra.Node}, catalog.Side{Tree: tb, Node: &rb.Node}, catalog.DiffOptions{})
	if want := []change{{b.entries[i].row.Name, catalog.Modified}}; !slices.Equal(got, want) {
		t.Errorf("Diff = %v; want %v", got, want)
	}
}

func TestDiffStops(t *testing.T) {
	tree := newShelf(t, 1, 1).tree(newMaker(3).dir("", 50))
	root := tree.Root()
	stop := errors.New("enough")
	n := 0
	err := catalog.Diff(t.Context(), catalog.Side{}, catalog.Side{Tree: tree, Node: &root.Node}, catalog.DiffOptions{}, func(catalog.Change) error {
		if n++; n == 10 {
			return stop
		}
		return nil
	})
	if err != stop || n != 10 {
		t.Errorf("Diff = %v after %d changes; want its function's error after 10", err, n)
	}
}

// TestTotalsOfBytesSaturate has more bytes than a uint64 counts.
func TestTotalsOfBytesSaturate(t *testing.T) {
	e := newMaker(1).dir("", 0)
	for i := range 5 {
		x := &entry{row: plainRow(fmt.Sprint(i))}
		x.row.Size, x.extents = 1<<62, []catalog.Extent{{Zero: true, Len: 1 << 62}}
		e.entries = append(e.entries, x)
	}
	tree := newShelf(t, 1, 1).tree(e)
	if got := tree.Root().Below.Bytes; got != math.MaxUint64 {
		t.Errorf("five files of 2^62 bytes are %d", got)
	}
	root := tree.Root()
	if rows, _ := listAll(t, tree.List(&root.Node, "")); len(rows) != 5 {
		t.Errorf("%d entries", len(rows))
	}
}

func firstDifference(got, want []change) string {
	for i := range got {
		if i == len(want) || got[i] != want[i] {
			return fmt.Sprintf("number %d is %v; want %v", i, got[i], want[min(i, len(want)):min(i+1, len(want))])
		}
	}
	return fmt.Sprintf("then want %v", want[len(got):])
}
