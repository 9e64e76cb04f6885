package catalog_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"tidemark/catalog"
	"tidemark/keys"
)

const (
	runText   = "00112233445566778899aabbccddeeff"
	pointText = "20261120T140000Z-0000000042-c2n-" + runText
)

func TestPointName(t *testing.T) {
	run, err := keys.ParseRunID(runText)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 20, 14, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		text string
		want catalog.PointName
	}{
		{pointText, catalog.PointName{Time: at, Sequence: 42, Complete: true, Members: 2, Named: true, Run: run}},
		{"20261120T140000Z-0000000001-i1-" + runText, catalog.PointName{Time: at, Sequence: 1, Members: 1, Run: run}},
		{"20261120T140000Z-9999999999-c999-" + runText, catalog.PointName{Time: at, Sequence: catalog.MaxSequence, Complete: true, Members: catalog.MaxSetPoints, Run: run}},
		{"00000101T000000Z-0000000001-c1-" + runText, catalog.PointName{Time: time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC), Sequence: 1, Complete: true, Members: 1, Run: run}},
		{"99991231T235959Z-0000000001-c1-" + runText, catalog.PointName{Time: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), Sequence: 1, Complete: true, Members: 1, Run: run}},
	} {
		if got := tt.want.String(); got != tt.text {
			t.Errorf("String() = %q, want %q", got, tt.text)
		}
		got, err := catalog.ParsePointName(tt.text)
		if err != nil || got != tt.want {
			t.Errorf("ParsePointName(%q) = %+v, %v; want %+v", tt.text, got, err, tt.want)
		}
	}
	elsewhere := catalog.PointName{Time: at.In(time.FixedZone("", 3600)), Sequence: 42, Complete: true, Members: 2, Named: true, Run: run}
	if got := elsewhere.String(); got != pointText {
		t.Errorf("String() of a time in another zone = %q, want %q", got, pointText)
	}
}

func TestParsePointNameRefuses(t *testing.T) {
	for _, tt := range []struct{ name, from, to string }{
		{"nothing", pointText, ""},
		{"a fraction of a second", "140000Z", "140000.5Z"},
		{"an offset", "140000Z", "140000+0000"},
		{"a lower-case zone", "140000Z", "140000z"},
		{"no such day", "20261120", "20260230"},
		{"no such month", "20261120", "20261320"},
		{"hour 24", "T140000Z", "T240000Z"},
		{"a leap second", "T140000Z", "T235960Z"},
		{"a year of five digits", "20261120", "120261120"},
		{"sequence 0", "0000000042", "0000000000"},
		{"a sequence of nine digits", "0000000042", "000000042"},
		{"a sequence of eleven digits", "0000000042", "00000000042"},
		{"a signed sequence", "0000000042", "+000000042"},
		{"another flag", "-c2n-", "-d2n-"},
		{"an upper-case flag", "-c2n-", "-C2n-"},
		{"no number of sources", "-c2n-", "-cn-"},
		{"no sources", "-c2n-", "-c0n-"},
		{"a leading zero", "-c2n-", "-c02n-"},
		{"a thousand sources", "-c2n-", "-c1000-"},
		{"another letter", "-c2n-", "-c2m-"},
		{"n twice", "-c2n-", "-c2nn-"},
		{"a short run", "ddeeff", "ddeef"},
		{"an upper-case run", "ddeeff", "DDEEFF"},
		{"bytes after the end", "ddeeff", "ddeeff\n"},
		{"bytes before the beginning", "2026", " 2026"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := strings.Replace(pointText, tt.from, tt.to, 1)
			if text == pointText {
				t.Fatal("nothing was replaced")
			}
			if got, err := catalog.ParsePointName(text); err == nil {
				t.Errorf("ParsePointName(%q) = %v, want an error", text, got)
			}
		})
	}
}

func TestPointNameCompare(t *testing.T) {
	// In their order: by sequence whatever the clock says, then by the rest.
	ordered := []string{
		"20270101T000000Z-0000000001-c1-" + runText,
		"20260101T000000Z-0000000002-c1-00000000000000000000000000000000",
		"20260101T000000Z-0000000002-c1-" + runText,
		"20260101T000000Z-0000000002-i2-" + runText,
		"20260101T000000Z-0000000002-c2-" + runText,
		"20260101T000000Z-0000000002-c2n-" + runText,
		"20260101T000001Z-0000000002-c1-" + runText,
		"20250101T000000Z-0000000010-c1-" + runText,
	}
	var names []catalog.PointName
	for _, s := range ordered {
		n, err := catalog.ParsePointName(s)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, n)
	}
	for i, a := range names {
		for j, b := range names {
			if got, want := a.Compare(b), cmpInt(i, j); got != want {
				t.Errorf("%s.Compare(%s) = %d, want %d", a, b, got, want)
			}
		}
	}
	if !slices.IsSortedFunc(names, catalog.PointName.Compare) {
		t.Error("the names are not sorted")
	}
}

func cmpInt(a, b int) int { return max(-1, min(1, a-b)) }

func FuzzParsePointName(f *testing.F) {
	f.Add(pointText)
	f.Add("20261120T140000Z-0000000001-i1-" + runText)
	f.Add("00000229T235959Z-9999999999-c999-" + runText)
	f.Fuzz(func(t *testing.T, s string) {
		n, err := catalog.ParsePointName(s)
		if err != nil {
			return
		}
		if got := n.String(); got != s {
			t.Fatalf("parsed %q, wrote back %q", s, got)
		}
		if n.Compare(n) != 0 {
			t.Fatalf("%s does not equal itself", s)
		}
	})
}
