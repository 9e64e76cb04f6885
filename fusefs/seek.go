package fusefs

import (
	"context"
	"math"
	"sort"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"tidemark/catalog"
)

// Lseek finds the next data or the next hole of a file. Holes are those that
// the file had where it was captured, so that a copy has them again: zeros
// that were written there are data.
func (m *mount) Lseek(cancel <-chan struct{}, in *fuse.LseekIn, out *fuse.LseekOut) fuse.Status {
	ctx := interruptible(cancel)
	f, err := m.file(ctx, in.Fh, in.NodeId)
	if err != nil {
		return m.status(ctx, "seek", "", err)
	}
	out.Offset, err = f.seek(ctx, in.Offset, in.Whence)
	return m.status(ctx, "seek", f.where(), err)
}

// seek returns the first offset, not less than off, of data or of a hole. The
// end of the file counts as a hole.
func (f *openFile) seek(ctx context.Context, off uint64, whence uint32) (uint64, error) {
	if off >= f.size() {
		return 0, errNoOffset
	}
	hole, end, err := f.nextHole(ctx, off)
	switch {
	case err != nil:
		return 0, err
	case whence == unix.SEEK_HOLE:
		return hole, nil
	case whence != unix.SEEK_DATA:
		return 0, unix.EINVAL
	case hole > off:
		return off, nil
	case end >= f.size():
		return 0, errNoOffset // the file ends in a hole
	}
	return end, nil
}

// nextHole returns where the first hole begins, or goes on, from off on, and
// where it ends. At the end of the file is one without end.
func (f *openFile) nextHole(ctx context.Context, off uint64) (start, end uint64, err error) {
	r := &f.node.row
	switch {
	case f.node.spot != nil:
	case r.Alloc == catalog.HolesListed:
		i := sort.Search(len(r.Holes), func(i int) bool { return r.Holes[i].Off+r.Holes[i].Len > off })
		if i < len(r.Holes) {
			return max(r.Holes[i].Off, off), r.Holes[i].Off + r.Holes[i].Len, nil
		}
	case r.Alloc == catalog.HolesZero:
		extents := f.node.point.tree.Extents(&r.Node, off)
		for {
			at, x, ok, err := extents.Next(ctx)
			if err != nil {
				return 0, 0, err
			}
			if !ok {
				break
			}
			if x.Zero {
				return max(at, off), at + x.Len, nil
			}
		}
	}
	return f.size(), math.MaxUint64, nil
}
