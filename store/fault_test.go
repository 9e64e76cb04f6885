package store_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"tidemark/store"
	"tidemark/store/storetest"
)

func TestFault(t *testing.T) {
	t.Parallel()
	storetest.Test(t, func(*testing.T) store.Store { return store.NewFault(newMem()) })
}

// TestFailWrite breaks each write of a small program in turn, both ways.
func TestFailWrite(t *testing.T) {
	program := func(s store.Store) error {
		for _, key := range []string{"a", "b"} {
			if err := s.Put(t.Context(), key, strings.NewReader(key), 1); err != nil {
				return err
			}
			if _, err := s.Stat(t.Context(), key); err != nil { // no write
				return err
			}
		}
		return s.Delete(t.Context(), "a")
	}
	for _, tt := range []struct {
		apply bool
		want  []string // what is there after each failure, and after none
	}{
		{false, []string{"", "a", "a b", "b"}},
		{true, []string{"a", "a b", "b", "b"}},
	} {
		var got []string
		for n := range tt.want {
			mem := store.NewMem()
			f := store.NewFault(mem, store.FailWrite(n, tt.apply))
			err := program(f)
			last := n == len(tt.want)-1
			if last != (err == nil) || !last && !errors.Is(err, store.ErrInjected) || last != (f.Failed() == 0) {
				t.Errorf("write %d: %v, %d failed", n, err, f.Failed())
			}
			got = append(got, strings.Join(keysOf(t, mem), " "))
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("apply=%t: the store holds %q in turn; want %q", tt.apply, got, tt.want)
		}
	}
}

func keysOf(t *testing.T, s store.Store) (keys []string) {
	t.Helper()
	if err := s.List(t.Context(), "", "", func(info store.Info) error {
		keys = append(keys, fmt.Sprint(info.Key))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return keys
}

// TestHooks checks what hooks are told, and that the first to object decides.
func TestHooks(t *testing.T) {
	var told []string
	watch := func(op store.Op, key string, n int) (bool, error) {
		told = append(told, fmt.Sprint(op, " ", key, " ", n))
		return false, nil
	}
	errSecond := errors.New("second")
	object := func(op store.Op, _ string, _ int) (bool, error) {
		if op == store.OpRead {
			return false, errSecond
		}
		return false, nil
	}
	f := store.NewFault(store.NewMem(), watch, object, store.FailWrite(1, false))
	if err := f.Put(t.Context(), "a", strings.NewReader("x"), 1); err != nil {
		t.Error(err)
	}
	if _, err := f.Stat(t.Context(), "a"); err != nil {
		t.Error(err)
	}
	if n, err := f.ReadAt(t.Context(), "a", make([]byte, 1), 0); n != 0 || !errors.Is(err, errSecond) {
		t.Errorf("ReadAt = %d, %v; want the hook's error", n, err)
	}
	if err := f.Delete(t.Context(), "a"); !errors.Is(err, store.ErrInjected) {
		t.Errorf("Delete = %v; want ErrInjected", err)
	}
	if keys := keysOf(t, f); len(keys) != 1 {
		t.Errorf("List = %q; want a", keys)
	}
	if want := []string{"put a 0", "stat a 0", "read a 1", "delete a 1", "list  2"}; !slices.Equal(told, want) {
		t.Errorf("hooks were told %q; want %q", told, want)
	}
}

func TestDamage(t *testing.T) {
	f := store.NewFault(store.NewMem())
	for _, key := range []string{"a", "b"} {
		if err := f.Put(t.Context(), key, strings.NewReader("0123"), 4); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name   string
		change func([]byte) []byte
		want   string
	}{
		{"a bit", store.FlipBit(2), "0133"},
		{"truncated", store.Truncate(1), "0"},
		{"cut to nothing", store.Truncate(0), ""},
		{"another's bytes", func([]byte) []byte { return []byte("longer than it was") }, "longer than it was"},
		{"healed", nil, "0123"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f.Damage("a", tt.change)
			if got, err := store.ReadAll(t.Context(), f, "a", 100); err != nil || string(got) != tt.want {
				t.Errorf("ReadAll = %q, %v; want %q", got, err, tt.want)
			}
			p := make([]byte, 2)
			if n, err := f.ReadAt(t.Context(), "a", p, 2); err != nil || string(p[:n]) != tt.want[min(2, len(tt.want)):min(4, len(tt.want))] {
				t.Errorf("ReadAt(2 bytes at 2) = %q, %v", p[:n], err)
			}
			if info, err := f.Stat(t.Context(), "a"); err != nil || info.Size != int64(len(tt.want)) {
				t.Errorf("Stat = %+v, %v; want size %d", info, err, len(tt.want))
			}
			if err := f.List(t.Context(), "", "", func(info store.Info) error {
				if want := map[string]int{"a": len(tt.want), "b": 4}[info.Key]; info.Size != int64(want) {
					t.Errorf("List: %+v; want size %d", info, want)
				}
				return nil
			}); err != nil {
				t.Error(err)
			}
			if got, err := store.ReadAll(t.Context(), f, "b", 100); err != nil || string(got) != "0123" {
				t.Errorf("ReadAll(b) = %q, %v; want it unharmed", got, err)
			}
		})
	}
}
