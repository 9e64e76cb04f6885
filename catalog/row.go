package catalog

import "tidemark/pack"

// Flags of a node, docs/format.md, section 10.
const (
	flagBtime      = 1 << iota // a birth time follows
	flagLinked                 // a link group and a count of names follow
	flagUnreadable             // the content is a size and a reason
	flagXflags                 // inode flags and a project id follow
	flagsKnown     = 1<<iota - 1
)

// Forms of the content of a file.
const (
	formInline  = 0
	formExtents = 1
	formList    = 2
)

// Forms of the value of an xattr.
const (
	formValue = 0
	formChunk = 1
)

// Kinds of an extent, docs/format.md, section 8.
const (
	extentZero  = 0
	extentChunk = 1
)

// Row decodes and checks row i of a leaf page of a directory.
//
// If the node needs a later version of the program the error wraps
// [pack.ErrTooOld], and the Row has its Name and Type. It concerns that node
// only: the rows around it are as good as ever.
func (p *Page) Row(i int) (Row, error) {
	var r Row
	err := p.readRow(i, &r, new(names))
	return r, err
}

// Node is [Page.Row] without the hints, which it does not look at.
func (p *Page) Node(i int) (Node, error) {
	var n Node
	err := p.readNode(i, &n, new(names))
	return n, err
}

func (p *Page) readRow(i int, r *Row, in *names) error {
	if err := p.readNode(i, &r.Node, in); err != nil {
		return err
	}
	from, to := between(p.hintEnds, i)
	d := pack.NewDecoder("", p.hints[from:to])
	decodeHints(d, &r.Hints)
	bad := flawOf(d.Done())
	if bad == nil {
		bad = r.Hints.check(&r.Node)
	}
	if bad != nil {
		*r = Row{}
		bad.Detail = "hints: " + bad.Detail
		return p.damagedRow(i, bad)
	}
	return nil
}

// readNode decodes row i into n, which is zero. Names of owners are taken
// from in if they are there: in most directories they are all the same.
func (p *Page) readNode(i int, n *Node, in *names) error {
	if p.kind != DirPage || p.level > 0 {
		return p.notRows("nodes")
	}
	d := pack.NewDecoder("", p.row(i))
	places := p.placesOf(i)
	decodeNode(d, &places, n, in)
	bad := flawOf(d.Done())
	if bad == nil {
		bad = places.done()
	}
	if bad == nil {
		bad = n.check(p.n == 1)
	}
	if bad == nil {
		return nil
	}
	known := Node{}
	if bad.Reason == pack.ReasonExtension {
		known = Node{Name: n.Name, Type: n.Type}
		if why := checkName(n.Name); why != "" {
			known, bad = Node{}, flawf(pack.ReasonText, "%s", why)
		}
	}
	*n = known
	return p.damagedRow(i, bad)
}

// names keeps strings that rows have in common from being made for each.
type names struct{ owner, group string }

func intern(old *string, b []byte) string {
	if string(b) != *old {
		*old = string(b)
	}
	return *old
}

func decodeNode(d *pack.Decoder, places *placeCursor, n *Node, in *names) {
	n.Name = d.Str8(0, MaxNameLen)
	n.Type = Type(d.U8())
	flags := d.U8()
	if flags&^flagsKnown != 0 {
		d.Fail(pack.ReasonFlags, "flags %#x", flags)
	}
	n.Mode = d.U16()
	n.UID, n.GID = d.U32(), d.U32()
	n.Owner = intern(&in.owner, d.Raw(int(d.U8())))
	n.Group = intern(&in.group, d.Raw(int(d.U8())))
	n.Mtime.Sec, n.Mtime.Nsec = d.Time()
	if flags&flagBtime != 0 {
		n.HasBtime = true
		n.Btime.Sec, n.Btime.Nsec = d.Time()
	}
	if flags&flagLinked != 0 {
		copy(n.Link[:], d.Raw(len(n.Link)))
		if n.Links = d.U32(); n.Links == 0 {
			d.Fail(pack.ReasonRange, "a link group without names")
		}
	}
	if flags&flagXflags != 0 {
		if n.Xflags, n.Project = d.U32(), d.U32(); n.Xflags == 0 && n.Project == 0 {
			d.Fail(pack.ReasonFlags, "inode flags and project are there and 0")
		}
	}
	decodeXattrs(d, places, n)
	if flags&flagUnreadable != 0 {
		n.Size = d.U64()
		n.Unreadable = d.Str16(1, MaxReasonLen)
	} else {
		decodeContent(d, places, n)
	}
	n.Ext = d.Ext()
	for i := range n.Ext {
		n.Ext[i].Value = append([]byte{}, n.Ext[i].Value...) // not the page's own bytes
	}
}

func decodeXattrs(d *pack.Decoder, places *placeCursor, n *Node) {
	count := int(d.U16())
	if count == 0 {
		return
	}
	if count > MaxXattrCount {
		d.Fail(pack.ReasonLimit, "%d xattrs, more than %d", count, MaxXattrCount)
		return
	}
	n.Xattrs = make([]Xattr, 0, min(count, d.Len()/6)) // at least 6 bytes each
	for range count {
		x := Xattr{Name: d.Str8(1, MaxNameLen)}
		switch form := d.U8(); form {
		case formValue:
			x.Value = append([]byte{}, d.Bytes32(0, MaxInlineXattr)...)
		case formChunk:
			if x.Len = d.U32(); x.Len <= MaxInlineXattr {
				d.Fail(pack.ReasonLength, "the value of xattr %q is a chunk of %d bytes, not more than %d", x.Name, x.Len, MaxInlineXattr)
			}
			x.ID = d.ID()
			x.Place = chunkPlace(d, places, uint64(x.Len))
		default:
			d.Fail(pack.ReasonKind, "the value of xattr %q is of form %d", x.Name, form)
		}
		if d.Err() != nil {
			return
		}
		n.Xattrs = append(n.Xattrs, x)
	}
}

func decodeContent(d *pack.Decoder, places *placeCursor, n *Node) {
	switch n.Type {
	case File:
		decodeFile(d, places, n)
	case Dir:
		n.Below = Totals{d.U64(), d.U64(), d.U64(), d.U64()}
		if n.Below.Names > 0 {
			n.Child = Ref{Level: d.U8(), ID: d.ID()}
			n.Child.Place = nextPlace(d, places)
		}
	case Symlink:
		n.Target = d.Str16(1, MaxTargetLen)
	case CharDevice, BlockDevice:
		n.Major, n.Minor = d.U32(), d.U32()
	case Fifo, Socket:
	default:
		d.Fail(pack.ReasonKind, "%v", n.Type)
	}
}

func decodeFile(d *pack.Decoder, places *placeCursor, n *Node) {
	n.Size = d.U64()
	form := d.U8()
	if inline := n.Size <= MaxInlineLen; inline != (form == formInline) {
		d.Fail(pack.ReasonLimit, "a content of %d bytes, of form %d", n.Size, form)
		return
	}
	switch form {
	case formInline:
		n.Inline = append([]byte(nil), d.Raw(int(n.Size))...)
	case formExtents:
		count := int(d.U8())
		if count < 1 || count > MaxNodeExtents {
			d.Fail(pack.ReasonCount, "%d extents in a node, not 1 to %d", count, MaxNodeExtents)
			return
		}
		n.Extents = make([]Extent, count)
		for i := range n.Extents {
			decodeExtent(d, places, &n.Extents[i])
		}
	case formList:
		n.List = Ref{Level: d.U8(), ID: d.ID()}
		n.ExtentCount = d.U64()
		n.List.Place = nextPlace(d, places)
	default:
		d.Fail(pack.ReasonKind, "a content of form %d", form)
	}
}

// decodeExtent decodes what appendExtent writes.
func decodeExtent(d *pack.Decoder, places *placeCursor, x *Extent) {
	switch kind := d.U8(); kind {
	case extentZero:
		x.Zero, x.Len = true, d.U64()
	case extentChunk:
		x.Len, x.ID = uint64(d.U32()), d.ID()
		x.Place = chunkPlace(d, places, x.Len)
	default:
		d.Fail(pack.ReasonKind, "an extent of kind %d", kind)
	}
}

func nextPlace(d *pack.Decoder, places *placeCursor) pack.Place {
	if d.Err() != nil {
		return pack.Place{}
	}
	at, bad := places.next()
	if bad != nil {
		d.Fail(bad.Reason, "%s", bad.Detail)
	}
	return at
}

func chunkPlace(d *pack.Decoder, places *placeCursor, length uint64) pack.Place {
	at := nextPlace(d, places)
	if d.Err() == nil && uint64(at.Len) != length {
		d.Fail(pack.ReasonLength, "a chunk of %d bytes has a place of %d", length, at.Len)
	}
	return at
}

func decodeHints(d *pack.Decoder, h *Hints) {
	h.Ctime.Sec, h.Ctime.Nsec = d.Time()
	h.Ino, h.FS = d.U64(), d.U32()
	h.Alloc = Alloc(d.U8())
	if h.Alloc == HolesListed {
		h.Holes = make([]Range, d.Count(16))
		for i := range h.Holes {
			h.Holes[i] = Range{d.U64(), d.U64()}
		}
	}
}
