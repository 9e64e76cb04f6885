package store

import (
	"context"
	"io"
	"slices"
	"sync"
)

// An Op is a method of [Store].
type Op string

// The methods of [Store].
const (
	OpPut    Op = "put"
	OpRead   Op = "read"
	OpStat   Op = "stat"
	OpList   Op = "list"
	OpDelete Op = "delete"
)

// A Request is one call of a method of [Store], as it was asked.
type Request struct {
	Op  Op
	Key string // the prefix, for OpList
	Off int64  // for OpRead, in bytes; else 0
	N   int64  // bytes: the room in p for OpRead, the size for OpPut; else 0
}

// A Counter is a [Store] that records the requests to another one, for tests.
type Counter struct {
	s Store

	mu       sync.Mutex
	requests []Request // guarded by mu
}

// Count returns a Counter of the requests to s.
func Count(s Store) *Counter { return &Counter{s: s} }

// Requests returns what was asked since the last Reset, in order of asking,
// whatever came of it.
func (c *Counter) Requests() []Request {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.requests)
}

// Reset forgets all requests.
func (c *Counter) Reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests = nil
}

func (c *Counter) record(r Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests = append(c.requests, r)
}

// Put implements [Store].
func (c *Counter) Put(ctx context.Context, key string, body io.ReaderAt, size int64) error {
	c.record(Request{Op: OpPut, Key: key, N: size})
	return c.s.Put(ctx, key, body, size)
}

// ReadAt implements [Store].
func (c *Counter) ReadAt(ctx context.Context, key string, p []byte, off int64) (int, error) {
	c.record(Request{Op: OpRead, Key: key, Off: off, N: int64(len(p))})
	return c.s.ReadAt(ctx, key, p, off)
}

// Stat implements [Store].
func (c *Counter) Stat(ctx context.Context, key string) (Info, error) {
	c.record(Request{Op: OpStat, Key: key})
	return c.s.Stat(ctx, key)
}

// List implements [Store].
func (c *Counter) List(ctx context.Context, prefix, after string, fn func(Info) error) error {
	c.record(Request{Op: OpList, Key: prefix})
	return c.s.List(ctx, prefix, after, fn)
}

// Delete implements [Store].
func (c *Counter) Delete(ctx context.Context, key string) error {
	c.record(Request{Op: OpDelete, Key: key})
	return c.s.Delete(ctx, key)
}
