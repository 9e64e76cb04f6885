// Package keys holds the secrets of a repository and what is derived from
// them. It is the only importer of age.
//
//	key file ──age──▶ Secret ──▶ Group, Names, PrivateKey, records key
//	                    │ └────▶ CaptureKey: adds points of one host, opens nothing
//	                    ▼
//	                   Run: a fresh key a writing session, sealed to the newest recipient
//
// A [Secret] is what the full key of a repository is. It is sealed by age to
// any number of recipients ([Secret.Seal], [OpenSecret]). A [CaptureKey] is
// the part of it that one host needs to add points. Each writing session
// makes a [Run], whose key opens what that session wrote.
//
// Nothing here that is secret can be printed: types that hold key material
// answer every fmt verb with a placeholder, have no exported field that
// encoding/json or log/slog would show, and keep it in a func, so that
// printing a struct around them, in whose unexported fields fmt calls no
// method, shows an address. (A pointer would not do: with a verb that does
// not fit, as %s, fmt shows what it points to.) What returns bytes of a key
// says so.
//
// The normative text is docs/format.md, sections 4 and 5.
package keys

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
)

// Limits of docs/format.md, section 19.
const (
	// MaxKeyFile bounds a key file, in bytes. It leaves room for some hundred
	// recipients, identities and epochs, and bounds what age has to parse.
	MaxKeyFile = 64 << 10

	// MaxSealedRun bounds a sealed run secret, in bytes. The largest that age
	// makes, for a post-quantum recipient, has 1,691.
	MaxSealedRun = 3072

	// MaxName bounds the name of a host, source or group, in bytes: sealed,
	// it must fit into one segment of an object's name.
	MaxName = 64
)

var (
	// ErrNotForUs means that a run, or an index, is sealed to an identity or
	// a group that the key at hand does not hold. A newer secret may open it.
	// For a run, age cannot tell that from some kinds of damage.
	ErrNotForUs = errors.New("sealed to another key")

	// ErrWrongKey means that none of the identities or passphrases given
	// opens a key file. Age cannot tell that from some kinds of damage.
	ErrWrongKey = errors.New("wrong passphrase or identity")
)

// A FormatError says that bytes are not what they should be: damaged, or
// made by a program that does not follow docs/format.md.
type FormatError struct {
	What   string // "secret", "host name", …
	Reason string // a word of docs/format.md, section 17: "order", "length", "text", …
	Detail string // a sentence without key material
}

func (e *FormatError) Error() string { return "keys: " + e.What + ": " + e.Detail }

func malformed(what, reason, format string, args ...any) error {
	return &FormatError{what, reason, fmt.Sprintf(format, args...)}
}

// A RepositoryID tells repositories apart. It is random, and no secret.
type RepositoryID [16]byte

// String returns id as 32 lower-case hex digits, the form that
// [ParseRepositoryID] reads.
func (id RepositoryID) String() string { return hex.EncodeToString(id[:]) }

// ParseRepositoryID reads the form that [RepositoryID.String] writes, and no
// other.
func ParseRepositoryID(s string) (RepositoryID, error) {
	id, err := parseID("repository id", s)
	return RepositoryID(id), err
}

// A RunID names a run: the first 16 bytes of SHA-256("tidemark 1 run" || run
// secret). So it commits to the run's key and group.
type RunID [16]byte

// String returns id as 32 lower-case hex digits, the form that [ParseRunID]
// reads.
func (id RunID) String() string { return hex.EncodeToString(id[:]) }

// Compare returns -1, 0 or +1: the order of the ids' bytes, which is also
// that of their text.
func (id RunID) Compare(other RunID) int { return bytes.Compare(id[:], other[:]) }

// ParseRunID reads the form that [RunID.String] writes, and no other.
func ParseRunID(s string) (RunID, error) {
	id, err := parseID("run id", s)
	return RunID(id), err
}

func parseID(what, s string) ([16]byte, error) {
	var id [16]byte
	if len(s) != 2*len(id) {
		return id, malformed(what, "length", "%.80q is not 32 hex digits", s)
	}
	if !decodeHex(id[:], s) {
		return [16]byte{}, malformed(what, "text", "%q is not 32 lower-case hex digits", s)
	}
	return id, nil
}

// decodeHex fills dst from s, which has twice its length, and reports whether
// s was lower-case hex digits.
func decodeHex(dst []byte, s string) bool {
	_, err := hex.Decode(dst, []byte(s))
	return err == nil && hex.EncodeToString(dst) == s
}

// A Key is 32 secret bytes that other keys are derived from, or that seal
// something. The zero value is no key. It cannot be printed.
type Key struct{ bytes func() [32]byte }

// NewKey returns the key of these bytes.
func NewKey(b [32]byte) Key { return Key{func() [32]byte { return b }} }

func randomKey(rand io.Reader) (Key, error) {
	var b [32]byte
	if _, err := io.ReadFull(rand, b[:]); err != nil {
		return Key{}, fmt.Errorf("keys: random bytes for a key: %w", err)
	}
	return NewKey(b), nil
}

// IsZero reports whether k is no key.
func (k Key) IsZero() bool { return k.bytes == nil }

// Derive returns HKDF-SHA-256(k, salt, info): the key of another purpose.
// k must not be zero.
func (k Key) Derive(salt []byte, info string) Key {
	b := k.bytes()
	derived, err := hkdf.Key(sha256.New, b[:], salt, info, len(b))
	if err != nil {
		panic("keys: deriving a key: " + err.Error()) // only for lengths of more than 8 KiB
	}
	return NewKey([32]byte(derived))
}

// AEAD returns AES-256-GCM under k, for any number of goroutines. k must not
// be zero.
func (k Key) AEAD() cipher.AEAD {
	aead, err := cipher.NewGCM(k.aes())
	if err != nil {
		panic("keys: " + err.Error()) // only for blocks of another size
	}
	return aead
}

func (k Key) aes() cipher.Block {
	b := k.bytes()
	block, err := aes.NewCipher(b[:])
	if err != nil {
		panic("keys: " + err.Error()) // only for keys of another length
	}
	return block
}

// Format writes a placeholder, whatever the verb.
func (Key) Format(f fmt.State, _ rune) { io.WriteString(f, "keys.Key(redacted)") }

// A PrivateKey signs, by Ed25519, for a host or for the repository. The zero
// value is no key. It cannot be printed.
type PrivateKey struct{ seed Key }

// NewPrivateKey returns the key that seed determines.
func NewPrivateKey(seed [32]byte) PrivateKey { return PrivateKey{NewKey(seed)} }

// IsZero reports whether k is no key.
func (k PrivateKey) IsZero() bool { return k.seed.IsZero() }

// Public returns the key that checks k's signatures. k must not be zero.
func (k PrivateKey) Public() ed25519.PublicKey { return k.key().Public().(ed25519.PublicKey) }

// Sign returns the 64 bytes of k's signature of msg. k must not be zero.
func (k PrivateKey) Sign(msg []byte) []byte { return ed25519.Sign(k.key(), msg) }

func (k PrivateKey) key() ed25519.PrivateKey {
	seed := k.seed.bytes()
	return ed25519.NewKeyFromSeed(seed[:])
}

// Format writes a placeholder, whatever the verb.
func (PrivateKey) Format(f fmt.State, _ rune) { io.WriteString(f, "keys.PrivateKey(redacted)") }
