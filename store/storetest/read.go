package storetest

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"tidemark/store"
)

func testReadAt(t *testing.T, s store.Store) {
	put(t, s, "dir/ten", "0123456789")
	put(t, s, "dir/none", "")
	for _, tt := range []struct {
		name string
		key  string
		off  int64
		len  int
		want string
	}{
		{"all", "dir/ten", 0, 10, "0123456789"},
		{"a part", "dir/ten", 3, 4, "3456"},
		{"the last byte", "dir/ten", 9, 1, "9"},
		{"up to the end", "dir/ten", 5, 5, "56789"},
		{"short at the end", "dir/ten", 8, 100, "89"},
		{"all and more", "dir/ten", 0, 11, "0123456789"},
		{"at the end", "dir/ten", 10, 1, ""},
		{"past the end", "dir/ten", 11, 5, ""},
		{"far past the end", "dir/ten", math.MaxInt64 - 2, 5, ""},
		{"nothing", "dir/ten", 4, 0, ""},
		{"of an empty object", "dir/none", 0, 5, ""},
		{"past an empty object", "dir/none", 7, 5, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := make([]byte, tt.len)
			n, err := s.ReadAt(t.Context(), tt.key, p, tt.off)
			if err != nil || string(p[:n]) != tt.want {
				t.Errorf("ReadAt(%s, %d bytes at %d) = %q, %v; want %q", tt.key, tt.len, tt.off, p[:n], err, tt.want)
			}
		})
	}
	if n, err := s.ReadAt(t.Context(), "dir/ten", make([]byte, 5), -1); err == nil || n != 0 || errors.Is(err, store.ErrNotExist) {
		t.Errorf("ReadAt(5 bytes at -1) = %d, %v; want an error of its own", n, err)
	}
}

// testReadAll tests the package's function with the store, at the sizes where
// its requests change.
func testReadAll(t *testing.T, s store.Store) {
	pt := newPattern(1)
	for _, size := range []int64{0, 1, 64<<10 - 1, 64 << 10, 64<<10 + 1, 200_000} {
		key := fmt.Sprintf("size-%d", size)
		if err := s.Put(t.Context(), key, pt, size); err != nil {
			t.Fatal(err)
		}
		want := make([]byte, size)
		pt.ReadAt(want, 0)
		for _, limit := range []int64{size, size + 1, math.MaxInt64} {
			if got, err := store.ReadAll(t.Context(), s, key, limit); err != nil || string(got) != string(want) {
				t.Errorf("ReadAll(%d bytes, limit %d) = %d bytes, %v; want what was put", size, limit, len(got), err)
			}
		}
		if got, err := store.ReadAll(t.Context(), s, key, size-1); err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("ReadAll(%d bytes, limit %d) = %d bytes, %v; want an error that names the key", size, size-1, len(got), err)
		}
	}
	_, err := store.ReadAll(t.Context(), s, "missing", 10)
	wantNotExist(t, "ReadAll", "missing", err)
}

func testLarge(t *testing.T, s store.Store) {
	const size = 40<<20 + 12345
	pt := newPattern(2)
	if err := s.Put(t.Context(), "large", pt, size); err != nil {
		t.Fatal(err)
	}
	wantPattern(t, s, "large", pt, size)
	got, want := make([]byte, 100), make([]byte, 100)
	for _, off := range []int64{1<<20 - 50, 16<<20 - 1, size - 100} {
		pt.ReadAt(want, off)
		if n, err := s.ReadAt(t.Context(), "large", got, off); err != nil || n != 100 || string(got) != string(want) {
			t.Errorf("ReadAt(100 bytes at %d) = %d, %v, or other bytes than were put", off, n, err)
		}
	}
}

func testMissing(t *testing.T, s store.Store) {
	for _, key := range []string{"a", "a/b", "a/b/c"} {
		wantNone(t, s, key) // an empty store
	}
	put(t, s, "a/b/c", "x")
	for _, key := range []string{
		"a", "a/b", // its directories
		"a/b/c/d", "a/b/c/d/e", // below an object
		"a/b/cc", "a/bb/c", "b",
	} {
		wantNone(t, s, key)
		if err := s.Delete(t.Context(), key); err != nil {
			t.Errorf("Delete(%s), which is missing: %v", key, err)
		}
	}
	wantObject(t, s, "a/b/c", "x")
}

func testInvalidKeys(t *testing.T, s store.Store) {
	put(t, s, "a/b", "x")
	for _, key := range []string{
		"", "/", "/a/b", "a/b/", "a//b", "a/./b", "a/../a/b", "..", ".", "a/b\x00", "a b", "a\\b", "ä", "a/b~", "a+b", "a:b",
		strings.Repeat("x", store.MaxSegmentLen+1),
		strings.Repeat("xx/", store.MaxKeyLen/3) + "x",
	} {
		_, readErr := s.ReadAt(t.Context(), key, make([]byte, 1), 0)
		_, statErr := s.Stat(t.Context(), key)
		for method, err := range map[string]error{
			"Put":    s.Put(t.Context(), key, strings.NewReader("x"), 1),
			"ReadAt": readErr,
			"Stat":   statErr,
			"Delete": s.Delete(t.Context(), key),
		} {
			if err == nil || errors.Is(err, store.ErrNotExist) || errors.Is(err, store.ErrExist) {
				t.Errorf("%s(%.40q) = %v; want an error that calls the key bad", method, key, err)
			}
		}
	}
	if keys := list(t, s, "", ""); len(keys) != 1 {
		t.Errorf("List = %q; want only a/b", keys)
	}
}

func testLongKeys(t *testing.T, s store.Store) {
	long := strings.Repeat("x", store.MaxSegmentLen)
	longest := strings.Repeat(long+"/", 4)
	longest += strings.Repeat("y", store.MaxKeyLen-len(longest))
	deep := strings.Repeat("d/", 40) + "e"
	for _, key := range []string{deep, longest} {
		put(t, s, key, "at "+key)
		wantObject(t, s, key, "at "+key)
	}
	if keys := list(t, s, "", ""); len(keys) != 2 || keys[0] != deep || keys[1] != longest {
		t.Errorf("List = %q; want the deep key and the longest", keys)
	}
}

func testCallerOwnsBuffers(t *testing.T, s store.Store) {
	data := []byte("what was put")
	body := bodyFunc(func(p []byte, off int64) (int, error) { return copy(p, data[off:]), nil })
	if err := s.Put(t.Context(), "key", body, int64(len(data))); err != nil {
		t.Fatal(err)
	}
	scribble(data)
	wantObject(t, s, "key", "what was put")
	p := make([]byte, len(data))
	if _, err := s.ReadAt(t.Context(), "key", p, 0); err != nil {
		t.Fatal(err)
	}
	scribble(p)
	wantObject(t, s, "key", "what was put")
}

func scribble(p []byte) {
	for i := range p {
		p[i] = '!'
	}
}

func testStat(t *testing.T, s store.Store) {
	before := time.Now()
	put(t, s, "dir/a", "four")
	put(t, s, "dir/b", "")
	after := time.Now()
	seen := 0
	err := s.List(t.Context(), "dir/", "", func(listed store.Info) error {
		seen++
		info, err := s.Stat(t.Context(), listed.Key)
		if err != nil {
			return err
		}
		if listed.Size != info.Size || !listed.Time.Equal(info.Time) {
			t.Errorf("List says %+v, Stat %+v", listed, info)
		}
		// The store's clock is its own, but no test's store is far away.
		if info.Time.Before(before.Add(-time.Minute)) || info.Time.After(after.Add(time.Minute)) {
			t.Errorf("Stat(%s).Time = %v; put between %v and %v", info.Key, info.Time, before, after)
		}
		return nil
	})
	if err != nil || seen != 2 {
		t.Errorf("List: %d objects, %v; want 2", seen, err)
	}
	wantObject(t, s, "dir/a", "four")
	wantObject(t, s, "dir/b", "")
}
