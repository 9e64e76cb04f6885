package store_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"tidemark/store"
	"tidemark/store/storetest"
)

func TestCounter(t *testing.T) {
	t.Parallel()
	storetest.Test(t, func(*testing.T) store.Store { return store.Count(newMem()) })
}

func TestRequests(t *testing.T) {
	c := store.Count(store.NewMem())
	if err := c.Put(t.Context(), "a/b", strings.NewReader("0123"), 4); err != nil {
		t.Fatal(err)
	}
	c.Reset()
	if err := c.Put(t.Context(), "a/c", strings.NewReader("01"), 2); err != nil {
		t.Error(err)
	}
	if _, err := c.ReadAt(t.Context(), "a/b", make([]byte, 3), 1); err != nil {
		t.Error(err)
	}
	if _, err := c.ReadAt(t.Context(), "missing", make([]byte, 5), 0); err == nil {
		t.Error("ReadAt(missing) succeeded")
	}
	if _, err := c.Stat(t.Context(), "a/b"); err != nil {
		t.Error(err)
	}
	if err := c.List(t.Context(), "a/", "a/b", func(store.Info) error { return nil }); err != nil {
		t.Error(err)
	}
	if err := c.Delete(t.Context(), "a/b"); err != nil {
		t.Error(err)
	}
	want := []store.Request{
		{Op: store.OpPut, Key: "a/c", N: 2},
		{Op: store.OpRead, Key: "a/b", Off: 1, N: 3},
		{Op: store.OpRead, Key: "missing", N: 5},
		{Op: store.OpStat, Key: "a/b"},
		{Op: store.OpList, Key: "a/"},
		{Op: store.OpDelete, Key: "a/b"},
	}
	if got := c.Requests(); !slices.Equal(got, want) {
		t.Errorf("Requests\n = %v\nwant %v", got, want)
	}
}

// TestReadAllRequests counts what ReadAll asks for.
func TestReadAllRequests(t *testing.T) {
	c := store.Count(store.NewMem())
	for _, tt := range []struct {
		size, limit int64
		want        []store.Op
	}{
		{0, 1 << 20, []store.Op{store.OpRead}},
		{64 << 10, 1 << 20, []store.Op{store.OpRead}},
		{64<<10 + 1, 1 << 20, []store.Op{store.OpRead, store.OpStat, store.OpRead}},
		{1 << 20, 1 << 20, []store.Op{store.OpRead, store.OpStat, store.OpRead}},
		{1<<20 + 1, 1 << 20, []store.Op{store.OpRead, store.OpStat}}, // too large
		{11, 10, []store.Op{store.OpRead, store.OpStat}},             // too large
	} {
		if err := c.Put(t.Context(), "key", strings.NewReader(strings.Repeat("x", int(tt.size))), tt.size); err != nil {
			t.Fatal(err)
		}
		c.Reset()
		b, err := store.ReadAll(t.Context(), c, "key", tt.limit)
		if (err == nil) != (tt.size <= tt.limit) || err == nil && int64(len(b)) != tt.size {
			t.Errorf("ReadAll(%d bytes, limit %d) = %d bytes, %v", tt.size, tt.limit, len(b), err)
		}
		var got []store.Op
		for _, r := range c.Requests() {
			got = append(got, r.Op)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("ReadAll(%d bytes, limit %d) asked %v; want %v", tt.size, tt.limit, got, tt.want)
		}
		if err := c.Delete(t.Context(), "key"); err != nil {
			t.Fatal(err)
		}
	}
}

// TestReadAllLies reads an object whose store gives a wrong size.
func TestReadAllLies(t *testing.T) {
	for _, lie := range []int64{-99_000, -1, 1} {
		mem := store.NewMem()
		if err := mem.Put(t.Context(), "key", strings.NewReader(strings.Repeat("x", 100_000)), 100_000); err != nil {
			t.Fatal(err)
		}
		if b, err := store.ReadAll(t.Context(), lyingStore{mem, lie}, "key", 1<<20); err == nil {
			t.Errorf("ReadAll = %d bytes of 100000, where Stat is wrong by %d; want an error", len(b), lie)
		}
	}
}

// A lyingStore gives sizes that are wrong by lie bytes.
type lyingStore struct {
	store.Store
	lie int64
}

func (l lyingStore) Stat(ctx context.Context, key string) (store.Info, error) {
	info, err := l.Store.Stat(ctx, key)
	info.Size += l.lie
	return info, err
}
