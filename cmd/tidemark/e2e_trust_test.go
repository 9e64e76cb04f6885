package main

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tidemark/catalog"
	"tidemark/keys"
	"tidemark/store"
)

// TestForgedPoint: a point that another key than its host's has signed is not
// shown, and that is said; what it would have stood in front of is.
func TestForgedPoint(t *testing.T) {
	needFUSE(t)
	s := newSite(t)
	s.history(t, "2019-07-01", "2019-07-18", "2019-07-19")
	s.forge(t, "2019-08-01T00:00:00Z", 9) // the latest
	s.forge(t, "2019-07-18T00:00:00Z", 1) // the first of its day

	m := s.mount(t)
	for _, look := range []func(path string) string{
		func(path string) string { return s.run(t, "ls", path).out },
		func(path string) string {
			if _, err := os.ReadDir(m.dir + "/" + path); errors.Is(err, fs.ErrNotExist) {
				return ""
			}
			return m.names(t, path) + "\n"
		},
	} {
		if got := look("daily/2019-08-01"); got != "" {
			t.Errorf("daily/2019-08-01, which is forged, has %q", got)
		}
		if got := look("daily/2019-07-18"); got != "app\n" {
			t.Errorf("daily/2019-07-18 has %q", got)
		}
	}
	if got := m.names(t, "daily"); got != "2019-07-01 2019-07-18 2019-07-19" {
		t.Errorf("once it is known to be forged it is still listed: %s", got)
	}
	for path, want := range map[string]string{"latest/app/file": "as of 2019-07-19", "daily/2019-07-18/app/file": "as of 2019-07-18"} {
		got := s.run(t, "cat", path)
		if got.code != exitOK || got.out != want {
			t.Errorf("cat %s: %+v, want %q", path, got, want)
		}
		wantSaid(t, "cat "+path, got.err, "warning: a point is not shown: ", "not signed by who may write it")
		if got := command(t, "cat", m.dir+"/"+path); got != want {
			t.Errorf("in the mount %s is %q, want %q", path, got, want)
		}
	}
	wantSaid(t, "the mount", m.said(), "a point is not shown: ", "not signed by who may write it")
	listed := s.run(t, "points")
	if strings.Count(listed.out, "\n") != 3 || strings.Contains(listed.out, "2019-08") {
		t.Errorf("points lists\n%s", listed.out)
	}
	wantSaid(t, "points", listed.err, "not signed by who may write it")
	// The next capture goes on from the newest that is true.
	next := s.run(t, "capture", "--time", "2019-08-02", "app="+s.sourceOf(t, "file", "next"))
	if next.code != exitOK || !strings.Contains(next.err, "not signed by who may write it") {
		t.Errorf("capture: %+v", next)
	}
	if got := s.run(t, "cat", "latest/app/file"); got.out != "next" {
		t.Errorf("after the next capture: %+v", got)
	}
}

// forge puts a point of the source app into the repository that is right in all
// but its signature: a key signed it that is no enrolled one.
func (s *site) forge(t *testing.T, at string, sequence uint64) {
	t.Helper()
	dir, err := store.OpenDir(s.repo)
	must(t, err)
	defer dir.Close()
	identity, err := os.ReadFile(s.identity)
	must(t, err)
	ids, err := keys.ParseIdentities(identity, keys.UI{})
	must(t, err)
	sealed, err := os.ReadFile(s.repo + "/keys/identity-1.age")
	must(t, err)
	secret, err := keys.OpenSecret(sealed, ids)
	must(t, err)
	roster := catalog.Roster{Objects: objects{dir}, Keys: catalog.SecretKeyring(secret)}
	hosts, _, err := roster.ReadHosts(t.Context())
	must(t, err)
	entries, _, err := roster.ReadPoints(t.Context(), hosts[0])
	must(t, err)
	real, err := roster.OpenPoint(t.Context(), hosts[0], entries[0])
	must(t, err)

	p := real.Point
	p.Time, err = time.Parse(time.RFC3339, at)
	must(t, err)
	p.Sequence, p.Set = sequence, []catalog.Member{{Source: p.Source, Sequence: sequence}}
	run, err := secret.NewRun(rand.Reader, hosts[0].Group)
	must(t, err)
	object, b, err := p.Seal(rand.Reader, catalog.PointArea, roster.Keys, run, secret.HostKey(1, "intruder"))
	must(t, err)
	must(t, os.WriteFile(s.repo+"/"+object, b, 0o600))
}

// TestExchangedPoints: a point's object that was put in the place of another is
// damage. It reads as an error that names it, and never as the other's files.
func TestExchangedPoints(t *testing.T) {
	needFUSE(t)
	s := newSite(t)
	s.history(t, "2019-07-18", "2019-07-19")
	other := newSite(t)
	other.history(t, "2019-07-20")
	web := s.on(t, "web")
	web.history(t, "2019-07-21")

	var ours string
	for name := range s.objects(t) {
		if strings.HasPrefix(name, "points/") && strings.Contains(name, "/20190719T") {
			ours = s.repo + "/" + name
		}
	}
	whole, err := os.ReadFile(ours)
	must(t, err)
	for _, from := range []*site{other, web} {
		for name := range from.objects(t) {
			if !strings.HasPrefix(name, "points/") || !strings.Contains(name, "/20190720T") && !strings.Contains(name, "/20190721T") {
				continue
			}
			b, err := os.ReadFile(from.repo + "/" + name)
			must(t, err)
			must(t, os.WriteFile(ours, b, 0o600))

			m := s.mountAt(t, t.TempDir())
			for _, view := range []string{"daily/2019-07-19/app", "latest/app"} {
				s.refused(t, exitFailed, []string{filepath.Base(ours), "damaged"}, "cat", view+"/file")
				out, err := english(t, "cat", m.dir+"/"+view+"/file").CombinedOutput()
				if err == nil || !strings.Contains(string(out), "Input/output error") {
					t.Errorf("cat %s in the mount: %q, %v", view, out, err)
				}
			}
			wantSaid(t, "the mount", m.said(), filepath.Base(ours))
			if got := command(t, "cat", m.dir+"/daily/2019-07-18/app/file"); got != "as of 2019-07-18" {
				t.Errorf("the day before is %q", got)
			}
		}
	}
	must(t, os.WriteFile(ours, whole, 0o600))
	if got := s.ok(t, "cat", "latest/app/file"); got != "as of 2019-07-19" {
		t.Errorf("when the object is back: %q", got)
	}
}
