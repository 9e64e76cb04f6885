package catalog

import (
	"math"
	"strings"

	"tidemark/pack"
)

// checkName returns why name cannot be that of an entry, or "".
func checkName(name string) string {
	switch {
	case name == "":
		return "the name is empty"
	case len(name) > MaxNameLen:
		return "the name is longer than 255 bytes"
	case name == "." || name == "..":
		return "the name means another directory"
	case strings.IndexByte(name, '/') >= 0 || strings.IndexByte(name, 0) >= 0:
		return "the name has a slash or a NUL in it"
	}
	return ""
}

// checkRow returns what is wrong with r as a row to be written. A root is the
// row of a root page.
func checkRow(r *Row, root bool) *flaw {
	if root != (r.Name == "") {
		return flawf(pack.ReasonText, "only the root of a point has an empty name")
	}
	if bad := r.Node.check(root); bad != nil {
		return bad
	}
	return r.Hints.check(&r.Node)
}

// check returns what is wrong with n. The name may be empty if root is true.
func (n *Node) check(root bool) *flaw {
	if n.Name != "" || !root {
		if why := checkName(n.Name); why != "" {
			return flawf(pack.ReasonText, "%s", why)
		}
	}
	switch {
	case n.Type < File || n.Type > BlockDevice:
		return flawf(pack.ReasonKind, "%v", n.Type)
	case n.Mode > 0o7777:
		return flawf(pack.ReasonRange, "permissions %#o", n.Mode)
	case len(n.Owner) > MaxNameLen || len(n.Group) > MaxNameLen:
		return flawf(pack.ReasonLimit, "the name of the owner or the group is longer than %d bytes", MaxNameLen)
	case n.Mtime.Nsec >= 1e9 || n.Btime.Nsec >= 1e9:
		return flawf(pack.ReasonRange, "a time has more than 999,999,999 nanoseconds")
	case n.Type == Dir && n.Links > 0:
		return flawf(pack.ReasonFlags, "a directory in a link group")
	case len(n.Xattrs) > MaxXattrCount:
		return flawf(pack.ReasonLimit, "%d xattrs, more than %d", len(n.Xattrs), MaxXattrCount)
	}
	for i := range n.Xattrs {
		if bad := n.Xattrs[i].check(); bad != nil {
			return bad
		}
		if i > 0 && n.Xattrs[i].Name <= n.Xattrs[i-1].Name {
			return outOfOrder(n.Xattrs[i].Name == n.Xattrs[i-1].Name, "xattrs")
		}
	}
	for i := 1; i < len(n.Ext); i++ {
		if n.Ext[i].ID <= n.Ext[i-1].ID {
			return outOfOrder(n.Ext[i].ID == n.Ext[i-1].ID, "extensions")
		}
	}
	return n.checkContent()
}

func (n *Node) checkContent() *flaw {
	switch {
	case len(n.Unreadable) > MaxReasonLen:
		return flawf(pack.ReasonLimit, "a reason of %d bytes", len(n.Unreadable))
	case n.Type != File && n.Size != 0:
		return flawf(pack.ReasonRange, "a %v with a size", n.Type)
	case n.Size > MaxFileLen:
		return flawf(pack.ReasonRange, "a size of %d bytes", n.Size)
	case n.Unreadable != "":
		return nil
	case n.Type == File:
		return n.checkFile()
	case n.Type == Symlink && (n.Target == "" || len(n.Target) > MaxTargetLen):
		return flawf(pack.ReasonLength, "a target of %d bytes, not 1 to %d", len(n.Target), MaxTargetLen)
	case n.Type == Symlink && strings.IndexByte(n.Target, 0) >= 0:
		return flawf(pack.ReasonText, "the target has a NUL in it")
	case n.Type == Dir:
		t := n.Below
		switch {
		case t.Names == 0 && t != Totals{}:
			return flawf(pack.ReasonSum, "an empty directory with something below it")
		case t.Names == math.MaxUint64 || t.Dirs == math.MaxUint64:
			return flawf(pack.ReasonRange, "totals out of range")
		case t.Names > 0 && n.Child.Level > MaxPageLevel:
			return flawf(pack.ReasonLimit, "a root page of level %d", n.Child.Level)
		}
	}
	return nil
}

func (n *Node) checkFile() *flaw {
	switch form := n.form(); {
	case form == formInline && uint64(len(n.Inline)) != n.Size:
		return flawf(pack.ReasonLength, "%d inline bytes, and a size of %d", len(n.Inline), n.Size)
	case form == formExtents:
		return n.checkExtents()
	case form == formList && n.ExtentCount <= MaxNodeExtents:
		return flawf(pack.ReasonCount, "a list of %d extents, which have room in the node", n.ExtentCount)
	case form == formList && n.List.Level > MaxPageLevel:
		return flawf(pack.ReasonLimit, "a list whose root page is of level %d", n.List.Level)
	}
	return nil
}

func (n *Node) checkExtents() *flaw {
	if len(n.Extents) > MaxNodeExtents {
		return flawf(pack.ReasonCount, "%d extents in a node, more than %d", len(n.Extents), MaxNodeExtents)
	}
	var run extentRun
	for i := range n.Extents {
		if bad := run.add(&n.Extents[i]); bad != nil {
			return bad
		}
	}
	if run.off != n.Size {
		return flawf(pack.ReasonSum, "extents of %d bytes, and a size of %d", run.off, n.Size)
	}
	return nil
}

func (x *Xattr) check() *flaw {
	switch {
	case x.Name == "" || len(x.Name) > MaxNameLen:
		return flawf(pack.ReasonLength, "the name of an xattr has %d bytes, not 1 to %d", len(x.Name), MaxNameLen)
	case strings.IndexByte(x.Name, 0) >= 0:
		return flawf(pack.ReasonText, "the name of an xattr has a NUL in it")
	case x.Len == 0 && len(x.Value) > MaxInlineXattr:
		return flawf(pack.ReasonLimit, "the value of xattr %q has %d bytes and is no chunk", x.Name, len(x.Value))
	case x.Len > 0 && x.Len <= MaxInlineXattr:
		return flawf(pack.ReasonLength, "the value of xattr %q is a chunk of %d bytes", x.Name, x.Len)
	case x.Len > MaxXattrLen:
		return flawf(pack.ReasonLimit, "the value of xattr %q has %d bytes, more than %d", x.Name, x.Len, MaxXattrLen)
	}
	return nil
}

// An extentRun checks extents in their order in a content.
type extentRun struct {
	off  uint64 // where the next one begins
	zero bool   // the last one was zero
}

func (r *extentRun) add(x *Extent) *flaw {
	switch {
	case x.Len == 0:
		return flawf(pack.ReasonLength, "an empty extent")
	case !x.Zero && x.Len > pack.MaxBlock:
		return flawf(pack.ReasonLimit, "a chunk of %d bytes, more than %d", x.Len, pack.MaxBlock)
	case x.Zero && r.zero:
		return flawf(pack.ReasonOrder, "two zero extents touch")
	case x.Zero && (r.off%zeroAlign != 0 || x.Len%zeroAlign != 0):
		return flawf(pack.ReasonRange, "a zero extent of %d bytes at %d, not at multiples of %d", x.Len, r.off, zeroAlign)
	case x.Len > MaxFileLen-r.off:
		return flawf(pack.ReasonRange, "extents of more than %d bytes", uint64(MaxFileLen))
	}
	r.off += x.Len
	r.zero = x.Zero
	return nil
}

func (h *Hints) check(n *Node) *flaw {
	switch {
	case h.Ctime.Nsec >= 1e9:
		return flawf(pack.ReasonRange, "a time has more than 999,999,999 nanoseconds")
	case h.Alloc > HolesListed:
		return flawf(pack.ReasonKind, "allocation %d", h.Alloc)
	case h.Alloc != HolesUnknown && n.Type != File:
		return flawf(pack.ReasonFlags, "holes of a %v", n.Type)
	case (h.Alloc == HolesListed) != (len(h.Holes) > 0):
		return flawf(pack.ReasonCount, "%d holes for allocation %d", len(h.Holes), h.Alloc)
	}
	var end uint64 // of the last hole
	for i, r := range h.Holes {
		if r.Len == 0 || r.Off > n.Size || r.Len > n.Size-r.Off {
			return flawf(pack.ReasonRange, "a hole of %d bytes at %d of %d", r.Len, r.Off, n.Size)
		}
		if i > 0 && r.Off <= end {
			return flawf(pack.ReasonOrder, "holes touch or do not ascend")
		}
		end = r.Off + r.Len
	}
	return nil
}
