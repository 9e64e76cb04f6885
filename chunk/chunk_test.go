package chunk_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"tidemark/chunk"
)

func TestParseID(t *testing.T) {
	good := strings.Repeat("0123456789abcdef", 4)
	for _, tt := range []struct {
		name string
		s    string
		ok   bool
	}{
		{"what String writes", good, true},
		{"all zeros", strings.Repeat("0", 64), true},
		{"empty", "", false},
		{"upper case", strings.ToUpper(good), false},
		{"one upper-case digit", good[:63] + "F", false},
		{"a digit short", good[:63], false},
		{"two digits short", good[:62], false},
		{"two digits long", good + "00", false},
		{"not hex", good[:63] + "g", false},
		{"a space in front", " " + good[:63], false},
		{"a newline at the end", good[:63] + "\n", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			id, err := chunk.ParseID(tt.s)
			if (err == nil) != tt.ok {
				t.Fatalf("ParseID(%q) = %v, %v; want ok %t", tt.s, id, err, tt.ok)
			}
			if tt.ok && id.String() != tt.s {
				t.Errorf("ParseID(%q).String() = %q", tt.s, id)
			}
			if !tt.ok && !id.IsZero() {
				t.Errorf("ParseID(%q) = %v beside an error; want the zero id", tt.s, id)
			}
		})
	}
}

func TestParseIDErrorIsShort(t *testing.T) {
	_, err := chunk.ParseID(strings.Repeat("x", 1<<20))
	if err == nil || len(err.Error()) > 200 {
		t.Errorf("ParseID of a MiB says %.300v; want a short error", err)
	}
}

func TestIDCompare(t *testing.T) {
	ids := []chunk.ID{{0}, {31: 1}, {0: 1}, {0: 1, 31: 9}, {0: 0x80}, {0: 0xff}}
	for i, a := range ids {
		for j, b := range ids {
			want := min(1, max(-1, i-j))
			if got := a.Compare(b); got != want {
				t.Errorf("%v.Compare(%v) = %d, want %d", a, b, got, want)
			}
			if got := strings.Compare(a.String(), b.String()); got != want {
				t.Errorf("text of %v compares %d with that of %v, want %d", a, got, b, want)
			}
		}
	}
	if !slices.IsSortedFunc(ids, chunk.ID.Compare) {
		t.Error("ids are not sorted by Compare")
	}
}

func TestIDIsZero(t *testing.T) {
	if !(chunk.ID{}).IsZero() {
		t.Error("the zero id is not zero")
	}
	for i := range len(chunk.ID{}) {
		var id chunk.ID
		id[i] = 1
		if id.IsZero() {
			t.Errorf("an id with byte %d set is zero", i)
		}
	}
}

func FuzzParseID(f *testing.F) {
	f.Add(chunk.ID{1, 2, 3}.String())
	f.Add(strings.Repeat("A", 64))
	f.Add("00")
	f.Fuzz(func(t *testing.T, s string) {
		id, err := chunk.ParseID(s)
		if err != nil {
			return // refusing is fine; accepting must round-trip
		}
		if id.String() != s || !bytes.Equal([]byte(s), bytes.ToLower([]byte(s))) {
			t.Fatalf("ParseID(%q) accepts what String writes as %q", s, id)
		}
	})
}
