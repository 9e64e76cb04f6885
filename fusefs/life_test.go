package fusefs_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tidemark/chunk"
	"tidemark/fusefs"
)

// TestSetupErrors tries to mount where that cannot be.
func TestSetupErrors(t *testing.T) {
	needFUSE(t)
	base := t.TempDir()
	full, file := base+"/full", base+"/file"
	if err := errors.Join(os.MkdirAll(full+"/x", 0o755), os.WriteFile(file, nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	r := newRepo(t)
	w := oneWorld(r.said("x"))
	mounted := serve(t, fusefs.Config{}, w, r)
	for _, tt := range []struct{ name, dir, problem, hint string }{
		{"missing", base + "/none", "there is no such directory", "mkdir -p"},
		{"a file", file, "it is not a directory", "an empty directory"},
		{"not empty", full, "it is not empty", "an empty directory"},
		{"mounted already", mounted, "it is mounted already", "tidemark unmount"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := fusefs.Mount(t.Context(), tt.dir, fusefs.Config{}, w, r)
			e, ok := errors.AsType[*fusefs.SetupError](err)
			if !ok || !strings.Contains(e.Problem, tt.problem) || !strings.Contains(e.Hint, tt.hint) || e.Dir != tt.dir {
				t.Errorf("%v, %+v", err, e)
			}
		})
	}
	if _, err := fusefs.Mount(t.Context(), t.TempDir(), fusefs.Config{Inodes: "many"}, w, r); err == nil {
		t.Error("a wrong configuration is accepted")
	}
}

// TestLogRequests has every request in the log.
func TestLogRequests(t *testing.T) {
	r := newRepo(t)
	var log lockedBuffer
	handler := slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})
	dir := serve(t, fusefs.Config{Log: slog.New(handler), LogRequests: true}, oneWorld(r.said("x")), r)
	says(t, dir+"/"+onlyPoint)
	for _, want := range []string{"LOOKUP", "daily", "OPEN"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("%s is not in the log", want)
		}
	}
}

// TestNoDevice mounts where /dev/fuse is missing, or closed to who mounts.
func TestNoDevice(t *testing.T) {
	needFUSE(t)
	need(t, "unshare", "setpriv")
	dir := openDir(t)
	for _, tt := range []struct{ name, script, want string }{
		{"missing", `mount -t tmpfs none /dev && exec `, "there is no /dev/fuse|modprobe fuse"},
		{"closed", `touch $m.node && mount --bind $m.node /dev/fuse && chmod 600 /dev/fuse && exec setpriv --reuid=1234 --regid=1234 --clear-groups `, "/dev/fuse is not open to this user|chmod 0666 /dev/fuse"},
		{"no helper", `mknod -m 666 $m.fuse c 10 229 && mount --bind $m.fuse /dev/fuse && PATH=/nowhere exec ` + whichSetpriv(t) + ` --reuid=1234 --regid=1234 --clear-groups `, "fusermount3, which is not installed|apt-get install fuse3"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cmd := child(t, "try", dir)
			script := tt.script + quoted(cmd.Path) + " " + quoted(dir)
			cmd = exec.CommandContext(t.Context(), "unshare", "-m", "bash", "-c", script)
			cmd.Env = append(os.Environ(), "TIDEMARK_TEST_CHILD=try", "m="+dir)
			out, err := cmd.CombinedOutput()
			for _, want := range strings.Split(tt.want, "|") {
				if err == nil || !strings.Contains(string(out), want) {
					t.Errorf("it says %q, %v; want %q", out, err, want)
				}
			}
		})
	}
}

func whichSetpriv(t *testing.T) string {
	path, err := exec.LookPath("setpriv")
	if err != nil {
		t.Skip(err)
	}
	return path
}

// openDir returns a temporary directory that every user gets to, beside which
// there may be others.
func openDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir() + "/mnt"
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	letIn(t, dir)
	// The test program, too, which the other users run.
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	run(t, exe, `d=$(dirname $m); while [ "$d" != /tmp ] && [ "$d" != / ]; do chmod a+rx "$d"; d=$(dirname "$d"); done`)
	return dir
}

// TestOrdinaryUser mounts through fusermount3, with a /dev/fuse that is open to
// all in a mount namespace of its own.
func TestOrdinaryUser(t *testing.T) {
	needFUSE(t)
	need(t, "unshare", "setpriv", "fusermount3")
	dir := openDir(t)
	exe := child(t, "user").Path
	script := `chown nobody $m && mknod -m 666 $m.fuse c 10 229 && mount --bind $m.fuse /dev/fuse &&
		exec setpriv --reuid=nobody --regid=nogroup --clear-groups ` + quoted(exe) + " " + quoted(dir)
	cmd := exec.CommandContext(t.Context(), "unshare", "-m", "bash", "-c", script)
	cmd.Env = append(os.Environ(), "TIDEMARK_TEST_CHILD=user", "m="+dir)
	out, err := cmd.CombinedOutput()
	wanted := []string{"read: x\n", "root's: secret\n", "fuse.tidemark ro,nosuid,nodev",
		"busy: fusefs: unmount " + dir + ": it was in use\n", "ended: <nil>\n"}
	if conf, err := os.ReadFile("/etc/fuse.conf"); err != nil || !strings.Contains("\n"+string(conf), "\nuser_allow_other") {
		wanted = append(wanted, "others: fusefs: mount "+dir+": fusermount3 refuses to mount", "hint: add the line user_allow_other")
	}
	for _, want := range wanted {
		if !strings.Contains(string(out), want) {
			t.Errorf("%q is missing", want)
		}
	}
	if err != nil || t.Failed() {
		t.Errorf("%v\n%s", err, out)
	}
}

// tryToMount prints why it cannot mount at a directory.
func tryToMount(args []string) error {
	s, err := fusefs.Mount(childContext(), args[0], fusefs.Config{}, newWorld(""), nil)
	if err == nil {
		return errors.Join(errors.New("it is mounted"), s.Unmount())
	}
	if e, ok := errors.AsType[*fusefs.SetupError](err); ok {
		return fmt.Errorf("%w\n%s", e, e.Hint)
	}
	return err
}

// mountAndStay mounts and waits to be killed.
func mountAndStay(args []string) error {
	r := newRepo(childTB{})
	if _, err := fusefs.Mount(childContext(), args[0], fusefs.Config{}, oneWorld(r.said("x")), r); err != nil {
		return err
	}
	fmt.Println("mounted")
	select {}
}

// mountAsUser mounts as an ordinary user, reads, ends the mount while it is in
// use and while it is not, and tries to let others in.
func mountAsUser(args []string) error {
	dir := args[0]
	r := newRepo(childTB{})
	secret := fileEntry("secret", []byte("secret"))
	secret.Mode = 0 // and of root: who mounts has the key to it
	w := oneWorld(r.tree(dirEntry("", fileEntry("says", []byte("x")), secret)))
	s, err := fusefs.Mount(childContext(), dir, fusefs.Config{}, w, r)
	if err != nil {
		return err
	}
	out, err := exec.Command("bash", "-c", `cd $0/`+onlyPoint+` && echo "read: $(cat says)" && echo "root's: $(cat secret)" &&
		grep -o "fuse.tidemark ro[^ ]*" /proc/self/mounts`, dir).CombinedOutput()
	fmt.Printf("%s", out)
	if err != nil {
		return errors.Join(err, s.Unmount())
	}
	held := exec.Command("bash", "-c", `cd $0/daily && echo in && read`, dir)
	stdin, err1 := held.StdinPipe()
	stdout, err2 := held.StdoutPipe()
	if err := errors.Join(err1, err2, held.Start()); err != nil {
		return errors.Join(err, s.Unmount())
	}
	stdout.Read(make([]byte, 3)) // "in"
	fmt.Printf("busy: %v\n", s.Unmount())
	stdin.Close()
	held.Wait()
	if s, err = fusefs.Mount(childContext(), dir, fusefs.Config{}, w, r); err != nil {
		return err
	}
	fmt.Printf("ended: %v\n", s.Unmount())
	s, err = fusefs.Mount(childContext(), dir, fusefs.Config{AllowOther: true}, w, r)
	fmt.Printf("others: %v\n", err)
	if err == nil {
		return s.Unmount()
	}
	if e, ok := errors.AsType[*fusefs.SetupError](err); ok {
		fmt.Printf("hint: %s\n", e.Hint)
	}
	return nil
}

// childContext is the context of a child, whose process is its end.
func childContext() context.Context { return context.Background() }

// A childTB is what a repo needs of a test, in a child.
type childTB struct{ testing.TB }

func (childTB) Helper()                  {}
func (childTB) Context() context.Context { return childContext() }
func (childTB) Fatal(args ...any)        { panic(fmt.Sprint(args...)) }

// TestStale finds a mount whose program was killed.
func TestStale(t *testing.T) {
	needFUSE(t)
	dir := t.TempDir()
	cmd := child(t, "stay", dir)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	if _, err := stdout.Read(make([]byte, 8)); err != nil {
		t.Fatalf("%v: %s", err, stderr.String())
	}
	cmd.Process.Kill()
	cmd.Wait()
	_, err = fusefs.Mount(t.Context(), dir, fusefs.Config{}, newWorld(""), nil)
	e, ok := errors.AsType[*fusefs.SetupError](err)
	if !ok || !strings.Contains(e.Problem, "whose program has ended") || !strings.Contains(e.Hint, "fusermount3 -uz "+dir) {
		t.Errorf("%v, %+v", err, e)
	}
}

// TestEnds ends mounts in every way, and looks for what they leave behind.
func TestEnds(t *testing.T) {
	needFUSE(t)
	r := newRepo(t)
	w := oneWorld(fileTree(r, someFiles()))
	read := func(t *testing.T, dir string) {
		run(t, dir, `sha256sum $m/`+onlyPoint+`/* >/dev/null && ls -lR $m >/dev/null`)
	}
	if s, err := fusefs.Mount(t.Context(), t.TempDir(), fusefs.Config{}, w, r); err != nil {
		t.Fatal(err)
	} else if err := s.Unmount(); err != nil {
		t.Error(err)
	}
	before := leftovers(t) // and what go-fuse opens once

	t.Run("its context", func(t *testing.T) {
		ctx, end := context.WithCancel(t.Context())
		dir := t.TempDir()
		s, err := fusefs.Mount(ctx, dir, fusefs.Config{}, w, r)
		if err != nil {
			t.Fatal(err)
		}
		read(t, dir)
		end()
		if err := s.Wait(); err != nil {
			t.Error(err)
		}
	})
	t.Run("somebody's umount", func(t *testing.T) {
		dir := t.TempDir()
		s, err := fusefs.Mount(t.Context(), dir, fusefs.Config{}, w, r)
		if err != nil {
			t.Fatal(err)
		}
		read(t, dir)
		run(t, dir, `umount $m`)
		if err := s.Wait(); err != nil {
			t.Error(err)
		}
		if err := s.Unmount(); err != nil {
			t.Errorf("once more: %v", err)
		}
	})
	t.Run("in use", func(t *testing.T) {
		dir := t.TempDir()
		s, err := fusefs.Mount(t.Context(), dir, fusefs.Config{}, w, r)
		if err != nil {
			t.Fatal(err)
		}
		noPoll(t, dir)
		f, err := os.Open(dir + "/" + onlyPoint + "/list")
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := s.Unmount(); !errors.Is(err, fusefs.ErrBusy) {
			t.Errorf("%v; want ErrBusy", err)
		}
		if _, err := f.Read(make([]byte, 10)); err == nil {
			t.Error("a file of a mount that ended can still be read")
		}
		if names(t, dir) != "" {
			t.Errorf("the mount is still there: %s", names(t, dir))
		}
	})
	t.Run("cut off", func(t *testing.T) {
		dir := t.TempDir()
		s, err := fusefs.Mount(t.Context(), dir, fusefs.Config{}, w, r)
		if err != nil {
			t.Fatal(err)
		}
		noPoll(t, dir)
		f, err := os.Open(dir + "/" + onlyPoint + "/list")
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := unix.Unmount(dir, unix.MNT_FORCE); !errors.Is(err, unix.EBUSY) {
			t.Fatalf("by force: %v", err)
		}
		if err := s.Wait(); err == nil || !strings.Contains(err.Error(), "cut off") {
			t.Errorf("it ended with %v", err)
		}
		if names(t, dir) != "" {
			t.Errorf("the mount is still there: %s", names(t, dir))
		}
	})
	t.Run("while somebody waits", func(t *testing.T) {
		dir := t.TempDir()
		s, err := fusefs.Mount(t.Context(), dir, fusefs.Config{}, w, r)
		if err != nil {
			t.Fatal(err)
		}
		wait := func(ctx context.Context, _ chunk.ID) error { <-ctx.Done(); return ctx.Err() }
		r.before.Store(&wait)
		defer r.before.Store(nil)
		asked := r.chunks.Load()
		cmd := exec.CommandContext(t.Context(), "cat", dir+"/"+onlyPoint+"/extent")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		within(t, 10*time.Second, "the reader waits", func() bool { return r.chunks.Load() > asked })
		if err := s.Unmount(); !errors.Is(err, fusefs.ErrBusy) {
			t.Errorf("%v; want ErrBusy", err)
		}
		if err := cmd.Wait(); err == nil {
			t.Error("the reader succeeded")
		}
	})
	defer func() {
		if t.Failed() {
			buf := make([]byte, 1<<20)
			t.Logf("%+v before, %+v now:\n%s", before, leftovers(t), buf[:runtime.Stack(buf, true)])
		}
	}()
	within(t, 10*time.Second, "goroutines and descriptors are as before", func() bool {
		now := leftovers(t)
		return now.goroutines <= before.goroutines && len(now.descriptors) <= len(before.descriptors) && now.mounts == before.mounts
	})
}

// leftover is what a mount could leave behind in its process.
type leftover struct {
	goroutines, mounts int
	descriptors        []string
}

func leftovers(t *testing.T) (l leftover) {
	t.Helper()
	fds, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		if target, err := os.Readlink(fd); err == nil {
			l.descriptors = append(l.descriptors, target)
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	l.goroutines, l.mounts = runtime.NumGoroutine(), strings.Count(string(mounts), os.TempDir()+"/TestEnds")
	return l
}
