package pack

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"

	"tidemark/keys"
)

// The ways in which a record is sealed.
const (
	sealedByRun     = 1 // the run's key; its secret, sealed by age, stands beside it
	sealedByRecords = 2 // the records key of the repository
	sealedByIndex   = 3 // the index key of a group
)

const (
	recordLabel = "tidemark 1 record"
	signedLabel = "tidemark 1 signed"

	nonceLen     = 12 // of AES-GCM, in bytes
	tagLen       = 16 // of AES-GCM, in bytes
	keyIDLen     = 16
	signatureLen = ed25519.SignatureSize
)

// A RecordKey seals records: made by [RunKey], [RecordsKey] or [IndexKey].
type RecordKey struct {
	sealing uint8
	id      [keyIDLen]byte
	run     []byte // sealed run secret, if sealedByRun
	key     keys.Key
}

// RunKey returns the key for points, intents and a host's marks.
func RunKey(run *keys.Run) RecordKey {
	return RecordKey{sealedByRun, run.ID, run.Sealed, run.Secret.Key}
}

// RecordsKey returns the key for rules, enrolments and the repository's
// marks; records is [keys.Secret.Records].
func RecordsKey(records keys.Key) RecordKey { return RecordKey{sealing: sealedByRecords, key: records} }

// IndexKey returns the key for index and moved.
func IndexKey(group keys.Group) RecordKey {
	return RecordKey{sealing: sealedByIndex, id: group.IndexID(), key: group.IndexKey()}
}

// A Ring is what can open records. [KeyRing] is one; a reader that keeps the
// runs it has opened is another.
type Ring interface {
	// Records returns the records key of the repository, or the zero Key if
	// the ring has none.
	Records() keys.Key

	// OpenRun opens a sealed run secret. Its error wraps keys.ErrNotForUs if
	// the ring cannot.
	OpenRun(sealed []byte) (keys.RunSecret, error)

	// Index returns the index key with this id, if the ring has it.
	Index(id [16]byte) (key keys.Key, ok bool)
}

// A KeyRing is the [Ring] of who holds a secret, or knows groups, or both.
// The zero value opens nothing.
type KeyRing struct {
	Secret *keys.Secret // or nil
	Groups []keys.Group // whose index can be opened
}

// Records implements [Ring].
func (r KeyRing) Records() keys.Key {
	if r.Secret == nil {
		return keys.Key{}
	}
	return r.Secret.Records()
}

// OpenRun implements [Ring].
func (r KeyRing) OpenRun(sealed []byte) (keys.RunSecret, error) {
	if r.Secret == nil {
		return keys.RunSecret{}, keys.ErrNotForUs
	}
	return r.Secret.OpenRun(sealed)
}

// Index implements [Ring].
func (r KeyRing) Index(id [16]byte) (keys.Key, bool) {
	for _, g := range r.Groups {
		if g.IndexID() == id {
			return g.IndexKey(), true
		}
	}
	return keys.Key{}, false
}

// SealRecord returns the object that holds body, sealed by with. rand is
// crypto/rand.Reader but in tests. The body of kinds 4 to 10 is signed, by
// [SignBody]. It panics if kind k is not sealed by such a key.
//
//	size  field
//	      frame
//	   1  sealing: 1 run key, 2 records key, 3 index key
//	  16  key id: run id, zeros, index id
//	 2+n  sealed run secret, str16: 1 to 3,072 bytes, or empty
//	  12  nonce, random
//	rest  AES-256-GCM of the body; the AAD is all bytes before the nonce
func SealRecord(rand io.Reader, k Kind, repo keys.RepositoryID, name string, with RecordKey, body []byte) ([]byte, error) {
	if !sealings(k, with.sealing) {
		panic(fmt.Sprintf("pack: sealing %s: kind %v with a key of sealing %d", name, k, with.sealing))
	}
	e := Encoder{AppendFrame(make([]byte, 0, len(body)+len(name)+len(with.run)+128), k, repo, name)}
	e.U8(with.sealing)
	e.Raw(with.id[:])
	e.Str16(string(with.run))
	aad := len(e.B)
	var nonce [nonceLen]byte
	if _, err := io.ReadFull(rand, nonce[:]); err != nil {
		return nil, fmt.Errorf("pack: %s: random bytes for a nonce: %w", name, err)
	}
	e.Raw(nonce[:])
	if size := int64(len(e.B) + len(body) + tagLen); size > k.Limit() {
		return nil, fmt.Errorf("pack: %s: a %v of %d bytes, the format allows %d", name, k, size, k.Limit())
	}
	return recordKey(with.key, k, repo, name).AEAD().Seal(e.B, nonce[:], body, e.B[:aad]), nil
}

// OpenRecord opens obj, which was read under name, and returns its body; run
// is the run that it is sealed by, or nil. The body's signature is still to
// be checked, by [VerifyBody].
//
// The error is a [*DamageError], or wraps keys.ErrNotForUs if ring cannot
// open it, or is what ring's OpenRun failed with.
func OpenRecord(k Kind, repo keys.RepositoryID, name string, obj []byte, ring Ring) (body []byte, run *keys.RunSecret, err error) {
	if int64(len(obj)) > k.Limit() {
		return nil, nil, damage(name, ReasonLimit, "%d bytes, at most %d are allowed", len(obj), k.Limit())
	}
	d := NewDecoder(name, obj)
	ParseFrame(d, k, repo, name)
	sealing := d.U8()
	if d.Err() == nil && !sealings(k, sealing) {
		d.Fail(ReasonRange, "a %v with sealing %d", k, sealing)
	}
	id := d.Raw(keyIDLen)
	sealed := parseSealedRun(d, sealing == sealedByRun)
	aad := obj[:d.Offset()]
	nonce := d.Raw(nonceLen)
	box := d.Rest()
	if len(box) < tagLen {
		d.Fail(ReasonTruncated, "it ends early: no room for the seal")
	}
	if err := d.Err(); err != nil {
		return nil, nil, err
	}
	key, run, err := openKey(name, sealing, [keyIDLen]byte(id), sealed, ring)
	if err != nil {
		return nil, nil, err
	}
	body, err = recordKey(key, k, repo, name).AEAD().Open(nil, nonce, box, aad)
	if err != nil {
		return nil, nil, damage(name, ReasonSeal, "its seal does not open")
	}
	return body, run, nil
}

// openKey finds the key of a record by how and for whom it is sealed.
func openKey(name string, sealing uint8, id [keyIDLen]byte, sealed []byte, ring Ring) (keys.Key, *keys.RunSecret, error) {
	switch sealing {
	case sealedByRun:
		run, err := ring.OpenRun(sealed)
		if err != nil {
			return keys.Key{}, nil, runError(name, err)
		}
		if run.ID() != keys.RunID(id) {
			return keys.Key{}, nil, damage(name, ReasonID, "the run secret in it is that of run %s, not of %x", run.ID(), id)
		}
		return run.Key, &run, nil
	case sealedByRecords:
		if id != ([keyIDLen]byte{}) {
			return keys.Key{}, nil, damage(name, ReasonReserved, "reserved bytes are not zero")
		}
		if key := ring.Records(); !key.IsZero() {
			return key, nil, nil
		}
		return keys.Key{}, nil, fmt.Errorf("pack: %s: %w: it takes the repository's full key", name, keys.ErrNotForUs)
	}
	if key, ok := ring.Index(id); ok {
		return key, nil, nil
	}
	return keys.Key{}, nil, fmt.Errorf("pack: %s: %w: it belongs to another group or epoch", name, keys.ErrNotForUs)
}

// runError says what is wrong with a run secret that stands in an object.
func runError(name string, err error) error {
	if bad, ok := errors.AsType[*keys.FormatError](err); ok {
		return damage(name, Reason(bad.Reason), "its run's key: %s: %s", bad.What, bad.Detail)
	}
	return fmt.Errorf("pack: %s: opening its run's key: %w", name, err)
}

// parseSealedRun takes a sealed run secret, which is there or empty.
func parseSealedRun(d *Decoder, there bool) []byte {
	least, most := 0, 0
	if there {
		least, most = 1, keys.MaxSealedRun
	}
	return d.bounded(int64(d.U16()), least, most)
}

// sealings reports whether objects of kind k may have this sealing.
func sealings(k Kind, sealing uint8) bool {
	switch k {
	case Point, Intent:
		return sealing == sealedByRun
	case Mark:
		return sealing == sealedByRun || sealing == sealedByRecords
	case Rules, Enrolment:
		return sealing == sealedByRecords
	case Index, Moved:
		return sealing == sealedByIndex
	}
	return false
}

func recordKey(key keys.Key, k Kind, repo keys.RepositoryID, name string) keys.Key {
	return key.Derive(repo[:], recordLabel+string([]byte{byte(k)})+name)
}

// PlainRecord returns the object of a kind that is not sealed, condemned or
// feature, that holds body.
func PlainRecord(k Kind, repo keys.RepositoryID, name string, body []byte) []byte {
	return append(AppendFrame(nil, k, repo, name), body...)
}

// OpenPlain returns the body of an object that is not sealed. The error is a
// [*DamageError].
func OpenPlain(k Kind, repo keys.RepositoryID, name string, obj []byte) (body []byte, err error) {
	if int64(len(obj)) > k.Limit() {
		return nil, damage(name, ReasonLimit, "%d bytes, at most %d are allowed", len(obj), k.Limit())
	}
	d := NewDecoder(name, obj)
	if err := ParseFrame(d, k, repo, name); err != nil {
		return nil, err
	}
	return d.Rest(), nil
}

// SignBody returns body with 64 bytes after it: the signature, by key, of
// "tidemark 1 signed" || the object's frame || body.
func SignBody(k Kind, repo keys.RepositoryID, name string, body []byte, key keys.PrivateKey) []byte {
	return append(body[:len(body):len(body)], key.Sign(signedMessage(k, repo, name, body))...)
}

// VerifyBody returns what stands before the signature in signed, if one of
// the keys pub made it. The error is a [*DamageError], [ReasonSignature].
func VerifyBody(k Kind, repo keys.RepositoryID, name string, signed []byte, pub ...ed25519.PublicKey) (body []byte, err error) {
	n := len(signed) - signatureLen
	if n < 0 {
		return nil, damage(name, ReasonTruncated, "it ends early: no room for a signature")
	}
	body = signed[:n:n]
	msg := signedMessage(k, repo, name, body)
	for _, p := range pub {
		if len(p) == ed25519.PublicKeySize && ed25519.Verify(p, msg, signed[n:]) {
			return body, nil
		}
	}
	return nil, damage(name, ReasonSignature, "none of the keys that may sign it did")
}

func signedMessage(k Kind, repo keys.RepositoryID, name string, body []byte) []byte {
	return append(AppendFrame([]byte(signedLabel), k, repo, name), body...)
}
