package capture_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tidemark/capture"
	"tidemark/catalog"
	"tidemark/store"
)

// faultTree makes a tree whose capture writes packs of all kinds.
func faultTree(t *testing.T, size int) string {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "large"), random(size))
	for i := range 40 {
		write(t, filepath.Join(dir, "d", fmt.Sprint(i)), random(20<<10))
	}
	return dir
}

// checkWhole opens every visible point and reads all of its tree and contents.
func (r *repository) checkWhole(t *testing.T) (points int) {
	t.Helper()
	roster := catalog.Roster{Objects: objectsOf{r.store}, Keys: catalog.SecretKeyring(r.secret)}
	entries, notices, err := roster.ReadPoints(t.Context(), r.host)
	if err != nil || len(notices) > 0 {
		t.Fatalf("points: %v, %v", err, notices)
	}
	for _, e := range entries {
		p := r.open(e.Object)
		tree, pages := r.tree(p), r.pages()
		for path, n := range r.paths(tree) {
			if n.Type == catalog.File {
				if _, err := r.content(tree, pages, &n); err != nil {
					t.Errorf("%s: %s: %v", e.Object, path, err)
				}
			}
		}
	}
	return len(entries)
}

// objectsOf makes a catalog.Objects of a store.
type objectsOf struct{ s store.Store }

func (o objectsOf) List(ctx context.Context, prefix, after string, fn func(string, int64, time.Time) error) error {
	return o.s.List(ctx, prefix, after, func(i store.Info) error { return fn(i.Key, i.Size, i.Time) })
}

func (o objectsOf) Get(ctx context.Context, name string, limit int64) ([]byte, error) {
	return store.ReadAll(ctx, o.s, name, limit)
}

// TestEveryWriteFails breaks each write of a capture in turn, once with the
// object stored all the same. Whatever happened, a point that is visible is
// whole, and trying again succeeds.
func TestEveryWriteFails(t *testing.T) {
	dir := faultTree(t, 300<<10)
	for _, applied := range []bool{false, true} {
		failed := 0
		for n := 0; ; n++ {
			mem := store.NewMem()
			fault := store.NewFault(mem, store.FailWrite(n, applied))
			r := newRepository(t, fault)
			r.now = time.Now().Add(time.Hour)
			_, err := r.try(t.Context(), r.capturer(), dir, nil)
			r.store = mem
			points := r.checkWhole(t)
			if err == nil {
				if points != 1 {
					t.Errorf("a capture that succeeded left %d points", points)
				}
				break
			}
			if !errors.Is(err, store.ErrInjected) {
				t.Fatalf("write %d failed (applied=%t), and the capture said: %v", n, applied, err)
			}
			failed++
			// The last write is the point: stored or not, the next is another.
			if p, _ := r.capture(dir); !p.Complete {
				t.Errorf("write %d failed (applied=%t): the next point is not complete", n, applied)
			}
			r.checkWhole(t)
		}
		// Two data packs, a tree pack, an index, the intent and the point.
		if failed < 6 {
			t.Errorf("only %d writes were failed (applied=%t)", failed, applied)
		}
		t.Logf("%d writes failed in turn, applied=%t", failed, applied)
	}
}

// TestResume interrupts captures and counts what the next one sends again.
func TestResume(t *testing.T) {
	dir := t.TempDir()
	const files, fileLen = 5, 16 << 20
	for i := range files {
		write(t, filepath.Join(dir, fmt.Sprint("file", i)), random(fileLen))
	}
	mem := store.NewMem()
	r := newRepository(t, mem)
	ctx, cancel := context.WithCancel(t.Context())
	packs := 0
	r.store = store.NewFault(mem, func(op store.Op, key string, _ int) (bool, error) {
		if op == store.OpPut && strings.HasPrefix(key, "packs/") {
			if packs++; packs == 2 {
				cancel()
			}
		}
		return true, nil
	})
	r.now = time.Now().Add(time.Hour)
	if _, err := r.try(ctx, r.capturer(), dir, nil); !errors.Is(err, context.Canceled) {
		t.Fatalf("a capture that was interrupted said: %v", err)
	}
	if n := objects(t, mem); n["points"] != 0 || n["index"] == 0 {
		t.Fatalf("after an interruption there are %v", n)
	}
	sent := int64(0)
	_ = mem.List(t.Context(), "packs/", "", func(o store.Info) error { sent += o.Size; return nil })

	r.store = mem
	_, progress := r.capture(dir)
	again := progress.NewBytes.Load()
	if want := int64(files*fileLen) - sent + 1<<20; again > want {
		t.Errorf("%d bytes had been sent, and %d were sent again; want at most %d", sent, again, want)
	}
	r.checkWhole(t)
}

// TestMovingFile changes a file each time it is read: it is named, and has no content.
func TestMovingFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "log")
	write(t, path, random(24<<20))
	write(t, filepath.Join(dir, "still"), []byte("still"))
	r := newRepository(t, store.NewMem())
	stop, started, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			t.Error(err)
			return
		}
		defer f.Close()
		for i := 0; ; i++ {
			if i == 1 {
				close(started)
			}
			select {
			case <-stop:
				return
			default:
				_, _ = f.Write([]byte("line\n"))
			}
		}
	}()
	<-started
	p, _ := r.capture(dir)
	close(stop)
	<-done
	if p.UnreadableCount != 1 || len(p.Unreadable) != 1 || p.Unreadable[0].Path != "log" {
		t.Fatalf("unreadable: %d, %v; want log alone", p.UnreadableCount, p.Unreadable)
	}
	n, err := r.tree(p).Resolve(t.Context(), "log")
	if err != nil || n.Unreadable == "" || len(n.Extents) > 0 || !n.List.IsZero() {
		t.Errorf("log is %+v, %v; want it without content", n, err)
	}
	if !p.Complete {
		t.Error("one moving file of a live tree made the point incomplete")
	}
	if got, want := r.usage(p), r.recount(p); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("usage = %v, recounted %v", got, want)
	}
	again, _ := r.capture(dir)
	r.compare(again, dir)
}

// TestDamagedParent damages the parent's pages: the next capture reads everything.
func TestDamagedParent(t *testing.T) {
	dir := faultTree(t, 300<<10)
	mem := store.NewMem()
	fault := store.NewFault(mem)
	r := newRepository(t, fault)
	p, _ := r.capture(dir)
	root := r.tree(p).Root()
	_ = fault.List(t.Context(), "packs/", "", func(o store.Info) error {
		if strings.HasSuffix(o.Key, fmt.Sprintf("%08x", root.Child.Place.Pack)) {
			fault.Damage(o.Key, store.FlipBit(int64(root.Child.Place.Offset)+9))
		}
		return nil
	})
	r.parent.Pages = r.pages()
	r.parent.Tree = r.tree(p)
	again, progress := r.capture(dir)
	if progress.FilesRead.Load() == 0 {
		t.Error("the parent was damaged, and nothing was read")
	}
	r.compare(again, dir)
}

// TestMirror captures with a key that reads nothing back: the state directory
// is enough to compare with, and losing it costs a read but no upload.
func TestMirror(t *testing.T) {
	dir := faultTree(t, 3<<20)
	rnd := mathrand.New(mathrand.NewPCG(1, 2))
	edit(t, rnd, dir, 100)
	counter := store.Count(store.NewMem())
	r := newRepository(t, counter)
	r.now = time.Now().Add(time.Hour)
	one := func() (*catalog.Opened, *capture.Progress) {
		t.Helper()
		c := r.capturer()
		c.Mirror = true
		counter.Reset()
		progress := &capture.Progress{}
		parent := c.Remembered("app")
		req := capture.Request{Source: capture.Source{Name: "app", Path: dir}, Parent: parent, Sequence: 1, Progress: progress}
		if parent != nil {
			req.Sequence = parent.Point.Sequence + 1
			req.Previous = &parent.Sum
		}
		res, err := c.Capture(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		for _, q := range counter.Requests() {
			area, _, _ := strings.Cut(q.Key, "/")
			if q.Op == store.OpRead && area != "index" && area != "condemned" {
				t.Errorf("a capture-only key read %s", q.Key)
			}
		}
		return r.open(res.Object), progress
	}
	first, _ := one()
	r.compare(first, dir)
	again, progress := one()
	if n := progress.FilesRead.Load(); n != 0 || !bytes.Equal(first.Root, again.Root) {
		t.Errorf("nothing had changed, and %d files were read", n)
	}
	edit(t, rnd, dir, 20)
	changed, _ := one()
	r.compare(changed, dir)
	if got, want := r.usage(changed), r.recount(changed); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("usage = %v, recounted %v", got, want)
	}
	if changed.Previous != again.Sum {
		t.Error("the point does not name the one before")
	}

	r.state = t.TempDir()
	lost, progress := one()
	if n := progress.NewBytes.Load(); n != 0 {
		t.Errorf("without its state the capture sent %d bytes of chunks again", n)
	}
	if !lost.Fresh {
		t.Error("the point does not say that its writer had lost its state")
	}
	r.compare(lost, dir)
}
