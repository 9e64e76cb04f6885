package keys

import (
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	nameMACLabel    = "tidemark 1 names mac"
	nameCipherLabel = "tidemark 1 names cipher"

	tagLen   = 16 // bytes of a sealed name before the encrypted ones
	padBlock = 32 // a padded name's length is a multiple of it, so that lengths say little
)

// segmentCoding is base32 of RFC 4648, in lower case, without padding.
var segmentCoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// ValidName returns an error unless name may name a host, a source or a
// group: 1 to 64 bytes of UTF-8 without control characters and without "/",
// and neither "." nor "..".
func ValidName(name string) error { return checkName("name", name) }

func checkName(what, name string) error {
	switch {
	case name == "":
		return malformed(what, "length", "a name is empty")
	case len(name) > MaxName:
		return malformed(what, "length", "the name %.80q has %d bytes, at most %d fit", name, len(name), MaxName)
	case name == "." || name == "..":
		return malformed(what, "text", "%q is not a name", name)
	case !utf8.ValidString(name):
		return malformed(what, "text", "the name %q is not UTF-8", name)
	case strings.ContainsRune(name, '/') || strings.ContainsFunc(name, unicode.IsControl):
		return malformed(what, "text", `the name %q holds "/" or a control character`, name)
	}
	return nil
}

// Names seals the names of hosts and sources into segments of object names,
// and opens them again. It is a deterministic authenticated encryption: equal
// names have equal segments, so that one LIST gives the names to whoever
// holds the key and nothing else to anyone else.
//
// Methods may be called concurrently. A Names cannot be printed.
type Names struct{ mac, cipher Key }

func newNames(key Key) *Names {
	return &Names{mac: key.Derive(nil, nameMACLabel), cipher: key.Derive(nil, nameCipherLabel)}
}

// Host returns the segment that stands for the host called name. Its errors
// are those of [ValidName].
func (n *Names) Host(name string) (string, error) {
	if err := checkName("host name", name); err != nil {
		return "", err
	}
	return n.seal(hostContext, name), nil
}

// OpenHost returns the host's name that segment stands for. Its errors are a
// [*FormatError]; a segment that does not open is no host of this repository.
func (n *Names) OpenHost(segment string) (string, error) {
	return n.open("host name", hostContext, segment)
}

// Source returns the segment that stands for the source called name of host.
// Its errors are those of [ValidName].
func (n *Names) Source(host, name string) (string, error) {
	if err := checkName("host name", host); err != nil {
		return "", err
	}
	if err := checkName("source name", name); err != nil {
		return "", err
	}
	return n.seal(n.sourceContext(host), name), nil
}

// OpenSource returns the name that segment stands for below host. Its errors
// are a [*FormatError].
func (n *Names) OpenSource(host, segment string) (string, error) {
	if err := checkName("host name", host); err != nil {
		return "", err
	}
	return n.open("source name", n.sourceContext(host), segment)
}

// Format writes a placeholder, whatever the verb.
func (Names) Format(f fmt.State, _ rune) { io.WriteString(f, "keys.Names(redacted)") }

// hostContext is what the tag of a host's name binds besides the name.
const hostContext = "\x01"

// sourceContext binds a source's name to its host.
func (n *Names) sourceContext(host string) string {
	tag := n.tag(hostContext, pad(host))
	return "\x02" + string(tag[:])
}

func (n *Names) seal(context, name string) string {
	padded := pad(name)
	tag := n.tag(context, padded)
	sealed := append(tag[:], padded...)
	cipher.NewCTR(n.cipher.aes(), tag[:]).XORKeyStream(sealed[tagLen:], padded)
	return segmentCoding.EncodeToString(sealed)
}

func (n *Names) open(what, context, segment string) (string, error) {
	if len(segment) > segmentCoding.EncodedLen(tagLen+paddedLen(MaxName)) {
		return "", malformed(what, "length", "a sealed name of %d characters", len(segment))
	}
	sealed, err := segmentCoding.DecodeString(segment)
	if err != nil || segmentCoding.EncodeToString(sealed) != segment {
		return "", malformed(what, "text", "%q is not lower-case base32", segment)
	}
	if len(sealed) < tagLen+padBlock || (len(sealed)-tagLen)%padBlock != 0 {
		return "", malformed(what, "length", "a sealed name of %d bytes", len(sealed))
	}
	tag, padded := [tagLen]byte(sealed), sealed[tagLen:]
	cipher.NewCTR(n.cipher.aes(), tag[:]).XORKeyStream(padded, padded)
	if want := n.tag(context, padded); !hmac.Equal(tag[:], want[:]) {
		return "", malformed(what, "seal", "%q does not open with this repository's names key", segment)
	}
	size := int(padded[0])
	if size == 0 || size > MaxName || paddedLen(size) != len(padded) {
		return "", malformed(what, "length", "a name of %d bytes in a sealed one of %d", size, len(sealed))
	}
	if !zeros(padded[1+size:]) {
		return "", malformed(what, "padding", "bytes after the name are not zero")
	}
	name := string(padded[1 : 1+size])
	return name, checkName(what, name)
}

func (n *Names) tag(context string, padded []byte) [tagLen]byte {
	key := n.mac.bytes()
	mac := hmac.New(sha256.New, key[:])
	io.WriteString(mac, context)
	mac.Write(padded)
	return [tagLen]byte(mac.Sum(nil))
}

// pad returns name with its length before it and zeros after it.
func pad(name string) []byte {
	b := make([]byte, paddedLen(len(name)))
	b[0] = byte(len(name))
	copy(b[1:], name)
	return b
}

// paddedLen returns the length of a padded name of n bytes.
func paddedLen(n int) int { return (1 + n + padBlock - 1) / padBlock * padBlock }
