package fusefs

import (
	"container/list"
	"sync"
)

// An lru keeps what was used last, up to a budget. It is a hint: nothing but
// speed rests on what is in it.
type lru[K comparable, V any] struct {
	budget int64
	cost   func(V) int64 // of a value, in what the budget counts
	drop   func(V)       // told of each value that leaves; nil: nobody is. It must not block

	mu    sync.Mutex
	used  int64               // guarded by mu
	items map[K]*list.Element // guarded by mu
	order list.List           // of lruItem, the last used first; guarded by mu
}

type lruItem[K comparable, V any] struct {
	key   K
	value V
}

func newLRU[K comparable, V any](budget int64, cost func(V) int64, drop func(V)) *lru[K, V] {
	return &lru[K, V]{budget: budget, cost: cost, drop: drop, items: map[K]*list.Element{}}
}

// get returns what is kept under key. If hold is not nil it is told of the
// value before that can leave.
func (c *lru[K, V]) get(key K, hold func(V)) (value V, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.items[key]
	if !ok {
		return value, false
	}
	c.order.MoveToFront(e)
	value = e.Value.(lruItem[K, V]).value
	if hold != nil {
		hold(value)
	}
	return value, true
}

// put keeps value under key, in place of what was there. A value that costs
// more than the budget leaves at once.
func (c *lru[K, V]) put(key K, value V) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if old, ok := c.items[key]; ok {
		c.remove(old)
	}
	c.items[key] = c.order.PushFront(lruItem[K, V]{key, value})
	c.used += c.cost(value)
	for c.used > c.budget {
		c.remove(c.order.Back())
	}
}

// clear lets everything go.
func (c *lru[K, V]) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.order.Len() > 0 {
		c.remove(c.order.Back())
	}
}

// remove lets an item go. The caller holds mu.
func (c *lru[K, V]) remove(e *list.Element) {
	item := c.order.Remove(e).(lruItem[K, V])
	delete(c.items, item.key)
	c.used -= c.cost(item.value)
	if c.drop != nil {
		c.drop(item.value)
	}
}
