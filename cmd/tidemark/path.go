package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"tidemark/catalog"
	"tidemark/fetch"
	"tidemark/fusefs"
)

// Everything in a point is called by its path in the mount, with or without
// the mount point before it: daily/2019-07-18/app/file. [library.find] follows
// such a path as the mount does.

// A found is what a path leads to: a directory above points, which has names
// only, or a node of a point.
type found struct {
	path  string   // as in the mount, cleaned
	names []string // of a directory above points; nil for a node

	point *catalog.Opened
	tree  *catalog.Tree
	node  catalog.Node
	below string // the path of node below the point's root
}

// viewNames are the directories of a host, in the order in which ls shows them.
var viewNames = []string{"daily", "hourly", "incomplete", "latest", "monthly", "pinned", "weekly"}

// A finder finds what paths lead to.
type finder struct {
	*library
	fetcher *fetch.Fetcher
	shelves map[string]*shelf // by host
}

// finder makes ready to follow paths. Close its fetcher.
func (r *repository) finder(ctx context.Context, host string) (*finder, error) {
	l, err := r.library(ctx, host)
	if err != nil {
		return nil, err
	}
	fetcher, err := r.fetcher(0)
	if err != nil {
		return nil, err
	}
	return &finder{l, fetcher, map[string]*shelf{}}, nil
}

func (f *finder) shelf(ctx context.Context, h catalog.Host) (*shelf, error) {
	if sh := f.shelves[h.Name]; sh != nil {
		return sh, nil
	}
	sh, err := f.library.shelf(ctx, h)
	if err == nil {
		f.shelves[h.Name] = sh
	}
	return sh, err
}

// notFound is the error of a path whose part name is not in the directory dir.
func notFound(dir, name string) error {
	return hint{fmt.Errorf("%s: there is no %s in it: %w", quoteName("/"+dir), quoteName(name), fs.ErrNotExist), "tidemark ls " + quoteName(dir)}
}

// find follows a path.
func (f *finder) find(ctx context.Context, path string) (*found, error) {
	path, err := insideMount(path)
	if err != nil {
		return nil, err
	}
	parts := strings.FieldsFunc(path, func(c rune) bool { return c == '/' })
	host, dir := f.top, ""
	if len(parts) > 0 && parts[0] == "hosts" {
		if len(parts) == 1 {
			return &found{path: "hosts", names: f.hostNames()}, nil
		}
		i := slices.IndexFunc(f.hosts, func(h catalog.Host) bool { return h.Name == parts[1] })
		if i < 0 {
			return nil, notFound("hosts", parts[1])
		}
		host, dir, parts = f.hosts[i], "hosts/"+parts[1]+"/", parts[2:]
	}
	switch {
	case len(parts) == 0 && dir != "":
		return &found{path: strings.TrimSuffix(dir, "/"), names: viewNames}, nil
	case len(parts) == 0 && host.Name == "":
		return &found{names: []string{"hosts"}}, nil
	case len(parts) == 0:
		return &found{names: append(slices.Clone(viewNames), "hosts")}, nil
	case host.Name == "":
		return nil, hint{errors.New("the repository has points of several hosts, and none of this machine"), "hosts/HOST/" + path + ", or --host HOST"}
	}
	sh, err := f.shelf(ctx, host)
	if err != nil {
		return nil, err
	}
	for { // again if a point turns out not to be one
		got, err := f.inView(ctx, sh, dir, parts)
		if !errors.Is(err, fusefs.ErrNotShown) {
			return got, err
		}
	}
}

func (f *finder) hostNames() []string {
	var names []string
	for _, h := range f.hosts {
		names = append(names, h.Name)
	}
	return names
}

// inView follows parts, the path below a host's directory dir.
func (f *finder) inView(ctx context.Context, sh *shelf, dir string, parts []string) (*found, error) {
	view, rest := parts[0], parts[1:]
	dir += view
	shown, err := sh.view(view)
	if err != nil {
		return nil, notFound(strings.TrimSuffix(strings.TrimSuffix(dir, view), "/"), view)
	}
	if view == "latest" {
		rest = append([]string{""}, rest...) // its points stand in no directory of a time
	}
	if len(rest) == 0 {
		got := &found{path: dir, names: []string{}}
		for _, s := range shown {
			got.names = append(got.names, s.Name)
		}
		return got, nil
	}
	i := slices.IndexFunc(shown, func(s catalog.Shown) bool { return s.Name == rest[0] })
	if i < 0 {
		return nil, notFound(dir, rest[0])
	}
	dir = strings.TrimSuffix(dir+"/"+rest[0], "/")
	points := shown[i].Points
	if rest = rest[1:]; len(rest) == 0 {
		got := &found{path: dir}
		for _, p := range points { // a name is not believed before its point is; one that is damaged stays
			if _, err := sh.open(ctx, p.Object); errors.Is(err, fusefs.ErrNotShown) || ctx.Err() != nil {
				return nil, err
			}
			got.names = append(got.names, p.Source)
		}
		return got, nil
	}
	i = slices.IndexFunc(points, func(p catalog.Seen) bool { return p.Source == rest[0] })
	if i < 0 {
		return nil, notFound(dir, rest[0])
	}
	p, err := sh.open(ctx, points[i].Object)
	if err != nil {
		return nil, err
	}
	return f.inPoint(ctx, p, dir+"/"+rest[0], rest[1:])
}

// inPoint follows parts, the path below a point's root.
func (f *finder) inPoint(ctx context.Context, p *catalog.Opened, dir string, parts []string) (*found, error) {
	tree, err := catalog.OpenTree(f.fetcher, p.Root)
	if err != nil {
		return nil, err
	}
	got := &found{path: dir, point: p, tree: tree, below: strings.Join(parts, "/")}
	got.node, err = tree.Resolve(ctx, got.below)
	switch whole := dir + "/" + got.below; {
	case errors.Is(err, fs.ErrNotExist):
		return nil, hint{fmt.Errorf("%s is not in this point", quoteName(whole)), "tidemark ls " + quoteName(filepath.Dir(whole))}
	case err != nil:
		return nil, fmt.Errorf("%s: %w", quoteName(whole), err)
	}
	if got.below != "" {
		got.path += "/" + got.below
	}
	return got, nil
}

// view returns the directories of one view. Latest has one, without a name.
func (sh *shelf) view(name string) ([]catalog.Shown, error) {
	v := sh.arranged()
	switch name {
	case "hourly":
		return v.Hourly, nil
	case "daily":
		return v.Daily, nil
	case "weekly":
		return v.Weekly, nil
	case "monthly":
		return v.Monthly, nil
	case "latest":
		return []catalog.Shown{{Points: v.Latest}}, nil
	case "incomplete":
		return v.Incomplete, nil
	case "pinned":
		return v.Pinned, nil
	case "at":
		return v.Exact, nil
	}
	return nil, fs.ErrNotExist
}

// insideMount returns path without the mount point before it.
func insideMount(path string) (string, error) {
	if !filepath.IsAbs(path) {
		if path == "" {
			return "", nil
		}
		return strings.TrimPrefix(filepath.Clean("/"+path), "/"), nil
	}
	path = filepath.Clean(path)
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(mounts)) {
		point, ours := mountPoint(line)
		if !ours {
			continue
		}
		if rest, ok := strings.CutPrefix(path, point); ok && (rest == "" || rest[0] == '/') {
			return strings.TrimPrefix(rest, "/"), nil
		}
	}
	return "", hint{fmt.Errorf("%s is not in a mount of Tidemark", quoteName(path)), "the path in the mount alone: daily/2019-07-18/app/file"}
}

// mountPoint returns the mount point of a line of mountinfo, and whether a
// Tidemark is mounted there.
func mountPoint(line string) (string, bool) {
	before, after, ok := strings.Cut(line, " - ")
	fields := strings.Fields(before)
	if !ok || len(fields) < 5 || !strings.HasPrefix(after, "fuse.tidemark ") {
		return "", false
	}
	return unescapeMount(fields[4]), true
}

// unescapeMount undoes what the kernel does to paths in mountinfo: \040 for a space.
func unescapeMount(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if c := (s[i+1]-'0')<<6 | (s[i+2]-'0')<<3 | (s[i+3] - '0'); s[i+1] <= '3' {
				b.WriteByte(c)
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
