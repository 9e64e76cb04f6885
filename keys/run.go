package keys

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"

	"filippo.io/age"
)

// Labels of derived keys and ids.
const (
	groupLabel   = "tidemark 1 group"
	indexLabel   = "tidemark 1 index"
	indexIDLabel = "tidemark 1 index id"
	runLabel     = "tidemark 1 run"
)

// A Group is a trust group in one epoch: hosts of one group reuse each
// other's chunks. It cannot be printed but for its name and epoch.
type Group struct {
	Epoch uint32
	Name  string

	secret Key
}

// deriveGroup returns the group called name in the epoch of groups, the
// epoch's groups key.
func deriveGroup(groups Key, epoch uint32, name string) Group {
	info := binary.LittleEndian.AppendUint32([]byte(groupLabel), epoch)
	return Group{epoch, name, groups.Derive(nil, string(info)+name)}
}

// Secret returns the bytes that the group's id keys are derived from, for
// chunk.NewKeys. The caller must not print them.
func (g Group) Secret() [32]byte { return g.secret.bytes() }

// IndexKey returns the key that seals the group's index objects.
func (g Group) IndexKey() Key { return g.secret.Derive(nil, indexLabel) }

// IndexID names the index key in the objects that it seals.
func (g Group) IndexID() [16]byte {
	key := g.IndexKey().bytes()
	sum := sha256.Sum256(append([]byte(indexIDLabel), key[:]...))
	return [16]byte(sum[:16])
}

// Format writes the name and the epoch, whatever the verb.
func (g Group) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "keys.Group(%q, epoch %d, redacted)", g.Name, g.Epoch)
}

// RunSecretLen is the length of an encoded [RunSecret], in bytes.
const RunSecretLen = 101

// A RunSecret is what a run's key file opens to: the key that its packs and
// points are sealed under, and the group whose id keys name its chunks. It
// cannot be printed.
type RunSecret struct {
	Key   Key
	Epoch uint32 // from 1
	Group string // the group's name, see [ValidName]
}

// Encode returns the 101 bytes of r: its key, which the caller must not
// print. r must be valid: made by NewRun or [ParseRunSecret].
//
//	offset  size  field
//	     0    32  run key
//	    32     4  epoch, u32
//	    36     1  length of the group's name
//	    37    64  the group's name, filled up with zeros
func (r RunSecret) Encode() [RunSecretLen]byte {
	var b [RunSecretLen]byte
	key := r.Key.bytes()
	copy(b[:], key[:])
	binary.LittleEndian.PutUint32(b[32:], r.Epoch)
	b[36] = byte(len(r.Group))
	copy(b[37:], r.Group)
	return b
}

// ParseRunSecret reads what [RunSecret.Encode] writes, and nothing else. Its
// errors are a [*FormatError].
func ParseRunSecret(b []byte) (RunSecret, error) {
	const what = "run secret"
	switch {
	case len(b) < RunSecretLen:
		return RunSecret{}, malformed(what, "truncated", "%d bytes, want %d", len(b), RunSecretLen)
	case len(b) > RunSecretLen:
		return RunSecret{}, malformed(what, "trailing", "%d bytes, want %d", len(b), RunSecretLen)
	}
	epoch, n := binary.LittleEndian.Uint32(b[32:]), int(b[36])
	switch {
	case epoch == 0:
		return RunSecret{}, malformed(what, "range", "epoch 0")
	case n == 0 || n > MaxName:
		return RunSecret{}, malformed(what, "length", "a group's name of %d bytes", n)
	case !zeros(b[37+n:]):
		return RunSecret{}, malformed(what, "padding", "bytes after the group's name are not zero")
	}
	group := string(b[37 : 37+n])
	if err := checkName(what, group); err != nil {
		return RunSecret{}, err
	}
	return RunSecret{Key: NewKey([32]byte(b[:32])), Epoch: epoch, Group: group}, nil
}

// ID returns the id of the run.
func (r RunSecret) ID() RunID {
	b := r.Encode()
	sum := sha256.Sum256(append([]byte(runLabel), b[:]...))
	return RunID(sum[:16])
}

// Format writes a placeholder, whatever the verb.
func (RunSecret) Format(f fmt.State, _ rune) { io.WriteString(f, "keys.RunSecret(redacted)") }

// A Run is a run open for writing.
type Run struct {
	Secret RunSecret
	ID     RunID  // of Secret
	Sealed []byte // Secret, sealed by age; the same in every object of the run
}

// newRun begins a run of group, sealed to the recipient to.
func newRun(rand io.Reader, group Group, to age.Recipient) (*Run, error) {
	key, err := randomKey(rand)
	if err != nil {
		return nil, err
	}
	secret := RunSecret{Key: key, Epoch: group.Epoch, Group: group.Name}
	plain := secret.Encode()
	sealed, err := encrypt(plain[:], to)
	if err != nil {
		return nil, fmt.Errorf("keys: sealing a run's key: %w", err)
	}
	if len(sealed) > MaxSealedRun {
		return nil, fmt.Errorf("keys: sealing a run's key: age made %d bytes, the format allows %d", len(sealed), MaxSealedRun)
	}
	return &Run{Secret: secret, ID: secret.ID(), Sealed: sealed}, nil
}

func zeros(b []byte) bool { return len(bytes.Trim(b, "\x00")) == 0 }
