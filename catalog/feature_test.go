package catalog_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"tidemark/catalog"
	"tidemark/keys"
	"tidemark/pack"
)

func sampleFeature() *catalog.Feature {
	return &catalog.Feature{Name: "erasure-2", Needed: catalog.Reading | catalog.Pruning, Text: "packs in three places; tidemark 3", Ext: evenExt}
}

func TestFeature(t *testing.T) {
	repo := keys.RepositoryID{1}
	object, b, err := sampleFeature().Object(repo)
	if err != nil {
		t.Fatal(err)
	}
	got, err := catalog.ParseFeature(repo, object, b)
	if err != nil || !reflect.DeepEqual(got, sampleFeature()) {
		t.Errorf("parsed %+v, %v; want %+v", got, err, sampleFeature())
	}
	for _, bad := range []catalog.Feature{
		{Name: "Erasure", Needed: catalog.Reading},
		{Name: "x"},
		{Name: "x", Needed: catalog.Reading, Text: strings.Repeat("x", 1<<16)},
		{Name: "x", Needed: catalog.Reading, Text: strings.Repeat("x", 4<<10)},
	} {
		if _, _, err := bad.Object(repo); err == nil {
			t.Errorf("written: %.40v", bad)
		}
	}
}

// parseFeature decodes the body of a feature.
func parseFeature(b []byte) (*catalog.Feature, error) {
	const object = "features/erasure-2"
	repo := keys.RepositoryID{1}
	return catalog.ParseFeature(repo, object, pack.PlainRecord(pack.Feature, repo, object, b))
}

func TestParseFeatureRefuses(t *testing.T) {
	tryRefusals(t, sampleFeature, (*catalog.Feature).Encode, parseFeature, []refusal[catalog.Feature]{
		{"needed by nothing", func(f *catalog.Feature) { f.Needed = 0 }, nil, pack.ReasonFlags},
		{"needed by what we do not know", func(f *catalog.Feature) { f.Needed = 9 }, nil, pack.ReasonFlags},
		{"an odd extension", func(f *catalog.Feature) { f.Ext = oddExt }, nil, pack.ReasonExtension},
	})
}

func TestCheckFeatures(t *testing.T) {
	features := []catalog.Feature{*sampleFeature(), {Name: "tape", Needed: catalog.Writing, Text: "since tidemark 4"}}
	for _, tt := range []struct {
		use  catalog.Use
		want string
	}{
		{catalog.Reading, "erasure-2"},
		{catalog.Writing, "tape"},
		{catalog.Pruning, "erasure-2"},
		{catalog.Writing | catalog.Reading, "erasure-2"},
	} {
		err := catalog.CheckFeatures(features, tt.use)
		if !errors.Is(err, pack.ErrTooOld) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("CheckFeatures(%d) = %v, want ErrTooOld that names %s", tt.use, err, tt.want)
		}
	}
	if err := catalog.CheckFeatures(features[1:], catalog.Reading|catalog.Pruning); err != nil {
		t.Errorf("a feature that only writers need: %v", err)
	}
}

func FuzzParseFeature(f *testing.F) {
	f.Add(sampleFeature().Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		feature, err := parseFeature(b)
		if err != nil {
			return
		}
		if got := feature.Encode(); string(got) != string(b) {
			t.Fatalf("parsed %x, wrote back %x", b, got)
		}
	})
}
