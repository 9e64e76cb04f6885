package pack_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"tidemark/keys"
	"tidemark/pack"
)

// TestKnownPack builds a pack that another program has built too.
func TestKnownPack(t *testing.T) {
	const want = "27487ecc7b1ebd76ff46cebda91e3aef844ab19ff705ca9aee27f8ff222a0451"
	b := newBuilder(pack.DataPack, 5, nil)
	must(b.AddBlock(pack.Raw, []byte("hello, world"), 12, pieces(7, 5)))
	must(b.AddBlock(pack.Raw, []byte("again"), 5, []pack.Piece{{ID: id(3), Len: 5}}))
	size := b.Size()
	name, obj, err := b.Finish()
	if err != nil {
		t.Fatal(err)
	}
	if sum := sha256.Sum256(obj); hex.EncodeToString(sum[:]) != want {
		t.Errorf("the pack differs from what another program makes: %x", obj)
	}
	if int64(len(obj)) != size {
		t.Errorf("Size is %d, the pack has %d bytes", size, len(obj))
	}
	if want := must(pack.ObjectName(secret().Names(), "web1", fixedRun().ID, 5)); name != want || !strings.HasSuffix(name, "/1d9e4af88673c161d91f1ab911f7fa66/00000005") {
		t.Errorf("its name is %s, want %s", name, want)
	}
}

func TestPackReadsBack(t *testing.T) {
	for _, k := range []pack.Kind{pack.DataPack, pack.TreePack} {
		p := newTestPack(k, 3)
		o, h := p.opener(t, k)
		if h.Run != fixedRun().ID || h.N != 3 || h.Kind != k || uint64(h.Len) != p.blocks[0].Offset {
			t.Errorf("the header is %+v", h)
		}
		if got, err := pack.Check(p.obj, secret().Repository, p.name, k); err != nil || got.Len != h.Len {
			t.Errorf("Check = %v", err)
		}
		dirLen := must(pack.DirectoryLen(p.name, p.obj[len(p.obj)-pack.TrailerLen:]))
		tail := p.obj[len(p.obj)-pack.TrailerLen-int(dirLen):]
		for _, read := range [][]byte{tail, p.obj} {
			dir, err := o.OpenDirectory(read, int64(len(p.obj)), h.Len)
			if err != nil {
				t.Fatal(err)
			}
			for i, b := range dir.Blocks {
				want := p.blocks[i]
				got := pack.Block{Host: "web1", Run: h.Run, Pack: h.N, Ordinal: uint32(i), Offset: b.Offset, Sealed: b.Sealed, Plain: b.Plain, Codec: b.Codec}
				if got != want {
					t.Errorf("block %d is %+v, AddBlock said %+v", i, got, want)
				}
				if len(b.Pieces) != 2 || b.Pieces[0] != (pack.Piece{ID: id(1), Len: 1}) || b.Pieces[1].Len != b.Plain-1 {
					t.Errorf("block %d has the pieces %v", i, b.Pieces)
				}
			}
		}
		for i, b := range p.blocks {
			box := bytes.Clone(sealed(p.obj, b))
			for _, dst := range [][]byte{nil, make([]byte, 3), make([]byte, 0, b.Plain), make([]byte, 10, 4096)} {
				got, err := o.OpenBlock(dst, b, box)
				if err != nil || !bytes.Equal(got, p.plain[i]) {
					t.Fatalf("block %d opens as %q, %v", i, got, err)
				}
				if cap(dst) >= len(got) && &got[0] != &dst[:1][0] {
					t.Errorf("block %d: room for %d bytes is not used", i, cap(dst))
				}
			}
			if !bytes.Equal(box, sealed(p.obj, b)) {
				t.Errorf("OpenBlock changes what it opens")
			}
		}
		if codecs := []uint8{p.blocks[0].Codec, p.blocks[1].Codec}; codecs[0] != pack.Raw || codecs[1] != pack.Zstd {
			t.Errorf("the blocks have codecs %d", codecs)
		}
	}
}

// TestToolsReadPack checks a pack as a person without this program would.
func TestToolsReadPack(t *testing.T) {
	p := newTestPack(pack.DataPack, 1)
	run := func(in []byte, command string) []byte {
		cmd := exec.CommandContext(t.Context(), "sh", "-c", command)
		cmd.Stdin = bytes.NewReader(in)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v: %s", command, err, out)
		}
		return out
	}
	sum := string(run(p.obj, "head -c -32 | sha256sum"))
	if want := hex.EncodeToString(p.obj[len(p.obj)-32:]); !strings.HasPrefix(sum, want+" ") {
		t.Errorf("sha256sum says %s, the pack says %s", sum, want)
	}
	if _, err := exec.LookPath("zstd"); err != nil {
		t.Skip("no zstd command: apt-get install zstd")
	}
	for _, plain := range [][]byte{sourceText(t, 300<<10), bytes.Repeat([]byte{0}, pack.MaxBlock), bytes.Repeat([]byte("x"), 100)} {
		codec, data := pack.Compress(nil, plain)
		if codec != pack.Zstd {
			t.Fatalf("%d bytes are not compressed", len(plain))
		}
		if got := run(data, "zstd -d"); !bytes.Equal(got, plain) {
			t.Errorf("zstd -d makes %d bytes of what was %d", len(got), len(plain))
		}
	}
}

func TestAddBlockRefuses(t *testing.T) {
	b := newBuilder(pack.DataPack, 1, nil)
	if _, _, err := b.Finish(); err == nil {
		t.Error("Finish makes a pack of no blocks")
	}
	many := make([]byte, pack.MaxBlock+1)
	for name, add := range map[string]func() (pack.Block, error){
		"no bytes":              func() (pack.Block, error) { return b.AddBlock(pack.Raw, nil, 0, nil) },
		"no pieces":             func() (pack.Block, error) { return b.AddBlock(pack.Raw, []byte("x"), 1, nil) },
		"an empty piece":        func() (pack.Block, error) { return b.AddBlock(pack.Raw, []byte("x"), 1, pieces(1, 0)) },
		"pieces of other bytes": func() (pack.Block, error) { return b.AddBlock(pack.Raw, []byte("x"), 1, pieces(2)) },
		"pieces that overflow": func() (pack.Block, error) {
			return b.AddBlock(pack.Raw, []byte("x"), 1, pieces(1<<31, 1<<31, 1))
		},
		"another length":   func() (pack.Block, error) { return b.AddBlock(pack.Raw, []byte("x"), 2, pieces(2)) },
		"an unknown codec": func() (pack.Block, error) { return b.AddBlock(2, []byte("x"), 2, pieces(2)) },
		"zstd that is longer": func() (pack.Block, error) {
			return b.AddBlock(pack.Zstd, []byte("xxx"), 2, pieces(2))
		},
		"zstd that saves nothing": func() (pack.Block, error) {
			return b.AddBlock(pack.Zstd, []byte("xx"), 2, pieces(2))
		},
		"more than 16 MiB": func() (pack.Block, error) {
			return b.AddBlock(pack.Raw, many, uint32(len(many)), pieces(uint32(len(many))))
		},
	} {
		before := b.Size()
		if at, err := add(); err == nil || at != (pack.Block{}) || b.Size() != before || len(b.Directory()) != 0 {
			t.Errorf("%s: AddBlock = %+v, %v", name, at, err)
		}
	}
	if _, err := b.AddBlock(pack.Raw, []byte("x"), 1, pieces(1)); err != nil {
		t.Errorf("a good block after bad ones: %v", err)
	}
}

func TestPackLimits(t *testing.T) {
	b := newBuilder(pack.DataPack, 1, nil)
	for i := range pack.MaxBlocks {
		if _, err := b.AddBlock(pack.Raw, []byte("x"), 1, pieces(1)); err != nil {
			t.Fatalf("block %d: %v", i, err)
		}
	}
	if _, err := b.AddBlock(pack.Raw, []byte("x"), 1, pieces(1)); err == nil {
		t.Errorf("a pack can have %d blocks", pack.MaxBlocks+1)
	}
	if got := len(b.Directory()); got != pack.MaxBlocks {
		t.Errorf("the directory has %d blocks", got)
	}
	name, obj, err := b.Finish()
	if err != nil {
		t.Fatal(err)
	}
	h := must(pack.Check(obj, secret().Repository, name, pack.DataPack))
	o := must(h.Opener(ring()))
	if dir, err := o.OpenDirectory(obj, int64(len(obj)), h.Len); err != nil || len(dir.Blocks) != pack.MaxBlocks {
		t.Errorf("the largest directory: %v", err)
	}
}

func TestNewBuilderRefuses(t *testing.T) {
	s := secret()
	if _, err := pack.NewBuilder(s.Names(), fixedRun(), s.Repository, "a/b", pack.DataPack, 1, nil); err == nil {
		t.Error("a pack of a host called a/b")
	}
	for _, size := range []int{0, keys.MaxSealedRun + 1} {
		run := *fixedRun()
		run.Sealed = make([]byte, size)
		if _, err := pack.NewBuilder(s.Names(), &run, s.Repository, "web1", pack.DataPack, 1, nil); err == nil {
			t.Errorf("a pack with a sealed run secret of %d bytes", size)
		}
	}
	wantPanic(t, "a pack of kind index", func() { newBuilder(pack.Index, 1, nil) })
}

// TestLongestHeader: with the longest name and run secret a header fits.
func TestLongestHeader(t *testing.T) {
	s := secret()
	run := *fixedRun()
	run.Sealed = make([]byte, keys.MaxSealedRun)
	b := must(pack.NewBuilder(s.Names(), &run, s.Repository, strings.Repeat("x", keys.MaxName), pack.DataPack, 1, nil))
	at := must(b.AddBlock(pack.Raw, []byte("x"), 1, pieces(1)))
	name, obj, err := b.Finish()
	if err != nil {
		t.Fatal(err)
	}
	h, err := pack.ParseHeader(obj[:pack.MaxHeader/2], s.Repository, name, pack.DataPack)
	wantDamage(t, err, name, pack.ReasonTruncated)
	if h, err = pack.ParseHeader(obj, s.Repository, name, pack.DataPack); err != nil || h.Len != int(at.Offset) || h.Len > pack.MaxHeader {
		t.Errorf("a header of %d bytes: %v", h.Len, err)
	}
}

// TestBuilderUsesBuffer: a buffer with room is neither left nor copied.
func TestBuilderUsesBuffer(t *testing.T) {
	buf := make([]byte, 100, 1<<16)
	for n := range uint32(2) {
		b := newBuilder(pack.TreePack, n, buf)
		plain := random(5000)
		for range 5 {
			must(b.AddBlock(pack.Raw, plain, 5000, pieces(5000)))
		}
		_, obj, err := b.Finish()
		if err != nil || &obj[0] != &buf[0] {
			t.Errorf("the object is not in the buffer: %v", err)
		}
		buf = obj
	}
}

func TestNoKeyPrints(t *testing.T) {
	p := newTestPack(pack.DataPack, 1)
	o, _ := p.opener(t, pack.DataPack)
	b := newBuilder(pack.DataPack, 1, nil)
	type holder struct{ hidden any }
	for _, v := range []any{o, b, pack.RunKey(fixedRun()), pack.RecordsKey(secret().Records()), pack.IndexKey(group()), ring()} {
		for _, w := range []any{v, holder{v}, &holder{v}} {
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d", "%q"} {
				got := strings.ToLower(fmt.Sprintf(verb, w))
				for _, mark := range []string{"777777", "119 119", "0x77, 0x77", "wwww", "2222222", "34 34", "0x22, 0x22", `""""`, "secret-key"} {
					if strings.Contains(got, mark) {
						t.Errorf("%T by %s shows %s: %s", v, verb, mark, got)
					}
				}
			}
		}
	}
}
