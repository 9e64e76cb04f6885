package keys

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"filippo.io/age"
)

const (
	secretTitle = "tidemark secret"
	hostLabel   = "tidemark 1 host"
)

// A Secret is what the full key of a repository is: who holds it can do
// everything. It is immutable, and methods may be called concurrently. It
// cannot be printed.
type Secret struct {
	Repository RepositoryID

	identities []identity // at least one; the last is the newest
	names      Key
	records    Key
	chunking   Key
	signing    Key
	groups     []epochKey // at least one, epochs ascending
}

// An identity of the repository: what runs are sealed to. Native age only,
// so that opening a run needs no person and no program.
type identity struct {
	id        func() age.Identity
	text      func() string
	recipient age.Recipient
}

type epochKey struct {
	epoch uint32
	key   Key
}

// Generate makes the secret of a new repository from rand, which is
// crypto/rand.Reader but in tests. Its age identity, X25519 or the
// post-quantum hybrid, is made by age itself, from its own source.
func Generate(rand io.Reader, postQuantum bool) (*Secret, error) {
	s := new(Secret)
	if _, err := io.ReadFull(rand, s.Repository[:]); err != nil {
		return nil, fmt.Errorf("keys: random bytes for a repository id: %w", err)
	}
	for _, k := range []*Key{&s.names, &s.records, &s.chunking, &s.signing} {
		var err error
		if *k, err = randomKey(rand); err != nil {
			return nil, err
		}
	}
	return s.Rotate(rand, postQuantum)
}

// Rotate returns s with one more identity and one more epoch, which new runs
// use: they are closed to who holds s, or an older secret, only.
func (s *Secret) Rotate(rand io.Reader, postQuantum bool) (*Secret, error) {
	if s.Epoch() == math.MaxUint32 {
		return nil, errors.New("keys: rotating: the secret is in the last epoch there is")
	}
	id, err := generateIdentity(postQuantum)
	if err != nil {
		return nil, fmt.Errorf("keys: generating an identity: %w", err)
	}
	key, err := randomKey(rand)
	if err != nil {
		return nil, err
	}
	next := *s
	next.identities = append(slices.Clip(s.identities), id)
	next.groups = append(slices.Clip(s.groups), epochKey{s.Epoch() + 1, key})
	return &next, nil
}

// ParseSecret reads what [Secret.Encode] writes, and nothing else. Its errors
// are a [*FormatError].
func ParseSecret(b []byte) (*Secret, error) {
	if len(b) > MaxKeyFile {
		return nil, malformed("secret", "limit", "%d bytes, at most %d are allowed", len(b), MaxKeyFile)
	}
	t := &textReader{what: "secret", rest: string(b)}
	s := new(Secret)
	t.title(secretTitle)
	s.Repository = t.repository()
	for first := true; first || t.follows("identity"); first = false {
		id, ok := parseIdentity(t.field("identity"))
		if !ok {
			t.fail("text", "not an age identity")
		}
		s.identities = append(s.identities, id)
	}
	s.names = t.key("names")
	s.records = t.key("records")
	s.chunking = t.key("chunking")
	s.signing = t.key("signing")
	for first := true; first || t.follows("groups"); first = false {
		epoch, key, _ := strings.Cut(t.field("groups"), " ")
		e := epochKey{t.parseEpoch(epoch), t.parseKey(key)}
		switch last := s.Epoch(); {
		case e.epoch == last:
			t.fail("duplicate", "the epoch of the line before")
		case e.epoch < last:
			t.fail("order", "epochs do not rise")
		}
		s.groups = append(s.groups, e)
	}
	if err := t.done(); err != nil {
		return nil, err
	}
	return s, nil
}

// Encode returns the text of s, which the caller must not print:
// docs/format.md, section 4.
func (s *Secret) Encode() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s 1\nrepository %s\n", secretTitle, s.Repository)
	for _, id := range s.identities {
		fmt.Fprintf(&b, "identity %s\n", id.text())
	}
	fmt.Fprintf(&b, "names %s\nrecords %s\nchunking %s\nsigning %s\n",
		hexOf(s.names), hexOf(s.records), hexOf(s.chunking), hexOf(s.signing))
	for _, e := range s.groups {
		fmt.Fprintf(&b, "groups %d %s\n", e.epoch, hexOf(e.key))
	}
	return b.Bytes()
}

// Better reports whether s is newer than o: it has the higher epoch, or of
// equal epochs more identities.
func (s *Secret) Better(o *Secret) bool {
	if s.Epoch() != o.Epoch() {
		return s.Epoch() > o.Epoch()
	}
	return len(s.identities) > len(o.identities)
}

// Epoch returns the newest epoch, which new runs use.
func (s *Secret) Epoch() uint32 {
	if len(s.groups) == 0 {
		return 0 // while a secret is being made
	}
	return s.groups[len(s.groups)-1].epoch
}

// Epochs returns all epochs, ascending.
func (s *Secret) Epochs() []uint32 {
	epochs := make([]uint32, len(s.groups))
	for i, e := range s.groups {
		epochs[i] = e.epoch
	}
	return epochs
}

// Group returns the trust group called name as it is in epoch. Its error
// wraps [ErrNotForUs] if s is too old to know the epoch.
func (s *Secret) Group(epoch uint32, name string) (Group, error) {
	if err := checkName("group name", name); err != nil {
		return Group{}, err
	}
	for _, e := range s.groups {
		if e.epoch == epoch {
			return deriveGroup(e.key, epoch, name), nil
		}
	}
	return Group{}, fmt.Errorf("keys: group %q: epoch %d: %w: this secret knows epochs up to %d", name, epoch, ErrNotForUs, s.Epoch())
}

// Names returns what seals and opens the names of hosts and sources.
func (s *Secret) Names() *Names { return newNames(s.names) }

// Records returns the key of the records that belong to the repository as a
// whole: rules, enrolments, its own marks.
func (s *Secret) Records() Key { return s.records }

// Chunking returns the key of the splitter's gear table. The caller must not
// print it.
func (s *Secret) Chunking() [32]byte { return s.chunking.bytes() }

// Signing returns the repository's own key, which signs rules, enrolments and
// what prune writes.
func (s *Secret) Signing() PrivateKey { return PrivateKey{s.signing} }

// Verify returns the key that checks the repository's signatures.
func (s *Secret) Verify() ed25519.PublicKey { return s.Signing().Public() }

// HostKey returns the signing key of enrolment n of host. Only writers derive
// it; readers use the public key in the enrolment.
func (s *Secret) HostKey(n uint32, host string) PrivateKey {
	info := binary.LittleEndian.AppendUint32([]byte(hostLabel), n)
	return PrivateKey{s.signing.Derive(nil, string(info)+host)}
}

// Recipient returns the recipient that new runs are sealed to. It is public.
func (s *Secret) Recipient() string {
	return fmt.Sprint(s.identities[len(s.identities)-1].recipient)
}

// NewRun begins a run of group in the newest epoch, sealed to the newest
// recipient. rand is crypto/rand.Reader but in tests.
func (s *Secret) NewRun(rand io.Reader, group string) (*Run, error) {
	g, err := s.Group(s.Epoch(), group)
	if err != nil {
		return nil, err
	}
	return newRun(rand, g, s.identities[len(s.identities)-1].recipient)
}

// OpenRun opens a sealed run secret. It costs one opening by age, about 0.1
// ms an identity: callers keep the result. The error wraps [ErrNotForUs] if
// no identity of s opens it, and is a [*FormatError] if it is damaged.
func (s *Secret) OpenRun(sealed []byte) (RunSecret, error) {
	if len(sealed) > MaxSealedRun {
		return RunSecret{}, malformed("sealed run secret", "limit", "%d bytes, at most %d are allowed", len(sealed), MaxSealedRun)
	}
	ids := make([]age.Identity, 0, len(s.identities))
	for _, id := range slices.Backward(s.identities) {
		ids = append(ids, id.id())
	}
	plain, err := decrypt("sealed run secret", sealed, RunSecretLen, ids, ErrNotForUs)
	if _, bad := errors.AsType[*FormatError](err); err != nil && !bad && !errors.Is(err, ErrNotForUs) {
		// Native identities fail for no other reason than what the file says.
		return RunSecret{}, malformed("sealed run secret", "seal", "it does not open: %v", err)
	}
	if err != nil {
		return RunSecret{}, err
	}
	return ParseRunSecret(plain)
}

// CaptureOnly returns the key with which host adds points, in the newest
// epoch of group. signing is the key that is enrolled for the host.
func (s *Secret) CaptureOnly(host, group string, signing PrivateKey) (*CaptureKey, error) {
	if err := checkName("host name", host); err != nil {
		return nil, err
	}
	if signing.IsZero() {
		return nil, fmt.Errorf("keys: capture-only key for %q: it has no signing key", host)
	}
	g, err := s.Group(s.Epoch(), group)
	if err != nil {
		return nil, err
	}
	return &CaptureKey{
		Repository: s.Repository,
		Host:       host,
		Group:      g,
		Recipient:  s.Recipient(),
		recipient:  s.identities[len(s.identities)-1].recipient,
		names:      s.names,
		chunking:   s.chunking,
		signing:    signing,
		verify:     s.Verify(),
	}, nil
}

// Format writes a placeholder, whatever the verb.
func (Secret) Format(f fmt.State, _ rune) { io.WriteString(f, "keys.Secret(redacted)") }
