package restore

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"tidemark/catalog"
)

// metadata gives h what n has beside its content and its inode flags, and
// returns its stat. The order matters: a change of owner clears set-id bits
// and file capabilities, who is not root may set attributes only while the
// permissions still allow it, and an ACL changes the permissions. What cannot
// be kept is returned; the error is that of fetching a large attribute.
func (r *run) metadata(ctx context.Context, h handle, n *catalog.Node) (st stat, lost []loss, err error) {
	kept, lost := r.chown(h, n)
	acl, more, err := r.xattrs(ctx, h, n)
	if err != nil {
		return stat{}, nil, err
	}
	lost = append(lost, more...)
	mode := uint32(n.Mode)
	if n.Type != catalog.Symlink {
		mode, more = chmod(h, n, kept, acl)
		lost = append(lost, more...)
	}
	if err := h.setMtime(n.Mtime); err != nil {
		lost = append(lost, loss{ModTime, err})
	}
	if st, err = statAt(h.fd, ""); err != nil {
		return stat{}, nil, err
	}
	// A filesystem may change what it was told without saying so: times out of
	// its range, bits that it does not grant.
	if st.mtime != n.Mtime {
		lost = append(lost, loss{ModTime, fmt.Errorf("it became %d.%09d seconds of 1970, not %d.%09d",
			st.mtime.Sec, st.mtime.Nsec, n.Mtime.Sec, n.Mtime.Nsec)})
	}
	if st.perm() != mode && n.Type != catalog.Symlink {
		lost = append(lost, loss{Permissions, fmt.Errorf("they became %04o, not %04o", st.perm(), mode)})
	}
	return st, lost, nil
}

// chown gives h to n's owner and group, as far as we may. kept reports whether
// they have the ids that n has here.
func (r *run) chown(h handle, n *catalog.Node) (kept bool, lost []loss) {
	uid, gid := r.ids(n)
	if uid == nobodyID || gid == nobodyID {
		return false, []loss{{Owner, fmt.Errorf("%d:%d is no owner", uid, gid)}}
	}
	if !r.root {
		_ = h.chown(-1, int(gid)) // allowed for our own groups
		st, err := statAt(h.fd, "")
		if err == nil && (st.uid != uid || st.gid != gid) {
			err = errors.New("only root can give files away")
		}
		if err != nil {
			return false, []loss{{Owner, err}}
		}
		return true, nil
	}
	if err := h.chown(int(uid), int(gid)); err != nil {
		return false, []loss{{Owner, fmt.Errorf("%d:%d: %w", uid, gid, err)}}
	}
	return true, nil
}

// ids returns the owner and the group that n has here.
func (r *run) ids(n *catalog.Node) (uid, gid uint32) {
	if r.cfg.Owners == OwnersByName {
		return r.owners.uid(n), r.owners.gid(n)
	}
	return n.UID, n.GID
}

// nobodyID is what chown takes for "as it is".
const nobodyID = 1<<32 - 1

// setID are the bits that run a program as the owner or the group of its file.
const setID = unix.S_ISUID | unix.S_ISGID

// chmod sets the permissions. A set-id bit goes with the owner, and so it is
// left out if that is not kept; on directories they give no rights. If the ACL
// was lost, the bits of the group were its mask, and are replaced by what the
// ACL gave to the group.
func chmod(h handle, n *catalog.Node, kept, acl bool) (mode uint32, lost []loss) {
	mode = uint32(n.Mode)
	if !kept && n.Type != catalog.Dir && mode&setID != 0 {
		mode &^= setID
		lost = append(lost, loss{SetID, errors.New("the owner is not the one whom they were for")})
	}
	if !acl {
		mode = mode&^0o070 | mode&groupBits(n)
	}
	if err := h.chmod(mode); err != nil {
		lost = append(lost, loss{Permissions, fmt.Errorf("%04o: %w", mode, err)})
	}
	return mode, lost
}

// The names of ACLs among the attributes.
const (
	aclPrefix = "system.posix_acl_"
	accessACL = "system.posix_acl_access"
)

// groupBits returns what the access ACL of n gives to the group, as permission
// bits. An ACL is, in the bytes that Linux gives (linux/posix_acl_xattr.h), a
// u32 version and for each entry a u16 tag, a u16 of permissions and a u32 id.
func groupBits(n *catalog.Node) uint32 {
	const headerLen, entryLen, tagGroup = 4, 8, 0x04
	for i := range n.Xattrs {
		if n.Xattrs[i].Name != accessACL {
			continue
		}
		acl := n.Xattrs[i].Value
		for e := headerLen; e+entryLen <= len(acl); e += entryLen {
			if binary.LittleEndian.Uint16(acl[e:]) == tagGroup {
				return uint32(binary.LittleEndian.Uint16(acl[e+2:])&0o7) << 3
			}
		}
		return 0
	}
	return 0o070 // there is none
}

// xattrs gives h the extended attributes of n, and takes away those that it
// got from elsewhere, as from the default ACL of its directory. acl is false
// if an access ACL could not be set.
func (r *run) xattrs(ctx context.Context, h handle, n *catalog.Node) (acl bool, lost []loss, err error) {
	removeOthers(h, n)
	acl = true
	for i := range n.Xattrs {
		x := &n.Xattrs[i]
		var refused error
		set := func(value []byte) error {
			refused = h.setXattr(x.Name, value)
			return nil
		}
		if x.Len == 0 {
			_ = set(x.Value)
		} else if err := r.withChunk(ctx, x.ID, x.Place, uint64(x.Len), set); err != nil {
			return false, nil, fmt.Errorf("attribute %q: %w", x.Name, err)
		}
		if refused != nil {
			lost = append(lost, loss{xattrAspect(x.Name), fmt.Errorf("%q: %w", x.Name, refused)})
			acl = acl && x.Name != accessACL
		}
	}
	return acl, lost, nil
}

// removeOthers removes attributes that n does not have: those that users and
// programs set. The others, such as a label of SELinux, are the system's.
func removeOthers(h handle, n *catalog.Node) {
	b := make([]byte, 256)
	size, err := h.listXattrs(b)
	if err == unix.ERANGE {
		b = make([]byte, 64<<10) // XATTR_LIST_MAX
		size, err = h.listXattrs(b)
	}
	if err != nil {
		return // there are none
	}
	for name := range bytes.SplitSeq(b[:size], []byte{0}) {
		has := func(x catalog.Xattr) bool { return x.Name == string(name) }
		switch xattrAspect(string(name)) {
		case ACL, UserXattrs, TrustedXattrs:
			if !slices.ContainsFunc(n.Xattrs, has) {
				_ = h.removeXattr(string(name))
			}
		}
	}
}

func xattrAspect(name string) Aspect {
	if strings.HasPrefix(name, aclPrefix) {
		return ACL
	}
	namespace, _, _ := strings.Cut(name, ".")
	switch namespace {
	case "user":
		return UserXattrs
	case "trusted":
		return TrustedXattrs
	case "security":
		return SecurityXattrs
	}
	return OtherXattrs
}
