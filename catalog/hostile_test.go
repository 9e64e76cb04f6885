package catalog_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"tidemark/catalog"
	"tidemark/chunk"
	"tidemark/pack"
)

// rawPages are pages made by hand, under ids that nobody computed.
type rawPages map[string]*raw

func (r rawPages) Page(_ context.Context, id chunk.ID, _ pack.Place) ([]byte, error) {
	if page, ok := r[string(id[:1])]; ok {
		return page.bytes(), nil
	}
	return nil, fmt.Errorf("no page %v", id)
}

func idOf(c string) string { return strings.Repeat(c, 32) }

// with adds a row to a page, with the place of one piece if there is one.
func (r *raw) with(row string, pieceLen int) *raw {
	r.rows = append(r.rows, row)
	if r.kind == 1 && r.level == 0 {
		r.hints = append(r.hints, someHint)
	}
	if pieceLen == 0 {
		r.places = append(r.places, nil)
		return r
	}
	r.runs, r.blocks = []string{rawRun('1', "host")}, []string{rawBlock(0, 1, 0)}
	r.places = append(r.places, []string{rawPlace(0, 0, pieceLen)})
	return r
}

func dirRow(name string, below [4]int, level byte, id string) string {
	row := rawNode(name, 2, 0) + le16(0)
	for _, n := range below {
		row += le64(n)
	}
	return row + string([]byte{level}) + idOf(id) + le16(0)
}

func branchRow(first, id string, below [4]int) string {
	row := str8(first) + idOf(id)
	for _, n := range below {
		row += le64(n)
	}
	return row
}

// filesPage is a leaf page of empty files.
func filesPage(names ...string) *raw {
	r := &raw{kind: 1}
	for _, name := range names {
		r.with(fileOf(name, ""), 0)
	}
	return r
}

// listPage is a page of extents, each given by its length; zero ones by its
// negative.
func listPage(lens ...int) *raw {
	r := &raw{kind: 2}
	for _, n := range lens {
		if n < 0 {
			r.with("\x00"+le64(-n), 0)
		} else {
			r.with("\x01"+le32(n)+idOf("x"), n)
		}
	}
	return r
}

func rootDir(below [4]int, level byte, id string) *raw {
	return (&raw{kind: 1}).with(dirRow("", below, level, id), 1000)
}

func rootList(size, count int, level byte) *raw {
	return (&raw{kind: 1}).with(rawNode("", 1, 0)+le16(0)+le64(size)+"\x02"+string([]byte{level})+idOf("a")+le64(count)+le16(0), 1000)
}

// TestHostilePages reads trees of which each page is whole by itself, and
// which do not fit together. All must be found out: a reader that trusts them
// would miss a name, or go wrong about a position.
func TestHostilePages(t *testing.T) {
	twoLeaves := func(a, b *raw) rawPages {
		level1 := (&raw{kind: 1, level: 1}).with(branchRow("a", "b", [4]int{2, 2}), 1000).with(branchRow("m", "c", [4]int{2, 2}), 1000)
		return rawPages{"a": level1, "b": a, "c": b}
	}
	files := func(n int) [4]int { return [4]int{n, n} }
	const kib64 = 64 << 10
	for _, tt := range []struct {
		name  string
		root  *raw
		pages rawPages
		want  pack.Reason // "" if all is well
	}{
		{"a directory", rootDir(files(2), 0, "a"), rawPages{"a": filesPage("a", "b")}, ""},
		{"two pages", rootDir(files(4), 1, "a"), twoLeaves(filesPage("a", "b"), filesPage("m", "n")), ""},
		{"fewer names than the node says", rootDir(files(3), 0, "a"), rawPages{"a": filesPage("a", "b")}, pack.ReasonSum},
		{"fewer files than the node says", rootDir([4]int{2, 1}, 0, "a"), rawPages{"a": filesPage("a", "b")}, pack.ReasonSum},
		{"a page of another level", rootDir(files(2), 0, "a"), rawPages{"a": (&raw{kind: 1, level: 1}).with(branchRow("a", "b", files(2)), 1000)}, pack.ReasonKind},
		{"a page that names itself", rootDir(files(2), 1, "a"), rawPages{"a": (&raw{kind: 1, level: 1}).with(branchRow("a", "a", files(2)), 1000)}, pack.ReasonKind},
		{"a directory in itself", rootDir([4]int{1, 0, 1}, 0, "a"), rawPages{"a": (&raw{kind: 1}).with(dirRow("a", [4]int{1, 0, 1}, 0, "a"), 1000)}, pack.ReasonSum},
		{"a list for a directory", rootDir(files(2), 0, "a"), rawPages{"a": listPage(2)}, pack.ReasonKind},
		{"names that belong into the next page", rootDir(files(4), 1, "a"), twoLeaves(filesPage("a", "z"), filesPage("m", "n")), pack.ReasonOrder},
		{"the first name of the next page", rootDir(files(4), 1, "a"), twoLeaves(filesPage("a", "m"), filesPage("m", "n")), pack.ReasonOrder},
		{"a first name that is not the first", rootDir(files(4), 1, "a"), twoLeaves(filesPage("aa", "b"), filesPage("m", "n")), pack.ReasonOrder},
		{"a name that comes before", rootDir(files(4), 1, "a"), twoLeaves(filesPage("a", "b"), filesPage("l", "m")), pack.ReasonOrder},
		{"names that do not ascend", rootDir(files(2), 0, "a"), rawPages{"a": filesPage("b", "a")}, pack.ReasonOrder},
		{"a root in a directory", rootDir(files(1), 0, "a"), rawPages{"a": filesPage("")}, pack.ReasonText},
		{"more than can be counted", rootDir([4]int{-2, 0, 0, 0}, 1, "a"), rawPages{"a": (&raw{kind: 1, level: 1}).
			with(branchRow("a", "b", [4]int{-2}), 1000).with(branchRow("b", "b", [4]int{-2}), 1000)}, pack.ReasonRange},

		{"a list", rootList(9*1000, 9, 0), rawPages{"a": listPage(slices.Repeat([]int{1000}, 9)...)}, ""},
		{"fewer extents than the node says", rootList(9*1000, 10, 0), rawPages{"a": listPage(slices.Repeat([]int{1000}, 9)...)}, pack.ReasonSum},
		{"fewer bytes than the node says", rootList(9*1000+1, 9, 0), rawPages{"a": listPage(slices.Repeat([]int{1000}, 9)...)}, pack.ReasonSum},
		{"a directory for a list", rootList(9000, 9, 0), rawPages{"a": filesPage("a")}, pack.ReasonKind},
		{"a zero extent at any offset", rootList(9*1000+kib64, 10, 0), rawPages{"a": listPage(append(slices.Repeat([]int{1000}, 9), -kib64)...)}, pack.ReasonRange},
		{"zero extents that touch across pages", rootList(11*kib64, 11, 1), rawPages{
			"a": (&raw{kind: 2, level: 1}).with(idOf("b")+le64(10*kib64)+le64(10), 1000).with(idOf("c")+le64(kib64)+le64(1), 1000),
			"b": listPage(append(slices.Repeat([]int{kib64}, 9), -kib64)...), "c": listPage(-kib64),
		}, pack.ReasonOrder},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tree, err := catalog.OpenTree(tt.pages, tt.root.bytes())
			if err != nil {
				t.Fatalf("OpenTree: %v", err)
			}
			err = readAll(t.Context(), tree)
			var de *pack.DamageError
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("reading all: %v", err)
			case tt.want != "" && (!errors.As(err, &de) || de.Reason != tt.want || errors.Is(err, fs.ErrNotExist)):
				t.Errorf("reading all: %v; want reason %q", err, tt.want)
			}
		})
	}
}

// readAll lists everything, reads all extents, and looks for each name and
// rank.
func readAll(ctx context.Context, tree *catalog.Tree) error {
	root := tree.Root()
	var below func(n *catalog.Node) error
	below = func(n *catalog.Node) error {
		if n.Type != catalog.Dir {
			x := tree.Extents(n, 0)
			for {
				if _, _, ok, err := x.Next(ctx); err != nil || !ok {
					return err
				}
			}
		}
		l := tree.List(n, "")
		for {
			r, ok, err := l.Next(ctx)
			if err != nil || !ok {
				return err
			}
			if _, err := tree.Lookup(ctx, n, r.Name); err != nil {
				return err
			}
			if err := below(&r.Node); err != nil {
				return err
			}
		}
	}
	if err := below(&root.Node); err != nil {
		return err
	}
	for rank := range root.Totals().Names {
		if _, err := tree.AtRank(ctx, rank); err != nil {
			return err
		}
	}
	return nil
}
