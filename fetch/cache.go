package fetch

import (
	"fmt"
	"hash/maphash"
	"math"
	"sync"
	"sync/atomic"

	"github.com/dgraph-io/ristretto/v2"

	"tidemark/chunk"
	"tidemark/keys"
	"tidemark/pack"
)

// A cache keeps what is asked for often. put is a hint: ristretto admits by
// frequency, some time later, and may drop what it is given, and a get just
// after a put may miss. Nothing but speed may depend on it.
//
// All habits of ristretto stop at this file: it bounds what waits to be
// admitted by number only, so the bytes are counted here; and it must not be
// called once it is closed.
type cache struct {
	seed   maphash.Seed
	room   int64        // bytes that may wait to be admitted
	queued atomic.Int64 // bytes that do

	mu sync.RWMutex                   // for reading in calls of c, for writing to end them
	c  *ristretto.Cache[uint64, item] // nil once closed; guarded by mu
}

// An item is what a cache keeps: a *page or a *block of data.
type item interface {
	key() itemKey
	cost() int64 // in bytes, at least minCost and always the same
	enter()      // the cache has it
	exit()       // the cache has it no longer
}

// An itemKey names an item.
type itemKey struct {
	run           keys.RunID
	pack, ordinal uint32
	start         uint32 // of a page in its block, or wholeBlock
}

const (
	// minCost is the least cost of an item, in bytes. What ristretto and the
	// allocator add to a small page is more than the page.
	minCost = 1 << 10

	// maxQueued is how many items may wait to be admitted. It keeps the queue
	// of ristretto, which has room for 32,768, from running full: then every
	// item that was put is weighed, and thereby counted out again.
	maxQueued = 16 << 10

	// itemBytes is what an item is reckoned at, for ten counters of accesses
	// an item, as ristretto advises: pages of 20 KiB outnumber blocks.
	itemBytes = 16 << 10
)

func newCache(most, queue int64) (*cache, error) {
	c := &cache{seed: maphash.MakeSeed(), room: min(queue, maxQueued*minCost)}
	r, err := ristretto.NewCache(&ristretto.Config[uint64, item]{
		NumCounters:            most / itemBytes * 10,
		MaxCost:                most,
		BufferItems:            64,      // what ristretto advises
		TtlTickerDurationInSec: 1 << 20, // nothing expires
		Cost: func(i item) int64 { // asked as the item leaves the queue
			c.queued.Add(-i.cost())
			return i.cost()
		},
		OnExit: func(i item) {
			if i != nil {
				i.exit()
			}
		},
	})
	if err != nil {
		return nil, fmt.Errorf("fetch: making a cache of %d bytes: %w", most, err)
	}
	c.c = r
	return c, nil
}

// get returns the item of a key, or nil. It may just be on its way out: a
// block must be retained before use.
func (c *cache) get(key itemKey) item {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.c == nil {
		return nil
	}
	i, ok := c.c.Get(maphash.Comparable(c.seed, key))
	if !ok || i.key() != key {
		return nil
	}
	return i
}

// put offers an item to the cache. A block must be in use by the caller.
func (c *cache) put(i item) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.c == nil {
		return
	}
	if n := c.queued.Add(i.cost()); n > c.room && n > i.cost() { // one alone always may
		c.queued.Add(-i.cost())
		return
	}
	i.enter()
	if !c.c.Set(maphash.Comparable(c.seed, i.key()), i, 0) {
		c.queued.Add(-i.cost())
		i.exit()
	}
}

// close empties the cache, for good.
func (c *cache) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.c != nil {
		c.c.Close()
		c.c = nil
	}
}

// A page is a page that was checked.
type page struct {
	at     itemKey
	id     chunk.ID
	bytes  []byte // the collector's, not a pool's: readers keep them
	memory *memory
}

func pageKey(at pack.Place) itemKey {
	return itemKey{at.Run, at.Pack, at.Ordinal, at.Start}
}

func (p *page) key() itemKey { return p.at }
func (p *page) cost() int64  { return max(int64(cap(p.bytes)), minCost) }
func (p *page) enter()       { p.memory.add(p.cost()) }
func (p *page) exit()        { p.memory.add(-p.cost()) }

const wholeBlock = math.MaxUint32 // no piece begins there

func blockKey(id blockID) itemKey { return itemKey{id.Run, id.Pack, id.Ordinal, wholeBlock} }

func (b *block) key() itemKey { return blockKey(b.id) }
func (b *block) cost() int64  { return int64(b.size) }
func (b *block) enter()       { b.refs.Add(1) }
func (b *block) exit()        { b.release() }
