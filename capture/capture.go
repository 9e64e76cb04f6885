// Package capture makes points: it reads a source, stores what the repository
// does not have, and commits one point that names it all.
//
//	scan ──events──▶ build ──pages──▶ tree packs ─┐
//	  │                ▲                          ├──▶ store ──▶ intent, look, point
//	  └────files────▶ read ──chunks─▶ data packs ─┘
//
// The scan walks the source beside the tree of the point before, the parent:
// what is as it was is not opened, and a page that would be equal is not
// written. Everything is a stream with bounded buffers, so memory does not
// follow the size of the source, and the whole is as fast as its slowest part.
//
// Capturing needs no more than a [keys.CaptureKey]. The parent's pages come
// from the repository for who holds the secret, and else from the mirror that
// the state directory keeps of them.
//
// The order of writes is docs/format.md, section 14: whatever an object names
// is durable before the object is. A capture that ends early, however it ends,
// leaves packs that nothing names; their chunks are found again through index/.
package capture

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"tidemark/capture/walk"
	"tidemark/catalog"
	"tidemark/chunk"
	"tidemark/keys"
	"tidemark/pack"
	"tidemark/store"
)

// attempts is how often a capture begins again when packs that it wanted to
// refer to were being deleted.
const attempts = 3

// racyWindow is how close to the instant of a point the ctime of a file may be
// for its size and time to prove nothing: filesystem clocks are coarse, and a
// write within the same tick does not change them.
const racyWindow = 2 * time.Second

// A Capturer captures sources of one host into one repository, one at a time.
type Capturer struct {
	Key   *keys.CaptureKey
	Store store.Store

	// StateDir is this machine's memory of the repository: the copy of index/ and the
	// mirror of the newest trees. Losing it costs a full read of the sources,
	// not a full upload. It is made if it is missing.
	StateDir string

	// TempDir is for temporary files, which have no names. They grow with
	// directories of millions of entries and with runs of terabytes. Default
	// /var/tmp.
	TempDir string

	Rand io.Reader        // crypto/rand.Reader but in tests
	Now  func() time.Time // the host's clock

	// Mirror keeps in StateDir what the next capture needs of this one's tree,
	// for a host that cannot read it back from the repository.
	Mirror bool

	// Notice is told of objects that are left aside because something is
	// wrong with them. It may be called concurrently. Nil: nobody is told.
	Notice func(object string, err error)

	// Version is the program's, for the point.
	Version string
}

// A Source is a directory to capture.
type Source struct {
	Name             string   // in the repository
	Path             string   // on this host
	Exclude          []string // patterns; see newFilter
	CrossFilesystems bool     // enter other filesystems
	MeanLen          int      // of chunks, bytes; 0: 256 KiB

	filter *filter
}

func (s *Source) skip(dir string, e *walk.Entry) bool {
	return s.filter.excludes(dir, e.Name, e.Stat.IsDir())
}

// A Parent is the point that a capture starts from: the newest of the source.
type Parent struct {
	Object string         // its object's name
	Sum    [32]byte       // SHA-256 of its object, for Request.Previous
	Point  *catalog.Point // opened and verified
	Tree   *catalog.Tree  // its tree
	Pages  catalog.Pages  // where its pages come from
}

// A Request is one capture.
type Request struct {
	Source   Source
	Parent   *Parent   // nil: everything is read
	Previous *[32]byte // SHA-256 of the object of the source's newest point; nil: there is none, or it is not known
	Sequence uint64    // of the point: above all of the source's

	// Time is what the point is filed under, in whole seconds. Zero: when
	// the capture begins. It is another for older history that is taken over.
	Time time.Time

	// Label is a name for the point, or empty.
	Label string

	// Progress is counted in while the capture runs. Nil: nobody looks.
	Progress *Progress
}

// A Result is a point that was committed.
type Result struct {
	Object     string // its object's name
	Name       catalog.PointName
	Point      *catalog.Point
	Unreadable uint64 // nodes that could not be captured whole; the point lists the first
}

// errTaken means that packs which a new point would name are being deleted.
type errTaken struct {
	packs  []packKey
	parent bool // the parent is gone
}

func (e *errTaken) Error() string {
	if e.parent {
		return "capture: the point before was deleted meanwhile"
	}
	return fmt.Sprintf("capture: %d packs that the point needs were deleted meanwhile", len(e.packs))
}

// Capture makes one point of a source, under Lock. When it returns an error there is none,
// but for a failure of the store's answer to the last write: then there may be
// one, and it is whole.
func (c *Capturer) Capture(ctx context.Context, req Request) (*Result, error) {
	var err error
	if req.Source.filter, err = newFilter(req.Source.Exclude); err != nil {
		return nil, err
	}
	if req.Progress == nil {
		req.Progress = &Progress{}
	}
	if c.TempDir == "" {
		c.TempDir = "/var/tmp"
	}
	if err := os.MkdirAll(c.StateDir, 0o700); err != nil {
		return nil, fmt.Errorf("capture: state directory: %w", err)
	}
	banned, err := c.condemned(ctx)
	if err != nil {
		return nil, err
	}
	for try := 1; ; try++ {
		req.Progress.reset() // the numbers are those of the attempt that succeeds
		r, err := c.attempt(ctx, req, banned)
		var taken *errTaken
		if err == nil || !errors.As(err, &taken) && !c.parentDamaged(err, req) || try == attempts {
			return r, err
		}
		c.notice(req.Source.Name, fmt.Errorf("beginning again: %w", err))
		if taken == nil || taken.parent {
			req.Parent = nil
		}
		if taken != nil && taken.parent {
			req.Previous = nil
		}
		if taken != nil {
			for _, p := range taken.packs {
				banned[p] = true
			}
		}
	}
}

// Lock keeps other captures of this host out until unlock: whoever captures
// holds it, from before it looks which point is the newest. It ends with the
// process, however that ends.
func (c *Capturer) Lock() (unlock func(), err error) {
	if err := os.MkdirAll(c.StateDir, 0o700); err != nil {
		return nil, fmt.Errorf("capture: state directory: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(c.StateDir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("capture: state directory: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("capture: another capture is running with the state directory %s; wait until it is done", c.StateDir)
		}
		return nil, fmt.Errorf("capture: lock the state directory %s: %w", c.StateDir, err)
	}
	return func() { _ = f.Close() }, nil
}

// parentDamaged reports whether err says that the parent's pages cannot be
// read, so that going on without them, reading everything, may do. Damage to
// the header of a pack may look like a later version, or like another key.
func (c *Capturer) parentDamaged(err error, req Request) bool {
	if req.Parent == nil {
		return false
	}
	for _, why := range []error{pack.ErrDamaged, pack.ErrTooOld, keys.ErrNotForUs, chunk.ErrCorrupt} {
		if errors.Is(err, why) {
			return true
		}
	}
	return false
}

func (c *Capturer) notice(object string, err error) {
	if c.Notice != nil {
		c.Notice(object, err)
	}
}

// capturing is one attempt: what its parts share.
type capturing struct {
	c       *Capturer
	req     Request
	began   time.Time
	run     *run
	builder *builder
	bad     *unreadable
	reused  map[packKey]string // packs of earlier runs that chunks were found in, with their hosts
}

// attempt captures once.
func (c *Capturer) attempt(ctx context.Context, req Request, banned map[packKey]bool) (*Result, error) {
	a := &capturing{c: c, req: req, began: c.Now(), bad: &unreadable{}}
	x, err := c.openIndex(ctx)
	if err != nil {
		return nil, err
	}
	defer x.close()
	x.banned = banned
	links, err := walk.NewLinks(walk.LinksConfig{RecordLen: len(catalog.LinkGroup{}), TempDir: c.TempDir})
	if err != nil {
		return nil, err
	}
	defer links.Close()

	readers, err := a.readers(x)
	if err != nil {
		return nil, err
	}
	g, gctx := errgroup.WithContext(ctx)
	a.run, err = c.begin(gctx, g, &a.req)
	if err != nil {
		return nil, errors.Join(err, g.Wait())
	}
	defer a.run.close()
	x.run = a.run.keys.ID
	a.tree(gctx, g, readers, links)
	if err := g.Wait(); err != nil {
		return nil, errors.Join(err, a.run.abandon(ctx))
	}
	a.reused = x.reused
	return a.commit(ctx)
}

// readers makes the readers, without what the run gives them.
func (a *capturing) readers(x *index) ([]*reader, error) {
	table := chunk.NewTable(a.c.Key.Chunking())
	params := chunk.Params{MeanLen: a.req.Source.MeanLen}
	var all []*reader
	for range readerCount {
		s, err := chunk.NewSplitter(table, params, nil)
		if err != nil {
			return nil, fmt.Errorf("capture: source %q: %w", a.req.Source.Name, err)
		}
		all = append(all, &reader{index: x, splitter: s})
	}
	return all, nil
}

// tree starts everything that makes the tree, in g.
func (a *capturing) tree(ctx context.Context, g *errgroup.Group, readers []*reader, links *walk.Links) {
	ids := chunk.NewKeys(a.c.Key.Group.Secret())
	a.builder = &builder{run: a.run, keys: ids, parent: a.req.Parent, delta: newUsageDelta(), bad: a.bad}
	jobs := make(chan *job, queuedFiles)
	for _, r := range readers {
		r.run, r.builder, r.keys = a.run, a.builder, ids
		g.Go(func() error { return r.serve(ctx, jobs) })
	}
	events := make(chan event, queuedRows)
	s := &scanner{
		c: a.c, run: a.run, progress: a.req.Progress, reader: readers[0], parent: a.req.Parent,
		links: links, inodes: map[inode]*job{}, events: events, jobs: jobs,
	}
	if p := a.req.Parent; p != nil {
		s.racy = p.Point.Instant
		s.racy.Sec -= int64(racyWindow / time.Second)
	}
	g.Go(func() error { return s.scan(ctx, a.req.Source) })
	g.Go(func() error {
		// When the events are over so are the files: each row waits for its own.
		if err := a.builder.build(ctx, events); err != nil {
			return err
		}
		if err := a.builder.finish(ctx); err != nil {
			return err
		}
		return a.run.finish(ctx)
	})
}
