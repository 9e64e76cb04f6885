package fusefs

import (
	"context"
	"time"

	"tidemark/catalog"
)

// arranged are the views of a host, made ready to be looked things up in.
type arranged struct {
	from  *Views
	views map[string]*view
	exact map[second]string // the directory of at/ that a point stands in
}

type view struct {
	list   []catalog.Shown
	byName map[string]*catalog.Shown
	newest time.Time // of its points; zero if there are none
}

// A second names a point of a host as at/ does.
type second struct {
	source string
	time   int64 // seconds since 1970
}

func secondOf(p *catalog.Seen) second { return second{p.Source, p.Name.Time.Unix()} }

// arranged returns what is shown of a host now.
func (m *mount) arranged(ctx context.Context, host string) (*arranged, error) {
	views, err := m.world.Views(ctx, host)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	x := m.hosts[host]
	m.mu.Unlock()
	if x != nil && x.from == views {
		return x, nil
	}
	x = arrange(views)
	m.mu.Lock()
	m.hosts[host] = x
	m.mu.Unlock()
	return x, nil
}

func arrange(v *Views) *arranged {
	x := &arranged{from: v, views: map[string]*view{}, exact: map[second]string{}}
	latest := make([]catalog.Shown, len(v.Latest))
	for i := range v.Latest {
		latest[i] = catalog.Shown{Name: v.Latest[i].Source, Points: v.Latest[i : i+1]}
	}
	for name, list := range map[string][]catalog.Shown{
		"hourly": v.Hourly, "daily": v.Daily, "weekly": v.Weekly, "monthly": v.Monthly,
		latestName: latest, "pinned": v.Pinned, "incomplete": v.Incomplete, exactName: v.Exact,
	} {
		w := &view{list: list, byName: make(map[string]*catalog.Shown, len(list))}
		for i := range list {
			w.byName[list[i].Name] = &list[i]
			if at := newest(list[i].Points); at.After(w.newest) {
				w.newest = at
			}
		}
		x.views[name] = w
	}
	for i := range v.Exact {
		for j := range v.Exact[i].Points {
			x.exact[secondOf(&v.Exact[i].Points[j])] = v.Exact[i].Name
		}
	}
	return x
}

// newest returns the time of the newest point in some views.
func (x *arranged) newest(views ...string) (at time.Time) {
	for _, name := range views {
		if w := x.views[name]; w.newest.After(at) {
			at = w.newest
		}
	}
	return at
}

func newest(points []catalog.Seen) (at time.Time) {
	for i := range points {
		if t := points[i].Name.Time; t.After(at) {
			at = t
		}
	}
	return at
}
