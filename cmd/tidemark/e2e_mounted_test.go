package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// A mounted is a mount and the process that serves it.
type mounted struct {
	dir string
	cmd *exec.Cmd

	read sync.WaitGroup // for the end of its messages
	once sync.Once      // waits for its end

	mu       sync.Mutex
	messages bytes.Buffer // guarded by mu
}

// mount mounts the repository at a new directory, and waits until it is there.
// The mount ends with the test.
func (s *site) mount(t *testing.T, args ...string) *mounted {
	t.Helper()
	dir := s.dir + "/mount of " + s.host
	must(t, os.MkdirAll(dir, 0o755))
	return s.mountAt(t, dir, args...)
}

func (s *site) mountAt(t *testing.T, dir string, args ...string) *mounted {
	t.Helper()
	m := &mounted{dir: dir, cmd: s.command(t, append([]string{"mount", dir}, args...)...)}
	messages, err := m.cmd.StderrPipe()
	must(t, err)
	must(t, m.cmd.Start())
	there, ended := make(chan struct{}), make(chan struct{})
	m.read.Go(func() {
		defer close(ended)
		b := make([]byte, 4<<10)
		for announced := false; ; {
			n, err := messages.Read(b)
			m.mu.Lock()
			m.messages.Write(b[:n])
			if !announced && strings.Contains("\n"+m.messages.String(), "\nMounted ") {
				announced = true
				close(there)
			}
			m.mu.Unlock()
			if err != nil {
				return
			}
		}
	})
	t.Cleanup(func() { m.ended(t) }) // by then the test's context has ended, and so SIGTERM is sent
	select {
	case <-there:
	case <-ended:
		t.Fatalf("it does not mount: %s", m.said())
	}
	return m
}

// said returns what the mount's process has printed for people till now.
func (m *mounted) said() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.messages.String()
}

// root returns the directory of a point: a name below latest/ is a symlink to it.
func (m *mounted) root(t *testing.T, path string) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(m.dir + "/" + path)
	must(t, err)
	return dir
}

// ended waits for the end of the mount's process, which must be orderly and
// leave nothing.
func (m *mounted) ended(t *testing.T) {
	t.Helper()
	m.once.Do(func() {
		m.read.Wait()
		_ = m.cmd.Wait() // the exit code says it
		if code := m.cmd.ProcessState.ExitCode(); code != exitOK {
			t.Errorf("the mount ended with %v:\n%s", m.cmd.ProcessState, m.said())
		}
		if isMountPoint(m.dir) {
			t.Errorf("%s is still mounted", m.dir)
			_ = unix.Unmount(m.dir, unix.MNT_DETACH)
		}
	})
}

// isMountPoint says whether something is mounted at dir, even if it does not answer.
func isMountPoint(dir string) bool {
	var at, above unix.Stat_t
	return unix.Stat(dir, &at) != nil || unix.Stat(filepath.Dir(dir), &above) != nil || at.Dev != above.Dev
}

// inside returns a command for the mount namespace that a mount is in.
func (m *mounted) inside(user int, argv ...string) []string {
	enter := append([]string{"nsenter", fmt.Sprintf("--mount=/proc/%d/ns/mnt", m.cmd.Process.Pid)}, asUser(user)...)
	return append(enter, argv...)
}
