package fetch_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io/fs"
	mathrand "math/rand/v2"
	"strings"
	"testing"

	"tidemark/chunk"
	"tidemark/fetch"
	"tidemark/keys"
	"tidemark/pack"
	"tidemark/store"
)

const host = "web1"

// A repo is a repository in memory, made by the real codec.
type repo struct {
	t      testing.TB
	secret *keys.Secret
	names  *keys.Names
	store  *store.Mem
}

// A piece is a page or a chunk in a repo, and what it must read as.
type piece struct {
	kind  pack.Kind
	id    chunk.ID
	at    pack.Place
	bytes []byte
}

func newRepo(t testing.TB) *repo {
	t.Helper()
	secret, err := keys.Generate(rand.Reader, false)
	if err != nil {
		t.Fatal(err)
	}
	// The codec makes its coders at their first use. Made inside a synctest
	// bubble they could be used in no other.
	codec, data := pack.Compress(nil, make([]byte, 1000))
	if _, err := pack.Decompress("warming up", nil, codec, data, 1000); err != nil {
		t.Fatal(err)
	}
	return &repo{t, secret, secret.Names(), store.NewMem()}
}

func (r *repo) run(group string) *keys.Run {
	r.t.Helper()
	run, err := r.secret.NewRun(rand.Reader, group)
	if err != nil {
		r.t.Fatal(err)
	}
	return run
}

// ids returns the id keys of a run.
func (r *repo) ids(run *keys.Run) chunk.Keys {
	r.t.Helper()
	g, err := r.secret.Group(run.Secret.Epoch, run.Secret.Group)
	if err != nil {
		r.t.Fatal(err)
	}
	return chunk.NewKeys(g.Secret())
}

// write stores a pack of blocks, each of which is some pieces, and returns
// the pieces block by block.
func (r *repo) write(run *keys.Run, k pack.Kind, n uint32, blocks ...[][]byte) [][]piece {
	r.t.Helper()
	b, err := pack.NewBuilder(r.names, run, r.secret.Repository, host, k, n, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	var out [][]piece
	for _, contents := range blocks {
		plain := bytes.Join(contents, nil)
		var pieces []piece
		var listed []pack.Piece
		start := uint32(0)
		for _, content := range contents {
			p := piece{kind: k, id: r.id(run, k, content), bytes: content}
			p.at.Start, p.at.Len = start, uint32(len(content))
			start += p.at.Len
			pieces = append(pieces, p)
			listed = append(listed, pack.Piece{ID: p.id, Len: p.at.Len})
		}
		codec, data := pack.Compress(nil, plain)
		at, err := b.AddBlock(codec, data, uint32(len(plain)), listed)
		if err != nil {
			r.t.Fatal(err)
		}
		for i := range pieces {
			pieces[i].at.Block = at
		}
		out = append(out, pieces)
	}
	name, object, err := b.Finish()
	if err != nil {
		r.t.Fatal(err)
	}
	r.put(name, object)
	return out
}

func (r *repo) put(name string, object []byte) {
	r.t.Helper()
	if err := r.store.Put(r.t.Context(), name, bytes.NewReader(object), int64(len(object))); err != nil {
		r.t.Fatal(err)
	}
}

func (r *repo) delete(name string) {
	r.t.Helper()
	if err := r.store.Delete(r.t.Context(), name); err != nil {
		r.t.Fatal(err)
	}
}

// id returns the id that a piece has in a run.
func (r *repo) id(run *keys.Run, k pack.Kind, content []byte) chunk.ID {
	r.t.Helper()
	if k == pack.DataPack {
		return r.ids(run).ChunkID(content)
	}
	identity, err := pack.PageIdentity("a page", content)
	if err != nil {
		r.t.Fatal(err)
	}
	return r.ids(run).PageID(identity)
}

// object returns the name of the pack that p is in.
func (r *repo) object(p piece) string {
	r.t.Helper()
	name, err := pack.ObjectName(r.names, p.at.Host, p.at.Run, p.at.Pack)
	if err != nil {
		r.t.Fatal(err)
	}
	return name
}

// fetcher returns a Fetcher of s that overwrites buffers that nobody may use
// any more, and is closed when the test ends.
func (r *repo) fetcher(t testing.TB, s fetch.Store, cfg fetch.Config) *fetch.Fetcher {
	t.Helper()
	f, err := fetch.New(cfg, r.secret.Repository, s, r.secret)
	if err != nil {
		t.Fatal(err)
	}
	f.Poison()
	t.Cleanup(f.Close)
	return f
}

// small is the configuration of tests that make many Fetchers.
var small = fetch.Config{MemoryBytes: 16 << 20}

// read returns a copy of what f says of p.
func read(ctx context.Context, f *fetch.Fetcher, p piece) ([]byte, error) {
	if p.kind == pack.TreePack {
		b, err := f.Page(ctx, p.id, p.at)
		return bytes.Clone(b), err
	}
	got, err := f.Chunk(ctx, p.id, p.at)
	if err != nil {
		return nil, err
	}
	defer got.Release()
	return bytes.Clone(got.Bytes()), nil
}

// check fails the test unless f reads p as it is.
func check(t testing.TB, f *fetch.Fetcher, p piece) {
	t.Helper()
	got, err := read(t.Context(), f, p)
	if err != nil {
		t.Errorf("%v at %d of block %d: %v", p.kind, p.at.Start, p.at.Ordinal, err)
	} else if !bytes.Equal(got, p.bytes) {
		t.Errorf("%v at %d of block %d: %d wrong bytes", p.kind, p.at.Start, p.at.Ordinal, len(got))
	}
}

// checkNamed fails the test unless err is one that names the object, and does
// not look like a file that never was.
func checkNamed(t testing.TB, err error, object string) {
	t.Helper()
	switch {
	case err == nil:
		t.Error("no error")
	case !strings.Contains(err.Error(), object):
		t.Errorf("the error does not name %s: %v", object, err)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, store.ErrNotExist):
		t.Errorf("the error could be taken for a file that does not exist: %v", err)
	}
}

// checkDamage is checkNamed for damage.
func checkDamage(t testing.TB, err error, object string) {
	t.Helper()
	checkNamed(t, err, object)
	if !errors.Is(err, pack.ErrDamaged) {
		t.Errorf("%v is not pack.ErrDamaged", err)
	}
}

// text returns n bytes that zstd makes shorter, noise n bytes that it does
// not. Equal seeds give equal bytes.
func text(n int, seed uint64) []byte {
	rng := mathrand.New(mathrand.NewPCG(seed, 1))
	b := make([]byte, n)
	for i := range b {
		b[i] = "etaoin shrdlu\n"[rng.IntN(14)]
	}
	return b
}

func noise(n int, seed uint64) []byte {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	b := make([]byte, n)
	mathrand.NewChaCha8(key).Read(b)
	return b
}

// page returns a page whose identity section is identity, with some hints and
// places.
func page(identity []byte) []byte {
	hints, places := []byte("hints"), []byte("places")
	var b []byte
	for _, section := range [][]byte{identity, hints, places} {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(section)))
	}
	return append(append(append(b, identity...), hints...), places...)
}

// gate is a store that asks before each read.
type gate struct {
	fetch.Store
	ask func(ctx context.Context, key string, off int64) error
}

func (g gate) ReadAt(ctx context.Context, key string, p []byte, off int64) (int, error) {
	if err := g.ask(ctx, key, off); err != nil {
		return 0, err
	}
	return g.Store.ReadAt(ctx, key, p, off)
}
