package catalog

import "tidemark/pack"

// appendNode appends the row of n, which passed its check.
func appendNode(b []byte, n *Node) []byte {
	e := pack.Encoder{B: b}
	var flags uint8
	if n.HasBtime {
		flags |= flagBtime
	}
	if n.Links > 0 {
		flags |= flagLinked
	}
	if n.Unreadable != "" {
		flags |= flagUnreadable
	}
	if n.Xflags != 0 || n.Project != 0 {
		flags |= flagXflags
	}
	e.Str8(n.Name)
	e.U8(uint8(n.Type))
	e.U8(flags)
	e.U16(n.Mode)
	e.U32(n.UID)
	e.U32(n.GID)
	e.Str8(n.Owner)
	e.Str8(n.Group)
	e.Time(n.Mtime.Sec, n.Mtime.Nsec)
	if flags&flagBtime != 0 {
		e.Time(n.Btime.Sec, n.Btime.Nsec)
	}
	if flags&flagLinked != 0 {
		e.Raw(n.Link[:])
		e.U32(n.Links)
	}
	if flags&flagXflags != 0 {
		e.U32(n.Xflags)
		e.U32(n.Project)
	}
	e.U16(uint16(len(n.Xattrs)))
	for i := range n.Xattrs {
		appendXattr(&e, &n.Xattrs[i])
	}
	if flags&flagUnreadable != 0 {
		e.U64(n.Size)
		e.Str16(n.Unreadable)
	} else {
		appendContent(&e, n)
	}
	e.Ext(n.Ext)
	return e.B
}

func appendXattr(e *pack.Encoder, x *Xattr) {
	e.Str8(x.Name)
	if x.Len == 0 {
		e.U8(formValue)
		e.Bytes32(x.Value)
		return
	}
	e.U8(formChunk)
	e.U32(x.Len)
	e.ID(x.ID)
}

func appendContent(e *pack.Encoder, n *Node) {
	switch n.Type {
	case File:
		e.U64(n.Size)
		switch n.form() {
		case formInline:
			e.U8(formInline)
			e.Raw(n.Inline)
		case formExtents:
			e.U8(formExtents)
			e.U8(uint8(len(n.Extents)))
			for i := range n.Extents {
				e.B = appendExtent(e.B, &n.Extents[i])
			}
		case formList:
			e.U8(formList)
			e.U8(n.List.Level)
			e.ID(n.List.ID)
			e.U64(n.ExtentCount)
		}
	case Dir:
		e.U64(n.Below.Names)
		e.U64(n.Below.Files)
		e.U64(n.Below.Dirs)
		e.U64(n.Below.Bytes)
		if n.Below.Names > 0 {
			e.U8(n.Child.Level)
			e.ID(n.Child.ID)
		}
	case Symlink:
		e.Str16(n.Target)
	case CharDevice, BlockDevice:
		e.U32(n.Major)
		e.U32(n.Minor)
	}
}

// form returns how the content of a readable file is kept.
func (n *Node) form() uint8 {
	switch {
	case n.Size <= MaxInlineLen:
		return formInline
	case len(n.Extents) > 0:
		return formExtents
	}
	return formList
}

// addNodePlaces adds the places of a row, in the order of the format.
func addNodePlaces(t *placeTable, n *Node) {
	for i := range n.Xattrs {
		if n.Xattrs[i].Len > 0 {
			t.add(&n.Xattrs[i].Place)
		}
	}
	if n.Unreadable != "" {
		return
	}
	switch {
	case n.Type == Dir && n.Below.Names > 0:
		t.add(&n.Child.Place)
	case n.Type == File && n.form() == formExtents:
		for i := range n.Extents {
			if !n.Extents[i].Zero {
				t.add(&n.Extents[i].Place)
			}
		}
	case n.Type == File && n.form() == formList:
		t.add(&n.List.Place)
	}
}

func appendExtent(b []byte, x *Extent) []byte {
	e := pack.Encoder{B: b}
	if x.Zero {
		e.U8(extentZero)
		e.U64(x.Len)
	} else {
		e.U8(extentChunk)
		e.U32(uint32(x.Len))
		e.ID(x.ID)
	}
	return e.B
}

func appendHints(b []byte, h *Hints) []byte {
	e := pack.Encoder{B: b}
	e.Time(h.Ctime.Sec, h.Ctime.Nsec)
	e.U64(h.Ino)
	e.U32(h.FS)
	e.U8(uint8(h.Alloc))
	if h.Alloc == HolesListed {
		e.U32(uint32(len(h.Holes)))
		for _, r := range h.Holes {
			e.U64(r.Off)
			e.U64(r.Len)
		}
	}
	return e.B
}
