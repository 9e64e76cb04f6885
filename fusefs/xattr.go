package fusefs

import (
	"context"
	"strings"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// trusted begins the names of attributes that only root sees.
const trusted = "trusted."

// GetXAttr returns the value of an extended attribute: ENODATA if there is
// none of that name. ACLs and file capabilities are in the bytes that Linux
// gave when they were captured.
//
// That no node of the point has an ACL is not known here, so programs that
// ask for one of each file are answered for each. EOPNOTSUPP would stop them,
// but where the kernel checks ACLs itself it takes that for a failure.
func (m *mount) GetXAttr(cancel <-chan struct{}, in *fuse.InHeader, attr string, dest []byte) (uint32, fuse.Status) {
	ctx := interruptible(cancel)
	n, err := m.find(ctx, in.NodeId)
	if err != nil {
		return 0, m.status(ctx, "getxattr", "", err)
	}
	length, err := m.getXattr(ctx, n, attr, dest)
	return length, m.status(ctx, "getxattr", n.where(), err)
}

// getXattr copies the value of an attribute to dest, if it has room, and
// returns its length. An empty dest asks for the length alone.
func (m *mount) getXattr(ctx context.Context, n *node, attr string, dest []byte) (uint32, error) {
	for i := range n.row.Xattrs {
		x := &n.row.Xattrs[i]
		switch length := max(int(x.Len), len(x.Value)); {
		case x.Name != attr:
			continue
		case length > len(dest):
			return uint32(length), errTooSmall
		case x.Len == 0:
			copy(dest, x.Value)
			return uint32(length), nil
		}
		value, err := m.chunk(ctx, x.ID, x.Place, uint64(x.Len))
		if err != nil {
			return 0, err
		}
		defer value.Release()
		return uint32(copy(dest, value.Bytes())), nil
	}
	return 0, errNoData
}

// ListXAttr returns the names of the extended attributes, each with a NUL
// after it.
func (m *mount) ListXAttr(cancel <-chan struct{}, in *fuse.InHeader, dest []byte) (uint32, fuse.Status) {
	ctx := interruptible(cancel)
	n, err := m.find(ctx, in.NodeId)
	if err != nil {
		return 0, m.status(ctx, "listxattr", "", err)
	}
	var names []byte
	for i := range n.row.Xattrs {
		name := n.row.Xattrs[i].Name
		if in.Uid == 0 || !strings.HasPrefix(name, trusted) {
			names = append(append(names, name...), 0)
		}
	}
	if len(names) > len(dest) {
		return uint32(len(names)), m.status(ctx, "listxattr", n.where(), errTooSmall)
	}
	return uint32(copy(dest, names)), fuse.OK
}
