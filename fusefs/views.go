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
	path string // from the top; "" is the top itself
	time time.Time

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
	s := &spot{dir: topDir{m, hosts, host}, time: m.born}
	if host != "" {
		s, err = m.host(ctx, "", host)
		if err != nil {
			return nil, err
		}
		s.dir = topDir{m, hosts, host}
	}
	return s, nil
}

func (d topDir) child(ctx context.Context, name string) (*spot, error) {
	switch {
	case name == readmeName:
		text, at, err := d.readme(ctx)
		return &spot{path: name, time: at, text: text}, err
	case name == hostsName:
		return &spot{path: name, time: d.m.born, dir: hostsDir{d.m, d.hosts}}, nil
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
	return d.m.host(ctx, join(hostsName, name), name)
}

func (d hostsDir) children(ctx context.Context) ([]*spot, error) { return each(ctx, d, d.hosts) }

// hostDir holds the views of a host.
type hostDir struct {
	m    *mount
	path string
	host string
}

func (m *mount) host(ctx context.Context, path, host string) (*spot, error) {
	x, err := m.arranged(ctx, host)
	if err != nil {
		return nil, err
	}
	return &spot{path: path, time: x.newest(viewNames...), dir: hostDir{m, path, host}}, nil
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

// periodDir holds the roots of the points of a period.
type periodDir struct {
	viewDir
	path string
	name string
}

func (d periodDir) child(ctx context.Context, name string) (*spot, error) {
	spots, err := d.opened(ctx, func(p *catalog.Seen) bool { return p.Source == name })
	if err != nil {
		return nil, err
	}
	if len(spots) == 0 {
		return nil, notExist(join(d.path, name))
	}
	return spots[0], nil
}

func (d periodDir) children(ctx context.Context) ([]*spot, error) {
	return d.opened(ctx, func(*catalog.Seen) bool { return true })
}

// opened returns the roots of the wanted points, all of them opened: nothing of
// a point is shown but the names above it before it is known to be one. If one
// turns out not to be, the world shows something else in its place, which is
// looked at in the same way.
func (d periodDir) opened(ctx context.Context, want func(*catalog.Seen) bool) ([]*spot, error) {
	for {
		x, err := d.m.arranged(ctx, d.host)
		if err != nil {
			return nil, err
		}
		shown := x.views[d.view].byName[d.name]
		if shown == nil {
			return nil, notExist(d.path)
		}
		var spots []*spot
		for i := range shown.Points {
			if p := &shown.Points[i]; want(p) {
				path := join(d.path, p.Source)
				spots = append(spots, &spot{path: path, time: p.Name.Time, point: &pointKey{path, d.host, p.Object}})
			}
		}
		err = d.m.openAll(ctx, spots)
		if !errors.Is(err, ErrNotShown) {
			return spots, err
		}
		if now, err := d.m.arranged(ctx, d.host); err != nil || now == x {
			return nil, errors.Join(fmt.Errorf("fusefs: %s: the point is still there", d.path), err)
		}
	}
}

// openAtOnce is how many points of a period are opened at once: enough to hide
// the round trips of a store far away behind each other.
const openAtOnce = 8

// openAll opens the points whose roots are spots. It returns ErrNotShown if
// that is what one of them is; that another cannot be opened is for those to
// learn who go into it.
func (m *mount) openAll(ctx context.Context, spots []*spot) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(openAtOnce)
	for _, s := range spots {
		g.Go(func() error {
			_, err := m.openKey(ctx, *s.point)
			if errors.Is(err, ErrNotShown) {
				return err
			}
			return ctx.Err()
		})
	}
	return g.Wait()
}
