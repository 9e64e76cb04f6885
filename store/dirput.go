package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Put implements [Store]. The content is written to a file without a name and
// made durable; then the file is given its name, which fails if that is
// taken; then the name is made durable. Where the filesystem has no nameless
// files, the file has a temporary name at first. A Put that fails leaves
// nothing behind, and neither does a crash, but for such a temporary file,
// which some later Put removes.
func (d *Dir) Put(ctx context.Context, key string, body io.ReaderAt, size int64) error {
	if err := checkPut(key, size); err != nil {
		return err
	}
	err := d.putNameless(ctx, key, body, size)
	if err == errNoNameless {
		err = d.putNamed(ctx, key, body, size)
	}
	if err != nil {
		return d.failed("put", key, err)
	}
	return nil
}

// errNoNameless means that a file without a name cannot be had here, or
// cannot be given one.
var errNoNameless = errors.New("no nameless files")

func (d *Dir) putNameless(ctx context.Context, key string, body io.ReaderAt, size int64) error {
	if d.noTmpfile {
		return errNoNameless
	}
	f, err := d.root.OpenFile(".", os.O_WRONLY|unix.O_TMPFILE, 0o400)
	switch bare(err) {
	case nil:
	case unix.EOPNOTSUPP, unix.EISDIR, unix.EINVAL, unix.ENOSYS:
		return errNoNameless
	default:
		return err
	}
	defer f.Close() // without a name yet, the file is gone
	if err := write(ctx, f, body, size); err != nil {
		return err
	}
	return d.name(ctx, key, func(dir int, base string) error {
		err := unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", f.Fd()), dir, base, unix.AT_SYMLINK_FOLLOW)
		switch {
		case err == unix.ENOENT && !removed(dir), // there is no /proc
			err == unix.EPERM, err == unix.EOPNOTSUPP: // there are no links
			return errNoNameless
		}
		return err
	})
}

// Temporary names are no keys, so that they are never listed. They are all in
// the repository's own directory, where a later Put finds what a killed one
// has left: nobody comes back to the directory of a finished run.
const (
	tempPrefix = ".put~"

	// tempAge is how long a temporary file has not been written to when it
	// is taken for abandoned. A Put that stands still for a day fails.
	tempAge = 24 * time.Hour
)

func (d *Dir) putNamed(ctx context.Context, key string, body io.ReaderAt, size int64) error {
	temp := tempPrefix + rand.Text()
	f, err := d.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o400)
	if err != nil {
		return err
	}
	defer d.root.Remove(temp)
	defer f.Close()
	if st, err := f.Stat(); err == nil {
		d.removeTemps(st.ModTime().Add(-tempAge)) // the filesystem's clock, not ours
	}
	if err := write(ctx, f, body, size); err != nil {
		return err
	}
	if err := f.Close(); err != nil { // NFS keeps a removed file that is open
		return err
	}
	return d.name(ctx, key, func(dir int, base string) error { return d.move(temp, dir, base) })
}

// move gives the file of a temporary name its own, where no file has that.
func (d *Dir) move(temp string, dir int, base string) error {
	top := int(d.top.Fd())
	if !d.noRename {
		err := unix.Renameat2(top, temp, dir, base, unix.RENAME_NOREPLACE)
		if err != unix.EINVAL && err != unix.ENOSYS { // as NFS says
			return err
		}
	}
	err := unix.Linkat(top, temp, dir, base, 0)
	if err == unix.EPERM || err == unix.EOPNOTSUPP {
		return errors.New("its filesystem can neither link a file nor rename it without overwriting another, and cannot hold a repository")
	}
	return err
}

// removeTemps removes the temporary files that have not been written to since
// before. Its failures cost space only, and the next Put tries again.
func (d *Dir) removeTemps(before time.Time) {
	f, err := d.openDir(".")
	if err != nil {
		return
	}
	defer f.Close()
	names, _ := f.Readdirnames(-1)
	for _, name := range names {
		if !strings.HasPrefix(name, tempPrefix) {
			continue
		}
		if st, err := d.root.Lstat(name); err == nil && st.Mode().IsRegular() && st.ModTime().Before(before) {
			d.root.Remove(name)
		}
	}
}

// write makes f's content the first size bytes of body, and durable.
func write(ctx context.Context, f *os.File, body io.ReaderAt, size int64) error {
	err := pieces(ctx, body, size, func(piece []byte) error {
		_, err := f.Write(piece)
		return err
	})
	if err != nil {
		return err
	}
	return f.Sync()
}

// nameTries is how often a Put makes the directories of an object while
// Deletes remove them as empty again. A Delete then waits for the disk, so that
// to lose to them twice is rare.
const nameTries = 100

// name makes the directories of key, lets link give a file the name base in
// the last of them, and makes all these names durable.
func (d *Dir) name(ctx context.Context, key string, link func(dir int, base string) error) error {
	if err := ctx.Err(); err != nil {
		return err // the last moment: from here on the object may be seen
	}
	dir, base := path.Dir(key), path.Base(key)
	var err error = unix.ENOENT
	for try := 0; try < nameTries && err == unix.ENOENT; try++ {
		err = d.tryName(dir, base, link)
	}
	if err != nil && err != ErrExist {
		d.removeEmpty(dir)
		return err
	}
	// All directories up to the top, also those that were there: whoever made
	// them may not have come to this yet. ErrExist promises the same.
	for ; ; dir = path.Dir(dir) {
		if serr := d.sync(dir); serr != nil && !notFound(serr) { // not found: deleted again
			return serr
		}
		if dir == "." {
			return err
		}
	}
}

// tryName makes the directory dir and calls link. Its error is plain ENOENT if
// the directory went away in between.
func (d *Dir) tryName(dir, base string, link func(dir int, base string) error) error {
	var f *os.File
	err := d.root.MkdirAll(dir, 0o700)
	if err == nil || bare(err) == unix.EEXIST { // to open it tells what exists
		f, err = d.openDir(dir)
	}
	if bare(err) == unix.ENOTDIR {
		return errors.New("a part of its key is itself an object")
	} else if err != nil {
		return bare(err)
	}
	defer f.Close()
	err = retry(func() error { return link(int(f.Fd()), base) })
	if err != unix.EEXIST {
		return err
	}
	var st unix.Stat_t
	err = unix.Fstatat(int(f.Fd()), base, &st, unix.AT_SYMLINK_NOFOLLOW)
	switch {
	case err == unix.ENOENT, err == nil && st.Mode&unix.S_IFMT == unix.S_IFREG:
		return ErrExist
	case err != nil:
		return err
	case st.Mode&unix.S_IFMT == unix.S_IFDIR:
		return errors.New("other objects have this key as their directory")
	}
	return errForeign
}

// removed reports whether the open directory dir has been removed.
func removed(dir int) bool {
	var st unix.Stat_t
	return unix.Fstat(dir, &st) == nil && st.Nlink == 0
}
