// Package walk reads a live directory tree for a capture: the names of each
// directory in the order of their bytes, with all that statx tells of them,
// depth first. Several workers read ahead of the consumer, memory and
// descriptors are bounded however large a directory or deep a tree is, and no
// file is opened to learn what it is.
//
//	Open ──▶ Dir ──Next──▶ Entry, Entry, …   names in byte order
//	          ├──Child(entry)──▶ Dir         most often read already
//	          └──OpenFile, Readlink, Xattrs(entry)   only when asked
//
// A [Dir] is listed whole before its first entry is given, since the kernel
// gives names in no order. A listing that is larger than its share of memory
// goes, in sorted runs, to an unlinked temporary file and is merged from there.
//
// Nothing is reached by a path once the root is open. Each directory is opened
// from its parent's descriptor without following a symlink, and everything
// that is opened must still be the inode that statx told of: what was put in
// its place in the meantime is [ErrChanged] and is not read.
//
// A listing is whole or it is an error: what could not be read of a directory
// is the error of [Dir.Next] after the names that could be, never a shorter
// list. Names that were gone before statx reached them are the exception, and
// [Dir.Vanished] counts them.
//
// Beside the walk stand [Owners], the names of users and groups, and [Links],
// a table of inodes that stays within its memory.
package walk

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

// ErrChanged means that a name no longer leads to the inode that its [Entry]
// tells of: it was replaced, something was mounted over it, or a directory
// above was moved.
var ErrChanged = errors.New("replaced since its directory was read")

// ErrVanished means that a name which its directory had is gone.
var ErrVanished = errors.New("removed since its directory was read")

// errClosed is the end of a walk that the consumer closed, errDirClosed that of
// a Dir.
var (
	errClosed    = errors.New("closed")
	errDirClosed = errors.New("walk: the directory was closed")
)

// Config configures a walk. The zero value of a field means its default.
type Config struct {
	// Workers is how many goroutines read beside the consumer's own, both
	// directories ahead of it and the parts of a large one. Default 8: more
	// gains nothing on local disks, and eight hide most of the latency of
	// others.
	Workers int

	// OneFilesystem keeps the walk on the root's mount: what lies on another
	// has Boundary set and is not entered. See [Entry].
	OneFilesystem bool

	// Memory bounds, in bytes, the names and stats kept of all directories
	// that are open or read ahead. Default 32 MiB, which is about 150,000
	// entries. Beside it, each goroutine that reads takes up to 1.5 MiB
	// while it is in a directory of thousands of names.
	Memory int64

	// SortMemory is the part of Memory that one directory may take before
	// its names go to TempDir. Default an eighth of Memory.
	SortMemory int64

	// TempDir is the directory for the temporary file, which is made when
	// it is first needed, is readable by its owner only, and has no name. It
	// should be on a disk. Default /var/tmp, since /tmp is often memory.
	TempDir string

	// Skip, if not nil, leaves out the entries for which it returns true, as
	// if they were not there. dir is the path of their directory below the
	// root, "" for the root itself. It is called while a directory is read,
	// by several goroutines at once, for entries in no order, of which some
	// may have Err in place of Stat, and must not keep e.
	Skip func(dir string, e *Entry) bool
}

// Defaults and limits.
const (
	defaultWorkers = 8
	defaultMemory  = 32 << 20 // bytes
	sortShare      = 8        // one directory may take 1/sortShare of Memory
	defaultTempDir = "/var/tmp"

	// aheadPerWorker is how many directories are read ahead for each worker.
	// Each holds a descriptor until it is asked for. With 16 the workers
	// keep busy while the consumer is in a few large files.
	aheadPerWorker = 16

	// openChain is how many directories between the consumer's and the root
	// keep their descriptor. Those above are opened again on the way back,
	// so it bounds descriptors, not depth.
	openChain = 32
)

// withDefaults returns c with defaults for what is zero.
func (c Config) withDefaults() (Config, error) {
	if c.Workers < 0 || c.Memory < 0 || c.SortMemory < 0 {
		return c, errors.New("walk: configuration: workers and memory cannot be negative")
	}
	if c.Workers == 0 {
		c.Workers = defaultWorkers
	}
	if c.Memory == 0 {
		c.Memory = defaultMemory
	}
	if c.SortMemory == 0 {
		c.SortMemory = c.Memory / sortShare
	}
	if c.TempDir == "" {
		c.TempDir = defaultTempDir
	}
	return c, nil
}

// Open starts a walk of the directory root and reads that directory. A root
// that is a symlink is followed; nothing below is. The walk ends when ctx does
// or when the returned Dir is closed, which must happen in any case.
//
// A system call cannot be interrupted: on a filesystem that hangs, so do the
// methods of [Dir], Close included.
func Open(ctx context.Context, root string, cfg Config) (*Dir, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("walk: open %s: %w", shown(root), context.Cause(ctx))
	}
	t := &tree{cfg: cfg, path: root, done: make(chan struct{})}
	t.temp.dir = cfg.TempDir
	t.bufs.New = func() any { return new(buffers) }
	t.root = &Dir{t: t, listed: make(chan struct{})}
	t.cur = t.root
	t.unwatch = context.AfterFunc(ctx, func() { t.stop(context.Cause(ctx)) })
	t.root.read()
	if err := t.root.openErr; err != nil {
		t.root.Close()
		return nil, err
	}
	t.readAhead()
	return t.root, nil
}

// tree is a walk: what its directories have in common.
type tree struct {
	cfg     Config
	path    string // the root's, as it was given; for messages
	root    *Dir
	bufs    sync.Pool // of *buffers
	temp    tempFile
	unwatch func() bool // stops watching the context

	done    chan struct{}  // closed by stop
	workers sync.WaitGroup // all goroutines that read ahead

	mu     sync.Mutex
	ended  error // why the walk is over; guarded by mu, as is all below
	cur    *Dir  // where the consumer is: the Dir that was opened last
	busy   int   // goroutines that read now, at most cfg.Workers
	ahead  int   // directories read ahead, or being read, and not yet asked for
	memory int64 // bytes of entries held
}

// stop ends the walk: whoever reads stops at the next chance.
func (t *tree) stop(cause error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended == nil {
		t.ended = cause
		close(t.done)
	}
}

// err returns why the walk is over, or nil if it is not.
func (t *tree) err() error {
	select {
	case <-t.done:
		t.mu.Lock()
		defer t.mu.Unlock()
		return fmt.Errorf("walk: %s: %w", shown(t.path), t.ended)
	default:
		return nil
	}
}

// reserve takes n bytes of the walk's memory, if there are as many.
func (t *tree) reserve(n int64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.memory+n > t.cfg.Memory {
		return false
	}
	t.memory += n
	return true
}

// release gives back what reserve took.
func (t *tree) release(n int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.memory -= n
}

// enters reports whether e is a directory that a walk goes into.
func (t *tree) enters(e *Entry) bool {
	return e.Err == nil && e.Stat.IsDir() && !e.Boundary
}

// boundary reports whether something other than the directory dir's own
// filesystem begins at s. Devices are compared for directories only: overlayfs
// gives files the device of the layer that they are in. A kernel before 5.8
// tells no mount, and then a bind mount of the same filesystem is not seen.
func (t *tree) boundary(dir, s *Stat) bool {
	if s.IsDir() && s.Attributes&unix.STATX_ATTR_AUTOMOUNT != 0 {
		return true
	}
	if !t.cfg.OneFilesystem {
		return false
	}
	return s.IsDir() && s.Dev != dir.Dev || s.MountID != dir.MountID
}

// shown returns path for a message: quoted, since a name may hold anything,
// and without its middle if it is very long.
func shown(path string) string {
	const most = 1000 // bytes
	if len(path) > most {
		path = path[:most/2] + " … " + path[len(path)-most/2:]
	}
	if quoted := strconv.Quote(path); len(quoted) != len(path)+2 {
		return quoted
	}
	return path
}
