package catalog_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"tidemark/catalog"
	"tidemark/keys"
)

// seen returns a point of source. what is as in points' names, "c1"; the run
// follows from the time, so points of one time are one set.
func seen(t *testing.T, source string, sequence uint64, at, what string) catalog.Seen {
	t.Helper()
	when := instant(t, at)
	run := keys.RunID{byte(when.Unix() >> 24), byte(when.Unix() >> 16), byte(when.Unix() >> 8), byte(when.Unix())}
	name, err := catalog.ParsePointName(fmt.Sprintf("%s-%010d-%s-%s", when.Format("20060102T150405Z"), sequence, what, run))
	if err != nil {
		t.Fatal(err)
	}
	return seenAs(source, name)
}

func seenAs(source string, name catalog.PointName) catalog.Seen {
	return catalog.Seen{Source: source, Name: name, Object: fmt.Sprintf("points/host/%s/%s", source, name)}
}

// listing writes a view as lines: a directory, and of each source the
// sequence of its point.
func listing(dirs []catalog.Shown) string {
	var lines []string
	for _, dir := range dirs {
		line := dir.Name + ":"
		for _, p := range dir.Points {
			line += fmt.Sprintf(" %s=%d", p.Source, p.Name.Sequence)
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

func about(p catalog.Seen, kind catalog.MarkKind, sec int64) catalog.Mark {
	return catalog.Mark{
		Signer: catalog.ByRepository, Kind: kind, Host: "host", Source: p.Source, Point: p.Name, Time: catalog.Time{Sec: sec},
	}
}

func TestArrangePeriods(t *testing.T) {
	point := func(source string, sequence uint64, at, what string) catalog.Seen {
		return seen(t, source, sequence, "2026-11-20T"+at+"Z", what)
	}
	for _, tt := range []struct {
		name    string
		points  []catalog.Seen
		suspect []int // indexes of points
		want    string
	}{
		{"nothing", nil, nil, ""},
		{"the first of the day", []catalog.Seen{
			point("app", 1, "02:00:00", "c1"),
			point("app", 2, "03:00:00", "c1"),
		}, nil, "2026-11-20: app=1"},
		{"by sequence, not by clock", []catalog.Seen{
			point("app", 8, "02:00:00", "c1"),
			point("app", 7, "03:00:00", "c1"),
		}, nil, "2026-11-20: app=7"},
		{"an incomplete point is passed over", []catalog.Seen{
			point("app", 1, "02:00:00", "i1"),
			point("app", 2, "03:00:00", "c1"),
		}, nil, "2026-11-20: app=2"},
		{"and is never shown", []catalog.Seen{
			point("app", 1, "02:00:00", "i1"),
		}, nil, ""},
		{"each source has a schedule of its own", []catalog.Seen{
			point("app", 1, "02:00:00", "c1"),
			point("db", 5, "02:30:00", "c1"),
			point("db", 6, "03:30:00", "c1"),
		}, nil, "2026-11-20: app=1 db=5"},
		{"a suspect point is passed over", []catalog.Seen{
			point("app", 1, "02:00:00", "c1"),
			point("app", 2, "03:00:00", "c1"),
		}, []int{0}, "2026-11-20: app=2"},
		{"unless it is the only one", []catalog.Seen{
			point("app", 1, "02:00:00", "c1"),
			point("app", 2, "03:00:00", "c1"),
		}, []int{0, 1}, "2026-11-20: app=1"},
		{"a whole set", []catalog.Seen{
			point("app", 1, "02:00:00", "c2"), point("db", 5, "02:00:00", "c2"),
			point("app", 2, "03:00:00", "c2"), point("db", 6, "03:00:00", "c2"),
		}, nil, "2026-11-20: app=1 db=5"},
		{"the first whole set", []catalog.Seen{
			point("app", 1, "02:00:00", "c2"), point("db", 5, "02:00:00", "i2"),
			point("app", 2, "03:00:00", "c2"), point("db", 6, "03:00:00", "c2"),
		}, nil, "2026-11-20: app=2 db=6"},
		{"a set is not whole before all its points are there", []catalog.Seen{
			point("app", 1, "02:00:00", "c2"),
			point("app", 2, "03:00:00", "c2"), point("db", 6, "03:00:00", "c2"),
		}, nil, "2026-11-20: app=2 db=6"},
		{"a complete point of a set that is not whole stands in", []catalog.Seen{
			point("app", 1, "02:00:00", "c2"), point("db", 5, "02:00:00", "i2"),
			point("app", 2, "03:00:00", "c2"), point("db", 6, "03:00:00", "i2"),
		}, nil, "2026-11-20: app=1"},
		{"a set with a suspect is not whole", []catalog.Seen{
			point("app", 1, "02:00:00", "c2"), point("db", 5, "02:00:00", "c2"),
			point("app", 2, "03:00:00", "c2"), point("db", 6, "03:00:00", "c2"),
		}, []int{1}, "2026-11-20: app=2 db=6"},
		{"what stands in is not suspect", []catalog.Seen{
			point("app", 1, "02:00:00", "c1"),
			point("app", 2, "03:00:00", "c2"), point("db", 6, "03:00:00", "i2"),
		}, []int{0}, "2026-11-20: app=2"},
		{"a point of its own comes before the set", []catalog.Seen{
			point("app", 1, "01:00:00", "c1"),
			point("app", 2, "02:00:00", "c2"), point("db", 5, "02:00:00", "c2"),
		}, nil, "2026-11-20: app=1 db=5"},
		{"another day, another directory", []catalog.Seen{
			point("app", 1, "02:00:00", "c1"),
			seen(t, "app", 2, "2026-11-22T00:00:00Z", "c1"),
			seen(t, "db", 2, "2026-11-21T23:59:59Z", "c1"),
		}, nil, "2026-11-20: app=1\n2026-11-21: db=2\n2026-11-22: app=2"},
		{"more points than a set has do not make it less whole", []catalog.Seen{
			point("app", 1, "02:00:00", "c2"), point("db", 5, "02:00:00", "c2"), point("forged", 9, "02:00:00", "c2"),
			point("db", 6, "02:00:00", "c2"),
			point("app", 2, "03:00:00", "c2"), point("db", 7, "03:00:00", "c2"),
		}, nil, "2026-11-20: app=1 db=5 forged=9"},
		{"two points of one source are not two of a set", []catalog.Seen{
			point("app", 1, "02:00:00", "c2"), point("app", 2, "02:00:00", "c2"),
			point("app", 3, "03:00:00", "c1"),
		}, nil, "2026-11-20: app=3"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var marks []catalog.Mark
			for _, i := range tt.suspect {
				marks = append(marks, about(tt.points[i], catalog.Suspect, 1))
			}
			views := catalog.Arrange(tt.points, catalog.Weigh(marks, catalog.Time{Sec: 2}), time.UTC)
			if got := listing(views.Daily); got != tt.want {
				t.Errorf("Daily:\n%s\nwant:\n%s", got, tt.want)
			}
		})
	}
}

func TestArrangeEveryView(t *testing.T) {
	points := []catalog.Seen{
		seen(t, "app", 1, "2026-10-24T23:30:00Z", "c1"),
		seen(t, "app", 2, "2026-10-25T00:00:00Z", "c1"),
		seen(t, "app", 3, "2026-10-25T01:00:00Z", "c1"),
		seen(t, "app", 4, "2026-10-25T01:30:00Z", "i1"),
		seen(t, "db", 2, "2026-10-25T01:30:00Z", "i2"),
		seen(t, "app", 5, "2026-10-26T00:00:00Z", "c1"),
		seen(t, "app", 6, "2026-11-01T00:00:00Z", "c1"),
		seen(t, "db", 1, "2026-10-25T01:30:00Z", "i1"),
	}
	marks := catalog.Weigh([]catalog.Mark{about(points[6], catalog.Suspect, 1)}, catalog.Time{Sec: 2})
	views := catalog.Arrange(points, marks, zone(t, "Europe/Berlin"))
	for _, tt := range []struct{ name, got, want string }{
		{"Hourly", listing(views.Hourly), "2026-10-25T0100: app=1\n2026-10-25T0200+0200: app=2\n2026-10-25T0200b+0100: app=3\n" +
			"2026-10-26T0100: app=5\n2026-11-01T0100: app=6"},
		{"Daily", listing(views.Daily), "2026-10-25: app=1\n2026-10-26: app=5\n2026-11-01: app=6"},
		{"Weekly", listing(views.Weekly), "2026-W43: app=1\n2026-W44: app=5"},
		{"Monthly", listing(views.Monthly), "2026-10: app=1\n2026-11: app=6"},
		{"Incomplete", listing(views.Incomplete), "2026-10-25T023000+0100: app=4 db=2"},
		{"Latest", listing([]catalog.Shown{{Name: "latest", Points: views.Latest}}), "latest: app=5"},
	} {
		if tt.got != tt.want {
			t.Errorf("%s:\n%s\nwant:\n%s", tt.name, tt.got, tt.want)
		}
	}
}

func TestArrangeLatest(t *testing.T) {
	app := []catalog.Seen{
		seen(t, "app", 1, "2026-11-20T02:00:00Z", "c1"),
		seen(t, "app", 3, "2026-11-18T02:00:00Z", "c2"), // the clock was wrong, and db failed
		seen(t, "app", 4, "2026-11-21T02:00:00Z", "i1"),
		seen(t, "db", 9, "2026-11-20T02:00:00Z", "c1"),
	}
	for _, tt := range []struct {
		name    string
		suspect []int
		want    string
	}{
		{"the highest sequence", nil, "latest: app=3 db=9"},
		{"a suspect is passed over", []int{1}, "latest: app=1 db=9"},
		{"unless all are", []int{0, 1, 3}, "latest: app=3 db=9"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var marks []catalog.Mark
			for _, i := range tt.suspect {
				marks = append(marks, about(app[i], catalog.Suspect, 1))
			}
			views := catalog.Arrange(app, catalog.Weigh(marks, catalog.Time{Sec: 2}), time.UTC)
			if got := listing([]catalog.Shown{{Name: "latest", Points: views.Latest}}); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestArrangePinned(t *testing.T) {
	titled := func(p catalog.Seen, title string) catalog.Seen { p.Title = title; return p }
	points := []catalog.Seen{
		titled(seen(t, "app", 1, "2026-11-20T02:00:00Z", "c2n"), "before upgrade"),
		titled(seen(t, "db", 1, "2026-11-20T02:00:00Z", "c2n"), "before upgrade"),
		titled(seen(t, "app", 2, "2026-11-21T02:00:00Z", "c2n"), "before upgrade"),
		titled(seen(t, "files", 2, "2026-11-21T02:00:00Z", "c2n"), "before upgrade"),
		seen(t, "app", 3, "2026-11-22T02:00:00Z", "c1n"),                       // not opened yet
		titled(seen(t, "app", 4, "2026-11-23T02:00:00Z", "i1n"), "incomplete"), // shown elsewhere
		seen(t, "app", 5, "2026-11-24T02:00:00Z", "c1"),
		seen(t, "app", 6, "2026-11-25T02:00:00Z", "c1"),
		titled(seen(t, "app", 7, "2026-11-26T02:00:00Z", "c1n"), "let go"),
		titled(seen(t, "app", 8, "2026-11-27T02:00:00Z", "c1n"), "kept after all"),
	}
	pin := func(p catalog.Seen, name string) catalog.Mark {
		m := about(p, catalog.Pin, p.Name.Time.Unix()+100)
		m.Text = name
		return m
	}
	unpin := func(p catalog.Seen, after int64) catalog.Mark {
		return about(p, catalog.Unpin, p.Name.Time.Unix()+after)
	}
	marks := catalog.Weigh([]catalog.Mark{
		pin(points[6], "audit"), pin(points[6], "2026"), pin(points[7], ""),
		unpin(points[8], 1),
		unpin(points[9], 1), pin(points[9], "kept after all"),
		about(points[0], catalog.Suspect, 1), // what is pinned is shown all the same
	}, catalog.Time{Sec: 2e9})
	want := strings.Join([]string{
		"2026: app=5",
		"2026-11-25T020000: app=6",
		"audit: app=5",
		"before upgrade: app=1 db=1",
		"before upgrade@2026-11-21T020000: app=2 files=2",
		"kept after all: app=8",
	}, "\n")
	if got := listing(catalog.Arrange(points, marks, time.UTC).Pinned); got != want {
		t.Errorf("Pinned:\n%s\nwant:\n%s", got, want)
	}
}

// A history makes the points of three sources, alone and in sets, whole and
// not, by a clock that is set now and then; in the order in which they were
// stored.
func history(random *rand.Rand, count int) []catalog.Seen {
	sources := []string{"app", "db", "files"}
	sequences := map[string]uint64{}
	at := time.Date(2026, 10, 20, 0, 0, 0, 0, time.UTC)
	var points []catalog.Seen
	for len(points) < count {
		at = at.Add(time.Duration(random.IntN(20000)) * time.Second)
		if random.IntN(10) == 0 {
			at = at.Add(-30 * time.Hour)
		}
		set := sources[random.IntN(3):]
		set = set[:1+random.IntN(len(set))]
		var run keys.RunID
		for i := range run {
			run[i] = byte(random.Uint32())
		}
		for _, source := range set {
			sequences[source] += 1 + random.Uint64N(3)
			if random.IntN(20) == 0 {
				continue // a point of a set that never came
			}
			points = append(points, seenAs(source, catalog.PointName{
				Time: at, Sequence: sequences[source], Complete: random.IntN(5) > 0, Members: len(set), Run: run,
			}))
		}
	}
	return points[:count]
}

// A periodView is one of the views that show periods.
type periodView struct {
	name string
	of   func(time.Time, *time.Location) catalog.Period
	list func(catalog.Views) []catalog.Shown
}

var periodViews = []periodView{
	{"hourly", catalog.HourOf, func(v catalog.Views) []catalog.Shown { return v.Hourly }},
	{"daily", catalog.DayOf, func(v catalog.Views) []catalog.Shown { return v.Daily }},
	{"weekly", catalog.WeekOf, func(v catalog.Views) []catalog.Shown { return v.Weekly }},
	{"monthly", catalog.MonthOf, func(v catalog.Views) []catalog.Shown { return v.Monthly }},
}

// wholeSet says, in the words of the documentation, whether p is of rank 1.
func wholeSet(points []catalog.Seen, p catalog.Seen, marks catalog.Marks) bool {
	sources := map[string]bool{}
	for _, other := range catalog.SetOf(points, p) {
		if marks.Of(other).Suspect {
			return false
		}
		sources[other.Source] = true
	}
	return p.Name.Complete && len(sources) >= p.Name.Members
}

func TestArrangeProperties(t *testing.T) {
	for seed := range uint64(30) {
		random := rand.New(rand.NewPCG(seed, 7))
		z := zone(t, zones[random.IntN(len(zones))])
		points := history(random, 60)
		var said []catalog.Mark
		for _, p := range points {
			if random.IntN(8) == 0 {
				said = append(said, about(p, catalog.Suspect, 1))
			}
		}
		marks := catalog.Weigh(said, catalog.Time{Sec: 2})
		views := catalog.Arrange(points, marks, z)
		for _, view := range periodViews {
			t.Run(fmt.Sprintf("%s in %s, seed %d", view.name, z, seed), func(t *testing.T) {
				checkForm(t, view.list(views))
				checkEveryPeriod(t, view, views, points, z)
				checkFirst(t, view, views, points, marks, z)
			})
		}
		checkForm(t, views.Incomplete)
		shuffled := slices.Clone(points)
		random.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		if again := catalog.Arrange(shuffled, marks, z); !reflect.DeepEqual(again, views) {
			t.Errorf("seed %d: the views rest on the order of the points given", seed)
		}
	}
}

// checkForm checks what holds for every list of directories.
func checkForm(t *testing.T, dirs []catalog.Shown) {
	t.Helper()
	names := map[string]bool{}
	for i, dir := range dirs {
		if names[dir.Name] {
			t.Errorf("%s is there twice", dir.Name)
		}
		names[dir.Name] = true
		if i > 0 && dir.Time.Before(dirs[i-1].Time) {
			t.Errorf("%s is listed after %s", dir.Name, dirs[i-1].Name)
		}
		if len(dir.Points) == 0 {
			t.Errorf("%s is empty", dir.Name)
		}
		if !slices.IsSortedFunc(dir.Points, func(a, b catalog.Seen) int { return max(0, strings.Compare(a.Source, b.Source)*2+1) }) {
			t.Errorf("%s: %v: not sorted by source, or one twice", dir.Name, dir.Points)
		}
	}
}

// checkEveryPeriod checks that a view has the periods of all complete points,
// and each source in them, and no others.
func checkEveryPeriod(t *testing.T, view periodView, views catalog.Views, points []catalog.Seen, z *time.Location) {
	t.Helper()
	want := map[string]bool{}
	for _, p := range points {
		if p.Name.Complete {
			want[view.of(p.Name.Time, z).Name+"/"+p.Source] = true
		}
	}
	got := map[string]bool{}
	for _, dir := range view.list(views) {
		for _, p := range dir.Points {
			got[dir.Name+"/"+p.Source] = true
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("it shows %v, want %v", got, want)
	}
}

// checkFirst checks of every point shown that none of its source and period
// should have been shown instead.
func checkFirst(t *testing.T, view periodView, views catalog.Views, points []catalog.Seen, marks catalog.Marks, z *time.Location) {
	t.Helper()
	rank := func(p catalog.Seen) int {
		switch {
		case wholeSet(points, p, marks):
			return 1
		case !marks.Of(p).Suspect:
			return 2
		}
		return 3
	}
	for _, dir := range view.list(views) {
		for _, shown := range dir.Points {
			for _, p := range points {
				if p.Source != shown.Source || !p.Name.Complete || view.of(p.Name.Time, z).Name != dir.Name {
					continue
				}
				if rank(p) < rank(shown) || rank(p) == rank(shown) && p.Name.Sequence < shown.Name.Sequence {
					t.Errorf("%s shows %s, not %s", dir.Name, shown.Object, p.Object)
				}
			}
		}
	}
}

// TestNewerPointsChangeNothing adds points one by one, as a host does, and
// marks some suspect before: what was shown stays, unless it stood in.
func TestNewerPointsChangeNothing(t *testing.T) {
	kept := 0
	for seed := range uint64(6) {
		random := rand.New(rand.NewPCG(seed, 8))
		points := history(random, 60)
		var said []catalog.Mark
		for i := range 5 {
			said = append(said, about(points[i*7], catalog.Suspect, 1))
		}
		marks := catalog.Weigh(said, catalog.Time{Sec: 2})
		z := zone(t, zones[random.IntN(len(zones))])
		before := catalog.Arrange(nil, marks, z)
		for n := range points {
			now := catalog.Arrange(points[:n+1], marks, z)
			for _, view := range periodViews {
				later := map[string]catalog.Seen{}
				for _, dir := range view.list(now) {
					for _, p := range dir.Points {
						later[dir.Name+"/"+p.Source] = p
					}
				}
				for _, dir := range view.list(before) {
					for _, p := range dir.Points {
						if !wholeSet(points[:n], p, marks) {
							continue
						}
						kept++
						if got := later[dir.Name+"/"+p.Source]; got != p {
							t.Fatalf("seed %d: %s/%s/%s was %s and is %s after %s", seed, view.name, dir.Name, p.Source, p.Object, got.Object, points[n].Object)
						}
					}
				}
			}
			before = now
		}
	}
	if kept == 0 {
		t.Error("nothing was checked")
	}
}

// TestForgedPointsHideNothing puts names of points that nobody signed among
// the real ones, and does what a mount does: it opens the sets of all points
// that are shown, takes out what is forged, and arranges again. In the end the
// views are those of the real points.
func TestForgedPointsHideNothing(t *testing.T) {
	for seed := range uint64(30) {
		random := rand.New(rand.NewPCG(seed, 9))
		z := zone(t, zones[random.IntN(len(zones))])
		all := history(random, 80)
		forged := map[string]bool{}
		var real []catalog.Seen
		for _, p := range all {
			if random.IntN(4) == 0 {
				forged[p.Object] = true
				continue
			}
			real = append(real, p)
			if random.IntN(4) == 0 { // one beside it: in its set, or of its source and sequence
				q := p
				switch random.IntN(3) {
				case 0:
					q.Source = []string{"app", "db", "files", "other"}[random.IntN(4)]
				case 1:
					q.Name.Complete = !q.Name.Complete
				case 2:
					q.Name.Sequence = 1 + random.Uint64N(q.Name.Sequence)
				}
				q = seenAs(q.Source, q.Name)
				if !slices.Contains(all, q) && !forged[q.Object] {
					forged[q.Object] = true
					all = append(all, q)
				}
			}
		}
		var said []catalog.Mark
		for _, p := range real {
			if random.IntN(8) == 0 {
				said = append(said, about(p, catalog.Suspect, 1))
			}
			if random.IntN(8) == 0 {
				pin := about(p, catalog.Pin, 1)
				pin.Text = "pin"
				said = append(said, pin)
			}
		}
		marks := catalog.Weigh(said, catalog.Time{Sec: 2})
		believed, opened := all, 0
		for {
			bad := map[string]bool{}
			for _, p := range shownIn(catalog.Arrange(believed, marks, z)) {
				for _, member := range catalog.SetOf(believed, p) {
					if forged[member.Object] {
						bad[member.Object] = true
					}
				}
			}
			if len(bad) == 0 {
				break
			}
			opened += len(bad)
			believed = slices.DeleteFunc(slices.Clone(believed), func(p catalog.Seen) bool { return bad[p.Object] })
		}
		if opened == 0 {
			t.Errorf("seed %d: no forged point was ever shown", seed)
		}
		if got, want := catalog.Arrange(believed, marks, z), catalog.Arrange(real, marks, z); !reflect.DeepEqual(got, want) {
			t.Errorf("seed %d: with forged points that nobody saw, daily is\n%s\nwant\n%s", seed, listing(got.Daily), listing(want.Daily))
		}
	}
}

// shownIn returns all points that are shown in some view.
func shownIn(v catalog.Views) []catalog.Seen {
	points := slices.Clone(v.Latest)
	for _, dirs := range [][]catalog.Shown{v.Hourly, v.Daily, v.Weekly, v.Monthly, v.Incomplete, v.Pinned} {
		for _, dir := range dirs {
			points = append(points, dir.Points...)
		}
	}
	return points
}

// BenchmarkArrange arranges as many points as design.md allows a repository.
func BenchmarkArrange(b *testing.B) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		b.Fatal(err)
	}
	points := history(rand.New(rand.NewPCG(1, 1)), 100_000)
	for b.Loop() {
		catalog.Arrange(points, catalog.Marks{}, berlin)
	}
}
