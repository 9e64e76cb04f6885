package catalog_test

import (
	"crypto/rand"
	"reflect"
	"strings"
	"testing"

	"tidemark/catalog"
	"tidemark/pack"
)

func sampleRules() *catalog.Rules {
	return &catalog.Rules{
		Number: 3, Zone: "Europe/Berlin", Time: catalog.Time{Sec: 1795183200, Nsec: 1}, Ext: evenExt,
		Rules: []catalog.Rule{
			{Keep: catalog.Keep{Hourly: 24, Daily: 7, Weekly: 5, Monthly: catalog.KeepForever}},
			{Source: "db", Keep: catalog.Keep{Last: 2}},
			{Host: "web", Keep: catalog.Keep{Last: 3}},
			{Host: "web", Source: "db", Keep: catalog.Keep{Yearly: 4}},
		},
	}
}

func TestRulesSealOpen(t *testing.T) {
	v := newVault(t, "web")
	for _, rules := range []*catalog.Rules{sampleRules(), {Zone: "UTC"}} {
		object, b, err := rules.Seal(rand.Reader, v.keyring, v.secret.Signing())
		if err != nil {
			t.Fatal(err)
		}
		got, err := catalog.OpenRules(v.keyring, object, b)
		if err != nil || !reflect.DeepEqual(got, rules) {
			t.Errorf("opened %+v, %v; want %+v", got, err, rules)
		}
	}
	for _, bad := range []*catalog.Rules{
		{},
		{Zone: strings.Repeat("z", 256)},
		{Zone: "UTC", Rules: make([]catalog.Rule, 1<<16)},
		{Zone: "UTC", Rules: []catalog.Rule{{Host: strings.Repeat("h", 256)}}},
	} {
		if _, _, err := bad.Seal(rand.Reader, v.keyring, v.secret.Signing()); err == nil {
			t.Errorf("sealed rules of zone %.10q and %d rules", bad.Zone, len(bad.Rules))
		}
	}
}

func TestParseRulesRefuses(t *testing.T) {
	tryRefusals(t, sampleRules, (*catalog.Rules).Encode,
		func(b []byte) (*catalog.Rules, error) { return catalog.ParseRules("rules/00000003", b) }, []refusal[catalog.Rules]{
			{"no zone", func(r *catalog.Rules) { r.Zone = "" }, nil, pack.ReasonLength},
			{"the machine's zone", func(r *catalog.Rules) { r.Zone = "Local" }, nil, pack.ReasonText},
			{"a zone with a space", func(r *catalog.Rules) { r.Zone = "Europe/ Berlin" }, nil, pack.ReasonText},
			{"a zone that is not ASCII", func(r *catalog.Rules) { r.Zone = "Europe/Zürich" }, nil, pack.ReasonText},
			{"a bad host", func(r *catalog.Rules) { r.Rules[2].Host = ".." }, nil, pack.ReasonText},
			{"a source too long", func(r *catalog.Rules) { r.Rules[1].Source = strings.Repeat("s", 65) }, nil, pack.ReasonLimit},
			{"out of order", func(r *catalog.Rules) { r.Rules[1], r.Rules[2] = r.Rules[2], r.Rules[1] }, nil, pack.ReasonOrder},
			{"sources out of order", func(r *catalog.Rules) { r.Rules[2].Source = "z" }, nil, pack.ReasonOrder},
			{"a rule twice", func(r *catalog.Rules) { r.Rules[3].Source = "" }, nil, pack.ReasonDuplicate},
			{"an odd extension", func(r *catalog.Rules) { r.Ext = oddExt }, nil, pack.ReasonExtension},
		})
}

func TestRulesFor(t *testing.T) {
	r := sampleRules()
	for _, tt := range []struct {
		host, source string
		want         catalog.Keep
	}{
		{"web", "db", catalog.Keep{Yearly: 4}},
		{"other", "db", catalog.Keep{Last: 2}},
		{"web", "app", catalog.Keep{Last: 3}},
		{"other", "app", r.Rules[0].Keep},
	} {
		if got, found := r.For(tt.host, tt.source); !found || got.Keep != tt.want {
			t.Errorf("For(%s, %s) = %+v, %t; want %+v", tt.host, tt.source, got.Keep, found, tt.want)
		}
	}
	if _, found := (&catalog.Rules{Rules: r.Rules[1:]}).For("other", "app"); found {
		t.Error("a rule was found that does not fit")
	}
	if z, err := r.Location(); err != nil || z.String() != "Europe/Berlin" {
		t.Errorf("Location() = %v, %v", z, err)
	}
	if _, err := (&catalog.Rules{Zone: "Europe/Atlantis"}).Location(); err == nil {
		t.Error("a zone was found that is not there")
	}
}

func FuzzParseRules(f *testing.F) {
	f.Add(sampleRules().Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := catalog.ParseRules("rules/00000003", b)
		if err != nil {
			return
		}
		if got := r.Encode(); string(got) != string(b) {
			t.Fatalf("parsed %x, wrote back %x", b, got)
		}
	})
}
