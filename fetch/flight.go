package fetch

import (
	"context"
	"sync"
)

// flights does work that several want at the same time once for all of them.
// Its zero value is ready.
//
// A flight belongs to none of those who wait for it. It ends when its work is
// done, when nobody waits any more, or when flights is closed. Prefetching is
// to join a flight, and to wait for it later or to leave it.
type flights[K comparable, V any] struct {
	// share, if not nil, is told how many will take v, before any of them
	// does; perhaps nobody. It runs under mu.
	share func(v V, waiters int)

	running sync.WaitGroup

	mu     sync.Mutex
	byKey  map[K]*flight[K, V] // those that may be joined; guarded by mu
	closed bool                // guarded by mu
}

type flight[K comparable, V any] struct {
	key    K
	done   chan struct{}           // closed when v and err are there
	cancel context.CancelCauseFunc // ends the work
	v      V
	err    error

	waiters int  // guarded by the flights' mu
	landed  bool // v and err are there, and shared; guarded by the flights' mu
}

// join returns the flight of key, and whether it had to be started, which
// runs work. The caller must wait for the flight or leave it. work gets the
// values of ctx, but not its end.
func (fs *flights[K, V]) join(ctx context.Context, key K, work func(context.Context) (V, error)) (fl *flight[K, V], started bool) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fl := fs.byKey[key]; fl != nil {
		fl.waiters++
		return fl, false
	}
	fl = &flight[K, V]{key: key, done: make(chan struct{}), waiters: 1}
	if fs.closed {
		fl.err, fl.landed = ErrClosed, true
		close(fl.done)
		return fl, true
	}
	if fs.byKey == nil {
		fs.byKey = make(map[K]*flight[K, V])
	}
	fs.byKey[key] = fl
	ctx, fl.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	fs.running.Go(func() {
		v, err := work(ctx)
		if err != nil && context.Cause(ctx) == ErrClosed {
			err = ErrClosed
		}
		fs.land(fl, v, err)
		fl.cancel(nil)
	})
	return fl, true
}

// land gives the result of the work to all who wait.
func (fs *flights[K, V]) land(fl *flight[K, V], v V, err error) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fl.v, fl.err, fl.landed = v, err, true
	fs.forget(fl)
	if err == nil && fs.share != nil {
		fs.share(v, fl.waiters)
	}
	close(fl.done)
}

// wait returns what came of the flight. If ctx is done first, it leaves the
// flight and returns the cause.
func (fs *flights[K, V]) wait(ctx context.Context, fl *flight[K, V]) (V, error) {
	select {
	case <-fl.done:
		return fl.v, fl.err
	case <-ctx.Done():
	}
	if fs.leave(fl) {
		var none V
		return none, context.Cause(ctx)
	}
	return fl.v, fl.err
}

// leave says that the caller, who has joined, does not wait any more. It
// returns false if the flight has landed already: then the result is there,
// and the caller's to take.
func (fs *flights[K, V]) leave(fl *flight[K, V]) bool {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fl.landed {
		return false
	}
	fl.waiters--
	if fl.waiters == 0 {
		fs.forget(fl) // who comes now must not share its end
		fl.cancel(nil)
	}
	return true
}

// forget makes sure that nobody joins the flight any more. It runs under mu.
func (fs *flights[K, V]) forget(fl *flight[K, V]) {
	if fs.byKey[fl.key] == fl {
		delete(fs.byKey, fl.key)
	}
}

// close ends all flights, and waits until none is left. Those who wait for
// one, or join later, get ErrClosed.
func (fs *flights[K, V]) close() {
	fs.mu.Lock()
	fs.closed = true
	for _, fl := range fs.byKey {
		fl.cancel(ErrClosed)
	}
	fs.mu.Unlock()
	fs.running.Wait()
}
