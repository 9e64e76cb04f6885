// Package storetest tests implementations of [store.Store]: that each keeps
// the contract that the interface's comment states, not only that what was
// put can be read.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"math"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"tidemark/store"
)

// Test runs the suite. open returns an empty store; it is called once for each
// subtest, and cleans up after itself.
func Test(t *testing.T, open func(t *testing.T) store.Store) {
	for _, tt := range []struct {
		name string
		test func(t *testing.T, s store.Store)
	}{
		{"ReadAt", testReadAt},
		{"ReadAll", testReadAll},
		{"Large", testLarge},
		{"Missing", testMissing},
		{"InvalidKeys", testInvalidKeys},
		{"LongKeys", testLongKeys},
		{"CallerOwnsBuffers", testCallerOwnsBuffers},
		{"Stat", testStat},
		{"Body", testBody},
		{"BodyFails", testBodyFails},
		{"PutIsAtomic", testPutIsAtomic},
		{"PutCancelled", testPutCancelled},
		{"PutNeverOverwrites", testPutNeverOverwrites},
		{"PutsOfOneKey", testPutsOfOneKey},
		{"List", testList},
		{"ListProperty", testListProperty},
		{"ListMany", testListMany},
		{"ListEnds", testListEnds},
		{"ListWhileDeleting", testListWhileDeleting},
		{"Delete", testDelete},
		{"Cancelled", testCancelled},
		{"Concurrent", testConcurrent},
		{"PutBesideDelete", testPutBesideDelete},
	} {
		t.Run(tt.name, func(t *testing.T) { tt.test(t, open(t)) })
	}
}

// put stores data, which must succeed.
func put(t *testing.T, s store.Store, key, data string) {
	t.Helper()
	if err := s.Put(t.Context(), key, strings.NewReader(data), int64(len(data))); err != nil {
		t.Fatalf("Put(%s, %d bytes): %v", key, len(data), err)
	}
}

// putAll stores an object under each of keys, several at a time: its content
// is its key.
func putAll(t *testing.T, s store.Store, keys []string) {
	t.Helper()
	g, ctx := errgroup.WithContext(t.Context())
	g.SetLimit(16)
	for _, key := range keys {
		g.Go(func() error { return s.Put(ctx, key, strings.NewReader(key), int64(len(key))) })
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
}

// wantObject checks an object's content and its size in Stat.
func wantObject(t *testing.T, s store.Store, key, want string) {
	t.Helper()
	got, err := store.ReadAll(t.Context(), s, key, math.MaxInt64)
	if err != nil {
		t.Errorf("ReadAll(%s): %v", key, err)
	} else if string(got) != want {
		t.Errorf("ReadAll(%s) = %d bytes, %.40q; want %d, %.40q", key, len(got), got, len(want), want)
	}
	if info, err := s.Stat(t.Context(), key); err != nil || info.Key != key || info.Size != int64(len(want)) {
		t.Errorf("Stat(%s) = %+v, %v; want size %d", key, info, err, len(want))
	}
}

// wantNone checks that no method sees an object under key.
func wantNone(t *testing.T, s store.Store, key string) {
	t.Helper()
	n, err := s.ReadAt(t.Context(), key, make([]byte, 1), 0)
	wantNotExist(t, "ReadAt", key, err)
	if n != 0 {
		t.Errorf("ReadAt(%s) = %d with an error", key, n)
	}
	_, err = s.Stat(t.Context(), key)
	wantNotExist(t, "Stat", key, err)
	if keys := list(t, s, key, ""); slices.Contains(keys, key) {
		t.Errorf("List(%s) lists it, and it should not exist", key)
	}
}

func wantNotExist(t *testing.T, method, key string, err error) {
	t.Helper()
	switch {
	case !errors.Is(err, store.ErrNotExist):
		t.Errorf("%s(%s) = %v; want ErrNotExist", method, key, err)
	case errors.Is(err, fs.ErrNotExist):
		t.Errorf("%s(%s) = %v, which wraps fs.ErrNotExist", method, key, err)
	case !strings.Contains(err.Error(), key):
		t.Errorf("%s(%s) = %v, which does not name the key", method, key, err)
	}
}

// list returns the keys that List gives.
func list(t *testing.T, s store.Store, prefix, after string) []string {
	t.Helper()
	var keys []string
	err := s.List(t.Context(), prefix, after, func(info store.Info) error {
		keys = append(keys, info.Key)
		return nil
	})
	if err != nil {
		t.Fatalf("List(%q, %q): %v", prefix, after, err)
	}
	return keys
}

// A pattern is content without end, the same 65537 bytes again and again: no
// power of two, so that a piece that lies in a wrong place shows.
type pattern []byte

func newPattern(salt byte) pattern {
	p := make(pattern, 65537)
	x := uint32(salt) + 1
	for i := range p {
		x = x*1664525 + 1013904223
		p[i] = byte(x >> 24)
	}
	return p
}

func (pt pattern) ReadAt(p []byte, off int64) (int, error) {
	for n := 0; n < len(p); {
		n += copy(p[n:], pt[(off+int64(n))%int64(len(pt)):])
	}
	return len(p), nil
}

// wantPattern checks that an object is the first size bytes of pt.
func wantPattern(t *testing.T, s store.Store, key string, pt pattern, size int) {
	t.Helper()
	const step = 5<<20 + 7 // some pieces of any store
	got, want := make([]byte, min(step, size+1)), make([]byte, min(step, size))
	for off := 0; off <= size; off += step { // at last, past the end
		want := want[:min(step, size-off)]
		pt.ReadAt(want, int64(off))
		n, err := s.ReadAt(t.Context(), key, got, int64(off))
		if err != nil || n != len(want) {
			t.Fatalf("ReadAt(%s, %d bytes at %d) = %d, %v; want %d", key, len(got), off, n, err, len(want))
		}
		if !bytes.Equal(got[:n], want) {
			t.Errorf("%s: ReadAt(%d bytes at %d) gives other bytes than were put", key, len(got), off)
		}
	}
}

// A bodyFunc is an io.ReaderAt that is a function.
type bodyFunc func(p []byte, off int64) (int, error)

func (f bodyFunc) ReadAt(p []byte, off int64) (int, error) { return f(p, off) }

var _ io.ReaderAt = bodyFunc(nil)

// cancelled returns a context that is done.
func cancelled(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}
