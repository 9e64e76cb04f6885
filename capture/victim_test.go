package capture_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
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

// newest returns the object of the newest point of a source of web.
func (v *victim) newest(source string) string {
	v.t.Helper()
	found, last := "", uint64(0)
	for object, p := range v.was.points {
		if p.point.Host == "web" && p.point.Source == source && p.point.Sequence > last {
			found, last = object, p.point.Sequence
		}
	}
	return found
}
