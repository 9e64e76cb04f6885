package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"
)

func unmountCommand(p *program) *cli.Command {
	return &cli.Command{
		Name:      "unmount",
		Aliases:   []string{"umount"},
		Category:  groupLook,
		Usage:     "end a mount",
		ArgsUsage: "DIR",
		Description: `Ends the mount at DIR and the program behind it. While somebody has a file or a
working directory in it that is refused; --lazy takes it away from the tree at
once, and it ends when the last of them is done.

Examples:
  tidemark unmount /backups
  tidemark unmount --lazy /backups`,
		Flags:  []cli.Flag{&cli.BoolFlag{Name: "lazy", Usage: "do not wait for who uses it"}},
		Action: p.action(unmount),
	}
}

func unmount(c *cli.Context, s *settings) error {
	if err := wantArgs(c, 1, 1); err != nil {
		return err
	}
	dir, err := filepath.Abs(c.Args().First())
	if err != nil {
		return err
	}
	if parent, err := filepath.EvalSymlinks(filepath.Dir(dir)); err == nil {
		dir = filepath.Join(parent, filepath.Base(dir)) // not the directory itself: its mount may not answer
	}
	mounted, err := isMounted(dir)
	if err != nil {
		return err
	}
	if !mounted {
		return fmt.Errorf("%s is not a mount of Tidemark", quoteName(dir))
	}
	err = detach(c, dir, c.Bool("lazy"))
	if errors.Is(err, unix.EBUSY) {
		return hint{fmt.Errorf("%s is in use", quoteName(dir)), "fuser -vm " + quoteName(dir) + " to see by whom, or tidemark unmount --lazy " + quoteName(dir)}
	}
	if err != nil {
		return fmt.Errorf("unmount %s: %w", quoteName(dir), err)
	}
	s.note("Unmounted %s.", quoteName(dir))
	return nil
}

func isMounted(dir string) (bool, error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return false, err
	}
	for line := range strings.Lines(string(mounts)) {
		if point, ours := mountPoint(line); ours && point == dir {
			return true, nil
		}
	}
	return false, nil
}

// detach unmounts dir, itself or as an ordinary user by fusermount3.
func detach(c *cli.Context, dir string, lazy bool) error {
	flags := unix.UMOUNT_NOFOLLOW
	if lazy {
		flags |= unix.MNT_DETACH
	}
	err := unix.Unmount(dir, flags)
	if !errors.Is(err, unix.EPERM) {
		return err
	}
	args := []string{"-u", "--", dir}
	if lazy {
		args = []string{"-u", "-z", "--", dir}
	}
	out, err := exec.CommandContext(c.Context, "fusermount3", args...).CombinedOutput()
	switch {
	case err == nil:
		return nil
	case errors.Is(err, exec.ErrNotFound):
		return hint{errors.New("fusermount3 is not installed"), "apt-get install fuse3"}
	case strings.Contains(string(out), "busy"):
		return unix.EBUSY
	}
	return fmt.Errorf("fusermount3: %s", strings.TrimSpace(string(out)))
}
