package pack_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"testing"

	"tidemark/keys"
	"tidemark/pack"
)

// A recordCase is one sort of record, and the SHA-256 of what another program
// made of the same keys, nonce and body, or "".
type recordCase struct {
	kind   pack.Kind
	name   string
	key    pack.RecordKey
	by     string // what the key is
	signed bool
	sum    string
}

func recordCases() []recordCase {
	run, records, index := pack.RunKey(fixedRun()), pack.RecordsKey(secret().Records()), pack.IndexKey(group())
	return []recordCase{
		{pack.Point, "points/x/y/z", run, "run", true, "35e99e47935c05465cee0a2a4fb4b4e5c6b3b8689b0c5554a8201087c6f5afb3"},
		{pack.Index, "index/x/y/z", index, "index", false, "f6a868c96b01eca5569c0134a5ceee5f148c565124ad94b0d47e98bc0d71b779"},
		{pack.Rules, "rules/00000001", records, "records", false, "7826230f36c1bfd46dfd18f41a7d474d5055807faa40c30f25c4c9ee1cee9064"},
		{pack.Intent, "intents/x/y/z", run, "run", true, ""},
		{pack.Mark, "marks/x/y/z", run, "run", true, ""},
		{pack.Mark, "marks/x/y/z", records, "records", true, ""},
		{pack.Enrolment, "hosts/x/00000001", records, "records", true, ""},
		{pack.Moved, "moved/x/y/z/0", index, "index", true, ""},
	}
}

func TestRecords(t *testing.T) {
	repo, sign := secret().Repository, secret().Signing()
	for _, tt := range recordCases() {
		body := []byte("the body")
		if tt.signed {
			body = pack.SignBody(tt.kind, repo, tt.name, body, sign)
		}
		obj, err := pack.SealRecord(counter(), tt.kind, repo, tt.name, tt.key, body)
		if err != nil {
			t.Fatal(err)
		}
		if sum := sha256.Sum256(obj); tt.sum != "" && hex.EncodeToString(sum[:]) != tt.sum {
			t.Errorf("%v: the object differs from what another program makes: %x", tt.kind, obj)
		}
		got, run, err := pack.OpenRecord(tt.kind, repo, tt.name, obj, ring())
		if err != nil || !bytes.Equal(got, body) {
			t.Fatalf("%v opens as %q, %v", tt.kind, got, err)
		}
		if (tt.by == "run") != (run != nil) || run != nil && run.ID() != fixedRun().ID {
			t.Errorf("%v: the run is %v", tt.kind, run)
		}
		quick := oneRunRing{ring()}
		for i := range obj {
			obj[i] ^= 1 << (i % 8)
			if _, _, err := pack.OpenRecord(tt.kind, repo, tt.name, obj, quick); err == nil {
				t.Errorf("%v: bit %d of byte %d can be flipped", tt.kind, i%8, i)
			}
			obj[i] ^= 1 << (i % 8)
			if _, _, err := pack.OpenRecord(tt.kind, repo, tt.name, obj[:i], quick); err == nil {
				t.Errorf("%v: it can be cut to %d bytes", tt.kind, i)
			}
		}
	}
}

// A oneRunRing knows the fixed run, as readers remember runs, and no other:
// that no changed bit of a sealed run opens is for the tests of keys.
type oneRunRing struct{ pack.KeyRing }

func (oneRunRing) OpenRun(sealed []byte) (keys.RunSecret, error) {
	if run := fixedRun(); bytes.Equal(sealed, run.Sealed) {
		return run.Secret, nil
	}
	return keys.RunSecret{}, keys.ErrNotForUs
}

func TestOpenRecordRefuses(t *testing.T) {
	const name = "points/x/y/z"
	repo := secret().Repository
	seal := func(k pack.Kind, key pack.RecordKey) []byte {
		return must(pack.SealRecord(counter(), k, repo, name, key, []byte("the body")))
	}
	point := seal(pack.Point, pack.RunKey(fixedRun()))
	rules := seal(pack.Rules, pack.RecordsKey(secret().Records()))
	at := len(pack.AppendFrame(nil, pack.Point, repo, name)) // of the sealing
	const runAt, sizeAt, ageAt = 1, 17, 19                   // after it
	other := *fixedRun()
	other.ID[0]++
	for _, tt := range []struct {
		name   string
		kind   pack.Kind
		obj    []byte
		reason pack.Reason
	}{
		{"an intent for a point", pack.Point, seal(pack.Intent, pack.RunKey(fixedRun())), "kind"},
		{"sealing 0", pack.Point, change(point, at, 1, 0), "range"},
		{"sealing 4", pack.Point, change(point, at, 1, 4), "range"},
		{"a point sealed as rules are", pack.Point, change(point, at, 1, 2), "range"},
		{"rules sealed as a point is", pack.Rules, change(rules, at, 1, 1), "range"},
		{"rules with a key id", pack.Rules, change(rules, at+runAt, 1, 1), "reserved"},
		{"rules with a run", pack.Rules, change(rules, at+sizeAt, 2, 1, 0, 'x'), "limit"},
		{"another run's id", pack.Point, seal(pack.Point, pack.RunKey(&other)), "id"},
		{"no run secret", pack.Point, change(point, at+sizeAt, 2, 0, 0), "length"},
		{"a long run secret", pack.Point, change(point, at+sizeAt, 2, 1, 12), "limit"},
		{"a run secret that is not age's", pack.Point, change(point, at+ageAt, 3, 'A', 'G', 'E'), "text"},
		{"a flipped nonce", pack.Point, change(point, len(point)-24-12, 1, 99), "seal"},
		{"a flipped body", pack.Point, change(point, len(point)-24, 1, 99), "seal"},
		{"cut in the tag", pack.Point, point[:len(point)-1], "seal"},
		{"cut before the tag", pack.Point, point[:len(point)-9], "truncated"},
		{"a byte more", pack.Point, append(bytes.Clone(point), 0), "seal"},
		{"too long", pack.Point, append(bytes.Clone(point), make([]byte, pack.Point.Limit())...), "limit"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := pack.OpenRecord(tt.kind, repo, name, tt.obj, ring())
			wantDamage(t, err, name, tt.reason)
		})
	}
	_, _, err := pack.OpenRecord(pack.Point, repo, "points/x/y/0", point, ring())
	wantDamage(t, err, "points/x/y/0", pack.ReasonName)
	_, _, err = pack.OpenRecord(pack.Point, keys.RepositoryID{}, name, point, ring())
	wantDamage(t, err, name, pack.ReasonRepository)
}

func TestNotForUs(t *testing.T) {
	repo := secret().Repository
	stranger := must(keys.Generate(counter(), false))
	rings := map[string]pack.KeyRing{
		"an empty ring":               {},
		"another secret and group":    {Secret: stranger, Groups: []keys.Group{must(stranger.Group(1, "web"))}},
		"another group of the secret": {Groups: []keys.Group{must(secret().Group(1, "db"))}},
	}
	for _, tt := range recordCases() {
		obj := must(pack.SealRecord(counter(), tt.kind, repo, tt.name, tt.key, []byte("the body")))
		for what, r := range rings {
			_, _, err := pack.OpenRecord(tt.kind, repo, tt.name, obj, r)
			if tt.by == "records" && r.Secret != nil {
				wantDamage(t, err, tt.name, pack.ReasonSeal) // the records key of another repository
			} else if !errors.Is(err, keys.ErrNotForUs) || errors.Is(err, pack.ErrDamaged) {
				t.Errorf("%v with %s: %v, want ErrNotForUs", tt.kind, what, err)
			}
		}
	}
}

func TestSealRecordRefuses(t *testing.T) {
	s := secret()
	run, records, index := pack.RunKey(fixedRun()), pack.RecordsKey(s.Records()), pack.IndexKey(group())
	for k := pack.Kind(0); k < 13; k++ {
		for i, key := range []pack.RecordKey{run, records, index} {
			allowed := map[pack.Kind]string{pack.Point: "r", pack.Intent: "r", pack.Mark: "ra", pack.Rules: "a", pack.Enrolment: "a", pack.Index: "i", pack.Moved: "i"}[k]
			if bytes.IndexByte([]byte(allowed), "rai"[i]) < 0 {
				wantPanic(t, k.String(), func() { _, _ = pack.SealRecord(counter(), k, s.Repository, "x", key, nil) })
			} else if _, err := pack.SealRecord(counter(), k, s.Repository, "x", key, nil); err != nil {
				t.Error(err)
			}
		}
	}
	if _, err := pack.SealRecord(bytes.NewReader(nil), pack.Point, s.Repository, "x", run, nil); err == nil {
		t.Error("SealRecord makes a nonce without random bytes")
	}
	if _, err := pack.SealRecord(counter(), pack.Mark, s.Repository, "x", run, make([]byte, pack.Mark.Limit())); err == nil {
		t.Error("SealRecord makes a record that no reader accepts")
	}
}

func TestSignatures(t *testing.T) {
	s := secret()
	const name = "points/x/y/z"
	body := append(make([]byte, 0, 1000), "the body"...)
	host, other := s.HostKey(1, "web1"), s.HostKey(2, "web1")
	signed := pack.SignBody(pack.Point, s.Repository, name, body, host)
	if &signed[0] == &body[0] {
		t.Error("SignBody writes into its argument's spare room")
	}
	for _, pub := range [][]ed25519.PublicKey{
		{host.Public()}, {other.Public(), host.Public()}, {nil, host.Public(), other.Public()},
	} {
		if got, err := pack.VerifyBody(pack.Point, s.Repository, name, signed, pub...); err != nil || string(got) != "the body" {
			t.Errorf("VerifyBody = %q, %v", got, err)
		}
	}
	verify := func(k pack.Kind, repo keys.RepositoryID, name string, signed []byte, pub ...ed25519.PublicKey) error {
		_, err := pack.VerifyBody(k, repo, name, signed, pub...)
		return err
	}
	for what, err := range map[string]error{
		"another key":        verify(pack.Point, s.Repository, name, signed, other.Public()),
		"no key":             verify(pack.Point, s.Repository, name, signed),
		"a short key":        verify(pack.Point, s.Repository, name, signed, host.Public()[:31]),
		"another kind":       verify(pack.Intent, s.Repository, name, signed, host.Public()),
		"another repository": verify(pack.Point, keys.RepositoryID{}, name, signed, host.Public()),
		"another body":       verify(pack.Point, s.Repository, name, change(signed, 0, 1, 'T'), host.Public()),
		"another signature":  verify(pack.Point, s.Repository, name, change(signed, 71, 1, 0), host.Public()),
		"a byte less":        verify(pack.Point, s.Repository, name, signed[1:], host.Public()),
	} {
		t.Run(what, func(t *testing.T) { wantDamage(t, err, name, pack.ReasonSignature) })
	}
	wantDamage(t, verify(pack.Point, s.Repository, "points/x/y/0", signed, host.Public()), "points/x/y/0", pack.ReasonSignature)
	wantDamage(t, verify(pack.Point, s.Repository, name, signed[:63], host.Public()), name, pack.ReasonTruncated)
}

func TestPlainRecords(t *testing.T) {
	repo := secret().Repository
	obj := pack.PlainRecord(pack.Feature, repo, "features/x", []byte("the body"))
	if got, err := pack.OpenPlain(pack.Feature, repo, "features/x", obj); err != nil || string(got) != "the body" {
		t.Errorf("OpenPlain = %q, %v", got, err)
	}
	_, err := pack.OpenPlain(pack.Feature, repo, "features/y", obj)
	wantDamage(t, err, "features/y", pack.ReasonName)
	_, err = pack.OpenPlain(pack.Feature, repo, "features/x", append(obj, make([]byte, 4096)...))
	wantDamage(t, err, "features/x", pack.ReasonLimit)
}

// FuzzRecord changes what is not secret of a record. Whatever opens must be
// what was sealed.
func FuzzRecord(f *testing.F) {
	repo := secret().Repository
	r := ring()
	for i, tt := range recordCases() {
		f.Add(must(pack.SealRecord(counter(), tt.kind, repo, tt.name, tt.key, []byte("the body"))), uint8(i))
	}
	f.Fuzz(func(t *testing.T, obj []byte, i uint8) {
		tt := recordCases()[int(i)%len(recordCases())]
		body, _, err := pack.OpenRecord(tt.kind, repo, tt.name, obj, r)
		if err != nil {
			return
		}
		again := must(pack.SealRecord(counter(), tt.kind, repo, tt.name, tt.key, body))
		if !bytes.Equal(obj, again) {
			t.Fatalf("opened %x, sealed again as %x", obj, again)
		}
	})
}
