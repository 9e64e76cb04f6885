package fetch

import (
	"math/bits"
	"slices"
	"sync"
	"sync/atomic"
)

// The parts of Config.MemoryBytes that each use may take. A block that is in
// several uses counts in each, but is there once.
const (
	cachePart  = 8 // what the shared cache has admitted
	heldPart   = 8 // what Pieces hold before the Fetcher is crowded
	flightPart = 8 // blocks being fetched, sealed and plain
	recentPart = 4 // blocks decoded last
	idlePart   = 2 // buffers waiting for use
	queuePart  = 1 // what waits to be admitted by the shared cache
	movedPart  = 1 // where pieces went

	allParts = 32
)

// This fails to compile if the parts are more than the whole.
const _ = uint(allParts - cachePart - heldPart - flightPart - recentPart - idlePart - queuePart - movedPart)

// portion returns so many parts of a memory of total bytes.
func portion(total, parts int64) int64 { return total / allParts * parts }

// A memory counts bytes.
type memory struct{ now, peak atomic.Int64 }

// add counts n bytes more, or fewer.
func (m *memory) add(n int64) {
	now := m.now.Add(n)
	for peak := m.peak.Load(); now > peak; peak = m.peak.Load() {
		if m.peak.CompareAndSwap(peak, now) {
			return
		}
	}
}

// A pool hands out buffers, and keeps those that came back last for the next
// who wants one of their length. Left to the garbage collector, evicted blocks
// made the heap three times as large as the cache.
type pool struct {
	max    int64 // bytes that may be idle
	memory *memory
	freed  func(buf []byte) // for tests: told of each buffer that comes back

	mu     sync.Mutex
	idle   [][]byte // the last to come back last; guarded by mu
	bytes  int64    // of idle; guarded by mu
	closed bool     // guarded by mu
}

// maxIdle bounds how many buffers a search looks at.
const maxIdle = 64

func newPool(most int64, m *memory) *pool { return &pool{max: most, memory: m} }

// get returns a buffer of length n, whose content is arbitrary.
func (p *pool) get(n int) []byte {
	size := bufferLen(n)
	if buf := p.reuse(size); buf != nil {
		return buf[:n]
	}
	p.memory.add(int64(size))
	return make([]byte, n, size)
}

func (p *pool) reuse(size int) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, buf := range slices.Backward(p.idle) {
		if cap(buf) == size {
			p.idle = slices.Delete(p.idle, i, i+1)
			p.bytes -= int64(size)
			return buf
		}
	}
	return nil
}

// put takes a buffer back that get returned. Nobody may use it any more.
func (p *pool) put(buf []byte) {
	if p.freed != nil {
		p.freed(buf)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.idle = append(p.idle, buf)
	p.bytes += int64(cap(buf))
	for len(p.idle) > maxIdle || p.bytes > p.max || p.closed && len(p.idle) > 0 {
		size := int64(cap(p.idle[0]))
		p.idle = slices.Delete(p.idle, 0, 1)
		p.bytes -= size
		p.memory.add(-size)
	}
}

// close gives all idle buffers to the garbage collector, and later those that
// come back.
func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.idle = nil
	p.memory.add(-p.bytes)
	p.bytes = 0
}

const (
	// decoderSlack is how much more room than for a block's bytes lets zstd's
	// decoder copy in whole steps, in bytes.
	decoderSlack = 64

	minBuffer = 4 << 10 // bytes
)

// bufferLen returns the size of a buffer for n bytes: there are four sizes
// between one power of two and the next, so that buffers can be used again,
// and at most a quarter of one is wasted.
func bufferLen(n int) int {
	n = max(n+decoderSlack, minBuffer)
	step := 1 << (bits.Len(uint(n-1)) - 3)
	return (n + step - 1) / step * step
}
