package keys

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"fmt"
	"io"
	"strings"

	"filippo.io/age"
)

const captureTitle = "tidemark capture-only key"

// A CaptureKey is what one host needs to add points, and no more: it opens
// the index objects of its group and nothing else. Run keys are sealed to the
// recipient, and forgotten when the run ends. It is immutable, methods may be
// called concurrently, and it cannot be printed.
type CaptureKey struct {
	Repository RepositoryID
	Host       string
	Group      Group
	Recipient  string // that runs are sealed to: native age, "age1…"; public

	recipient age.Recipient
	names     Key
	chunking  Key
	signing   PrivateKey
	verify    ed25519.PublicKey
}

// ParseCaptureKey reads what [CaptureKey.Encode] writes, and nothing else.
// Its errors are a [*FormatError].
func ParseCaptureKey(b []byte) (*CaptureKey, error) {
	if len(b) > MaxKeyFile {
		return nil, malformed("capture-only key", "limit", "%d bytes, at most %d are allowed", len(b), MaxKeyFile)
	}
	t := &textReader{what: "capture-only key", rest: string(b)}
	k := new(CaptureKey)
	t.title(captureTitle)
	k.Repository = t.repository()
	k.Host = t.name(t.field("host"))
	epoch, rest, _ := strings.Cut(t.field("group"), " ")
	secret, name, _ := strings.Cut(rest, " ")
	k.Group = Group{t.parseEpoch(epoch), name, t.parseKey(secret)}
	t.name(name)
	k.Recipient = t.field("recipient")
	var ok bool
	if k.recipient, ok = parseNative(k.Recipient); !ok {
		t.fail("text", "not a native age recipient")
	}
	k.names = t.key("names")
	k.chunking = t.key("chunking")
	k.signing = PrivateKey{t.key("signing")}
	verify := t.key("verify").bytes()
	k.verify = verify[:]
	if err := t.done(); err != nil {
		return nil, err
	}
	return k, nil
}

// Encode returns the text of k, which the caller must not print:
// docs/format.md, section 4.
func (k *CaptureKey) Encode() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s 1\nrepository %s\nhost %s\n", captureTitle, k.Repository, k.Host)
	fmt.Fprintf(&b, "group %d %s %s\n", k.Group.Epoch, hexOf(k.Group.secret), k.Group.Name)
	fmt.Fprintf(&b, "recipient %s\n", k.Recipient)
	fmt.Fprintf(&b, "names %s\nchunking %s\nsigning %s\nverify %s\n",
		hexOf(k.names), hexOf(k.chunking), hexOf(k.signing.seed), hex.EncodeToString(k.verify))
	return b.Bytes()
}

// Names returns what seals and opens the names of hosts and sources.
func (k *CaptureKey) Names() *Names { return newNames(k.names) }

// Chunking returns the key of the splitter's gear table. The caller must not
// print it.
func (k *CaptureKey) Chunking() [32]byte { return k.chunking.bytes() }

// Signing returns the host's key, which signs its points.
func (k *CaptureKey) Signing() PrivateKey { return k.signing }

// Verify returns the key that checks the repository's signatures.
func (k *CaptureKey) Verify() ed25519.PublicKey { return bytes.Clone(k.verify) }

// NewRun begins a run. rand is crypto/rand.Reader but in tests.
func (k *CaptureKey) NewRun(rand io.Reader) (*Run, error) {
	return newRun(rand, k.Group, k.recipient)
}

// Format writes a placeholder, whatever the verb.
func (CaptureKey) Format(f fmt.State, _ rune) { io.WriteString(f, "keys.CaptureKey(redacted)") }
