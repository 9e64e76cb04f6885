package catalog_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"slices"
	"testing"

	"tidemark/catalog"
	"tidemark/keys"
	"tidemark/pack"
)

// A vault is a repository's keys, and a host that is enrolled in it.
type vault struct {
	secret  *keys.Secret
	keyring catalog.Keyring
	host    catalog.Host
	signing keys.PrivateKey // the host's
	run     *keys.Run       // of the host
}

func newVault(t testing.TB, host string) *vault {
	t.Helper()
	secret, err := keys.Generate(rand.Reader, false)
	if err != nil {
		t.Fatal(err)
	}
	return openVault(t, secret, host)
}

// openVault returns what a host of the repository of secret has.
func openVault(t testing.TB, secret *keys.Secret, host string) *vault {
	t.Helper()
	v := &vault{secret: secret, keyring: catalog.SecretKeyring(secret), signing: secret.HostKey(1, host)}
	segment, err := v.keyring.Names.Host(host)
	if err != nil {
		t.Fatal(err)
	}
	v.host = catalog.Host{Name: host, Segment: segment, Group: host}
	v.host.Keys = append(v.host.Keys, v.signing.Public())
	if v.run, err = secret.NewRun(rand.Reader, host); err != nil {
		t.Fatal(err)
	}
	return v
}

// wantReason checks that err refuses something for this reason.
func wantReason(t *testing.T, err error, reason pack.Reason) {
	t.Helper()
	damaged, ok := errors.AsType[*pack.DamageError](err)
	switch {
	case err == nil:
		t.Errorf("it was accepted, want reason %q", reason)
	case !ok || damaged.Reason != reason:
		t.Errorf("it was refused with %v, want reason %q", err, reason)
	case errors.Is(err, pack.ErrTooOld) != (reason == pack.ReasonVersion || reason == pack.ReasonExtension):
		t.Errorf("%v: ErrTooOld is not for reason %q", err, reason)
	}
}

// A sealed is an object of some kind, and how it is read.
type sealed struct {
	kind   pack.Kind
	object string
	b      []byte
	open   func(object string, b []byte) error
}

// sealedObjects returns an object of every kind that this package seals or
// signs.
func sealedObjects(t *testing.T, v *vault) []sealed {
	t.Helper()
	point, mark := samplePoint(t, v), sampleMark(t, v)
	rules, enrolment, condemned, feature := sampleRules(), sampleEnrolment(v), sampleCondemned(v), sampleFeature()
	openPoint := func(object string, b []byte) error {
		_, err := catalog.OpenPoint(v.keyring, v.host, object, b)
		return err
	}
	all := []sealed{
		{kind: pack.Point, open: openPoint},
		{kind: pack.Intent, open: openPoint},
		{kind: pack.Mark, open: func(object string, b []byte) error {
			_, err := catalog.OpenMark(v.keyring, v.host, object, b)
			return err
		}},
		{kind: pack.Rules, open: func(object string, b []byte) error {
			_, err := catalog.OpenRules(v.keyring, object, b)
			return err
		}},
		{kind: pack.Enrolment, open: func(object string, b []byte) error {
			_, err := catalog.OpenEnrolment(v.keyring, object, b)
			return err
		}},
		{kind: pack.Condemned, open: func(object string, b []byte) error {
			_, err := catalog.OpenCondemned(v.keyring, object, b)
			return err
		}},
		{kind: pack.Feature, open: func(object string, b []byte) error {
			_, err := catalog.ParseFeature(v.secret.Repository, object, b)
			return err
		}},
	}
	for i := range all {
		s := &all[i]
		var err error
		switch s.kind {
		case pack.Point:
			s.object, s.b, err = point.Seal(rand.Reader, catalog.PointArea, v.keyring, v.run, v.signing)
		case pack.Intent:
			s.object, s.b, err = point.Seal(rand.Reader, catalog.IntentArea, v.keyring, v.run, v.signing)
		case pack.Mark:
			s.object, s.b, err = mark.Seal(rand.Reader, v.keyring, 1, v.run, v.signing)
		case pack.Rules:
			s.object, s.b, err = rules.Seal(rand.Reader, v.keyring, v.secret.Signing())
		case pack.Enrolment:
			s.object, s.b, err = enrolment.Seal(rand.Reader, v.keyring, v.secret.Signing())
		case pack.Condemned:
			s.object, s.b, err = condemned.Seal(v.secret.Repository, v.secret.Signing())
		case pack.Feature:
			s.object, s.b, err = feature.Object(v.secret.Repository)
		}
		if err != nil {
			t.Fatalf("%v: %v", s.kind, err)
		}
	}
	return all
}

// TestObjectsDamaged damages an object of every kind in every way that its
// frame and its seal show.
func TestObjectsDamaged(t *testing.T) {
	v := newVault(t, "web")
	for _, s := range sealedObjects(t, v) {
		if err := s.open(s.object, s.b); err != nil {
			t.Errorf("%v as it was written: %v", s.kind, err)
		}
		for _, tt := range []struct {
			name   string
			at     int // offset of the byte that is changed
			to     byte
			reason pack.Reason
		}{
			{"not our magic", 0, 'X', pack.ReasonMagic},
			{"another kind", 4, byte(pack.DataPack), pack.ReasonKind},
			{"a later version", 5, 2, pack.ReasonVersion},
			{"a reserved byte", 7, 1, pack.ReasonReserved},
			{"another repository", 8, s.b[8] ^ 1, pack.ReasonRepository},
			{"another name", 26, 'x', pack.ReasonName},
		} {
			t.Run(s.kind.String()+" "+tt.name, func(t *testing.T) {
				b := slices.Clone(s.b)
				b[tt.at] = tt.to
				wantReason(t, s.open(s.object, b), tt.reason)
			})
		}
		t.Run(s.kind.String()+" cut short", func(t *testing.T) {
			wantReason(t, s.open(s.object, s.b[:20]), pack.ReasonTruncated)
		})
		t.Run(s.kind.String()+" too long", func(t *testing.T) {
			wantReason(t, s.open(s.object, append(slices.Clone(s.b), make([]byte, s.kind.Limit())...)), pack.ReasonLimit)
		})
		if s.kind == pack.Feature {
			continue // neither sealed nor signed
		}
		t.Run(s.kind.String()+" with a bit flipped", func(t *testing.T) {
			b := slices.Clone(s.b)
			b[len(b)-1] ^= 1
			err := s.open(s.object, b)
			if s.kind == pack.Condemned {
				wantReason(t, err, pack.ReasonSignature)
			} else {
				wantReason(t, err, pack.ReasonSeal)
			}
			if forged := errors.Is(err, catalog.ErrForged); forged != (s.kind == pack.Condemned) {
				t.Errorf("%v: ErrForged is for what opens and is not signed", err)
			}
		})
	}
}

// TestForgedObjects signs an object of every kind with a key that may not.
// Whoever knows the recipient can seal a run to it.
func TestForgedObjects(t *testing.T) {
	v := newVault(t, "web")
	thief := keys.NewPrivateKey([32]byte{1, 2, 3})
	point, mark := samplePoint(t, v), sampleMark(t, v)
	rules, enrolment, condemned := sampleRules(), sampleEnrolment(v), sampleCondemned(v)
	forge := map[pack.Kind]func() (string, []byte, error){
		pack.Point: func() (string, []byte, error) {
			return point.Seal(rand.Reader, catalog.PointArea, v.keyring, v.run, thief)
		},
		pack.Intent: func() (string, []byte, error) {
			return point.Seal(rand.Reader, catalog.IntentArea, v.keyring, v.run, thief)
		},
		pack.Mark:      func() (string, []byte, error) { return mark.Seal(rand.Reader, v.keyring, 1, v.run, thief) },
		pack.Rules:     func() (string, []byte, error) { return rules.Seal(rand.Reader, v.keyring, thief) },
		pack.Enrolment: func() (string, []byte, error) { return enrolment.Seal(rand.Reader, v.keyring, thief) },
		pack.Condemned: func() (string, []byte, error) { return condemned.Seal(v.secret.Repository, thief) },
	}
	for _, s := range sealedObjects(t, v) {
		if s.kind == pack.Feature {
			continue // anybody may
		}
		t.Run(s.kind.String(), func(t *testing.T) {
			object, b, err := forge[s.kind]()
			if err != nil {
				t.Fatal(err)
			}
			err = s.open(object, b)
			wantReason(t, err, pack.ReasonSignature)
			if !errors.Is(err, catalog.ErrForged) {
				t.Errorf("%v: want ErrForged", err)
			}
		})
	}
}

// TestObjectsExchanged reads every object under every other's name.
func TestObjectsExchanged(t *testing.T) {
	v := newVault(t, "web")
	all := sealedObjects(t, v)
	for _, s := range all {
		for _, other := range all {
			if s.kind == other.kind {
				continue
			}
			if err := s.open(s.object, other.b); err == nil {
				t.Errorf("%s was accepted as %s", other.object, s.object)
			}
			if err := s.open(other.object, other.b); err == nil && s.kind != pack.Point && s.kind != pack.Intent {
				t.Errorf("%s was opened as a %v", other.object, s.kind)
			}
		}
		if err := s.open("notes/today", s.b); err == nil {
			t.Errorf("a %v was opened under a name that the format does not describe", s.kind)
		}
	}
}

func TestCaptureKeyringWritesAndOpensNothing(t *testing.T) {
	v := newVault(t, "web")
	key, err := v.secret.CaptureOnly("web", "web", v.signing)
	if err != nil {
		t.Fatal(err)
	}
	only := catalog.CaptureKeyring(key)
	run, err := key.NewRun(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	object, b, err := samplePoint(t, v).Seal(rand.Reader, catalog.PointArea, only, run, key.Signing())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := catalog.OpenPoint(v.keyring, v.host, object, b); err != nil {
		t.Errorf("who holds the secret: %v", err)
	}
	if _, err := catalog.OpenPoint(only, v.host, object, b); !errors.Is(err, keys.ErrNotForUs) {
		t.Errorf("who holds the capture-only key got %v, want ErrNotForUs", err)
	}
	if _, _, err := sampleRules().Seal(rand.Reader, only, key.Signing()); err == nil {
		t.Error("who holds the capture-only key sealed rules")
	}
}

// A refusal is a value that cannot be written, or bytes that are refused.
type refusal[T any] struct {
	name   string
	change func(*T)            // of a good value
	edit   func([]byte) []byte // of its encoding
	reason pack.Reason
}

// tryRefusals checks that parse accepts what encode makes of good values, and
// refuses all changes of them.
func tryRefusals[T any](t *testing.T, good func() *T, encode func(*T) []byte, parse func([]byte) (*T, error), refusals []refusal[T]) {
	t.Helper()
	b := encode(good())
	got, err := parse(b)
	if err != nil {
		t.Fatal(err)
	}
	if again := encode(got); !bytes.Equal(again, b) {
		t.Fatalf("parsed %x, wrote back %x", b, again)
	}
	for n := range b {
		if _, err := parse(b[:n]); err == nil {
			t.Errorf("the first %d of %d bytes were accepted", n, len(b))
		}
	}
	common := []refusal[T]{
		{"a byte too many", nil, func(b []byte) []byte { return append(b, 0) }, pack.ReasonTrailing},
		{"a byte too few", nil, func(b []byte) []byte { return b[:len(b)-1] }, pack.ReasonTruncated},
		{"nothing", nil, func([]byte) []byte { return nil }, pack.ReasonTruncated},
	}
	for _, tt := range append(common, refusals...) {
		t.Run(tt.name, func(t *testing.T) {
			v := good()
			if tt.change != nil {
				tt.change(v)
			}
			b := encode(v)
			if tt.edit != nil {
				b = tt.edit(b)
			}
			_, err := parse(b)
			wantReason(t, err, tt.reason)
		})
	}
}

// replace returns an edit that writes to over the bytes from, wherever they
// stand first.
func replace(t *testing.T, from, to string) func([]byte) []byte {
	return func(b []byte) []byte {
		if !bytes.Contains(b, []byte(from)) {
			t.Errorf("%q is not in %x", from, b)
		}
		return bytes.Replace(b, []byte(from), []byte(to), 1)
	}
}

// What an older program ignores, and what it must not.
var (
	evenExt = []pack.Ext{{ID: 2, Value: []byte("kept")}, {ID: 4, Value: []byte{}}}
	oddExt  = []pack.Ext{{ID: 2}, {ID: 3}}
)
