package store

import (
	"context"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// List implements [Store]. It holds the names of one directory at each level
// in memory, those that prefix and after leave.
func (d *Dir) List(ctx context.Context, prefix, after string, fn func(Info) error) error {
	dir := "."
	if i := strings.LastIndexByte(prefix, '/'); i >= 0 {
		dir = prefix[:i]
		if ValidKey(dir) != nil {
			return nil // no key begins like this
		}
	}
	return d.walk(ctx, dir, lister{prefix, after, fn})
}

// A lister is what a List was asked for.
type lister struct {
	prefix, after string
	fn            func(Info) error
}

// wantsKey reports whether an object of that key is to be listed.
func (l lister) wantsKey(key string) bool {
	return strings.HasPrefix(key, l.prefix) && key > l.after
}

// wantsDir reports whether a directory may hold keys that are to be listed.
// dir ends in a slash.
func (l lister) wantsDir(dir string) bool {
	return (strings.HasPrefix(dir, l.prefix) || strings.HasPrefix(l.prefix, dir)) &&
		(dir > l.after || strings.HasPrefix(l.after, dir))
}

// walk lists what is wanted of the directory dir and of those below it.
func (d *Dir) walk(ctx context.Context, dir string, l lister) error {
	entries, err := d.entries(ctx, dir, l)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return d.failed("list", dir, err)
		}
		key := path.Join(dir, e.name)
		if strings.HasSuffix(e.name, "/") {
			err = d.walk(ctx, key, l)
		} else {
			err = l.fn(Info{key, e.size, e.time})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// An entry is an object or a directory in a directory. The name of the latter
// ends in a slash: as all keys below it have that, this is where they sort,
// "a-b" before "a/b".
type entry struct {
	name string
	size int64
	time time.Time
}

// entries returns what is wanted of the directory dir, sorted. It leaves out
// what has gone meanwhile, which may be dir itself; any other trouble is an
// error, never a shorter list.
func (d *Dir) entries(ctx context.Context, dir string, l lister) ([]entry, error) {
	f, err := d.openDir(dir)
	if err != nil {
		return nil, d.listError(dir, err)
	}
	defer f.Close()
	var entries []entry
	for {
		if err := ctx.Err(); err != nil {
			return nil, d.failed("list", dir, err)
		}
		names, err := f.Readdirnames(1024)
		if err == io.EOF {
			break
		} else if err != nil {
			return nil, d.listError(dir, err)
		}
		for _, name := range names {
			key := path.Join(dir, name)
			if !validSegment(name) || len(key) > MaxKeyLen || !l.wantsKey(key) && !l.wantsDir(key+"/") {
				continue
			}
			var st unix.Stat_t
			if err := retry(func() error { return unix.Fstatat(int(f.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW) }); err != nil {
				if err = d.listError(key, err); err != nil {
					return nil, err
				}
				continue
			}
			switch st.Mode & unix.S_IFMT {
			case unix.S_IFREG:
				if l.wantsKey(key) {
					entries = append(entries, entry{name, st.Size, time.Unix(st.Mtim.Unix())})
				}
			case unix.S_IFDIR:
				if l.wantsDir(key + "/") {
					entries = append(entries, entry{name: name + "/"})
				}
			default:
				return nil, d.failed("list", key, errForeign)
			}
		}
	}
	slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(a.name, b.name) })
	return entries, nil
}

// listError is the error of List for an error of looking at a file or
// directory: none if it has gone and the repository has not.
func (d *Dir) listError(name string, err error) error {
	if err = d.lookupError(err); err == ErrNotExist {
		return nil
	}
	return d.failed("list", name, err)
}
