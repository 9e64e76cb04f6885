package fusefs

import (
	"math/rand/v2"
	"sync"
)

// handles are the open files, or directories, by the numbers that the kernel
// was given. They are a hint, as caches are: a handle that is not here, because
// a program before this one gave it out, is opened again.
type handles[T any] struct {
	mu   sync.Mutex
	next uint64       // begins anywhere, so as not to be one of such a handle; guarded by mu
	open map[uint64]T // guarded by mu
}

func newHandles[T any]() *handles[T] {
	return &handles[T]{next: rand.Uint64(), open: map[uint64]T{}}
}

func (h *handles[T]) add(v T) uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.next++
	h.open[h.next] = v
	return h.next
}

// get returns what a number stands for. If that is none, or not the right one,
// it is opened.
func (h *handles[T]) get(fh uint64, right func(T) bool, open func() (T, error)) (T, error) {
	h.mu.Lock()
	v, ok := h.open[fh]
	h.mu.Unlock()
	if ok && right(v) {
		return v, nil
	}
	v, err := open()
	if err == nil {
		h.mu.Lock()
		h.open[fh] = v
		h.mu.Unlock()
	}
	return v, err
}

func (h *handles[T]) remove(fh uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.open, fh)
}
