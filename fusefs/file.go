package fusefs

import (
	"context"
	"fmt"
	"sort"
	"sync/atomic"

	"github.com/hanwen/go-fuse/v2/fuse"

	"tidemark/catalog"
)

// windowLen is how many extents of a large file an open file knows ahead: about
// half a page of its list. At the usual chunks that is 16 MiB of content.
const windowLen = 64

// An openFile is an open regular file. What it is reading is kept in
// mount.reading, by node and offset, as long as there is room.
type openFile struct {
	node   *node
	text   []byte                 // of a short file; of README.txt, as it was when it was opened
	window atomic.Pointer[window] // of another: extents around the last read; nil before it
}

// A window is some extents of a file, one after the other. It does not change.
type window []located

// A located is an extent and its offset in the file.
type located struct {
	off uint64
	catalog.Extent
}

// Open opens a file.
func (m *mount) Open(cancel <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	ctx := interruptible(cancel)
	f, err := m.openFile(ctx, in.NodeId)
	if err == nil && in.Flags&fuse.O_ANYWRITE != 0 {
		err = errReadOnly
	}
	if err != nil {
		return m.status(ctx, "open", f.where(), err)
	}
	out.Fh = m.files.add(f)
	out.OpenFlags = fuse.FOPEN_KEEP_CACHE | fuse.FOPEN_NOFLUSH
	if f.node.spot != nil {
		out.OpenFlags = fuse.FOPEN_DIRECT_IO | fuse.FOPEN_NOFLUSH // its text may change
	}
	return fuse.OK
}

// openFile opens the file with a kernel id. With an error it returns what it
// knows.
func (m *mount) openFile(ctx context.Context, id uint64) (*openFile, error) {
	n, err := m.find(ctx, id)
	if err != nil {
		return &openFile{}, err
	}
	f := &openFile{node: n}
	switch {
	case n.spot != nil && n.spot.dir != nil, n.spot == nil && n.row.Type == catalog.Dir:
		err = errIsDir
	case n.spot != nil:
		f.text = n.spot.text
	case n.row.Type != catalog.File:
		err = fmt.Errorf("fusefs: a %v is not read through here", n.row.Type)
	case n.row.Unreadable != "":
		err = unreadable(n)
	default:
		f.text = n.row.Inline
	}
	return f, err
}

func (f *openFile) where() string {
	if f.node == nil {
		return ""
	}
	return f.node.where()
}

// size returns the length of the file.
func (f *openFile) size() uint64 {
	if f.node.spot != nil {
		return uint64(len(f.text))
	}
	return f.node.row.Size
}

// Release closes a file.
func (m *mount) Release(cancel <-chan struct{}, in *fuse.ReleaseIn) { m.files.remove(in.Fh) }

// file returns an open file.
func (m *mount) file(ctx context.Context, fh, id uint64) (*openFile, error) {
	return m.files.get(fh, func(f *openFile) bool { return f.node.id == id },
		func() (*openFile, error) { return m.openFile(ctx, id) })
}

// Read reads a part of a file: all of it, or to the end of the file, or the
// whole request fails.
func (m *mount) Read(cancel <-chan struct{}, in *fuse.ReadIn, dest []byte) (fuse.ReadResult, fuse.Status) {
	ctx := interruptible(cancel)
	f, err := m.file(ctx, in.Fh, in.NodeId)
	if err != nil {
		return nil, m.status(ctx, "read", "", err)
	}
	dest = dest[:min(uint64(len(dest)), f.size()-min(in.Offset, f.size()))]
	if f.node.spot != nil || f.size() <= catalog.MaxInlineLen {
		if len(dest) > 0 {
			copy(dest, f.text[in.Offset:])
		}
		return fuse.ReadResultData(dest), fuse.OK
	}
	for n := 0; n < len(dest); {
		k, err := m.readExtent(ctx, f, dest[n:], in.Offset+uint64(n))
		if err != nil {
			return nil, m.status(ctx, "read", f.where(), err)
		}
		n += k
	}
	return fuse.ReadResultData(dest), fuse.OK
}

// readExtent fills dest from off on, as far as the extent goes that holds off,
// and returns how much that was.
func (m *mount) readExtent(ctx context.Context, f *openFile, dest []byte, off uint64) (int, error) {
	x, err := f.extentAt(ctx, off)
	if err != nil {
		return 0, err
	}
	from := off - x.off
	dest = dest[:min(uint64(len(dest)), x.Len-from)]
	if x.Zero {
		clear(dest)
		return len(dest), nil
	}
	p, err := m.piece(ctx, f, x, uint64(len(dest)) < x.Len)
	if err != nil {
		return 0, err
	}
	defer p.letGo()
	return copy(dest, p.Bytes()[from:]), nil
}

// extentAt returns the extent that holds off, which is in the file. It is a
// page or two that are read for it, unless the last read was near.
func (f *openFile) extentAt(ctx context.Context, off uint64) (located, error) {
	if w := f.window.Load(); w != nil {
		if x, ok := w.at(off); ok {
			return x, nil
		}
	}
	w := make(window, 0, windowLen)
	extents := f.node.point.tree.Extents(&f.node.row.Node, off)
	for len(w) < windowLen {
		at, x, ok, err := extents.Next(ctx)
		if err != nil && len(w) == 0 {
			return located{}, err
		}
		if err != nil || !ok {
			break // what is there will do; who reads on will learn the rest
		}
		w = append(w, located{at, x})
	}
	x, ok := w.at(off)
	if !ok {
		return located{}, fmt.Errorf("fusefs: %s: no extent holds byte %d of %d", f.where(), off, f.size())
	}
	f.window.Store(&w)
	return x, nil
}

// at returns the extent that holds off, if it is in w.
func (w window) at(off uint64) (located, bool) {
	i := sort.Search(len(w), func(i int) bool { return w[i].off > off }) - 1
	if i < 0 || off-w[i].off >= w[i].Len {
		return located{}, false
	}
	return w[i], true
}

// A pieceKey names a chunk that is being read: by the file and the offset.
type pieceKey struct{ node, off uint64 }

// A heldPiece is a chunk that some read, or mount.reading, has a hold on.
type heldPiece struct {
	Piece
	holds atomic.Int64
}

func (p *heldPiece) hold() { p.holds.Add(1) }

// letGo ends a hold. After the last one the piece is released.
func (p *heldPiece) letGo() {
	if p.holds.Add(-1) == 0 {
		p.Release()
	}
}

func (p *heldPiece) cost() int64 { return int64(len(p.Bytes())) }

// piece returns the chunk of an extent. The caller lets it go. It is kept for
// the next read if that is likely to want it.
func (m *mount) piece(ctx context.Context, f *openFile, x located, keep bool) (*heldPiece, error) {
	key := pieceKey{f.node.id, x.off}
	if p, ok := m.reading.get(key, (*heldPiece).hold); ok {
		return p, nil
	}
	got, err := m.chunk(ctx, x.ID, x.Place, x.Len)
	if err != nil {
		return nil, err
	}
	p := &heldPiece{Piece: got}
	p.hold()
	if keep {
		p.hold()
		m.reading.put(key, p)
	}
	return p, nil
}
