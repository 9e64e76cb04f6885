package pack_test

import (
	"bytes"
	"encoding/binary"
	"reflect"
	"testing"

	"tidemark/keys"
	"tidemark/pack"
)

// goodMoves has two runs and three blocks, used in their order.
func goodMoves() pack.MovedBody {
	a := pack.Block{Host: "web1", Run: keys.RunID{1}, Pack: 3, Ordinal: 4, Offset: 500, Sealed: 116, Plain: 100, Codec: pack.Raw}
	b := pack.Block{Host: "web1", Run: keys.RunID{1}, Pack: 3, Ordinal: 5, Offset: 616, Sealed: 90, Plain: 100, Codec: pack.Zstd}
	c := pack.Block{Host: "db", Run: keys.RunID{2}, Pack: 3, Ordinal: 4, Offset: 500, Sealed: 116, Plain: 100, Codec: pack.Raw}
	return pack.MovedBody{Moves: []pack.Move{
		{Ordinal: 0, Start: 0, ID: id(1), To: pack.Place{Block: a, Start: 0, Len: 60}},
		{Ordinal: 0, Start: 60, ID: id(2), To: pack.Place{Block: b, Start: 10, Len: 90}},
		{Ordinal: 2, Start: 0, ID: id(3), To: pack.Place{Block: a, Start: 60, Len: 40}},
		{Ordinal: 2, Start: 40, ID: id(4), To: pack.Place{Block: c, Start: 99, Len: 1}},
	}}
}

func TestMoved(t *testing.T) {
	for _, m := range []pack.MovedBody{goodMoves(), {}, {Moves: goodMoves().Moves, Ext: []pack.Ext{{ID: 2, Value: []byte("v")}}}} {
		got, err := pack.ParseMoved("x", pack.EncodeMoved(m))
		if err != nil || len(got.Moves) != len(m.Moves) || len(m.Moves) > 0 && !reflect.DeepEqual(got, m) {
			t.Errorf("%+v reads back as %+v, %v", m, got, err)
		}
	}
	for what, change := range map[string]func(m []pack.Move){
		"moves that fall":             func(m []pack.Move) { m[0], m[1] = m[1], m[0] },
		"a move twice":                func(m []pack.Move) { m[1] = m[0] },
		"a block with two lengths":    func(m []pack.Move) { m[2].To.Plain++ },
		"a run with two hosts":        func(m []pack.Move) { m[1].To.Host = "db" },
		"a host name of 256 bytes":    func(m []pack.Move) { m[3].To.Host = string(make([]byte, 256)) },
		"a block of a run, elsewhere": func(m []pack.Move) { m[2].To.Offset++ },
	} {
		m := goodMoves()
		change(m.Moves)
		wantPanic(t, what, func() { pack.EncodeMoved(m) })
	}
}

func TestParseMovedRefuses(t *testing.T) {
	good := pack.EncodeMoved(goodMoves())
	const (
		runs    = 2                   // offset of the first run
		second  = runs + 16 + 1 + 4   // of the second
		count   = second + 16 + 1 + 2 // of the number of blocks
		blocks  = count + 4           // of the first block, of 27 bytes
		moves   = blocks + 3*27       // of the number of moves
		first   = moves + 4           // of the first move, of 52 bytes
		toBlock = 4 + 4 + 4 + 32      // of a move's new block, in it
		toStart = toBlock + 4         // of its new offset
		plain   = 2 + 4 + 4 + 8 + 4   // of a block's plain length, in it
		end     = first + 4*52        // of the extensions
	)
	u32 := func(v uint32) []byte { return binary.LittleEndian.AppendUint32(nil, v) }
	if len(good) != end+2 {
		t.Fatalf("the body has %d bytes, want %d", len(good), end+2)
	}
	for _, tt := range []struct {
		name   string
		bytes  []byte
		reason pack.Reason
	}{
		{"empty", nil, "truncated"},
		{"more runs than there are", change(good, 0, 2, 0xff, 0xff), "truncated"},
		{"a run twice", change(good, second, 1, 1), "duplicate"},
		{"runs in another order", change(change(good, blocks, 1, 1), blocks+2*27, 1, 0), "order"},
		{"a run that no block has", change(change(good, blocks+2*27, 1, 0), blocks+2*27+6, 1, 6), "count"},
		{"a block of no run", change(good, blocks+2*27, 1, 2), "range"},
		{"an empty host", change(good, second+16, 3, 0), "length"},
		{"a long host", change(good, second+16, 1, 65), "limit"},
		{"a host with a slash", change(good, second+17, 1, '/'), "text"},
		{"more blocks than there are", change(good, count, 4, u32(1<<31)...), "truncated"},
		{"a block twice", change(good, blocks+27+6, 1, 4), "duplicate"},
		{"a block beyond the last ordinal", change(good, blocks+6, 4, u32(pack.MaxBlocks)...), "limit"},
		{"a block beyond any pack", change(good, blocks+10, 8, 0, 0, 0, 0x40, 0, 0, 0, 0), "limit"},
		{"a block of another length", change(good, blocks+plain, 1, 101), "length"},
		{"an unknown codec", change(good, blocks+26, 1, 2), "codec"},
		{"more moves than there are", change(good, moves, 4, u32(1<<31)...), "truncated"},
		{"fewer moves than there are", change(good, moves, 1, 3), "count"},
		{"moves that fall", change(good, first+52+4, 1, 0), "duplicate"},
		{"moves that fall by block", change(good, first, 1, 1), "order"},
		{"a move of no bytes", change(good, first+8, 1, 0), "length"},
		{"a move of too many bytes", change(good, first+8, 1, 101), "range"},
		{"a move beyond its block", change(good, first+toStart, 1, 41), "range"},
		{"a move that overflows", change(good, first+toStart, 4, 0xff, 0xff, 0xff, 0xff), "range"},
		{"a move to no block", change(good, first+toBlock, 1, 3), "range"},
		{"a move to a block that comes later", change(good, first+toBlock, 1, 1), "order"},
		{"a move from beyond the last ordinal", change(good, first+3*52, 4, u32(pack.MaxBlocks)...), "limit"},
		{"a move from beyond any block", change(good, first+3*52+4, 4, u32(pack.MaxBlock)...), "limit"},
		{"an odd extension", change(good, end, 2, 1, 0, 1, 0, 0, 0, 0, 0), "extension"},
		{"a byte more", append(bytes.Clone(good), 0), "trailing"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := pack.ParseMoved("moved/x", tt.bytes)
			wantDamage(t, err, "moved/x", tt.reason)
		})
	}
	for n := range good {
		if _, err := pack.ParseMoved("x", good[:n]); err == nil {
			t.Errorf("the body can be cut to %d bytes", n)
		}
	}
}

func TestBlockCheck(t *testing.T) {
	good := goodMoves().Moves[0].To.Block
	if err := good.Check(); err != nil {
		t.Errorf("Check of a good block: %v", err)
	}
	good.Sealed = 1<<32 - 1
	wantDamage(t, good.Check(), "", pack.ReasonLimit)
	good.Sealed, good.Codec = 1<<20, pack.Zstd
	wantDamage(t, good.Check(), "", pack.ReasonLength)
}

func FuzzMoved(f *testing.F) {
	f.Add(pack.EncodeMoved(goodMoves()))
	f.Add(pack.EncodeMoved(pack.MovedBody{Ext: []pack.Ext{{ID: 2}}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := pack.ParseMoved("x", b)
		if err != nil {
			return
		}
		if got := pack.EncodeMoved(m); !bytes.Equal(got, b) {
			t.Fatalf("parsed %x, wrote back %x", b, got)
		}
	})
}
