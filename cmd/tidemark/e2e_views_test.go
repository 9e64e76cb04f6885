package main

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
)

// history makes points of the source app, each under its own date, in which
// the file says which it is.
func (s *site) history(t *testing.T, dates ...string) {
	t.Helper()
	for _, date := range dates {
		s.ok(t, "capture", "--time", date, "app="+s.sourceOf(t, "file", "as of "+date))
	}
}

// listed returns what "tidemark ls" lists, joined by spaces.
func (s *site) listed(t *testing.T, args ...string) string {
	t.Helper()
	return strings.Join(strings.Fields(s.ok(t, append([]string{"ls"}, args...)...)), " ")
}

// names returns the names in a directory of a mount, joined by spaces.
func (m *mounted) names(t *testing.T, path string) string {
	t.Helper()
	entries, err := os.ReadDir(m.dir + "/" + path)
	must(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

// TestViews: the commands and the mount arrange the same points in the same way.
func TestViews(t *testing.T) {
	needFUSE(t)
	s := newSite(t)
	s.history(t, "2019-07-18T00:30", "2019-07-18T00:45", "2019-07-18T13:00", "2019-07-19T02:00", "2019-08-01T02:00")
	s.ok(t, "capture", "--time", "2019-08-01T02:00", "db="+s.sourceOf(t, "file", "of the database"))
	s.ok(t, "capture", "--time", "2019-08-02", "--name", "before upgrade", "app="+s.sourceOf(t, "file", "named"))
	s.on(t, "web").ok(t, "capture", "--time", "2019-08-03", "www="+s.sourceOf(t, "file", "of the web"))

	m := s.mount(t)
	for path, want := range map[string]string{
		"hourly":               "2019-07-18T0000 2019-07-18T1300 2019-07-19T0200 2019-08-01T0200 2019-08-02T0000",
		"daily":                "2019-07-18 2019-07-19 2019-08-01 2019-08-02",
		"weekly":               "2019-W29 2019-W31",
		"monthly":              "2019-07 2019-08",
		"monthly/2019-08":      "app db",
		"latest":               "app db",
		"incomplete":           "",
		"pinned":               "before upgrade",
		"daily/2019-08-01":     "app db",
		"hosts":                "box web",
		"hosts/web/latest":     "www",
		"hosts/web/latest/www": "file",
	} {
		if got := s.listed(t, path); got != want {
			t.Errorf("tidemark ls %s: %s; want %s", path, got, want)
		}
		if got := m.names(t, path); got != want {
			t.Errorf("in the mount %s has %s; want %s", path, got, want)
		}
	}
	for path, want := range map[string]string{
		"daily/2019-07-18/app/file":                  "as of 2019-07-18T00:30", // as the day began
		"hourly/2019-07-18T1300/app/file":            "as of 2019-07-18T13:00",
		"weekly/2019-W29/app/file":                   "as of 2019-07-18T00:30",
		"monthly/2019-08/app/file":                   "as of 2019-08-01T02:00",
		"at/2019-07-18T004500/app/file":              "as of 2019-07-18T00:45", // what no other view shows
		"latest/app/file":                            "named",
		"latest/db/file":                             "of the database",
		"pinned/before upgrade/app/file":             "named",
		"hosts/web/latest/www/file":                  "of the web",
		"hosts/box/daily/2019-08-01/db/file":         "of the database",
		"hosts/web/at/2019-08-03T000000/www/../../x": "",
	} {
		if want == "" {
			s.refused(t, exitFailed, []string{"there is no"}, "cat", path)
			continue
		}
		if got := s.ok(t, "cat", path); got != want {
			t.Errorf("tidemark cat %s: %q, want %q", path, got, want)
		}
		if got := s.ok(t, "cat", m.dir+"/"+path); got != want {
			t.Errorf("tidemark cat %s, with the mount point: %q, want %q", path, got, want)
		}
		if got := command(t, "cat", m.dir+"/"+path); got != want {
			t.Errorf("in the mount %s is %q, want %q", path, got, want)
		}
	}
	s.ok(t, "restore", m.dir+"/daily/2019-08-01/db", s.dir+"/restored")
	silent(t, "diff", "-r", m.dir+"/latest/db/", s.dir+"/restored")
	if got := s.ok(t, "diff", m.dir+"/daily/2019-07-18/app", "latest/app", "--content"); got != "M file\n" {
		t.Errorf("diff with the mount point before a path: %q", got)
	}
	if readme := command(t, "cat", m.dir+"/README.txt"); !strings.Contains(readme, m.dir+"/daily/2019-08-02/app") {
		t.Errorf("README.txt does not show how to look at %s:\n%s", m.dir, readme)
	}
	// At the top stand the points of this machine, or of the one that is asked for.
	if got := s.listed(t, "--host", "web", "daily"); got != "2019-08-03" {
		t.Errorf("daily/ of web: %s", got)
	}
	stranger := s.on(t, "stranger")
	if got := stranger.listed(t); got != "hosts" {
		t.Errorf("a machine without points, of several: %s", got)
	}
	stranger.refused(t, exitFailed, []string{"points of several hosts, and none of this machine", "try: hosts/HOST/daily"}, "ls", "daily")
}

// TestTimeZone: the configuration says where days begin, and an hour that comes
// twice is two.
func TestTimeZone(t *testing.T) {
	needFUSE(t)
	s := newSite(t)
	s.configure(t, "time-zone: Europe/Berlin\n")
	s.history(t, "2025-10-26T00:30Z", "2025-10-26T01:30Z", "2025-10-26T12:00", "2025-12-31T23:30Z")
	m := s.mount(t)
	for path, want := range map[string]string{
		"hourly":  "2025-10-26T0200+0200 2025-10-26T0200b+0100 2025-10-26T1200 2026-01-01T0000",
		"daily":   "2025-10-26 2026-01-01",
		"monthly": "2025-10 2026-01",
		"weekly":  "2025-W43 2026-W01",
	} {
		if got := s.listed(t, path); got != want {
			t.Errorf("tidemark ls %s: %s; want %s", path, got, want)
		}
		if got := m.names(t, path); got != want {
			t.Errorf("in the mount %s has %s; want %s", path, got, want)
		}
	}
	if got := strings.Join(strings.Fields(s.ok(t, "points")), " "); !strings.Contains(got, "at/2025-10-26T120000/app 2025-10-26 12:00:00 ") {
		t.Errorf("the points are %s", got)
	}
	s.configure(t, "")
	if got, want := s.listed(t, "hourly"), "2025-10-26T0000 2025-10-26T0100 2025-10-26T1100 2025-12-31T2300"; got != want {
		t.Errorf("in UTC hourly/ has %s; want %s", got, want)
	}
}

// TestListings: what is listed for people and for programs is the same.
func TestListings(t *testing.T) {
	s := newSite(t)
	dir := s.sourceOf(t, "sub/same", "same")
	s.sourceOf(t, "goes", "x")
	s.sourceOf(t, "changes", "x")
	s.ok(t, "capture", "--time", "2026-01-01", "app="+dir)
	must(t, os.Remove(dir+"/goes"))
	s.sourceOf(t, "changes", "y")
	s.sourceOf(t, "sub/\xff\n", "new")
	must(t, os.Symlink("../x", dir+"/sub/link"))

	var captured struct {
		Source   string
		Files    int
		Complete bool
	}
	oneJSON(t, s.ok(t, "capture", "--json", "--time", "2026-01-02", "app="+dir), &captured)
	if captured.Source != "app" || captured.Files != 3 || !captured.Complete {
		t.Errorf("capture --json: %+v", captured)
	}

	type point struct {
		Path, Host, Source, Time string
		Sequence                 int
	}
	want := []point{
		{"at/2026-01-01T000000/app", "box", "app", "2026-01-01T00:00:00Z", 1},
		{"at/2026-01-02T000000/app", "box", "app", "2026-01-02T00:00:00Z", 2},
	}
	if got := jsonLines[point](t, s.ok(t, "points", "--json")); !slices.Equal(got, want) {
		t.Errorf("points --json: %+v", got)
	}
	if got := strings.Count(s.ok(t, "points"), "\n"); got != 2 {
		t.Errorf("points lists %d", got)
	}

	type node struct {
		Path      string
		PathBytes string `json:"path_bytes"`
		Type      string
		Size      int
		Target    string
	}
	base := "latest/app/sub/"
	nodes := []node{
		{Path: base + "link", Type: "symlink", Target: "../x"},
		{Path: base + "same", Type: "file", Size: 4},
		{Path: base + "\uFFFD\n", PathBytes: base64.StdEncoding.EncodeToString([]byte(base + "\xff\n")), Type: "file", Size: 3},
	}
	if got := jsonLines[node](t, s.ok(t, "ls", "--json", "latest/app/sub")); !slices.Equal(got, nodes) {
		t.Errorf("ls --json: %+v", got)
	}
	if got := s.ok(t, "ls", "-l", "latest/app/sub/link"); !strings.HasPrefix(got, "lrwxrwxrwx ") || !strings.Contains(got, " 4 20") || !strings.HasSuffix(got, " latest/app/sub/link -> ../x\n") {
		t.Errorf("ls -l: %q", got)
	}
	if got := s.ok(t, "ls", "-R", "latest/app"); got != "changes\nsub\nsub/link\nsub/same\nsub/\xff\n\n" {
		t.Errorf("ls -R: %q", got)
	}

	days := []string{"diff", "daily/2026-01-01/app", "daily/2026-01-02/app"}
	if got := s.ok(t, append(days, "--content")...); got != "M changes\n- goes\n+ sub/link\n+ sub/\xff\n\n" {
		t.Errorf("diff: %q", got)
	}
	type change struct{ Path, Change string }
	changes := []change{{"changes", "modified"}, {"goes", "removed"}, {"sub/link", "added"}, {"sub/\uFFFD\n", "added"}}
	if got := jsonLines[change](t, s.ok(t, append(days, "--content", "--json")...)); !slices.Equal(got, changes) {
		t.Errorf("diff --json: %+v", got)
	}
	if got := s.run(t, append(days, "--exit-code")...); got.code != exitDiffer || got.err != "" {
		t.Errorf("diff --exit-code: %+v", got)
	}
	s.ok(t, "diff", "latest/app", "daily/2026-01-02/app", "--exit-code")

	// Options may stand anywhere; the last one counts.
	if got := s.with(envRepository+"=/nowhere").ok(t, "cat", "-r", "/elsewhere", "latest/app/changes", "-r", s.repo, "-q"); got != "y" {
		t.Errorf("cat with options around its arguments: %q", got)
	}
}

// oneJSON reads a line of JSON.
func oneJSON(t *testing.T, text string, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), v); err != nil || strings.Count(text, "\n") != 1 {
		t.Fatalf("%q is no line of JSON: %v", text, err)
	}
}

func jsonLines[T any](t *testing.T, text string) (all []T) {
	t.Helper()
	for line := range strings.Lines(text) {
		var v T
		oneJSON(t, line, &v)
		all = append(all, v)
	}
	return all
}

// TestNewPointAppears: a mount shows new points by itself, and who is in an old
// one stays there.
func TestNewPointAppears(t *testing.T) {
	needFUSE(t)
	s := newSite(t)
	s.history(t, "2019-07-18")
	m := s.mount(t)
	inside, err := os.Open(m.root(t, "latest/app"))
	must(t, err)
	defer inside.Close()
	if got := m.names(t, "daily"); got != "2019-07-18" { // the kernel and the mount have looked
		t.Fatalf("daily/ has %s", got)
	}

	s.history(t, "2019-07-19")
	s.ok(t, "capture", "--time", "2019-07-19", "db="+s.dir+"/source")
	eventually(t, "the new points are in the mount", func() bool {
		text, err := os.ReadFile(m.dir + "/latest/app/file")
		must(t, err)
		return m.names(t, "daily") == "2019-07-18 2019-07-19" && m.names(t, "latest") == "app db" && string(text) == "as of 2019-07-19"
	})
	if names, err := inside.Readdirnames(-1); err != nil || !slices.Equal(names, []string{"file"}) {
		t.Errorf("who was in the point before sees %q, %v", names, err)
	}
	if said := m.said(); strings.Count(said, "\n") != 1 {
		t.Errorf("the mount says more than that it is there:\n%s", said)
	}
}

// TestIncompletePoint: a point without all that it should have shows apart from
// the others, says what it lacks, and gives out the rest.
func TestIncompletePoint(t *testing.T) {
	needFUSE(t)
	needRoot(t, "making files that another user cannot read")
	s := newEmptySite(t)
	recipient := s.newIdentity(t, "identity")
	source := s.sourceOf(t, "mine", "text")
	s.sourceOf(t, "not mine", "secret")
	s.sourceOf(t, "closed/file", "secret")
	s.belongTo(t, nobody)
	must(t, os.Chown(source+"/not mine", 0, 0))
	must(t, os.Chown(source+"/closed", 0, 0))
	user := s.through(asUser(nobody)...)
	user.ok(t, "init", "--to", recipient)

	got := user.run(t, "capture", "app="+source)
	if got.code != exitPartial {
		t.Errorf("of what it may not read: exit code %d", got.code)
	}
	wantSaid(t, "capture", got.err, "'"+source+"/not mine': permission denied", source+"/closed: permission denied",
		"the point of app is incomplete", "some files could not be read whole, in: app")
	for _, view := range []string{"latest", "daily", "hourly", "at"} {
		if got := user.listed(t, view); got != "" {
			t.Errorf("%s/ shows it: %s", view, got)
		}
	}

	point := "incomplete/" + user.listed(t, "incomplete") + "/app"
	lacks := []string{"could not be captured", "permission denied"}
	user.refused(t, exitFailed, lacks, "cat", point+"/not mine")
	user.refused(t, exitFailed, lacks, "ls", point+"/closed")
	if got := user.ok(t, "cat", point+"/mine"); got != "text" {
		t.Errorf("the rest is %q", got)
	}
	if got := user.ok(t, "ls", "-l", point); strings.Count(got, "(not captured: permission denied)") != 2 {
		t.Errorf("ls -l: %s", got)
	}
	m := s.mount(t)
	if got := m.names(t, point); got != "closed mine not mine" {
		t.Errorf("in the mount there are %s", got)
	}
	for _, argv := range [][]string{{"cat", m.dir + "/" + point + "/not mine"}, {"ls", m.dir + "/" + point + "/closed"}} {
		if out, err := english(t, argv...).CombinedOutput(); err == nil || !strings.Contains(string(out), "Input/output error") {
			t.Errorf("%q: %s, %v", argv, out, err)
		}
	}
	target := s.dir + "/restored"
	got = user.run(t, "restore", point, target)
	if got.code != exitPartial {
		t.Errorf("restore: exit code %d", got.code)
	}
	wantSaid(t, "restore", got.err, point+"/closed: ", "'"+point+"/not mine': ", "2 of 4 entries failed")
	if got := command(t, "ls", target); got != "mine\n" {
		t.Errorf("restored are %s", got)
	}

	command(t, "chown", "-R", "65534", source)
	user.ok(t, "capture", "app="+source)
	if got := user.ok(t, "cat", "latest/app/not mine", "latest/app/closed/file"); got != "secretsecret" {
		t.Errorf("once it may be read it is %q", got)
	}
}
