package fusefs_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tidemark/catalog"
	"tidemark/fusefs"
	"tidemark/keys"
)

// A world is a fusefs.World that is changed by hand.
type world struct {
	zone *time.Location
	top  string

	mu     sync.Mutex
	points map[string][]catalog.Seen // by host; guarded by mu
	views  map[string]*fusefs.Views  // by host; guarded by mu
	trees  map[string]*catalog.Tree  // by object; guarded by mu
	broken map[string]error          // why an object cannot be opened; guarded by mu
	opened map[string]int            // how often an object was; guarded by mu
}

func newWorld(top string) *world {
	return &world{
		zone: time.UTC, top: top,
		points: map[string][]catalog.Seen{}, views: map[string]*fusefs.Views{},
		trees: map[string]*catalog.Tree{}, broken: map[string]error{}, opened: map[string]int{},
	}
}

// oneWorld is a world of one point of source app, at noon.
func oneWorld(tree *catalog.Tree) *world {
	w := newWorld(testHost)
	w.add(testHost, "app", noon, tree)
	return w
}

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// onlyPoint is where oneWorld's point shows, below the mount point.
const onlyPoint = "daily/2026-11-20/app"

// add adds a complete point and returns the name of its object. A nil tree is
// that of a forged point.
func (w *world) add(host, source string, at time.Time, tree *catalog.Tree, change ...func(*catalog.Seen)) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var last uint64
	for _, p := range w.points[host] {
		if p.Source == source {
			last = max(last, p.Name.Sequence)
		}
	}
	p := catalog.Seen{Source: source, Name: catalog.PointName{
		Time: at, Sequence: last + 1, Complete: true, Members: 1, Run: keys.RunID{byte(last), byte(len(source))},
	}}
	for _, c := range change {
		c(&p)
	}
	p.Object = fmt.Sprintf("points/%s/%s/%s", host, source, p.Name)
	w.points[host] = append(w.points[host], p)
	if tree != nil {
		w.trees[p.Object] = tree
	}
	w.arrange(host)
	return p.Object
}

// breakPoint lets an object be opened no more.
func (w *world) breakPoint(object string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.broken[object] = err
}

// remove takes a point away.
func (w *world) remove(host, object string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.points[host] = slices.DeleteFunc(w.points[host], func(p catalog.Seen) bool { return p.Object == object })
	w.arrange(host)
}

// fail adds a host whose views cannot be had.
func (w *world) fail(host string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.points[host] = nil
}

// arrange makes the views of a host. The caller holds mu.
func (w *world) arrange(host string) {
	v := &fusefs.Views{Views: catalog.Arrange(w.points[host], catalog.Marks{}, w.zone)}
	byName := map[string]*catalog.Shown{}
	for _, p := range w.points[host] {
		if !p.Name.Complete {
			continue
		}
		second := catalog.SecondOf(p.Name.Time, w.zone)
		if byName[second.Name] == nil {
			byName[second.Name] = &catalog.Shown{Name: second.Name, Time: second.Begin}
		}
		byName[second.Name].Points = append(byName[second.Name].Points, p)
	}
	for _, shown := range byName {
		v.Exact = append(v.Exact, *shown)
	}
	slices.SortFunc(v.Exact, func(a, b catalog.Shown) int { return a.Time.Compare(b.Time) })
	w.views[host] = v
}

func (w *world) Hosts(context.Context) ([]string, string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var hosts []string
	for host := range w.points {
		hosts = append(hosts, host)
	}
	slices.Sort(hosts)
	return hosts, w.top, nil
}

func (w *world) Views(_ context.Context, host string) (*fusefs.Views, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.views[host] == nil {
		return nil, fmt.Errorf("the views of host %q cannot be had", host)
	}
	return w.views[host], nil
}

func (w *world) Open(ctx context.Context, host, object string) (*catalog.Tree, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	w.opened[object]++
	if err := w.broken[object]; err != nil {
		return nil, err
	}
	if tree := w.trees[object]; tree != nil {
		return tree, nil
	}
	w.points[host] = slices.DeleteFunc(w.points[host], func(p catalog.Seen) bool { return p.Object == object })
	w.arrange(host)
	return nil, fmt.Errorf("%s: %w", object, fusefs.ErrNotShown)
}

// serve mounts at a temporary directory until the test ends.
func serve(t *testing.T, cfg fusefs.Config, w fusefs.World, c fusefs.Chunks) (dir string) {
	t.Helper()
	needFUSE(t)
	dir = t.TempDir()
	serveAt(t, dir, cfg, w, c)
	return dir
}

func serveAt(t *testing.T, dir string, cfg fusefs.Config, w fusefs.World, c fusefs.Chunks) *fusefs.Server {
	t.Helper()
	s, err := fusefs.Mount(t.Context(), dir, cfg, w, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Unmount(); err != nil {
			t.Errorf("unmounting: %v", err)
		}
		if r, ok := c.(*repo); ok && r.live.Load() != 0 {
			t.Errorf("%d pieces were not released", r.live.Load())
		}
	})
	noPoll(t, dir)
	return s
}

// noPoll has the kernel learn that files of the mount cannot be polled. Else it
// asks when Go opens one, with a thread stopped in epoll_ctl that the server,
// which is this process too, may need for the answer.
func noPoll(t *testing.T, dir string) {
	t.Helper()
	fd, err := unix.Open(dir+"/README.txt", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if _, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0); err != nil {
		t.Fatal(err)
	}
}

// quoted is s for a shell.
func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
