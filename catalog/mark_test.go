package catalog_test

import (
	"crypto/rand"
	"errors"
	mathrand "math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"tidemark/catalog"
	"tidemark/keys"
	"tidemark/pack"
)

const markObject = "marks/a/b/c"

func sampleMark(t testing.TB, v *vault) *catalog.Mark {
	t.Helper()
	point, err := catalog.ParsePointName(pointText)
	if err != nil {
		t.Fatal(err)
	}
	return &catalog.Mark{
		Signer: catalog.ByHost, Kind: catalog.Pin, Host: v.host.Name, Source: "app", Point: point,
		Time: catalog.Time{Sec: 1795183200, Nsec: 999_999_999}, End: catalog.Time{Sec: 1995183200}, Text: "audit", Ext: evenExt,
	}
}

func TestMarkSealOpen(t *testing.T) {
	v := newVault(t, "web")
	byHost := sampleMark(t, v)
	byRepository := sampleMark(t, v)
	byRepository.Signer, byRepository.Kind = catalog.ByRepository, catalog.ReadBack
	byRepository.End, byRepository.Text, byRepository.Bytes = catalog.Time{}, "a/b: \xff", 1<<40
	for _, tt := range []struct {
		mark    *catalog.Mark
		run     *keys.Run
		signing keys.PrivateKey
	}{
		{byHost, v.run, v.signing},
		{byRepository, nil, v.secret.Signing()},
	} {
		object, b, err := tt.mark.Seal(rand.Reader, v.keyring, 0xab, tt.run, tt.signing)
		if err != nil {
			t.Fatal(err)
		}
		if want := "marks/" + v.host.Segment + "/" + pointText + "/00000000000000ab"; object != want {
			t.Errorf("it is called %s, want %s", object, want)
		}
		got, err := catalog.OpenMark(v.keyring, v.host, object, b)
		if err != nil || !reflect.DeepEqual(got, tt.mark) {
			t.Errorf("opened %+v, %v; want %+v", got, err, tt.mark)
		}
	}
	if _, _, err := byHost.Seal(rand.Reader, v.keyring, 1, nil, v.signing); err == nil {
		t.Error("a host's mark was sealed without a run")
	}
	if _, _, err := byRepository.Seal(rand.Reader, v.keyring, 1, v.run, v.signing); err == nil {
		t.Error("a mark of the repository was sealed by a run")
	}
	byHost.Text = strings.Repeat("x", 1<<16)
	if _, _, err := byHost.Seal(rand.Reader, v.keyring, 1, v.run, v.signing); err == nil {
		t.Error("a text too long was sealed")
	}
}

func TestParseMarkRefuses(t *testing.T) {
	v := newVault(t, "web")
	for _, kind := range []catalog.MarkKind{catalog.Pin, catalog.Unpin, catalog.Suspect, catalog.Clear, catalog.ReadBack} {
		m := sampleMark(t, v)
		m.Kind, m.End = kind, catalog.Time{}
		if _, err := catalog.ParseMark(markObject, m.Encode()); err != nil {
			t.Errorf("%v: %v", kind, err)
		}
	}
	tryRefusals(t, func() *catalog.Mark { return sampleMark(t, v) }, (*catalog.Mark).Encode,
		func(b []byte) (*catalog.Mark, error) { return catalog.ParseMark(markObject, b) }, []refusal[catalog.Mark]{
			{"an unknown signer", func(m *catalog.Mark) { m.Signer = 2 }, nil, pack.ReasonRange},
			{"kind 0", func(m *catalog.Mark) { m.Kind = 0 }, nil, pack.ReasonRange},
			{"an unknown kind", func(m *catalog.Mark) { m.Kind = 6 }, nil, pack.ReasonRange},
			{"no host", func(m *catalog.Mark) { m.Host = "" }, nil, pack.ReasonLength},
			{"a bad source", func(m *catalog.Mark) { m.Source = "." }, nil, pack.ReasonText},
			{"a bad point", nil, replace(t, "Z-0000000042", "Z-0000000000"), pack.ReasonText},
			{"an end that is no pin's", func(m *catalog.Mark) { m.Kind = catalog.Suspect }, nil, pack.ReasonRange},
			{"bytes that were not read back", func(m *catalog.Mark) { m.Bytes = 1 }, nil, pack.ReasonRange},
			{"a pin's name with a slash", func(m *catalog.Mark) { m.Text = "a/b" }, nil, pack.ReasonText},
			{"a pin's name too long", func(m *catalog.Mark) { m.Text = strings.Repeat("x", 65) }, nil, pack.ReasonText},
			{"a text too long", func(m *catalog.Mark) { m.Text = strings.Repeat("x", 1025) }, nil, pack.ReasonLimit},
			{"an odd extension", func(m *catalog.Mark) { m.Ext = oddExt }, nil, pack.ReasonExtension},
		})
}

// TestMarkSigners has each signer say that it is the other, and each write
// where it may not.
func TestMarkSigners(t *testing.T) {
	v := newVault(t, "web")
	other := openVault(t, v.secret, "other")
	seal := func(m *catalog.Mark, object string, with pack.RecordKey, signing keys.PrivateKey) []byte {
		t.Helper()
		body := pack.SignBody(pack.Mark, v.secret.Repository, object, m.Encode(), signing)
		b, err := pack.SealRecord(rand.Reader, pack.Mark, v.secret.Repository, object, with, body)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	object, _, err := sampleMark(t, v).Seal(rand.Reader, v.keyring, 1, v.run, v.signing)
	if err != nil {
		t.Fatal(err)
	}
	byRun, byRecords := pack.RunKey(v.run), pack.RecordsKey(v.secret.Records())
	for _, tt := range []struct {
		name    string
		change  func(*catalog.Mark)
		with    pack.RecordKey
		signing keys.PrivateKey
		reason  pack.Reason
	}{
		{"the host as the repository", func(m *catalog.Mark) { m.Signer = catalog.ByRepository }, byRun, v.signing, pack.ReasonSignature},
		{"the repository as the host", func(*catalog.Mark) {}, byRecords, v.secret.Signing(), pack.ReasonSignature},
		{"the host with the records key", func(m *catalog.Mark) { m.Signer = catalog.ByRepository }, byRecords, v.signing, pack.ReasonSignature},
		{"another host", func(*catalog.Mark) {}, byRun, other.signing, pack.ReasonSignature},
		{"about another host", func(m *catalog.Mark) { m.Host = "other" }, byRun, v.signing, pack.ReasonName},
		{"about another point", func(m *catalog.Mark) { m.Point.Sequence++ }, byRun, v.signing, pack.ReasonName},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := sampleMark(t, v)
			tt.change(m)
			_, err := catalog.OpenMark(v.keyring, v.host, object, seal(m, object, tt.with, tt.signing))
			wantReason(t, err, tt.reason)
			if !errors.Is(err, catalog.ErrForged) {
				t.Errorf("%v, want ErrForged", err)
			}
		})
	}
	if _, err := catalog.OpenMark(v.keyring, other.host, object, nil); err == nil {
		t.Error("it was opened as a mark of another host")
	}
}

func TestWeigh(t *testing.T) {
	p := seen(t, "app", 1, "2026-11-20T02:00:00Z", "c1")
	named := seen(t, "app", 2, "2026-11-20T03:00:00Z", "c1n")
	named.Title = "mine"
	taken := named.Name.Time.Unix()
	mark := func(signer catalog.Signer, kind catalog.MarkKind, sec, end int64, text string) catalog.Mark {
		m := about(p, kind, sec)
		m.Signer, m.Text, m.End.Sec = signer, text, end
		return m
	}
	ofNamed := func(m catalog.Mark) catalog.Mark { m.Point = named.Name; return m }
	const us, host = catalog.ByRepository, catalog.ByHost
	for _, tt := range []struct {
		name  string
		point catalog.Seen
		marks []catalog.Mark
		want  catalog.Standing
	}{
		{"nothing said", p, nil, catalog.Standing{}},
		{"pinned", p, []catalog.Mark{mark(us, catalog.Pin, 10, 0, "a")}, catalog.Standing{Pinned: true, Pins: []string{"a"}}},
		{"pinned by the host", p, []catalog.Mark{mark(host, catalog.Pin, 10, 0, "a")}, catalog.Standing{Pinned: true, Pins: []string{"a"}}},
		{"pinned without a name", p, []catalog.Mark{mark(us, catalog.Pin, 10, 0, "")}, catalog.Standing{Pinned: true, Pins: []string{""}}},
		{"pinned thrice", p, []catalog.Mark{mark(us, catalog.Pin, 11, 0, "b"), mark(us, catalog.Pin, 10, 0, "a"), mark(host, catalog.Pin, 12, 0, "b")},
			catalog.Standing{Pinned: true, Pins: []string{"a", "b"}}},
		{"until later", p, []catalog.Mark{mark(us, catalog.Pin, 10, 101, "a")}, catalog.Standing{Pinned: true, Pins: []string{"a"}}},
		{"until now", p, []catalog.Mark{mark(us, catalog.Pin, 10, 100, "a")}, catalog.Standing{}},
		{"unpinned", p, []catalog.Mark{mark(us, catalog.Pin, 10, 0, "a"), mark(us, catalog.Unpin, 11, 0, "")}, catalog.Standing{}},
		{"unpinned and pinned again", p, []catalog.Mark{mark(us, catalog.Pin, 10, 0, "a"), mark(us, catalog.Unpin, 11, 0, ""), mark(us, catalog.Pin, 12, 0, "b")},
			catalog.Standing{Pinned: true, Pins: []string{"b"}}},
		{"unpinned at the same time", p, []catalog.Mark{mark(us, catalog.Pin, 10, 0, "a"), mark(us, catalog.Unpin, 10, 0, "")},
			catalog.Standing{Pinned: true, Pins: []string{"a"}}},
		{"two unpins, the later first", p, []catalog.Mark{mark(us, catalog.Unpin, 12, 0, ""), mark(us, catalog.Unpin, 10, 0, ""), mark(us, catalog.Pin, 11, 0, "a")},
			catalog.Standing{}},
		{"a host cannot unpin", p, []catalog.Mark{mark(us, catalog.Pin, 10, 0, "a"), mark(host, catalog.Unpin, 11, 0, "")},
			catalog.Standing{Pinned: true, Pins: []string{"a"}}},
		{"nor end a pin by one of its own", p, []catalog.Mark{mark(us, catalog.Pin, 10, 0, "a"), mark(host, catalog.Pin, 99, 50, "a")},
			catalog.Standing{Pinned: true, Pins: []string{"a"}}},
		{"suspect", p, []catalog.Mark{mark(us, catalog.Suspect, 10, 0, "a bad disk")}, catalog.Standing{Suspect: true, Reason: "a bad disk"}},
		{"a host cannot discredit", p, []catalog.Mark{mark(host, catalog.Suspect, 10, 0, "")}, catalog.Standing{}},
		{"nor clear", p, []catalog.Mark{mark(us, catalog.Suspect, 10, 0, "why"), mark(host, catalog.Clear, 11, 0, "")}, catalog.Standing{Suspect: true, Reason: "why"}},
		{"cleared", p, []catalog.Mark{mark(us, catalog.Suspect, 10, 0, "why"), mark(us, catalog.Clear, 11, 0, "not so")}, catalog.Standing{}},
		{"suspect again", p, []catalog.Mark{mark(us, catalog.Clear, 11, 0, ""), mark(us, catalog.Suspect, 12, 0, "why")}, catalog.Standing{Suspect: true, Reason: "why"}},
		{"suspect and clear at once", p, []catalog.Mark{mark(us, catalog.Suspect, 10, 0, "why"), mark(us, catalog.Clear, 10, 0, "")}, catalog.Standing{Suspect: true, Reason: "why"}},
		{"read back", p, []catalog.Mark{mark(us, catalog.ReadBack, 10, 0, "")}, catalog.Standing{}},
		{"of another source", seen(t, "db", 1, "2026-11-20T02:00:00Z", "c1"), []catalog.Mark{mark(us, catalog.Suspect, 10, 0, "")}, catalog.Standing{}},
		{"its name pins it", named, nil, catalog.Standing{Pinned: true, Pins: []string{"mine"}}},
		{"and a mark by another name", named, []catalog.Mark{ofNamed(mark(us, catalog.Pin, 10, 0, "audit"))}, catalog.Standing{Pinned: true, Pins: []string{"audit", "mine"}}},
		{"until it is unpinned", named, []catalog.Mark{ofNamed(mark(us, catalog.Unpin, taken+1, 0, ""))}, catalog.Standing{}},
		{"after it was taken", named, []catalog.Mark{ofNamed(mark(us, catalog.Unpin, taken-1, 0, ""))}, catalog.Standing{Pinned: true, Pins: []string{"mine"}}},
		{"a name not known yet", seen(t, "app", 2, "2026-11-20T03:00:00Z", "c1n"), nil, catalog.Standing{Pinned: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			random := mathrand.New(mathrand.NewPCG(1, 1))
			for range 4 { // whatever the order
				got := catalog.Weigh(tt.marks, catalog.Time{Sec: 100}).Of(tt.point)
				if got.Suspect != tt.want.Suspect || got.Reason != tt.want.Reason || got.Pinned != tt.want.Pinned || !slices.Equal(got.Pins, tt.want.Pins) {
					t.Errorf("got %+v, want %+v", got, tt.want)
				}
				random.Shuffle(len(tt.marks), func(i, j int) { tt.marks[i], tt.marks[j] = tt.marks[j], tt.marks[i] })
			}
		})
	}
}

// TestStandingIsOwn changes a standing that was given out.
func TestStandingIsOwn(t *testing.T) {
	p := seen(t, "app", 2, "2026-11-20T03:00:00Z", "c1n")
	var pins []catalog.Mark
	for _, name := range []string{"w", "x", "y"} { // three: there is room for a fourth
		pin := about(p, catalog.Pin, p.Name.Time.Add(time.Hour).Unix())
		pin.Text = name
		pins = append(pins, pin)
	}
	marks := catalog.Weigh(pins, catalog.Time{})
	p.Title = "z"
	last := marks.Of(p).Pins
	p.Title = "a"
	marks.Of(p)
	p.Title = ""
	if got := marks.Of(p).Pins; !slices.Equal(got, []string{"w", "x", "y"}) || !slices.Equal(last, []string{"w", "x", "y", "z"}) {
		t.Errorf("Pins = %q, and %q with a name", got, last)
	}
}

func FuzzParseMark(f *testing.F) {
	v := newVault(f, "web")
	f.Add(sampleMark(f, v).Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := catalog.ParseMark(markObject, b)
		if err != nil {
			return
		}
		if got := m.Encode(); string(got) != string(b) {
			t.Fatalf("parsed %x, wrote back %x", b, got)
		}
	})
}
