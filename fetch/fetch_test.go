package fetch_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tidemark/chunk"
	"tidemark/fetch"
	"tidemark/keys"
	"tidemark/pack"
	"tidemark/store"
)

func TestPieces(t *testing.T) {
	r := newRepo(t)
	run, other := r.run(host), r.run("databases")
	var all []piece
	for i, k := range []pack.Kind{pack.DataPack, pack.DataPack} {
		blocks := r.write([]*keys.Run{run, other}[i], k, 1,
			[][]byte{text(1, 1), text(513, 2), text(100_000, 3)},
			[][]byte{noise(300_000, 4)},
			[][]byte{bytes.Repeat([]byte("a"), 1<<20)})
		all = append(all, slices.Concat(blocks...)...)
	}
	for i, k := range []*keys.Run{run, other} {
		blocks := r.write(k, pack.TreePack, 2,
			[][]byte{page(text(40, 5)), page(text(20_000, uint64(i))), page(nil)},
			[][]byte{page(noise(200_000, 6))})
		all = append(all, slices.Concat(blocks...)...)
	}
	f := r.fetcher(t, r.store, fetch.Config{})
	for range 3 {
		for _, p := range all {
			check(t, f, p)
		}
	}
	s := f.Stats()
	if s.Fetches != 10 || s.Headers != 2 {
		t.Errorf("%d blocks and %d headers were fetched, want 10 and 2", s.Fetches, s.Headers)
	}
	if want := int64(3 * len(all)); s.Hits+s.Misses != want || s.Misses != s.Fetches {
		t.Errorf("%d hits and %d misses of %d", s.Hits, s.Misses, want)
	}
	if s.InFlight != 0 || s.Held != 0 {
		t.Errorf("when all is read: %+v", s)
	}
}

func TestPagesAreShared(t *testing.T) {
	r := newRepo(t)
	p := r.write(r.run(host), pack.TreePack, 1, [][]byte{page(text(5000, 1))})[0][0]
	f := r.fetcher(t, r.store, small)
	check(t, f, p)
	first, err := f.Page(t.Context(), p.id, p.at)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	if !bytes.Equal(first, p.bytes) {
		t.Error("a page changed when the Fetcher was closed")
	}
}

// A cold read asks for the header and for the block, exactly, and for nothing
// else; what is in a block that was read asks for nothing.
func TestRequests(t *testing.T) {
	r := newRepo(t)
	run := r.run(host)
	first := r.write(run, pack.DataPack, 1, [][]byte{text(1000, 1), text(1000, 2)}, [][]byte{text(1000, 3)})
	second := r.write(run, pack.TreePack, 2, [][]byte{page(text(1000, 4))})
	counter := store.Count(r.store)
	f := r.fetcher(t, counter, small)
	for _, want := range []struct {
		piece  piece
		header bool
		block  bool
	}{
		{first[0][1], true, true},
		{first[0][0], false, false},
		{first[1][0], false, true},
		{second[0][0], false, true}, // another pack of the run
		{first[0][0], false, false},
		{second[0][0], false, false},
	} {
		counter.Reset()
		check(t, f, want.piece)
		object, at := r.object(want.piece), want.piece.at
		var requests []store.Request
		if want.header {
			requests = append(requests, store.Request{Op: store.OpRead, Key: object, N: pack.MaxHeader})
		}
		if want.block {
			requests = append(requests, store.Request{Op: store.OpRead, Key: object, Off: int64(at.Offset), N: int64(at.Sealed)})
		}
		got := counter.Requests()
		slices.SortFunc(got, func(a, b store.Request) int { return int(a.Off - b.Off) })
		if !slices.Equal(got, requests) {
			t.Errorf("asked %v, want %v", got, requests)
		}
	}
}

// Every bit of what is read, flipped, is an error that names the object. The
// directory is not read at all: reading rests on places.
func TestFlippedBits(t *testing.T) {
	r := newRepo(t)
	for _, p := range []piece{
		r.write(r.run(host), pack.DataPack, 1, [][]byte{text(200, 1)}, [][]byte{text(10, 2)})[0][0],
		r.write(r.run(host), pack.TreePack, 1, [][]byte{page(noise(60, 1))}, [][]byte{page(nil)})[0][0],
	} {
		object := r.object(p)
		whole, err := store.ReadAll(t.Context(), r.store, object, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		fault := store.NewFault(r.store)
		flip := func(i int64) {
			fault.Damage(object, func(b []byte) []byte {
				b[i] ^= 1 << (i % 8)
				return b
			})
		}
		f := r.fetcher(t, fault, small)
		blockEnd := int64(p.at.Offset) + int64(p.at.Sealed)
		for i := range blockEnd {
			flip(i)
			_, err := read(t.Context(), f, p)
			checkNamed(t, err, object)
			if i >= int64(p.at.Offset) && !errors.Is(err, pack.ErrDamaged) {
				t.Errorf("%v is not pack.ErrDamaged", err)
			}
			if t.Failed() {
				t.Fatalf("with a bit of byte %d flipped, block at %d", i, p.at.Offset)
			}
		}
		for i := blockEnd; i < int64(len(whole)); i++ {
			flip(i)
			f := r.fetcher(t, fault, small)
			check(t, f, p)
			f.Close()
		}
		fault.Damage(object, nil)
		check(t, f, p) // no error was kept
	}
}

func TestTruncatedPacks(t *testing.T) {
	r := newRepo(t)
	p := r.write(r.run(host), pack.DataPack, 1, [][]byte{text(20, 1)}, [][]byte{text(300, 2)}, [][]byte{text(20, 3)})[1][0]
	object := r.object(p)
	fault := store.NewFault(r.store)
	f := r.fetcher(t, fault, small)
	for n := range int64(p.at.Offset) + int64(p.at.Sealed) {
		fault.Damage(object, store.Truncate(n))
		_, err := read(t.Context(), f, p)
		checkDamage(t, err, object)
	}
	fault.Damage(object, nil)
	check(t, f, p)
}

// Objects that were exchanged are damage, whether the run's header is read or
// was read before.
func TestSwappedPacks(t *testing.T) {
	r := newRepo(t)
	run := r.run(host)
	p := r.write(run, pack.DataPack, 1, [][]byte{text(300, 1)})[0][0]
	for name, q := range map[string]piece{
		"pack of the run":       r.write(run, pack.DataPack, 2, [][]byte{text(300, 2)})[0][0],
		"pack of another run":   r.write(r.run(host), pack.DataPack, 1, [][]byte{text(300, 1)})[0][0],
		"tree pack of the run":  r.write(run, pack.TreePack, 3, [][]byte{page(text(300, 1))})[0][0],
		"pack of another group": r.write(r.run("databases"), pack.DataPack, 1, [][]byte{text(300, 1)})[0][0],
	} {
		t.Run(name, func(t *testing.T) {
			other, err := store.ReadAll(t.Context(), r.store, r.object(q), 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			fault := store.NewFault(r.store)
			swap := func([]byte) []byte { return bytes.Clone(other) }

			f := r.fetcher(t, fault, small)
			fault.Damage(r.object(p), swap)
			_, err = read(t.Context(), f, p)
			checkDamage(t, err, r.object(p))

			f = r.fetcher(t, fault, small)
			fault.Damage(r.object(p), nil)
			sibling := r.write(run, pack.DataPack, 100+q.at.Pack+uint32(len(name)), [][]byte{text(10, 1)})[0][0]
			check(t, f, sibling)
			fault.Damage(r.object(p), swap)
			_, err = read(t.Context(), f, p)
			checkDamage(t, err, r.object(p))
		})
	}
}

// A place that does not lead to the piece is an error, before and after the
// block and the piece are in memory.
func TestWrongPlaces(t *testing.T) {
	r := newRepo(t)
	run := r.run(host)
	chunks := r.write(run, pack.DataPack, 1, [][]byte{text(300, 1), text(300, 2)}, [][]byte{text(600, 3)})
	pages := r.write(run, pack.TreePack, 2, [][]byte{page(text(300, 1)), page(text(300, 2))})
	twin := r.write(r.run("databases"), pack.DataPack, 1, [][]byte{text(300, 1), text(300, 2)})
	tests := map[string]func(p *piece){
		"another id":              func(p *piece) { p.id[31] ^= 1 },
		"id zero":                 func(p *piece) { p.id = chunk.ID{} },
		"id of the neighbour":     func(p *piece) { p.at.Start += p.at.Len },
		"one byte later":          func(p *piece) { p.at.Start++ },
		"one byte less":           func(p *piece) { p.at.Len-- },
		"one byte more":           func(p *piece) { p.at.Len++ },
		"no bytes":                func(p *piece) { p.at.Len = 0 },
		"past the end":            func(p *piece) { p.at.Start = p.at.Plain },
		"overflowing":             func(p *piece) { p.at.Start, p.at.Len = 1<<32-1, 1<<32-1 },
		"no block":                func(p *piece) { p.at = pack.Place{} },
		"a kind of pack too much": func(p *piece) { p.kind ^= pack.DataPack ^ pack.TreePack },
		"another block":           func(p *piece) { p.at.Ordinal++ },
		"a later block":           func(p *piece) { p.at.Ordinal = pack.MaxBlocks },
	}
	unread := map[string]func(p *piece){ // places that are not looked at if the block is in memory
		"no host":                func(p *piece) { p.at.Host = "" },
		"another host":           func(p *piece) { p.at.Host = "web2" },
		"another offset":         func(p *piece) { p.at.Offset++ },
		"an offset past the end": func(p *piece) { p.at.Offset = 1 << 29 },
		"an offset past a pack":  func(p *piece) { p.at.Offset = 1<<64 - 1 },
		"sealed shorter":         func(p *piece) { p.at.Sealed-- },
		"sealed longer":          func(p *piece) { p.at.Sealed++ },
		"sealed in 4 GiB":        func(p *piece) { p.at.Sealed = 1<<32 - 1 },
		"plain shorter":          func(p *piece) { p.at.Plain-- },
		"plain 4 GiB":            func(p *piece) { p.at.Plain = 1<<32 - 1 },
		"another codec":          func(p *piece) { p.at.Codec ^= 1 },
		"codec 2":                func(p *piece) { p.at.Codec = 2 },
	}
	attempt := func(f *fetch.Fetcher, p piece, change func(p *piece)) {
		t.Helper()
		change(&p)
		_, err := read(t.Context(), f, p)
		checkNamed(t, err, "")
	}
	for _, p := range []piece{chunks[0][0], pages[0][0]} {
		for name, change := range tests {
			f := r.fetcher(t, r.store, small)
			attempt(f, p, change)
			check(t, f, p)
			attempt(f, p, change)
			check(t, f, p)
			f.Close()
			if t.Failed() {
				t.Fatalf("%v: %s", p.kind, name)
			}
		}
		for name, change := range unread {
			f := r.fetcher(t, r.store, small)
			attempt(f, p, change)
			check(t, f, p)
			f.Close()
			if t.Failed() {
				t.Fatalf("%v: %s", p.kind, name)
			}
		}
	}
	// The same bytes have another id in another group.
	f := r.fetcher(t, r.store, small)
	p := chunks[0][0]
	p.id = twin[0][0].id
	_, err := read(t.Context(), f, p)
	checkDamage(t, err, r.object(p))
	if !strings.Contains(err.Error(), p.id.String()) || !strings.Contains(err.Error(), "block 0") {
		t.Errorf("the error does not name the piece: %v", err)
	}
}

// What the store says stays what it is, and is asked again the next time.
func TestStoreErrors(t *testing.T) {
	r := newRepo(t)
	p := r.write(r.run(host), pack.DataPack, 1, [][]byte{text(20, 1)})[0][0]
	for n := range 2 {
		failed := false
		fault := store.NewFault(r.store, func(_ store.Op, _ string, i int) (bool, error) {
			if failed || i != n {
				return false, nil
			}
			failed = true
			return false, store.ErrInjected
		})
		f := r.fetcher(t, fault, small)
		_, err := read(t.Context(), f, p)
		checkNamed(t, err, r.object(p))
		if !errors.Is(err, store.ErrInjected) || errors.Is(err, pack.ErrDamaged) {
			t.Errorf("read %d fails: %v", n, err)
		}
		check(t, f, p)
	}
}

// A secret that is too old opens nothing of a newer run, and says so.
func TestOldSecret(t *testing.T) {
	r := newRepo(t)
	old := r.secret
	var err error
	if r.secret, err = old.Rotate(strings.NewReader(strings.Repeat("x", 32)), false); err != nil {
		t.Fatal(err)
	}
	p := r.write(r.run(host), pack.DataPack, 1, [][]byte{text(20, 1)})[0][0]
	check(t, r.fetcher(t, r.store, small), p)
	r.secret = old
	_, err = read(t.Context(), r.fetcher(t, r.store, small), p)
	checkNamed(t, err, r.object(p))
	if !errors.Is(err, keys.ErrNotForUs) || errors.Is(err, pack.ErrDamaged) {
		t.Errorf("%v, want %v", err, keys.ErrNotForUs)
	}
}

func TestConfig(t *testing.T) {
	r := newRepo(t)
	for _, cfg := range []fetch.Config{
		{MemoryBytes: -1}, {MemoryBytes: 15 << 20}, {Concurrency: -1}, {Timeout: -time.Second},
	} {
		if f, err := fetch.New(cfg, r.secret.Repository, r.store, r.secret); err == nil {
			f.Close()
			t.Errorf("%+v was accepted", cfg)
		}
	}
}

func TestClosed(t *testing.T) {
	r := newRepo(t)
	run := r.run(host)
	c := r.write(run, pack.DataPack, 1, [][]byte{text(2000, 1), text(2000, 2)})[0]
	p := r.write(run, pack.TreePack, 2, [][]byte{page(text(2000, 1))})[0][0]
	f := r.fetcher(t, r.store, small)
	held, err := f.Chunk(t.Context(), c[0].id, c[0].at)
	if err != nil {
		t.Fatal(err)
	}
	check(t, f, p)
	f.Close()
	f.Close()
	for _, q := range []piece{c[1], p} {
		if _, err := read(t.Context(), f, q); !errors.Is(err, fetch.ErrClosed) {
			t.Errorf("reading a %v: %v, want %v", q.kind, err, fetch.ErrClosed)
		}
	}
	if !bytes.Equal(held.Bytes(), c[0].bytes) {
		t.Error("a Piece changed when the Fetcher was closed")
	}
	held.Release()
	held.Release()
	if s := f.Stats(); s.Memory != 0 || s.Held != 0 {
		t.Errorf("when all is closed: %+v", s)
	}
}

// A Fetcher has the keys of runs in memory.
func TestFormat(t *testing.T) {
	f := newRepo(t)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		if s := fmt.Sprintf(verb, f.fetcher(t, f.store, small)); s != "fetch.Fetcher" {
			t.Errorf("%s prints %d bytes of a Fetcher", verb, len(s))
		}
	}
}
