package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"
)

// A Fault is a [Store] that fails and damages what goes through it to another
// one, for tests: operations as its hooks say, objects as Damage says.
type Fault struct {
	s     Store
	hooks []Hook

	mu                    sync.Mutex
	writes, reads, failed int                            // guarded by mu
	damage                map[string]func([]byte) []byte // guarded by mu
}

// A Hook says what becomes of an operation. n is how many of its kind came
// before it: writes are Put and Delete, reads are the others. With a nil error
// it goes ahead. With another it fails so, but is carried out first if apply
// is true: a reply that was lost. Hooks may be called concurrently.
type Hook func(op Op, key string, n int) (apply bool, err error)

// ErrInjected is the error of the hooks in this package.
var ErrInjected = errors.New("injected fault")

// FailWrite returns a Hook that fails the write before which there were n,
// carried out or not.
func FailWrite(n int, apply bool) Hook {
	return func(op Op, _ string, i int) (bool, error) {
		if (op == OpPut || op == OpDelete) && i == n {
			return apply, ErrInjected
		}
		return false, nil
	}
}

// NewFault returns a Fault in front of s. The first of the hooks that returns
// an error decides; with no hooks all goes through.
func NewFault(s Store, hooks ...Hook) *Fault {
	return &Fault{s: s, hooks: hooks, damage: make(map[string]func([]byte) []byte)}
}

// Damage makes readers see change(object) instead of the object under key:
// its bytes, and its size. change may alter and return its argument; nil ends
// the damage. Other keys, and the store behind, stay as they are.
func (f *Fault) Damage(key string, change func(object []byte) []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.damage[key] = change
}

// FlipBit is a change for Damage: it flips the lowest bit of the byte at off.
func FlipBit(off int64) func([]byte) []byte {
	return func(b []byte) []byte {
		b[off] ^= 1
		return b
	}
}

// Truncate is a change for Damage: it leaves the first n bytes.
func Truncate(n int64) func([]byte) []byte {
	return func(b []byte) []byte { return b[:n] }
}

// Failed returns how many operations the hooks have failed, so that a loop
// over them sees when there are no more, or never were.
func (f *Fault) Failed() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.failed
}

// do carries out an operation, or fails it, or both, as the hooks say.
func (f *Fault) do(op Op, key string, carryOut func() error) error {
	f.mu.Lock()
	count := &f.reads
	if op == OpPut || op == OpDelete {
		count = &f.writes
	}
	n := *count
	*count++
	f.mu.Unlock()
	for _, hook := range f.hooks {
		apply, err := hook(op, key, n)
		if err == nil {
			continue
		}
		if apply {
			_ = carryOut() // its outcome is what the caller does not learn
		}
		f.mu.Lock()
		f.failed++
		f.mu.Unlock()
		return fmt.Errorf("store: %s %s: %w", op, key, err)
	}
	return carryOut()
}

// damaged returns what readers see of a damaged object, and whether it is one.
func (f *Fault) damaged(ctx context.Context, key string) (object []byte, ok bool, err error) {
	f.mu.Lock()
	change := f.damage[key]
	f.mu.Unlock()
	if change == nil {
		return nil, false, nil
	}
	object, err = ReadAll(ctx, f.s, key, math.MaxInt64)
	if err != nil {
		return nil, true, err
	}
	return change(object), true, nil
}

// Put implements [Store].
func (f *Fault) Put(ctx context.Context, key string, body io.ReaderAt, size int64) error {
	return f.do(OpPut, key, func() error { return f.s.Put(ctx, key, body, size) })
}

// Delete implements [Store].
func (f *Fault) Delete(ctx context.Context, key string) error {
	return f.do(OpDelete, key, func() error { return f.s.Delete(ctx, key) })
}

// ReadAt implements [Store].
func (f *Fault) ReadAt(ctx context.Context, key string, p []byte, off int64) (n int, err error) {
	err = f.do(OpRead, key, func() error {
		object, ok, err := f.damaged(ctx, key)
		if err != nil {
			return err
		}
		if !ok {
			n, err = f.s.ReadAt(ctx, key, p, off)
			return err
		}
		if err := checkRead(key, off); err != nil {
			return err
		}
		n = copy(p, object[min(off, int64(len(object))):])
		return nil
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}

// Stat implements [Store].
func (f *Fault) Stat(ctx context.Context, key string) (info Info, err error) {
	err = f.do(OpStat, key, func() (err error) {
		if info, err = f.s.Stat(ctx, key); err != nil {
			return err
		}
		info, err = f.seen(ctx, info)
		return err
	})
	if err != nil {
		return Info{}, err
	}
	return info, nil
}

// seen returns what readers see of an object's info.
func (f *Fault) seen(ctx context.Context, info Info) (Info, error) {
	object, ok, err := f.damaged(ctx, info.Key)
	if ok {
		info.Size = int64(len(object))
	}
	return info, err
}

// List implements [Store].
func (f *Fault) List(ctx context.Context, prefix, after string, fn func(Info) error) error {
	return f.do(OpList, prefix, func() error {
		return f.s.List(ctx, prefix, after, func(info Info) error {
			info, err := f.seen(ctx, info)
			if err != nil {
				return err
			}
			return fn(info)
		})
	})
}
