package pack_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"tidemark/keys"
	"tidemark/pack"
)

func goodIndex() pack.IndexBody {
	return pack.IndexBody{Packs: []pack.IndexPack{
		{N: 0, Blocks: goodDirectory().Blocks},
		{N: 7, Blocks: goodDirectory().Blocks[:1]},
	}}
}

func TestIndex(t *testing.T) {
	for _, x := range []pack.IndexBody{goodIndex(), {}, {Packs: goodIndex().Packs, Ext: []pack.Ext{{ID: 6, Value: []byte("v")}}}} {
		got, err := pack.ParseIndex("x", pack.EncodeIndex(x))
		if err != nil || len(got.Packs) != len(x.Packs) || !bytes.Equal(pack.EncodeIndex(got), pack.EncodeIndex(x)) {
			t.Errorf("%+v reads back as %+v, %v", x, got, err)
		}
	}
	wantPanic(t, "an index that does not ascend", func() {
		pack.EncodeIndex(pack.IndexBody{Packs: []pack.IndexPack{goodIndex().Packs[1], goodIndex().Packs[0]}})
	})
}

func TestSealIndex(t *testing.T) {
	s := secret()
	name := must(pack.IndexName(s.Names(), "web1", fixedRun().ID, 3))
	packs := []pack.IndexPack{goodIndex().Packs[1], goodIndex().Packs[0]}
	obj, err := pack.SealIndex(counter(), s.Repository, name, group(), packs)
	if err != nil {
		t.Fatal(err)
	}
	got, err := pack.OpenIndex(s.Repository, name, group(), obj)
	if err != nil || len(got) != 2 || got[0].N != 0 || got[1].N != 7 || got[0].Blocks[0].Pieces[1] != pieces(4, 6)[1] {
		t.Errorf("OpenIndex = %+v, %v", got, err)
	}
	// The capture-only key of the group opens it; another group does not.
	k := must(s.CaptureOnly("web1", "web", s.HostKey(1, "web1")))
	if _, err := pack.OpenIndex(s.Repository, name, k.Group, obj); err != nil {
		t.Errorf("a capture-only key: %v", err)
	}
	if _, err := pack.OpenIndex(s.Repository, name, must(s.Group(1, "db")), obj); !errors.Is(err, keys.ErrNotForUs) {
		t.Errorf("another group: %v, want ErrNotForUs", err)
	}
	host, run, n, err := pack.ParseIndexName(s.Names(), name)
	if err != nil || host != "web1" || run != fixedRun().ID || n != 3 {
		t.Errorf("ParseIndexName = %q, %v, %d, %v", host, run, n, err)
	}
}

func TestParseIndexNameRefuses(t *testing.T) {
	names := secret().Names()
	good := must(pack.IndexName(names, "web1", fixedRun().ID, 0xab))
	for _, name := range []string{
		"", "index", "packs" + good[5:], good + "/", good + "0", good[:len(good)-1], good[1:],
		strings.Replace(good, "000000ab", "000000AB", 1), strings.Replace(good, "000000ab", "+00000ab", 1),
		strings.Replace(good, "/1d9e", "/1D9E", 1), strings.Replace(good, "index/", "index/a", 1),
	} {
		if _, _, _, err := pack.ParseIndexName(names, name); err == nil {
			t.Errorf("ParseIndexName(%q) accepts it", name)
		}
	}
	for _, err := range []error{
		second(pack.IndexName(names, "a/b", keys.RunID{}, 1)),
		second(pack.ObjectName(names, "", keys.RunID{}, 1)),
		second(pack.MovedName(names, "..", keys.RunID{}, 1, 1)),
	} {
		if err == nil {
			t.Error("a name for a host that can be none")
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestParseIndexRefuses(t *testing.T) {
	good := pack.EncodeIndex(goodIndex())
	u32 := func(v uint32) []byte { return binary.LittleEndian.AppendUint32(nil, v) }
	twice := goodIndex()
	twice.Packs = twice.Packs[:1]
	one := pack.EncodeIndex(twice)
	pair := func(a, b uint32) []byte {
		row := one[8 : len(one)-2] // without number and extensions
		out := append(u32(2), u32(a)...)
		out = append(append(append(out, row...), u32(b)...), row...)
		return append(out, 0, 0)
	}
	for _, tt := range []struct {
		name   string
		bytes  []byte
		reason pack.Reason
	}{
		{"empty", nil, "truncated"},
		{"more packs than there are", change(good, 0, 4, u32(3)...), "truncated"},
		{"far more packs than there are", change(good, 0, 4, u32(1<<32-1)...), "truncated"},
		{"packs that fall", pair(7, 6), "order"},
		{"a pack twice", pair(7, 7), "duplicate"},
		{"a pack of no blocks", append(append(u32(1), make([]byte, 8)...), make([]byte, 57)...), "count"},
		{"a byte more", append(bytes.Clone(good), 0), "trailing"},
		{"a gap between blocks", change(good, 4+4+4+21+2*36, 1, 127), "range"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := pack.ParseIndex("index/x", tt.bytes)
			wantDamage(t, err, "index/x", tt.reason)
		})
	}
	odd := goodIndex()
	odd.Ext = []pack.Ext{{ID: 5}}
	_, err := pack.ParseIndex("index/x", pack.EncodeIndex(odd))
	wantDamage(t, err, "index/x", pack.ReasonExtension)
	for n := range good {
		if _, err := pack.ParseIndex("x", good[:n]); err == nil {
			t.Errorf("the index can be cut to %d bytes", n)
		}
	}
}

func FuzzIndex(f *testing.F) {
	f.Add(pack.EncodeIndex(goodIndex()))
	f.Add(pack.EncodeIndex(pack.IndexBody{Ext: []pack.Ext{{ID: 2}}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		x, err := pack.ParseIndex("x", b)
		if err != nil {
			return
		}
		if got := pack.EncodeIndex(x); !bytes.Equal(got, b) {
			t.Fatalf("parsed %x, wrote back %x", b, got)
		}
	})
}
