package catalog_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"tidemark/catalog"
	"tidemark/keys"
	"tidemark/pack"
	"tidemark/store"
)

// stored is catalog.Objects over a store, as the program wires it.
type stored struct{ s store.Store }

func (o stored) List(ctx context.Context, prefix, after string, fn func(string, int64, time.Time) error) error {
	return o.s.List(ctx, prefix, after, func(i store.Info) error { return fn(i.Key, i.Size, i.Time) })
}

func (o stored) Get(ctx context.Context, name string, max int64) ([]byte, error) {
	b, err := store.ReadAll(ctx, o.s, name, max)
	if errors.Is(err, store.ErrNotExist) {
		err = fmt.Errorf("%w: %w", catalog.ErrNoObject, err)
	}
	return b, err
}

// A site is a repository in memory, and what the tests do to it.
type site struct {
	t      *testing.T
	mem    *store.Mem
	count  *store.Counter
	fault  *store.Fault
	secret *keys.Secret
	roster catalog.Roster
	at     time.Time // of the store
}

func newSite(t *testing.T, hooks ...store.Hook) *site {
	t.Helper()
	v := newVault(t, "web")
	s := &site{t: t, mem: store.NewMem(), secret: v.secret, at: time.Date(2026, 11, 20, 15, 0, 0, 0, time.UTC)}
	s.mem.Now = func() time.Time { return s.at }
	s.fault = store.NewFault(s.mem, hooks...)
	s.count = store.Count(s.fault)
	s.roster = catalog.Roster{Objects: stored{s.count}, Keys: v.keyring}
	return s
}

func (s *site) put(object string, b []byte, err error) string {
	s.t.Helper()
	if err == nil {
		err = s.mem.Put(s.t.Context(), object, bytes.NewReader(b), int64(len(b)))
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return object
}

// enrol makes the n-th key that the secret gives a host one of its keys, or
// revokes it, in enrolment number.
func (s *site) enrol(host string, number, n uint32, revoke bool, group string, signing keys.PrivateKey) string {
	s.t.Helper()
	e := catalog.Enrolment{Number: number, Host: host, Revoke: revoke, Key: s.secret.HostKey(n, host).Public(), Group: group}
	return s.put(e.Seal(rand.Reader, s.roster.Keys, signing))
}

// point stores a point of v's host, signed by signing.
func (s *site) point(v *vault, source string, sequence uint64, title string, signing keys.PrivateKey) string {
	s.t.Helper()
	p := samplePoint(s.t, v)
	p.Source, p.Sequence, p.Title = source, sequence, title
	p.Set = []catalog.Member{{Source: source, Sequence: sequence}}
	return s.put(p.Seal(rand.Reader, catalog.PointArea, s.roster.Keys, v.run, signing))
}

func (s *site) mark(v *vault, number uint64, signer catalog.Signer, signing keys.PrivateKey) string {
	s.t.Helper()
	m := sampleMark(s.t, v)
	m.Signer = signer
	var run *keys.Run
	if signer == catalog.ByHost {
		run = v.run
	}
	return s.put(m.Seal(rand.Reader, s.roster.Keys, number, run, signing))
}

// noticed checks that there are notices of just these objects.
func noticed(t *testing.T, notices []catalog.Notice, objects ...string) {
	t.Helper()
	var got []string
	for _, n := range notices {
		got = append(got, n.Object)
		if text := n.String(); !strings.HasPrefix(text, n.Object) || len(text) < len(n.Object)+20 {
			t.Errorf("a notice says only %q", text)
		}
	}
	slices.Sort(got)
	slices.Sort(objects)
	if !slices.Equal(got, objects) {
		t.Errorf("notices of %q, want %q", got, objects)
	}
}

func TestReadHosts(t *testing.T) {
	s := newSite(t)
	repo, thief := s.secret.Signing(), keys.NewPrivateKey([32]byte{9})
	s.enrol("web", 1, 1, false, "first", repo)
	s.enrol("web", 2, 2, false, "second", repo)
	s.enrol("web", 10, 1, true, "third", repo) // revokes key 1; its group says nothing
	s.enrol("web", 11, 2, false, "second", repo)
	s.enrol("web", 12, 1, false, "fourth", repo) // a key that was revoked stays so
	s.enrol("db", 1, 1, false, "db", repo)
	s.enrol("lost", 1, 1, false, "lost", repo)
	s.enrol("lost", 2, 1, true, "lost", repo)
	forged := s.enrol("web", 13, 7, false, "forged", thief)
	alone := s.enrol("stranger", 1, 1, false, "stranger", thief)
	damaged := s.enrol("db", 2, 2, false, "db", repo)
	s.fault.Damage(damaged, store.FlipBit(100))
	large := s.enrol("db", 3, 3, false, "db", repo)
	s.fault.Damage(large, func([]byte) []byte { return make([]byte, 16<<10+1) })
	unopened := s.put("hosts/"+hostSegment+"/00000001", []byte("x"), nil)
	s.put("hosts/notes", nil, nil)
	s.put("hosts/"+hostSegment+"/1", nil, nil)

	hosts, notices, err := s.roster.ReadHosts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	noticed(t, notices, forged, alone, damaged, large, unopened)
	type summary struct {
		name, group string
		keys        []uint32
	}
	var got []summary
	for _, h := range hosts {
		sum := summary{h.Name, h.Group, nil}
		for _, k := range h.Keys {
			for n := range uint32(10) {
				if k.Equal(s.secret.HostKey(n, h.Name).Public()) {
					sum.keys = append(sum.keys, n)
				}
			}
		}
		if segment, err := s.roster.Keys.Names.Host(h.Name); err != nil || segment != h.Segment {
			t.Errorf("%s has segment %s, want %s", h.Name, h.Segment, segment)
		}
		got = append(got, sum)
	}
	want := []summary{{"db", "db", []uint32{1}}, {"lost", "lost", nil}, {"web", "fourth", []uint32{2}}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("hosts %+v, want %+v", got, want)
	}
}

func TestReadPointsOpensNone(t *testing.T) {
	s := newSite(t)
	web, other := openVault(t, s.secret, "web"), openVault(t, s.secret, "other")
	first := s.point(web, "db", 2, "", web.signing)
	second := s.point(web, "app", 10, "", web.signing)
	third := s.point(web, "app", 9, "named", web.signing)
	s.point(other, "app", 1, "", other.signing)
	name, err := catalog.ParseObjectName(first)
	if err != nil {
		t.Fatal(err)
	}
	name.Source = sourceSegment
	s.put(name.String(), []byte("x"), nil)
	name.Point.Sequence++
	s.put(name.String(), []byte("x"), nil)
	s.put("points/"+web.host.Segment+"/"+name.Source+"/notes", nil, nil)
	s.count.Reset()

	entries, notices, err := s.roster.ReadPoints(t.Context(), web.host)
	if err != nil {
		t.Fatal(err)
	}
	noticed(t, notices, "points/"+web.host.Segment+"/"+sourceSegment+"/")
	var got []string
	for _, e := range entries {
		got = append(got, e.Object)
		if e.Host != "web" || !e.Stored.Equal(s.at) || e.Size < 500 || e.Title != "" || !strings.HasSuffix(e.Object, "/"+e.Name.String()) {
			t.Errorf("entry %+v", e)
		}
	}
	if want := []string{third, second, first}; !slices.Equal(got, want) {
		t.Errorf("entries %q, want %q", got, want)
	}
	for _, r := range s.count.Requests() {
		if r.Op != store.OpList {
			t.Errorf("it asked for %+v", r)
		}
	}
	if intents, _, err := s.roster.ReadIntents(t.Context(), web.host); err != nil || len(intents) > 0 {
		t.Errorf("intents %v, %v", intents, err)
	}
}

// TestCaptureKeyringListsPoints lists what a host with a capture-only key
// needs to number its next point.
func TestCaptureKeyringListsPoints(t *testing.T) {
	s := newSite(t)
	web := openVault(t, s.secret, "web")
	s.point(web, "app", 10, "", web.signing)
	key, err := s.secret.CaptureOnly("web", "web", web.signing)
	if err != nil {
		t.Fatal(err)
	}
	roster := catalog.Roster{Objects: s.roster.Objects, Keys: catalog.CaptureKeyring(key)}
	entries, _, err := roster.ReadPoints(t.Context(), web.host)
	if err != nil || len(entries) != 1 || entries[0].Name.Sequence != 10 || entries[0].Source != "app" {
		t.Fatalf("entries %+v, %v", entries, err)
	}
	if _, notices, err := roster.OpenPoints(t.Context(), web.host, entries); err != nil || len(notices) != 1 || !errors.Is(notices[0].Err, keys.ErrNotForUs) {
		t.Errorf("it opened a point: %v, %v", notices, err)
	}
}

// TestForgedPointIsNotShown does what the mount does with a point that its
// host has not signed, one that is gone and one that is damaged.
func TestForgedPointIsNotShown(t *testing.T) {
	s := newSite(t)
	web, other := openVault(t, s.secret, "web"), openVault(t, s.secret, "other")
	forged := s.point(web, "app", 1, "", other.signing)
	gone := s.point(web, "app", 2, "", web.signing)
	good := s.point(web, "app", 3, "mine", web.signing)
	damaged := s.point(web, "db", 1, "", web.signing)
	s.point(web, "db", 2, "", web.signing)
	s.fault.Damage(damaged, store.Truncate(300))

	entries, _, err := s.roster.ReadPoints(t.Context(), web.host)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.mem.Delete(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	var said []catalog.Notice
	for {
		daily := catalog.Arrange(seenOf(entries), catalog.Marks{}, time.UTC).Daily
		var shown []catalog.Entry
		for _, e := range entries {
			if slices.ContainsFunc(daily[0].Points, func(p catalog.Seen) bool { return p.Object == e.Object }) {
				shown = append(shown, e)
			}
		}
		opened, notices, err := s.roster.OpenPoints(t.Context(), web.host, shown)
		if err != nil {
			t.Fatal(err)
		}
		said = append(said, notices...)
		believed := catalog.Believe(entries, opened, notices)
		if len(believed) == len(entries) {
			if daily[0].Points[0].Object != good || daily[0].Points[1].Object != damaged {
				t.Errorf("it shows %v, want %s and %s", daily[0].Points, good, damaged)
			}
			entries = believed
			break
		}
		entries = believed
	}
	said = slices.CompactFunc(said, func(a, b catalog.Notice) bool { return a.Object == b.Object })
	for _, tt := range []struct {
		object string
		want   error
	}{{forged, catalog.ErrForged}, {gone, catalog.ErrNoObject}, {damaged, pack.ErrDamaged}} {
		if !slices.ContainsFunc(said, func(n catalog.Notice) bool { return n.Object == tt.object && errors.Is(n.Err, tt.want) }) {
			t.Errorf("nothing is said of %s, want %v", tt.object, tt.want)
		}
	}
	i := slices.IndexFunc(entries, func(e catalog.Entry) bool { return e.Object == good })
	if entries[i].Title != "mine" {
		t.Errorf("its title is %q", entries[i].Title)
	}
	p, err := s.roster.OpenPoint(t.Context(), web.host, entries[i])
	if err != nil || p.Sequence != 3 {
		t.Errorf("OpenPoint = %+v, %v", p, err)
	}
	entries[i].Size = 4<<20 + 1
	if _, err := s.roster.OpenPoint(t.Context(), web.host, entries[i]); !errors.Is(err, pack.ErrDamaged) {
		t.Errorf("a point larger than any: %v", err)
	}
}

func seenOf(entries []catalog.Entry) []catalog.Seen {
	var points []catalog.Seen
	for _, e := range entries {
		points = append(points, e.Seen)
	}
	return points
}

func TestReadMarks(t *testing.T) {
	s := newSite(t)
	web, other := openVault(t, s.secret, "web"), openVault(t, s.secret, "other")
	s.mark(web, 1, catalog.ByHost, web.signing)
	s.mark(web, 2, catalog.ByRepository, s.secret.Signing())
	s.mark(other, 3, catalog.ByHost, other.signing)
	forged := s.mark(web, 4, catalog.ByHost, other.signing)
	damaged := s.mark(web, 5, catalog.ByHost, web.signing)
	s.fault.Damage(damaged, store.FlipBit(0))
	stranger, err := keys.Generate(rand.Reader, false)
	if err != nil {
		t.Fatal(err)
	}
	foreign := *web
	if foreign.run, err = stranger.NewRun(rand.Reader, "web"); err != nil {
		t.Fatal(err)
	}
	sealedAway := s.mark(&foreign, 6, catalog.ByHost, web.signing) // must not keep us from the others

	marks, notices, err := s.roster.ReadMarks(t.Context(), web.host)
	if err != nil {
		t.Fatal(err)
	}
	noticed(t, notices, forged, damaged, sealedAway)
	if len(marks) != 2 || marks[0].Signer != catalog.ByHost || marks[1].Signer != catalog.ByRepository {
		t.Errorf("marks %+v, want those of numbers 1 and 2", marks)
	}

	// Prune deletes a point with its marks, between our LIST and our GET.
	gone := s.mark(web, 7, catalog.ByHost, web.signing)
	s.roster.Objects = deletes{stored{s.fault}, s.mem, gone}
	marks, notices, err = s.roster.ReadMarks(t.Context(), web.host)
	if err != nil || len(marks) != 2 {
		t.Errorf("with a mark gone: %+v, %v", marks, err)
	}
	noticed(t, notices, forged, damaged, sealedAway)
}

func TestReadRules(t *testing.T) {
	s := newSite(t)
	if rules, notices, err := s.roster.ReadRules(t.Context()); rules != nil || notices != nil || err != nil {
		t.Errorf("with none there are %v, %v, %v", rules, notices, err)
	}
	put := func(number uint32, zone string, signing keys.PrivateKey) string {
		r := catalog.Rules{Number: number, Zone: zone}
		return s.put(r.Seal(rand.Reader, s.roster.Keys, signing))
	}
	put(9, "UTC", s.secret.Signing())
	put(10, "Europe/Berlin", s.secret.Signing())
	forged := put(11, "Asia/Tokyo", keys.NewPrivateKey([32]byte{9}))
	rules, notices, err := s.roster.ReadRules(t.Context())
	if err != nil || rules == nil || rules.Number != 10 || rules.Zone != "Europe/Berlin" {
		t.Errorf("rules %+v, %v; want number 10", rules, err)
	}
	noticed(t, notices, forged)
}

func TestReadFeatures(t *testing.T) {
	s := newSite(t)
	f := sampleFeature()
	object := s.put(f.Object(s.secret.Repository))
	features, err := s.roster.ReadFeatures(t.Context())
	if err != nil || !reflect.DeepEqual(features, []catalog.Feature{*f}) {
		t.Errorf("features %+v, %v", features, err)
	}
	s.fault.Damage(object, store.FlipBit(0))
	if _, err := s.roster.ReadFeatures(t.Context()); !errors.Is(err, pack.ErrDamaged) || !strings.Contains(err.Error(), object) {
		t.Errorf("a damaged feature: %v; nobody knows what it forbids", err)
	}
}

func TestReadCondemned(t *testing.T) {
	s := newSite(t)
	first, second := sampleCondemned(nil), sampleCondemned(nil)
	second.ID[0]++
	s.put(first.Seal(s.secret.Repository, s.secret.Signing()))
	vanishes := s.put(second.Seal(s.secret.Repository, s.secret.Signing()))
	condemned, err := s.roster.ReadCondemned(t.Context())
	if err != nil || !reflect.DeepEqual(condemned, []catalog.Condemned{*first, *second}) {
		t.Errorf("condemned %+v, %v", condemned, err)
	}
	// Prune deletes it between our LIST and our GET.
	s.roster.Objects = deletes{stored{s.mem}, s.mem, vanishes}
	condemned, err = s.roster.ReadCondemned(t.Context())
	if err != nil || !reflect.DeepEqual(condemned, []catalog.Condemned{*first}) {
		t.Errorf("condemned %+v, %v", condemned, err)
	}
	third := sampleCondemned(nil)
	third.ID[0] += 2
	forged := s.put(third.Seal(s.secret.Repository, keys.NewPrivateKey([32]byte{9})))
	if _, err := s.roster.ReadCondemned(t.Context()); !errors.Is(err, catalog.ErrForged) || !strings.Contains(err.Error(), forged) {
		t.Errorf("a forged one: %v; a writer must stop", err)
	}
}

// deletes is a store in which an object goes when it is asked for.
type deletes struct {
	stored
	mem    *store.Mem
	object string
}

func (d deletes) Get(ctx context.Context, name string, max int64) ([]byte, error) {
	if name == d.object {
		if err := d.mem.Delete(ctx, name); err != nil {
			return nil, err
		}
	}
	return d.stored.Get(ctx, name, max)
}

// TestStoreFails fails every request of every reading in turn: it is an error,
// never a shorter answer.
func TestStoreFails(t *testing.T) {
	failAt, asked := -1, 0
	s := newSite(t, func(op store.Op, key string, n int) (bool, error) {
		asked = n + 1
		if n == failAt {
			return false, store.ErrInjected
		}
		return false, nil
	})
	web := openVault(t, s.secret, "web")
	s.enrol("web", 1, 1, false, "web", s.secret.Signing())
	s.point(web, "app", 1, "", web.signing)
	s.mark(web, 1, catalog.ByHost, web.signing)
	s.put((&catalog.Rules{Zone: "UTC"}).Seal(rand.Reader, s.roster.Keys, s.secret.Signing()))
	s.put(sampleFeature().Object(s.secret.Repository))
	s.put(sampleCondemned(nil).Seal(s.secret.Repository, s.secret.Signing()))
	entries, _, err := s.roster.ReadPoints(t.Context(), web.host)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name     string
		requests int
		read     func(ctx context.Context, r catalog.Roster) error
	}{
		{"ReadHosts", 2, func(ctx context.Context, r catalog.Roster) error { _, _, err := r.ReadHosts(ctx); return err }},
		{"ReadPoints", 1, func(ctx context.Context, r catalog.Roster) error {
			_, _, err := r.ReadPoints(ctx, web.host)
			return err
		}},
		{"OpenPoint", 1, func(ctx context.Context, r catalog.Roster) error {
			_, err := r.OpenPoint(ctx, web.host, entries[0])
			return err
		}},
		{"OpenPoints", 1, func(ctx context.Context, r catalog.Roster) error {
			_, _, err := r.OpenPoints(ctx, web.host, entries)
			return err
		}},
		{"ReadMarks", 2, func(ctx context.Context, r catalog.Roster) error { _, _, err := r.ReadMarks(ctx, web.host); return err }},
		{"ReadRules", 2, func(ctx context.Context, r catalog.Roster) error { _, _, err := r.ReadRules(ctx); return err }},
		{"ReadFeatures", 2, func(ctx context.Context, r catalog.Roster) error { _, err := r.ReadFeatures(ctx); return err }},
		{"ReadCondemned", 2, func(ctx context.Context, r catalog.Roster) error { _, err := r.ReadCondemned(ctx); return err }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for n := range tt.requests {
				failAt = asked + n
				if err := tt.read(t.Context(), s.roster); !errors.Is(err, store.ErrInjected) {
					t.Errorf("request %d failed, and it returned %v", n, err)
				}
			}
			failAt = -1
			before := asked
			if err := tt.read(t.Context(), s.roster); err != nil || asked-before != tt.requests {
				t.Errorf("%d requests, want %d: %v", asked-before, tt.requests, err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if err := tt.read(ctx, s.roster); !errors.Is(err, context.Canceled) {
				t.Errorf("with its context done it returned %v", err)
			}
		})
	}
}

// TestManyHosts reads more enrolments than are fetched at once.
func TestManyHosts(t *testing.T) {
	s := newSite(t)
	for i := range 50 {
		s.enrol(fmt.Sprintf("host%02d", i), 1, 1, false, "g", s.secret.Signing())
	}
	hosts, notices, err := s.roster.ReadHosts(t.Context())
	if err != nil || len(hosts) != 50 || len(notices) != 0 {
		t.Fatalf("%d hosts, %v, %v", len(hosts), notices, err)
	}
	for i, h := range hosts {
		if want := fmt.Sprintf("host%02d", i); h.Name != want || len(h.Keys) != 1 || len(h.Keys[0]) != ed25519.PublicKeySize {
			t.Errorf("host %d is %+v, want %s", i, h, want)
		}
	}
}
