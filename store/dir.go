package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// Dir is a [Store] in a local directory: an object is a regular file whose
// path below the directory is its key. See dirput.go for how one comes to be,
// and dirlist.go for how they are listed.
//
// Several processes may use one directory at once. Other machines may too, by
// a network filesystem, and then see what was put or deleted as late as its
// caches allow: up to a minute with NFS.
//
// Objects have mode 0400: nobody changes one after it is written, and a stray
// ">>" by its owner is refused. Directories have mode 0700.
//
// Names that are not keys are not looked at, so a filesystem's own lost+found
// does no harm. No symbolic link leads out of the directory.
//
// An object is visible from just before its Put returns. A process killed
// in that moment leaves an object that a power cut in the next seconds may
// still take away; to Put it again, which gives ErrExist, makes it durable.
//
// Calls look at their context before each system call that moves data. A
// call that hangs on a network disk hangs with it.
type Dir struct {
	path string   // absolute, for messages
	root *os.Root // confines every path to the directory
	top  *os.File // the directory itself, held so that its loss is noticed

	// Tests set these to act as a filesystem without O_TMPFILE, or without
	// RENAME_NOREPLACE.
	noTmpfile, noRename bool
}

// CreateDir makes an empty directory for a repository, durably and with mode
// 0700, or does nothing if there is a directory already. It makes no
// directory above it: where that is missing, a disk is likely not mounted.
func CreateDir(dir string) error {
	if err := os.Mkdir(dir, 0o700); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("store: create %s: the directory above it is missing: is its disk mounted?", dir)
	} else if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("store: create %s: %w", dir, bare(err))
	}
	for _, p := range []string{dir, filepath.Dir(filepath.Clean(dir))} {
		f, err := os.OpenFile(p, os.O_RDONLY|unix.O_DIRECTORY, 0)
		if err != nil {
			return fmt.Errorf("store: create %s: open %s: %w", dir, p, bare(err))
		}
		err = syncDir(f)
		f.Close()
		if err != nil {
			return fmt.Errorf("store: create %s: sync %s: %w", dir, p, bare(err))
		}
	}
	return nil
}

// OpenDir opens an existing directory as a store. It reads nothing in it and
// writes nothing. Close the Dir when no call uses it any more.
func OpenDir(dir string) (*Dir, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("store: open %s: %w", dir, err)
	}
	root, err := os.OpenRoot(abs)
	if err != nil {
		return nil, fmt.Errorf("store: open %s: %w", dir, bare(err))
	}
	top, err := root.Open(".")
	if err != nil {
		root.Close()
		return nil, fmt.Errorf("store: open %s: %w", dir, bare(err))
	}
	return &Dir{path: abs, root: root, top: top}, nil
}

// Close gives back what the Dir holds of the system.
func (d *Dir) Close() error { return errors.Join(d.top.Close(), d.root.Close()) }

// ReadAt implements [Store].
func (d *Dir) ReadAt(ctx context.Context, key string, p []byte, off int64) (int, error) {
	if err := checkRead(key, off); err != nil {
		return 0, err
	}
	n, err := d.readAt(ctx, key, p, off)
	if err != nil {
		return 0, d.failed("read", key, err)
	}
	return n, nil
}

func (d *Dir) readAt(ctx context.Context, key string, p []byte, off int64) (n int, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	// A fifo in the way must not hold the open until somebody writes to it.
	f, err := d.root.OpenFile(key, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return 0, d.lookupError(err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if err := d.checkObject(st); err != nil {
		return 0, err
	}
	p = p[:min(int64(len(p)), max(st.Size()-off, 0))]
	for n < len(p) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		m, err := f.ReadAt(p[n:min(n+pieceLen, len(p))], off+int64(n))
		n += m
		if err == io.EOF {
			break // somebody has cut the file, and what we say is so: it ends here
		} else if err != nil {
			return 0, err
		}
	}
	return n, nil
}

// Stat implements [Store]. The time is the file's time of modification, which
// tools that copy a repository keep.
func (d *Dir) Stat(ctx context.Context, key string) (Info, error) {
	if err := ValidKey(key); err != nil {
		return Info{}, err
	}
	if err := ctx.Err(); err != nil {
		return Info{}, d.failed("stat", key, err)
	}
	st, err := d.root.Lstat(key)
	if err != nil {
		err = d.lookupError(err)
	} else {
		err = d.checkObject(st)
	}
	if err != nil {
		return Info{}, d.failed("stat", key, err)
	}
	return Info{key, st.Size(), st.ModTime()}, nil
}

// Delete implements [Store]. It removes directories that it leaves empty.
func (d *Dir) Delete(ctx context.Context, key string) error {
	if err := ValidKey(key); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return d.failed("delete", key, err)
	}
	if err := d.delete(key); err != nil {
		return d.failed("delete", key, err)
	}
	return nil
}

func (d *Dir) delete(key string) error {
	dir := path.Dir(key)
	f, err := d.openDir(dir)
	if err == nil {
		err = retry(func() error { return unix.Unlinkat(int(f.Fd()), path.Base(key), 0) })
		f.Close()
	}
	// A directory of that name (EISDIR) holds other objects, and stays.
	if err != nil && bare(err) != unix.EISDIR {
		if err := d.lookupError(err); err != ErrNotExist {
			return err
		}
	}
	// Also where there was nothing to remove: whoever did that may have been
	// killed before it was durable.
	d.removeEmpty(dir)
	for ; ; dir = path.Dir(dir) {
		if err := d.sync(dir); err == nil || dir == "." || !notFound(err) {
			return err
		}
	}
}

// removeEmpty removes the directory dir and those above it, up to one that is
// not empty. Its failures cost an empty directory and nothing else.
func (d *Dir) removeEmpty(dir string) {
	for ; dir != "."; dir = path.Dir(dir) {
		parent, err := d.openDir(path.Dir(dir))
		if err == nil {
			// Not Root.Remove, which would take an object that has come
			// to stand in the directory's place.
			err = retry(func() error { return unix.Unlinkat(int(parent.Fd()), path.Base(dir), unix.AT_REMOVEDIR) })
			parent.Close()
		}
		if err != nil && !notFound(err) {
			return
		}
	}
}

// openDir opens the directory dir, "." being the repository's own.
func (d *Dir) openDir(dir string) (*os.File, error) {
	return d.root.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY, 0)
}

// sync makes durable which names the directory dir holds.
func (d *Dir) sync(dir string) error {
	f, err := d.openDir(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return syncDir(f)
}

// syncDir calls fsync on a directory. A filesystem that knows no such thing
// has nothing more to make durable.
func syncDir(f *os.File) error {
	err := f.Sync()
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOTSUP) {
		return nil
	}
	return err
}

// checkObject returns an error if st, found under a key, is not an object.
func (d *Dir) checkObject(st fs.FileInfo) error {
	switch {
	case st.Mode().IsRegular():
		return nil
	case st.IsDir():
		return ErrNotExist // other keys begin with this one
	}
	return errForeign
}

// errForeign is the cause for something that nobody but this program's Put
// should have made, and that is not an object.
var errForeign = errors.New("neither an object nor a directory: a repository holds nothing else, so move it away")

// lookupError turns the error of looking for an object's file into what a
// Store says. That there is no such file means that there is no such object
// only as long as the repository itself is there.
func (d *Dir) lookupError(err error) error {
	if !notFound(err) {
		return err
	}
	if err := d.checkTop(); err != nil {
		return err
	}
	return ErrNotExist
}

// checkTop returns an error if the directory that was opened is no more.
func (d *Dir) checkTop() error {
	var st unix.Stat_t
	if err := unix.Fstat(int(d.top.Fd()), &st); err != nil {
		return err
	}
	if st.Nlink == 0 {
		return errors.New("the repository's directory has been removed since it was opened")
	}
	return nil
}

// failed says what was attempted on what, and why it failed.
func (d *Dir) failed(op, key string, err error) error {
	if _, ok := errors.AsType[*bodyError](err); !ok {
		err = d.cause(err)
	}
	return fmt.Errorf("store: %s %s in %s: %w", op, key, d.path, err)
}

// cause turns the error of a system call into one for users.
func (d *Dir) cause(err error) error {
	errno, ok := bare(err).(syscall.Errno)
	if !ok {
		return bare(err)
	}
	if err := d.checkTop(); err != nil {
		return err
	}
	switch errno {
	case unix.ENOSPC:
		return fmt.Errorf("the disk that holds the repository is full: %w", errno)
	case unix.EDQUOT:
		return fmt.Errorf("the quota on the disk that holds the repository is used up: %w", errno)
	case unix.EROFS:
		return fmt.Errorf("the disk that holds the repository is mounted read-only: %w", errno)
	}
	return errno
}

// notFound reports whether err is a system call's way to say that there is no
// file of a name. ENOTDIR says that a part of the name is an object.
func notFound(err error) bool {
	e := bare(err)
	return e == unix.ENOENT || e == unix.ENOTDIR
}

// bare returns err without the name of the call and the path that package os
// puts around it. That of a system call is then a [syscall.Errno].
func bare(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}

// retry calls f until it is not interrupted by a signal.
func retry(f func() error) error {
	for {
		if err := f(); err != unix.EINTR {
			return err
		}
	}
}
