package pack_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"strings"
	"sync"
	"testing"

	"tidemark/keys"
	"tidemark/pack"
)

// TestEveryBit flips each bit of a pack in turn. What has no key finds each,
// and so does what has one, but for the hash at the end.
func TestEveryBit(t *testing.T) {
	p := newTestPack(pack.DataPack, 1)
	repo := secret().Repository
	o, h := p.opener(t, pack.DataPack)
	for i := range p.obj {
		for bit := range 8 {
			p.obj[i] ^= 1 << bit
			where := fmt.Sprintf("bit %d of byte %d of %d", bit, i, len(p.obj))
			if _, err := pack.Check(p.obj, repo, p.name, pack.DataPack); err == nil {
				t.Errorf("Check: %s can be flipped", where)
			}
			damaged := openAll(p, o, h)
			if i < h.Len {
				_, err := pack.ParseHeader(p.obj, repo, p.name, pack.DataPack)
				if err == nil && bit == 0 { // only age can tell; that is slow
					h2, _ := pack.ParseHeader(p.obj, repo, p.name, pack.DataPack)
					_, err = h2.Opener(ring())
				}
				damaged = err != nil || bit != 0
			}
			if !damaged && i < len(p.obj)-sha256.Size {
				t.Errorf("with the key: %s can be flipped", where)
			}
			p.obj[i] ^= 1 << bit
		}
	}
}

// openAll reports whether something of the pack does not open.
func openAll(p testPack, o *pack.Opener, h pack.Header) (damaged bool) {
	if _, err := o.OpenDirectory(p.obj, int64(len(p.obj)), h.Len); err != nil {
		return true
	}
	for _, b := range p.blocks {
		if _, err := o.OpenBlock(nil, b, sealed(p.obj, b)); err != nil {
			return true
		}
	}
	return false
}

func TestOpenBlockRefuses(t *testing.T) {
	p := newTestPack(pack.DataPack, 1)
	o, _ := p.opener(t, pack.DataPack)
	raw, zip := p.blocks[0], p.blocks[1]
	with := func(b pack.Block, f func(*pack.Block)) pack.Block { f(&b); return b }
	for _, tt := range []struct {
		name   string
		block  pack.Block
		sealed []byte
		reason pack.Reason
	}{
		{"a byte less", raw, sealed(p.obj, raw)[1:], "truncated"},
		{"a byte more", raw, p.obj[raw.Offset:][:raw.Sealed+1], "trailing"},
		{"nothing", raw, nil, "truncated"},
		{"a flipped byte", raw, change(sealed(p.obj, raw), 0, 1, 0), "seal"},
		{"another ordinal", with(raw, func(b *pack.Block) { b.Ordinal = 1 }), sealed(p.obj, raw), "seal"},
		{"another block", with(raw, func(b *pack.Block) { b.Sealed = zip.Sealed; b.Plain = zip.Sealed - 16 }), sealed(p.obj, zip), "seal"},
		{"another pack", with(raw, func(b *pack.Block) { b.Pack = 2 }), sealed(p.obj, raw), "id"},
		{"another run", with(raw, func(b *pack.Block) { b.Run[0]++ }), sealed(p.obj, raw), "id"},
		{"an unknown codec", with(raw, func(b *pack.Block) { b.Codec = 2 }), sealed(p.obj, raw), "codec"},
		{"raw for compressed", with(raw, func(b *pack.Block) { b.Codec = pack.Zstd; b.Plain++ }), sealed(p.obj, raw), "seal"},
		{"compressed for raw", with(zip, func(b *pack.Block) { b.Codec = pack.Raw; b.Plain = b.Sealed - 16 }), sealed(p.obj, zip), "seal"},
		{"another plain length", with(zip, func(b *pack.Block) { b.Plain-- }), sealed(p.obj, zip), "seal"},
		{"another plain length, raw", with(raw, func(b *pack.Block) { b.Plain-- }), sealed(p.obj, raw), "length"},
		{"no plain bytes", with(zip, func(b *pack.Block) { b.Plain = 0 }), sealed(p.obj, zip), "length"},
		{"too many plain bytes", with(zip, func(b *pack.Block) { b.Plain = pack.MaxBlock + 1 }), sealed(p.obj, zip), "limit"},
		{"no sealed bytes", with(raw, func(b *pack.Block) { b.Sealed = 0 }), nil, "length"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := o.OpenBlock(make([]byte, 0, 100), tt.block, tt.sealed)
			wantDamage(t, err, p.name, tt.reason)
			if got != nil || err != nil && !strings.Contains(err.Error(), fmt.Sprintf("block %d: ", tt.block.Ordinal)) {
				t.Errorf("it gives %q, %v", got, err)
			}
		})
	}
	for name, other := range map[string]*pack.Opener{
		"another kind":       pack.NewOpener(secret().Repository, p.name, pack.TreePack, fixedRun().Secret, 1),
		"another repository": pack.NewOpener(keys.RepositoryID{}, p.name, pack.DataPack, fixedRun().Secret, 1),
	} {
		_, err := other.OpenBlock(nil, raw, sealed(p.obj, raw))
		t.Run(name, func(t *testing.T) { wantDamage(t, err, p.name, pack.ReasonSeal) })
	}
}

func TestParseHeaderRefuses(t *testing.T) {
	p := newTestPack(pack.DataPack, 1)
	repo := secret().Repository
	_, h := p.opener(t, pack.DataPack)
	head := p.obj[:h.Len]
	f := len(pack.AppendFrame(nil, pack.DataPack, repo, p.name))
	for _, tt := range []struct {
		name   string
		head   []byte
		reason pack.Reason
	}{
		{"a tree pack", change(head, 4, 1, 2), "kind"},
		{"another run", change(head, f, 1, 0), "name"},
		{"another number", change(head, f+16, 1, 2), "name"},
		{"no run secret", change(head, f+20, 2, 0, 0), "length"},
		{"a run secret of 3,073 bytes", append(change(head, f+20, 2, 0x01, 0x0c), make([]byte, 4000)...), "limit"},
		{"a run secret that is not there", change(head, f+20, 2, 0x00, 0x0c), "truncated"},
		{"cut", head[:len(head)-1], "truncated"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := pack.ParseHeader(tt.head, repo, p.name, pack.DataPack)
			wantDamage(t, err, p.name, tt.reason)
		})
	}
	for n := range head {
		if _, err := pack.ParseHeader(head[:n], repo, p.name, pack.DataPack); err == nil {
			t.Errorf("the header can be cut to %d bytes", n)
		}
	}
	other := newTestPack(pack.DataPack, 2)
	_, err := pack.ParseHeader(other.obj, repo, p.name, pack.DataPack)
	wantDamage(t, err, p.name, pack.ReasonName)
}

// TestHeaderOfAnotherRun gives a pack the sealed secret of another run: one
// who knows only the recipient can make that.
func TestHeaderOfAnotherRun(t *testing.T) {
	s := secret()
	run := *fixedRun()
	run.Sealed = must(s.NewRun(counter(), "web")).Sealed
	b := must(pack.NewBuilder(s.Names(), &run, s.Repository, "web1", pack.DataPack, 1, nil))
	must(b.AddBlock(pack.Raw, []byte("x"), 1, pieces(1)))
	name, obj, _ := b.Finish()
	h, err := pack.ParseHeader(obj, s.Repository, name, pack.DataPack)
	if err != nil {
		t.Fatal(err)
	}
	_, err = h.Opener(ring())
	wantDamage(t, err, name, pack.ReasonID)
}

func TestCheckRefuses(t *testing.T) {
	p := newTestPack(pack.DataPack, 1)
	_, h := p.opener(t, pack.DataPack)
	n := len(p.obj)
	for _, tt := range []struct {
		name   string
		obj    []byte
		reason pack.Reason
	}{
		{"a flipped byte of a block", change(p.obj, h.Len, 1, p.obj[h.Len]+1), "sum"},
		{"a flipped byte of the hash", change(p.obj, n-1, 1, p.obj[n-1]+1), "sum"},
		{"no end", p.obj[:h.Len], "truncated"},
		{"half an end", p.obj[:h.Len+35], "truncated"},
		{"a directory of 16 bytes", change(p.obj, n-36, 4, 16, 0, 0, 0), "length"},
		{"a directory of 64 MiB and more", change(p.obj, n-36, 4, 1, 0, 0, 4), "limit"},
		{"a directory before the blocks", change(p.obj, n-36, 4, 0, 8, 0, 0), "truncated"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := pack.Check(tt.obj, secret().Repository, p.name, pack.DataPack)
			wantDamage(t, err, p.name, tt.reason)
		})
	}
	for size := range p.obj {
		if _, err := pack.Check(p.obj[:size], secret().Repository, p.name, pack.DataPack); err == nil {
			t.Errorf("the pack can be cut to %d bytes", size)
		}
	}
}

func TestOpenBlockConcurrently(t *testing.T) {
	p := newTestPack(pack.DataPack, 1)
	o, _ := p.opener(t, pack.DataPack)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 100 {
				b := p.blocks[i%2]
				if got, err := o.OpenBlock(nil, b, sealed(p.obj, b)); err != nil || !bytes.Equal(got, p.plain[i%2]) {
					t.Errorf("OpenBlock = %q, %v", got, err)
				}
			}
		})
	}
	wg.Wait()
}

func FuzzHeader(f *testing.F) {
	repo := secret().Repository
	p := newTestPack(pack.DataPack, 1)
	f.Add(p.obj, p.name)
	q := newTestPack(pack.TreePack, 0xffffffff)
	f.Add(q.obj, q.name)
	f.Fuzz(func(t *testing.T, b []byte, name string) {
		h, err := pack.ParseHeader(b, repo, name, pack.DataPack)
		if err != nil {
			return
		}
		e := pack.Encoder{B: pack.AppendFrame(nil, pack.DataPack, repo, name)}
		e.Raw(h.Run[:])
		e.U32(h.N)
		e.Str16(string(h.Sealed))
		if h.Len > pack.MaxHeader || !bytes.Equal(e.B, b[:h.Len]) {
			t.Fatalf("parsed %x, wrote back %x", b, e.B)
		}
	})
}

func TestPageIdentity(t *testing.T) {
	page := append([]byte{3, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0}, "abch"...)
	if got, err := pack.PageIdentity("x", page); err != nil || string(got) != "abc" {
		t.Errorf("PageIdentity = %q, %v", got, err)
	}
	for _, bad := range [][]byte{nil, page[:11], page[:14], change(page, 0, 4, 0xff, 0xff, 0xff, 0xff)} {
		_, err := pack.PageIdentity("the object", bad)
		wantDamage(t, err, "the object", pack.ReasonTruncated)
	}
}
