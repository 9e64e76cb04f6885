package chunk

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"sync"
)

// The labels of what is derived from a secret: the info of HKDF-SHA-256, in
// ASCII, with an empty salt. docs/format.md lists all labels of the format.
const (
	chunkLabel = "tidemark 1 chunk id"
	pageLabel  = "tidemark 1 page id"
	gearLabel  = "tidemark 1 gear table"
)

// Keys are the id keys of one trust group in one epoch.
//
// Both come from the group's secret of that epoch by HKDF-SHA-256 (empty
// salt, 32 bytes): the chunk key with the info "tidemark 1 chunk id", the
// page key with "tidemark 1 page id". An id is HMAC-SHA-256 under its key.
//
// Keys are made by [NewKeys]; the zero value is of no use. A copy is the same
// keys. Methods may be called concurrently. Keys cannot be printed: Format
// answers for the verbs of fmt, encoding/json and hence slog see no exported
// field, and what reflection finds are addresses.
type Keys struct {
	chunk, page *mac
}

// NewKeys derives the id keys from a group's secret.
func NewKeys(groupSecret [32]byte) Keys {
	return Keys{
		chunk: newMAC(derive(groupSecret, chunkLabel, sha256.Size)),
		page:  newMAC(derive(groupSecret, pageLabel, sha256.Size)),
	}
}

// ChunkID returns the id of the chunk whose plaintext is p.
func (k Keys) ChunkID(p []byte) ID { return k.chunk.sum(p) }

// PageID returns the id of the page whose identity section is identity.
func (k Keys) PageID(identity []byte) ID { return k.page.sum(identity) }

// VerifyChunk returns an error wrapping [ErrCorrupt] unless p is the
// plaintext of the chunk that id names.
func (k Keys) VerifyChunk(id ID, p []byte) error { return verify("chunk", id, k.ChunkID(p), p) }

// VerifyPage returns an error wrapping [ErrCorrupt] unless identity is the
// identity section of the page that id names.
func (k Keys) VerifyPage(id ID, identity []byte) error {
	return verify("page", id, k.PageID(identity), identity)
}

// Format writes a placeholder, whatever the verb.
func (Keys) Format(f fmt.State, _ rune) { io.WriteString(f, "chunk.Keys(redacted)") }

func verify(noun string, want, got ID, p []byte) error {
	if !hmac.Equal(want[:], got[:]) {
		return fmt.Errorf("chunk: %s %s: %w: these %d bytes have the id %s", noun, want, ErrCorrupt, len(p), got)
	}
	return nil
}

// A mac computes HMAC-SHA-256 under one key, for any number of goroutines.
// Hashing the key anew would cost two blocks and five allocations a call, so
// it keeps states whose key is in already.
type mac struct {
	states sync.Pool // of *macState, reset
}

type macState struct {
	hash hash.Hash
	out  ID // here rather than on the stack, where Sum's argument cannot stay
}

func newMAC(key []byte) *mac {
	m := new(mac)
	m.states.New = func() any { return &macState{hash: hmac.New(sha256.New, key)} }
	return m
}

func (m *mac) sum(p []byte) ID {
	s := m.states.Get().(*macState)
	s.hash.Write(p)
	s.hash.Sum(s.out[:0])
	id := s.out
	s.hash.Reset()
	m.states.Put(s)
	return id
}

// derive returns n bytes of HKDF-SHA-256 of secret, with an empty salt and
// the label as info.
func derive(secret [32]byte, label string, n int) []byte {
	b, err := hkdf.Key(sha256.New, secret[:], nil, label, n)
	if err != nil {
		panic("chunk: deriving a key: " + err.Error()) // only for lengths that no caller here asks for
	}
	return b
}
