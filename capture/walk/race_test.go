package walk_test

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
	"tidemark/capture/walk"
)

// TestReplacedDirectory replaces a directory after its entry was given.
func TestReplacedDirectory(t *testing.T) {
	dir := t.TempDir()
	write(t, "", mkdir(t, dir, "outside"), "secret")
	root := mkdir(t, dir, "root")
	for _, name := range []string{"gone", "other", "symlink", "file"} {
		write(t, "", mkdir(t, root, name), "inside")
	}
	d := open(t, root, walk.Config{})
	all := entries(t, d)
	for _, name := range []string{"gone", "other", "symlink", "file"} {
		c, err := d.Child(all[name]) // what was read ahead is used up by this
		must(t, err)
		next(t, c, "inside")
		c.Close()
		must(t, os.Rename(filepath.Join(root, name), filepath.Join(dir, "was "+name)))
	}
	mkdir(t, root, "other")
	must(t, os.Symlink("../outside", filepath.Join(root, "symlink")))
	write(t, "", root, "file")
	for name, want := range map[string]error{
		"gone": walk.ErrVanished, "other": walk.ErrChanged, "symlink": walk.ErrChanged, "file": walk.ErrChanged,
	} {
		if c, err := d.Child(all[name]); !errors.Is(err, want) || c != nil {
			t.Errorf("Child(%s) = %v, want %v", name, err, want)
		}
	}
}

// TestSwappedWithSymlink exchanges a directory for a symlink to another all
// the time, as an attacker would.
func TestSwappedWithSymlink(t *testing.T) {
	dir := t.TempDir()
	write(t, "", mkdir(t, dir, "outside", "sub"), "secret")
	root := mkdir(t, dir, "root")
	write(t, "", mkdir(t, root, "victim", "sub"), "inside")
	must(t, os.Symlink("../outside", filepath.Join(root, "zz")))

	done := make(chan struct{})
	var swapper sync.WaitGroup
	swapper.Go(func() {
		victim, other := filepath.Join(root, "victim"), filepath.Join(root, "zz")
		for {
			select {
			case <-done:
				return
			default:
				if err := unix.Renameat2(unix.AT_FDCWD, victim, unix.AT_FDCWD, other, unix.RENAME_EXCHANGE); err != nil {
					t.Error(err)
					return
				}
			}
		}
	})
	defer swapper.Wait()
	defer close(done)
	outcomes := make(map[string]int)
	for range 2000 {
		d, err := walk.Open(t.Context(), root, walk.Config{Workers: 2})
		must(t, err)
		outcomes[walkSwapped(t, d)]++
		d.Close()
	}
	t.Log(outcomes)
}

// walkSwapped goes down while it is let, and fails the test if it comes out
// elsewhere.
func walkSwapped(t *testing.T, d *walk.Dir) string {
	for {
		e, ok, err := d.Next()
		must(t, err)
		switch {
		case !ok:
			return "no directory"
		case e.Name == "secret":
			t.Fatal("a symlink was followed")
		case e.Name == "inside":
			return "inside"
		case e.Stat.IsDir():
			c, err := d.Child(e)
			if err != nil {
				if !errors.Is(err, walk.ErrChanged) {
					t.Fatal(err)
				}
				return "changed"
			}
			defer c.Close()
			return walkSwapped(t, c)
		}
	}
}

// TestConcurrentReads reads files of many directories from several goroutines
// while the walk goes on.
func TestConcurrentReads(t *testing.T) {
	root := t.TempDir()
	for _, dir := range []string{"a", "b", "c", "d"} {
		for _, file := range []string{"1", "2", "3", "4", "5"} {
			write(t, dir+file, mkdir(t, root, dir), file)
		}
	}
	d := open(t, root, walk.Config{})
	for range 4 {
		e, _, err := d.Next()
		must(t, err)
		c := child(t, d, e)
		var readers sync.WaitGroup
		for {
			f, ok, err := c.Next()
			must(t, err)
			if !ok {
				break
			}
			readers.Go(func() {
				r, err := c.OpenFile(f)
				if err != nil {
					t.Error(err)
					return
				}
				defer r.Close()
				if b, err := io.ReadAll(r); string(b) != e.Name+f.Name || err != nil {
					t.Errorf("read %q, %v", b, err)
				}
				if _, err := c.Xattrs(f); err != nil {
					t.Error(err)
				}
			})
		}
		readers.Wait()
		c.Close()
	}
}

// TestUnreadable runs as a user to whom permissions apply: as root, in a child
// of this test that has another uid.
func TestUnreadable(t *testing.T) {
	const foreign = "WALK_TEST_FOREIGN" // a file of another user
	if os.Getuid() == 0 {
		dir := t.TempDir()
		must(t, os.Chmod(dir, 0o755))
		must(t, os.Chmod(filepath.Dir(dir), 0o755)) // the test's own, too
		rerun(t, dir, foreign+"="+write(t, "foreign", dir, "file"))
		return
	}
	root := t.TempDir()
	write(t, "", mkdir(t, root, "closed"), "file")
	write(t, "", mkdir(t, root, "listable"), "file")
	write(t, "", mkdir(t, root, "open"), "file")
	must(t, os.Chmod(filepath.Join(root, "open", "file"), 0))
	must(t, os.Chmod(filepath.Join(root, "closed"), 0))
	must(t, os.Chmod(filepath.Join(root, "listable"), 0o400))
	defer os.Chmod(filepath.Join(root, "closed"), 0o700)
	defer os.Chmod(filepath.Join(root, "listable"), 0o700)

	d := open(t, root, walk.Config{})
	if _, err := d.Child(next(t, d, "closed")); !errors.Is(err, unix.EACCES) || !strings.Contains(err.Error(), "closed") {
		t.Errorf("a directory without permissions: %v", err)
	}
	c := child(t, d, next(t, d, "listable"))
	if e := next(t, c, "file"); !errors.Is(e.Err, unix.EACCES) {
		t.Errorf("a file in a directory that cannot be searched: %v", e.Err)
	}
	c.Close()
	c = child(t, d, next(t, d, "open"))
	if _, err := c.OpenFile(next(t, c, "file")); !errors.Is(err, unix.EACCES) {
		t.Errorf("a file without permissions: %v", err)
	}
	c.Close()

	if path := os.Getenv(foreign); path != "" {
		d := open(t, filepath.Dir(path), walk.Config{}) // O_NOATIME is refused
		all := entries(t, d)
		f, err := d.OpenFile(all[filepath.Base(path)])
		must(t, err)
		f.Close()
	}
}

// rerun runs the test t again in a child that is nobody.
func rerun(t *testing.T, dir, env string) {
	t.Helper()
	self, err := os.ReadFile("/proc/self/exe")
	must(t, err)
	bin := filepath.Join(dir, "test")
	must(t, os.WriteFile(bin, self, 0o755))
	cmd := exec.CommandContext(t.Context(), bin, "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), env)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("as nobody: %v\n%s", err, out)
	}
}
