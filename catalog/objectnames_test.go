package catalog_test

import (
	"strings"
	"testing"

	"tidemark/catalog"
	"tidemark/keys"
)

var (
	hostSegment   = strings.Repeat("ab27", 19) + "a" // as long as a sealed name of 31 bytes
	sourceSegment = strings.Repeat("xyz5", 45)       // of 64 bytes
)

func TestObjectName(t *testing.T) {
	run, err := keys.ParseRunID(runText)
	if err != nil {
		t.Fatal(err)
	}
	point, err := catalog.ParsePointName(pointText)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		text string
		want catalog.ObjectName
	}{
		{"tidemark.json", catalog.ObjectName{Area: catalog.RepositoryArea}},
		{"features/a-9", catalog.ObjectName{Area: catalog.FeatureArea, Label: "a-9"}},
		{"features/" + strings.Repeat("f", 64), catalog.ObjectName{Area: catalog.FeatureArea, Label: strings.Repeat("f", 64)}},
		{"keys/paper-1.age", catalog.ObjectName{Area: catalog.KeyArea, Label: "paper", Number: 1}},
		{"keys/a.b_c-d-12.age-3.age", catalog.ObjectName{Area: catalog.KeyArea, Label: "a.b_c-d-12.age", Number: 3}},
		{"keys/--18446744073709551615.age", catalog.ObjectName{Area: catalog.KeyArea, Label: "-", Number: 1<<64 - 1}},
		{"hosts/" + hostSegment + "/0000000a", catalog.ObjectName{Area: catalog.HostArea, Host: hostSegment, Number: 10}},
		{"rules/ffffffff", catalog.ObjectName{Area: catalog.RulesArea, Number: 1<<32 - 1}},
		{"packs/" + hostSegment + "/" + runText + "/00000000", catalog.ObjectName{Area: catalog.PackArea, Host: hostSegment, Run: run}},
		{"index/" + hostSegment + "/" + runText + "/00000001", catalog.ObjectName{Area: catalog.IndexArea, Host: hostSegment, Run: run, Number: 1}},
		{"intents/" + hostSegment + "/" + sourceSegment + "/" + pointText, catalog.ObjectName{Area: catalog.IntentArea, Host: hostSegment, Source: sourceSegment, Point: point}},
		{"points/" + hostSegment + "/" + sourceSegment + "/" + pointText, catalog.ObjectName{Area: catalog.PointArea, Host: hostSegment, Source: sourceSegment, Point: point}},
		{"marks/" + hostSegment + "/" + pointText + "/ffffffffffffffff", catalog.ObjectName{Area: catalog.MarkArea, Host: hostSegment, Point: point, Number: 1<<64 - 1}},
		{"condemned/" + runText, catalog.ObjectName{Area: catalog.CondemnedArea, ID: run}},
		{"moved/" + hostSegment + "/" + runText + "/00000007/00000002", catalog.ObjectName{Area: catalog.MovedArea, Host: hostSegment, Run: run, Number: 7, Move: 2}},
	} {
		if got := tt.want.String(); got != tt.text {
			t.Errorf("String() = %q, want %q", got, tt.text)
		}
		if got, err := catalog.ParseObjectName(tt.text); err != nil || got != tt.want {
			t.Errorf("ParseObjectName(%q) = %+v, %v; want %+v", tt.text, got, err, tt.want)
		}
	}
}

func TestParseObjectNameIgnores(t *testing.T) {
	for _, name := range []string{
		"",
		"/",
		"tidemark.json/",
		"Tidemark.json",
		"features",
		"features/",
		"features/A",
		"features/a_b",
		"features/" + strings.Repeat("f", 65),
		"keys/paper.age",
		"keys/paper-0.age",
		"keys/paper-01.age",
		"keys/paper-1",
		"keys/paper-18446744073709551616.age",
		"keys/-1.age",
		"keys/Paper-1.age",
		"keys/" + strings.Repeat("k", 65) + "-1.age",
		"hosts/" + hostSegment,
		"hosts//00000001",
		"hosts/" + hostSegment + "/1",
		"hosts/" + hostSegment + "/000000001",
		"hosts/" + hostSegment + "/0000000A",
		"hosts/" + hostSegment + "/-0000001",
		"hosts/ABC/00000001",
		"hosts/ab1/00000001", // 1 is not of base32
		"hosts/" + strings.Repeat("a", 201) + "/00000001",
		"rules/00000001/",
		"packs/" + hostSegment + "/" + runText[1:] + "/00000000",
		"packs/" + hostSegment + "/" + runText,
		"points/" + hostSegment + "/" + pointText,
		"points/" + hostSegment + "/" + sourceSegment + "/" + pointText + "/x",
		"points/" + hostSegment + "/" + sourceSegment + "/" + pointText + "x",
		"marks/" + hostSegment + "/" + pointText + "/00000001",
		"condemned/" + runText + "00",
		"condemned/" + runText[2:],
		"condemned/" + strings.ToUpper(runText),
		"moved/" + hostSegment + "/" + runText + "/00000007",
		"trees/" + hostSegment,
	} {
		if got, err := catalog.ParseObjectName(name); err == nil {
			t.Errorf("ParseObjectName(%q) = %+v, want an error", name, got)
		}
	}
}

func FuzzParseObjectName(f *testing.F) {
	for _, name := range []string{
		"tidemark.json",
		"features/x",
		"keys/a-1.age",
		"hosts/" + hostSegment + "/00000001",
		"rules/00000001",
		"packs/" + hostSegment + "/" + runText + "/00000001",
		"points/" + hostSegment + "/" + sourceSegment + "/" + pointText,
		"marks/" + hostSegment + "/" + pointText + "/0000000000000001",
		"condemned/" + runText,
		"moved/" + hostSegment + "/" + runText + "/00000007/00000002",
	} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, s string) {
		name, err := catalog.ParseObjectName(s)
		if err != nil {
			return
		}
		if got := name.String(); got != s {
			t.Fatalf("parsed %q, wrote back %q", s, got)
		}
	})
}
