package fusefs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// The names by which the kernel, df and fstab know a mount.
const (
	mountSource = "tidemark"
	mountType   = "fuse.tidemark"
)

const (
	device = "/dev/fuse"
	helper = "fusermount3" // mounts for ordinary users; it is set-uid root
)

// A SetupError says why there is no mount, and what to do about it.
type SetupError struct {
	Dir     string // where it was to be
	Problem string
	Hint    string // a command, or a short sentence without a full stop
	Err     error  // what the system said, if it did
}

func (e *SetupError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("fusefs: mount %s: %s", e.Dir, e.Problem)
	}
	return fmt.Sprintf("fusefs: mount %s: %s: %v", e.Dir, e.Problem, e.Err)
}

func (e *SetupError) Unwrap() error { return e.Err }

// checkDir checks that a mount can be made at dir. It returns dir, absolute and
// without symlinks, and when it was last changed.
func checkDir(dir string) (string, time.Time, error) {
	refuse := func(problem, hint string, err error) (string, time.Time, error) {
		return "", time.Time{}, &SetupError{dir, problem, hint, err}
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return refuse("it is not known where that is", "give the whole path", err)
	}
	dir = abs
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, unix.ENOTCONN):
		return refuse("a mount whose program has ended is still there", "fusermount3 -uz "+quote(dir)+", then try again", err)
	case errors.Is(err, os.ErrNotExist):
		return refuse("there is no such directory", "mkdir -p "+quote(dir), nil)
	case err != nil:
		return refuse("it cannot be looked at", "choose a directory that you can read", err)
	case !info.IsDir():
		return refuse("it is not a directory", "choose an empty directory", nil)
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return refuse("it cannot be looked at", "choose a directory that you can read", err)
	}
	d, err := os.Open(dir)
	if err != nil {
		return refuse("it cannot be looked at", "choose a directory that you can read", err)
	}
	defer d.Close()
	if _, err := d.Readdirnames(1); err == nil {
		if at, _ := mountAt(dir); at.fsType == mountType {
			return refuse("it is mounted already", "tidemark unmount "+quote(dir)+" to end that mount", nil)
		}
		return refuse("it is not empty, and a mount would hide what is in it", "choose an empty directory", nil)
	} else if err != io.EOF {
		return refuse("it cannot be looked at", "choose a directory that you can read", err)
	}
	return dir, info.ModTime(), nil
}

// attach mounts at dir and returns the descriptor that the kernel's requests
// come from. Only root may mount; an ordinary user does it by fusermount3.
func attach(ctx context.Context, dir string, allowOther bool) (fd int, err error) {
	fd, err = unix.Open(device, unix.O_RDWR|unix.O_CLOEXEC, 0)
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		return -1, &SetupError{dir, "there is no " + device, "modprobe fuse; a container needs --device /dev/fuse --cap-add SYS_ADMIN", err}
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return -1, &SetupError{dir, device + " is not open to this user", "as root: chmod 0666 /dev/fuse", err}
	case err != nil:
		return -1, &SetupError{dir, device + " cannot be opened", "try as root", err}
	}
	// What the kernel wants to know, as mount.fuse(8) has it. max_read must be
	// what the kernel is told when it asks for the first time.
	options := fmt.Sprintf("fd=%d,rootmode=%o,user_id=%d,group_id=%d,max_read=%d%s",
		fd, unix.S_IFDIR, os.Geteuid(), os.Getegid(), maxRequest, permissionOptions(allowOther))
	err = unix.Mount(mountSource, dir, mountType, unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV, options)
	if err == nil {
		return fd, nil
	}
	unix.Close(fd)
	if errors.Is(err, unix.EPERM) {
		return attachByHelper(ctx, dir, allowOther)
	}
	return -1, &SetupError{dir, "the kernel refuses to mount", "see what dmesg says of it", err}
}

// permissionOptions are those that let others in, and have the kernel check
// what each of them may read.
func permissionOptions(allowOther bool) string {
	if allowOther {
		return ",default_permissions,allow_other"
	}
	return ""
}

// attachByHelper mounts by fusermount3, which sends back the descriptor over a
// socket whose number is in _FUSE_COMMFD.
func attachByHelper(ctx context.Context, dir string, allowOther bool) (fd int, err error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("fusefs: mount %s: %w", dir, err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "socket"), os.NewFile(uintptr(pair[1]), "socket")
	defer ours.Close()
	defer theirs.Close()
	options := fmt.Sprintf("ro,nosuid,nodev,fsname=%s,subtype=tidemark,max_read=%d%s",
		mountSource, maxRequest, permissionOptions(allowOther))
	cmd := exec.CommandContext(ctx, helper, "-o", options, "--", dir)
	cmd.Env = append(cmd.Environ(), "_FUSE_COMMFD=3")
	cmd.ExtraFiles = []*os.File{theirs}
	said, err := cmd.CombinedOutput()
	if err != nil {
		return -1, helperError(dir, said, err)
	}
	fd, err = receive(pair[0])
	if err != nil {
		return -1, fmt.Errorf("fusefs: mount %s: %s gave no descriptor: %w", dir, helper, err)
	}
	return fd, nil
}

// helperError explains why fusermount3 failed. It says so in words only.
func helperError(dir string, said []byte, err error) error {
	if errors.Is(err, exec.ErrNotFound) {
		return &SetupError{dir, "only root can mount without " + helper + ", which is not installed", "apt-get install fuse3", nil}
	}
	text := strings.TrimSpace(string(said))
	hint := "mount as root"
	switch {
	case os.Geteuid() == 0:
		hint = "a container needs --cap-add SYS_ADMIN to mount"
	case strings.Contains(text, "user_allow_other"):
		hint = "add the line user_allow_other to /etc/fuse.conf, or mount as root"
	case strings.Contains(text, "no write access"):
		hint = "choose a directory that is yours, or mount as root"
	}
	return &SetupError{dir, helper + " refuses to mount", hint, fmt.Errorf("%w: %s", err, text)}
}

// receive takes the descriptor that was sent over a socket.
func receive(socket int) (fd int, err error) {
	const oneFD = 4
	data, control := make([]byte, 1), make([]byte, unix.CmsgSpace(oneFD))
	_, n, _, _, err := unix.Recvmsg(socket, data, control, unix.MSG_CMSG_CLOEXEC|unix.MSG_DONTWAIT)
	if err != nil {
		return -1, err
	}
	messages, err := unix.ParseSocketControlMessage(control[:n])
	if err != nil || len(messages) != 1 {
		return -1, errors.Join(errors.New("a message without one"), err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return -1, errors.Join(errors.New("a message without one"), err)
	}
	return fds[0], nil
}

// detach unmounts. Lazily, it is taken away from the tree at once, and ends
// when the last of those who are inside has left; else the error wraps
// unix.EBUSY if somebody is, so far as that can be known.
func detach(ctx context.Context, dir string, lazy bool) error {
	flags, args := unix.UMOUNT_NOFOLLOW, []string{"-u"}
	if lazy {
		flags |= unix.MNT_DETACH
		args = append(args, "-z")
	}
	err := unix.Unmount(dir, flags)
	if !errors.Is(err, unix.EPERM) {
		return err
	}
	said, err := exec.CommandContext(ctx, helper, append(args, "--", dir)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", helper, err, strings.TrimSpace(string(said)))
	}
	return nil
}
