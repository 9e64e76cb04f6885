package keys_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"tidemark/keys"
)

// fixedSecret is a secret of known keys: what is derived from it was computed
// by another program.
const fixedSecret = `tidemark secret 1
repository 000102030405060708090a0b0c0d0e0f
identity AGE-SECRET-KEY-19SNVQ03ETFAH765NZGNVA3S2QZ20ZVU66L3W6GF8035F98LY633SVTDAZZ
identity AGE-SECRET-KEY-1H76CA23U3MXURU9YY9CWUVSH6UY7CGHKA6JSRLYWTN05F7WXMNKSET2Q3R
names 1111111111111111111111111111111111111111111111111111111111111111
records 2222222222222222222222222222222222222222222222222222222222222222
chunking 3333333333333333333333333333333333333333333333333333333333333333
signing 4444444444444444444444444444444444444444444444444444444444444444
groups 1 5555555555555555555555555555555555555555555555555555555555555555
groups 7 6666666666666666666666666666666666666666666666666666666666666666
`

const fixedRecipient = "age1vndkgzndtkahrylrgatcxf9y8u7vsvxnz4hh9rcw99prdsl0cf3q5tfqe8" // of the newest identity

const fixedCaptureKey = `tidemark capture-only key 1
repository 000102030405060708090a0b0c0d0e0f
host web1
group 7 2b7aa50a1900ed8febc39ef259add8457463b7d6e6ddd8ccc8a3f1ebdc1384c0 web
recipient ` + fixedRecipient + `
names 1111111111111111111111111111111111111111111111111111111111111111
chunking 3333333333333333333333333333333333333333333333333333333333333333
signing 7777777777777777777777777777777777777777777777777777777777777777
verify d759793bbc13a2819a827c76adb6fba8a49aee007f49f2d0992d99b825ad2c48
`

func secret(t testing.TB) *keys.Secret {
	t.Helper()
	s, err := keys.ParseSecret([]byte(fixedSecret))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func generate(t testing.TB, postQuantum bool) *keys.Secret {
	t.Helper()
	s, err := keys.Generate(counter(1), postQuantum)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// counter is a source of bytes that are never twice the same in 32 of them.
func counter(start byte) io.Reader { return &countReader{start} }

type countReader struct{ next byte }

func (r *countReader) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = r.next
		r.next++
	}
	return len(p), nil
}

// wantReason checks that err is a FormatError for this reason.
func wantReason(t *testing.T, err error, reason string) {
	t.Helper()
	bad, ok := errors.AsType[*keys.FormatError](err)
	if !ok {
		t.Fatalf("error is %v (%T); want a FormatError with reason %q", err, err, reason)
	}
	if bad.Reason != reason {
		t.Errorf("reason is %q (%v); want %q", bad.Reason, err, reason)
	}
}

func pattern(b byte) [32]byte { return [32]byte(bytes.Repeat([]byte{b}, 32)) }

// A textCase changes a text in one place.
type textCase struct {
	name, old, new string
	reason         string
}

// testTextCases checks that parse refuses each changed text for its reason.
func testTextCases(t *testing.T, text string, cases []textCase, parse func([]byte) error) {
	for _, tt := range cases {
		t.Run(tt.name, func(t *testing.T) {
			if strings.Count(text, tt.old) != 1 {
				t.Fatalf("%q is not once in the text", tt.old)
			}
			err := parse([]byte(strings.Replace(text, tt.old, tt.new, 1)))
			wantReason(t, err, tt.reason)
			for _, key := range []string{"1111", "2222", "3333", "4444", "5555", "6666", "7777", "2b7aa5", "SECRET"} {
				if err != nil && strings.Contains(err.Error(), key) {
					t.Errorf("the error repeats key material: %v", err)
				}
			}
		})
	}
	t.Run("every prefix", func(t *testing.T) {
		for n := range len(text) {
			if strings.HasPrefix(text[n:], "groups 7 ") {
				continue // an older secret, whole
			}
			if err := parse([]byte(text[:n])); err == nil {
				t.Errorf("the first %d bytes are accepted", n)
			}
		}
	})
}
