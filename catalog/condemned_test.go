package catalog_test

import (
	"reflect"
	"strings"
	"testing"

	"tidemark/catalog"
	"tidemark/keys"
	"tidemark/pack"
)

func sampleCondemned(v *vault) *catalog.Condemned {
	return &catalog.Condemned{
		ID: [16]byte{1, 2}, Reason: catalog.Compacted, Time: catalog.Time{Sec: 1795183200}, Ext: evenExt,
		Packs: []catalog.CondemnedPack{
			{Host: hostSegment, Run: keys.RunID{1}, Number: 1},
			{Host: hostSegment, Run: keys.RunID{1}, Number: 2},
			{Host: hostSegment, Run: keys.RunID{2}, Number: 0},
			{Host: sourceSegment, Run: keys.RunID{1}, Number: 0},
		},
	}
}

func TestCondemnedSealOpen(t *testing.T) {
	v := newVault(t, "web")
	for _, c := range []*catalog.Condemned{sampleCondemned(v), {Reason: catalog.Unused}} {
		object, b, err := c.Seal(v.secret.Repository, v.secret.Signing())
		if err != nil {
			t.Fatal(err)
		}
		got, err := catalog.OpenCondemned(v.keyring, object, b)
		if err != nil || !reflect.DeepEqual(got, c) {
			t.Errorf("opened %+v, %v; want %+v", got, err, c)
		}
		// A host has no more than this, and must be able to read it.
		public := catalog.Keyring{Repository: v.secret.Repository, Verify: v.secret.Verify()}
		if _, err := catalog.OpenCondemned(public, object, b); err != nil {
			t.Errorf("without any secret: %v", err)
		}
	}
	c := sampleCondemned(v)
	c.Packs[0].Host = strings.Repeat("a", 256)
	if _, _, err := c.Seal(v.secret.Repository, v.secret.Signing()); err == nil {
		t.Error("a segment too long was written")
	}
}

func TestParseCondemnedRefuses(t *testing.T) {
	v := newVault(t, "web")
	swap := func(i, j int) func(*catalog.Condemned) {
		return func(c *catalog.Condemned) { c.Packs[i], c.Packs[j] = c.Packs[j], c.Packs[i] }
	}
	tryRefusals(t, func() *catalog.Condemned { return sampleCondemned(v) }, (*catalog.Condemned).Encode,
		func(b []byte) (*catalog.Condemned, error) { return catalog.ParseCondemned("condemned/a", b) }, []refusal[catalog.Condemned]{
			{"no reason", func(c *catalog.Condemned) { c.Reason = 0 }, nil, pack.ReasonRange},
			{"an unknown reason", func(c *catalog.Condemned) { c.Reason = 3 }, nil, pack.ReasonRange},
			{"no host", func(c *catalog.Condemned) { c.Packs[0].Host = "" }, nil, pack.ReasonLength},
			{"a host's name that is not sealed", func(c *catalog.Condemned) { c.Packs[0].Host = "Web" }, nil, pack.ReasonText},
			{"a segment too long", func(c *catalog.Condemned) { c.Packs[0].Host = strings.Repeat("a", 201) }, nil, pack.ReasonLimit},
			{"hosts out of order", swap(0, 3), nil, pack.ReasonOrder},
			{"runs out of order", swap(1, 2), nil, pack.ReasonOrder},
			{"numbers out of order", swap(0, 1), nil, pack.ReasonOrder},
			{"a pack twice", func(c *catalog.Condemned) { c.Packs[1] = c.Packs[0] }, nil, pack.ReasonDuplicate},
			{"more packs than there are", nil, replace(t, "\x04\x00\x00\x00\x4d", "\xff\xff\xff\xff\x4d"), pack.ReasonTruncated},
			{"an odd extension", func(c *catalog.Condemned) { c.Ext = oddExt }, nil, pack.ReasonExtension},
		})
}

func FuzzParseCondemned(f *testing.F) {
	f.Add(sampleCondemned(nil).Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := catalog.ParseCondemned("condemned/a", b)
		if err != nil {
			return
		}
		if got := c.Encode(); string(got) != string(b) {
			t.Fatalf("parsed %x, wrote back %x", b, got)
		}
	})
}
