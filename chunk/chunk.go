// Package chunk names pieces of content and decides where one ends.
//
// A content (of a file, or of a large extended attribute) is divided into
// extents: runs of zeros, of which only the length is kept, and chunks, which
// are stored once however often they occur. A [Splitter] does that; a chunk's
// name is its [ID], which [Keys] computes. Pages of trees have IDs too.
//
//	content ──▶ Splitter ──▶ Extent, Extent, …
//	              ▲             └─▶ chunk ──▶ Keys.ChunkID ──▶ ID
//	            Table
//
// Both are keyed. An ID is an HMAC, so that whoever sees it cannot test a
// guess at the content. The cut points follow a [Table] made from the
// chunking key, so that the lengths of a known file's chunks are not the same
// in every repository; that is a hindrance to an observer and no more, and
// nothing rests on it.
//
// The extents of a content are a function of its bytes, the table and the
// parameters alone: not of how it was read, nor of where the filesystem kept
// holes. This is what makes equal files share their chunks, and unchanged
// ones keep their identity; it is part of the format. The normative text is
// docs/format.md, which [Splitter] and [Keys] repeat.
package chunk

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
)

// ErrCorrupt means that bytes are not those that their ID names.
var ErrCorrupt = errors.New("corrupt")

// An ID names a chunk, or a page of a tree, by what it holds: a keyed hash of
// its bytes, see [Keys]. Equal bytes have equal IDs within a trust group.
type ID [32]byte

// ParseID reads the form that [ID.String] writes, and no other.
func ParseID(s string) (ID, error) {
	var id ID
	if len(s) == hex.EncodedLen(len(id)) {
		_, err := hex.Decode(id[:], []byte(s))
		if err == nil && id.String() == s {
			return id, nil
		}
	}
	return ID{}, fmt.Errorf("chunk: malformed id %.80q: want 64 lower-case hex digits", s)
}

// String returns id as 64 lower-case hex digits, the form [ParseID] reads.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// Compare returns -1, 0 or +1: the order of the ids' bytes, which is also
// that of their text.
func (id ID) Compare(other ID) int { return bytes.Compare(id[:], other[:]) }

// IsZero reports whether id is all zeros, which stands for no id.
func (id ID) IsZero() bool { return id == ID{} }
