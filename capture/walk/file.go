package walk

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// OpenFile opens the regular file e of d to read it, without a new access time
// where that is allowed. The error wraps [ErrVanished] if it is gone,
// [ErrChanged] if something else has its name now. It may be called by
// several goroutines at once, and while others use d.
func (d *Dir) OpenFile(e Entry) (*os.File, error) {
	if !e.Stat.IsRegular() {
		return nil, d.fail("open", e.Name, errors.New("not a regular file"))
	}
	var fd int
	err := d.withFD(func(at int) error {
		var err error
		// O_NONBLOCK and O_NOCTTY are for what may have been put in its place.
		const flags = unix.O_RDONLY | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_CLOEXEC
		fd, err = openNoAtime(at, e.Name, flags)
		if err == unix.EAGAIN {
			fd, err = waitForLease(at, &e)
		}
		if err != nil {
			return changed(err)
		}
		if err = verify(fd, &e); err == nil {
			err = unix.SetNonblock(fd, false)
		}
		if err != nil {
			unix.Close(fd)
		}
		return err
	})
	if err != nil {
		return nil, d.fail("open", e.Name, err)
	}
	return os.NewFile(uintptr(fd), d.pathOf(e.Name)), nil
}

// waitForLease opens a file that somebody, such as a file server, holds a
// lease on. An open without O_NONBLOCK waits until it is given back, at most
// /proc/sys/fs/lease-break-time seconds; so it must be sure to meet that file.
func waitForLease(at int, e *Entry) (fd int, err error) {
	err = withPath(at, e, func(_ int, path string) error {
		const flags = unix.O_RDONLY | unix.O_NOCTTY | unix.O_CLOEXEC
		fd, err = openNoAtime(unix.AT_FDCWD, path, flags)
		return procErr(err)
	})
	return fd, err
}

// Readlink returns the target of the symlink e of d. Errors and concurrency
// are those of [Dir.OpenFile].
func (d *Dir) Readlink(e Entry) (string, error) {
	target := make([]byte, unix.PathMax+1) // longer than any
	var n int
	err := d.withFD(func(at int) error {
		return withPath(at, &e, func(fd int, _ string) error {
			return retryEINTR(func() (err error) {
				n, err = unix.Readlinkat(fd, "", target)
				return err
			})
		})
	})
	if err == nil && n == len(target) {
		err = errors.New("the target is longer than PATH_MAX")
	}
	if err != nil {
		return "", d.fail("read link", e.Name, err)
	}
	return string(target[:n]), nil
}

// withPath calls fn with a descriptor of e's inode, made by O_PATH, which does
// not open what it is of, and with a path that leads to that inode.
func withPath(at int, e *Entry, fn func(fd int, path string) error) error {
	var fd int
	err := retryEINTR(func() (err error) {
		fd, err = unix.Openat(at, e.Name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return changed(err)
	}
	defer unix.Close(fd)
	if err := verify(fd, e); err != nil {
		return err
	}
	return fn(fd, fmt.Sprintf("/proc/self/fd/%d", fd))
}

// verify returns ErrChanged unless fd is of e's inode.
func verify(fd int, e *Entry) error {
	s, err := statFD(fd)
	if err != nil {
		return err
	}
	if !s.same(&e.Stat) {
		return ErrChanged
	}
	return nil
}

// procErr returns err, the error of a path below /proc/self/fd. There, ENOENT
// says nothing of the file.
func procErr(err error) error {
	if errors.Is(err, unix.ENOENT) {
		return errors.New("/proc is not there; mount it")
	}
	return err
}

// pathOf returns the path of name in d, from the root as it was given.
func (d *Dir) pathOf(name string) string {
	path := d.t.path
	for _, s := range []string{d.Path(), name} {
		if s != "" && s != "." {
			path = strings.TrimSuffix(path, "/") + "/" + s
		}
	}
	return path
}

// fail returns err as that of doing op to name in d, or to d itself.
func (d *Dir) fail(op, name string, err error) error {
	return fmt.Errorf("walk: %s %s: %w", op, shown(d.pathOf(name)), err)
}
