package catalog

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"

	"tidemark/keys"
	"tidemark/pack"
)

// A Keyring is what somebody holds of the keys of a repository, as far as its
// records need them: [SecretKeyring], [CaptureKeyring].
type Keyring struct {
	Repository keys.RepositoryID
	Names      *keys.Names
	Verify     ed25519.PublicKey // the repository's
	Ring       pack.Ring         // opens records
}

// SecretKeyring returns the keyring of who holds the secret. It can open
// every record.
func SecretKeyring(s *keys.Secret) Keyring {
	return Keyring{s.Repository, s.Names(), s.Verify(), pack.KeyRing{Secret: s}}
}

// CaptureKeyring returns the keyring of who holds a capture-only key. It can
// write points and list them, and open none.
func CaptureKeyring(k *keys.CaptureKey) Keyring {
	return Keyring{k.Repository, k.Names(), k.Verify(), pack.KeyRing{Groups: []keys.Group{k.Group}}}
}

// ErrForged means that an object, though it opens, is not what somebody
// signed who may: its signature is not good, or the names in it are not those
// that it is stored under. It is not shown and not counted, and that is said.
// Any other damage is told to whoever asks for the object. (Both are
// [pack.ErrDamaged].)
var ErrForged = errors.New("not signed by who may write it")

// forged returns an error that is ErrForged and, for whoever wants the
// reason, a [*pack.DamageError].
func forged(object string, reason pack.Reason, format string, args ...any) error {
	return forgedBy(damage(object, reason, format, args...))
}

func forgedBy(cause error) error { return fmt.Errorf("catalog: %w: %w", ErrForged, cause) }

func damage(object string, reason pack.Reason, format string, args ...any) error {
	return &pack.DamageError{Object: object, Reason: reason, Detail: fmt.Sprintf(format, args...)}
}

// reasonOf returns the reason in err, which is a *pack.DamageError.
func reasonOf(err error) pack.Reason {
	if damaged, ok := errors.AsType[*pack.DamageError](err); ok {
		return damaged.Reason
	}
	return pack.ReasonRange
}

// parseObject takes apart the name of an object that is to be read, or was
// written, as one of area.
func parseObject(object string, areas ...Area) (ObjectName, error) {
	name, err := ParseObjectName(object)
	if err != nil {
		return ObjectName{}, err
	}
	for _, area := range areas {
		if name.Area == area {
			return name, nil
		}
	}
	return ObjectName{}, fmt.Errorf("catalog: %s: an object of %s is wanted", object, areas[0])
}

// openSigned returns the body of a sealed record, if one of signers signed it.
func (k Keyring) openSigned(kind pack.Kind, object string, obj []byte, signers ...ed25519.PublicKey) ([]byte, *keys.RunSecret, error) {
	signed, run, err := pack.OpenRecord(kind, k.Repository, object, obj, k.Ring)
	if err != nil {
		return nil, nil, err
	}
	body, err := pack.VerifyBody(kind, k.Repository, object, signed, signers...)
	if err != nil {
		return nil, nil, forgedBy(err)
	}
	return body, run, nil
}

// sealSigned returns the record that holds body, signed. The sealing is that
// of run or, if it is nil, of the records key.
func (k Keyring) sealSigned(rand io.Reader, kind pack.Kind, object string, body []byte, run *keys.Run, signing keys.PrivateKey) ([]byte, error) {
	var with pack.RecordKey
	if run != nil {
		with = pack.RunKey(run)
	} else {
		records := k.Ring.Records()
		if records.IsZero() {
			return nil, fmt.Errorf("catalog: writing %s: it takes the repository's full key", object)
		}
		with = pack.RecordsKey(records)
	}
	signed := pack.SignBody(kind, k.Repository, object, body, signing)
	return pack.SealRecord(rand, kind, k.Repository, object, with, signed)
}

// What the bodies of records have in common.

// takeName takes the name of a host, a source or a group; empty, if that is
// allowed, or valid.
func takeName(d *pack.Decoder, least int) string {
	name := d.Str8(least, keys.MaxName)
	checkText(d, name)
	return name
}

// checkText fails unless s is empty or a valid name.
func checkText(d *pack.Decoder, s string) {
	if s == "" {
		return
	}
	if err := keys.ValidName(s); err != nil {
		d.Fail(pack.ReasonText, "%v", err)
	}
}

func takeTime(d *pack.Decoder) Time {
	sec, nsec := d.Time()
	return Time{sec, nsec}
}

func putTime(e *pack.Encoder, t Time) { e.Time(t.Sec, t.Nsec) }

// takeFlag takes a byte that is 0 or 1.
func takeFlag(d *pack.Decoder) bool {
	b := d.U8()
	if b > 1 {
		d.Fail(pack.ReasonRange, "a byte that is %d, not 0 or 1", b)
	}
	return b == 1
}

func putFlag(e *pack.Encoder, set bool) {
	if set {
		e.U8(1)
	} else {
		e.U8(0)
	}
}

// ascending fails unless order, the comparison of a row with the next one, is
// below 0.
func ascending(d *pack.Decoder, order int) {
	switch {
	case order == 0:
		d.Fail(pack.ReasonDuplicate, "a row stands twice")
	case order > 0:
		d.Fail(pack.ReasonOrder, "rows do not ascend")
	}
}

// checkLengths returns an error if one of the fields, of what is to be
// written, has more than max bytes.
func checkLengths(what string, max int, fields ...string) error {
	for _, f := range fields {
		if len(f) > max {
			return fmt.Errorf("catalog: %s: %.40q… has %d bytes, the format has room for %d", what, f, len(f), max)
		}
	}
	return nil
}

// sealedSegment reports whether s can be a sealed name.
func sealedSegment(s string) bool {
	return len(s) <= maxSegmentLen && madeOf(base32Chars, s)
}
