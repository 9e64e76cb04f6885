package capture_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tidemark/capture"
	"tidemark/catalog"
	"tidemark/fetch"
)

// TestDamageIsSeen damages each object of a repository in every manner, one
// at a time, and reads everything: what is read is right, or an error that
// names the object. Who opens the object itself refuses it.
func TestDamageIsSeen(t *testing.T) {
	v := newVictim(t)
	rnd := mathrand.New(mathrand.NewPCG(2026, 11))
	wounds := slices.Concat(v.flips(rnd, 2), v.cuts(rnd), v.swaps(), v.replays(), v.deletions())
	type row struct{ wounds, read, opened, right, failed int }
	table := map[string]*row{}
	for _, w := range wounds {
		key := w.manner + " " + w.what
		r := table[key]
		if r == nil {
			r = &row{}
			table[key] = r
		}
		im := w.on(v.image)
		got, said := readAll(t, im.store(t), v.identity), w.verdict()
		said.judge(v.was, got)
		for _, wrong := range said.wrong {
			t.Errorf("%v: %s", w, wrong)
		}
		r.wounds++
		r.right += said.right
		r.failed += said.failed
		if said.failed > 0 || len(got.said) > 0 || got.err != nil {
			r.read++
		}
		if w.harmless() != "" {
			continue
		}
		r.opened++
		for _, object := range w.touched {
			if err := v.open(im, object); err == nil || !said.fits(fmt.Errorf("%s: %w", object, err)) {
				t.Errorf("%v: it opens: %v", w, err)
			}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(table)) {
		r := table[key]
		t.Logf("%-28s %3d wounds: %3d noticed by reading everything, %3d by opening the object; %5d entries right, %4d failed",
			key, r.wounds, r.read, r.opened, r.right, r.failed)
	}
	if len(wounds) < 300 || len(table) < 50 {
		t.Errorf("only %d wounds of %d sorts were inflicted", len(wounds), len(table))
	}
}

// TestCaptureAfterDamage damages a repository and captures into it. The new
// point is right, but for content of the point before that lies in a damaged
// pack. The one after that has nothing to make good: it opens no file.
func TestCaptureAfterDamage(t *testing.T) {
	v := newVictim(t)
	few, err := os.ReadFile(filepath.Join(v.dir, "a/b/few"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(v.dir, "a/b/copy"), few)
	write(t, filepath.Join(v.dir, "a/b/new"), random(20<<10))
	write(t, filepath.Join(v.dir, "many/entry-10"), []byte("changed too"))
	want := contentSums(t, v.dir)

	rnd := mathrand.New(mathrand.NewPCG(2026, 12))
	wounds := slices.Concat(v.flips(rnd, 1), v.cuts(rnd), v.swaps(), v.replays(), v.deletions())
	rnd.Shuffle(len(wounds), func(i, j int) { wounds[i], wounds[j] = wounds[j], wounds[i] })
	captures := map[string]int{}
	for _, w := range wounds {
		sort := w.manner + " " + w.what
		if !v.concerns(w) || captures[sort] == 2 {
			continue // of each sort some
		}
		captures[sort]++
		r := *v.r
		r.store, r.state = w.on(v.image).store(t), t.TempDir()
		res, said, err := r.tryPoint("app", v.dir)
		if strings.HasPrefix(w.what, "condemned") && w.manner != "delete" {
			if !w.verdict().fits(err) {
				t.Errorf("%v: the capture said %v, want an error that names it", w, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%v: %v", w, err)
			continue
		}
		if strings.HasPrefix(w.what, "index") && w.manner != "delete" && !w.named(said) {
			t.Errorf("%v: the capture said only %q", w, said)
		}
		v.checkCaptured(w, &r, res, want)
		res = r.takePoint("app", v.dir)
		if res.Point.ChangedFiles != 0 {
			t.Errorf("%v: the capture after that opened %d files, want none", w, res.Point.ChangedFiles)
		}
		v.checkCaptured(w, &r, res, want)
	}
	total := 0
	for _, n := range captures {
		total += n
	}
	t.Logf("%d captures after damage of %d sorts", total, len(captures))
	if len(captures) < 30 {
		t.Errorf("only %d sorts of damage", len(captures))
	}
}

// concerns reports whether a capture of web's app may meet the wound, and can
// begin with it.
func (v *victim) concerns(w wound) bool {
	for _, object := range w.touched {
		name, err := catalog.ParseObjectName(object)
		if err != nil || name.Area == catalog.RepositoryArea || name.Area == catalog.KeyArea || name.Area == catalog.FeatureArea {
			return false // nothing is opened without these
		}
		if name.Host == "" || name.Host == v.r.host.Segment {
			return true
		}
	}
	return false
}

// named reports whether what was said names an object of the wound.
func (w wound) named(said []string) bool {
	return slices.ContainsFunc(said, func(s string) bool { return w.verdict().fits(errors.New(s)) })
}

// contentSums returns the SHA-256 of each regular file below dir, by path.
func contentSums(t testing.TB, dir string) map[string][32]byte {
	t.Helper()
	sums := map[string][32]byte{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		rel, _ := filepath.Rel(dir, path)
		sums[rel] = sha256.Sum256(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return sums
}

// checkCaptured reads the point res of the directory that want is of.
func (v *victim) checkCaptured(w wound, r *repository, res *capture.Result, want map[string][32]byte) {
	v.t.Helper()
	f, err := fetch.New(fetch.Config{}, r.secret.Repository, r.store, r.secret)
	if err != nil {
		v.t.Fatal(err)
	}
	defer f.Close()
	p := &readPoint{}
	p.read(v.t.Context(), f, &r.open(res.Object).Point)
	if p.err != nil || len(p.dirs) > 0 || len(p.lookups) > 0 || !p.point.Complete {
		v.t.Errorf("%v: the new point: %v, directories %v, lookups %v, complete %t", w, p.err, p.dirs, p.lookups, p.point.Complete)
		return
	}
	files := 0
	for name, n := range p.nodes {
		if n.row.Type != catalog.File {
			continue
		}
		files++
		switch sum, ok := want[name]; {
		case n.err != nil:
			inherited := strings.HasPrefix(w.what, "data pack") || w.what == "packs"
			if w.manner == "delete" && (name == "a/b/copy" || name == "a/b/new") {
				inherited = false // what is new never refers to a pack that is not there
			}
			if !inherited || !w.verdict().fits(n.err) {
				v.t.Errorf("%v: the new point: %s: %v", w, name, n.err)
			}
		case !ok || n.sum != sum:
			v.t.Errorf("%v: the new point: %s is wrong", w, name)
		}
	}
	if files != len(want) {
		v.t.Errorf("%v: the new point has %d files, want %d", w, files, len(want))
	}
}
