// Package restore writes a tree of a point, a part of it or one file to a
// directory: the target.
//
//	Tree ──▶ scan ──▶ directories, made on the way down ──────────────┐
//	           │                                                      ▼
//	           └──entries──▶ workers ──▶ temporary name ──▶ name ──▶ finish
//	                            ▲                                     │
//	                 Chunks ────┘             metadata of directories, deepest first
//
// Three things hold whatever happens. Nothing is written outside the target:
// every name is one component, taken from a directory that is open, and no
// symlink is followed, so neither names nor links in the tree lead out, nor
// does somebody who changes the target meanwhile. What has its name is whole:
// a file is written under a temporary name, and gets its own when content and
// metadata are complete, so that an interrupted restore can be run again and
// goes on from there. And what could not be restored is told, never left out
// in silence: an entry that failed, or an aspect of one that could not be kept,
// such as its owner for who is not root.
//
// A hard link to a file that has a name already is made from a directory in
// the target that only this process can enter, where every file of several
// names has one more until the end. So the table of link groups is on disk,
// and memory does not follow the size of the tree.
package restore

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"tidemark/catalog"
	"tidemark/chunk"
	"tidemark/pack"
)

// Chunks gives out the chunks of files. [FromFetcher] makes one.
//
// Chunk returns the chunk that id names, found at the given place, after
// checking it; the caller releases it. It returns promptly when ctx is done,
// and retries by itself what is worth retrying. It may be called concurrently.
type Chunks interface {
	Chunk(ctx context.Context, id chunk.ID, at pack.Place) (Piece, error)
}

// A Piece is a chunk. Its bytes are good, and not to be changed, until Release.
type Piece interface {
	Bytes() []byte
	Release()
}

// A Verifier tells whether plain is the chunk that id names, whose id keys are
// those of the run that at lies in. If not the error wraps [chunk.ErrCorrupt].
// It may be called concurrently.
type Verifier interface {
	VerifyChunk(ctx context.Context, id chunk.ID, at pack.Place, plain []byte) error
}

// Owners says to whom restored entries belong.
type Owners uint8

const (
	// OwnersByNumber gives entries the numbers that they had.
	OwnersByNumber Owners = iota

	// OwnersByName looks the names of owners and groups up on this machine,
	// and takes the number where there was no name or it is not known here.
	// Named users and groups in ACLs keep their numbers.
	OwnersByName
)

// Defaults of [Config].
const (
	defaultWorkers = 8        // hides round trips of a repository, and fsync-like waits of a disk
	defaultMemory  = 32 << 20 // bytes; a quarter of what a fetch.Fetcher has by default
)

// Config configures [Run]. The zero value of a field means its default.
type Config struct {
	// Chunks is where the content comes from. There is no default.
	Chunks Chunks

	// Verify, if not nil, checks the content of files that are there already
	// and look as they should. Without it, type, size, mtime, owner and
	// permissions prove a file complete.
	Verify Verifier

	// Workers is how many entries are restored at once. Default 8.
	Workers int

	// MemoryBytes bounds the chunks that are in flight for all files
	// together. Default 32 MiB. A single larger chunk is fetched alone.
	MemoryBytes int64

	// Owners applies to root. Everything that another user restores is that
	// user's, with the group that it had if the user is in it, and without a
	// set-id bit that would now mean somebody else.
	Owners Owners

	// Overwrite replaces what is in the way: files, symlinks and the like,
	// and empty directories. Without it, what is there and differs stays, and
	// is a failure that wraps [ErrExists]. A directory is never replaced if
	// there is anything in it. Directories that are there already are used
	// either way, and get the metadata of those in the tree.
	Overwrite bool

	// NoSync leaves it to the kernel when the target reaches the disk.
	// Without it the target's filesystems are synced once, at the end, so
	// that what was restored survives a crash.
	NoSync bool

	// Progress is counted in while the restore runs. Nil: nobody looks.
	Progress *Progress

	// Notice is told of each entry that could not be restored, and once for
	// each aspect that could not be kept. The path is below what is restored;
	// "" is that itself. It may be called concurrently. Nil: nobody is told.
	Notice func(path string, err error)
}

// Progress says how far a restore has come. It may be read at any time. At the
// end of one that was not stopped, Names and Bytes are the Totals of the node.
type Progress struct {
	Names atomic.Uint64 // entries dealt with, whatever came of it
	Bytes atomic.Uint64 // of files dealt with
}

// ErrIncomplete means that the restore went to its end, and not everything
// could be restored: [Result] says what.
var ErrIncomplete = errors.New("not everything could be restored")

// ErrExists means that something else is where an entry should be, and was
// left there.
var ErrExists = errors.New("something else is there")

// A Result says what a restore did.
type Result struct {
	Files   uint64 // regular files written
	Dirs    uint64 // directories made, or found and given their metadata
	Others  uint64 // symlinks, fifos, sockets and devices made
	Links   uint64 // further names given to files
	Bytes   uint64 // of the files written
	Skipped uint64 // entries, directories aside, that were there already

	Failed   uint64    // entries that were not restored, with all that is below them
	Failures []Failure // the first of them, at most MaxFailures
	Losses   []Loss    // what could not be kept of entries that were
}

// MaxFailures is how many failures a [Result] lists.
const MaxFailures = 1000

// A Failure is an entry that could not be restored, and why. Path is as for
// Config.Notice.
type Failure struct {
	Path string
	Err  error
}

// A Loss is an aspect that could not be kept of some entries.
type Loss struct {
	Aspect Aspect
	Count  uint64 // of entries
	Path   string // of the first
	Err    error  // why, for the first
}

// An Aspect is part of what an entry is, beside its content.
type Aspect string

// The aspects that can be lost. Attributes go by their namespace. A device
// that may not be made is lost as a whole, and is no failure: only root can
// make one.
const (
	Owner          Aspect = "owner"
	SetID          Aspect = "set-id bits"
	Permissions    Aspect = "permissions"
	ACL            Aspect = "ACL"
	UserXattrs     Aspect = "user attributes"
	TrustedXattrs  Aspect = "trusted attributes"
	SecurityXattrs Aspect = "security attributes"
	OtherXattrs    Aspect = "other attributes"
	ModTime        Aspect = "modification time"
	InodeFlags     Aspect = "inode flags"
	HardLink       Aspect = "hard link"
	Device         Aspect = "device"
)

// Run restores the node at a path of the tree ("" is all of it) to target.
//
// A directory's entries go into target, which becomes that directory, with
// its owner, permissions and times; it is made if it is missing, with those
// above it. Anything else goes into target under its own name if target is an
// existing directory or ends in "/", and else becomes target. A target that is
// a symlink to a directory is that directory; below it no symlink is followed.
//
// Errors of single entries do not stop the rest: the error then wraps
// [ErrIncomplete]. A full disk stops everything, and so does ctx. Whatever the
// error, the Result says what was done, and a second run with the same
// arguments goes on from there.
func Run(ctx context.Context, cfg Config, tree *catalog.Tree, path, target string) (Result, error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	r, err := newRun(cfg, tree, stop)
	if err != nil {
		return Result{}, err
	}
	row, err := resolve(ctx, tree, path)
	if err == nil && row.Unreadable != "" {
		err = unreadable(&row.Node)
	}
	if err != nil {
		return Result{}, fmt.Errorf("restore: %q: %w", path, err)
	}
	if row.Type == catalog.Dir {
		err = r.directory(ctx, &row, target)
	} else {
		err = r.single(ctx, &row, target)
	}
	res := r.report.result()
	switch {
	case ctx.Err() != nil:
		err = context.Cause(ctx) // the first reason, of which err may be a consequence
		fallthrough
	case err != nil:
		return res, fmt.Errorf("restore: %s: %w", target, err)
	case res.Failed == 1 && row.Type != catalog.Dir:
		return res, fmt.Errorf("restore: %s: %w: %w", target, ErrIncomplete, res.Failures[0].Err)
	case res.Failed > 0:
		return res, fmt.Errorf("restore: %s: %w: %d of %d entries failed, the first: %q: %w",
			target, ErrIncomplete, res.Failed, row.Totals().Names, res.Failures[0].Path, res.Failures[0].Err)
	}
	return res, nil
}
