package fusefs_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"tidemark/catalog"
	"tidemark/chunk"
	"tidemark/fusefs"
	"tidemark/keys"
	"tidemark/pack"
	"tidemark/store"
)

// A repo is a repository of real packs in memory: it writes trees, and it is
// the catalog.Pages and fusefs.Chunks that read them again, checking each id.
type repo struct {
	t      testing.TB
	secret *keys.Secret
	run    *keys.Run
	keys   chunk.Keys
	mem    *store.Mem

	// before is asked before a chunk is read; nil: nobody is.
	before atomic.Pointer[func(ctx context.Context, id chunk.ID) error]
	chunks atomic.Int64 // that were read
	live   atomic.Int64 // of them, those not released

	builders map[pack.Kind]*pack.Builder
	packs    uint32

	mu      sync.Mutex
	openers map[string]*pack.Opener // guarded by mu
	pages   map[chunk.ID][]byte     // that were read; guarded by mu
}

const testHost = "web1"

func newRepo(t testing.TB) *repo {
	t.Helper()
	secret, err := keys.Generate(rand.Reader, false)
	if err != nil {
		t.Fatal(err)
	}
	run, err := secret.NewRun(rand.Reader, testHost)
	if err != nil {
		t.Fatal(err)
	}
	group, err := secret.Group(secret.Epoch(), testHost)
	if err != nil {
		t.Fatal(err)
	}
	return &repo{
		t: t, secret: secret, run: run, keys: chunk.NewKeys(group.Secret()), mem: store.NewMem(),
		builders: map[pack.Kind]*pack.Builder{}, openers: map[string]*pack.Opener{}, pages: map[chunk.ID][]byte{},
	}
}

// put stores a piece, as a block of its own.
func (r *repo) put(kind pack.Kind, id chunk.ID, b []byte) (pack.Place, error) {
	builder := r.builders[kind]
	if builder != nil && (builder.Size() > 8<<20 || len(builder.Directory()) == pack.MaxBlocks) {
		r.flush(kind)
		builder = nil
	}
	if builder == nil {
		var err error
		builder, err = pack.NewBuilder(r.secret.Names(), r.run, r.secret.Repository, testHost, kind, r.packs, nil)
		if err != nil {
			return pack.Place{}, err
		}
		r.packs++
		r.builders[kind] = builder
	}
	block, err := builder.AddBlock(pack.Raw, b, uint32(len(b)), []pack.Piece{{ID: id, Len: uint32(len(b))}})
	return pack.Place{Block: block, Len: uint32(len(b))}, err
}

// flush stores the pack of a kind that is being built.
func (r *repo) flush(kind pack.Kind) {
	r.t.Helper()
	builder := r.builders[kind]
	if builder == nil {
		return
	}
	delete(r.builders, kind)
	name, object, err := builder.Finish()
	if err != nil {
		r.t.Fatal(err)
	}
	if err := r.mem.Put(r.t.Context(), name, bytes.NewReader(object), int64(len(object))); err != nil {
		r.t.Fatal(err)
	}
}

// sink stores the pages of the pagers.
func (r *repo) sink(d *catalog.Draft) (catalog.Ref, error) {
	b, err := d.Encode(nil)
	if err != nil {
		return catalog.Ref{}, err
	}
	id := r.keys.PageID(d.Identity)
	at, err := r.put(pack.TreePack, id, b)
	return catalog.Ref{ID: id, Level: d.Level, Place: at}, err
}

// An entry is a node of a tree that is to be written: a row whose content, or
// whose children, are filled in when it is.
type entry struct {
	catalog.Row
	content  []byte
	children func(yield func(*entry) bool) // sorted by name
	made     bool                          // the row is complete already
}

// zeroLen is the unit of zero extents; a test's chunks have at most as much.
const zeroLen = 64 << 10

// fill writes what e has below it and completes its row.
func (r *repo) fill(e *entry) error {
	switch {
	case e.Unreadable != "" || e.made:
		return nil
	case e.Type == catalog.File:
		return r.fillFile(e)
	case e.Type != catalog.Dir || e.children == nil:
		return nil
	}
	pager := catalog.NewDirPager(r.sink)
	for child := range e.children {
		if err := r.fill(child); err != nil {
			return err
		}
		if err := pager.Add(&child.Row); err != nil {
			return err
		}
	}
	var err error
	e.Child, e.Below, err = pager.Close()
	return err
}

func (r *repo) fillFile(e *entry) error {
	e.Size = uint64(len(e.content))
	if e.Size <= catalog.MaxInlineLen {
		e.Inline = e.content
		return nil
	}
	var extents []catalog.Extent
	for b := e.content; len(b) > 0; {
		x := catalog.Extent{Len: uint64(min(len(b), zeroLen))}
		piece := b[:x.Len]
		if x.Zero = len(piece) == zeroLen && len(bytes.Trim(piece, "\x00")) == 0; x.Zero {
			if n := len(extents); n > 0 && extents[n-1].Zero {
				extents[n-1].Len += x.Len
				b = b[x.Len:]
				continue
			}
		} else {
			var err error
			x.ID = r.keys.ChunkID(piece)
			if x.Place, err = r.put(pack.DataPack, x.ID, piece); err != nil {
				return err
			}
		}
		extents = append(extents, x)
		b = b[x.Len:]
	}
	if len(extents) <= catalog.MaxNodeExtents {
		e.Extents = extents
		return nil
	}
	pager := catalog.NewListPager(r.sink)
	for i := range extents {
		if err := pager.Add(&extents[i]); err != nil {
			return err
		}
	}
	var err error
	e.List, _, e.ExtentCount, err = pager.Close()
	return err
}

// tree writes the tree of a point and opens it.
func (r *repo) tree(root *entry) *catalog.Tree {
	r.t.Helper()
	if err := r.fill(root); err != nil {
		r.t.Fatal(err)
	}
	page, err := catalog.RootPage(&root.Row, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	r.flush(pack.DataPack)
	r.flush(pack.TreePack)
	tree, err := catalog.OpenTree(r, page)
	if err != nil {
		r.t.Fatal(err)
	}
	return tree
}

// Page implements catalog.Pages. Like any other it keeps what it has read.
func (r *repo) Page(ctx context.Context, id chunk.ID, at pack.Place) ([]byte, error) {
	r.mu.Lock()
	b := r.pages[id]
	r.mu.Unlock()
	if b != nil {
		return b, nil
	}
	b, err := r.piece(ctx, pack.TreePack, at)
	if err != nil {
		return nil, err
	}
	identity := b[12:][:binary.LittleEndian.Uint32(b)]
	if err := r.keys.VerifyPage(id, identity); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pages[id] = b
	return b, nil
}

// Chunk implements fusefs.Chunks.
func (r *repo) Chunk(ctx context.Context, id chunk.ID, at pack.Place) (fusefs.Piece, error) {
	r.chunks.Add(1)
	if before := r.before.Load(); before != nil {
		if err := (*before)(ctx, id); err != nil {
			return nil, err
		}
	}
	b, err := r.piece(ctx, pack.DataPack, at)
	if err != nil {
		return nil, err
	}
	if err := r.keys.VerifyChunk(id, b); err != nil {
		return nil, err
	}
	r.live.Add(1)
	return &piece{b: b, live: &r.live}, nil
}

// A piece makes use after its release visible.
type piece struct {
	b    []byte
	live *atomic.Int64
}

func (p *piece) Bytes() []byte { return p.b }

func (p *piece) Release() {
	for i := range p.b {
		p.b[i] ^= 0xff
	}
	p.b = nil
	p.live.Add(-1)
}

func (r *repo) piece(ctx context.Context, kind pack.Kind, at pack.Place) ([]byte, error) {
	name, err := pack.ObjectName(r.secret.Names(), at.Host, at.Run, at.Pack)
	if err != nil {
		return nil, err
	}
	opener, err := r.opener(ctx, name, kind)
	if err != nil {
		return nil, err
	}
	sealed := make([]byte, at.Sealed)
	if n, err := r.mem.ReadAt(ctx, name, sealed, int64(at.Offset)); err != nil || n < len(sealed) {
		return nil, fmt.Errorf("reading %s: %d bytes, %w", name, n, err)
	}
	plain, err := opener.OpenBlock(nil, at.Block, sealed)
	if err != nil {
		return nil, err
	}
	return plain[at.Start:][:at.Len], nil
}

func (r *repo) opener(ctx context.Context, name string, kind pack.Kind) (*pack.Opener, error) {
	r.mu.Lock()
	opener := r.openers[name]
	r.mu.Unlock()
	if opener != nil {
		return opener, nil
	}
	begin := make([]byte, pack.MaxHeader)
	n, err := r.mem.ReadAt(ctx, name, begin, 0)
	if err != nil {
		return nil, err
	}
	header, err := pack.ParseHeader(begin[:n], r.secret.Repository, name, kind)
	if err != nil {
		return nil, err
	}
	opener, err = header.Opener(pack.KeyRing{Secret: r.secret})
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.openers[name] = opener
	return opener, nil
}
