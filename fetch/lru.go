package fetch

import (
	"container/list"
	"sync"
)

// An lru keeps the values that were used last, as many as their costs allow.
// It exists beside the shared cache for what must not be dropped at once. What
// costs more than all may is kept alone.
type lru[K comparable, V any] struct {
	max  int64
	cost func(V) int64

	mu    sync.Mutex
	order list.List           // of entry, the last used first; guarded by mu
	byKey map[K]*list.Element // guarded by mu
	total int64               // of costs; guarded by mu
}

type entry[K comparable, V any] struct {
	key   K
	value V
}

// newLRU returns an lru of values that cost so much together.
func newLRU[K comparable, V any](most int64, cost func(V) int64) *lru[K, V] {
	return &lru[K, V]{max: most, cost: cost, byKey: make(map[K]*list.Element)}
}

// newCountedLRU returns an lru of so many values.
func newCountedLRU[K comparable, V any](most int64) *lru[K, V] {
	return newLRU[K](most, func(V) int64 { return 1 })
}

func (l *lru[K, V]) get(key K) (v V, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at, ok := l.byKey[key]
	if !ok {
		return v, false
	}
	l.order.MoveToFront(at)
	return at.Value.(entry[K, V]).value, true
}

// put keeps v under key. A value that is there already stays.
func (l *lru[K, V]) put(key K, v V) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if at, ok := l.byKey[key]; ok {
		l.order.MoveToFront(at)
		return
	}
	l.byKey[key] = l.order.PushFront(entry[K, V]{key, v})
	l.total += l.cost(v)
	for l.total > l.max && l.order.Len() > 1 {
		last := l.order.Remove(l.order.Back()).(entry[K, V])
		delete(l.byKey, last.key)
		l.total -= l.cost(last.value)
	}
}

// size returns the costs of all values together.
func (l *lru[K, V]) size() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.total
}
