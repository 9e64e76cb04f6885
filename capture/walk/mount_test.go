package walk_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
	"tidemark/capture/walk"
)

// mount mounts at path for the time of the test.
func mount(t *testing.T, source, path, fstype string, flags uintptr) {
	t.Helper()
	must(t, unix.Mount(source, path, fstype, flags, ""))
	t.Cleanup(func() {
		if err := unix.Unmount(path, 0); err != nil {
			t.Errorf("unmount %s: %v", path, err)
			unix.Unmount(path, unix.MNT_DETACH)
		}
	})
}

func TestMountPoints(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: mounting needs root")
	}
	root := t.TempDir()
	write(t, "here", mkdir(t, root, "dir"), "file")
	write(t, "", root, "over")
	mount(t, "tmpfs", mkdir(t, root, "tmpfs"), "tmpfs", 0)
	write(t, "", root, "tmpfs", "inside")
	mount(t, filepath.Join(root, "dir"), mkdir(t, root, "bound"), "", unix.MS_BIND)
	mount(t, filepath.Join(root, "dir", "file"), filepath.Join(root, "over"), "", unix.MS_BIND)

	d := open(t, root, walk.Config{OneFilesystem: true})
	for _, tt := range []struct {
		name     string
		boundary bool
	}{{"bound", true}, {"dir", false}, {"over", true}, {"tmpfs", true}} {
		e := next(t, d, tt.name)
		if e.Boundary != tt.boundary || e.Err != nil {
			t.Errorf("%s: Boundary = %t, Err = %v", tt.name, e.Boundary, e.Err)
		}
		if tt.boundary && e.Stat.MountID == d.Stat().MountID {
			t.Errorf("%s: has the mount of the root", tt.name)
		}
		checkStat(t, filepath.Join(root, tt.name), e.Stat)
		if e.Stat.IsDir() {
			c, err := d.Child(e)
			if (err != nil) != tt.boundary {
				t.Errorf("Child(%s): %v", tt.name, err)
			}
			if err == nil {
				c.Close()
			}
		}
	}

	all := []string{"bound", "bound/file", "dir", "dir/file", "over", "tmpfs", "tmpfs/inside"}
	if got := paths(t, open(t, root, walk.Config{})); !slices.Equal(got, all) {
		t.Errorf("over all filesystems: %q, want %q", got, all)
	}
	// A root that is itself a mount point is no boundary.
	if got := paths(t, open(t, filepath.Join(root, "tmpfs"), walk.Config{OneFilesystem: true})); !slices.Equal(got, []string{"inside"}) {
		t.Errorf("from a mount point: %q", got)
	}
}
