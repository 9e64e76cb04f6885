package fusefs

import (
	"context"
	"errors"
	"fmt"

	"tidemark/catalog"
)

// errStale means that a kernel id stands for nothing: it was never given out,
// or its point is gone.
var errStale = errors.New("the kernel asks for a node that is not there")

// A point is an open point in one place of the mount.
type point struct {
	pointKey
	number uint64
	tree   *catalog.Tree
}

// openKey returns the point that stands in a place.
func (m *mount) openKey(ctx context.Context, key pointKey) (*point, error) {
	number, err := m.table.number(key.line())
	if err != nil {
		return nil, err
	}
	return m.openNumber(ctx, number, key)
}

// openNumber returns the point with a number, whose key is known.
func (m *mount) openNumber(ctx context.Context, number uint64, key pointKey) (*point, error) {
	if p, ok := m.points.get(number, nil); ok {
		return p, nil
	}
	tree, err := m.world.Open(ctx, key.host, key.object)
	if err != nil {
		return nil, fmt.Errorf("fusefs: opening %s: %w", key.path, err)
	}
	p := &point{key, number, tree}
	m.points.put(number, p)
	return p, nil
}

// A node is what a kernel id stands for: a spot, or an entry of a point's tree.
// It is never changed once it is made.
type node struct {
	id    uint64
	inode uint64 // st_ino

	spot *spot // above the points; else nil

	point *point
	path  string // below the point's root, whose own path is ""
	row   catalog.Row
	alloc uint64 // bytes of the file that are not holes
}

// where returns the node's path from the top.
func (n *node) where() string {
	if n.spot != nil {
		return n.spot.path
	}
	if n.path == "" {
		return n.point.pointKey.path
	}
	return n.point.pointKey.path + "/" + n.path
}

// cost returns about how many bytes n holds.
func (n *node) cost() int64 {
	const (
		fixed     = 1024
		extentLen = 160
		holeLen   = 16
	)
	bytes := fixed + len(n.path) + len(n.row.Target) + len(n.row.Inline) +
		extentLen*len(n.row.Extents) + holeLen*len(n.row.Holes)
	for i := range n.row.Xattrs {
		bytes += extentLen + len(n.row.Xattrs[i].Value)
	}
	return int64(bytes)
}

// find returns the node that a kernel id stands for. It is the one way from
// ids to nodes. The error wraps errStale if there is no such node.
func (m *mount) find(ctx context.Context, id uint64) (*node, error) {
	switch {
	case id == topID:
		s, err := m.top(ctx)
		if err != nil {
			return nil, err
		}
		return m.spotNode(ctx, s)
	case id&aboveBit != 0:
		return m.findSpot(ctx, id)
	}
	return m.findEntry(ctx, id)
}

func (m *mount) findSpot(ctx context.Context, id uint64) (*node, error) {
	line, known := m.table.line(id &^ aboveBit)
	if _, isPoint := parsePointKey(line); !known || isPoint {
		return nil, errStale
	}
	path, _ := parseSpotLine(line)
	s, err := m.follow(ctx, path)
	if notThere(err) {
		return nil, errStale
	}
	if err != nil {
		return nil, err
	}
	n, err := m.spotNode(ctx, s)
	if err == nil && n.id != id {
		return nil, errStale // another link, or something else, has its name now
	}
	return n, err
}

// spotNode returns the node of a spot, which may be the root of a point.
func (m *mount) spotNode(ctx context.Context, s *spot) (*node, error) {
	if s.point != nil {
		p, err := m.openKey(ctx, *s.point)
		if err != nil {
			return nil, err
		}
		return m.entry(ctx, p, "", 0, p.tree.Root())
	}
	if s.path == "" {
		return &node{id: topID, inode: topID, spot: s}, nil
	}
	line := s.line()
	number, err := m.table.number(line)
	if err != nil {
		return nil, err
	}
	return &node{id: aboveBit | number, inode: inodeAbove(line), spot: s}, nil
}

func (m *mount) findEntry(ctx context.Context, id uint64) (*node, error) {
	if n, ok := m.nodes.get(id, nil); ok {
		return n, nil
	}
	number, rank := id>>rankBits, id&maxRank
	line, _ := m.table.line(number)
	key, isPoint := parsePointKey(line)
	if !isPoint {
		return nil, errStale
	}
	p, err := m.openNumber(ctx, number, key)
	if errors.Is(err, ErrNotShown) {
		return nil, errStale
	}
	if err != nil {
		return nil, err
	}
	if rank == 0 {
		return m.entry(ctx, p, "", 0, p.tree.Root())
	}
	nodes, err := p.tree.AtRank(ctx, rank)
	if errors.Is(err, catalog.ErrNoRank) {
		return nil, errStale
	}
	if err != nil {
		return nil, fmt.Errorf("fusefs: %s, entry %d: %w", key.path, rank, err)
	}
	return m.entryIn(ctx, p, nodes[:len(nodes)-1], nodes[len(nodes)-1].Name, rank)
}

// readBehind is how many entries behind one that was asked for by its id are
// found with it: who asks by ids has listed the directory, and goes over all
// it holds in the same order, with one request or more for each.
const readBehind = 32

// entryIn returns the entry called name, of a rank, in the last of the
// directories above, which begin with the root.
func (m *mount) entryIn(ctx context.Context, p *point, above []catalog.Node, name string, rank uint64) (*node, error) {
	var path string
	for i := range above {
		path = join(path, above[i].Name) // the root's name is empty
	}
	dir := &above[len(above)-1]
	_, below, err := p.tree.LookupRank(ctx, dir, 0, name)
	if err != nil {
		return nil, err
	}
	list := p.tree.ListAt(dir, below)
	row, _, err := list.Next(ctx)
	if err != nil {
		return nil, err
	}
	n, err := m.entry(ctx, p, join(path, name), rank, row)
	if err != nil {
		return nil, err
	}
	for range readBehind {
		row, ok, err := list.Next(ctx)
		if err != nil || !ok {
			break // it was not asked for
		}
		if !countsZeros(&row) {
			m.entry(ctx, p, join(path, row.Name), rank-below+list.Rank(), row)
		}
	}
	return n, nil
}

// childOf returns the entry of dir, a directory of a point, that has a name.
func (m *mount) childOf(ctx context.Context, dir *node, name string) (*node, error) {
	row, rank, err := readRow(ctx, dir.point.tree, &dir.row.Node, name)
	if err != nil {
		return nil, err
	}
	return m.entry(ctx, dir.point, join(dir.path, name), dir.id&maxRank+rank, row)
}

// readRow returns an entry of dir with its hints, and its rank less that of
// dir. Its error wraps fs.ErrNotExist if there is none, and never otherwise.
func readRow(ctx context.Context, t *catalog.Tree, dir *catalog.Node, name string) (catalog.Row, uint64, error) {
	_, rank, err := t.LookupRank(ctx, dir, 0, name)
	if err != nil {
		return catalog.Row{}, 0, err
	}
	row, _, err := t.ListAt(dir, rank).Next(ctx)
	return row, rank, err
}

// entry makes the node of an entry, and keeps it for who asks next.
func (m *mount) entry(ctx context.Context, p *point, path string, rank uint64, row catalog.Row) (*node, error) {
	id, err := pointID(p.number, rank)
	if err != nil {
		return nil, err
	}
	if n, ok := m.nodes.get(id, nil); ok {
		return n, nil
	}
	alloc, err := allocated(ctx, p.tree, &row)
	if err != nil {
		return nil, err
	}
	n := &node{id: id, inode: m.inode(p, path, &row.Node), point: p, path: path, row: row, alloc: alloc}
	m.nodes.put(id, n)
	return n, nil
}
