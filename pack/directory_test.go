package pack_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"strings"
	"testing"

	"tidemark/pack"
)

// goodDirectory is that of a pack whose header has 100 bytes.
func goodDirectory() pack.Directory {
	return pack.Directory{Blocks: []pack.DirBlock{
		{Offset: 100, Sealed: 26, Plain: 10, Codec: pack.Raw, Pieces: pieces(4, 6)},
		{Offset: 126, Sealed: 20, Plain: 50, Codec: pack.Zstd, Pieces: pieces(50)},
	}}
}

func TestDirectory(t *testing.T) {
	for _, ext := range [][]pack.Ext{nil, {{ID: 2, Value: []byte("later")}, {ID: 8}}} {
		dir := goodDirectory()
		dir.Ext = ext
		got, err := pack.ParseDirectory("x", dir.Encode())
		if err != nil || !bytes.Equal(got.Encode(), dir.Encode()) || len(got.Blocks) != 2 || len(got.Ext) != len(ext) {
			t.Errorf("%+v reads back as %+v, %v", dir, got, err)
		}
	}
}

func TestParseDirectoryRefuses(t *testing.T) {
	const first, second = 4, 4 + 21 + 2*36 // offsets of the blocks
	good := goodDirectory().Encode()
	u64 := func(v uint64) []byte { return binary.LittleEndian.AppendUint64(nil, v) }
	u32 := func(v uint32) []byte { return binary.LittleEndian.AppendUint32(nil, v) }
	with := func(f func(*pack.Directory)) []byte {
		dir := goodDirectory()
		f(&dir)
		return dir.Encode()
	}
	for _, tt := range []struct {
		name   string
		bytes  []byte
		reason pack.Reason
	}{
		{"empty", nil, "truncated"},
		{"no blocks", make([]byte, 6), "count"},
		{"more blocks than there are", change(good, 0, 4, u32(3)...), "truncated"},
		{"far more blocks than there are", change(good, 0, 4, u32(1<<32-1)...), "truncated"},
		{"fewer blocks than there are", change(good, 0, 4, u32(1)...), "truncated"},
		{"too many blocks", append(u32(pack.MaxBlocks+1), make([]byte, 57*(pack.MaxBlocks+1))...), "limit"},
		{"a gap", change(good, second, 8, u64(127)...), "range"},
		{"an overlap", change(good, second, 8, u64(125)...), "range"},
		{"a block beyond any pack", change(good, first, 8, u64(pack.MaxPack)...), "limit"},
		{"a block at the end of the world", change(good, first, 8, u64(1<<64-1)...), "limit"},
		{"a raw block of another length", change(good, first+8, 4, u32(27)...), "length"},
		{"a compressed block that is longer", change(good, second+8, 4, u32(66)...), "length"},
		{"a block of a tag", change(good, second+8, 4, u32(16)...), "length"},
		{"a block of no bytes", change(good, second+12, 4, u32(0)...), "length"},
		{"a block of more than 16 MiB", change(good, second+12, 4, u32(pack.MaxBlock+1)...), "limit"},
		{"an unknown codec", change(good, second+16, 1, 2), "codec"},
		{"no pieces", change(good, second+17, 4, u32(0)...), "count"},
		{"more pieces than there are", change(good, second+17, 4, u32(1<<32-1)...), "truncated"},
		{"an empty piece", with(func(d *pack.Directory) { d.Blocks[0].Pieces = pieces(10, 0) }), "length"},
		{"pieces of fewer bytes", with(func(d *pack.Directory) { d.Blocks[0].Pieces = pieces(9) }), "sum"},
		{"pieces of more bytes", with(func(d *pack.Directory) { d.Blocks[0].Pieces = pieces(11) }), "sum"},
		{"pieces that overflow", with(func(d *pack.Directory) { d.Blocks[0].Pieces = pieces(1<<31, 1<<31, 10) }), "sum"},
		{"an odd extension", with(func(d *pack.Directory) { d.Ext = []pack.Ext{{ID: 1}} }), "extension"},
		{"a byte more", append(bytes.Clone(good), 0), "trailing"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := pack.ParseDirectory("packs/x", tt.bytes)
			wantDamage(t, err, "packs/x", tt.reason)
		})
	}
	for n := range good {
		if _, err := pack.ParseDirectory("x", good[:n]); err == nil {
			t.Errorf("the directory can be cut to %d bytes", n)
		}
	}
}

// TestOpenDirectoryRefuses seals directories that do not fit their pack. Only
// who has the run's key can.
func TestOpenDirectoryRefuses(t *testing.T) {
	p := newTestPack(pack.DataPack, 1)
	o, h := p.opener(t, pack.DataPack)
	whole := must(o.OpenDirectory(p.obj, int64(len(p.obj)), h.Len))
	end := int(p.blocks[1].Offset) + int(p.blocks[1].Sealed)
	repack := func(between int, f func(dir *pack.Directory)) []byte {
		dir := pack.Directory{Blocks: append([]pack.DirBlock{}, whole.Blocks...)}
		f(&dir)
		obj := append(bytes.Clone(p.obj[:end]), make([]byte, between)...)
		return sealDirectory(obj, h, dir.Encode())
	}
	if _, err := o.OpenDirectory(repack(0, func(*pack.Directory) {}), int64(len(p.obj)), h.Len); err != nil {
		t.Fatalf("a directory that fits: %v", err)
	}
	shift := func(dir *pack.Directory) {
		for i := range dir.Blocks {
			dir.Blocks[i].Offset++
		}
	}
	for _, tt := range []struct {
		name   string
		obj    []byte
		reason pack.Reason
	}{
		{"bytes before the first block", repack(1, shift), "range"},
		{"bytes before the directory", repack(1, func(*pack.Directory) {}), "range"},
		{"a block fewer", repack(0, func(dir *pack.Directory) { dir.Blocks = dir.Blocks[:1] }), "range"},
		{"a block more", repack(0, func(dir *pack.Directory) {
			last := dir.Blocks[1]
			last.Offset += uint64(last.Sealed)
			dir.Blocks = append(dir.Blocks, last)
		}), "range"},
		{"no directory", sealDirectory(bytes.Clone(p.obj[:end]), h, []byte{1}), "truncated"},
		{"another seal", change(p.obj, end, 1, p.obj[end]+1), "seal"},
		{"a tail without the directory", p.obj[end+1:], "truncated"},
		{"a tail of 35 bytes", p.obj[len(p.obj)-35:], "truncated"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			size := int64(len(tt.obj))
			if tt.reason == "truncated" {
				size = int64(len(p.obj))
			}
			_, err := o.OpenDirectory(tt.obj, size, h.Len)
			wantDamage(t, err, p.name, tt.reason)
			if err != nil && !strings.Contains(err.Error(), "directory: ") && tt.name[:6] != "a tail" && tt.name[:2] != "no" {
				t.Errorf("the error does not speak of the directory: %v", err)
			}
		})
	}
	_, err := o.OpenDirectory(p.obj, int64(len(p.obj))-1, h.Len)
	wantDamage(t, err, p.name, pack.ReasonRange)
	_, err = o.OpenDirectory(p.obj, 200, h.Len)
	wantDamage(t, err, p.name, pack.ReasonTruncated)
}

// sealDirectory ends a pack as docs/format.md says, with any directory.
func sealDirectory(obj []byte, h pack.Header, dir []byte) []byte {
	repo := secret().Repository
	info := binary.LittleEndian.AppendUint32([]byte("tidemark 1 pack\x01"), h.N)
	aad := append(append([]byte{}, repo[:]...), h.Run[:]...)
	aad = binary.LittleEndian.AppendUint32(aad, h.N)
	aad = append(aad, 0xff, 0xff, 0xff, 0xff, 1, 0)
	aad = binary.LittleEndian.AppendUint32(aad, uint32(len(dir)))
	nonce := []byte("\xff\xff\xff\xff\x00\x00\x00\x00\x00\x00\x00\x00")
	box := fixedRun().Secret.Key.Derive(repo[:], string(info)).AEAD().Seal(nil, nonce, dir, aad)
	obj = append(obj, box...)
	obj = binary.LittleEndian.AppendUint32(obj, uint32(len(box)))
	sum := sha256.Sum256(obj)
	return append(obj, sum[:]...)
}

func FuzzDirectory(f *testing.F) {
	f.Add(goodDirectory().Encode())
	dir := goodDirectory()
	dir.Ext = []pack.Ext{{ID: 2, Value: []byte("later")}}
	f.Add(dir.Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		dir, err := pack.ParseDirectory("x", b)
		if err != nil {
			return
		}
		if got := dir.Encode(); !bytes.Equal(got, b) {
			t.Fatalf("parsed %x, wrote back %x", b, got)
		}
	})
}
