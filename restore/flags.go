package restore

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"

	"tidemark/catalog"
)

// settableFlags are the inode flags (FS_XFLAG_*) that can be set. The others
// tell of a file's allocation, or that it has attributes.
const settableFlags = 0x8 | 0x10 | 0x20 | 0x40 | 0x80 | // immutable, append, sync, noatime, nodump
	0x100 | 0x200 | 0x400 | // rtinherit, projinherit, nosymlinks
	0x1000 | 0x2000 | 0x4000 | 0x8000 // extszinherit, nodefrag, filestream, dax

// fsxattr is struct fsxattr of linux/fs.h.
type fsxattr struct {
	xflags, extsize, nextents, projid, cowextsize uint32
	_                                             [8]byte
}

// FS_IOC_FSGETXATTR is _IOR('X', 31, struct fsxattr), FS_IOC_FSSETXATTR is
// _IOW('X', 32, …). The bits for the direction differ between architectures,
// and are those of FS_IOC_GETFLAGS and FS_IOC_SETFLAGS.
const (
	fsIocFsgetxattr = unix.FS_IOC_GETFLAGS&0xe0000000 | unsafe.Sizeof(fsxattr{})<<16 | 'X'<<8 | 31
	fsIocFssetxattr = unix.FS_IOC_SETFLAGS&0xe0000000 | unsafe.Sizeof(fsxattr{})<<16 | 'X'<<8 | 32
)

func ioctl(fd int, request uintptr, x *fsxattr) error {
	return retry(func() error {
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(unsafe.Pointer(x))); errno != 0 {
			return errno
		}
		return nil
	})
}

// setFlags gives the file or directory that fd is of these flags and this
// project id. It does nothing if it has them.
func setFlags(fd int, flags, project uint32) error {
	var x fsxattr
	if err := ioctl(fd, fsIocFsgetxattr, &x); err != nil {
		if flags == 0 && project == 0 {
			return nil // the filesystem knows none
		}
		return err
	}
	flags |= x.xflags &^ settableFlags
	if x.xflags == flags && x.projid == project {
		return nil
	}
	x.xflags, x.projid = flags, project
	return ioctl(fd, fsIocFssetxattr, &x)
}

// setFlags gives the file or directory that fd is of the flags of n, last of
// all: what is immutable cannot be changed, linked nor renamed.
func (r *run) setFlags(fd int, n *catalog.Node, path string) {
	if n.Xflags == 0 && n.Project == 0 {
		return
	}
	err := errors.New("only root can set them")
	if r.root {
		err = setFlags(fd, n.Xflags&settableFlags, n.Project)
	}
	if err != nil && r.root && n.Project != 0 {
		// A filesystem without project ids may still have the flags.
		if setFlags(fd, n.Xflags&settableFlags, 0) == nil {
			err = fmt.Errorf("project %d: %w", n.Project, err)
		}
	}
	if err != nil {
		r.report.lose(path, loss{InodeFlags, err})
	}
}
