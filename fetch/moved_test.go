package fetch_test

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"errors"
	"slices"
	"strings"
	"testing"

	"tidemark/fetch"
	"tidemark/keys"
	"tidemark/pack"
	"tidemark/store"
)

// movedName returns the name of the n-th object that says where the pieces of
// p's pack went.
func (r *repo) movedName(p piece, n uint32) string {
	r.t.Helper()
	name, err := pack.MovedName(r.names, p.at.Host, p.at.Run, p.at.Pack, n)
	if err != nil {
		r.t.Fatal(err)
	}
	return name
}

// moved stores, under name, that the pieces of from, of one pack of a run of
// group, are now where those of to are.
func (r *repo) moved(name, group string, signer keys.PrivateKey, from, to []piece) {
	r.t.Helper()
	var moves []pack.Move
	for i, p := range from {
		moves = append(moves, pack.Move{Ordinal: p.at.Ordinal, Start: p.at.Start, ID: to[i].id, To: to[i].at})
	}
	slices.SortFunc(moves, func(a, b pack.Move) int {
		return cmp.Or(cmp.Compare(a.Ordinal, b.Ordinal), cmp.Compare(a.Start, b.Start))
	})
	g, err := r.secret.Group(r.secret.Epoch(), group)
	if err != nil {
		r.t.Fatal(err)
	}
	repo := r.secret.Repository
	body := pack.SignBody(pack.Moved, repo, name, pack.EncodeMoved(pack.MovedBody{Moves: moves}), signer)
	object, err := pack.SealRecord(rand.Reader, pack.Moved, repo, name, pack.IndexKey(g), body)
	if err != nil {
		r.t.Fatal(err)
	}
	r.put(name, object)
}

// compact moves two packs' worth of pieces to another run, in other blocks,
// and returns them as they were named before.
func (r *repo) compact(group string) (old []piece) {
	r.t.Helper()
	run := r.run(group)
	data := r.write(run, pack.DataPack, 1, [][]byte{text(300, 1), text(300, 2)}, [][]byte{text(3000, 3)})
	tree := r.write(run, pack.TreePack, 2, [][]byte{page(text(300, 1))})
	next := r.run(group)
	newData := r.write(next, pack.DataPack, 1, [][]byte{text(300, 2)}, [][]byte{text(3000, 3), text(300, 1)})
	newTree := r.write(next, pack.TreePack, 2, [][]byte{page(text(7, 7)), page(text(300, 1))})
	signer := r.secret.Signing()
	oldData := []piece{data[0][0], data[0][1], data[1][0]}
	r.moved(r.movedName(data[0][0], 1), group, signer, oldData, []piece{newData[1][1], newData[0][0], newData[1][0]})
	r.moved(r.movedName(tree[0][0], 1), group, signer, tree[0], newTree[0][1:])
	r.delete(r.object(data[0][0]))
	r.delete(r.object(tree[0][0]))
	return append(oldData, tree[0][0])
}

func TestMoved(t *testing.T) {
	r := newRepo(t)
	old := r.compact(host)
	counter := store.Count(r.store)
	f := r.fetcher(t, counter, small)
	for range 3 {
		for _, p := range old {
			check(t, f, p)
		}
	}
	lists := 0
	for _, request := range counter.Requests() {
		if request.Op == store.OpList {
			lists++
		}
	}
	if lists != 2 {
		t.Errorf("%d lists for 12 reads of two packs, want 2", lists)
	}
}

// A pack that is there is read, whatever is said of where its pieces went.
func TestNotMovedYet(t *testing.T) {
	r := newRepo(t)
	p := r.write(r.run(host), pack.DataPack, 1, [][]byte{text(300, 1)})[0][0]
	r.put(r.movedName(p, 1), []byte("nonsense"))
	check(t, r.fetcher(t, r.store, small), p)
}

// A group that is not called like the host is found among those that the
// caller knows, in whatever epoch it was.
func TestMovedInAnotherGroup(t *testing.T) {
	r := newRepo(t)
	old := r.compact("databases")
	var err error
	if r.secret, err = r.secret.Rotate(rand.Reader, false); err != nil {
		t.Fatal(err)
	}
	cfg := small
	cfg.Groups = func() []string { return []string{"laptops", "databases"} }
	f := r.fetcher(t, r.store, cfg)
	for _, p := range old {
		check(t, f, p)
	}
	_, err = read(t.Context(), r.fetcher(t, r.store, small), old[0])
	checkNamed(t, err, r.movedName(old[0], 1))
	if !errors.Is(err, keys.ErrNotForUs) {
		t.Errorf("with the group unknown: %v, want %v", err, keys.ErrNotForUs)
	}
}

func TestMissing(t *testing.T) {
	r := newRepo(t)
	run := r.run(host)
	p := r.write(run, pack.DataPack, 1, [][]byte{text(300, 1)})[0][0]
	sibling := r.write(run, pack.DataPack, 2, [][]byte{text(300, 2)})[0][0]
	r.delete(r.object(p))
	f := r.fetcher(t, r.store, small)
	for _, state := range []string{"the run is new", "the run is known"} {
		_, err := read(t.Context(), f, p)
		checkDamage(t, err, r.object(p))
		if !strings.Contains(err.Error(), "missing from the repository") {
			t.Errorf("%s: %v", state, err)
		}
		check(t, f, sibling)
	}
}

// The highest number is in force, and names that the format does not describe
// are ignored.
func TestMovedTwice(t *testing.T) {
	r := newRepo(t)
	run, signer := r.run(host), r.secret.Signing()
	p := r.write(run, pack.DataPack, 1, [][]byte{text(300, 1)})[0]
	gone := r.write(run, pack.DataPack, 2, [][]byte{text(300, 1)})[0]
	there := r.write(run, pack.DataPack, 3, [][]byte{text(300, 1)})[0]
	r.delete(r.object(p[0]))
	r.delete(r.object(gone[0]))
	r.moved(r.movedName(p[0], 9), host, signer, p, gone)
	r.moved(r.movedName(p[0], 0x10), host, signer, p, there)
	dir := strings.TrimSuffix(r.movedName(p[0], 0), "00000000")
	for _, stray := range []string{"0000000g", "000000011", "1", "FFFFFFFF", "z"} {
		r.put(dir+stray, []byte("nonsense"))
	}
	check(t, r.fetcher(t, r.store, small), p[0])
}

// Eight steps are followed, and not nine; a circle ends.
func TestMovedOften(t *testing.T) {
	r := newRepo(t)
	run, signer := r.run(host), r.secret.Signing()
	var steps [][]piece
	for n := range uint32(10) {
		steps = append(steps, r.write(run, pack.DataPack, n, [][]byte{text(300, 1)})[0])
	}
	for i, p := range steps[:9] {
		r.moved(r.movedName(p[0], 1), host, signer, p, steps[i+1])
		r.delete(r.object(p[0]))
	}
	check(t, r.fetcher(t, r.store, small), steps[1][0])
	_, err := read(t.Context(), r.fetcher(t, r.store, small), steps[0][0])
	checkDamage(t, err, r.object(steps[0][0]))

	r.delete(r.object(steps[9][0]))
	r.moved(r.movedName(steps[9][0], 1), host, signer, steps[9], steps[0])
	_, err = read(t.Context(), r.fetcher(t, r.store, small), steps[5][0])
	checkDamage(t, err, r.object(steps[5][0]))
}

// What says where pieces went is believed only if the repository signed it,
// and only if the bytes there match the id.
func TestBadMoves(t *testing.T) {
	r := newRepo(t)
	run, signer := r.run(host), r.secret.Signing()
	there := r.write(run, pack.DataPack, 100, [][]byte{text(300, 1)}, [][]byte{text(300, 2)})
	n := uint32(0)
	gone := func() []piece {
		n++
		p := r.write(run, pack.DataPack, n, [][]byte{text(300, 1), text(300, 2)})[0]
		r.delete(r.object(p[0]))
		return p
	}
	f := r.fetcher(t, r.store, small)
	fails := func(name string, p piece, object string) {
		t.Helper()
		_, err := read(t.Context(), f, p)
		checkDamage(t, err, object)
		if t.Failed() {
			t.Fatal(name)
		}
	}

	p := gone()
	r.moved(r.movedName(p[0], 1), host, r.secret.HostKey(1, host), p[:1], there[0])
	fails("signed by a host", p[0], r.movedName(p[0], 1))

	p = gone()
	r.moved(r.movedName(p[0], 1), host, signer, p[:1], there[0])
	fails("another piece of the pack", p[1], r.movedName(p[0], 1))

	p = gone()
	r.moved(r.movedName(p[0], 1), host, signer, p[:1], there[1])
	fails("another piece's id", p[0], r.movedName(p[0], 1))

	p = gone()
	liar := there[1][0]
	liar.id = p[0].id
	r.moved(r.movedName(p[0], 1), host, signer, p[:1], []piece{liar})
	fails("other bytes", p[0], r.object(liar))

	p = gone()
	longer := there[0][0]
	longer.at.Len--
	r.moved(r.movedName(p[0], 1), host, signer, p[:1], []piece{longer})
	fails("another length", p[0], r.movedName(p[0], 1))

	p = gone()
	r.put(r.movedName(p[0], 1), nil)
	fails("an empty object", p[0], r.movedName(p[0], 1))

	p = gone()
	name := r.movedName(p[0], 1)
	r.moved(r.movedName(p[0], 2), host, signer, p[:1], there[0])
	object, err := store.ReadAll(t.Context(), r.store, r.movedName(p[0], 2), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	r.delete(r.movedName(p[0], 2))
	r.put(name, bytes.Clone(object))
	fails("under another number", p[0], name)
}

// Failures of the store on the way to where a piece went are no damage, and
// nothing is kept of them.
func TestStoreErrorsWhileMoved(t *testing.T) {
	r := newRepo(t)
	p := r.compact(host)[0]
	reads := 0
	for n := 0; ; n++ {
		failed := false
		fault := store.NewFault(r.store, func(_ store.Op, _ string, i int) (bool, error) {
			if failed || i != n {
				return false, nil
			}
			failed = true
			return false, store.ErrInjected
		})
		f := r.fetcher(t, fault, fetch.Config{MemoryBytes: 16 << 20, Concurrency: 1})
		_, err := read(t.Context(), f, p)
		if fault.Failed() == 0 {
			reads = n
			break
		}
		// The block and the header of a pack are asked for at once. If one
		// fails and the other says that there is no such object, both are
		// right.
		if err != nil && (!errors.Is(err, store.ErrInjected) || errors.Is(err, pack.ErrDamaged)) {
			t.Errorf("read %d fails: %v", n, err)
		}
		check(t, f, p)
	}
	// Header and block that are gone, list, moved object, header and block;
	// but the first need not be asked for once the other was not there.
	if reads != 6 && reads != 5 {
		t.Errorf("%d reads were failed, want 5 or 6", reads)
	}
}
