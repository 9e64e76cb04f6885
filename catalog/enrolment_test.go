package catalog_test

import (
	"crypto/rand"
	"errors"
	"reflect"
	"strings"
	"testing"

	"tidemark/catalog"
	"tidemark/pack"
)

func sampleEnrolment(v *vault) *catalog.Enrolment {
	return &catalog.Enrolment{
		Number: 1, Host: v.host.Name, Key: v.signing.Public(), Group: "fleet", Time: catalog.Time{Sec: 1795183200}, Ext: evenExt,
	}
}

func TestEnrolmentSealOpen(t *testing.T) {
	v := newVault(t, "web")
	revoke := sampleEnrolment(v)
	revoke.Number, revoke.Revoke = 1<<32-1, true
	for _, n := range []*catalog.Enrolment{sampleEnrolment(v), revoke} {
		object, b, err := n.Seal(rand.Reader, v.keyring, v.secret.Signing())
		if err != nil {
			t.Fatal(err)
		}
		got, err := catalog.OpenEnrolment(v.keyring, object, b)
		if err != nil || !reflect.DeepEqual(got, n) {
			t.Errorf("opened %+v, %v; want %+v", got, err, n)
		}
	}
	for _, change := range []func(*catalog.Enrolment){
		func(n *catalog.Enrolment) { n.Host = "" },
		func(n *catalog.Enrolment) { n.Group = "" },
		func(n *catalog.Enrolment) { n.Group = strings.Repeat("g", 256) },
		func(n *catalog.Enrolment) { n.Key = n.Key[:31] },
	} {
		n := sampleEnrolment(v)
		change(n)
		if _, _, err := n.Seal(rand.Reader, v.keyring, v.secret.Signing()); err == nil {
			t.Errorf("sealed %+v", n)
		}
	}
}

func TestEnrolmentElsewhere(t *testing.T) {
	v := newVault(t, "web")
	n := sampleEnrolment(v)
	seal := func(object string) []byte {
		body := pack.SignBody(pack.Enrolment, v.secret.Repository, object, n.Encode(), v.secret.Signing())
		b, err := pack.SealRecord(rand.Reader, pack.Enrolment, v.secret.Repository, object, pack.RecordsKey(v.secret.Records()), body)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	other, err := v.keyring.Names.Host("other")
	if err != nil {
		t.Fatal(err)
	}
	for _, object := range []string{"hosts/" + other + "/00000001", "hosts/" + hostSegment + "/00000001"} {
		_, err := catalog.OpenEnrolment(v.keyring, object, seal(object))
		wantReason(t, err, pack.ReasonName)
		if !errors.Is(err, catalog.ErrForged) {
			t.Errorf("%v, want ErrForged", err)
		}
	}
}

func TestParseEnrolmentRefuses(t *testing.T) {
	v := newVault(t, "web")
	tryRefusals(t, func() *catalog.Enrolment { return sampleEnrolment(v) }, (*catalog.Enrolment).Encode,
		func(b []byte) (*catalog.Enrolment, error) { return catalog.ParseEnrolment("hosts/a/00000001", b) }, []refusal[catalog.Enrolment]{
			{"no host", func(n *catalog.Enrolment) { n.Host = "" }, nil, pack.ReasonLength},
			{"a bad host", func(n *catalog.Enrolment) { n.Host = "a\nb" }, nil, pack.ReasonText},
			{"neither enrol nor revoke", nil, replace(t, "web\x01", "web\x00"), pack.ReasonRange},
			{"no group", func(n *catalog.Enrolment) { n.Group = "" }, nil, pack.ReasonLength},
			{"a bad group", func(n *catalog.Enrolment) { n.Group = "." }, nil, pack.ReasonText},
			{"an odd extension", func(n *catalog.Enrolment) { n.Ext = oddExt }, nil, pack.ReasonExtension},
		})
}

func FuzzParseEnrolment(f *testing.F) {
	f.Add(sampleEnrolment(newVault(f, "web")).Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := catalog.ParseEnrolment("hosts/a/00000001", b)
		if err != nil {
			return
		}
		if got := n.Encode(); string(got) != string(b) {
			t.Fatalf("parsed %x, wrote back %x", b, got)
		}
	})
}
