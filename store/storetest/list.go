package storetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"tidemark/store"
)

// awkward are keys whose order is not that of directories: '-' and '.' sort
// before '/', the others after it.
var awkward = []string{
	"a-/a", "a-b", "a.b", "a.bb/c", "a/a", "a/b-c", "a/b.c", "a/b/c", "a/b/d", "a/b0", "a/b=", "a/bA", "a/bb/c",
	"a0/b", "a=", "aA", "a_", "aa/b", "b", ".hidden/x", "-/-/-",
}

// selected returns those of keys that List is to give.
func selected(keys []string, prefix, after string) []string {
	var want []string
	for _, key := range slices.Sorted(slices.Values(keys)) {
		if strings.HasPrefix(key, prefix) && key > after {
			want = append(want, key)
		}
	}
	return want
}

func testList(t *testing.T, s store.Store) {
	putAll(t, s, awkward)
	for _, tt := range []struct{ name, prefix, after string }{
		{"all", "", ""},
		{"a directory", "a/", ""},
		{"a directory without its slash", "a", ""},
		{"a directory in a directory", "a/b/", ""},
		{"part of a name", "a/b", ""},
		{"a whole key", "a/b/c", ""},
		{"below an object", "b/", ""},
		{"a directory that is missing", "x/y/", ""},
		{"after a key", "", "a/b/c"},
		{"after what sorts just before a slash", "", "a."},
		{"after a directory", "", "a/"},
		{"after a directory without its slash", "", "a"},
		{"after a directory's last", "", "a/~"},
		{"after a key, in a directory", "a/", "a/b/c"},
		{"after the prefix", "a/b", "a/b"},
		{"after what is before the prefix", "a/b/", "a/a"},
		{"after what is past the prefix", "a/b/", "b"},
		{"after all", "", "zzz"},
		{"after no key", "", "a/../b"},
		{"a prefix that no key has", "../", ""},
		{"a prefix with an empty segment", "a//", ""},
		{"a prefix with a dot", "a/./", ""},
		{"a slash", "/", ""},
		{"bytes of no key", "a\x00/", "\xff\x00"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, want := list(t, s, tt.prefix, tt.after), selected(awkward, tt.prefix, tt.after)
			if !slices.Equal(got, want) {
				t.Errorf("List(%q, %q)\n = %q\nwant %q", tt.prefix, tt.after, got, want)
			}
		})
	}
}

// testListProperty compares List with a sorted slice, for keys of few bytes
// that sort around the slash.
func testListProperty(t *testing.T, s store.Store) {
	rnd := rand.New(rand.NewPCG(1, 2))
	const letters = "-./0a"
	random := func(maxLen int) string {
		b := make([]byte, rnd.IntN(maxLen+1))
		for i := range b {
			b[i] = letters[rnd.IntN(len(letters))]
		}
		return string(b)
	}
	var keys []string
	for len(keys) < 120 {
		key := random(9)
		if store.ValidKey(key) == nil && !slices.ContainsFunc(keys, func(k string) bool {
			return k == key || strings.HasPrefix(k, key+"/") || strings.HasPrefix(key, k+"/")
		}) {
			keys = append(keys, key)
		}
	}
	putAll(t, s, keys)
	for range 200 {
		prefix, after := random(3), random(9)
		got, want := list(t, s, prefix, after), selected(keys, prefix, after)
		if !slices.Equal(got, want) {
			t.Fatalf("List(%q, %q)\n = %q\nwant %q", prefix, after, got, want)
		}
	}
}

// testListMany lists more than any store gives in one answer.
func testListMany(t *testing.T, s store.Store) {
	var keys []string
	for i := range 1100 {
		keys = append(keys, fmt.Sprintf("many/%06d", i*7919%1100))
	}
	putAll(t, s, append(keys, "few/1"))
	want := selected(keys, "", "")
	if got := list(t, s, "many/", ""); !slices.Equal(got, want) {
		t.Errorf("List(many/): %d keys, or not in order; want %d", len(got), len(want))
	}
	if got := list(t, s, "many/", want[999]); !slices.Equal(got, want[1000:]) {
		t.Errorf("List(many/, %s): %d keys, or not in order; want %d", want[999], len(got), len(want)-1000)
	}
	if got := list(t, s, "few/", ""); len(got) != 1 {
		t.Errorf("List(few/) = %q; want one key", got)
	}
}

func testListEnds(t *testing.T, s store.Store) {
	putAll(t, s, []string{"a/1", "a/2", "b/1", "b/2", "c"})

	errStop := errors.New("enough")
	calls := 0
	err := s.List(t.Context(), "", "", func(store.Info) error {
		if calls++; calls == 2 {
			return errStop
		}
		return nil
	})
	if err != errStop || calls != 2 {
		t.Errorf("List = %v after %d calls; want fn's own error after 2", err, calls)
	}

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	calls = 0
	err = s.List(ctx, "", "", func(store.Info) error {
		if calls++; calls == 2 {
			cancel()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) || calls != 2 {
		t.Errorf("List = %v after %d calls; want context.Canceled after 2", err, calls)
	}
}

// testListWhileDeleting deletes each object when it is listed.
func testListWhileDeleting(t *testing.T, s store.Store) {
	keys := []string{"a/b/1", "a/b/2", "a/c/1", "a-b/1", "d", "e/f/1", "e/f/2"}
	putAll(t, s, keys)
	var got []string
	err := s.List(t.Context(), "", "", func(info store.Info) error {
		got = append(got, info.Key)
		return s.Delete(t.Context(), info.Key)
	})
	if want := selected(keys, "", ""); err != nil || !slices.Equal(got, want) {
		t.Errorf("List = %q, %v; want %q", got, err, want)
	}
	if left := list(t, s, "", ""); len(left) > 0 {
		t.Errorf("List = %q; want nothing", left)
	}
}
