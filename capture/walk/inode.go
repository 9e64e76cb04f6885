package walk

import (
	"errors"
	"fmt"
	"io"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Flags are what ioctls tell of an inode. What a filesystem does not know is
// zero, as it is where nothing was set.
type Flags struct {
	Inode   uint32 // FS_IOC_GETFLAGS: FS_*_FL, some of them the filesystem's own business
	X       uint32 // FS_IOC_FSGETXATTR: FS_XFLAG_*
	Project uint32 // FS_IOC_FSGETXATTR: the project id
}

// Flags returns the flags of the directory d. ok is false if its filesystem
// knows none.
func (d *Dir) Flags() (fl Flags, ok bool, err error) {
	err = d.withFD(func(fd int) (err error) {
		fl, ok, err = flags(fd)
		return err
	})
	if err != nil {
		return Flags{}, false, d.fail("read the flags of", "", err)
	}
	return fl, ok, nil
}

// FileFlags returns the flags of the open file f. ok is false if its
// filesystem knows none. Only files and directories have any: nothing else can
// be asked without opening it for real.
func FileFlags(f *os.File) (fl Flags, ok bool, err error) {
	err = control(f, func(fd int) (err error) {
		fl, ok, err = flags(fd)
		return err
	})
	if err != nil {
		return Flags{}, false, fmt.Errorf("walk: read the flags of %s: %w", shown(f.Name()), err)
	}
	return fl, ok, nil
}

// fsxattr is struct fsxattr of linux/fs.h.
type fsxattr struct {
	xflags, extsize, nextents, projid, cowextsize uint32
	_                                             [8]byte
}

// fsIocFsgetxattr is _IOR('X', 31, struct fsxattr). The bits for the direction
// differ between architectures, and are those of FS_IOC_GETFLAGS.
const fsIocFsgetxattr = unix.FS_IOC_GETFLAGS&0xe0000000 | unsafe.Sizeof(fsxattr{})<<16 | 'X'<<8 | 31

func flags(fd int) (fl Flags, ok bool, err error) {
	// Declared as long, of which the kernel writes an int.
	var inode [2]uint32
	known, err := ioctl(fd, unix.FS_IOC_GETFLAGS, unsafe.Pointer(&inode))
	if err != nil {
		return Flags{}, false, fmt.Errorf("FS_IOC_GETFLAGS: %w", err)
	}
	var x fsxattr
	xknown, err := ioctl(fd, fsIocFsgetxattr, unsafe.Pointer(&x))
	if err != nil {
		return Flags{}, false, fmt.Errorf("FS_IOC_FSGETXATTR: %w", err)
	}
	return Flags{Inode: inode[0], X: x.xflags, Project: x.projid}, known || xknown, nil
}

// ioctl reports whether fd's filesystem knows the request, and does it.
func ioctl(fd int, request uintptr, arg unsafe.Pointer) (known bool, err error) {
	for {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(arg))
		switch errno {
		case 0:
			return true, nil
		case unix.EINTR:
		case unix.ENOTTY, unix.ENOSYS, unix.ENOTSUP, unix.EINVAL:
			return false, nil
		default:
			return false, errno
		}
	}
}

// Holes calls fn for each hole in the first size bytes of f, in order: n bytes
// at off that the filesystem says are not allocated and read as zeros. A hole
// at the end is one, too. Where the filesystem cannot tell there are none. An
// error of fn ends it and is returned. Holes moves the offset of f.
func Holes(f *os.File, size int64, fn func(off, n int64) error) error {
	for pos := int64(0); pos < size; {
		hole, err := f.Seek(pos, unix.SEEK_HOLE)
		if errors.Is(err, unix.ENXIO) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOTSUP) {
			return nil // the file ends before pos; or nothing is known of holes
		}
		if err != nil {
			return fmt.Errorf("walk: find holes: %w", err)
		}
		if hole >= size {
			return nil
		}
		data, err := f.Seek(hole, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			data, err = f.Seek(0, io.SeekEnd) // no data up to the end, wherever it now is
		}
		if err != nil {
			return fmt.Errorf("walk: find holes: %w", err)
		}
		data = min(data, size)
		if data > hole {
			if err := fn(hole, data-hole); err != nil {
				return err
			}
		}
		// Data may have come where there was a hole; go on in any case.
		pos = max(data, pos+1)
	}
	return nil
}
