package chunk_test

import (
	"bytes"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"tidemark/chunk"
)

// secret returns n, n+1, … n+31: an obvious key for vectors.
func secret(n byte) (s [32]byte) {
	for i := range s {
		s[i] = n + byte(i)
	}
	return s
}

// The vectors were computed by a separate program, in Python.
func TestIDVectors(t *testing.T) {
	k := chunk.NewKeys(secret(0))
	for _, tt := range []struct{ in, chunk, page string }{
		{
			"",
			"2d372918489be411339411deecaa6d24d5030e0b98c6af23c160d7bd8fd336ce",
			"3bfd4ad9a9fd9a8bd81f7fe2223da805e9fb2511b4f63187705d396e1b73af9c",
		},
		{
			"abc",
			"03df0a5261842d197a58f402fadd2b7fba12636de6005616da6789e3b4af1b74",
			"d5a6791c104660bdd28c9db35ef0b984bf2ada91909b5f875fee5c4aca838138",
		},
	} {
		if got := k.ChunkID([]byte(tt.in)).String(); got != tt.chunk {
			t.Errorf("ChunkID(%q) = %s, want %s", tt.in, got, tt.chunk)
		}
		if got := k.PageID([]byte(tt.in)).String(); got != tt.page {
			t.Errorf("PageID(%q) = %s, want %s", tt.in, got, tt.page)
		}
	}
}

// referenceID is the definition of an id, by the standard library.
func referenceID(t *testing.T, groupSecret [32]byte, label string, p []byte) chunk.ID {
	t.Helper()
	key := derivedKey(t, groupSecret, label)
	h := hmac.New(sha256.New, key[:])
	h.Write(p)
	return chunk.ID(h.Sum(nil))
}

func derivedKey(t *testing.T, secret [32]byte, label string) [32]byte {
	t.Helper()
	key, err := hkdf.Key(sha256.New, secret[:], nil, label, 32)
	if err != nil {
		t.Fatal(err)
	}
	return [32]byte(key)
}

// TestIDsConcurrently computes ids of many lengths under two groups' keys at
// once, so that a state shared by mistake shows.
func TestIDsConcurrently(t *testing.T) {
	data := stream(5000)
	var wg sync.WaitGroup
	for g := range byte(2) {
		keys := chunk.NewKeys(secret(g))
		for worker := range 4 {
			wg.Go(func() {
				for n := worker; n < len(data); n += 97 {
					p := data[:n]
					if got, want := keys.ChunkID(p), referenceID(t, secret(g), "tidemark 1 chunk id", p); got != want {
						t.Errorf("group %d: ChunkID(%d bytes) = %s, want %s", g, n, got, want)
					}
					if got, want := keys.PageID(p), referenceID(t, secret(g), "tidemark 1 page id", p); got != want {
						t.Errorf("group %d: PageID(%d bytes) = %s, want %s", g, n, got, want)
					}
				}
			})
		}
	}
	wg.Wait()
}

func TestVerify(t *testing.T) {
	k, other := chunk.NewKeys(secret(0)), chunk.NewKeys(secret(1))
	p := stream(1000)
	changed := bytes.Clone(p)
	changed[999] ^= 1
	for _, tt := range []struct {
		name string
		err  error
		ok   bool
	}{
		{"a chunk", k.VerifyChunk(k.ChunkID(p), p), true},
		{"a page", k.VerifyPage(k.PageID(p), p), true},
		{"an empty chunk", k.VerifyChunk(k.ChunkID(nil), nil), true},
		{"a chunk with a bit flipped", k.VerifyChunk(k.ChunkID(p), changed), false},
		{"a page with a bit flipped", k.VerifyPage(k.PageID(p), changed), false},
		{"a chunk cut short", k.VerifyChunk(k.ChunkID(p), p[:999]), false},
		{"a chunk under a page's id", k.VerifyChunk(k.PageID(p), p), false},
		{"a page under a chunk's id", k.VerifyPage(k.ChunkID(p), p), false},
		{"another group's chunk", k.VerifyChunk(other.ChunkID(p), p), false},
		{"the zero id", k.VerifyChunk(chunk.ID{}, nil), false},
	} {
		if tt.ok && tt.err != nil {
			t.Errorf("%s: %v", tt.name, tt.err)
		}
		if !tt.ok && !errors.Is(tt.err, chunk.ErrCorrupt) {
			t.Errorf("%s: error %v, want one wrapping ErrCorrupt", tt.name, tt.err)
		}
	}
	if err := k.VerifyPage(k.PageID(p), changed); !strings.Contains(err.Error(), k.PageID(p).String()) {
		t.Errorf("%q does not name the page", err)
	}
}

// TestSecretsDoNotPrint prints keys and tables in every way that comes to
// mind, and looks for the secrets and what is derived from them.
func TestSecretsDoNotPrint(t *testing.T) {
	k, table := chunk.NewKeys(secret(100)), chunk.NewTable(secret(150))
	k.ChunkID(nil) // so that it holds a state
	k.PageID(nil)
	if got := fmt.Sprintf("%v %+v %#v %d", k, &k, table, &table); got != "chunk.Keys(redacted) chunk.Keys(redacted) chunk.Table(redacted) chunk.Table(redacted)" {
		t.Errorf("prints %q", got)
	}

	type holder struct { // fmt calls no method of what is in an unexported field
		keys   chunk.Keys
		table  chunk.Table
		tables []*chunk.Table
		Keys   chunk.Keys
		Table  *chunk.Table
	}
	var out strings.Builder
	for _, v := range []any{k, &k, table, &table, holder{k, table, []*chunk.Table{&table}, k, &table}} {
		for verb := rune('!'); verb <= '~'; verb++ {
			for _, flags := range []string{"", "+", "#", " "} {
				fmt.Fprintf(&out, "%"+flags+string(verb)+"\n", v)
			}
		}
		j, err := json.Marshal(v)
		fmt.Fprintf(&out, "%s %v\n", j, err)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("m", "v", v)
		slog.New(slog.NewTextHandler(&out, nil)).Info("m", "v", v)
	}
	printed := strings.ToLower(out.String())
	for what, forms := range secretForms(t, secret(100), secret(150)) {
		for _, form := range forms {
			if i := strings.Index(printed, form); i >= 0 {
				t.Errorf("prints the %s: …%q…", what, printed[max(0, i-40):i+len(form)])
			}
		}
	}
}

// secretForms returns how the start of each secret looks when it is printed,
// in lower case.
func secretForms(t *testing.T, groupSecret, chunkingKey [32]byte) map[string][]string {
	forms := make(map[string][]string)
	for what, b := range map[string][32]byte{
		"group secret": groupSecret,
		"chunk key":    derivedKey(t, groupSecret, "tidemark 1 chunk id"),
		"page key":     derivedKey(t, groupSecret, "tidemark 1 page id"),
		"chunking key": chunkingKey,
	} {
		for _, verb := range []string{"%d", "%o", "%b", "%x", "% x", "%s", "%#v"} {
			form := strings.NewReplacer("[]byte{", "", "}", "", "[", "", "]", "").Replace(fmt.Sprintf(verb, b[:6]))
			forms[what] = append(forms[what], strings.ToLower(form))
		}
	}
	for _, word := range referenceTable(chunkingKey)[:8] {
		for _, verb := range []string{"%d", "%o", "%b", "%x"} {
			forms["gear table"] = append(forms["gear table"], fmt.Sprintf(verb, word))
		}
	}
	return forms
}

// TestIDReusesStates guards the pool. A state made for each id would take more
// than three allocations. There are none, but under the race detector, where
// a sync.Pool drops a quarter of what it is given.
func TestIDReusesStates(t *testing.T) {
	k, p := chunk.NewKeys(secret(0)), stream(100)
	if n := testing.AllocsPerRun(1000, func() { k.ChunkID(p) }); n > 3 {
		t.Errorf("ChunkID makes %v allocations", n)
	}
}
