package fusefs_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// children are what this program does when a test runs it again, by the name in
// TIDEMARK_TEST_CHILD: what must not happen in the process that serves a mount.
var children = map[string]func(args []string) error{
	"mapped": printMapped,
	"try":    tryToMount,
	"user":   mountAsUser,
	"stay":   mountAndStay,
}

func TestMain(m *testing.M) {
	if name := os.Getenv("TIDEMARK_TEST_CHILD"); name != "" {
		if err := children[name](os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if os.Geteuid() == 0 && os.Getenv("TIDEMARK_TEST_ALONE") == "" {
		if code, ran := runAlone(); ran {
			os.Exit(code)
		}
	}
	os.Exit(m.Run())
}

// runAlone runs the tests in a mount namespace of their own, and returns their
// exit code; or says that it may not. Nobody else goes into the mounts there, or
// keeps a copy of them, so that they are in use only if a test uses them. And
// none outlives the tests.
func runAlone() (code int, ran bool) {
	exe, err := os.Executable()
	if err != nil {
		return 1, false
	}
	runtime.LockOSThread() // whose end, else, would be the child's
	cmd := exec.Command(exe, os.Args[1:]...)
	cmd.Env = append(os.Environ(), "TIDEMARK_TEST_ALONE=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		runtime.UnlockOSThread()
		return 1, false
	}
	return cmd.ProcessState.ExitCode(), true
}

// child returns this program as one of the children.
func child(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	if children[name] == nil {
		t.Fatalf("no child %q", name)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe, args...)
	cmd.Env = append(os.Environ(), "TIDEMARK_TEST_CHILD="+name)
	return cmd
}

// needFUSE skips the test where nothing can be mounted, or fails it if that
// was promised.
func needFUSE(t *testing.T) {
	t.Helper()
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err == nil {
		unix.Close(fd)
	}
	if err == nil && os.Geteuid() != 0 {
		err = errors.New("only root makes all kinds of nodes")
	}
	if err != nil {
		cannot(t, "nothing can be mounted here: %v", err)
	}
}

// need skips the test without some programs, or fails it as needFUSE does.
func need(t *testing.T, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			cannot(t, "%v", err)
		}
	}
}

func cannot(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") != "" || os.Getenv("TIDEMARK_MUST") != "" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// run runs a shell script, in which $m is dir, and returns what it prints.
// The script, not this process, goes into the mount: a fork that waits there
// would wait for itself.
func run(t *testing.T, dir, script string) string {
	t.Helper()
	out, err := runErr(t, dir, script)
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return out
}

func runErr(t *testing.T, dir, script string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", "-c", script)
	cmd.Env = append(os.Environ(), "m="+dir, "LC_ALL=C", "TZ=UTC")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// wantErrno fails the test unless err is errno.
func wantErrno(t *testing.T, what string, err error, errno unix.Errno) {
	t.Helper()
	if !errors.Is(err, errno) {
		t.Errorf("%s: %v; want %v", what, err, errno)
	}
}

// names returns the names in a directory, joined by spaces.
func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(namesOf(entries), " ")
}

func namesOf(entries []fs.DirEntry) []string {
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func sum(b []byte) [32]byte { return sha256.Sum256(b) }

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// countLines returns how often each line is in text.
func countLines(text string) map[string]int {
	count := map[string]int{}
	for line := range strings.Lines(text) {
		count[line]++
	}
	return count
}
