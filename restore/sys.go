package restore

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"tidemark/catalog"
)

var (
	// errChanged means that somebody changed the target meanwhile.
	errChanged = errors.New("it was exchanged while it was restored")

	errNoProc = errors.New("/proc is not there; mount it")
)

// retry calls fn until it is not interrupted by a signal, which the runtime
// sends to its own threads.
func retry(fn func() error) error {
	for {
		if err := fn(); err != unix.EINTR {
			return err
		}
	}
}

// An inode is what tells inodes apart.
type inode struct{ dev, ino uint64 }

// A stat is what statx says of an inode.
type stat struct {
	inode
	mode         uint32 // type and permissions
	uid, gid     uint32
	nlink        uint32
	size         uint64
	mtime        catalog.Time
	major, minor uint32 // of a device
}

func (s *stat) kind() uint32 { return s.mode & unix.S_IFMT }
func (s *stat) perm() uint32 { return s.mode &^ unix.S_IFMT }
func (s *stat) rdev() uint64 { return unix.Mkdev(s.major, s.minor) }

// statAt returns the stat of name in the directory at, or of at itself if name
// is empty. It follows no symlink.
func statAt(at int, name string) (stat, error) {
	flags := unix.AT_SYMLINK_NOFOLLOW | unix.AT_NO_AUTOMOUNT
	if name == "" {
		flags |= unix.AT_EMPTY_PATH
	}
	var x unix.Statx_t
	if err := retry(func() error { return unix.Statx(at, name, flags, unix.STATX_BASIC_STATS, &x) }); err != nil {
		return stat{}, err
	}
	return stat{
		inode: inode{unix.Mkdev(x.Dev_major, x.Dev_minor), x.Ino},
		mode:  uint32(x.Mode), uid: x.Uid, gid: x.Gid, nlink: x.Nlink, size: x.Size,
		mtime: catalog.Time{Sec: x.Mtime.Sec, Nsec: x.Mtime.Nsec},
		major: x.Rdev_major, minor: x.Rdev_minor,
	}, nil
}

// openAt opens name in the directory at: that name, and nothing a symlink
// leads to. O_NONBLOCK is for what may have been put there meanwhile.
func openAt(at int, name string, flags int, mode uint32) (fd int, err error) {
	err = retry(func() error {
		fd, err = unix.Openat(at, name, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY, mode)
		return err
	})
	return fd, err
}

// openSame opens name in the directory at, if it is the inode want.
func openSame(at int, name string, flags int, want inode) (fd int, err error) {
	if fd, err = openAt(at, name, flags, 0); err != nil {
		return -1, err
	}
	st, err := statAt(fd, "")
	if err == nil && st.inode != want {
		err = errChanged
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// write writes all of b to fd at off.
func write(fd int, b []byte, off uint64) error {
	for len(b) > 0 {
		n, err := unix.Pwrite(fd, b, int64(off))
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return fmt.Errorf("write: %w", err)
		}
		b, off = b[n:], off+uint64(n)
	}
	return nil
}

// A handle is an inode that is open. If proc is not empty then fd was made by
// O_PATH, and proc is a path that leads to the inode.
type handle struct {
	fd   int
	proc string
}

func openHandle(at int, name string) (handle, error) {
	fd, err := openAt(at, name, unix.O_PATH, 0)
	return handle{fd, procPath(fd)}, err
}

// procPath returns a path that leads to what fd is of, be it a symlink.
func procPath(fd int) string { return fmt.Sprintf("/proc/self/fd/%d", fd) }

// The methods of a handle are the system calls of the same names.

func (h handle) chown(uid, gid int) error {
	return retry(func() error { return unix.Fchownat(h.fd, "", uid, gid, unix.AT_EMPTY_PATH) })
}

func (h handle) chmod(mode uint32) error {
	return retry(func() error {
		if h.proc != "" {
			return procErr(unix.Chmod(h.proc, mode))
		}
		return unix.Fchmod(h.fd, mode)
	})
}

// setMtime sets the time of modification, and leaves that of access.
func (h handle) setMtime(t catalog.Time) error {
	mtime, err := unix.TimeToTimespec(time.Unix(t.Sec, int64(t.Nsec)))
	if err != nil {
		return err
	}
	times := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, mtime}
	return retry(func() error {
		if h.proc != "" {
			return procErr(unix.UtimesNanoAt(unix.AT_FDCWD, h.proc, times, 0))
		}
		// As futimens(3) does it: without a path. There is no wrapper.
		_, _, errno := unix.Syscall6(unix.SYS_UTIMENSAT, uintptr(h.fd), 0, uintptr(unsafe.Pointer(&times[0])), 0, 0, 0)
		if errno != 0 {
			return errno
		}
		return nil
	})
}

func (h handle) setXattr(name string, value []byte) error {
	return retry(func() error {
		if h.proc != "" {
			return procErr(unix.Setxattr(h.proc, name, value, 0))
		}
		return unix.Fsetxattr(h.fd, name, value, 0)
	})
}

func (h handle) removeXattr(name string) error {
	return retry(func() error {
		if h.proc != "" {
			return procErr(unix.Removexattr(h.proc, name))
		}
		return unix.Fremovexattr(h.fd, name)
	})
}

func (h handle) listXattrs(b []byte) (n int, err error) {
	err = retry(func() error {
		if h.proc != "" {
			n, err = unix.Listxattr(h.proc, b)
			return procErr(err)
		}
		n, err = unix.Flistxattr(h.fd, b)
		return err
	})
	return n, err
}

// link gives the inode, which has a name, another one.
func (h handle) link(at int, name string) error {
	return retry(func() error {
		return unix.Linkat(unix.AT_FDCWD, procPath(h.fd), at, name, unix.AT_SYMLINK_FOLLOW)
	})
}

func (h handle) close() { unix.Close(h.fd) }

// procErr returns err, the error of a path below /proc/self/fd. There, ENOENT
// says nothing of the inode.
func procErr(err error) error {
	if err == unix.ENOENT {
		return errNoProc
	}
	return err
}

// names calls fn with the names in the directory fd, in batches. It is no
// error that names come or go meanwhile.
func names(fd int, fn func(name string) error) error {
	again, err := openAt(fd, ".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(again), "directory")
	defer f.Close()
	for {
		const batch = 1024
		some, err := f.Readdirnames(batch)
		for _, name := range some {
			if err := fn(name); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// wrap returns err as that of doing what, and nil if there is none.
func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}
