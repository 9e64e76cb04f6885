package main

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"filippo.io/age"
	"golang.org/x/sys/unix"
)

// The tests in e2e_*_test.go run the binary as its users do: as a process, by
// its command line, on real directories, and look at its mounts with the
// programs that everybody has.

// patience is how long something may take that takes a second or two on a
// machine that has nothing else to do.
const patience = 30 * time.Second

// A binary is the program as it is shipped, built when it is first wanted.
type binary struct {
	once sync.Once
	dir  string
	err  error
}

// shipped is built for all tests together. TestMain removes it.
var shipped binary

// path returns where the program is. All users may run it.
func (b *binary) path(t *testing.T) string {
	t.Helper()
	b.once.Do(func() {
		if b.dir, b.err = os.MkdirTemp("", "tidemark-bin-"); b.err != nil {
			return
		}
		if b.err = os.Chmod(b.dir, 0o755); b.err != nil {
			return
		}
		build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", b.dir+"/tidemark", ".")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			b.err = fmt.Errorf("go build: %w\n%s", err, out)
		}
	})
	if b.err != nil {
		t.Fatal(b.err)
	}
	return b.dir + "/tidemark"
}

func (b *binary) remove() error {
	if b.dir == "" {
		return nil
	}
	return os.RemoveAll(b.dir)
}

// A site is what a user of Tidemark has: a repository, an identity that opens
// it, and a configuration. All of it is below one directory.
type site struct {
	dir      string
	repo     string
	identity string   // the file of the repository's first key
	host     string   // this machine's name
	env      []string // of every command; the last of a name counts
	wrap     []string // what starts the program: sudo, so to say
}

// newSite returns the site of a machine called "box", in UTC, with a new
// repository.
func newSite(t *testing.T) *site {
	t.Helper()
	s := newEmptySite(t)
	s.ok(t, "init", "--to", s.newIdentity(t, "identity"))
	return s
}

// newEmptySite returns a site without a repository, and without its identity.
func newEmptySite(t *testing.T) *site {
	t.Helper()
	dir := t.TempDir()
	must(t, os.Chmod(filepath.Dir(dir), 0o755)) // some tests act as other users
	s := &site{dir: dir, repo: dir + "/repository", identity: dir + "/identity", host: "box"}
	s.configure(t, "")
	return s
}

// configure writes the configuration: the host, UTC, a state directory, and more.
func (s *site) configure(t *testing.T, more string) {
	t.Helper()
	text := "host: " + s.host + "\nstate-dir: " + s.dir + "/state-" + s.host + "\n"
	if !strings.Contains(more, "time-zone:") {
		text += "time-zone: UTC\n"
	}
	writeFile(t, s.dir+"/"+s.host+".yaml", text+more)
}

// newIdentity writes an age identity to a new file of the site, and returns
// its recipient.
func (s *site) newIdentity(t *testing.T, name string) string {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	must(t, err)
	file := s.dir + "/" + name
	writeFile(t, file, id.String()+"\n")
	must(t, os.Chmod(file, 0o600))
	return id.Recipient().String()
}

// on returns the site as another machine sees it, which has the same
// repository and key, and no state.
func (s *site) on(t *testing.T, host string) *site {
	t.Helper()
	other := *s
	other.host = host
	other.configure(t, "")
	return &other
}

// with returns the site with other variables in its commands' environment.
func (s *site) with(env ...string) *site {
	other := *s
	other.env = append(other.env[:len(other.env):len(other.env)], env...)
	return &other
}

// through returns the site with commands that are run by another program.
func (s *site) through(wrap ...string) *site {
	other := *s
	other.wrap = wrap
	return &other
}

// command returns the program with args. It gets SIGTERM when the test ends.
func (s *site) command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	argv := append(s.wrap[:len(s.wrap):len(s.wrap)], shipped.path(t))
	return s.start(t, append(argv, args...)...)
}

// start returns a command with the site's environment.
func (s *site) start(t *testing.T, argv ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = patience // then SIGKILL
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	cmd.Dir = s.dir
	cmd.Env = append([]string{
		"PATH=" + os.Getenv("PATH"), "TMPDIR=" + os.Getenv("TMPDIR"), "HOME=" + s.dir, "LC_ALL=C", "TZ=UTC",
		envConfig + "=" + s.dir + "/" + s.host + ".yaml", envRepository + "=" + s.repo, envIdentityFile + "=" + s.identity,
	}, s.env...)
	return cmd
}

// run runs the program to its end.
func (s *site) run(t *testing.T, args ...string) result {
	t.Helper()
	return finish(t, s.command(t, args...))
}

// hangs is how long a command may take before it counts as one that hangs.
const hangs = 2 * time.Minute

// finish runs a command to its end. One that hangs is made to say where.
func finish(t *testing.T, cmd *exec.Cmd) result {
	t.Helper()
	var out, errout bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errout
	must(t, cmd.Start())
	watch := time.AfterFunc(hangs, func() { _ = cmd.Process.Signal(syscall.SIGQUIT) })
	_ = cmd.Wait() // the exit code says it
	if !watch.Stop() {
		t.Fatalf("%q hangs:\n%s%s", cmd.Args, &out, &errout)
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), errout.String()}
}

// ok runs the program, which must succeed without a warning, and returns what
// it prints.
func (s *site) ok(t *testing.T, args ...string) string {
	t.Helper()
	got := s.run(t, args...)
	if got.code != exitOK || strings.Contains(got.err, "warning") {
		t.Fatalf("tidemark %q: exit code %d\n%s%s", args, got.code, got.out, got.err)
	}
	return got.out
}

// refused runs the program, which must fail with code, print no result, and say
// each of said.
func (s *site) refused(t *testing.T, code int, said []string, args ...string) {
	t.Helper()
	check := s.run(t, args...)
	if check.code != code || check.out != "" {
		t.Errorf("tidemark %q: exit code %d, want %d\n%s%s", args, check.code, code, check.out, check.err)
	}
	wantSaid(t, fmt.Sprintf("tidemark %q", args), check.err, said...)
}

// wantSaid fails the test unless text holds each of phrases.
func wantSaid(t *testing.T, who, text string, phrases ...string) {
	t.Helper()
	for _, phrase := range phrases {
		if !strings.Contains(text, phrase) {
			t.Errorf("%s says\n%s\tand not %q", who, text, phrase)
		}
	}
}

// english returns a program that speaks English.
func english(t *testing.T, argv ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	return cmd
}

// command runs a program that must succeed, and returns what it prints.
func command(t *testing.T, argv ...string) string {
	t.Helper()
	out, err := english(t, argv...).CombinedOutput()
	if err != nil {
		t.Fatalf("%q: %v\n%.4000s", argv, err, out)
	}
	return string(out)
}

// silent runs a program that must succeed and print nothing.
func silent(t *testing.T, argv ...string) {
	t.Helper()
	out, err := english(t, argv...).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("%q: %v\n%.4000s", argv, err, out)
	}
}

// eventually waits until holds does, which is looked at some times a second.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for !holds() {
		select {
		case <-look.C:
		case <-ctx.Done():
			t.Fatalf("%v later it is still not so that %s", patience, what)
		}
	}
}

// objects returns the repository's objects by name, with their sizes.
func (s *site) objects(t *testing.T) map[string]int64 {
	t.Helper()
	found := map[string]int64{}
	must(t, filepath.WalkDir(s.repo, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			found[strings.TrimPrefix(path, s.repo+"/")] = info.Size()
		}
		return err
	}))
	return found
}

// noise returns n bytes that nothing compresses.
func noise(seed, n int) string {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)}).Read(b) // it never fails
	return string(b)
}

// needRoot skips the test for ordinary users.
func needRoot(t *testing.T, what string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: " + what + " needs root")
	}
}

// needFUSE skips the test where this user cannot mount.
func needFUSE(t *testing.T) {
	t.Helper()
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err == nil {
		err = unix.Close(fd)
	}
	if err != nil {
		t.Skipf("SKIPPED: /dev/fuse: %v", err)
	}
	if os.Geteuid() != 0 {
		needPrograms(t, "fusermount3")
	}
}

// needPrograms skips the test without some programs.
func needPrograms(t *testing.T, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("SKIPPED: %v", err)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
