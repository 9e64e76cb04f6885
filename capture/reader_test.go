package capture_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"reflect"
	"strings"
	"testing"

	"tidemark/catalog"
	"tidemark/fetch"
	"tidemark/keys"
	"tidemark/store"
)

// A reading is all that a reader finds who has a repository and an identity,
// and knows nothing else of it.
type reading struct {
	err    error    // why nothing can be read; else nil
	said   []error  // what was passed over
	hosts  []string // by name
	points map[string]*readPoint
	marks  int
	rules  bool
}

// A readPoint is one that is shown: what it holds, or why it does not open.
type readPoint struct {
	err     error
	point   catalog.Point
	nodes   map[string]readNode // by path
	dirs    map[string]error    // by path: why a directory was not listed to its end
	lookups map[string]error    // by path: why what is listed is not found by its name
}

// A readNode is an entry as its directory lists it.
type readNode struct {
	row catalog.Row
	sum [32]byte // of a file's content
	err error    // instead of it
}

// readAll reads everything that s has.
func readAll(t testing.TB, s store.Store, identity keys.Identity) *reading {
	t.Helper()
	r := &reading{points: map[string]*readPoint{}}
	r.err = r.read(t.Context(), s, identity)
	return r
}

func (r *reading) read(ctx context.Context, s store.Store, identity keys.Identity) error {
	secret, err := r.open(ctx, s, identity)
	if err != nil {
		return err
	}
	roster := catalog.Roster{Objects: objectsOf{s}, Keys: catalog.SecretKeyring(secret)}
	features, err := roster.ReadFeatures(ctx)
	if err != nil {
		return err
	}
	if err := catalog.CheckFeatures(features, catalog.Reading); err != nil {
		return err
	}
	hosts, notices, err := roster.ReadHosts(ctx)
	if err != nil {
		return err
	}
	r.say(notices)
	rules, notices, err := roster.ReadRules(ctx)
	if err != nil {
		return err
	}
	r.say(notices)
	r.rules = rules != nil
	f, err := fetch.New(fetch.Config{}, secret.Repository, s, secret)
	if err != nil {
		return err
	}
	defer f.Close()
	for _, h := range hosts {
		r.hosts = append(r.hosts, h.Name)
		if err := r.readHost(ctx, roster, f, h); err != nil {
			return err
		}
	}
	return nil
}

// open finds the repository's secret.
func (r *reading) open(ctx context.Context, s store.Store, identity keys.Identity) (*keys.Secret, error) {
	b, err := store.ReadAll(ctx, s, catalog.RepositoryObject, catalog.MaxRepositoryLen)
	if err != nil {
		return nil, err
	}
	id, err := catalog.ParseRepository(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", catalog.RepositoryObject, err)
	}
	var best *keys.Secret
	err = s.List(ctx, "keys/", "", func(o store.Info) error {
		b, err := store.ReadAll(ctx, s, o.Key, keys.MaxKeyFile)
		if err != nil {
			return err
		}
		secret, err := keys.OpenSecret(b, []keys.Identity{identity})
		if err == nil && secret.Repository != id {
			err = fmt.Errorf("its repository is not that of %s", catalog.RepositoryObject)
		}
		if err != nil {
			r.said = append(r.said, fmt.Errorf("%s: %w", o.Key, err))
		} else if best == nil || secret.Better(best) {
			best = secret
		}
		return nil
	})
	if err == nil && best == nil {
		err = fmt.Errorf("no key opens: %w", errors.Join(r.said...))
	}
	return best, err
}

func (r *reading) say(notices []catalog.Notice) {
	for _, n := range notices {
		r.said = append(r.said, fmt.Errorf("%s: %w", n.Object, n.Err))
	}
}

func (r *reading) readHost(ctx context.Context, roster catalog.Roster, f *fetch.Fetcher, h catalog.Host) error {
	marks, notices, err := roster.ReadMarks(ctx, h)
	if err != nil {
		return err
	}
	r.say(notices)
	r.marks += len(marks)
	entries, notices, err := roster.ReadPoints(ctx, h)
	if err != nil {
		return err
	}
	r.say(notices)
	opened, notices, err := roster.OpenPoints(ctx, h, entries)
	if err != nil {
		return err
	}
	r.say(notices)
	why := map[string]error{}
	for _, n := range notices {
		why[n.Object] = n.Err
	}
	byObject := map[string]*catalog.Opened{}
	for _, p := range opened {
		if p != nil {
			byObject[p.Object] = p
		}
	}
	for _, e := range catalog.Believe(entries, opened, notices) {
		p := &readPoint{err: why[e.Object]}
		if o := byObject[e.Object]; o != nil {
			p.read(ctx, f, &o.Point)
		}
		r.points[e.Object] = p
	}
	return nil
}

func (p *readPoint) read(ctx context.Context, f *fetch.Fetcher, point *catalog.Point) {
	p.point = *point
	p.nodes, p.dirs, p.lookups = map[string]readNode{}, map[string]error{}, map[string]error{}
	tree, err := catalog.OpenTree(f, point.Root)
	if err != nil {
		p.err = err
		return
	}
	p.walk(ctx, f, tree, "", tree.Root())
}

// walk reads what is at and below at.
func (p *readPoint) walk(ctx context.Context, f *fetch.Fetcher, tree *catalog.Tree, at string, row catalog.Row) {
	node := readNode{row: row}
	if row.Type == catalog.File {
		node.sum, node.err = contentSum(ctx, f, tree, &row.Node)
	}
	p.nodes[at] = node
	if row.Type != catalog.Dir {
		return
	}
	rows := tree.List(&row.Node, "")
	for {
		child, ok, err := rows.Next(ctx)
		if err != nil {
			p.dirs[at] = err
		}
		if err != nil || !ok {
			return
		}
		name := path.Join(at, child.Name)
		p.walk(ctx, f, tree, name, child)
		n, err := tree.Resolve(ctx, name)
		if err == nil && !reflect.DeepEqual(n, child.Node) {
			err = errors.New("another node")
		}
		if err != nil {
			p.lookups[name] = err
		}
	}
}

// contentSum reads a file's content and returns its SHA-256.
func contentSum(ctx context.Context, f *fetch.Fetcher, tree *catalog.Tree, n *catalog.Node) (sum [32]byte, err error) {
	h := sha256.New()
	h.Write(n.Inline)
	length := uint64(len(n.Inline))
	if n.Size > catalog.MaxInlineLen {
		extents := tree.Extents(n, 0)
		for {
			_, x, ok, err := extents.Next(ctx)
			if err != nil {
				return sum, err
			}
			if !ok {
				break
			}
			length += x.Len
			if x.Zero {
				h.Write(make([]byte, x.Len))
				continue
			}
			c, err := f.Chunk(ctx, x.ID, x.Place)
			if err != nil {
				return sum, err
			}
			h.Write(c.Bytes())
			c.Release()
		}
	}
	if length != n.Size {
		return sum, fmt.Errorf("%d bytes of %d, and no error", length, n.Size)
	}
	return [32]byte(h.Sum(nil)), nil
}

// A verdict compares what was read after some objects were damaged with what
// was read before. Everything must be as it was, or an error that names one of
// those objects.
type verdict struct {
	touched []string // objects that are not as they were
	gone    bool     // they were deleted: a LIST does not tell that

	wrong         []string // what is neither right nor an error as it must be
	right, failed int      // files and directories
}

func (v *verdict) complain(format string, args ...any) {
	if len(v.wrong) < 5 {
		v.wrong = append(v.wrong, fmt.Sprintf(format, args...))
	}
}

// fits reports whether err is one that a reader may get for the damage.
func (v *verdict) fits(err error) bool {
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return false
	}
	for _, object := range v.touched {
		if strings.Contains(err.Error(), object) {
			return true
		}
	}
	return false
}

func (v *verdict) anyFits(errs []error) bool {
	for _, err := range errs {
		if v.fits(err) {
			return true
		}
	}
	return false
}

// judge compares was, a reading of the whole repository, with got.
func (v *verdict) judge(was, got *reading) {
	for _, err := range got.said {
		if !v.fits(err) {
			v.complain("it says %v", err)
		}
	}
	if got.err != nil {
		if !v.fits(got.err) {
			v.complain("nothing can be read: %v", got.err)
		}
		v.failed++
		return
	}
	said := v.anyFits(got.said) || v.gone
	if (len(got.hosts) < len(was.hosts) || got.marks < was.marks || was.rules && !got.rules) && !said {
		v.complain("hosts %v, %d marks, rules %t, and nothing is said", got.hosts, got.marks, got.rules)
	}
	for object, p := range was.points {
		now := got.points[object]
		switch {
		case now == nil:
			if v.failed++; !said {
				v.complain("%s is not shown, and nothing is said", object)
			}
		case now.err != nil:
			if v.failed++; !v.fits(now.err) {
				v.complain("%s: %v", object, now.err)
			}
		case !reflect.DeepEqual(now.point, p.point):
			v.complain("%s is another point", object)
		default:
			v.judgeTree(object, p, now)
		}
	}
	for object, p := range got.points {
		if was.points[object] == nil && !v.fits(p.err) {
			v.complain("%s was never made, and it opens: %v", object, p.err)
		}
	}
}

func (v *verdict) judgeTree(object string, was, got *readPoint) {
	for dir, err := range got.dirs {
		if !v.fits(err) {
			v.complain("%s: directory %q: %v", object, dir, err)
		}
	}
	for name, err := range got.lookups {
		if !v.fits(err) {
			v.complain("%s: %q is listed, and looking it up gives %v", object, name, err)
		}
	}
	for name, node := range was.nodes {
		now, there := got.nodes[name]
		switch {
		case !there && !got.excused(name):
			v.complain("%s: %q is not there, and its directory has no error", object, name)
		case !there, now.err != nil:
			if v.failed++; there && !v.fits(now.err) {
				v.complain("%s: %q: %v", object, name, now.err)
			}
		case !reflect.DeepEqual(now.row, node.row) || now.sum != node.sum:
			v.complain("%s: %q is wrong", object, name)
		default:
			v.right++
		}
	}
	for name := range got.nodes {
		if _, there := was.nodes[name]; !there {
			v.complain("%s: %q was never there", object, name)
		}
	}
}

// excused reports whether a directory above name could not be listed.
func (p *readPoint) excused(name string) bool {
	for name != "" {
		if name = path.Dir(name); name == "." {
			name = ""
		}
		if p.dirs[name] != nil {
			return true
		}
	}
	return false
}
