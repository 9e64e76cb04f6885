package fetch_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tidemark/fetch"
	"tidemark/pack"
	"tidemark/store"
)

// These tests run in synctest bubbles, which end only when no goroutine is
// left, and in which nothing takes time but waiting.

var errInterrupted = errors.New("the reader was interrupted")

// A slow store answers each read after delay, unless the reader goes away.
func slow(s fetch.Store, delay time.Duration) gate {
	return gate{s, func(ctx context.Context, _ string, _ int64) error {
		select {
		case <-time.After(delay):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}}
}

// chunks returns pieces in as many blocks of one pack.
func (r *repo) chunks(n, size int) []piece {
	r.t.Helper()
	var contents [][][]byte
	for i := range n {
		contents = append(contents, [][]byte{text(size, uint64(i))})
	}
	var pieces []piece
	for _, block := range r.write(r.run(host), pack.DataPack, 1, contents...) {
		pieces = append(pieces, block...)
	}
	return pieces
}

// The header of a new run and the block are asked for at the same time.
func TestColdReadTakesOneRoundTrip(t *testing.T) {
	r := newRepo(t)
	p := r.chunks(1, 1000)[0]
	synctest.Test(t, func(t *testing.T) {
		f := r.fetcher(t, slow(r.store, time.Second), small)
		began := time.Now()
		check(t, f, p)
		if took := time.Since(began); took != time.Second {
			t.Errorf("it took %v, want one round trip of 1 s", took)
		}
	})
}

func TestOneFlightForAll(t *testing.T) {
	r := newRepo(t)
	pieces := r.chunks(2, 1000)
	synctest.Test(t, func(t *testing.T) {
		counter := store.Count(r.store)
		f := r.fetcher(t, slow(counter, time.Second), small)
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() { check(t, f, pieces[i%2]) })
		}
		synctest.Wait()
		if s := f.Stats(); s.InFlight != 2 || s.Fetches != 2 || s.Headers != 1 {
			t.Errorf("20 readers of 2 blocks: %+v", s)
		}
		wg.Wait()
		if n := len(counter.Requests()); n != 3 {
			t.Errorf("%d requests, want 3", n)
		}
	})
}

// One header of a run is enough, also for readers of all its packs at once.
func TestOneHeaderForARun(t *testing.T) {
	r := newRepo(t)
	run := r.run(host)
	var pieces []piece
	for n := range uint32(10) {
		pieces = append(pieces, r.write(run, pack.DataPack, n, [][]byte{text(1000, uint64(n))})[0][0])
	}
	synctest.Test(t, func(t *testing.T) {
		f := r.fetcher(t, slow(r.store, time.Second), small)
		var wg sync.WaitGroup
		for _, p := range pieces {
			wg.Go(func() { check(t, f, p) })
		}
		wg.Wait()
		if s := f.Stats(); s.Fetches != 10 || s.Headers != 1 {
			t.Errorf("10 packs of a run: %+v", s)
		}
	})
}

// Who started a flight may go away, at once and with its own reason; the
// others get what they wait for, by the same flight.
func TestInterruptedReaderFailsNobody(t *testing.T) {
	r := newRepo(t)
	p := r.chunks(1, 1000)[0]
	synctest.Test(t, func(t *testing.T) {
		f := r.fetcher(t, slow(r.store, time.Minute/2), small)
		ctx, interrupt := context.WithCancelCause(t.Context())
		first := make(chan error)
		go func() {
			_, err := read(ctx, f, p)
			first <- err
		}()
		synctest.Wait()
		second := make(chan struct{})
		go func() {
			check(t, f, p)
			close(second)
		}()
		synctest.Wait()
		began := time.Now()
		interrupt(errInterrupted)
		if err := <-first; err != errInterrupted || time.Since(began) != 0 {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		<-second
		if s := f.Stats(); s.Fetches != 1 {
			t.Errorf("%d fetches, want 1", s.Fetches)
		}
	})
}

// A flight that nobody waits for is cancelled, and who comes then does not
// share its end.
func TestAbandonedFlight(t *testing.T) {
	r := newRepo(t)
	p := r.chunks(1, 1000)[0]
	synctest.Test(t, func(t *testing.T) {
		var cancelled atomic.Int64
		f := r.fetcher(t, gate{r.store, func(ctx context.Context, _ string, off int64) error {
			select {
			case <-ctx.Done():
				time.Sleep(time.Second) // a store may take its time
				if off > 0 {
					cancelled.Add(1)
				}
				return ctx.Err()
			case <-time.After(time.Second):
				return nil
			}
		}}, small)
		ctx, interrupt := context.WithCancelCause(t.Context())
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				if _, err := read(ctx, f, p); err != errInterrupted {
					t.Errorf("%v, want %v", err, errInterrupted)
				}
			})
		}
		synctest.Wait()
		interrupt(errInterrupted)
		wg.Wait()
		check(t, f, p)
		f.Close()
		if n := cancelled.Load(); n != 1 {
			t.Errorf("%d reads of the block were cancelled, want 1", n)
		}
	})
}

// A reader that is interrupted already asks for nothing that is not in memory.
func TestInterruptedBefore(t *testing.T) {
	r := newRepo(t)
	p := r.chunks(1, 1000)[0]
	synctest.Test(t, func(t *testing.T) {
		f := r.fetcher(t, slow(r.store, time.Second), small)
		ctx, interrupt := context.WithCancelCause(t.Context())
		interrupt(errInterrupted)
		if _, err := read(ctx, f, p); err != errInterrupted {
			t.Errorf("%v, want %v", err, errInterrupted)
		}
		synctest.Wait()
		if s := f.Stats(); s.InFlight != 0 {
			t.Errorf("a flight goes on: %+v", s)
		}
	})
}

// One failure is that of all who waited, and of nobody later.
func TestErrorsAreNotKept(t *testing.T) {
	r := newRepo(t)
	p := r.chunks(1, 1000)[0]
	synctest.Test(t, func(t *testing.T) {
		var fail atomic.Bool
		fail.Store(true)
		broken := store.NewFault(r.store, func(store.Op, string, int) (bool, error) {
			if fail.Load() {
				return false, store.ErrInjected
			}
			return false, nil
		})
		f := r.fetcher(t, slow(broken, time.Second), small)
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() {
				if _, err := read(t.Context(), f, p); !errors.Is(err, store.ErrInjected) {
					t.Errorf("%v, want %v", err, store.ErrInjected)
				}
			})
		}
		wg.Wait()
		if s := f.Stats(); s.Fetches != 1 {
			t.Errorf("%d fetches, want 1", s.Fetches)
		}
		fail.Store(false)
		check(t, f, p)
	})
}

func TestTimeout(t *testing.T) {
	r := newRepo(t)
	p := r.chunks(1, 1000)[0]
	for _, stuck := range []string{"header", "block"} {
		synctest.Test(t, func(t *testing.T) {
			var dead atomic.Bool
			dead.Store(true)
			f := r.fetcher(t, gate{r.store, func(ctx context.Context, _ string, off int64) error {
				if dead.Load() && (off == 0) == (stuck == "header") {
					<-ctx.Done()
				}
				return ctx.Err()
			}}, fetch.Config{MemoryBytes: 16 << 20, Timeout: 10 * time.Second})
			began := time.Now()
			_, err := read(t.Context(), f, p)
			if took := time.Since(began); took != 10*time.Second {
				t.Errorf("%s: it took %v", stuck, took)
			}
			checkNamed(t, err, r.object(p))
			if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "10s") || errors.Is(err, pack.ErrDamaged) {
				t.Errorf("%s: %v", stuck, err)
			}
			dead.Store(false)
			check(t, f, p)
		})
	}
}

// No more blocks are fetched at once than were allowed, and who waits for its
// turn can be interrupted.
func TestConcurrency(t *testing.T) {
	r := newRepo(t)
	pieces := r.chunks(20, 1000)
	synctest.Test(t, func(t *testing.T) {
		var now, most atomic.Int64
		inner := slow(r.store, time.Second)
		f := r.fetcher(t, gate{r.store, func(ctx context.Context, key string, off int64) error {
			if off == 0 {
				return nil // the header
			}
			most.Store(max(most.Load(), now.Add(1)))
			defer now.Add(-1)
			return inner.ask(ctx, key, off)
		}}, fetch.Config{MemoryBytes: 16 << 20, Concurrency: 3})
		began := time.Now()
		var wg sync.WaitGroup
		for _, p := range pieces[:15] {
			wg.Go(func() { check(t, f, p) })
		}
		synctest.Wait()
		ctx, interrupt := context.WithCancelCause(t.Context())
		for _, p := range pieces[15:] {
			wg.Go(func() {
				if _, err := read(ctx, f, p); err != errInterrupted {
					t.Errorf("%v, want %v", err, errInterrupted)
				}
			})
		}
		time.Sleep(time.Second / 2)
		interrupt(errInterrupted)
		wg.Wait()
		if took := time.Since(began); most.Load() != 3 || took != 5*time.Second {
			t.Errorf("15 blocks, 3 at once, took %v with %d at once", took, most.Load())
		}
	})
}

// The bytes in flight have a bound too.
func TestLargeBlocksWaitForRoom(t *testing.T) {
	r := newRepo(t)
	pieces := r.chunks(3, 3<<20) // each is more than the share of what is in flight
	synctest.Test(t, func(t *testing.T) {
		f := r.fetcher(t, slow(r.store, time.Second), small)
		began := time.Now()
		var wg sync.WaitGroup
		for _, p := range pieces {
			wg.Go(func() { check(t, f, p) })
		}
		wg.Wait()
		if took := time.Since(began); took != 3*time.Second {
			t.Errorf("it took %v, want one block a second", took)
		}
	})
}

// Close ends what is in flight and waits for it.
func TestCloseEndsFlights(t *testing.T) {
	r := newRepo(t)
	p := r.chunks(1, 1000)[0]
	synctest.Test(t, func(t *testing.T) {
		var reading atomic.Int64
		f := r.fetcher(t, gate{r.store, func(ctx context.Context, _ string, _ int64) error {
			reading.Add(1)
			defer reading.Add(-1)
			<-ctx.Done()
			time.Sleep(time.Second) // the store takes its time
			return ctx.Err()
		}}, small)
		failed := make(chan error)
		go func() {
			_, err := read(t.Context(), f, p)
			failed <- err
		}()
		synctest.Wait()
		closed := make(chan struct{})
		go func() {
			f.Close()
			if n := reading.Load(); n != 0 {
				t.Errorf("%d reads of the store go on", n)
			}
			close(closed)
		}()
		if err := <-failed; !errors.Is(err, fetch.ErrClosed) {
			t.Errorf("%v, want %v", err, fetch.ErrClosed)
		}
		<-closed
	})
}

// The damaged header of one pack fails readers of that pack only, although all
// packs of a run share the reading of one header.
func TestDamagedHeaderIsOfOnePack(t *testing.T) {
	r := newRepo(t)
	run := r.run(host)
	bad := r.write(run, pack.DataPack, 1, [][]byte{text(1000, 1)})[0][0]
	good := r.write(run, pack.DataPack, 2, [][]byte{text(1000, 2)})[0][0]
	fault := store.NewFault(r.store)
	fault.Damage(r.object(bad), store.FlipBit(0))
	for _, order := range [][]piece{{bad, good}, {good, bad}} {
		synctest.Test(t, func(t *testing.T) {
			f := r.fetcher(t, slow(fault, time.Second), small)
			var wg sync.WaitGroup
			for _, p := range order {
				wg.Go(func() {
					if p.at == good.at {
						check(t, f, p)
					} else if _, err := read(t.Context(), f, p); order[0].at == bad.at {
						checkDamage(t, err, r.object(bad))
					}
				})
				synctest.Wait()
			}
			wg.Wait()
		})
	}
}

// Many readers of the same few blocks, each of which may be interrupted at any
// time: who is not gets the right bytes, without fail. The memory is too small
// for all, and what is given back is overwritten.
func TestReadersAtRandom(t *testing.T) {
	r := newRepo(t)
	var pieces []piece
	for n := range uint32(10) {
		var blocks [][][]byte
		for i := range uint64(10) {
			var block [][]byte
			for j := range uint64(5) {
				block = append(block, page(noise(rand.IntN(100_000)+1, i*10+j)))
			}
			blocks = append(blocks, block)
		}
		for _, block := range r.write(r.run(host), []pack.Kind{pack.DataPack, pack.TreePack}[n%2], n, blocks...) {
			pieces = append(pieces, block...)
		}
	}
	var interrupted, whole atomic.Int64
	f := r.fetcher(t, r.store, fetch.Config{MemoryBytes: 16 << 20, Concurrency: 4})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 200 {
				p := pieces[rand.IntN(len(pieces))]
				ctx, interrupt := context.WithCancelCause(t.Context())
				patient := rand.IntN(2) == 0
				if !patient {
					wg.Go(func() { interrupt(errInterrupted) })
				}
				got, err := read(ctx, f, p)
				switch {
				case err == errInterrupted && !patient:
					interrupted.Add(1)
				case err != nil:
					t.Error(err)
				case !bytes.Equal(got, p.bytes):
					t.Error("wrong bytes")
				default:
					whole.Add(1)
				}
				interrupt(nil)
			}
		})
	}
	wg.Wait()
	if interrupted.Load() == 0 || whole.Load() < 600 {
		t.Errorf("%d reads were interrupted and %d were not: this tests nothing", interrupted.Load(), whole.Load())
	}
	f.Close()
	if s := f.Stats(); s.Memory != 0 || s.Held != 0 || s.InFlight != 0 {
		t.Errorf("when all is closed: %+v", s)
	}
}
