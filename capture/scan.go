package capture

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"

	"tidemark/capture/walk"
	"tidemark/catalog"
	"tidemark/chunk"
)

// settableFlags are the inode flags (FS_XFLAG_*) that are a file's own and can
// be set again. The others tell of its allocation, or that it has xattrs.
const settableFlags = 0x8 | 0x10 | 0x20 | 0x40 | 0x80 | // immutable, append, sync, noatime, nodump
	0x100 | 0x200 | 0x400 | // rtinherit, projinherit, nosymlinks
	0x1000 | 0x2000 | 0x4000 | 0x8000 // extszinherit, nodefrag, filestream, dax

// A scanner walks the source beside the parent's tree. What is as it was is
// taken from the parent; what is not is opened and given to the readers. It
// is one goroutine: the walk behind it reads ahead, and so do the readers.
type scanner struct {
	c        *Capturer
	run      *run
	progress *Progress
	reader   *reader // for xattrs that are chunks
	parent   *Parent
	racy     catalog.Time // a ctime from here on proves nothing
	links    *walk.Links
	inodes   map[inode]*job // of files of several names
	owners   walk.Owners

	events chan<- event
	jobs   chan<- *job
}

// scan walks the source.
//
// The channels are closed only if that succeeds: an error ends those who read
// them by their context.
func (s *scanner) scan(ctx context.Context, src Source) error {
	root, err := walk.Open(ctx, src.Path, walk.Config{
		OneFilesystem: !src.CrossFilesystems,
		TempDir:       s.c.TempDir,
		Skip:          src.skip,
	})
	if err != nil {
		return fmt.Errorf("capture: %w", err)
	}
	defer root.Close()
	if err := root.Err(); err != nil {
		return fmt.Errorf("capture: %w", err)
	}
	var old *catalog.Row
	if s.parent != nil {
		r := s.parent.Tree.Root()
		old = &r
	}
	if err := s.directory(ctx, place{dir: root, self: root, entry: root.Self()}, old); err != nil {
		return err
	}
	close(s.jobs)
	close(s.events)
	return nil
}

// place is where an entry is.
type place struct {
	dir   *walk.Dir // that entry is in
	self  *walk.Dir // the entry, if it is a directory that is entered
	entry walk.Entry
	path  string // below the source; "" is the root
	fs    uint32 // the filesystem, as in the hints
}

func (s *scanner) send(ctx context.Context, e event) error {
	select {
	case s.events <- e:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// directory scans one directory that is entered.
func (s *scanner) directory(ctx context.Context, at place, old *catalog.Row) error {
	row := s.row(at, old)
	if at.path == "" {
		row.Name = ""
	}
	s.progress.Dirs.Add(1)
	var bad *fileError
	if err := s.metadata(ctx, at, row, old); errors.As(err, &bad) {
		row.Unreadable = reason(err)
		return s.replace(ctx, at, row, old)
	} else if err != nil {
		return err
	}
	enter := event{step: stepEnter, path: at.path}
	if old != nil && old.Type == catalog.Dir && old.Unreadable == "" {
		enter.old = &old.Node
	} else if err := s.gone(ctx, old); err != nil {
		return err
	}
	if err := s.send(ctx, enter); err != nil {
		return err
	}
	if err := s.entries(ctx, at, enter.old); err != nil {
		return err
	}
	return s.send(ctx, event{step: stepLeave, row: row, path: at.path})
}

// entries merges the names of a directory with those that the parent has there.
func (s *scanner) entries(ctx context.Context, at place, old *catalog.Node) error {
	olds, err := s.oldRows(ctx, old)
	if err != nil {
		return err
	}
	for {
		e, ok, err := at.self.Next()
		if err != nil {
			return fmt.Errorf("capture: %w", err)
		}
		if !ok {
			break
		}
		was, err := olds.upTo(ctx, e.Name, func(r *catalog.Row) error { return s.gone(ctx, r) })
		if err != nil {
			return err
		}
		path := e.Name
		if at.path != "" {
			path = at.path + "/" + e.Name
		}
		next := place{dir: at.self, entry: e, path: path, fs: at.fs}
		if e.Err == nil && e.Stat.Dev != at.self.Stat().Dev {
			next.fs = crc32.ChecksumIEEE([]byte(path))
		}
		if err := s.entry(ctx, next, was); err != nil {
			return err
		}
	}
	if n, _ := at.self.Vanished(); n > 0 {
		s.progress.Vanished.Add(int64(n))
	}
	_, err = olds.upTo(ctx, "", func(r *catalog.Row) error { return s.gone(ctx, r) })
	return err
}

// entry scans one name. old is what the parent has under it, or nil.
func (s *scanner) entry(ctx context.Context, at place, old *catalog.Row) error {
	e := &at.entry
	switch {
	case len(e.Name) > catalog.MaxNameLen:
		return s.send(ctx, event{step: stepUnnamed, path: at.path})
	case e.Err != nil:
		row := s.row(at, old)
		row.Unreadable = reason(e.Err)
		return s.replace(ctx, at, row, old)
	case e.Boundary && !e.Stat.IsDir():
		return s.gone(ctx, old) // a file of another filesystem, bound over one of this
	case e.Stat.IsDir() && !e.Boundary:
		return s.child(ctx, at, old)
	case e.Stat.IsRegular():
		return s.file(ctx, at, old)
	}
	row := s.row(at, old)
	if err := s.linked(at, row, old); err != nil {
		return err
	}
	err := s.metadata(ctx, at, row, old)
	if err == nil && row.Type == catalog.Symlink {
		row.Target, err = s.target(at, row, old)
	}
	var bad *fileError
	switch {
	case errors.Is(err, walk.ErrVanished):
		return s.vanished(ctx, old)
	case errors.As(err, &bad):
		row.Unreadable = reason(err)
	case err != nil:
		return err
	}
	s.progress.Others.Add(1)
	return s.replace(ctx, at, row, old)
}

// vanished is for a name that was gone before it could be looked at: the tree
// is as if it had never been there. A file that there was content to read of
// is not passed over so: see file.
func (s *scanner) vanished(ctx context.Context, old *catalog.Row) error {
	s.progress.Vanished.Add(1)
	return s.gone(ctx, old)
}

// replace sends a row, complete, that takes the place of old.
func (s *scanner) replace(ctx context.Context, at place, row, old *catalog.Row) error {
	if err := s.gone(ctx, old); err != nil {
		return err
	}
	return s.send(ctx, event{step: stepRow, row: row, path: at.path})
}

// gone tells the builder that old's pages are not referred to any more.
func (s *scanner) gone(ctx context.Context, old *catalog.Row) error {
	if old == nil || old.Child.IsZero() && old.List.IsZero() {
		return nil
	}
	return s.send(ctx, event{step: stepGone, old: &old.Node})
}

// child enters a directory.
func (s *scanner) child(ctx context.Context, at place, old *catalog.Row) error {
	d, err := at.dir.Child(at.entry)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err == nil {
		defer d.Close()
		err = d.Err()
	}
	if errors.Is(err, walk.ErrVanished) {
		return s.vanished(ctx, old)
	}
	if err != nil {
		row := s.row(at, old)
		row.Unreadable = reason(err)
		return s.replace(ctx, at, row, old)
	}
	at.self, at.entry.Stat = d, d.Stat()
	return s.directory(ctx, at, old)
}

// file scans a regular file: it is opened only if something of it changed.
func (s *scanner) file(ctx context.Context, at place, old *catalog.Row) error {
	row := s.row(at, old)
	if err := s.linked(at, row, old); err != nil {
		return err
	}
	s.progress.Files.Add(1)
	if s.unchanged(row, old) && row.Size == old.Size {
		takeMetadata(row, old)
		row.Inline, row.Extents, row.List, row.ExtentCount = old.Inline, old.Extents, old.List, old.ExtentCount
		row.Alloc, row.Holes = old.Alloc, old.Holes
		s.progress.Bytes.Add(int64(row.Size))
		return s.send(ctx, event{step: stepRow, row: row, path: at.path})
	}
	if s.sameInode(at, row) {
		if err := s.gone(ctx, old); err != nil {
			return err
		}
		return s.send(ctx, event{step: stepRow, row: row, from: s.inodes[inodeOf(at)], path: at.path})
	}
	var bad *fileError
	if err := s.metadata(ctx, at, row, nil); errors.As(err, &bad) {
		row.Unreadable = reason(err)
		return s.replace(ctx, at, row, old)
	} else if err != nil {
		return err
	}
	f, err := at.dir.OpenFile(at.entry)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		row.Unreadable = reason(err)
		return s.replace(ctx, at, row, old)
	}
	j := &job{file: f, row: row, path: at.path, done: make(chan struct{}), size: row.Size, ctime: row.Ctime}
	if old != nil && old.Type == catalog.File {
		j.old = &old.Node
	} else if err := s.gone(ctx, old); err != nil {
		_ = f.Close()
		return err
	}
	select {
	case s.jobs <- j:
	case <-ctx.Done():
		_ = f.Close()
		return context.Cause(ctx)
	}
	s.remember(at, j)
	return s.send(ctx, event{step: stepRow, row: row, done: j.done, path: at.path})
}

// rememberedInodes is how many files of several names are remembered, so that
// their other names need no reading.
const rememberedInodes = 4096

type inode struct{ dev, ino uint64 }

func inodeOf(at place) inode { return inode{at.entry.Stat.Dev, at.entry.Stat.Ino} }

// remember keeps what is read of a file of several names. A long file is read
// again for each: its list of pages counts once for each name.
func (s *scanner) remember(at place, j *job) {
	if at.entry.Stat.Nlink < 2 || at.entry.Stat.Size > catalog.MaxNodeExtents*chunk.MinMeanLen {
		return
	}
	if len(s.inodes) >= rememberedInodes {
		clear(s.inodes)
	}
	s.inodes[inodeOf(at)] = j
}

// sameInode reports whether row is of a file that another name of is being
// read, and did not change since.
func (s *scanner) sameInode(at place, row *catalog.Row) bool {
	j := s.inodes[inodeOf(at)]
	return j != nil && row.Links > 0 && j.ctime == row.Ctime && j.size == row.Size
}

// unchanged reports whether old is still what row's statx tells of: then
// neither content nor xattrs are read. It rests on ctime, which no program can
// set, and on the clock that stamps it being past what the parent saw.
func (s *scanner) unchanged(row, old *catalog.Row) bool {
	return old != nil && old.Type == row.Type && old.Unreadable == "" &&
		old.Ctime == row.Ctime && old.Mtime == row.Mtime && old.Ino == row.Ino && old.FS == row.FS &&
		old.Ctime.Compare(s.racy) < 0
}

// takeMetadata copies what statx does not tell.
func takeMetadata(row, old *catalog.Row) {
	row.Xattrs, row.Xflags, row.Project = old.Xattrs, old.Xflags, old.Project
}
