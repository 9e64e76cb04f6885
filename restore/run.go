package restore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/semaphore"

	"tidemark/catalog"
	"tidemark/pack"
)

const (
	// queuedEntries is how many entries wait for a worker.
	queuedEntries = 128

	// openListings is how many directories above the one that is listed keep
	// the pages of their listing. The others read them again on the way back.
	openListings = 32
)

// A run is one restore: what its parts share.
type run struct {
	cfg    Config
	tree   *catalog.Tree
	stop   context.CancelCauseFunc // ends the run
	uid    uint32                  // ours
	root   bool                    // that is root's
	temps  temps
	owners owners
	dirs   dirs
	links  *links // nil when a single entry is restored
	budget *semaphore.Weighted
	report report
	jobs   chan job
	disks  map[uint64]int // filesystems that were written to: device to descriptor
}

// A job is an entry, not a directory, to be restored in a directory.
type job struct {
	d   *dir
	row *catalog.Row
}

func newRun(cfg Config, tree *catalog.Tree, stop context.CancelCauseFunc) (*run, error) {
	if cfg.Workers == 0 {
		cfg.Workers = defaultWorkers
	}
	if cfg.MemoryBytes == 0 {
		cfg.MemoryBytes = defaultMemory
	}
	if cfg.Progress == nil {
		cfg.Progress = new(Progress)
	}
	if cfg.Notice == nil {
		cfg.Notice = func(string, error) {}
	}
	switch {
	case cfg.Chunks == nil:
		return nil, errors.New("restore: nowhere to take chunks from")
	case cfg.Workers < 0:
		return nil, fmt.Errorf("restore: %d workers", cfg.Workers)
	case cfg.MemoryBytes < 0:
		return nil, fmt.Errorf("restore: a memory of %d bytes", cfg.MemoryBytes)
	case cfg.Owners > OwnersByName:
		return nil, fmt.Errorf("restore: owners %d", cfg.Owners)
	}
	return &run{
		cfg: cfg, tree: tree, stop: stop,
		uid: uint32(os.Geteuid()), root: os.Geteuid() == 0,
		temps:  newTemps(),
		budget: semaphore.NewWeighted(cfg.MemoryBytes),
		report: report{notice: cfg.Notice},
		jobs:   make(chan job, queuedEntries),
		disks:  make(map[uint64]int),
	}, nil
}

// resolve returns the row at a path of the tree. A Node would do, were it not
// for the holes of a file.
func resolve(ctx context.Context, tree *catalog.Tree, path string) (catalog.Row, error) {
	if path == "" {
		return tree.Root(), nil
	}
	above, name := "", path
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		above, name = path[:i], path[i+1:]
	}
	d, err := tree.Resolve(ctx, above)
	if err != nil {
		return catalog.Row{}, err
	}
	_, rank, err := tree.LookupRank(ctx, &d, 0, name)
	if err != nil {
		return catalog.Row{}, err
	}
	row, _, err := tree.ListAt(&d, rank).Next(ctx)
	return row, err
}

func unreadable(n *catalog.Node) error {
	return fmt.Errorf("%w: %s", catalog.ErrUnreadable, n.Unreadable)
}

// entries restores everything below root.
func (r *run) entries(ctx context.Context, root *dir) {
	var workers sync.WaitGroup
	for range r.cfg.Workers {
		workers.Go(func() {
			for j := range r.jobs {
				if ctx.Err() == nil {
					r.entry(ctx, j.d, j.row)
				}
				r.done(ctx, j.d)
			}
		})
	}
	r.scan(ctx, root)
	close(r.jobs)
	workers.Wait()
}

// A frame is a directory that is being listed.
type frame struct {
	d    *dir
	rows *catalog.Listing // nil: to be listed again, after last
	last string           // the child that was entered last
	seen uint64           // names dealt with, with what is below them
}

// scan makes the directories below root, and gives everything else in them to
// the workers.
func (r *run) scan(ctx context.Context, root *dir) {
	root.pending.Add(1)
	stack := []frame{{d: root, rows: r.tree.List(&root.node, "")}}
	for len(stack) > 0 {
		f := &stack[len(stack)-1]
		var child *dir
		more := false
		if ctx.Err() == nil {
			child, more = r.next(ctx, f)
		}
		switch {
		case child != nil:
			if i := len(stack) - openListings; i >= 0 {
				stack[i].rows = nil
			}
			stack = append(stack, frame{d: child, rows: r.tree.List(&child.node, "")})
		case !more:
			r.done(ctx, f.d)
			stack = stack[:len(stack)-1]
		}
	}
}

// next deals with the next entry of f, and returns it if it is a directory
// that was made. It reports false at the end.
func (r *run) next(ctx context.Context, f *frame) (child *dir, more bool) {
	if f.rows == nil {
		f.rows = r.tree.List(&f.d.node, f.last)
	}
	row, ok, err := f.rows.Next(ctx)
	switch {
	case ctx.Err() != nil:
		return nil, false
	case err != nil && !ok:
		return nil, r.pass(ctx, f, err)
	case !ok:
		r.unknown(f, f.d.node.Below.Names)
		return nil, false
	}
	r.unknown(f, f.rows.Rank()-1)
	f.seen += max(row.Totals().Names, 1)
	switch {
	case err != nil:
		r.failed(f.d.join(row.Name), catalog.Totals{Names: 1}, err)
	case row.Type == catalog.Dir:
		if child, err = r.enter(f.d, &row.Node); err != nil {
			r.failed(f.d.join(row.Name), row.Totals(), err)
			return nil, true
		}
		f.last = row.Name
		f.d.pending.Add(1)
		child.pending.Add(1)
	default:
		f.d.pending.Add(1)
		select {
		case r.jobs <- job{f.d, &row}:
		case <-ctx.Done():
			r.done(ctx, f.d)
		}
	}
	return child, true
}

// pass goes on behind a page of f's directory that cannot be had. If it is
// damaged, what comes after it may still be read; where that begins is found
// by trying. It reports false if nothing can be read any more.
func (r *run) pass(ctx context.Context, f *frame, cause error) (more bool) {
	end := f.d.node.Below.Names
	from := end // names before the first that can be read
	if errors.Is(cause, pack.ErrDamaged) {
		from = r.readable(ctx, &f.d.node, f.seen, end)
	}
	if ctx.Err() != nil {
		return false
	}
	lost := catalog.Totals{Names: from - f.seen}
	r.failed(f.d.path(), lost, fmt.Errorf("%d names below it cannot be known: %w", lost.Names, cause))
	f.rows, f.seen = r.tree.ListAt(&f.d.node, from+1), from
	return from < end
}

// readable returns how many names of a directory come before the first entry
// behind a damaged page that can be read. The page begins after bad names.
func (r *run) readable(ctx context.Context, d *catalog.Node, bad, end uint64) uint64 {
	good := end
	try := func(before uint64) bool {
		rows := r.tree.ListAt(d, before+1)
		_, ok, err := rows.Next(ctx)
		if ok {
			good = rows.Rank() - 1
		}
		return ok || err == nil
	}
	for step := uint64(1); bad+step < end && !try(bad+step); step *= 2 {
		bad += step
	}
	for last := min(good, end); last-bad > 1; {
		if middle := bad + (last-bad)/2; try(middle) {
			last = middle
		} else {
			bad = middle
		}
	}
	return good
}

// unknown counts the names, up to so many of f's directory, that were below an
// entry which could not be read.
func (r *run) unknown(f *frame, before uint64) {
	if before > f.seen {
		r.passed(catalog.Totals{Names: before - f.seen})
		r.report.failed.Add(before - f.seen)
		f.seen = before
	}
}

// failed says that the entry at path is not restored, with all it contains.
// An error that leaves no hope for the others ends the run.
func (r *run) failed(path string, t catalog.Totals, err error) {
	if end := stops(path, err); end != nil {
		r.stop(end)
		return
	}
	r.passed(t)
	r.report.fail(path, t.Names, err)
}

// passed counts what was dealt with.
func (r *run) passed(t catalog.Totals) {
	r.cfg.Progress.Names.Add(t.Names)
	r.cfg.Progress.Bytes.Add(t.Bytes)
}

// done ends one thing that d waited for. A directory for which that was the
// last is finished, and so may be those above it.
func (r *run) done(ctx context.Context, d *dir) {
	for d != nil && d.pending.Add(-1) == 0 {
		r.finish(ctx, d)
		d = d.parent
	}
}

// temps gives out temporary names: ".tidemark-restore-", 26 letters and digits
// that are the run's, "-" and a number.
type temps struct {
	prefix string
	n      atomic.Uint64
}

func newTemps() temps { return temps{prefix: tempPrefix + rand.Text() + "-"} }

func (t *temps) next() string { return fmt.Sprintf("%s%d", t.prefix, t.n.Add(1)) }

const (
	tempPrefix = ".tidemark-restore-"
	tempRunLen = 26 // of rand.Text
)

// isTemp reports whether name may be one that a run gave out.
func isTemp(name string) bool {
	rest, ok := strings.CutPrefix(name, tempPrefix)
	if !ok || len(rest) < tempRunLen+2 || rest[tempRunLen] != '-' {
		return false
	}
	_, err := strconv.ParseUint(rest[tempRunLen+1:], 10, 64)
	return err == nil
}
