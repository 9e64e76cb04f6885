package storetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sync/errgroup"

	"tidemark/store"
)

// testBody puts what an io.ReaderAt may be.
func testBody(t *testing.T, s store.Store) {
	const text = "0123456789"
	for _, tt := range []struct {
		name string
		body io.ReaderAt
	}{
		{"longer than the size", strings.NewReader(text + "and more")},
		{"with io.EOF at its end", bodyFunc(func(p []byte, off int64) (int, error) {
			n := copy(p, text[min(off, 10):])
			if off+int64(n) == 10 {
				return n, io.EOF
			}
			return n, nil
		})},
	} {
		t.Run(tt.name, func(t *testing.T) {
			key := strings.ReplaceAll(tt.name, " ", "-")
			if err := s.Put(t.Context(), key, tt.body, 10); err != nil {
				t.Fatal(err)
			}
			wantObject(t, s, key, text)
		})
	}
}

const bodySize = 3<<20 + 1 // some pieces of any store

// testBodyFails checks that a Put without a whole body leaves nothing, and
// does not stand in the way of the next.
func testBodyFails(t *testing.T, s store.Store) {
	errBody := errors.New("the body failed")
	failing := func(failAt int64, err error) io.ReaderAt {
		return bodyFunc(func(p []byte, off int64) (int, error) {
			n := max(min(int64(len(p)), failAt-off), 0)
			scribble(p[:n])
			if n < int64(len(p)) {
				return int(n), err
			}
			return int(n), nil
		})
	}
	for _, tt := range []struct {
		name string
		body io.ReaderAt
		size int64
		want error // wrapped
	}{
		{"at once", failing(0, errBody), bodySize, errBody},
		{"midway", failing(bodySize/2, errBody), bodySize, errBody},
		{"at the last byte", failing(bodySize-1, errBody), bodySize, errBody},
		{"by ending early", failing(bodySize-1, io.EOF), bodySize, io.ErrUnexpectedEOF},
		{"by being empty", failing(0, io.EOF), 1, io.ErrUnexpectedEOF},
		{"by a negative size", failing(bodySize, nil), -1, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := s.Put(t.Context(), "dir/key", tt.body, tt.size)
			if err == nil || tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("Put = %v; want %v", err, tt.want)
			}
			wantNone(t, s, "dir/key")
			if keys := list(t, s, "", ""); len(keys) > 0 {
				t.Errorf("List = %q; want nothing", keys)
			}
		})
	}
	put(t, s, "dir/key", "second try")
	wantObject(t, s, "dir/key", "second try")
}

// testPutIsAtomic looks while a Put stands still in the middle of its body.
func testPutIsAtomic(t *testing.T, s store.Store) {
	pt := newPattern(3)
	reached, goOn := make(chan struct{}), make(chan struct{})
	signal := sync.OnceFunc(func() { close(reached) })
	body := bodyFunc(func(p []byte, off int64) (int, error) {
		if off+int64(len(p)) > bodySize/2 {
			signal()
			<-goOn
		}
		return pt.ReadAt(p, off)
	})
	done := make(chan error, 1)
	go func() { done <- s.Put(t.Context(), "dir/key", body, bodySize) }()
	select {
	case <-reached:
	case err := <-done:
		t.Fatalf("Put = %v, without reading its body to the middle", err)
	}
	wantNone(t, s, "dir/key")
	if keys := list(t, s, "", ""); len(keys) > 0 {
		t.Errorf("List during a Put = %q; want nothing", keys)
	}
	close(goOn)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	wantPattern(t, s, "dir/key", pt, bodySize)
}

func testPutCancelled(t *testing.T, s store.Store) {
	for _, at := range []int64{0, bodySize / 2, bodySize - 1} {
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			pt := newPattern(4)
			body := bodyFunc(func(p []byte, off int64) (int, error) {
				if off+int64(len(p)) > at {
					cancel()
				}
				return pt.ReadAt(p, off)
			})
			if err := s.Put(ctx, "dir/key", body, bodySize); !errors.Is(err, context.Canceled) {
				t.Errorf("Put = %v; want context.Canceled", err)
			}
			wantNone(t, s, "dir/key")
		})
	}
	put(t, s, "dir/key", "second try")
	wantObject(t, s, "dir/key", "second try")
}

func testPutNeverOverwrites(t *testing.T, s store.Store) {
	put(t, s, "dir/key", "first")
	for _, data := range []string{"second", "first", "", strings.Repeat("long", 1<<20)} {
		err := s.Put(t.Context(), "dir/key", strings.NewReader(data), int64(len(data)))
		if err != nil && !errors.Is(err, store.ErrExist) {
			t.Errorf("second Put = %v; want ErrExist", err)
		}
		wantObject(t, s, "dir/key", "first")
	}
}

// testPutsOfOneKey lets writers race for one key. One that won remains, whole.
func testPutsOfOneKey(t *testing.T, s store.Store) {
	const writers, size = 8, 300_000
	for round := range 4 {
		key := fmt.Sprintf("race/%d", round)
		errs := make([]error, writers)
		start := make(chan struct{})
		var wg sync.WaitGroup
		for i := range writers {
			wg.Go(func() {
				<-start
				errs[i] = s.Put(t.Context(), key, newPattern(byte(i)), size)
			})
		}
		close(start)
		wg.Wait()
		winners := 0
		got, err := store.ReadAll(t.Context(), s, key, size)
		if err != nil {
			t.Fatal(err)
		}
		whole := false
		for i, err := range errs {
			if err == nil {
				winners++
				want := make([]byte, size)
				newPattern(byte(i)).ReadAt(want, 0)
				whole = whole || slices.Equal(got, want)
			} else if !errors.Is(err, store.ErrExist) {
				t.Errorf("Put = %v; want nil or ErrExist", err)
			}
		}
		if !whole {
			t.Errorf("the object is that of none of the %d writers that were told nil", winners)
		}
	}
}

func testDelete(t *testing.T, s store.Store) {
	putAll(t, s, []string{"a/b/c", "a/b/d", "e"})
	for range 2 { // the second time it is not there
		if err := s.Delete(t.Context(), "a/b/c"); err != nil {
			t.Errorf("Delete(a/b/c): %v", err)
		}
		wantNone(t, s, "a/b/c")
		wantObject(t, s, "a/b/d", "a/b/d")
	}
	put(t, s, "a/b/c", "again")
	wantObject(t, s, "a/b/c", "again")
	for _, key := range []string{"a/b/c", "a/b/d", "e"} {
		if err := s.Delete(t.Context(), key); err != nil {
			t.Errorf("Delete(%s): %v", key, err)
		}
	}
	if keys := list(t, s, "", ""); len(keys) > 0 {
		t.Errorf("List = %q; want nothing", keys)
	}
	put(t, s, "a", "what was a directory")
	wantObject(t, s, "a", "what was a directory")
}

func testCancelled(t *testing.T, s store.Store) {
	put(t, s, "dir/key", "x")
	ctx := cancelled(t)
	_, readErr := s.ReadAt(ctx, "dir/key", make([]byte, 1), 0)
	_, statErr := s.Stat(ctx, "dir/key")
	for method, err := range map[string]error{
		"Put":    s.Put(ctx, "dir/other", strings.NewReader("x"), 1),
		"ReadAt": readErr,
		"Stat":   statErr,
		"Delete": s.Delete(ctx, "dir/key"),
		"List":   s.List(ctx, "", "", func(store.Info) error { t.Error("fn called after ctx was done"); return nil }),
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s = %v; want context.Canceled", method, err)
		}
	}
	wantObject(t, s, "dir/key", "x")
	wantNone(t, s, "dir/other")
}

// testConcurrent uses all methods at once, each goroutine on keys of its own
// in directories that they share.
func testConcurrent(t *testing.T, s store.Store) {
	const workers, rounds = 8, 12
	g, ctx := errgroup.WithContext(t.Context())
	for w := range workers {
		g.Go(func() error {
			for i := range rounds {
				key := fmt.Sprintf("dir-%d/%d-%d", i%3, w, i)
				if err := s.Put(ctx, key, strings.NewReader(key), int64(len(key))); err != nil {
					return err
				}
				if got, err := store.ReadAll(ctx, s, key, 100); err != nil || string(got) != key {
					return fmt.Errorf("ReadAll(%s) = %q, %w", key, got, err)
				}
				found := false
				err := s.List(ctx, key[:6], "", func(info store.Info) error {
					found = found || info.Key == key
					return nil
				})
				if err != nil || !found {
					return fmt.Errorf("list: found %s: %t, %w", key, found, err)
				}
				if i%2 == 0 {
					if err := s.Delete(ctx, key); err != nil {
						return err
					}
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	if keys := list(t, s, "", ""); len(keys) != workers*rounds/2 {
		t.Errorf("List: %d keys; want %d", len(keys), workers*rounds/2)
	}
}

// testPutBesideDelete puts into directories that others leave empty.
func testPutBesideDelete(t *testing.T, s store.Store) {
	g, ctx := errgroup.WithContext(t.Context())
	for w := range 6 {
		g.Go(func() error {
			for i := range 20 {
				key := fmt.Sprintf("a/b/c/%d-%d", w, i)
				if err := s.Put(ctx, key, strings.NewReader(key), int64(len(key))); err != nil {
					return err
				}
				if _, err := s.Stat(ctx, key); err != nil {
					return err
				}
				if err := s.Delete(ctx, key); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	if keys := list(t, s, "", ""); len(keys) > 0 {
		t.Errorf("List = %q; want nothing", keys)
	}
}
