package walk

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// An Entry is a name in a directory and what statx says of it. Nothing was
// opened to learn it.
type Entry struct {
	// Name is one name, any bytes but NUL and '/'. It shares memory with
	// other names of its directory: strings.Clone what is kept for long.
	Name string

	Stat Stat

	// Boundary means that the walk does not go in here. With OneFilesystem
	// that is where another mount begins: another device, another subvolume
	// of btrfs, or a bind mount, of the same filesystem too; files can be
	// bind-mounted as well. Without, it is an automount point of NFS, SMB or
	// ZFS where nothing is mounted, since reading must not mount things. One
	// of autofs cannot be told from a directory: Child mounts it, and says
	// [ErrChanged]. Stat is that of the mounted root.
	Boundary bool

	// Err is why there is no Stat, which is then zero: EACCES in a
	// directory that may be listed and not searched, EIO, ESTALE.
	Err error
}

// A Stat is what statx tells of an inode. Of network filesystems it is as
// fresh as for stat(2): a copy that the client may trust for seconds.
type Stat struct {
	Mode                 uint32 // st_mode: type and permissions
	UID, GID             uint32
	Nlink                uint32
	Ino                  uint64
	Dev                  uint64 // of the filesystem, as unix.Mkdev makes it
	RdevMajor, RdevMinor uint32 // of a device node
	Size                 int64  // bytes
	Blocks               int64  // allocated, in units of 512 bytes
	Mtime, Ctime, Btime  Time
	HasBtime             bool   // the filesystem tells the time of birth
	Attributes           uint64 // STATX_ATTR_*, of those in AttributesMask
	AttributesMask       uint64
	MountID              uint64 // never used again since Linux 6.8; 0 before 5.8
}

// A Time is a moment as the filesystem has it, in UTC.
type Time struct {
	Sec  int64
	Nsec uint32
}

// IsDir reports whether s is a directory's.
func (s *Stat) IsDir() bool { return s.Mode&unix.S_IFMT == unix.S_IFDIR }

// IsRegular reports whether s is a regular file's.
func (s *Stat) IsRegular() bool { return s.Mode&unix.S_IFMT == unix.S_IFREG }

// same reports whether s and other are of the same inode, and that one still
// of the same type: a number is used again after its file was deleted.
func (s *Stat) same(other *Stat) bool {
	return s.Dev == other.Dev && s.Ino == other.Ino && s.Mode&unix.S_IFMT == other.Mode&unix.S_IFMT
}

// FileStat returns what statx says of the open file f, such as to see whether
// it changed while it was read.
func FileStat(f *os.File) (Stat, error) {
	var s Stat
	err := control(f, func(fd int) (err error) {
		s, err = statFD(fd)
		return err
	})
	if err != nil {
		return Stat{}, fmt.Errorf("walk: stat of %s: %w", shown(f.Name()), err)
	}
	return s, nil
}

// statMask is what is asked of statx. A kernel that does not know of unique
// mount ids gives the others.
const statMask = unix.STATX_BASIC_STATS | unix.STATX_BTIME | unix.STATX_MNT_ID | unix.STATX_MNT_ID_UNIQUE

// statFlags are those of every statx. AT_STATX_DONT_SYNC would be quicker on
// network filesystems, and is wrong here: it may return attributes of any
// age, and a changed file would pass for unchanged.
const statFlags = unix.AT_SYMLINK_NOFOLLOW | unix.AT_NO_AUTOMOUNT | unix.AT_STATX_SYNC_AS_STAT

// statFD returns the stat of an open descriptor.
func statFD(fd int) (Stat, error) {
	var x unix.Statx_t
	err := retryEINTR(func() error {
		return unix.Statx(fd, "", unix.AT_EMPTY_PATH|statFlags, statMask, &x)
	})
	if err != nil {
		return Stat{}, err
	}
	return statOf(&x), nil
}

// statAt sets s to the stat of name in the directory dirfd. name must be
// followed by a NUL in memory: a string made for the call would be the one
// allocation that reading a file's entry costs.
func statAt(dirfd int, name string, x *unix.Statx_t) error {
	for {
		_, _, errno := unix.Syscall6(unix.SYS_STATX, uintptr(dirfd), uintptr(unsafe.Pointer(unsafe.StringData(name))),
			statFlags, statMask, uintptr(unsafe.Pointer(x)), 0)
		switch errno {
		case 0:
			return nil
		case unix.EINTR:
		default:
			return errno
		}
	}
}

func statOf(x *unix.Statx_t) Stat {
	return Stat{
		Mode:           uint32(x.Mode),
		UID:            x.Uid,
		GID:            x.Gid,
		Nlink:          x.Nlink,
		Ino:            x.Ino,
		Dev:            unix.Mkdev(x.Dev_major, x.Dev_minor),
		RdevMajor:      x.Rdev_major,
		RdevMinor:      x.Rdev_minor,
		Size:           int64(x.Size),
		Blocks:         int64(x.Blocks),
		Mtime:          timeOf(x.Mtime),
		Ctime:          timeOf(x.Ctime),
		Btime:          timeOf(x.Btime),
		HasBtime:       x.Mask&unix.STATX_BTIME != 0,
		Attributes:     x.Attributes & x.Attributes_mask,
		AttributesMask: x.Attributes_mask,
		MountID:        x.Mnt_id,
	}
}

func timeOf(t unix.StatxTimestamp) Time { return Time{Sec: t.Sec, Nsec: t.Nsec} }

// retryEINTR calls fn until a signal did not interrupt it, as FUSE and network
// filesystems allow.
func retryEINTR(fn func() error) error {
	for {
		if err := fn(); err != unix.EINTR {
			return err
		}
	}
}

// control calls fn with f's descriptor, which stays open meanwhile.
func control(f *os.File, fn func(fd int) error) error {
	c, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	if err := c.Control(func(fd uintptr) { inner = fn(int(fd)) }); err != nil {
		return err
	}
	return inner
}
