package catalog_test

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"tidemark/catalog"
	"tidemark/keys"
	"tidemark/pack"
)

const pointObject = "points/a/b/c" // what errors of bodies name

// samplePoint returns a point of v's host that has something in every field.
func samplePoint(t testing.TB, v *vault) *catalog.Point {
	t.Helper()
	root, err := catalog.RootPage(&catalog.Row{Node: catalog.Node{Type: catalog.Dir, Mode: 0o755}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	usage := catalog.NewUsagePager(nil)
	if err := usage.Add(&catalog.UsageRow{Host: v.host.Name, Run: v.run.ID, Refs: 1, Bytes: 5}); err != nil {
		t.Fatal(err)
	}
	usageRoot, err := usage.Close(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &catalog.Point{
		Host: v.host.Name, Source: "app",
		Time:     time.Date(2026, 11, 20, 14, 0, 0, 0, time.UTC),
		Sequence: 42, Complete: true,
		Previous: sha256.Sum256([]byte("the point before")),
		Instant:  catalog.Time{Sec: 1795183200, Nsec: 1}, Began: catalog.Time{Sec: 1795183201}, Ended: catalog.Time{Sec: -1, Nsec: 999_999_999},
		Title: "before the upgrade", Path: "/srv/app",
		Snapshot:  &catalog.Snapshot{Snapshotter: "zfs", Name: "tank/app@tidemark", GUID: 1<<64 - 1},
		Set:       []catalog.Member{{Source: "app", Sequence: 42}, {Source: "db", Sequence: 7}},
		ReadBytes: 1, ChangedFiles: 2, NewBytes: 3, AddedBytes: 4,
		UnreadableCount: 3, Unreadable: []catalog.Unreadable{{Path: "a", Reason: "input/output error"}, {Path: "b\xff", Reason: "it changed"}},
		Crossed: true, Excludes: []string{"*.tmp", "cache/"}, Version: "tidemark 1",
		Root: root, Usage: usageRoot,
		Ext: evenExt,
	}
}

func TestPointSealOpen(t *testing.T) {
	v := newVault(t, "web")
	for _, area := range []catalog.Area{catalog.PointArea, catalog.IntentArea} {
		p := samplePoint(t, v)
		object, b, err := p.Seal(rand.Reader, area, v.keyring, v.run, v.signing)
		if err != nil {
			t.Fatal(err)
		}
		got, err := catalog.OpenPoint(v.keyring, v.host, object, b)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(&got.Point, p) {
			t.Errorf("opened %+v, want %+v", got.Point, p)
		}
		name, err := catalog.ParseObjectName(object)
		if err != nil || name.Area != area || name.Host != v.host.Segment {
			t.Errorf("it is called %s: %v", object, err)
		}
		want := fmt.Sprintf("20261120T140000Z-0000000042-c2n-%s", v.run.ID)
		if got.Object != object || got.Name != name.Point || got.Name.String() != want || got.Run.ID() != v.run.ID || got.Sum != sha256.Sum256(b) {
			t.Errorf("opened as %s, %s, run %s, sum %x", got.Object, got.Name, got.Run.ID(), got.Sum)
		}
	}
}

func TestPointOfLittle(t *testing.T) {
	v := newVault(t, "web")
	p := samplePoint(t, v)
	p = &catalog.Point{
		Host: p.Host, Source: p.Source, Time: p.Time, Sequence: 1, Fresh: true, Root: p.Root,
		Set: []catalog.Member{{Source: p.Source, Sequence: 1}},
	}
	object, b, err := p.Seal(rand.Reader, catalog.PointArea, v.keyring, v.run, v.signing)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(object, "-0000000001-i1-") {
		t.Errorf("it is called %s", object)
	}
	got, err := catalog.OpenPoint(v.keyring, v.host, object, b)
	if err != nil || !reflect.DeepEqual(&got.Point, p) {
		t.Errorf("opened %+v, %v; want %+v", got, err, p)
	}
}

func TestParsePointRefuses(t *testing.T) {
	v := newVault(t, "web")
	listPage := catalogListPage(t)
	flagsAt := len("\x03web\x03app") + 8
	refusals := []refusal[catalog.Point]{
		{"no host", func(p *catalog.Point) { p.Host = "" }, nil, pack.ReasonLength},
		{"a host's name too long", func(p *catalog.Point) { p.Host = strings.Repeat("h", 65) }, nil, pack.ReasonLimit},
		{"a host's name that is none", func(p *catalog.Point) { p.Host = ".." }, nil, pack.ReasonText},
		{"a source's name with a slash", func(p *catalog.Point) { p.Source = "a/b" }, nil, pack.ReasonText},
		{"sequence 0", func(p *catalog.Point) { p.Sequence = 0 }, nil, pack.ReasonRange},
		{"a sequence too large", func(p *catalog.Point) { p.Sequence = catalog.MaxSequence + 1 }, nil, pack.ReasonRange},
		{"an unknown flag", nil, func(b []byte) []byte { b[flagsAt] |= 8; return b }, pack.ReasonFlags},
		{"nanoseconds of a second", nil, replace(t, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xc9\x9a\x3b", "\xff\xff\xff\xff\xff\xff\xff\xff\x00\xca\x9a\x3b"), pack.ReasonRange},
		{"a name that is not UTF-8", func(p *catalog.Point) { p.Title = "\xff" }, nil, pack.ReasonText},
		{"a name with a slash", func(p *catalog.Point) { p.Title = "../x" }, nil, pack.ReasonText},
		{"a name too long", func(p *catalog.Point) { p.Title = strings.Repeat("n", 65) }, nil, pack.ReasonLimit},
		{"a snapshot that was not taken", nil, func(b []byte) []byte { b[flagsAt] &^= 2; return b }, pack.ReasonFlags},
		{"a set of nothing", func(p *catalog.Point) { p.Set = nil }, nil, pack.ReasonCount},
		{"a set without the point", func(p *catalog.Point) { p.Set = []catalog.Member{{Source: "app", Sequence: 41}} }, nil, pack.ReasonCount},
		{"a set too large", func(p *catalog.Point) { p.Set = manyMembers(1000) }, nil, pack.ReasonLimit},
		{"a set out of order", func(p *catalog.Point) { p.Set[0], p.Set[1] = p.Set[1], p.Set[0] }, nil, pack.ReasonOrder},
		{"a source twice in the set", func(p *catalog.Point) { p.Set[1] = p.Set[0] }, nil, pack.ReasonDuplicate},
		{"sequence 0 in the set", func(p *catalog.Point) { p.Set[1].Sequence = 0 }, nil, pack.ReasonRange},
		{"a bad name in the set", func(p *catalog.Point) { p.Set[1].Source = "d\x00b" }, nil, pack.ReasonText},
		{"a first point with one before", func(p *catalog.Point) { p.Fresh = true }, nil, pack.ReasonFlags},
		{"more unreadable nodes than there are", func(p *catalog.Point) { p.UnreadableCount = 1 }, nil, pack.ReasonCount},
		{"too many unreadable nodes", func(p *catalog.Point) {
			p.UnreadableCount, p.Unreadable = 2000, make([]catalog.Unreadable, 1001)
		}, nil, pack.ReasonLimit},
		{"unreadable nodes out of order", func(p *catalog.Point) { p.Unreadable[0].Path = "c" }, nil, pack.ReasonOrder},
		{"an unreadable node twice", func(p *catalog.Point) { p.Unreadable[1].Path = "a" }, nil, pack.ReasonDuplicate},
		{"a yes that is 2", nil, replace(t, "\x01\x02\x00\x05\x00*.tmp", "\x02\x02\x00\x05\x00*.tmp"), pack.ReasonRange},
		{"no tree", func(p *catalog.Point) { p.Root = nil }, nil, pack.ReasonLength},
		{"a tree that is no page", func(p *catalog.Point) { p.Root = []byte("tree") }, nil, pack.ReasonTruncated},
		{"a tree that is a usage", func(p *catalog.Point) { p.Root = p.Usage }, nil, pack.ReasonKind},
		{"a tree that is a directory's page", func(p *catalog.Point) { p.Root = rootNamed(t) }, nil, pack.ReasonKind},
		{"a usage that is no page", func(p *catalog.Point) { p.Usage = []byte("usage") }, nil, pack.ReasonTruncated},
		{"a usage that is a tree", func(p *catalog.Point) { p.Usage = p.Root }, nil, pack.ReasonKind},
		{"a usage that is a list", func(p *catalog.Point) { p.Usage = listPage }, nil, pack.ReasonKind},
		{"an odd extension", func(p *catalog.Point) { p.Ext = oddExt }, nil, pack.ReasonExtension},
		{"an extension twice", nil, func(b []byte) []byte { b[len(b)-6] = 2; return b }, pack.ReasonDuplicate},
		{"extensions out of order", nil, func(b []byte) []byte { b[len(b)-6] = 0; return b }, pack.ReasonOrder},
	}
	tryRefusals(t, func() *catalog.Point { return samplePoint(t, v) }, (*catalog.Point).Encode,
		func(b []byte) (*catalog.Point, error) { return catalog.ParsePoint(pointObject, b) }, refusals)
}

func manyMembers(n int) []catalog.Member {
	set := []catalog.Member{{Source: "app", Sequence: 42}}
	for i := 1; i < n; i++ {
		set = append(set, catalog.Member{Source: fmt.Sprintf("source%04d", i), Sequence: 1})
	}
	return set
}

// rootNamed returns a root page whose row has a name, as in a directory.
func rootNamed(t *testing.T) []byte {
	t.Helper()
	var page []byte
	dir := catalog.NewDirPager(func(d *catalog.Draft) (catalog.Ref, error) {
		var err error
		page, err = d.Encode(nil)
		return catalog.Ref{Level: d.Level}, err
	})
	if err := dir.Add(&catalog.Row{Node: catalog.Node{Name: "x", Type: catalog.Fifo}}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := dir.Close(); err != nil {
		t.Fatal(err)
	}
	return page
}

// catalogListPage returns a list page.
func catalogListPage(t *testing.T) []byte {
	t.Helper()
	var page []byte
	list := catalog.NewListPager(func(d *catalog.Draft) (catalog.Ref, error) {
		var err error
		page, err = d.Encode(nil)
		return catalog.Ref{Level: d.Level}, err
	})
	if err := list.Add(&catalog.Extent{Zero: true, Len: 64 << 10}); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := list.Close(); err != nil {
		t.Fatal(err)
	}
	return page
}

func TestSealPointRefuses(t *testing.T) {
	v := newVault(t, "web")
	for _, tt := range []struct {
		name   string
		area   catalog.Area
		change func(*catalog.Point)
	}{
		{"another area", catalog.MarkArea, func(*catalog.Point) {}},
		{"a host without a name", catalog.PointArea, func(p *catalog.Point) { p.Host = "" }},
		{"a source with a slash", catalog.PointArea, func(p *catalog.Point) { p.Source = "a/b" }},
		{"a year of five digits", catalog.PointArea, func(p *catalog.Point) { p.Time = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) }},
		{"a year below 0", catalog.PointArea, func(p *catalog.Point) { p.Time = time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC) }},
		{"sequence 0", catalog.PointArea, func(p *catalog.Point) { p.Sequence = 0 }},
		{"an empty set", catalog.PointArea, func(p *catalog.Point) { p.Set = nil }},
		{"a thousand sources", catalog.PointArea, func(p *catalog.Point) { p.Set = manyMembers(1000) }},
		{"a name too long for its field", catalog.PointArea, func(p *catalog.Point) { p.Title = strings.Repeat("n", 1<<16) }},
		{"a path too long", catalog.PointArea, func(p *catalog.Point) { p.Path = strings.Repeat("p", 1<<16) }},
		{"a version too long", catalog.PointArea, func(p *catalog.Point) { p.Version = strings.Repeat("v", 256) }},
		{"a snapshotter too long", catalog.PointArea, func(p *catalog.Point) { p.Snapshot.Snapshotter = strings.Repeat("v", 256) }},
		{"a pattern too long", catalog.PointArea, func(p *catalog.Point) { p.Excludes[1] = strings.Repeat("*", 1<<16) }},
		{"too many patterns", catalog.PointArea, func(p *catalog.Point) { p.Excludes = make([]string, 1<<16) }},
		{"a member's name too long", catalog.PointArea, func(p *catalog.Point) { p.Set[1].Source = strings.Repeat("v", 256) }},
		{"a reason too long", catalog.PointArea, func(p *catalog.Point) { p.Unreadable[0].Reason = strings.Repeat("r", 1<<16) }},
		{"unreadable nodes unsorted", catalog.PointArea, func(p *catalog.Point) { p.Unreadable[0].Path = "z" }},
		{"no tree", catalog.PointArea, func(p *catalog.Point) { p.Root = nil }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := samplePoint(t, v)
			tt.change(p)
			if object, _, err := p.Seal(rand.Reader, tt.area, v.keyring, v.run, v.signing); err == nil {
				t.Errorf("sealed as %s", object)
			}
		})
	}
}

// TestPointElsewhere stores a good body, signed by its host, under names that
// say something else of it: as a writer that errs would, or one that lies.
func TestPointElsewhere(t *testing.T) {
	v := newVault(t, "web")
	other := openVault(t, v.secret, "other")
	p := samplePoint(t, v)
	object, b, err := p.Seal(rand.Reader, catalog.PointArea, v.keyring, v.run, v.signing)
	if err != nil {
		t.Fatal(err)
	}
	good, err := catalog.ParseObjectName(object)
	if err != nil {
		t.Fatal(err)
	}
	secondRun, err := v.secret.NewRun(rand.Reader, "web")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		change func(*catalog.ObjectName)
	}{
		{"another source", func(o *catalog.ObjectName) {
			o.Source, err = v.keyring.Names.Source("web", "db")
		}},
		{"a source of another host", func(o *catalog.ObjectName) {
			o.Source, err = v.keyring.Names.Source("other", "app")
		}},
		{"another time", func(o *catalog.ObjectName) { o.Point.Time = o.Point.Time.Add(time.Second) }},
		{"another sequence", func(o *catalog.ObjectName) { o.Point.Sequence++ }},
		{"not complete", func(o *catalog.ObjectName) { o.Point.Complete = false }},
		{"a larger set", func(o *catalog.ObjectName) { o.Point.Members++ }},
		{"without a name", func(o *catalog.ObjectName) { o.Point.Named = false }},
		{"another run", func(o *catalog.ObjectName) { o.Point.Run = secondRun.ID }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			name := good
			tt.change(&name)
			if err != nil {
				t.Fatal(err)
			}
			_, err := catalog.OpenPoint(v.keyring, v.host, name.String(), b)
			if err == nil || errors.Is(err, catalog.ErrForged) != (tt.name == "a source of another host") {
				t.Errorf("copied there: %v; its frame says that it is not the one", err)
			}
			body := pack.SignBody(pack.Point, v.secret.Repository, name.String(), p.Encode(), v.signing)
			resealed, err := pack.SealRecord(rand.Reader, pack.Point, v.secret.Repository, name.String(), pack.RunKey(v.run), body)
			if err != nil {
				t.Fatal(err)
			}
			_, err = catalog.OpenPoint(v.keyring, v.host, name.String(), resealed)
			wantReason(t, err, pack.ReasonName)
			if !errors.Is(err, catalog.ErrForged) {
				t.Errorf("written there: %v, want ErrForged", err)
			}
		})
	}
	if _, err := catalog.OpenPoint(v.keyring, other.host, object, b); err == nil || errors.Is(err, catalog.ErrForged) {
		t.Errorf("opened as another host's: %v; the caller errs, not the point", err)
	}
	t.Run("signed by another host of the repository", func(t *testing.T) {
		object, b, err := p.Seal(rand.Reader, catalog.PointArea, v.keyring, v.run, other.signing)
		if err != nil {
			t.Fatal(err)
		}
		_, err = catalog.OpenPoint(v.keyring, v.host, object, b)
		wantReason(t, err, pack.ReasonSignature)
	})
	t.Run("without a signature", func(t *testing.T) {
		b, err := pack.SealRecord(rand.Reader, pack.Point, v.secret.Repository, object, pack.RunKey(v.run), []byte("short"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err = catalog.OpenPoint(v.keyring, v.host, object, b); !errors.Is(err, catalog.ErrForged) {
			t.Errorf("got %v, want ErrForged", err)
		}
	})
	t.Run("with the second of two keys", func(t *testing.T) {
		host := v.host
		host.Keys = append(other.host.Keys[:1:1], host.Keys...)
		if _, err := catalog.OpenPoint(v.keyring, host, object, b); err != nil {
			t.Error(err)
		}
	})
	t.Run("of a repository that went on without us", func(t *testing.T) {
		next, err := v.secret.Rotate(rand.Reader, false)
		if err != nil {
			t.Fatal(err)
		}
		newer := openVault(t, next, "web")
		object, b, err := samplePoint(t, newer).Seal(rand.Reader, catalog.PointArea, newer.keyring, newer.run, newer.signing)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := catalog.OpenPoint(v.keyring, v.host, object, b); !errors.Is(err, keys.ErrNotForUs) {
			t.Errorf("got %v, want ErrNotForUs", err)
		}
	})
}

func FuzzParsePoint(f *testing.F) {
	v := newVault(f, "web")
	f.Add(samplePoint(f, v).Encode())
	f.Add((&catalog.Point{Host: "h", Source: "s", Sequence: 1, Set: []catalog.Member{{Source: "s", Sequence: 1}}, Root: samplePoint(f, v).Root}).Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := catalog.ParsePoint(pointObject, b)
		if err != nil {
			if _, ok := errors.AsType[*pack.DamageError](err); !ok {
				t.Fatalf("%v is no *pack.DamageError", err)
			}
			return
		}
		if got := p.Encode(); string(got) != string(b) {
			t.Fatalf("parsed %x, wrote back %x", b, got)
		}
	})
}
