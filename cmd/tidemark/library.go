package main

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"tidemark/catalog"
	"tidemark/fusefs"
)

// A library is what a repository has, as the mount and the commands call it:
// hosts, and of each its views.
type library struct {
	r     *repository
	hosts []catalog.Host // by name
	top   catalog.Host   // whose views stand at the top; no name: nobody's
}

// library reads which hosts there are. want is the host whose points stand at
// the top; if it is empty that is this machine, or else the only host.
func (r *repository) library(ctx context.Context, want string) (*library, error) {
	hosts, notices, err := r.hosts(ctx)
	if err != nil {
		return nil, err
	}
	r.say(notices)
	l := &library{r: r, hosts: hosts}
	for _, h := range hosts {
		if h.Name == cmp.Or(want, r.s.host) {
			l.top = h
		}
	}
	switch {
	case want != "" && l.top.Name == "":
		return nil, hint{fmt.Errorf("repository %s has no host %s", quoteName(r.name), quoteName(want)), "tidemark ls hosts"}
	case l.top.Name == "" && len(hosts) == 1:
		l.top = hosts[0]
	}
	return l, nil
}

// A shelf is the points of one host, arranged. It is safe for concurrent use.
type shelf struct {
	r *repository

	mu      sync.Mutex
	host    catalog.Host               // guarded by mu
	entries []catalog.Entry            // guarded by mu
	marks   catalog.Marks              // guarded by mu
	weighed time.Time                  // when the marks were read; guarded by mu
	views   *fusefs.Views              // never changed, only replaced; guarded by mu
	forged  map[string]bool            // objects that are no points; guarded by mu
	opened  map[string]*catalog.Opened // verified points, by object, openedPoints at most; guarded by mu
}

const (
	// openedPoints is how many verified points a shelf keeps. Each is some
	// kilobytes, and opening it again costs a request.
	openedPoints = 256

	// marksEvery is how old the marks may be that views rest on.
	marksEvery = time.Minute
)

// shelf reads the points of a host. It costs LISTs, and a GET for each point
// that carries a name and for each mark.
func (l *library) shelf(ctx context.Context, h catalog.Host) (*shelf, error) {
	sh := &shelf{r: l.r, host: h, forged: map[string]bool{}, opened: map[string]*catalog.Opened{}}
	return sh, sh.refresh(ctx)
}

// setHost says what the host's enrolments are now. A point that was not signed
// by a key known then may be now.
func (sh *shelf) setHost(h catalog.Host) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if slices.EqualFunc(h.Keys, sh.host.Keys, func(a, b ed25519.PublicKey) bool { return a.Equal(b) }) {
		return
	}
	sh.host = h
	clear(sh.forged)
	clear(sh.opened)
}

func (sh *shelf) hostNow() catalog.Host {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.host
}

// refresh reads again what there is, and arranges it if that has changed.
func (sh *shelf) refresh(ctx context.Context) error {
	roster, host := sh.r.roster(), sh.hostNow()
	entries, notices, err := roster.ReadPoints(ctx, host)
	if err != nil {
		return fmt.Errorf("repository %s: %w", quoteName(sh.r.name), err)
	}
	if entries, err = sh.readTitles(ctx, entries); err != nil {
		return fmt.Errorf("repository %s: %w", quoteName(sh.r.name), err)
	}
	now := sh.r.s.p.now()
	sh.mu.Lock()
	first, stale := sh.views == nil, now.Sub(sh.weighed) >= marksEvery
	sh.mu.Unlock()
	if first {
		sh.r.say(notices)
	}
	var marks catalog.Marks
	if stale {
		list, notices, err := roster.ReadMarks(ctx, host)
		if err != nil {
			return fmt.Errorf("repository %s: %w", quoteName(sh.r.name), err)
		}
		if first {
			sh.r.say(notices)
		}
		marks = catalog.Weigh(list, catalog.Time{Sec: now.Unix()})
	}

	sh.mu.Lock()
	defer sh.mu.Unlock()
	entries = slices.DeleteFunc(entries, func(e catalog.Entry) bool { return sh.forged[e.Object] })
	if stale {
		sh.marks, sh.weighed = marks, now
	}
	if stale || !slices.Equal(entries, sh.entries) {
		sh.entries = entries
		sh.arrange()
	}
	return nil
}

// readTitles opens the points that carry a name which is not known yet:
// pinned/ shows them by it.
func (sh *shelf) readTitles(ctx context.Context, entries []catalog.Entry) ([]catalog.Entry, error) {
	sh.mu.Lock()
	titles := map[string]string{}
	for _, e := range sh.entries {
		titles[e.Object] = e.Title
	}
	sh.mu.Unlock()
	var unknown []catalog.Entry
	for i, e := range entries {
		if entries[i].Title = titles[e.Object]; e.Name.Named && entries[i].Title == "" {
			unknown = append(unknown, e)
		}
	}
	if len(unknown) == 0 {
		return entries, nil
	}
	opened, notices, err := sh.r.roster().OpenPoints(ctx, sh.hostNow(), unknown)
	if err != nil {
		return nil, err
	}
	for _, n := range notices {
		if errors.Is(n.Err, catalog.ErrForged) || errors.Is(n.Err, catalog.ErrNoObject) {
			sh.notShown(n.Object, n.Err)
		} else {
			sh.r.say([]catalog.Notice{n}) // it stays where it is, and reading it is an error
		}
	}
	return catalog.Believe(entries, opened, notices), nil
}

// arrange makes the views. The caller holds mu.
func (sh *shelf) arrange() {
	seen := make([]catalog.Seen, len(sh.entries))
	for i, e := range sh.entries {
		seen[i] = e.Seen
	}
	sh.views = &fusefs.Views{
		Views: catalog.Arrange(seen, sh.marks, sh.r.s.zone),
		Exact: exact(seen, sh.r.s.zone),
	}
}

// exact arranges the complete points by their exact times: at/. Of two points
// of one source and second the later by sequence is shown.
func exact(points []catalog.Seen, zone *time.Location) []catalog.Shown {
	byTime := slices.SortedStableFunc(slices.Values(points), func(a, b catalog.Seen) int {
		return cmp.Or(a.Name.Time.Compare(b.Name.Time), cmp.Compare(a.Source, b.Source), a.Name.Compare(b.Name))
	})
	var shown []catalog.Shown
	for _, p := range byTime {
		if !p.Name.Complete {
			continue
		}
		if n := len(shown); n == 0 || !shown[n-1].Time.Equal(p.Name.Time) {
			shown = append(shown, catalog.Shown{Name: catalog.SecondOf(p.Name.Time, zone).Name, Time: p.Name.Time})
		}
		last := &shown[len(shown)-1]
		if n := len(last.Points); n > 0 && last.Points[n-1].Source == p.Source {
			last.Points = last.Points[:n-1]
		}
		last.Points = append(last.Points, p)
	}
	return shown
}

// arranged returns the views as they are now.
func (sh *shelf) arranged() *fusefs.Views {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.views
}

// byTime returns the points, oldest first.
func (sh *shelf) byTime() []catalog.Entry {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return slices.SortedStableFunc(slices.Values(sh.entries), func(a, b catalog.Entry) int {
		return cmp.Or(a.Name.Time.Compare(b.Name.Time), cmp.Compare(a.Source, b.Source), a.Name.Compare(b.Name))
	})
}

// open returns the point that object names, verified with all of its set. If
// one of them is forged or gone it is taken out of the views, and the error
// wraps fusefs.ErrNotShown.
func (sh *shelf) open(ctx context.Context, object string) (*catalog.Opened, error) {
	sh.mu.Lock()
	found, host := sh.opened[object], sh.host
	set := sh.setOf(object)
	sh.mu.Unlock()
	if found != nil {
		return found, nil
	}
	for _, e := range set {
		opened, err := sh.r.roster().OpenPoint(ctx, host, e)
		if errors.Is(err, catalog.ErrForged) || errors.Is(err, catalog.ErrNoObject) {
			sh.notShown(e.Object, err)
			return nil, fmt.Errorf("%s: %w", e.Object, fusefs.ErrNotShown)
		}
		if e.Object != object {
			continue // what else is wrong with it does not concern this one
		}
		if err != nil {
			return nil, err
		}
		found = opened
	}
	if found == nil {
		return nil, fmt.Errorf("%s: %w", object, fusefs.ErrNotShown)
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for old := range sh.opened {
		if len(sh.opened) < openedPoints {
			break
		}
		delete(sh.opened, old)
	}
	sh.opened[object] = found
	return found, nil
}

// setOf returns the points of object's set, itself among them. The caller holds mu.
func (sh *shelf) setOf(object string) []catalog.Entry {
	i := slices.IndexFunc(sh.entries, func(e catalog.Entry) bool { return e.Object == object })
	if i < 0 {
		return nil
	}
	if sh.entries[i].Name.Members == 1 {
		return sh.entries[i : i+1]
	}
	seen := make([]catalog.Seen, len(sh.entries))
	byObject := map[string]catalog.Entry{}
	for i, e := range sh.entries {
		seen[i], byObject[e.Object] = e.Seen, e
	}
	var set []catalog.Entry
	for _, p := range catalog.SetOf(seen, sh.entries[i].Seen) {
		set = append(set, byObject[p.Object])
	}
	return set
}

// notShown takes a point out of the views, for good, and says so.
func (sh *shelf) notShown(object string, why error) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.forged[object] {
		return
	}
	sh.forged[object] = true
	sh.r.s.p.warn("a point is not shown: %v", why)
	kept := slices.DeleteFunc(slices.Clone(sh.entries), func(e catalog.Entry) bool { return e.Object == object })
	if len(kept) < len(sh.entries) {
		sh.entries = kept
		sh.arrange()
	}
}

// exactPath returns the path by which a point is always found, whatever the views
// show: its exact time, or incomplete/ if that is what it is.
func (sh *shelf) exactPath(l *library, e catalog.Entry) string {
	view := "at/"
	if !e.Name.Complete {
		view = "incomplete/"
	}
	path := view + catalog.SecondOf(e.Name.Time, sh.r.s.zone).Name + "/" + e.Source
	if host := sh.hostNow(); host.Name != l.top.Name {
		path = "hosts/" + host.Name + "/" + path
	}
	return path
}
