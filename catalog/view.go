package catalog

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"tidemark/keys"
)

// A Seen is a point as the views see it: by what a LIST says, not by what is
// in it.
type Seen struct {
	Source string
	Name   PointName

	// Object names the point's object, and so the point: no two points that
	// are arranged together have the same.
	Object string

	// Title is the name that the point carries. It is in the body, so it is
	// empty until the point was opened; and it stays so without Name.Named.
	Title string
}

// A Shown is a directory of a view: for each source at most one point.
type Shown struct {
	Name   string
	Time   time.Time // when the period begins; of others, when the points were taken
	Points []Seen    // sorted by source
}

// Views are the points of one host, arranged as the mount shows them. Each
// list of directories is sorted by time, the names in it are distinct, and no
// directory is empty.
type Views struct {
	Hourly, Daily, Weekly, Monthly []Shown
	Latest                         []Seen  // one a source, sorted by source
	Incomplete                     []Shown // the incomplete points, by their exact time
	Pinned                         []Shown // by the names of pins, sorted by name
}

// Arrange makes the views of the points of one host, as clocks in zone show
// them. It is a pure function: whoever finds that a point is not to be shown,
// or learns a Title, calls it again.
//
// A period shows for each source its first point by sequence of the best rank
// that there is:
//
//  1. complete points in whole sets without a suspect
//  2. other complete points, not suspect
//  3. suspect points
//
// A set is whole if all its points are there and complete; a point that was
// taken alone is a set of its own. So what is shown once with rank 1 stays: a
// newer point changes nothing. And sets stay together, unless a source has an
// earlier point of its own in the period. The lower ranks only stand in: a
// disk error in one source of a set, for weeks, does not hide the others, but
// the first whole set takes over; and a suspect point never hides the only one.
//
// The latest point of a source is its highest complete one that is not
// suspect, or else its highest complete one. Incomplete points are shown in
// Incomplete and nowhere else.
func Arrange(points []Seen, marks Marks, zone *time.Location) Views {
	ranked := rank(points, marks)
	return Views{
		Hourly:     periods(ranked, zone, HourOf),
		Daily:      periods(ranked, zone, DayOf),
		Weekly:     periods(ranked, zone, WeekOf),
		Monthly:    periods(ranked, zone, MonthOf),
		Latest:     latest(ranked),
		Incomplete: incomplete(points, zone),
		Pinned:     pinned(ranked, marks, zone),
	}
}

// SetOf returns those of points that are one set with p, p among them. A
// forged point in a set can make it look whole, so none of its points is shown
// before all of them were verified.
func SetOf(points []Seen, p Seen) []Seen {
	var set []Seen
	for _, other := range points {
		if other.Object == p.Object || setOf(other.Name) == setOf(p.Name) {
			set = append(set, other)
		}
	}
	return set
}

// A setID tells the sets of one host apart.
type setID struct {
	time     int64
	run      keys.RunID
	members  int
	complete bool // an incomplete point makes no set whole
}

func setOf(n PointName) setID { return setID{n.Time.Unix(), n.Run, n.Members, n.Complete} }

// A candidate is a complete point.
type candidate struct {
	Seen
	rank int // see Arrange
}

// The ranks of candidates, best first.
const (
	inWholeSet = 1 + iota
	standsIn
	suspect
)

// rank returns the complete points, best rank first, and those of one source
// and rank by sequence.
func rank(points []Seen, marks Marks) []candidate {
	// Sources, not points, are counted: more than the set has, of which some
	// must be forged, do not make it less whole.
	type member struct {
		set    setID
		source string
	}
	counted, count, tainted := map[member]bool{}, map[setID]int{}, map[setID]bool{}
	var ranked []candidate
	for _, p := range points {
		if !p.Name.Complete {
			continue
		}
		c := candidate{p, inWholeSet}
		set := setOf(p.Name)
		if marks.Of(p).Suspect {
			c.rank = suspect
			tainted[set] = true
		}
		ranked = append(ranked, c)
		if m := (member{set, p.Source}); !counted[m] {
			counted[m] = true
			count[set]++
		}
	}
	for i := range ranked {
		c := &ranked[i]
		set := setOf(c.Name)
		if c.rank != suspect && (tainted[set] || count[set] < c.Name.Members) {
			c.rank = standsIn
		}
	}
	slices.SortFunc(ranked, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.rank, b.rank), a.Name.Compare(b.Name), strings.Compare(a.Object, b.Object))
	})
	return ranked
}

// periods returns the periods that have a point, each with the first one of
// every source.
func periods(ranked []candidate, zone *time.Location, of func(time.Time, *time.Location) Period) []Shown {
	d := directories{}
	for _, c := range ranked {
		period := of(c.Name.Time, zone)
		d.add(period.Name, period.Begin, c.Seen)
	}
	return d.sorted()
}

// latest returns the highest point of each source. Suspects come last in
// ranked: they count only if nothing else did.
func latest(ranked []candidate) []Seen {
	best := map[string]candidate{}
	for _, c := range ranked {
		b, found := best[c.Source]
		if !found || (c.rank == suspect) == (b.rank == suspect) && b.Name.Compare(c.Name) < 0 {
			best[c.Source] = c
		}
	}
	var points []Seen
	for _, source := range slices.Sorted(maps.Keys(best)) {
		points = append(points, best[source].Seen)
	}
	return points
}

// incomplete returns the incomplete points. Should a source have two of one
// second, the later is shown.
func incomplete(points []Seen, zone *time.Location) []Shown {
	points = slices.DeleteFunc(slices.Clone(points), func(p Seen) bool { return p.Name.Complete })
	slices.SortFunc(points, func(a, b Seen) int { return b.Name.Compare(a.Name) })
	d := directories{}
	for _, p := range points {
		second := SecondOf(p.Name.Time, zone)
		d.add(second.Name, second.Begin, p)
	}
	return d.sorted()
}

// pinned returns the complete points that are pinned, by the names of their
// pins; a pin without a name goes by the point's exact time. A point whose
// Title is not known yet is not shown for it. If a source has several points
// of one name, only the first keeps it; to the later ones, with all of their
// set, "@" and the exact time are added.
func pinned(ranked []candidate, marks Marks, zone *time.Location) []Shown {
	type group struct { // points of one set with one name
		set  setID
		name string
	}
	groups := map[group][]Seen{}
	for _, c := range ranked {
		for _, name := range marks.Of(c.Seen).Pins {
			g := group{setOf(c.Name), name}
			groups[g] = append(groups[g], c.Seen)
		}
	}
	inOrder := slices.SortedFunc(maps.Keys(groups), func(a, b group) int {
		return cmp.Or(cmp.Compare(a.set.time, b.set.time), a.set.run.Compare(b.set.run),
			cmp.Compare(a.set.members, b.set.members), strings.Compare(a.name, b.name))
	})
	d := directories{}
	for _, g := range inOrder {
		at := SecondOf(groups[g][0].Name.Time, zone)
		name := cmp.Or(g.name, at.Name)
		for slices.ContainsFunc(groups[g], func(p Seen) bool { return d.has(name, p.Source) }) {
			name += "@" + at.Name
		}
		for _, p := range groups[g] {
			d.add(name, at.Begin, p)
		}
	}
	return slices.SortedFunc(slices.Values(d.sorted()), func(a, b Shown) int { return strings.Compare(a.Name, b.Name) })
}

// directories are the directories of a view in the making, by name.
type directories map[string]*directory

type directory struct {
	Shown
	sources map[string]bool
}

// add puts p into the directory called name, unless its source has a point
// there. The time is that of the first.
func (d directories) add(name string, at time.Time, p Seen) {
	dir := d[name]
	if dir == nil {
		dir = &directory{Shown{Name: name, Time: at}, map[string]bool{}}
		d[name] = dir
	}
	if !dir.sources[p.Source] {
		dir.sources[p.Source] = true
		dir.Points = append(dir.Points, p)
	}
}

func (d directories) has(name, source string) bool {
	dir := d[name]
	return dir != nil && dir.sources[source]
}

// sorted returns the directories by time, and the points in each by source.
func (d directories) sorted() []Shown {
	var shown []Shown
	for _, dir := range d {
		slices.SortFunc(dir.Points, func(a, b Seen) int { return strings.Compare(a.Source, b.Source) })
		shown = append(shown, dir.Shown)
	}
	slices.SortFunc(shown, func(a, b Shown) int {
		return cmp.Or(a.Time.Compare(b.Time), strings.Compare(a.Name, b.Name))
	})
	return shown
}
