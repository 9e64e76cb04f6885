package fusefs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"tidemark/catalog"
)

// Above the points stand spots. A spot is made each time it is asked for, from
// what the world shows at that moment:
//
//	top ──┬─ README.txt
//	      ├─ hosts ── host ─┐
//	      └─ (the top host) ┴─ view ──┬─ period ── root of a point
//	                                  └─ link, in latest
//
// A directory has two methods, child and children; following a path is child,
// name by name.

// A spot is a node above the points, or the root of a point. One of dir,
// target, text and point is set.
type spot struct {
	path string    // from the top; "" is the top itself
	time time.Time // zero: that of the mount point, for want of a better one

	dir    directory
	target string    // of a symlink
	text   []byte    // of README.txt
	point  *pointKey // whose root it is
}

// name returns the last part of the path.
func (s *spot) name() string { return s.path[strings.LastIndexByte(s.path, '/')+1:] }

// line returns what stands for s in the table: the path and, of a symlink,
// where it leads. So a link that leads elsewhere is another node, and the
// kernel may keep what it has of this one.
func (s *spot) line() string {
	if s.target != "" {
		return s.path + "\x00" + s.target
	}
	return s.path
}

// parseSpotLine reads what spot.line writes.
func parseSpotLine(line string) (path, target string) {
	path, target, _ = strings.Cut(line, "\x00")
	return path, target
}

// A directory is a spot that has spots in it.
type directory interface {
	// child returns the spot with a name. The error wraps fs.ErrNotExist if
	// there is none.
	child(ctx context.Context, name string) (*spot, error)

	// children returns those that are listed, in order.
	children(ctx context.Context) ([]*spot, error)
}

// The names that are not a period's, a host's or a source's.
const (
	readmeName = "README.txt"
	hostsName  = "hosts"
	latestName = "latest"
	exactName  = "at"
)

// viewNames are the directories of a host, as they are listed.
var viewNames = []string{"hourly", "daily", "weekly", "monthly", latestName, "pinned", "incomplete"}

func notExist(path string) error { return fmt.Errorf("fusefs: %q: %w", path, fs.ErrNotExist) }

// join adds a name to a path.
func join(dir, name string) string {
	if dir == "" {
		return name
	}
	return dir + "/" + name
}

// follow returns the spot at a path from the top.
func (m *mount) follow(ctx context.Context, path string) (*spot, error) {
	s, err := m.top(ctx)
	if err != nil || path == "" {
		return s, err
	}
	for name := range strings.SplitSeq(path, "/") {
		if s.dir == nil {
			return nil, notExist(path)
		}
		if s, err = s.dir.child(ctx, name); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// topDir is the top of the mount.
type topDir struct {
	m     *mount
	hosts []string
	host  string // whose views stand here, or ""
}

func (m *mount) top(ctx context.Context) (*spot, error) {
	hosts, host, err := m.world.Hosts(ctx)
	if err != nil {
		return nil, err
	}
	s := &spot{dir: topDir{m, hosts, host}}
	if host != "" {
		if x, err := m.arranged(ctx, host); err == nil {
			s.time = x.newest(viewNames...)
		}
	}
	return s, nil
}

func (d topDir) child(ctx context.Context, name string) (*spot, error) {
	switch {
	case name == readmeName:
		text, at := d.readme(ctx)
		return &spot{path: name, time: at, text: text}, nil
	case name == hostsName:
		return &spot{path: name, dir: hostsDir{d.m, d.hosts}}, nil
	case d.host == "":
		return nil, notExist(name)
	}
	return hostDir{d.m, "", d.host}.child(ctx, name)
}

func (d topDir) children(ctx context.Context) ([]*spot, error) {
	names := []string{readmeName, hostsName}
	if d.host != "" {
		names = slices.Concat(names[:1], viewNames, names[1:])
	}
	return each(ctx, d, names)
}

// each returns the children of d with the given names.
func each(ctx context.Context, d directory, names []string) ([]*spot, error) {
	spots := make([]*spot, len(names))
	for i, name := range names {
		var err error
		if spots[i], err = d.child(ctx, name); err != nil {
			return nil, err
		}
	}
	return spots, nil
}

// hostsDir is hosts/.
type hostsDir struct {
	m     *mount
	hosts []string
}

func (d hostsDir) child(ctx context.Context, name string) (*spot, error) {
	if _, found := slices.BinarySearch(d.hosts, name); !found {
		return nil, notExist(join(hostsName, name))
	}
	// Its views may take a while to be had, and are not asked for before
	// somebody goes in.
	path := join(hostsName, name)
	return &spot{path: path, dir: hostDir{d.m, path, name}}, nil
}

func (d hostsDir) children(ctx context.Context) ([]*spot, error) { return each(ctx, d, d.hosts) }

// hostDir holds the views of a host.
type hostDir struct {
	m    *mount
	path string
	host string
}

func (d hostDir) child(ctx context.Context, name string) (*spot, error) {
	x, err := d.m.arranged(ctx, d.host)
	if err != nil {
		return nil, err
	}
	path := join(d.path, name)
	if x.views[name] == nil {
		return nil, notExist(path)
	}
	return &spot{path: path, time: x.newest(name), dir: viewDir{d, path, name}}, nil
}

func (d hostDir) children(ctx context.Context) ([]*spot, error) { return each(ctx, d, viewNames) }

// viewDir holds the periods of a view, or the links of latest.
type viewDir struct {
	hostDir
	path string
	view string
}

func (d viewDir) child(ctx context.Context, name string) (*spot, error) {
	if d.view == latestName { // who looks at a link is about to follow it
		x, shown, err := d.opened(ctx, name, anySource)
		if err != nil {
			return nil, err
		}
		return d.spot(x, shown), nil
	}
	x, err := d.m.arranged(ctx, d.host)
	if err != nil {
		return nil, err
	}
	shown := x.views[d.view].byName[name]
	if shown == nil {
		return nil, notExist(join(d.path, name))
	}
	return d.spot(x, shown), nil
}

func (d viewDir) children(ctx context.Context) ([]*spot, error) {
	x, err := d.m.arranged(ctx, d.host)
	if err != nil {
		return nil, err
	}
	list := x.views[d.view].list
	spots := make([]*spot, len(list))
	for i := range list {
		spots[i] = d.spot(x, &list[i])
	}
	return spots, nil
}

// spot returns one entry of the view. It takes no more than names: a GET for
// each of a hundred points would make "ls -l daily" slow.
func (d viewDir) spot(x *arranged, shown *catalog.Shown) *spot {
	s := &spot{path: join(d.path, shown.Name), time: newest(shown.Points)}
	if d.view == latestName {
		p := &shown.Points[0]
		s.target = "../" + exactName + "/" + x.exact[secondOf(p)] + "/" + p.Source
		return s
	}
	s.dir = periodDir{d, s.path, shown.Name}
	return s
}

// place returns where the root of a point stands that is in a directory of the
// view. To a point of latest a link leads, to its exact time.
func (d viewDir) place(x *arranged, shown *catalog.Shown, p *catalog.Seen) pointKey {
	dir := join(d.path, shown.Name)
	if d.view == latestName {
		dir = join(d.hostDir.path, exactName+"/"+x.exact[secondOf(p)])
	}
	return pointKey{join(dir, p.Source), d.host, p.Object}
}

// anySource picks all points of a directory.
func anySource(string) bool { return true }

// opened returns a directory of the view, the points of the wanted sources in
// it opened: nothing of a point is shown but the names above it before it is
// known to be one. If one turns out not to be, the world shows something else
// in its place, which is looked at in the same way. That a point cannot be
// opened for another reason is for those to learn who go into it.
func (d viewDir) opened(ctx context.Context, name string, wanted func(source string) bool) (*arranged, *catalog.Shown, error) {
	for {
		x, err := d.m.arranged(ctx, d.host)
		if err != nil {
			return nil, nil, err
		}
		shown := x.views[d.view].byName[name]
		if shown == nil {
			return nil, nil, notExist(join(d.path, name))
		}
		var places []pointKey
		for i := range shown.Points {
			if p := &shown.Points[i]; wanted(p.Source) {
				places = append(places, d.place(x, shown, p))
			}
		}
		err = d.m.openAll(ctx, places)
		if !errors.Is(err, ErrNotShown) {
			return x, shown, err
		}
		if now, err := d.m.arranged(ctx, d.host); err != nil || now.from == x.from {
			return nil, nil, errors.Join(fmt.Errorf("fusefs: %s: a point that is not one is still there", join(d.path, name)), err)
		}
	}
}

// openAtOnce is how many points of a directory are opened at once: enough to
// hide the round trips of a store far away behind each other.
const openAtOnce = 8

// openAll opens points. It returns ErrNotShown if that is what one of them is,
// and no other error of a point.
func (m *mount) openAll(ctx context.Context, places []pointKey) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(openAtOnce)
	for _, place := range places {
		g.Go(func() error {
			_, err := m.openKey(ctx, place)
			if errors.Is(err, ErrNotShown) {
				return err
			}
			return ctx.Err()
		})
	}
	return g.Wait()
}

// periodDir holds the roots of the points of a period.
type periodDir struct {
	viewDir
	path string
	name string
}

func (d periodDir) child(ctx context.Context, name string) (*spot, error) {
	spots, err := d.roots(ctx, func(source string) bool { return source == name })
	if err != nil {
		return nil, err
	}
	if len(spots) == 0 {
		return nil, notExist(join(d.path, name))
	}
	return spots[0], nil
}

func (d periodDir) children(ctx context.Context) ([]*spot, error) { return d.roots(ctx, anySource) }

// roots returns the roots of the points of the wanted sources.
func (d periodDir) roots(ctx context.Context, wanted func(source string) bool) ([]*spot, error) {
	x, shown, err := d.opened(ctx, d.name, wanted)
	if err != nil {
		return nil, err
	}
	var spots []*spot
	for i := range shown.Points {
		if p := &shown.Points[i]; wanted(p.Source) {
			place := d.place(x, shown, p)
			spots = append(spots, &spot{path: place.path, time: p.Name.Time, point: &place})
		}
	}
	return spots, nil
}
