package pack_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"tidemark/chunk"
	"tidemark/keys"
	"tidemark/pack"
)

// fixedSecret is a secret of known keys: the objects sealed with it were made
// by another program too.
const fixedSecret = `tidemark secret 1
repository 000102030405060708090a0b0c0d0e0f
identity AGE-SECRET-KEY-1H76CA23U3MXURU9YY9CWUVSH6UY7CGHKA6JSRLYWTN05F7WXMNKSET2Q3R
names 1111111111111111111111111111111111111111111111111111111111111111
records 2222222222222222222222222222222222222222222222222222222222222222
chunking 3333333333333333333333333333333333333333333333333333333333333333
signing 4444444444444444444444444444444444444444444444444444444444444444
groups 1 5555555555555555555555555555555555555555555555555555555555555555
`

// sealedRun is the secret of the fixed run, sealed to the identity above.
const sealedRun = "YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IFgyNTUxOSBkb1UwMUpRcWFPbmJKd1ZmdFJoWG95TCtPYTNSam5panJ6dVZ1RjRabkcwCkFUWkJqYWYvNlFkVXF6Nlh2TlZra1FmbDNiWGQzYUNhd0krVFBFSzJ0L00KLS0tIEFjT1pISEJZNjJPaUJJR0hwdjlyZUgrNXB5S3N3czZjMDVYeEcxT3BtMlEK/95MFcsgmdDRy4wQrqKKsXnXXwl0ncRL3XylOGwd8dpW79WoK5Q69sz4OOzuugrnZUDneAOudzgihrhwR30boZSbP0XKLX8ytyN+1RXBCsQWBkTYQEEcAI2hYw5oavHY25FEXzMLTefGLgZFyGl5T7cICkpurrMnjawl9OS0lkWc3ezKHQ=="

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func secret() *keys.Secret { return must(keys.ParseSecret([]byte(fixedSecret))) }

func ring() pack.KeyRing { return pack.KeyRing{Secret: secret(), Groups: []keys.Group{group()}} }

func group() keys.Group { return must(secret().Group(1, "web")) }

// fixedRun returns the run whose key is 32 times 0x77.
func fixedRun() *keys.Run {
	s := keys.RunSecret{Key: keys.NewKey([32]byte(bytes.Repeat([]byte{0x77}, 32))), Epoch: 1, Group: "web"}
	return &keys.Run{Secret: s, ID: s.ID(), Sealed: must(base64.StdEncoding.DecodeString(sealedRun))}
}

// counter is a source of bytes 0, 1, 2 …
func counter() io.Reader { return new(countReader) }

type countReader struct{ next byte }

func (r *countReader) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = r.next
		r.next++
	}
	return len(p), nil
}

func id(b byte) chunk.ID { return chunk.ID(bytes.Repeat([]byte{b}, 32)) }

func pieces(lens ...uint32) []pack.Piece {
	var ps []pack.Piece
	for i, n := range lens {
		ps = append(ps, pack.Piece{ID: id(byte(i + 1)), Len: n})
	}
	return ps
}

func newBuilder(k pack.Kind, n uint32, buf []byte) *pack.Builder {
	s := secret()
	return must(pack.NewBuilder(s.Names(), fixedRun(), s.Repository, "web1", k, n, buf))
}

// A testPack is a pack with two blocks, one of them compressed.
type testPack struct {
	name   string
	obj    []byte
	blocks []pack.Block
	plain  [][]byte
}

func newTestPack(k pack.Kind, n uint32) testPack {
	var p testPack
	b := newBuilder(k, n, nil)
	for _, plain := range [][]byte{[]byte("raw, for it is short"), bytes.Repeat([]byte("compressed "), 50)} {
		codec, data := pack.Compress(nil, plain)
		size := uint32(len(plain))
		p.blocks = append(p.blocks, must(b.AddBlock(codec, data, size, pieces(1, size-1))))
		p.plain = append(p.plain, plain)
	}
	var err error
	if p.name, p.obj, err = b.Finish(); err != nil {
		panic(err)
	}
	return p
}

func (p testPack) opener(t testing.TB, k pack.Kind) (*pack.Opener, pack.Header) {
	t.Helper()
	h, err := pack.ParseHeader(p.obj, secret().Repository, p.name, k)
	if err != nil {
		t.Fatal(err)
	}
	o, err := h.Opener(ring())
	if err != nil {
		t.Fatal(err)
	}
	return o, h
}

func sealed(obj []byte, b pack.Block) []byte { return obj[b.Offset:][:b.Sealed] }

// wantDamage checks that err is a DamageError for this reason, of the object.
func wantDamage(t *testing.T, err error, object string, reason pack.Reason) {
	t.Helper()
	bad, ok := errors.AsType[*pack.DamageError](err)
	if !ok {
		t.Fatalf("error is %v (%T); want a DamageError with reason %q", err, err, reason)
	}
	if bad.Reason != reason || bad.Object != object {
		t.Errorf("error is %v, with reason %q of %q; want %q of %q", err, bad.Reason, bad.Object, reason, object)
	}
	tooOld := reason == pack.ReasonVersion || reason == pack.ReasonExtension
	if errors.Is(err, pack.ErrTooOld) != tooOld || errors.Is(err, pack.ErrDamaged) == tooOld {
		t.Errorf("%v: is ErrTooOld %t, is ErrDamaged %t", err, errors.Is(err, pack.ErrTooOld), errors.Is(err, pack.ErrDamaged))
	}
}

// wantPanic checks that f panics.
func wantPanic(t *testing.T, what string, f func()) {
	t.Helper()
	defer func() {
		if recover() == nil {
			t.Errorf("%s does not panic", what)
		}
	}()
	f()
}

// change returns a copy of b with n bytes at offset replaced by those of with.
func change(b []byte, offset, n int, with ...byte) []byte {
	return append(append(bytes.Clone(b[:offset]), with...), b[offset+n:]...)
}

// random returns n bytes that do not compress.
func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

// sourceText returns n bytes of Go's own source text.
func sourceText(t testing.TB, n int) []byte {
	t.Helper()
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Skipf("no source text: go env GOROOT: %v", err)
	}
	files := must(filepath.Glob(filepath.Join(strings.TrimSpace(string(root)), "src", "net", "http", "*.go")))
	var b []byte
	for _, f := range files {
		b = append(b, must(os.ReadFile(f))...)
		if len(b) >= n {
			return b[:n]
		}
	}
	t.Skipf("only %d bytes of source text below %s", len(b), root)
	return nil
}
