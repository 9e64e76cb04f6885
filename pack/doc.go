// Package pack is the codec of a repository's binary objects: the frame that
// all of them begin with, sealed records, and packs with their blocks.
//
//	pieces ──Compress──▶ Builder ──▶ pack: header, sealed blocks, sealed directory, SHA-256
//	                                   │
//	                    Header ◀───────┤  from its first 4 KiB
//	                    Opener ◀───────┤  the header's run, opened by keys
//	   Opener.OpenBlock ──▶ plain bytes of a block, from its exact range
//
// A block holds whole pieces: chunks of content in data packs, pages of trees
// in tree packs. A [Place] says where a piece is, so exactly that reading it
// takes one ranged read and no index.
//
// Everything that is decoded here is decoded strictly: what is accepted
// encodes to the same bytes again. What is not accepted is a [*DamageError]
// that names the object and the reason.
//
// The normative text is docs/format.md, sections 2, 3, 6, 7 and 13. The
// bodies of points, marks and rules belong to the packages that know what
// they mean; this one codes them with [Encoder] and [Decoder], and seals and
// signs them.
package pack

import "tidemark/chunk"

// A Kind says what an object is, in its frame.
type Kind uint8

// The kinds of docs/format.md, section 6.
const (
	DataPack  Kind = 1
	TreePack  Kind = 2
	Index     Kind = 3
	Point     Kind = 4
	Intent    Kind = 5
	Mark      Kind = 6
	Rules     Kind = 7
	Condemned Kind = 8
	Moved     Kind = 9
	Enrolment Kind = 10
	Feature   Kind = 11
)

var kindNames = [...]string{
	DataPack: "data pack", TreePack: "tree pack", Index: "index", Point: "point",
	Intent: "intent", Mark: "mark", Rules: "rules", Condemned: "condemned",
	Moved: "moved", Enrolment: "enrolment", Feature: "feature",
}

func (k Kind) String() string {
	if int(k) < len(kindNames) && k != 0 {
		return kindNames[k]
	}
	return "unknown kind"
}

// Limits of docs/format.md, section 19, in bytes. They bound what a decoder
// allocates for an object that somebody else wrote.
const (
	MaxPack      = 1 << 30
	MaxHeader    = 4 << 10  // of a pack: one small read gets all of it
	MaxDirectory = 64 << 20 // of a pack
	MaxBlock     = 16 << 20 // plain; a piece is never larger
	MaxBlocks    = 65536    // in a pack
)

// Limit returns how many bytes an object of kind k may have.
func (k Kind) Limit() int64 {
	switch k {
	case DataPack, TreePack:
		return MaxPack
	case Index, Moved, Condemned:
		return 64 << 20
	case Point, Intent:
		return 4 << 20
	case Rules:
		return 256 << 10
	case Mark, Enrolment:
		return 16 << 10
	case Feature:
		return 4 << 10
	}
	return 0
}

// A Piece is a chunk or a page as a pack's directory and the index name it.
type Piece struct {
	ID  chunk.ID
	Len uint32 // plain, at least 1
}
