package fusefs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"runtime/debug"
	"sync"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	"tidemark/catalog"
)

// Errors of this package that are an errno by themselves.
const (
	errNameTooLong = syscall.ENAMETOOLONG
	errIsDir       = syscall.EISDIR
	errNotLink     = syscall.EINVAL
	errReadOnly    = syscall.EROFS
	errNoData      = syscall.ENODATA // no such extended attribute
	errTooSmall    = syscall.ERANGE  // the buffer, for an extended attribute
	errNoOffset    = syscall.ENXIO   // no data, or no hole, from there on
)

// status turns the error of a request into what the kernel is told. It is the
// one place that does. where is what was asked of: a node's path, or less if
// that is not known.
func (m *mount) status(ctx context.Context, op, where string, err error) fuse.Status {
	switch {
	case err == nil:
		return fuse.OK
	case ctx.Err() != nil:
		return fuse.EINTR // the reader was interrupted, nothing failed
	case errors.Is(err, errStale):
		return fuse.Status(syscall.ESTALE)
	case errors.Is(err, catalog.ErrNotDirectory):
		return fuse.ENOTDIR
	case notThere(err):
		return fuse.ENOENT
	}
	if errno, ours := err.(syscall.Errno); ours {
		return fuse.Status(errno)
	}
	m.failures.say(op, where, err)
	return fuse.EIO
}

// notThere reports whether err says that a name does not exist. An errno that
// is wrapped is the system's: it is about some file of this machine, or a
// connection, and says nothing about a name in the mount.
func notThere(err error) bool {
	_, wrapped := errors.AsType[syscall.Errno](err)
	return errors.Is(err, fs.ErrNotExist) && !wrapped
}

// maxFailures is how many different failures are logged between two calls of
// renew: enough to see what is wrong, not enough to fill a disk.
const maxFailures = 50

// failures logs what could not be read, each failure once until renew.
type failures struct {
	log *slog.Logger

	mu    sync.Mutex
	said  map[string]bool // by error; guarded by mu
	count int             // of those not said; guarded by mu
}

func (f *failures) say(op, where string, err error) {
	text := err.Error()
	f.mu.Lock()
	full := len(f.said) >= maxFailures
	if f.said[text] || full {
		f.count++
		f.mu.Unlock()
		return
	}
	f.said[text] = true
	f.mu.Unlock()
	f.log.Error("reading failed", "what", op, "path", where, "error", text)
}

// renew lets every failure be said again.
func (f *failures) renew() {
	f.mu.Lock()
	count := f.count
	f.count = 0
	clear(f.said)
	f.mu.Unlock()
	if count > 0 {
		f.log.Error("reading failed more often, for reasons already given or too many to list", "times", count)
	}
}

// panicked is told of a panic in a request, which fails that request only.
func (f *failures) panicked(value any) fuse.Status {
	f.log.Error("a request failed by a mistake in this program", "panic", fmt.Sprint(value), "stack", string(debug.Stack()))
	return fuse.EIO
}
