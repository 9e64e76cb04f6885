package restore

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// A report collects what becomes of entries, for the Result.
type report struct {
	notice func(path string, err error)

	files, dirs, others, links, bytes, skipped, failed atomic.Uint64

	mu       sync.Mutex
	failures []Failure // guarded by mu
	losses   []Loss    // guarded by mu; in the order of their first
}

// fail says that the entry at path, and with it names entries, are not restored.
func (r *report) fail(path string, names uint64, err error) {
	r.failed.Add(names)
	r.mu.Lock()
	if len(r.failures) < MaxFailures {
		r.failures = append(r.failures, Failure{path, err})
	}
	r.mu.Unlock()
	r.notice(path, err)
}

// A loss is an aspect that could not be kept of an entry, and why.
type loss struct {
	aspect Aspect
	err    error
}

// lose says what could not be kept of the entry at path.
func (r *report) lose(path string, losses ...loss) {
	for _, l := range losses {
		if r.first(path, l) {
			r.notice(path, fmt.Errorf("%s not kept, which is said once for all: %w", l.aspect, l.err))
		}
	}
}

// first counts l, and reports whether it is the first of its kind.
func (r *report) first(path string, l loss) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.losses {
		if r.losses[i].Aspect == l.aspect {
			r.losses[i].Count++
			return false
		}
	}
	r.losses = append(r.losses, Loss{Aspect: l.aspect, Count: 1, Path: path, Err: l.err})
	return true
}

func (r *report) result() Result {
	r.mu.Lock()
	defer r.mu.Unlock()
	return Result{
		Files: r.files.Load(), Dirs: r.dirs.Load(), Others: r.others.Load(), Links: r.links.Load(),
		Bytes: r.bytes.Load(), Skipped: r.skipped.Load(),
		Failed: r.failed.Load(), Failures: r.failures, Losses: r.losses,
	}
}

// stops returns what to tell the user if err, of writing to the target, says
// that going on is of no use; else nil.
func stops(path string, err error) error {
	switch {
	case errors.Is(err, unix.ENOSPC):
		return fmt.Errorf("%q: %w: the disk is full, or has no inodes left; what is complete stays: make room and restore again", path, err)
	case errors.Is(err, unix.EDQUOT):
		return fmt.Errorf("%q: %w; what is complete stays: make room and restore again", path, err)
	case errors.Is(err, unix.EROFS):
		return fmt.Errorf("%q: %w", path, err)
	}
	return nil
}
