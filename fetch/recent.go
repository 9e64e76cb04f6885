package fetch

import (
	"slices"
	"sync"

	"tidemark/pack"
)

// recent keeps the blocks that were used last, for sure: whoever walks over
// the pages of a tree, or copies small files, wants the same block again at
// once. Blocks of trees and of data do not drive each other out.
//
// Blocks of trees are kept nowhere else: the shared cache has their pages.
// With the blocks there too, walks fetched as many, and lookups of names in
// a tree larger than the cache up to a half more.
type recent struct{ tree, data *ring }

func newRecent(most int64) recent {
	return recent{&ring{max: most / 2}, &ring{max: most / 2}}
}

func (r recent) of(kind pack.Kind) *ring {
	if kind == pack.TreePack {
		return r.tree
	}
	return r.data
}

// maxRecent bounds how many blocks a search looks at. The default share has
// room for 25 of 256 KiB.
const maxRecent = 32

// A ring is a short list of blocks, the last used first. It takes part in
// using each.
type ring struct {
	max int64 // bytes

	mu     sync.Mutex
	blocks []*block // guarded by mu
	bytes  int64    // of blocks; guarded by mu
	closed bool     // guarded by mu
}

// get returns a block, which the caller must release, or nil.
func (r *ring) get(id blockID) *block {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, b := range r.blocks {
		if b.id.is(id) {
			copy(r.blocks[1:], r.blocks[:i])
			r.blocks[0] = b
			b.refs.Add(1)
			return b
		}
	}
	return nil
}

// put keeps b, which must be in use by the caller and not in the ring. (If two
// put it at once it is there twice, which does no harm.) What is larger than
// the whole share is not kept.
func (r *ring) put(b *block) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if int64(b.size) > r.max || r.closed {
		return
	}
	b.refs.Add(1)
	r.blocks = slices.Insert(r.blocks, 0, b)
	r.bytes += int64(b.size)
	for len(r.blocks) > maxRecent || r.bytes > r.max {
		r.drop()
	}
}

// drop releases the block that was not used for longest. It runs under mu.
func (r *ring) drop() {
	i := len(r.blocks) - 1
	b := r.blocks[i]
	r.blocks = slices.Delete(r.blocks, i, i+1)
	r.bytes -= int64(b.size)
	b.release()
}

// close releases all blocks, and keeps none from then on.
func (r *ring) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	for len(r.blocks) > 0 {
		r.drop()
	}
}
