package catalog_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sort"
	"sync/atomic"
	"testing"

	"tidemark/catalog"
	"tidemark/chunk"
	"tidemark/keys"
	"tidemark/pack"
)

// A shelf keeps pages in blocks, as a capture does, and gives them out as a
// fetcher does: by place, checked against the id. Blocks are known only by
// their ordinal until they are full.
type shelf struct {
	t        testing.TB
	keys     chunk.Keys
	run      keys.RunID
	blockLen int // a block that has more is closed

	plain  map[uint32][]byte     // by ordinal
	sealed map[uint32]pack.Block // the closed ones
	pages  map[uint32][][2]int   // where the pages of the open block are
	open   uint32                // ordinal of the open block
	stored []chunk.ID            // in order
	reads  atomic.Int64

	parent *shelf                    // whose pages are used again, or nil
	places map[chunk.ID][]pack.Place // of the pages that are stored, once the blocks are closed
}

func newShelf(t testing.TB, seed byte, blockLen int) *shelf {
	return &shelf{
		t: t, keys: chunk.NewKeys([32]byte{1}), run: keys.RunID{seed, 'r', 'u', 'n'}, blockLen: blockLen,
		places: map[chunk.ID][]pack.Place{}, plain: map[uint32][]byte{}, sealed: map[uint32]pack.Block{}, pages: map[uint32][][2]int{},
	}
}

func (s *shelf) at() pack.Block {
	return pack.Block{Host: "host", Run: s.run, Pack: 7, Ordinal: s.open}
}

// sink stores a page.
func (s *shelf) sink(d *catalog.Draft) (catalog.Ref, error) {
	id := s.keys.PageID(d.Identity)
	for _, at := range s.reusable(id) {
		at.Block = s.parent.sealed[at.Ordinal]
		old, err := catalog.ParsePage(s.parent.plain[at.Ordinal][at.Start:][:at.Len], at.Block)
		if err != nil {
			return catalog.Ref{}, err
		}
		if d.Same(old) {
			return catalog.Ref{ID: id, Place: at}, nil
		}
	}
	page, err := d.Encode(func(b pack.Block) (pack.Block, bool, error) {
		return b, b.Run == s.run && b.Pack == 7 && b.Ordinal == s.open, nil
	})
	if err != nil {
		return catalog.Ref{}, err
	}
	start := len(s.plain[s.open])
	s.plain[s.open] = append(s.plain[s.open], page...)
	s.pages[s.open] = append(s.pages[s.open], [2]int{start, start + len(page)})
	s.stored = append(s.stored, id)
	ref := catalog.Ref{ID: id, Place: pack.Place{Block: s.at(), Start: uint32(start), Len: uint32(len(page))}}
	s.places[id] = append(s.places[id], ref.Place)
	if len(s.plain[s.open]) > s.blockLen {
		s.close()
	}
	return ref, nil
}

// reusable returns where the parent has pages of an id.
func (s *shelf) reusable(id chunk.ID) []pack.Place {
	if s.parent == nil {
		return nil
	}
	return s.parent.places[id]
}

// close seals the open block and completes the pages in it.
func (s *shelf) close() {
	plain := s.plain[s.open]
	if len(plain) == 0 {
		return
	}
	b := s.at()
	b.Offset, b.Plain, b.Sealed = uint64(s.open)<<20, uint32(len(plain)), uint32(len(plain))+16
	s.sealed[s.open] = b
	s.open++
	for _, r := range s.pages[b.Ordinal] {
		err := catalog.FillBlocks(plain[r[0]:r[1]], func(b pack.Block) (pack.Block, error) {
			full, _, err := s.resolve(b)
			return full, err
		})
		if err != nil {
			s.t.Fatalf("FillBlocks: %v", err)
		}
	}
}

// resolve completes a block of this shelf.
func (s *shelf) resolve(b pack.Block) (pack.Block, bool, error) {
	if b.Run != s.run || b.Pack != 7 {
		return b, false, nil
	}
	if b.Ordinal == s.open {
		s.close()
	}
	full, ok := s.sealed[b.Ordinal]
	if !ok {
		return b, false, fmt.Errorf("no block %d", b.Ordinal)
	}
	return full, false, nil
}

// Page is catalog.Pages.
func (s *shelf) Page(ctx context.Context, id chunk.ID, at pack.Place) ([]byte, error) {
	s.reads.Add(1)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if at.Block != s.sealed[at.Ordinal] {
		return nil, fmt.Errorf("page %v: no block %+v", id, at.Block)
	}
	page := s.plain[at.Ordinal][at.Start:][:at.Len:at.Len]
	p, err := catalog.ParsePage(page, at.Block)
	if err != nil {
		return nil, err
	}
	return page, s.keys.VerifyPage(id, p.Identity())
}

// A both is the Pages of two shelves.
type both struct{ a, b *shelf }

func (p both) Page(ctx context.Context, id chunk.ID, at pack.Place) ([]byte, error) {
	if at.Run == p.a.run {
		return p.a.Page(ctx, id, at)
	}
	return p.b.Page(ctx, id, at)
}

// An entry is a node of a tree in memory, to be compared with what was stored.
type entry struct {
	row     catalog.Row
	extents []catalog.Extent // all of a file's
	entries []*entry         // of a directory, in order
}

// store stores e and what is below it, and completes its row.
func (s *shelf) store(e *entry) {
	switch {
	case e.row.Type == catalog.Dir && e.row.Unreadable == "":
		pager := catalog.NewDirPager(s.sink)
		for _, x := range e.entries {
			s.store(x)
			if err := pager.Add(&x.row); err != nil {
				s.t.Fatalf("Add(%q): %v", x.row.Name, err)
			}
		}
		var err error
		if e.row.Child, e.row.Below, err = pager.Close(); err != nil {
			s.t.Fatalf("Close: %v", err)
		}
	case len(e.extents) > catalog.MaxNodeExtents:
		pager := catalog.NewListPager(s.sink)
		for i := range e.extents {
			if err := pager.Add(&e.extents[i]); err != nil {
				s.t.Fatalf("Add(%+v): %v", e.extents[i], err)
			}
		}
		root, n, count, err := pager.Close()
		if err != nil || n != e.row.Size || count != uint64(len(e.extents)) {
			s.t.Fatalf("Close: %d bytes, %d extents, %v; want %d, %d", n, count, err, e.row.Size, len(e.extents))
		}
		e.row.List, e.row.ExtentCount = root, count
	default:
		e.row.Extents = e.extents
	}
}

// tree stores e as the root of a tree and opens that.
func (s *shelf) tree(e *entry) *catalog.Tree {
	return s.treeIn(e, s)
}

func (s *shelf) treeIn(e *entry, pages catalog.Pages) *catalog.Tree {
	s.t.Helper()
	s.store(e)
	s.close()
	e.all("", func(_ string, x *entry) {
		for _, ref := range []*catalog.Ref{&x.row.Child, &x.row.List} {
			if full, ok := s.sealed[ref.Place.Ordinal]; ok && ref.Place.Run == s.run {
				ref.Place.Block = full
			}
		}
	})
	root, err := catalog.RootPage(&e.row, s.resolve)
	if err != nil {
		s.t.Fatalf("RootPage: %v", err)
	}
	if err := catalog.CheckPage(root, pack.Block{}); err != nil {
		s.t.Fatalf("CheckPage of the root: %v", err)
	}
	tree, err := catalog.OpenTree(pages, root)
	if err != nil {
		s.t.Fatalf("OpenTree: %v", err)
	}
	return tree
}

// A maker makes random values of every kind.
type maker struct {
	*rand.Rand
	blocks []pack.Block // for the places of chunks
}

func newMaker(seed uint64) *maker {
	m := &maker{Rand: rand.New(rand.NewPCG(seed, 2))}
	for i := range 9 {
		plain := uint32(1 + m.IntN(pack.MaxBlock))
		b := pack.Block{
			Host: fmt.Sprintf("host%d", i%2), Run: keys.RunID{byte(i % 2), byte(i % 3)}, Pack: uint32(i % 4), Ordinal: uint32(i),
			Offset: uint64(i) << 24, Plain: pack.MaxBlock, Sealed: pack.MaxBlock + 16,
		}
		b.Run[5] = b.Host[4]
		if i%2 == 0 {
			b.Codec, b.Sealed = pack.Zstd, 17+plain%(1<<20)
		}
		m.blocks = append(m.blocks, b)
	}
	return m
}

func (m *maker) id() (id chunk.ID) {
	for i := range id {
		id[i] = byte(m.Uint32())
	}
	return id
}

func (m *maker) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(m.Uint32())
	}
	return b
}

func (m *maker) place(length uint64) pack.Place {
	b := m.blocks[m.IntN(len(m.blocks))]
	return pack.Place{Block: b, Start: uint32(m.Uint64N(uint64(b.Plain) - length + 1)), Len: uint32(length)}
}

func (m *maker) time() catalog.Time {
	return catalog.Time{Sec: m.Int64() - 1<<62, Nsec: m.Uint32N(1e9)}
}

// name returns a name: mostly of letters, sometimes of any bytes.
func (m *maker) name() string {
	b := m.bytes(1 + m.IntN(12))
	if m.IntN(20) == 0 {
		b = m.bytes(catalog.MaxNameLen)
	}
	odd := m.IntN(5) == 0
	for i, c := range b {
		if !odd {
			b[i] = 'a' + c%26
		} else if c == 0 || c == '/' {
			b[i] = '\n'
		}
	}
	if s := string(b); s != "." && s != ".." {
		return s
	}
	return "..."
}

// extents returns n extents, a good many of them zero.
func (m *maker) extents(n int) (list []catalog.Extent, size uint64) {
	for len(list) < n {
		zero := size%(64<<10) == 0 && m.IntN(3) == 0 && (len(list) == 0 || !list[len(list)-1].Zero)
		x := catalog.Extent{Zero: zero, Len: (1 + m.Uint64N(9)) << 16}
		switch {
		case zero:
		case size%(64<<10) != 0:
			x.Len = 64<<10 - size%(64<<10)
		case m.IntN(4) == 0:
			x.Len = 1 + m.Uint64N(1<<20)
		}
		if !zero {
			x.ID, x.Place = m.id(), m.place(x.Len)
		}
		size += x.Len
		list = append(list, x)
	}
	return list, size
}

// entry returns a node of any type but a directory.
func (m *maker) entry(name string) *entry {
	e := &entry{}
	n := &e.row.Node
	n.Name, n.Type = name, catalog.Type(1+m.IntN(7))
	if n.Type == catalog.Dir || m.IntN(3) > 0 {
		n.Type = catalog.File
	}
	m.metadata(n)
	switch n.Type {
	case catalog.File:
		m.content(e)
	case catalog.Symlink:
		n.Target = m.name()
	case catalog.CharDevice, catalog.BlockDevice:
		n.Major, n.Minor = m.Uint32(), m.Uint32()
	}
	if m.IntN(30) == 0 {
		n.Unreadable = "input/output error"
		n.Inline, n.Target, n.Major, n.Minor, e.extents = nil, "", 0, 0, nil
	}
	m.hints(&e.row)
	return e
}

func (m *maker) metadata(n *catalog.Node) {
	n.Mode, n.UID, n.GID = uint16(m.IntN(1<<12)), uint32(m.IntN(3)), m.Uint32()
	n.Owner, n.Group = []string{"root", "", "ada"}[n.UID], "staff"
	n.Mtime = m.time()
	if n.HasBtime = m.IntN(2) == 0; n.HasBtime {
		n.Btime = m.time()
	}
	if n.Type != catalog.Dir && m.IntN(5) == 0 {
		n.Link, n.Links = catalog.LinkGroup(m.bytes(16)), 1+m.Uint32N(9)
	}
	if m.IntN(5) == 0 {
		n.Xflags, n.Project = m.Uint32N(2), 1+m.Uint32N(9)
	}
	for m.IntN(3) == 0 {
		x := catalog.Xattr{Name: "user." + m.name()[:1], Value: m.bytes(m.IntN(30))}
		if m.IntN(3) == 0 {
			x.Value, x.Len = nil, catalog.MaxInlineXattr+1+m.Uint32N(9000)
			x.ID, x.Place = m.id(), m.place(uint64(x.Len))
		}
		n.Xattrs = append(n.Xattrs, x)
	}
	sort.Slice(n.Xattrs, func(i, j int) bool { return n.Xattrs[i].Name < n.Xattrs[j].Name })
	for i := 1; i < len(n.Xattrs); i++ {
		if n.Xattrs[i].Name == n.Xattrs[i-1].Name {
			n.Xattrs = n.Xattrs[:i]
		}
	}
	if m.IntN(9) == 0 {
		n.Ext = []pack.Ext{{ID: 2, Value: m.bytes(3)}, {ID: 4, Value: []byte{}}}
	}
}

func (m *maker) content(e *entry) {
	switch m.IntN(4) {
	case 0, 1:
		e.row.Size = m.Uint64N(60)
		if e.row.Size > 0 {
			e.row.Inline = m.bytes(int(e.row.Size))
		}
	case 2:
		e.extents, e.row.Size = m.extents(1 + m.IntN(catalog.MaxNodeExtents))
		if e.row.Size <= catalog.MaxInlineLen {
			e.extents = nil
			e.row.Inline = m.bytes(int(e.row.Size))
		}
	default:
		e.extents, e.row.Size = m.extents(9 + m.IntN(40))
	}
}

func (m *maker) hints(r *catalog.Row) {
	r.Ctime, r.Ino, r.FS = m.time(), m.Uint64(), m.Uint32N(2)*m.Uint32()
	if r.Type != catalog.File {
		return
	}
	if r.Alloc = catalog.Alloc(m.IntN(2)); r.Size > 100 && m.IntN(2) == 0 {
		r.Alloc, r.Holes = catalog.HolesListed, []catalog.Range{{Off: 0, Len: 10}, {Off: 12, Len: r.Size - 12}}
	}
}

// dir returns a directory of about n entries in all, with directories in it.
func (m *maker) dir(name string, n int) *entry {
	e := &entry{}
	e.row.Name, e.row.Type = name, catalog.Dir
	m.metadata(&e.row.Node)
	m.hints(&e.row)
	names := map[string]bool{}
	for n > 0 {
		name := m.name()
		if names[name] {
			continue
		}
		names[name] = true
		n--
		if m.IntN(12) == 0 {
			below := m.IntN(n + 1)
			e.entries = append(e.entries, m.dir(name, below))
			n -= below
		} else {
			e.entries = append(e.entries, m.entry(name))
		}
	}
	e.sort()
	return e
}

func (e *entry) sort() {
	sort.Slice(e.entries, func(i, j int) bool { return e.entries[i].row.Name < e.entries[j].row.Name })
}

// clone returns a copy of e that may be changed.
func (e *entry) clone() *entry {
	c := *e
	c.entries = make([]*entry, len(e.entries))
	for i, x := range e.entries {
		c.entries[i] = x.clone()
	}
	return &c
}

// all calls fn with e and everything below it, in preorder, with their paths.
func (e *entry) all(path string, fn func(path string, e *entry)) {
	fn(path, e)
	for _, x := range e.entries {
		p := x.row.Name
		if path != "" {
			p = path + "/" + p
		}
		x.all(p, fn)
	}
}

// collected is the pages that a pager made: their ids and numbers of rows, by
// level.
type collected struct {
	ids  map[uint8][]chunk.ID
	rows map[uint8][]int
	keys chunk.Keys
	n    uint32
}

func newCollected() *collected {
	return &collected{ids: map[uint8][]chunk.ID{}, rows: map[uint8][]int{}, keys: chunk.NewKeys([32]byte{1})}
}

func (c *collected) sink(d *catalog.Draft) (catalog.Ref, error) {
	id := c.keys.PageID(d.Identity)
	c.ids[d.Level] = append(c.ids[d.Level], id)
	c.rows[d.Level] = append(c.rows[d.Level], int(binary.LittleEndian.Uint32(d.Identity[4:])))
	c.n++
	return catalog.Ref{ID: id, Place: pack.Place{Block: pack.Block{Host: "h", Pack: 1, Ordinal: c.n}, Len: 1}}, nil
}
