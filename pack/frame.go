package pack

import "tidemark/keys"

const (
	magic   = "TDMK"
	version = 1

	maxObjectName = 1024 // bytes; no name of docs/format.md, section 3, is longer
)

// AppendFrame appends the frame that every binary object begins with: what it
// is, whose, and under which name it is stored.
//
//	offset  size  field
//	     0     4  magic "TDMK"
//	     4     1  kind
//	     5     1  version, 1
//	     6     2  zero
//	     8    16  repository id
//	    24   2+n  the object's own name, str16
func AppendFrame(b []byte, k Kind, repo keys.RepositoryID, name string) []byte {
	e := Encoder{append(b, magic...)}
	e.U8(uint8(k))
	e.U8(version)
	e.U16(0)
	e.Raw(repo[:])
	e.Str16(name)
	return e.B
}

// ParseFrame takes a frame off d and checks all of it against what was asked
// for: an object that was put in another's place is damage, not an answer.
func ParseFrame(d *Decoder, k Kind, repo keys.RepositoryID, name string) error {
	if m := d.Raw(len(magic)); d.err == nil && string(m) != magic {
		d.Fail(ReasonMagic, "it does not begin with %q", magic)
	}
	kind := Kind(d.U8())
	switch v := d.U8(); {
	case v > version:
		d.Fail(ReasonVersion, "it has version %d, this program knows version %d", v, version)
	case v < version:
		d.Fail(ReasonRange, "it has version %d", v)
	}
	if kind != k {
		d.Fail(ReasonKind, "it is of kind %d (%v), want %d (%v)", kind, kind, k, k)
	}
	if d.U16() != 0 {
		d.Fail(ReasonReserved, "reserved bytes are not zero")
	}
	if id := d.Raw(len(repo)); d.err == nil && keys.RepositoryID(id) != repo {
		d.Fail(ReasonRepository, "it belongs to repository %x, this is %s", id, repo)
	}
	if own := d.Str16(0, maxObjectName); own != name {
		d.Fail(ReasonName, "it was written under the name %q", own)
	}
	return d.Err()
}
