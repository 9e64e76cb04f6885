// Command leftover runs a command and fails if anything of it is left when it
// has ended: a process, a mount, or a file in its temporary directory. What is
// left it names, and ends, unmounts or removes.
//
//	leftover COMMAND [ARGUMENT]...
//
// What it finds is the command's and nobody else's. It adopts every process
// that the command leaves without a parent (a daemon, above all). It gives the
// command a TMPDIR of its own. Run by root it gives it a mount namespace of its
// own as well, so that every mount is seen; where that cannot be had, as by an
// ordinary user, it looks at what is mounted below that TMPDIR.
//
// The exit status is the command's own, or 1 if that was 0 and something is
// left.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// settle is how long processes and mounts may still take to go once the
	// command has ended: a daemon whose mount has just gone takes milliseconds.
	settle = 2 * time.Second

	// endWithin is how long a process has between SIGTERM and SIGKILL, and the
	// kernel after that.
	endWithin = time.Second

	pollEvery = 20 * time.Millisecond
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: leftover COMMAND [ARGUMENT]...")
		os.Exit(2)
	}
	status, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "leftover:", err)
		os.Exit(2)
	}
	os.Exit(status)
}

// run runs argv, names and clears what is left of it, and returns the exit
// status.
func run(argv []string) (int, error) {
	runtime.LockOSThread() // a mount namespace belongs to a thread
	s, err := newScene()
	if err != nil {
		return 0, err
	}
	status, err := runToEnd(argv, s.tmp)
	if err != nil {
		return 0, errors.Join(err, os.Remove(s.tmp))
	}
	left, err := s.settled()
	if err != nil {
		return 0, err
	}
	left.name(os.Stderr)
	if err := s.clear(); err != nil {
		return 0, err
	}
	if status == 0 && !left.none() {
		status = 1
	}
	return status, nil
}

// newScene adopts orphans, takes a mount namespace if it may, makes a TMPDIR,
// and remembers what is mounted.
func newScene() (*scene, error) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("adopt orphaned processes: %w", err)
	}
	// EPERM for an ordinary user, EINVAL where / is a chroot and no mount.
	own := unix.Unshare(unix.CLONE_NEWNS) == nil &&
		unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, "") == nil
	before, err := mounts()
	if err != nil {
		return nil, err
	}
	tmp, err := os.MkdirTemp("", "tm-") // short: a socket's path has 107 bytes
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(tmp, 0o777|os.ModeSticky); err != nil { // as /tmp is: tests act as other users too
		return nil, err
	}
	return &scene{tmp: tmp, ownMounts: own, before: before}, nil
}

// runToEnd runs argv with tmp as its TMPDIR and returns its exit status. It
// waits for any child rather than for this one, as adopted processes must be
// waited for too: a test may be waiting until one has gone.
func runToEnd(argv []string, tmp string) (int, error) {
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return 0, err
	}
	if err := os.Setenv("TMPDIR", tmp); err != nil {
		return 0, err
	}
	pid, err := syscall.ForkExec(path, argv, &syscall.ProcAttr{
		Env:   os.Environ(),
		Files: []uintptr{0, 1, 2},
	})
	if err != nil {
		return 0, fmt.Errorf("start %s: %w", path, err)
	}
	defer outliveSignals(pid)()
	for {
		var ws syscall.WaitStatus
		ended, err := syscall.Wait4(-1, &ws, 0, nil)
		switch {
		case err == syscall.EINTR:
		case err != nil:
			return 0, fmt.Errorf("wait for %s: %w", path, err)
		case ended == pid && ws.Signaled():
			return 128 + int(ws.Signal()), nil // as a shell says it
		case ended == pid:
			return ws.ExitStatus(), nil
		}
	}
}

// outliveSignals keeps ^C and SIGTERM from ending this program before it has
// looked at what the command leaves, until the returned function is called. A
// terminal sends ^C to the command as well; SIGTERM is passed on to pid.
func outliveSignals(pid int) (stop func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for s := range signals {
			if s == syscall.SIGTERM {
				_ = syscall.Kill(pid, syscall.SIGTERM) // ESRCH if it has just ended
			}
		}
	}()
	return func() {
		signal.Stop(signals)
		close(signals)
		<-done
	}
}
