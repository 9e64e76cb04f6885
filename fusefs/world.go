package fusefs

import (
	"context"
	"errors"

	"tidemark/catalog"
	"tidemark/chunk"
	"tidemark/pack"
)

// A World is what there is to show. Its methods may be called concurrently,
// return promptly when ctx is done, and retry by themselves what is worth
// retrying.
type World interface {
	// Hosts returns the names of the hosts, sorted, and the one of them whose
	// views stand at the top; "" if that is none. The caller does not change
	// the slice. It is asked often, and answers from memory.
	Hosts(ctx context.Context) (names []string, top string, err error)

	// Views returns what is to be shown of a host. It gives the same pointer
	// until that changes, and never changes what is behind a pointer. A new
	// point shows when the answer has it. It is asked often, and answers from
	// memory.
	Views(ctx context.Context, host string) (*Views, error)

	// Open returns the tree of a point of Views, once the point and all of
	// its set have been verified. If one of them is not to be shown (it is
	// forged, or gone) the error wraps ErrNotShown, and from then on Views is
	// without it. Any other error leaves the point where it is: reading it is
	// an error. Opening costs a request; what was opened is kept here, as
	// long as memory allows, and may be asked for again at any time.
	//
	// A Tree keeps its root page alive: that should be a copy, not a part of
	// the point's object.
	Open(ctx context.Context, host, object string) (*catalog.Tree, error)
}

// ErrNotShown means that a point turned out not to be one, or is gone.
var ErrNotShown = errors.New("the point is not shown any more")

// Views are the points of one host, arranged in directories.
type Views struct {
	catalog.Views

	// Exact has the complete points by their exact times, sorted by time: the
	// directory at/. Every point of Latest is in it.
	Exact []catalog.Shown
}

// Chunks gives out the content of files.
//
// Chunk returns the chunk id, found at the given place, checked against id.
// It shares its work among all who want the same chunk, so that a ctx which
// ends fails its own caller only. It retries by itself what is worth
// retrying. An error names the object it is about and never wraps
// fs.ErrNotExist. Chunk may be called concurrently.
type Chunks interface {
	Chunk(ctx context.Context, id chunk.ID, at pack.Place) (Piece, error)
}

// A Piece is a chunk in memory. Its bytes are read only, and valid until
// Release, which is called once.
type Piece interface {
	Bytes() []byte
	Release()
}
