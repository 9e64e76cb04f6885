package fusefs_test

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tidemark/catalog"
	"tidemark/fusefs"
)

// a tree of one file that says what it is.
func (r *repo) said(text string) *catalog.Tree {
	return r.tree(dirEntry("", fileEntry("says", []byte(text))))
}

func says(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path + "/says")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestViews(t *testing.T) {
	r := newRepo(t)
	w := newWorld(testHost)
	w.zone, _ = time.LoadLocation("Europe/Berlin")
	if w.zone == nil {
		w.zone = time.FixedZone("CET", 3600)
	}
	day := func(d, h int) time.Time { return time.Date(2026, 11, d, h, 30, 15, 0, w.zone) }
	w.add(testHost, "app", day(18, 1), r.said("app 18 first"))
	w.add(testHost, "app", day(18, 5), r.said("app 18 later"))
	w.add(testHost, "db", day(18, 5), r.said("db 18"))
	w.add(testHost, "app", day(19, 0), r.said("app 19"), func(p *catalog.Seen) { p.Name.Complete = false })
	w.add(testHost, "app", day(20, 7), r.said("app 20"))
	w.add("other", "app", day(20, 8), r.said("another's"))
	w.fail("broken") // which keeps nobody from the others
	dir := serve(t, fusefs.Config{}, w, r)

	for path, want := range map[string]string{
		"":                                  "README.txt daily hosts hourly incomplete latest monthly pinned weekly",
		"/hosts":                            "broken other web1",
		"/hosts/web1":                       "daily hourly incomplete latest monthly pinned weekly",
		"/hosts/other/daily":                "2026-11-20",
		"/hourly":                           "2026-11-18T0100 2026-11-18T0500 2026-11-20T0700",
		"/daily":                            "2026-11-18 2026-11-20",
		"/weekly":                           "2026-W47",
		"/monthly":                          "2026-11",
		"/latest":                           "app db",
		"/latest/app/":                      "says",
		"/incomplete":                       "2026-11-19T003015",
		"/incomplete/2026-11-19T003015/app": "says",
		"/pinned":                           "",
		"/at":                               "2026-11-18T013015 2026-11-18T053015 2026-11-20T073015",
		"/daily/2026-11-18":                 "app db",
		"/daily/2026-11-18/app":             "says",
		"/hourly/2026-11-18T0100":           "app",
		"/at/2026-11-18T053015":             "app db",
		"/hosts/other/latest/app/.":         "says",
	} {
		if got := names(t, dir+path); got != want {
			t.Errorf("%s lists %q; want %q", path, got, want)
		}
	}
	for path, want := range map[string]string{
		"/daily/2026-11-18/app":             "app 18 first",
		"/daily/2026-11-18/db":              "db 18",
		"/hourly/2026-11-18T0500/app":       "app 18 later",
		"/weekly/2026-W47/app":              "app 18 first",
		"/latest/app":                       "app 20",
		"/latest/db":                        "db 18",
		"/incomplete/2026-11-19T003015/app": "app 19",
		"/hosts/other/latest/app":           "another's",
		"/hosts/web1/daily/2026-11-20/app":  "app 20",
	} {
		if got := says(t, dir+path); got != want {
			t.Errorf("%s is %q; want %q", path, got, want)
		}
	}
	for _, path := range []string{"/none", "/daily/2026-11-19", "/daily/2026-11-20/db", "/hosts/nobody", "/latest/none",
		"/at/2026-11-19T003015", "/daily/2026-11-20/app/none", "/README.txt/x", "/hosts/web1/README.txt", "/hosts/web1/hosts"} {
		if _, err := os.Lstat(dir + path); !errors.Is(err, os.ErrNotExist) && !errors.Is(err, unix.ENOTDIR) {
			t.Errorf("%s: %v", path, err)
		}
	}
	for path, want := range map[string]time.Time{
		"":                        day(20, 7),
		"/daily":                  day(20, 7),
		"/daily/2026-11-18":       day(18, 5), // of the newest in it
		"/hourly/2026-11-18T0100": day(18, 1),
		"/latest/db":              day(18, 5),
		"/incomplete":             day(19, 0),
		"/hosts/web1/daily":       day(20, 7),
		"/README.txt":             day(20, 7),
	} {
		info, err := os.Lstat(dir + path)
		if err != nil || !info.ModTime().Equal(want) {
			t.Errorf("%s is of %v, %v; want %v", path, info.ModTime(), err, want)
		}
	}
	_, err := os.ReadDir(dir + "/hosts/broken")
	wantErrno(t, "a host whose views cannot be had", err, unix.EIO)
	if target, err := os.Readlink(dir + "/latest/app"); target != "../at/2026-11-20T073015/app" {
		t.Errorf("latest/app leads to %q, %v", target, err)
	}
	if got, want := run(t, dir, `cd -P $m/latest/app && pwd -P`), dir+"/at/2026-11-20T073015/app\n"; got != want {
		t.Errorf("latest/app is at %q; want %q", got, want)
	}
}

func TestPinned(t *testing.T) {
	r := newRepo(t)
	w := newWorld(testHost)
	named := func(p *catalog.Seen) { p.Name.Named, p.Title = true, "before deploy" }
	w.add(testHost, "app", noon, r.said("pinned"), named)
	w.add(testHost, "app", noon.Add(time.Hour), r.said("later"))
	dir := serve(t, fusefs.Config{}, w, r)
	if got := says(t, dir+"/pinned/before deploy/app"); got != "pinned" {
		t.Errorf("the pinned point is %q", got)
	}
}

// TestNewPoint sees a point that was not there a moment ago, though the kernel
// was told what there was then.
func TestNewPoint(t *testing.T) {
	r := newRepo(t)
	w := oneWorld(r.said("old"))
	dir := serve(t, fusefs.Config{}, w, r)
	if got := names(t, dir+"/daily"); got != "2026-11-20" {
		t.Fatalf("daily lists %q", got)
	}
	if got := says(t, dir+"/latest/app"); got != "old" {
		t.Fatalf("latest is %q", got)
	}
	tomorrow := dir + "/daily/2026-11-21"
	if _, err := os.Stat(tomorrow); !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	held, err := os.Open(dir + "/latest/app")
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()

	w.add(testHost, "app", noon.AddDate(0, 0, 1), r.said("new"))
	if got := says(t, tomorrow+"/app"); got != "new" {
		t.Errorf("the new point is %q", got)
	}
	if got := names(t, dir+"/daily"); got != "2026-11-20 2026-11-21" {
		t.Errorf("daily lists %q", got)
	}
	within(t, 3*time.Second, "latest is the new point", func() bool { return says(t, dir+"/latest/app") == "new" })
	// Who went in before stays where he was.
	fd, err := unix.Openat(int(held.Fd()), "says", unix.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	b := make([]byte, 10)
	if n, err := unix.Read(fd, b); string(b[:max(n, 0)]) != "old" {
		t.Errorf("an open directory of the old point says %q, %v", b[:max(n, 0)], err)
	}
}

// TestReplacedPoint has another point take the place of one, as the first whole
// set of a period does: who looks again finds it, who is inside stays.
func TestReplacedPoint(t *testing.T) {
	r := newRepo(t)
	w := newWorld(testHost)
	old := w.add(testHost, "app", noon, r.said("old"))
	dir := serve(t, fusefs.Config{}, w, r)
	if got := says(t, dir+"/"+onlyPoint); got != "old" {
		t.Fatal(got)
	}
	held, err := os.Open(dir + "/" + onlyPoint + "/says")
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	w.add(testHost, "app", noon.Add(time.Hour), r.said("new"))
	w.remove(testHost, old)
	within(t, 3*time.Second, "the new point is there", func() bool { return says(t, dir+"/"+onlyPoint) == "new" })
	b := make([]byte, 10)
	if n, err := held.ReadAt(b, 0); string(b[:n]) != "old" {
		t.Errorf("who was inside reads %q, %v", b[:n], err)
	}
}

// within waits until what is so, and fails the test if that takes too long.
func within(t *testing.T, limit time.Duration, what string, so func() bool) {
	t.Helper()
	deadline, tick := time.After(limit), time.NewTicker(20*time.Millisecond)
	defer tick.Stop()
	for !so() {
		select {
		case <-deadline:
			t.Fatalf("after %v it is still not so that %s", limit, what)
		case <-tick.C:
		}
	}
}

// TestForgedPoint puts points that nobody signed in front of the right one.
func TestForgedPoint(t *testing.T) {
	r := newRepo(t)
	w := newWorld(testHost)
	early := func(n int) func(*catalog.Seen) {
		return func(p *catalog.Seen) { p.Name.Sequence = uint64(n) }
	}
	for n := range 5 {
		w.add(testHost, "app", noon, nil, early(1+n))
	}
	w.add(testHost, "app", noon.Add(time.Hour), r.said("right"), early(9))
	w.add(testHost, "app", noon.AddDate(0, 0, 1), nil)
	dir := serve(t, fusefs.Config{}, w, r)

	if got := says(t, dir+"/latest/app"); got != "right" { // the newest is forged
		t.Errorf("the latest is %q", got)
	}
	if got := says(t, dir+"/daily/2026-11-20/app"); got != "right" {
		t.Errorf("behind the forged points is %q", got)
	}
	if got, err := os.ReadDir(dir + "/daily/2026-11-21"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a day of a forged point lists %v, %v", got, err)
	}
	if got := says(t, dir+"/latest/app"); got != "right" {
		t.Errorf("the latest is %q", got)
	}
	if got := names(t, dir+"/daily"); got != "2026-11-20" {
		t.Errorf("daily lists %q", got)
	}
}

// TestBrokenPoint has a point that cannot be opened: it stays where it is, an
// error, and no other takes its place.
func TestBrokenPoint(t *testing.T) {
	r := newRepo(t)
	w := newWorld(testHost)
	first := w.add(testHost, "app", noon, r.said("first"))
	w.add(testHost, "app", noon.Add(time.Minute), r.said("second"))
	w.add(testHost, "db", noon, r.said("db"))
	w.breakPoint(first, errors.New("points/x: damaged"))
	dir := serve(t, fusefs.Config{}, w, r)
	period := dir + "/daily/2026-11-20"
	if got := names(t, period); got != "app db" {
		t.Errorf("it lists %q", got)
	}
	_, err := os.Stat(period + "/app")
	wantErrno(t, "stat of the broken point", err, unix.EIO)
	_, err = os.ReadDir(period + "/app")
	wantErrno(t, "listing the broken point", err, unix.EIO)
	if got := says(t, period+"/db"); got != "db" {
		t.Errorf("db is %q", got)
	}
	w.breakPoint(first, nil)
	if got := says(t, period+"/app"); got != "first" {
		t.Errorf("afterwards it is %q", got)
	}
}

// TestListingOpensNothing lists a view with the attributes of its directories,
// which must not cost a request a point.
func TestListingOpensNothing(t *testing.T) {
	r := newRepo(t)
	w := newWorld(testHost)
	tree := r.said("x")
	var object string
	for d := range 50 {
		object = w.add(testHost, "app", noon.AddDate(0, 0, d), tree)
	}
	dir := serve(t, fusefs.Config{}, w, r)
	run(t, dir, `ls -l $m $m/daily $m/at >/dev/null; ls $m/latest $m/hosts/*`)
	w.mu.Lock()
	if len(w.opened) > 0 {
		t.Errorf("%d points were opened", len(w.opened))
	}
	w.mu.Unlock()
	run(t, dir, `cat $m/latest/app/says $m/latest/app/says; ls -lR $m/latest/ >/dev/null`)
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.opened) != 1 || w.opened[object] != 1 {
		t.Errorf("opened: %v; want one, once", w.opened)
	}
}

// TestReadme runs what README.txt tells people to run.
func TestReadme(t *testing.T) {
	r := newRepo(t)
	const odd = "it's a source"
	two := func() *world {
		w := newWorld(testHost)
		w.add(testHost, odd, noon, r.said("old"))
		w.add(testHost, odd, noon.AddDate(0, 0, 1), r.said("new"))
		return w
	}
	nobody := two()
	nobody.top = ""
	nobody.add("db1", "db", noon, r.said("db"))
	all := two()
	all.add("db1", "db", noon, r.said("db"))
	for _, tt := range []struct {
		name     string
		w        *world
		commands int
		want     string
	}{
		{"the only host", two(), 3, "These are the points of host web1, the only one."},
		{"one of two hosts", all, 3, "hosts/ has those of every host: db1, web1."},
		{"no host is this one", nobody, 1, "hosts/HOST: db1, web1."},
		{"nothing yet", newWorld(""), 0, "No host has been captured yet."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			needFUSE(t)
			dir := t.TempDir() + "/a mount"
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			serveAt(t, dir, fusefs.Config{}, tt.w, r)
			readme, err := os.ReadFile(dir + "/README.txt")
			if err != nil {
				t.Fatal(err)
			}
			text := string(readme)
			if !strings.Contains(text, tt.want) {
				t.Errorf("it does not say %q:\n%s", tt.want, text)
			}
			info, err := os.Stat(dir + "/README.txt")
			if err != nil || info.Size() != int64(len(text)) {
				t.Errorf("its size is %d, %v; it has %d bytes", info.Size(), err, len(text))
			}
			var commands []string
			for line := range strings.Lines(text) {
				if command, ok := strings.CutPrefix(line, "    "); ok && !strings.HasPrefix(command, "(") {
					commands = append(commands, strings.TrimSpace(command))
				}
			}
			if len(commands) != tt.commands {
				t.Errorf("%d commands; want %d:\n%s", len(commands), tt.commands, text)
			}
			for _, command := range commands {
				out, err := runErr(t, dir, "cd "+quoted(t.TempDir())+" && "+command+" && ls -R")
				if fails := strings.HasPrefix(command, "diff"); (err != nil) != fails {
					t.Errorf("%s: %v\n%s", command, err, out)
				}
			}
			if names(t, dir) == "README.txt hosts" != (tt.w.top == "") {
				t.Errorf("the top lists %s", names(t, dir))
			}
		})
	}
}
