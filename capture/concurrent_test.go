package capture_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"tidemark/capture"
	"tidemark/catalog"
	"tidemark/fetch"
	"tidemark/pack"
	"tidemark/store"
)

// before returns a store in which act is called before each operation.
func before(s store.Store, act func(op store.Op, key string)) *store.Fault {
	return store.NewFault(s, func(op store.Op, key string, _ int) (bool, error) {
		act(op, key)
		return false, nil
	})
}

// below returns whether key is in an area.
func below(key string, area catalog.Area) bool { return strings.HasPrefix(key, string(area)+"/") }

// TestTwoSourcesAtOnce begins a capture while another of the host runs: it is
// refused in words, and goes well when the first is done.
func TestTwoSourcesAtOnce(t *testing.T) {
	app, db := faultTree(t, 300<<10), faultTree(t, 300<<10)
	r := newRepository(t, nil)
	var once sync.Once
	r.store = before(store.NewMem(), func(_ store.Op, key string) {
		if !below(key, catalog.PackArea) {
			return
		}
		once.Do(func() { // the first capture is writing
			_, err := r.capturer().Lock()
			if err == nil {
				t.Error("a second capture took the lock")
			} else if text := err.Error(); !strings.Contains(text, "another capture is running") || !strings.Contains(text, r.state) {
				t.Errorf("a second capture is told %q", text)
			}
		})
	})
	for _, source := range []struct{ name, dir string }{{"app", app}, {"db", db}} {
		unlock, err := r.capturer().Lock()
		if err != nil {
			t.Fatal(err)
		}
		p := r.takePoint(source.name, source.dir)
		unlock()
		r.compare(r.open(p.Object), source.dir)
	}
	if n := r.checkWhole(t); n != 2 {
		t.Errorf("%d points, want 2", n)
	}
}

// TestHostsAtOnce captures with two hosts of one trust group into one
// repository at the same time: they have nothing but it in common.
func TestHostsAtOnce(t *testing.T) {
	dir := faultTree(t, 2<<20)
	r := newRepository(t, store.NewMem())
	web, mail := r.inGroup("web", "servers"), r.inGroup("mail", "servers")
	for round := range 2 {
		write(t, filepath.Join(dir, "new"), random(200<<10))
		var g sync.WaitGroup
		for _, r := range []*repository{web, mail} {
			g.Go(func() {
				if _, said, err := r.tryPoint("app", dir); err != nil {
					t.Errorf("round %d: host %s: %v, %v", round, r.key.Host, err, said)
				}
			})
		}
		g.Wait()
	}
	for _, r := range []*repository{web, mail} {
		if n := r.checkWhole(t); n != 2 {
			t.Errorf("host %s has %d points, want 2", r.key.Host, n)
		}
	}
}

// TestReadDuringCapture reads a point, again and again and with little memory,
// while captures of the same source come and go.
func TestReadDuringCapture(t *testing.T) {
	dir := faultTree(t, 2<<20)
	r := newRepository(t, store.NewMem())
	object := r.takePoint("app", dir).Object
	point := &r.open(object).Point
	want := contentSums(t, dir)

	done := make(chan struct{})
	var g sync.WaitGroup
	for range 2 {
		g.Go(func() {
			for rounds := 0; ; rounds++ {
				select {
				case <-done:
					if rounds == 0 {
						t.Error("nothing was read meanwhile")
					}
					return
				default:
				}
				readSame(t, r, point, want)
			}
		})
	}
	for i := range 4 {
		write(t, filepath.Join(dir, "large"), random(2<<20))
		write(t, filepath.Join(dir, "d", fmt.Sprint(i)), random(20<<10))
		r.takePoint("app", dir)
	}
	close(done)
	g.Wait()
	if n := r.checkWhole(t); n != 5 {
		t.Errorf("%d points, want 5", n)
	}
}

// readSame reads all of a point, which must have the contents want.
func readSame(t *testing.T, r *repository, point *catalog.Point, want map[string][32]byte) {
	t.Helper()
	f, err := fetch.New(fetch.Config{MemoryBytes: 16 << 20}, r.secret.Repository, r.store, r.secret)
	if err != nil {
		t.Error(err)
		return
	}
	defer f.Close()
	p := &readPoint{}
	p.read(t.Context(), f, point)
	files := 0
	for path, n := range p.nodes {
		if n.row.Type != catalog.File {
			continue
		}
		if files++; n.err != nil || n.sum != want[path] {
			t.Errorf("%s: another content, %v", path, n.err)
		}
	}
	if p.err != nil || len(p.dirs)+len(p.lookups) > 0 || files != len(want) {
		t.Errorf("%d files of %d: %v, %v, %v", files, len(want), p.err, p.dirs, p.lookups)
	}
}

// TestParentGoes deletes the point that a capture starts from, as a prune
// does, after the intent and before the look: the capture begins again, reads
// everything, and its point is whole without the other.
func TestParentGoes(t *testing.T) {
	dir := faultTree(t, 300<<10)
	mem := store.NewMem()
	r := newRepository(t, mem)
	parent := r.takePoint("app", dir)
	write(t, filepath.Join(dir, "d/0"), random(20<<10))
	intents := 0
	r.store = before(mem, func(op store.Op, key string) {
		if op == store.OpPut && below(key, catalog.IntentArea) {
			intents++
		}
		if op == store.OpStat && key == parent.Object {
			if intents != 1 {
				t.Errorf("it looks for the point before after %d intents, want 1", intents)
			}
			if err := mem.Delete(t.Context(), key); err != nil {
				t.Error(err)
			}
		}
	})
	res, said, err := r.tryPoint("app", dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(said) != 1 || !strings.Contains(said[0], "beginning again") {
		t.Errorf("it said %q", said)
	}
	files := uint64(len(contentSums(t, dir)))
	if intents != 2 || !res.Point.Fresh || res.Point.ChangedFiles != files {
		t.Errorf("%d intents, fresh = %t, %d files read; want 2, true, %d", intents, res.Point.Fresh, res.Point.ChangedFiles, files)
	}
	if res.Point.NewBytes > 21<<10 {
		t.Errorf("%d bytes of chunks were sent again, though they are in packs that there are", res.Point.NewBytes)
	}
	r.compare(r.open(res.Object), dir)
	if n := r.checkWhole(t); n != 1 {
		t.Errorf("%d points, want 1", n)
	}
}

// condemn stores a list of packs that a prune means to delete.
func (r *repository) condemn(s store.Store, packs ...pack.Place) {
	r.t.Helper()
	c := catalog.Condemned{Reason: catalog.Compacted}
	if _, err := rand.Read(c.ID[:]); err != nil {
		r.t.Fatal(err)
	}
	for _, at := range packs {
		segment, err := r.secret.Names().Host(at.Host)
		if err != nil {
			r.t.Fatal(err)
		}
		c.Packs = append(c.Packs, catalog.CondemnedPack{Host: segment, Run: at.Run, Number: at.Pack})
	}
	object, b, err := c.Seal(r.secret.Repository, r.secret.Signing())
	if err == nil {
		err = s.Put(r.t.Context(), object, bytes.NewReader(b), int64(len(b)))
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

// contentPlace returns where the content of a file is, which is one chunk.
func (r *repository) contentPlace(object, path string) pack.Place {
	r.t.Helper()
	n, err := r.tree(r.open(object)).Resolve(r.t.Context(), path)
	if err != nil || len(n.Extents) != 1 {
		r.t.Fatalf("%s has %d extents, %v; want 1", path, len(n.Extents), err)
	}
	return n.Extents[0].Place
}

// TestCondemned copies a file whose content is in a pack that a prune means to
// delete: the copy is not to refer to it, whenever it is that the pack is
// condemned. The file itself, which the point before has, may go on doing so.
func TestCondemned(t *testing.T) {
	for _, tt := range []struct {
		name     string
		when     func(op store.Op, key string) bool // nil: before the capture
		move     bool                               // the copy takes the file's place
		attempts int
	}{
		{name: "before", attempts: 1},
		{name: "while it writes", when: func(op store.Op, key string) bool { return op == store.OpPut && below(key, catalog.PackArea) }, attempts: 2},
		{name: "before its intent", when: func(op store.Op, key string) bool { return op == store.OpPut && below(key, catalog.IntentArea) }, attempts: 2},
		{name: "before its intent, and the references are no more than they were", attempts: 2, move: true,
			when: func(op store.Op, key string) bool { return op == store.OpPut && below(key, catalog.IntentArea) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			content := random(2 << 10) // one chunk
			write(t, filepath.Join(dir, "file"), content)
			mem := store.NewMem()
			r := newRepository(t, mem)
			old := r.contentPlace(r.takePoint("app", dir).Object, "file")
			write(t, filepath.Join(dir, "copy"), content)
			if tt.move {
				if err := os.Remove(filepath.Join(dir, "file")); err != nil {
					t.Fatal(err)
				}
			}
			var once sync.Once
			intents := 0
			r.store = before(mem, func(op store.Op, key string) {
				if op == store.OpPut && below(key, catalog.IntentArea) {
					intents++
				}
				if tt.when != nil && tt.when(op, key) {
					once.Do(func() { r.condemn(mem, old) })
				}
			})
			if tt.when == nil {
				r.condemn(mem, old)
			}
			res, said, err := r.tryPoint("app", dir)
			if err != nil {
				t.Fatal(err)
			}
			if intents != tt.attempts || len(said) != tt.attempts-1 {
				t.Errorf("%d intents, want %d; it said %q", intents, tt.attempts, said)
			}
			if now := r.contentPlace(res.Object, "copy"); now.Run == old.Run && now.Pack == old.Pack {
				t.Error("the copy refers to a condemned pack")
			}
			if !tt.move && r.contentPlace(res.Object, "file") != old {
				t.Error("the file, which did not change, is no longer where it was")
			}
			p := r.open(res.Object)
			r.compare(p, dir)
			if got, want := fmt.Sprint(r.usage(p)), fmt.Sprint(r.recount(p)); got != want {
				t.Errorf("usage = %v, recounted %v", got, want)
			}
		})
	}
}

// TestCondemnedUnverified has a list of condemned packs that the repository
// did not sign: nobody knows what it says, so no point is made.
func TestCondemnedUnverified(t *testing.T) {
	dir := faultTree(t, 100<<10)
	mem := store.NewMem()
	r := newRepository(t, mem)
	r.takePoint("app", dir)
	c := catalog.Condemned{ID: [16]byte{5}, Reason: catalog.Unused}
	object, b, err := c.Seal(r.secret.Repository, r.key.Signing()) // a host's key, not the repository's
	if err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	for _, when := range []string{"before", "after the intent"} {
		put := func() {
			if err := mem.Put(t.Context(), object, bytes.NewReader(b), int64(len(b))); err != nil {
				t.Error(err)
			}
		}
		r.store = mem
		if when == "before" {
			put()
		} else {
			r.store = before(mem, func(op store.Op, key string) {
				if op == store.OpPut && below(key, catalog.IntentArea) {
					once.Do(put)
				}
			})
		}
		_, _, err := r.tryPoint("app", dir)
		if !errors.Is(err, catalog.ErrForged) || !strings.Contains(err.Error(), object) {
			t.Errorf("%s: %v, want an error that names %s", when, err, object)
		}
		if err := mem.Delete(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
	if n := r.checkWhole(t); n != 1 {
		t.Errorf("%d points, want 1", n)
	}
	r.store = mem
	r.takePoint("app", dir)
}

// TestPackGoes deletes a pack that the point before does not name, just before
// a capture that finds its chunks in index/ looks: they are stored again.
func TestPackGoes(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "file"), random(10<<10))
	mem := store.NewMem()
	r := newRepository(t, mem)
	ctx, cancel := context.WithCancel(t.Context())
	r.store = before(mem, func(op store.Op, key string) {
		if op == store.OpPut && below(key, catalog.IntentArea) {
			cancel() // a run that leaves packs which nothing names
		}
	})
	if _, err := r.try(ctx, r.capturer(), dir, nil); !errors.Is(err, context.Canceled) {
		t.Fatalf("a capture that was interrupted said %v", err)
	}
	left := imageOf(t, mem).below("packs/")
	r.store = before(mem, func(op store.Op, key string) {
		if op != store.OpPut || !below(key, catalog.IntentArea) {
			return
		}
		for _, name := range left {
			if err := mem.Delete(t.Context(), name); err != nil {
				t.Error(err)
			}
		}
	})
	progress := &capture.Progress{}
	p, err := r.try(t.Context(), r.capturer(), dir, progress)
	if err != nil {
		t.Fatal(err)
	}
	if n := progress.NewBytes.Load(); len(left) == 0 || n != 10<<10 {
		t.Errorf("%d packs went, and %d bytes were stored again; want some, and %d", len(left), n, 10<<10)
	}
	r.compare(p, dir)
}
