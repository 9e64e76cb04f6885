package walk

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// An Xattr is an extended attribute. POSIX ACLs and file capabilities are
// among them.
type Xattr struct {
	Name  string // with its namespace, such as "user.comment"
	Value []byte
}

// Sizes of the buffers for a list of names and for a value, in bytes. The
// kernel gives no more than 64 KiB of either (XATTR_LIST_MAX, XATTR_SIZE_MAX),
// and does so with one call; most fit in the first.
const (
	xattrBuf    = 1 << 10
	xattrMaxBuf = 64 << 10
)

// Xattrs returns the extended attributes of e, of any type, in the order of
// their names. It does not open e, and needs /proc. A filesystem that has no
// attributes has none; one that says that it has an attribute and does not
// give it is an error. Concurrency is that of [Dir.OpenFile].
func (d *Dir) Xattrs(e Entry) ([]Xattr, error) {
	var attrs []Xattr
	err := d.withFD(func(at int) error {
		return withPath(at, &e, func(_ int, path string) (err error) {
			attrs, err = xattrs(path)
			return procErr(err)
		})
	})
	if err != nil {
		return nil, d.fail("read the extended attributes of", e.Name, err)
	}
	return attrs, nil
}

func xattrs(path string) ([]Xattr, error) {
	list, err := xattrRead(func(b []byte) (int, error) { return unix.Listxattr(path, b) })
	if err == unix.ENOTSUP {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var attrs []Xattr
	for name := range bytes.SplitSeq(bytes.TrimSuffix(list, []byte{0}), []byte{0}) {
		if len(name) == 0 {
			continue // the list is empty
		}
		a := Xattr{Name: string(name)}
		a.Value, err = xattrRead(func(b []byte) (int, error) { return unix.Getxattr(path, a.Name, b) })
		if err == unix.ENODATA {
			continue // removed since it was listed
		}
		if err != nil {
			return nil, fmt.Errorf("%q: %w", a.Name, err)
		}
		attrs = append(attrs, a)
	}
	slices.SortFunc(attrs, func(x, y Xattr) int { return strings.Compare(x.Name, y.Name) })
	return attrs, nil
}

// xattrRead returns what call puts into a buffer that is large enough.
func xattrRead(call func([]byte) (int, error)) ([]byte, error) {
	for size := xattrBuf; ; size = xattrMaxBuf {
		b := make([]byte, size)
		var n int
		err := retryEINTR(func() (err error) {
			n, err = call(b)
			return err
		})
		if err == unix.ERANGE && size < xattrMaxBuf {
			continue
		}
		if err != nil {
			return nil, err
		}
		return slices.Clone(b[:n]), nil
	}
}
