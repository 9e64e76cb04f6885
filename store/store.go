// Package store is object storage: where a repository's objects are kept.
//
// A [Store] maps keys to immutable strings of bytes. It knows nothing of what
// they mean, and does not check them: whoever reads an object verifies it.
//
//	Store ─┬─ Dir        a local directory
//	       ├─ Mem        memory, for tests
//	       ├─ Counter    any Store, with a record of its requests
//	       └─ Fault      any Store, with failures and damage to order
//
// The invariant is that an object is whole or not there. Every implementation
// passes the suite in package storetest, which tests the contract below.
package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// A Store is object storage. An object is written once, never changed, and
// read in ranges until it is deleted.
//
// Keys are what [ValidKey] accepts; any other is an error. No key is another's
// directory: where "a/b" is an object, "a" and "a/b/c" are not. A store may
// refuse to Put such a key or not, so callers never try.
//
// What Put has returned nil for is seen at once by ReadAt and Stat, and by
// List unless the implementation documents a lag; likewise what Delete has.
//
// All methods may be called concurrently, and by several processes on one
// repository. None keeps a buffer or a body after it has returned. Each returns
// soon after ctx is done, with an error that wraps ctx.Err() unless its work
// was done by then. An implementation retries by itself what is worth
// retrying: callers do not.
//
// An error names the operation and the key. Only [ErrNotExist] says that there
// is no such object: a store that is out of reach, damaged or refuses gives
// some other error. No error of reading wraps [io/fs.ErrNotExist], which higher
// up means a file that never was.
type Store interface {
	// Put stores the first size bytes of body under key. It is atomic and
	// durable: when it returns nil the whole object survives a crash, and
	// no reader ever sees a part of it. If body fails or ends early, or ctx
	// is done in the middle, there is no object. After any other error but
	// ErrExist the object may be there or not.
	//
	// Put does not overwrite. If there is an object under key already, that
	// one stays, and Put returns an error that wraps [ErrExist] if the
	// store can tell. The object may be what an earlier try of the same Put
	// left. Of several Puts of one key at once, an object that is one of
	// them, whole, remains; a store without conditional writes may tell
	// more than one that it was theirs, so Put is no lock.
	//
	// The body is read from its beginning, perhaps more than once and from
	// several goroutines, and must give the same bytes each time. An error
	// of body is wrapped.
	Put(ctx context.Context, key string, body io.ReaderAt, size int64) error

	// ReadAt fills p with the object's bytes from off on. It returns less
	// than len(p) and no error only if the object ends there; from its end
	// on it returns 0, nil. The error wraps ErrNotExist if there is no such
	// object; with any error n is 0 and p holds nothing of use. An empty p
	// may be answered without asking whether the object exists. A negative
	// off is an error.
	ReadAt(ctx context.Context, key string, p []byte, off int64) (n int, err error)

	// Stat describes an object. The error wraps ErrNotExist if there is no
	// such object.
	Stat(ctx context.Context, key string) (Info, error)

	// List calls fn for each object whose key begins with prefix and is
	// greater than after, in the byte order of keys. Both may be empty, and
	// neither need be a key. An object that is put or deleted meanwhile may
	// be listed or not; all others are listed once, or List returns an
	// error.
	//
	// An error of fn ends List, which returns it as it is. fn is called
	// from List's own goroutine, never after ctx is done, and may call
	// any method of the store.
	List(ctx context.Context, prefix, after string, fn func(Info) error) error

	// Delete removes an object, durably: when it returns nil there is none
	// under key, and after a crash there is still none. It returns nil too
	// if there was none before.
	Delete(ctx context.Context, key string) error
}

// Info describes an object.
type Info struct {
	Key  string
	Size int64 // in bytes

	// Time is when the object was committed, by the store's own clock and
	// to the precision that it keeps.
	Time time.Time
}

// ErrNotExist means that there is no such object.
var ErrNotExist = errors.New("no such object")

// ErrExist means that Put found an object under its key: a whole and durable
// one, which it did not change.
var ErrExist = errors.New("object exists already")

// firstLen is how many bytes ReadAll asks for before it knows the size of an
// object: 64 KiB, which holds nearly all records, and one byte more, to see
// that an object of just 64 KiB ends there.
const firstLen = 64<<10 + 1

// ReadAll returns an object's bytes. It takes one request if the object is no
// longer than 64 KiB, else three. An object of more than limit bytes is an
// error that says so, and takes no memory for it.
func ReadAll(ctx context.Context, s Store, key string, limit int64) ([]byte, error) {
	if limit < 0 {
		return nil, fmt.Errorf("store: read %s: a limit of %d bytes", key, limit)
	}
	first := make([]byte, firstLen)
	if limit < firstLen {
		first = first[:limit+1]
	}
	n, err := s.ReadAt(ctx, key, first, 0)
	if err != nil {
		return nil, err
	}
	if n < len(first) {
		return bytes.Clone(first[:n]), nil // most are far smaller than first
	}
	info, err := s.Stat(ctx, key)
	if err != nil {
		return nil, err
	}
	if info.Size > limit {
		return nil, fmt.Errorf("store: read %s: it has %d bytes, and may have %d", key, info.Size, limit)
	}
	// One byte more here too: the object must end where its size says.
	b := make([]byte, info.Size+1)
	n = copy(b, first)
	m, err := s.ReadAt(ctx, key, b[n:], int64(n))
	if err != nil {
		return nil, err
	}
	if int64(n+m) != info.Size {
		return nil, fmt.Errorf("store: read %s: its size is given as %d bytes, and it has another", key, info.Size)
	}
	return b[:n+m], nil
}

// Limits of keys, in bytes.
const (
	// MaxKeyLen leaves 124 of the 1024 bytes that S3 and Swift allow to the
	// prefix of the repository in its bucket.
	MaxKeyLen = 900

	// MaxSegmentLen is below the 255 that filesystems allow, which also hold
	// the objects of some S3 servers, with endings of their own.
	MaxSegmentLen = 200
)

// ValidKey returns an error unless key may name an object: segments of A-Z,
// a-z, 0-9, '.', '_', '=' and '-', joined by single slashes. A segment is not
// "." or "..", nor longer than [MaxSegmentLen]; the key is no longer than
// [MaxKeyLen].
func ValidKey(key string) error {
	if len(key) > MaxKeyLen {
		return fmt.Errorf("store: key %.40q…: %d bytes, and may have %d", key, len(key), MaxKeyLen)
	}
	for seg := range strings.SplitSeq(key, "/") {
		if !validSegment(seg) {
			return fmt.Errorf("store: key %q: bad segment %q", key, seg)
		}
	}
	return nil
}

func validSegment(seg string) bool {
	if seg == "" || seg == "." || seg == ".." || len(seg) > MaxSegmentLen {
		return false
	}
	for _, c := range []byte(seg) {
		switch {
		case 'A' <= c && c <= 'Z', 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		case c == '.', c == '_', c == '=', c == '-':
		default:
			return false
		}
	}
	return true
}

// checkPut returns an error for the arguments that no Put accepts.
func checkPut(key string, size int64) error {
	if size < 0 {
		return fmt.Errorf("store: put %s: size of %d bytes", key, size)
	}
	return ValidKey(key)
}

// checkRead returns an error for the arguments that no ReadAt accepts.
func checkRead(key string, off int64) error {
	if off < 0 {
		return fmt.Errorf("store: read %s: offset %d", key, off)
	}
	return ValidKey(key)
}

// pieceLen is how many bytes are copied between two looks at the context:
// 1 MiB takes a slow disk 10 ms, and more at once is no faster.
const pieceLen = 1 << 20

// pieces calls fn with the first size bytes of body, in order and piece by
// piece, until ctx is done. fn must not keep a piece.
func pieces(ctx context.Context, body io.ReaderAt, size int64, fn func(piece []byte) error) error {
	buf := make([]byte, min(size, pieceLen))
	for off := int64(0); off < size; off += int64(len(buf)) {
		if err := ctx.Err(); err != nil {
			return err
		}
		buf = buf[:min(size-off, pieceLen)]
		n, err := io.ReadFull(io.NewSectionReader(body, off, int64(len(buf))), buf)
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return &bodyError{off + int64(n), size, err}
		}
		if err := fn(buf); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// A bodyError is a failure of what was to be put, not of the store.
type bodyError struct {
	got, size int64 // bytes
	err       error
}

func (e *bodyError) Error() string {
	return fmt.Sprintf("the content failed after %d of %d bytes: %v", e.got, e.size, e.err)
}

func (e *bodyError) Unwrap() error { return e.err }
