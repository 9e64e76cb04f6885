package restore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"tidemark/catalog"
	"tidemark/chunk"
)

// same reports whether the entry is there already, st being what is there.
func (e *entry) same(ctx context.Context, st *stat) (bool, error) {
	n := &e.row.Node
	if st.kind() != fileType(n.Type) {
		return false, nil
	}
	switch n.Type {
	case catalog.File:
		if st.size != n.Size {
			return false, nil
		}
	case catalog.Symlink:
		if st.size != uint64(len(n.Target)) {
			return false, nil
		}
		b := make([]byte, len(n.Target)+1)
		if size, err := unix.Readlinkat(e.at, n.Name, b); err != nil || string(b[:size]) != n.Target {
			return false, err
		}
	case catalog.CharDevice, catalog.BlockDevice:
		if st.major != n.Major || st.minor != n.Minor {
			return false, nil
		}
	}
	if alike, err := e.alike(ctx, st); err != nil || !alike {
		return false, err
	}
	if n.Type == catalog.File && e.r.cfg.Verify != nil {
		return e.verify(ctx, st)
	}
	return true, nil
}

// alike reports whether st has the metadata that the entry would get. What
// that is depends on the filesystem and on us: it may not keep owners, or such
// times; we may not give files away. So where st is not just what the node
// says, a file is made to see.
func (e *entry) alike(ctx context.Context, st *stat) (bool, error) {
	n := &e.row.Node
	equal := func(uid, gid, mode uint32, mtime catalog.Time) bool {
		return st.uid == uid && st.gid == gid && st.mtime == mtime &&
			(st.perm() == mode || n.Type == catalog.Symlink)
	}
	if uid, gid := e.r.ids(n); equal(uid, gid, uint32(n.Mode), n.Mtime) {
		return true, nil
	}
	temp := e.r.temps.next()
	fd, err := openAt(e.at, temp, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL, 0o600)
	if err != nil {
		return false, err
	}
	defer unix.Close(fd)
	defer unix.Unlinkat(e.at, temp, 0)
	would, _, err := e.r.metadata(ctx, handle{fd: fd}, n)
	return equal(would.uid, would.gid, would.perm(), would.mtime), err
}

// verify reports whether the file has the content of the entry.
func (e *entry) verify(ctx context.Context, st *stat) (bool, error) {
	n := &e.row.Node
	fd, err := openSame(e.at, n.Name, unix.O_RDONLY, st.inode)
	if err != nil {
		return false, err
	}
	f := os.NewFile(uintptr(fd), e.path)
	defer f.Close()
	if n.Size <= catalog.MaxInlineLen && len(n.Extents) == 0 {
		b := make([]byte, n.Size)
		if _, err := io.ReadFull(f, b); err != nil {
			return false, bare(err)
		}
		return bytes.Equal(b, n.Inline), nil
	}
	extents := e.r.tree.Extents(n, 0)
	for {
		off, x, ok, err := extents.Next(ctx)
		if err != nil || !ok {
			return err == nil, err
		}
		check := e.verifyChunk
		if x.Zero {
			check = verifyZeros
		}
		err = check(ctx, f, off, &x)
		if errors.Is(err, chunk.ErrCorrupt) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
}

func (e *entry) verifyChunk(ctx context.Context, f *os.File, off uint64, x *catalog.Extent) error {
	cost, err := e.r.spend(ctx, x.Len)
	if err != nil {
		return err
	}
	defer e.r.budget.Release(cost)
	b := make([]byte, x.Len)
	if _, err := f.ReadAt(b, int64(off)); err != nil {
		return bare(err)
	}
	return e.r.cfg.Verify.VerifyChunk(ctx, x.ID, x.Place, b)
}

// verifyZeros passes over holes, however long they are.
func verifyZeros(ctx context.Context, f *os.File, off uint64, x *catalog.Extent) error {
	b := make([]byte, min(x.Len, uint64(len(zeroBuf))))
	for end := off + x.Len; off < end; {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		data, err := f.Seek(int64(off), unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			return nil // a hole up to the end of the file
		}
		if err == nil {
			off = max(off, uint64(data)) // else nothing is known of holes
		}
		if off >= end {
			return nil
		}
		some := b[:min(end-off, uint64(len(b)))]
		if _, err := f.ReadAt(some, int64(off)); err != nil {
			return bare(err)
		}
		if !isZero(some) {
			return fmt.Errorf("bytes where zeros should be: %w", chunk.ErrCorrupt)
		}
		off += uint64(len(some))
	}
	return nil
}
