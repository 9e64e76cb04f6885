package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A scene is where the command runs, and what was there before it.
type scene struct {
	tmp       string // its TMPDIR
	ownMounts bool   // no other program's mounts are seen here
	before    []mount
}

// leftovers is what is there after a command and was not there before it.
type leftovers struct {
	processes []process
	mounts    []mount  // in the order in which they were made
	files     []string // in the TMPDIR
}

func (l leftovers) none() bool {
	return len(l.processes)+len(l.mounts)+len(l.files) == 0
}

// name writes a line for each thing that is left.
func (l leftovers) name(w io.Writer) {
	for _, p := range l.processes {
		fmt.Fprintf(w, "left behind: process %d: %s\n", p.pid, p.command)
	}
	for _, m := range l.mounts {
		fmt.Fprintf(w, "left behind: mount %s of %s (%s)\n", m.dir, m.source, m.fsType)
	}
	for _, f := range l.files {
		fmt.Fprintf(w, "left behind: file %s\n", f)
	}
}

// settled returns what is left once no process and no mount is, or settle has
// passed.
func (s *scene) settled() (leftovers, error) {
	for end := time.Now().Add(settle); ; time.Sleep(pollEvery) {
		left, err := s.look()
		if err != nil || len(left.processes)+len(left.mounts) == 0 || time.Now().After(end) {
			return left, err
		}
	}
}

// look returns what is left now.
func (s *scene) look() (left leftovers, err error) {
	if left.processes, err = processes(); err != nil {
		return leftovers{}, err
	}
	if left.mounts, err = s.newMounts(); err != nil {
		return leftovers{}, err
	}
	files, err := os.ReadDir(s.tmp)
	for _, f := range files {
		left.files = append(left.files, filepath.Join(s.tmp, f.Name()))
	}
	return left, err
}

// clear ends the processes, undoes the mounts, and removes the TMPDIR.
func (s *scene) clear() error {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		for end := time.Now().Add(endWithin); ; time.Sleep(pollEvery) {
			left, err := processes()
			if err != nil {
				return err
			}
			if len(left) == 0 || time.Now().After(end) {
				break
			}
			for _, p := range left {
				_ = syscall.Kill(p.pid, sig) // EPERM for another user's: it has been named
			}
		}
	}
	left, err := s.newMounts()
	if err != nil {
		return err
	}
	for _, m := range slices.Backward(left) {
		if err := m.detach(); err != nil {
			return fmt.Errorf("unmount %s: %w; do that by hand, then remove %s", m.dir, err, s.tmp)
		}
	}
	return os.RemoveAll(s.tmp) // nothing is mounted there any more
}

// newMounts returns the mounts that the command has made.
func (s *scene) newMounts() ([]mount, error) {
	all, err := mounts()
	return slices.DeleteFunc(all, func(m mount) bool {
		if s.ownMounts {
			return slices.Contains(s.before, m)
		}
		return !strings.HasPrefix(m.dir, s.tmp+"/")
	}), err
}

// A mount is one line of mountinfo.
type mount struct {
	id, dir, fsType, source string
}

// detach unmounts m, or lets fusermount3 do it for an ordinary user.
func (m mount) detach() error {
	err := unix.Unmount(m.dir, unix.MNT_DETACH)
	if err == nil || exec.Command("fusermount3", "-u", "-z", m.dir).Run() == nil {
		return nil
	}
	return err
}

// unescape undoes what mountinfo does to blanks in a path; see proc(5).
var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

// mounts returns the mounts that this thread sees, in the order in which they
// were made.
func mounts() ([]mount, error) {
	const path = "/proc/thread-self/mountinfo"
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var all []mount
	for line := range strings.Lines(string(text)) {
		// proc(5): id parent major:minor root dir options … - type source options
		left, right, ok := strings.Cut(line, " - ")
		l, r := strings.Fields(left), strings.Fields(right)
		if !ok || len(l) < 5 || len(r) < 2 {
			return nil, fmt.Errorf("%s: unexpected line %q", path, line)
		}
		all = append(all, mount{l[0], unescape.Replace(l[4]), r[0], unescape.Replace(r[1])})
	}
	return all, nil
}

// A process is a descendant of this one.
type process struct {
	pid     int
	command string
}

// processes returns all descendants of this process that run, and buries those
// that have ended and were left to it.
func processes() ([]process, error) {
	for {
		pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
		if err != syscall.EINTR && (err != nil || pid == 0) {
			break // no child is left, or none that has ended
		}
	}
	dirs, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	children := map[int][]int{}
	for _, d := range dirs {
		if pid, err := strconv.Atoi(d.Name()); err == nil {
			parent := parentOf(pid)
			children[parent] = append(children[parent], pid)
		}
	}
	var found []process
	for queue := children[os.Getpid()]; len(queue) > 0; queue = queue[1:] {
		pid := queue[0]
		found = append(found, process{pid, commandOf(pid)})
		queue = append(queue, children[pid]...)
	}
	return found, nil
}

// parentOf returns the parent of process pid, or 0 if the process has ended.
func parentOf(pid int) int {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	// proc(5): pid (name) state ppid …; a name may hold blanks and parentheses.
	stat := string(text)
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) < 2 || fields[0] == "Z" {
		return 0
	}
	parent, err := strconv.Atoi(fields[1])
	if err != nil {
		return 0
	}
	return parent
}

// commandOf returns the command line of process pid, "" if it has ended.
func commandOf(pid int) string {
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(strings.ReplaceAll(string(line), "\x00", " "))
}
