package capture

import (
	"context"
	"errors"
	"io"
	"os"

	"tidemark/capture/walk"
	"tidemark/catalog"
	"tidemark/chunk"
	"tidemark/pack"
)

const (
	// readerCount is how many files are read at once.
	readerCount = 4

	// queuedFiles is how many files wait, open, to be read.
	queuedFiles = 64

	// readTries is how often a file is read that changes meanwhile.
	readTries = 3

	// listedHoles is how many holes of a file are remembered. A file with
	// more is restored with its zero extents as holes.
	listedHoles = 50_000
)

// errMoving means that a file changed while it was read.
var errMoving = errors.New("changed while it was read")

// A job is a file to be read: its reader completes row and closes done.
type job struct {
	file *os.File
	row  *catalog.Row
	old  *catalog.Node // what the parent has there, if that is a file
	path string
	done chan struct{}

	size  uint64 // as it was listed
	ctime catalog.Time
}

// A reader turns files into extents: it reads, splits and looks chunks up, and
// adds those that are new. Each is one goroutine with a Splitter of its own.
type reader struct {
	run      *run
	builder  *builder
	index    *index
	keys     chunk.Keys
	splitter *chunk.Splitter
}

// serve reads the files that come until there are no more.
func (r *reader) serve(ctx context.Context, jobs <-chan *job) error {
	for {
		select {
		case j, ok := <-jobs:
			if !ok {
				return nil
			}
			err := r.read(ctx, j)
			_ = j.file.Close() // nothing was written to it
			if err != nil {
				return err
			}
			close(j.done)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// read completes j.row. Its error ends the capture: what is wrong with the
// file itself is written down in the row.
func (r *reader) read(ctx context.Context, j *job) error {
	var err error
	var list *extentList
	for range readTries {
		list = &extentList{r: r, ctx: ctx, old: j.old, delta: newUsageDelta()}
		if err = r.try(ctx, j, list); !errors.Is(err, errMoving) {
			break
		}
	}
	var bad *fileError
	switch {
	case errors.As(err, &bad), errors.Is(err, errMoving):
		clearContent(j.row)
		j.row.Unreadable = reason(err)
		list = &extentList{r: r, ctx: ctx, old: j.old, delta: newUsageDelta()}
	case err != nil:
		return err
	}
	if err := list.dropOld(); err != nil {
		return err
	}
	r.builder.delta.merge(list.delta)
	r.run.stats.FilesRead.Add(1)
	r.run.stats.Bytes.Add(int64(j.size))
	return nil
}

// fileError is a failure of the file that is being read, not of the capture.
type fileError struct{ err error }

func (e *fileError) Error() string { return e.err.Error() }
func (e *fileError) Unwrap() error { return e.err }

func clearContent(row *catalog.Row) {
	row.Inline, row.Extents, row.List, row.ExtentCount = nil, nil, catalog.Ref{}, 0
	row.Alloc, row.Holes = catalog.HolesUnknown, nil
}

// try reads the file once, from the state it has now.
func (r *reader) try(ctx context.Context, j *job, list *extentList) error {
	before, err := walk.FileStat(j.file)
	if err != nil {
		return &fileError{err}
	}
	setStat(j.row, &before)
	clearContent(j.row)
	flags, ok, err := walk.FileFlags(j.file)
	if err != nil {
		return &fileError{err}
	}
	if ok {
		j.row.Xflags, j.row.Project = flags.X&settableFlags, flags.Project
	}

	if before.Size <= catalog.MaxInlineLen {
		err = r.inline(j, &before)
	} else {
		err = r.extents(ctx, j, before.Size, list)
	}
	if err != nil {
		return err
	}
	after, err := walk.FileStat(j.file)
	if err != nil {
		return &fileError{err}
	}
	if after.Size != before.Size || after.Mtime != before.Mtime || after.Ctime != before.Ctime {
		return errMoving
	}
	return nil
}

func (r *reader) inline(j *job, stat *walk.Stat) error {
	size := stat.Size
	if size == 0 {
		return nil
	}
	if stat.Blocks == 0 { // a hole; or the filesystem keeps it in the inode
		err := walk.Holes(j.file, size, func(off, n int64) error {
			j.row.Alloc = catalog.HolesListed
			j.row.Holes = append(j.row.Holes, catalog.Range{Off: uint64(off), Len: uint64(n)})
			return nil
		})
		if err != nil {
			return &fileError{err}
		}
	}
	b := make([]byte, size+1)
	n, err := j.file.ReadAt(b, 0)
	if err != nil && err != io.EOF {
		return &fileError{err}
	}
	if int64(n) != size {
		return errMoving
	}
	r.run.stats.ReadBytes.Add(size)
	j.row.Inline = b[:size:size]
	return nil
}

// extents reads a file of more than a few hundred bytes.
func (r *reader) extents(ctx context.Context, j *job, size int64, list *extentList) error {
	r.splitter.Reset(func(e chunk.Extent) error { return list.add(e) })
	var holes []catalog.Range
	end := int64(0)
	err := walk.Holes(j.file, size, func(off, n int64) error {
		if len(holes) <= listedHoles {
			holes = append(holes, catalog.Range{Off: uint64(off), Len: uint64(n)})
		}
		if err := r.data(ctx, j.file, end, off); err != nil {
			return err
		}
		end = off + n
		return r.splitter.Hole(n)
	})
	if err == nil {
		err = r.data(ctx, j.file, end, size)
	}
	if err == nil {
		err = r.splitter.Finish()
	}
	if err != nil {
		return err
	}
	if err := list.finish(&j.row.Node); err != nil {
		return err
	}
	switch {
	case len(holes) == 0:
	case len(holes) > listedHoles || list.zerosAre(holes):
		j.row.Alloc = catalog.HolesZero
	default:
		j.row.Alloc, j.row.Holes = catalog.HolesListed, holes
	}
	return nil
}

// data reads the bytes from off to end into the splitter.
func (r *reader) data(ctx context.Context, f *os.File, off, end int64) error {
	for off < end {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		b := r.splitter.Buffer()
		b = b[:min(int64(len(b)), chunk.ReadLen, end-off)]
		n, err := f.ReadAt(b, off)
		if n == 0 && err == io.EOF {
			return errMoving // it has become shorter
		}
		if err != nil && err != io.EOF {
			return &fileError{err}
		}
		r.run.stats.ReadBytes.Add(int64(n))
		if err := r.splitter.Wrote(n); err != nil {
			return err
		}
		off += int64(n)
	}
	return nil
}

// chunk returns where a chunk is, adding it if nothing has it.
func (r *reader) chunk(ctx context.Context, data []byte) (chunk.ID, pack.Place, error) {
	id := r.keys.ChunkID(data)
	at, err := r.index.place(ctx, id, len(data), func() (pack.Place, error) {
		return r.run.addChunk(ctx, id, data)
	})
	return id, at, err
}

// extentList collects the extents of one content: a few for its node, or a
// list of pages.
type extentList struct {
	r     *reader
	ctx   context.Context // of the one content
	old   *catalog.Node   // whose list's pages may be reused
	delta *usageDelta     // of the list's pages

	few      []catalog.Extent
	pager    *catalog.ListPager // once there are too many for the node
	oldPages *oldPages
	offset   uint64
	zeros    []catalog.Range // the zero extents; at most listedHoles and one
}

func (l *extentList) add(e chunk.Extent) error {
	x := catalog.Extent{Zero: e.Zero(), Len: uint64(e.Len)}
	if !x.Zero {
		var err error
		if x.ID, x.Place, err = l.r.chunk(l.ctx, e.Data); err != nil {
			return err
		}
	} else if len(l.zeros) <= listedHoles {
		l.zeros = append(l.zeros, catalog.Range{Off: l.offset, Len: x.Len})
	}
	l.offset += x.Len
	if l.pager != nil {
		return l.pager.Add(&x)
	}
	l.few = append(l.few, x)
	if len(l.few) <= catalog.MaxNodeExtents {
		return nil
	}
	if err := l.begin(); err != nil {
		return err
	}
	for i := range l.few {
		if err := l.pager.Add(&l.few[i]); err != nil {
			return err
		}
	}
	l.few = nil
	return nil
}

// begin starts a list of pages.
func (l *extentList) begin() error {
	b := l.r.builder
	if l.old != nil && !l.old.List.IsZero() {
		var err error
		if l.oldPages, err = readOld(l.ctx, b.parent.Pages, l.old.List); err != nil {
			return err
		}
	}
	l.pager = catalog.NewListPager(func(d *catalog.Draft) (catalog.Ref, error) {
		return b.keep(l.ctx, d, l.oldPages, l.delta)
	})
	return nil
}

// finish writes the extents into n.
func (l *extentList) finish(n *catalog.Node) error {
	n.Extents = l.few
	if l.pager == nil {
		return nil
	}
	var err error
	n.List, _, n.ExtentCount, err = l.pager.Close()
	return err
}

// dropOld counts off the pages of the old list that are not reused.
func (l *extentList) dropOld() error {
	if l.oldPages != nil {
		return l.oldPages.drop(l.ctx, l.delta)
	}
	if l.old == nil {
		return nil
	}
	b := l.r.builder
	return dropTree(l.ctx, b.parent.Pages, b.parent.Tree, l.old, l.delta)
}

// zerosAre reports whether holes are just the zero extents.
func (l *extentList) zerosAre(holes []catalog.Range) bool {
	if len(holes) != len(l.zeros) {
		return false
	}
	for i := range holes {
		if holes[i] != l.zeros[i] {
			return false
		}
	}
	return true
}
