package capture

import (
	"fmt"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// A filter leaves out what the user's patterns match. They are read as in a
// .gitignore without negation: one with a slash before its end is matched
// against the path below the source, any other against the name alone; a
// slash at the end says directories only; * and ? do not match a slash, ** does.
type filter struct{ rules []rule }

type rule struct {
	pattern string
	path    bool // matched against the path
	dirs    bool // directories only
}

// newFilter reads patterns.
func newFilter(patterns []string) (*filter, error) {
	f := &filter{}
	for _, p := range patterns {
		r := rule{pattern: p}
		r.pattern, r.dirs = strings.CutSuffix(r.pattern, "/")
		r.path = strings.Contains(r.pattern, "/")
		r.pattern = strings.TrimPrefix(r.pattern, "/")
		if r.pattern == "" || !doublestar.ValidatePattern(r.pattern) {
			return nil, fmt.Errorf("capture: exclude pattern %q: not a pattern; see `tidemark capture --help`", p)
		}
		f.rules = append(f.rules, r)
	}
	return f, nil
}

// excludes reports whether the entry name of the directory dir, a path below the source, is left out.
func (f *filter) excludes(dir, name string, isDir bool) bool {
	path := name
	if dir != "" {
		path = dir + "/" + name
	}
	for _, r := range f.rules {
		if r.dirs && !isDir {
			continue
		}
		subject := name
		if r.path {
			subject = path
		}
		if doublestar.MatchUnvalidated(r.pattern, subject) {
			return true
		}
	}
	return false
}
