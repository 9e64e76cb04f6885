package capture_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/age"

	"tidemark/capture"
	"tidemark/catalog"
	"tidemark/fetch"
	"tidemark/keys"
	"tidemark/pack"
	"tidemark/store"
)

// An image is the objects of a repository, by name.
type image map[string][]byte

// imageOf reads all that s has.
func imageOf(t testing.TB, s store.Store) image {
	t.Helper()
	im := image{}
	err := s.List(t.Context(), "", "", func(o store.Info) error {
		b, err := store.ReadAll(t.Context(), s, o.Key, o.Size)
		im[o.Key] = b
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return im
}

// store returns a store that holds the image.
func (im image) store(t testing.TB) *store.Mem {
	t.Helper()
	s := store.NewMem()
	for name, b := range im {
		if err := s.Put(t.Context(), name, bytes.NewReader(b), int64(len(b))); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// below returns the names that begin with prefix, sorted.
func (im image) below(prefix string) []string {
	var names []string
	for name := range im {
		if strings.HasPrefix(name, prefix) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// A victim is a repository that holds objects of every kind that this version
// writes, and of the others that it reads, with points of two hosts and three
// sources; the directory that one of them was captured from; and an identity.
type victim struct {
	t        *testing.T
	r        *repository // host web
	dir      string      // of its source app
	identity keys.Identity
	image    image
	was      *reading
}

func newVictim(t *testing.T) *victim {
	t.Helper()
	v := &victim{t: t, r: newRepository(t, store.NewMem()), dir: t.TempDir()}
	v.found()
	rnd := mathrand.New(mathrand.NewPCG(7, 7))
	for i := range 40 { // two pages, and one above them: a page ends after entry-18
		write(t, filepath.Join(v.dir, "many", fmt.Sprintf("entry-%02d", i)), random(rnd.IntN(200)))
	}
	write(t, filepath.Join(v.dir, "a/b/list"), random(250<<10)) // more extents than a node holds
	write(t, filepath.Join(v.dir, "a/b/few"), random(40<<10))
	write(t, filepath.Join(v.dir, "a/small"), random(3000))
	write(t, filepath.Join(v.dir, "a/holes"), append(make([]byte, 200<<10), random(5000)...))
	if err := os.Symlink("small", filepath.Join(v.dir, "a/link")); err != nil {
		t.Fatal(err)
	}
	v.r.takePoint("app", v.dir)
	write(t, filepath.Join(v.dir, "a/small"), random(4000))
	write(t, filepath.Join(v.dir, "many/entry-30"), []byte("changed"))
	p := v.r.takePoint("app", v.dir)
	v.pin(p.Point, p.Name)

	other := t.TempDir()
	write(t, filepath.Join(other, "dump"), random(50<<10))
	v.r.takePoint("db", other)
	write(t, filepath.Join(other, "dump"), random(50<<10))
	v.r.takePoint("db", other)
	v.r.onHost("mail").takePoint("app", other)
	v.image = imageOf(t, v.r.store)
	v.was = readAll(t, v.r.store, v.identity)
	if nodes := v.was.points[p.Object].nodes; nodes["many"].row.Child.Level == 0 || nodes["a/b/list"].row.List.IsZero() {
		t.Fatal("the tree has no interior page, or no list of extents")
	}
	if err := v.was.err; err != nil || len(v.was.said) > 0 || len(v.was.points) != 5 || v.was.marks != 1 || !v.was.rules {
		t.Fatalf("undamaged, it has %d points and %d marks, and says %v, %v", len(v.was.points), v.was.marks, err, v.was.said)
	}
	return v
}

// put stores what a Seal returned.
func (v *victim) put(object string, b []byte, err error) {
	v.t.Helper()
	if err == nil {
		err = v.r.store.Put(v.t.Context(), object, bytes.NewReader(b), int64(len(b)))
	}
	if err != nil {
		v.t.Fatal(err)
	}
}

// found stores what a repository has before its first point.
func (v *victim) found() {
	v.t.Helper()
	secret, ring := v.r.secret, catalog.SecretKeyring(v.r.secret)
	v.put(catalog.RepositoryObject, catalog.EncodeRepository(secret.Repository), nil)
	id, err := age.GenerateX25519Identity()
	if err != nil {
		v.t.Fatal(err)
	}
	ids, err := keys.ParseIdentities([]byte(id.String()), keys.UI{})
	if err != nil {
		v.t.Fatal(err)
	}
	v.identity = ids[0]
	to, err := keys.ParseRecipient(id.Recipient().String(), keys.UI{})
	if err != nil {
		v.t.Fatal(err)
	}
	for n := range 2 {
		b, err := secret.Seal(to)
		v.put(catalog.ObjectName{Area: catalog.KeyArea, Label: "key", Number: uint64(n + 1)}.String(), b, err)
	}
	for _, host := range []string{"web", "mail"} {
		e := catalog.Enrolment{Number: 1, Host: host, Group: host, Key: secret.HostKey(1, host).Public()}
		v.put(e.Seal(rand.Reader, ring, secret.Signing()))
	}
	for n := range uint32(2) {
		rules := catalog.Rules{Number: n + 1, Zone: "UTC"}
		v.put(rules.Seal(rand.Reader, ring, secret.Signing()))
	}
	feature := catalog.Feature{Name: "thrift", Needed: catalog.Pruning, Text: "does not keep a program from reading or writing"}
	v.put(feature.Object(secret.Repository))
	condemned := catalog.Condemned{ID: [16]byte{1}, Reason: catalog.Unused, Packs: []catalog.CondemnedPack{{Host: v.r.host.Segment, Run: keys.RunID{9}, Number: 3}}}
	v.put(condemned.Seal(secret.Repository, secret.Signing()))
}

// pin stores a mark of the repository on p.
func (v *victim) pin(p *catalog.Point, name catalog.PointName) {
	v.t.Helper()
	m := catalog.Mark{Signer: catalog.ByRepository, Kind: catalog.Pin, Host: p.Host, Source: p.Source, Point: name, Text: "kept"}
	v.put(m.Seal(rand.Reader, catalog.SecretKeyring(v.r.secret), 1, nil, v.r.secret.Signing()))
}

// onHost returns the repository as another host has it.
func (r *repository) onHost(name string) *repository { return r.inGroup(name, name) }

// inGroup is onHost for a host of a trust group.
func (r *repository) inGroup(name, group string) *repository {
	r.t.Helper()
	signing := r.secret.HostKey(1, name)
	key, err := r.secret.CaptureOnly(name, group, signing)
	if err != nil {
		r.t.Fatal(err)
	}
	segment, err := r.secret.Names().Host(name)
	if err != nil {
		r.t.Fatal(err)
	}
	other := &repository{t: r.t, store: r.store, secret: r.secret, key: key, now: r.now, state: r.t.TempDir()}
	other.host = catalog.Host{Name: name, Segment: segment, Group: group, Keys: []ed25519.PublicKey{signing.Public()}}
	return other
}

// smallChunks is the mean length of chunks, in bytes: so a small file has many.
const smallChunks = 16 << 10

// takePoint captures dir as the program does: from the newest point of the
// source that can be started from. It fails the test if there is none to have.
func (r *repository) takePoint(source, dir string) *capture.Result {
	r.t.Helper()
	res, _, err := r.tryPoint(source, dir)
	if err != nil {
		r.t.Fatal(err)
	}
	return res
}

// tryPoint is takePoint that may fail. It also returns what was said.
func (r *repository) tryPoint(source, dir string) (*capture.Result, []string, error) {
	r.t.Helper()
	r.now = time.Now().Add(time.Hour) // past what the files' times say
	f, err := fetch.New(fetch.Config{}, r.secret.Repository, r.store, r.secret)
	if err != nil {
		r.t.Fatal(err)
	}
	defer f.Close()
	roster := catalog.Roster{Objects: objectsOf{r.store}, Keys: catalog.SecretKeyring(r.secret)}
	entries, notices, err := roster.ReadPoints(r.t.Context(), r.host)
	if err != nil || len(notices) > 0 {
		r.t.Fatal(err, notices)
	}
	req := capture.Request{Source: capture.Source{Name: source, Path: dir, MeanLen: smallChunks}}
	for _, e := range slices.Backward(entries) {
		if e.Source != source || req.Parent != nil {
			continue
		}
		p, err := roster.OpenPoint(r.t.Context(), r.host, e)
		if err == nil {
			tree, err := catalog.OpenTree(f, p.Root)
			if err != nil {
				r.t.Fatal(err)
			}
			req.Parent = &capture.Parent{Object: p.Object, Sum: p.Sum, Point: &p.Point, Tree: tree, Pages: f}
		}
		if req.Sequence == 0 && !errors.Is(err, catalog.ErrForged) {
			req.Sequence = e.Name.Sequence
			if req.Parent != nil {
				req.Previous = &req.Parent.Sum
			}
		}
	}
	req.Sequence++
	c := r.capturer()
	var mu sync.Mutex
	var said []string
	c.Notice = func(object string, err error) {
		mu.Lock()
		defer mu.Unlock()
		said = append(said, fmt.Sprintf("%s: %v", object, err))
	}
	res, err := c.Capture(r.t.Context(), req)
	return res, said, err
}

// A wound is one damage to a repository.
type wound struct {
	manner  string   // flip, cut, swap, replay, delete
	what    string   // of which kind of object, or part of one
	touched []string // the objects' names
	inflict func(image)
}

func (w wound) String() string { return fmt.Sprintf("%s %s: %v", w.manner, w.what, w.touched) }

// on returns im with the wound.
func (w wound) on(im image) image {
	im = maps.Clone(im)
	w.inflict(im)
	return im
}

// set is the wound that replaces an object.
func set(manner, what, object string, b []byte) wound {
	return wound{manner, what, []string{object}, func(im image) { im[object] = b }}
}

// A part is a range of an object's bytes.
type part struct {
	name     string
	from, to int
}

// parts returns what an object consists of.
func (v *victim) parts(object string) []part {
	v.t.Helper()
	b := v.image[object]
	area, _, _ := strings.Cut(object, "/")
	if area != "packs" {
		return []part{{area, 0, len(b)}}
	}
	kind := pack.DataPack
	h, err := pack.ParseHeader(b, v.r.secret.Repository, object, kind)
	if err != nil {
		kind = pack.TreePack
		if h, err = pack.ParseHeader(b, v.r.secret.Repository, object, kind); err != nil {
			v.t.Fatal(err)
		}
	}
	n, err := pack.DirectoryLen(object, b)
	if err != nil {
		v.t.Fatal(err)
	}
	end := len(b) - pack.TrailerLen
	name := func(of string) string { return fmt.Sprintf("%v: %s", kind, of) }
	return []part{{name("header"), 0, h.Len}, {name("blocks"), h.Len, end - int(n)}, {name("directory"), end - int(n), end}, {name("trailer"), end, len(b)}}
}

// versionAt is where the version of an object stands in its frame.
const versionAt = 5

// flips returns wounds of one bit each: n in every part of every object, and
// one that makes it look as if a later version of the program had written it.
func (v *victim) flips(rnd *mathrand.Rand, n int) (wounds []wound) {
	for _, object := range v.image.below("") {
		if b := bytes.Clone(v.image[object]); bytes.HasPrefix(b, []byte("TDMK")) {
			b[versionAt] ^= 2
			wounds = append(wounds, set("flip", v.parts(object)[0].name+": version", object, b))
		}
		for _, p := range v.parts(object) {
			for range n {
				at, bit := p.from+rnd.IntN(p.to-p.from), rnd.IntN(8)
				b := bytes.Clone(v.image[object])
				b[at] ^= 1 << bit
				wounds = append(wounds, set("flip", p.name, object, b))
			}
		}
	}
	return wounds
}

// cuts returns wounds that leave the beginning of an object, or add to its end.
func (v *victim) cuts(rnd *mathrand.Rand) (wounds []wound) {
	for _, object := range v.image.below("") {
		b := v.image[object]
		lengths := []int{0, len(b) - 1}
		for _, p := range v.parts(object) {
			lengths = append(lengths, p.from+rnd.IntN(p.to-p.from))
		}
		area, _, _ := strings.Cut(object, "/")
		for _, n := range lengths {
			wounds = append(wounds, set("cut", area, object, b[:n:n]))
		}
		wounds = append(wounds, set("lengthen", area, object, append(bytes.Clone(b), 0)))
	}
	return wounds
}

// swaps returns wounds that exchange two objects of one area: each with the
// next two, so that packs meet those of their own kind and of the other, and
// points those of their source, of another, and of another host.
func (v *victim) swaps() (wounds []wound) {
	objects := v.image.below("")
	for i, a := range objects {
		area, _, _ := strings.Cut(a, "/")
		for _, b := range objects[i+1 : min(i+3, len(objects))] {
			if strings.HasPrefix(b, area+"/") {
				wounds = append(wounds, wound{"swap", area, []string{a, b}, func(im image) { im[a], im[b] = im[b], im[a] }})
			}
		}
	}
	return wounds
}

// deletions returns wounds that remove an object.
func (v *victim) deletions() (wounds []wound) {
	for _, object := range v.image.below("") {
		area, _, _ := strings.Cut(object, "/")
		wounds = append(wounds, wound{"delete", area, []string{object}, func(im image) { delete(im, object) }})
	}
	return wounds
}

// replays returns wounds that put a copy of an object under a name that none
// has, as if it were newer.
func (v *victim) replays() (wounds []wound) {
	for _, object := range v.image.below("") {
		name, err := catalog.ParseObjectName(object)
		if err != nil || name.Area == catalog.RepositoryArea {
			continue
		}
		var as []catalog.ObjectName
		later := name
		later.Number, later.Label, later.ID[0] = name.Number+20, name.Label, 77
		later.Point.Sequence += 20
		later.Point.Time = name.Point.Time.Add(24 * time.Hour)
		as = append(as, later)
		switch name.Area {
		case catalog.FeatureArea:
			as[0].Label = "newer"
		case catalog.IntentArea:
			announced := name // of a point that there is
			announced.Area = catalog.PointArea
			announced.Point = later.Point
			as = append(as, announced)
		case catalog.PointArea:
			for _, other := range v.image.below("points/") { // below another source, or host
				o, err := catalog.ParseObjectName(other)
				if err == nil && (o.Host != name.Host || o.Source != name.Source) {
					o.Point = later.Point
					as = append(as, o)
				}
			}
		}
		for _, o := range as {
			wounds = append(wounds, set("replay", string(name.Area), o.String(), v.image[object]))
		}
	}
	return wounds
}

// verdict returns what the reading after w is judged by.
func (w wound) verdict() *verdict {
	v := &verdict{touched: w.touched}
	for _, object := range w.touched {
		area, rest, _ := strings.Cut(object, "/")
		switch area {
		case "features":
			v.touched = append(v.touched, rest) // what it is called when it is not known
		case "points", "hosts", "marks", "rules":
			v.gone = w.manner == "delete"
		}
	}
	return v
}

// open opens one object by itself, as it should be under its name.
func (v *victim) open(im image, object string) error {
	v.t.Helper()
	b, ring, secret := im[object], catalog.SecretKeyring(v.r.secret), v.r.secret
	name, err := catalog.ParseObjectName(object)
	if err != nil {
		v.t.Fatal(err)
	}
	host := v.r.host
	if name.Host != "" && name.Host != host.Segment {
		host = v.r.onHost("mail").host
	}
	switch name.Area {
	case catalog.RepositoryArea:
		_, err = catalog.ParseRepository(b)
	case catalog.FeatureArea:
		_, err = catalog.ParseFeature(secret.Repository, object, b)
	case catalog.KeyArea:
		_, err = keys.OpenSecret(b, []keys.Identity{v.identity})
	case catalog.HostArea:
		_, err = catalog.OpenEnrolment(ring, object, b)
	case catalog.RulesArea:
		_, err = catalog.OpenRules(ring, object, b)
	case catalog.MarkArea:
		_, err = catalog.OpenMark(ring, host, object, b)
	case catalog.PointArea, catalog.IntentArea:
		_, err = catalog.OpenPoint(ring, host, object, b)
	case catalog.CondemnedArea:
		_, err = catalog.OpenCondemned(ring, object, b)
	case catalog.IndexArea:
		var group keys.Group
		if group, err = secret.Group(secret.Epoch(), host.Group); err == nil {
			_, err = pack.OpenIndex(secret.Repository, object, group, b)
		}
	case catalog.PackArea:
		if _, err = pack.Check(b, secret.Repository, object, pack.DataPack); err != nil {
			_, err = pack.Check(b, secret.Repository, object, pack.TreePack)
		}
	default:
		v.t.Fatalf("%s: an object of no kind that is known here", object)
	}
	return err
}

// harmless says why w can go unseen even by who opens the object itself; "" if it cannot.
func (w wound) harmless() string {
	area, _, _ := strings.Cut(w.touched[0], "/")
	switch {
	case w.manner == "delete":
		return "there is nothing to open"
	case area == "keys" && (w.manner == "swap" || w.manner == "replay"):
		return "all of them hold the same secret"
	case (area == "features" || area == "tidemark.json") && w.manner == "flip":
		return "it is neither sealed nor signed: what the flipped bit says is believed"
	}
	return ""
}

// TestDamageIsSeen damages each object of a repository in every manner, one
// at a time, and reads everything: what is read is right, or an error that
// names the object. Who opens the object itself refuses it.
func TestDamageIsSeen(t *testing.T) {
	v := newVictim(t)
	rnd := mathrand.New(mathrand.NewPCG(2026, 11))
	wounds := slices.Concat(v.flips(rnd, 3), v.cuts(rnd), v.swaps(), v.replays(), v.deletions())
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
		if !v.concerns(w) || captures[sort] == 3 {
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
		if res, _, err = r.tryPoint("app", v.dir); err != nil || res.Point.ChangedFiles != 0 {
			t.Errorf("%v: the capture after that opened %d files, %v; want none", w, res.Point.ChangedFiles, err)
			continue
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
