package restore_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"tidemark/keys"
	"tidemark/restore"
	"tidemark/store"
)

// An order is what a child process is to restore: the test binary itself,
// which finds it in its environment.
type order struct {
	Repository string // a store's directory
	Secret     string // the file that holds it
	Object     string // the point's
	Path       string // in the tree
	Target     string
}

const orderVariable = "TIDEMARK_TEST_RESTORE"

func TestMain(m *testing.M) {
	text := os.Getenv(orderVariable)
	if text == "" {
		os.Exit(m.Run())
	}
	// A test of the child's own, for what a test has: a context, a failure.
	os.Args = append(os.Args[:1], "-test.run=^TestChild$")
	os.Exit(m.Run())
}

// TestChild carries out the order of the process that started this one.
func TestChild(t *testing.T) {
	text := os.Getenv(orderVariable)
	if text == "" {
		return // it is for children only
	}
	var o order
	must(t, json.Unmarshal([]byte(text), &o))
	s, err := store.OpenDir(o.Repository)
	must(t, err)
	b, err := os.ReadFile(o.Secret)
	must(t, err)
	secret, err := keys.ParseSecret(b)
	must(t, err)
	r := &repository{t, s, secret}
	tree, chunks := r.open(o.Object)
	cfg := restore.Config{Chunks: chunks, Notice: func(path string, err error) {
		fmt.Printf("notice %q: %v\n", path, err)
	}}
	res, err := restore.Run(t.Context(), cfg, tree, o.Path, o.Target)
	fmt.Printf("result %+v\n", res)
	must(t, err)
}

// give captures src into a repository that children can read, and returns an
// order for it, without a target.
func give(t testing.TB, src string) (*repository, order) {
	t.Helper()
	base := publicDir(t)
	o := order{Repository: filepath.Join(base, "repository"), Secret: filepath.Join(base, "secret")}
	must(t, store.CreateDir(o.Repository))
	s, err := store.OpenDir(o.Repository)
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	r := newRepository(t, s)
	must(t, os.WriteFile(o.Secret, r.secret.Encode(), 0o644))
	o.Object = r.capture(src)
	return r, o
}

// publicDir returns a temporary directory that everybody can enter.
func publicDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "tidemark-restore-test-")
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	must(t, os.Chmod(dir, 0o755))
	return dir
}

// child returns a command that carries out o, after the words of before if
// there are any.
func child(t testing.TB, o order, before ...string) *exec.Cmd {
	t.Helper()
	text, err := json.Marshal(o)
	must(t, err)
	self, err := os.Executable()
	must(t, err)
	words := append(before, self)
	cmd := exec.CommandContext(t.Context(), words[0], words[1:]...)
	cmd.Env = append(os.Environ(), orderVariable+"="+string(text), "LC_ALL=C")
	return cmd
}

// TestKilled kills a restore by SIGKILL within system calls of each kind that
// it makes, one after the other at the same target, and then lets it end. What
// has its name is whole each time, and the end is the whole tree.
func TestKilled(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("SKIPPED: strace, which kills a process within a system call, is not installed")
	}
	src := t.TempDir()
	makeSource(t, src)
	_, o := give(t, src)
	o.Target = target(t)
	want := facts(t, src)
	killed := 0
	for _, at := range []string{
		// The number is that of the call in one thread.
		"pwrite64:3", "mkdirat:9", "linkat:1", "renameat2:5", "fchmod:6", "symlinkat:1", "renameat2:9", "mknodat:1",
		"utimensat:8", "linkat:2", "fsetxattr:1", "renameat2:12", "mkdirat:30", "ioctl:2", "unlinkat:2", "unlinkat:10", "syncfs:1",
	} {
		call, when, _ := strings.Cut(at, ":")
		cmd := child(t, o, strace, "-f", "-o", "/dev/null", "-e", "trace="+call, "-e", "inject="+call+":signal=KILL:when="+when)
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if err != nil && (!errors.As(err, &exit) || !strings.Contains(err.Error(), "killed")) {
			t.Fatalf("killed at %s: %v\n%s", at, err, out)
		}
		if err != nil {
			killed++
		} else if call == "syncfs" {
			t.Error("a restore ended without a sync of the disk")
		}
		if _, err := os.Stat(o.Target); err != nil {
			continue
		}
		for path, got := range facts(t, o.Target) {
			w, wanted := want[path]
			switch {
			case strings.Contains(path, ".tidemark-restore-") && !wanted: // what the next run removes
			case !strings.Contains(got, " size "): // a directory
			case content(got) != content(w):
				t.Errorf("after the kill at %s, %q is\n\t%s\nwant\n\t%s", at, path, got, w)
			}
		}
	}
	if killed < 8 {
		t.Errorf("it was killed %d times, want most of the times", killed)
	}
	if out, err := child(t, o).CombinedOutput(); err != nil {
		t.Fatalf("at last: %v\n%s", err, out)
	}
	compare(t, src, o.Target)
}

// content returns the part of an entry's facts that does not change any more
// once it has its name: other names and inode flags may still come.
func content(fact string) string {
	before, after, _ := strings.Cut(fact, " links ")
	_, after, _ = strings.Cut(after, " size ")
	after, _, _ = strings.Cut(after, " flags ")
	return before + after
}

// TestOrdinaryUser restores everything as a user who may not do much of it.
func TestOrdinaryUser(t *testing.T) {
	needRoot(t)
	src := t.TempDir()
	makeSource(t, src)
	_, o := give(t, src)
	base := publicDir(t)
	must(t, os.Chmod(base, 0o777))
	o.Target = filepath.Join(base, "target")
	self := filepath.Join(base, "self") // the test binary is in a directory of root's
	copyFile(t, self)

	must(t, filepath.WalkDir(o.Repository, func(path string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Chmod(path, 0o755))
	}))

	asUser := func() string {
		cmd := child(t, o)
		cmd.Path, cmd.Dir = self, base
		cmd.Env = append(cmd.Env, "TMPDIR="+base)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 4711, Gid: 4711, Groups: []uint32{1234}}}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return string(out)
	}
	out := asUser()
	for _, aspect := range []string{"owner", "set-id bits", "device", "trusted attributes", "security attributes", "inode flags"} {
		if n := strings.Count(out, ": "+aspect+" not kept"); n != 1 {
			t.Errorf("%s: said %d times, want once", aspect, n)
		}
	}
	want, got := facts(t, src), facts(t, o.Target)
	for path, w := range want {
		g, ok := got[path]
		if device := path == "kinds/null" || path == "kinds/disk"; ok == device {
			t.Errorf("%q is there: %t", path, ok)
		} else if ok && asOf4711(t, g) != asOf4711(t, w) {
			t.Errorf("%q is\n\t%s\nwant\n\t%s", path, g, w)
		}
	}
	for path, mode := range map[string]os.FileMode{
		"modes/4711": 0o711, "modes/setuid of another": 0o755, "modes/dir 2770": 0o770 | os.ModeDir, "modes/0777": 0o777,
	} {
		info, err := os.Lstat(filepath.Join(o.Target, path))
		must(t, err)
		if path == "modes/dir 2770" {
			mode |= info.Mode() & os.ModeSetgid // the kernel's own rule
		}
		if info.Mode() != mode {
			t.Errorf("%s: mode %v, want %v", path, info.Mode(), mode)
		}
	}
	info, err := os.Lstat(filepath.Join(o.Target, "links/a/first"))
	must(t, err)
	if st := info.Sys().(*syscall.Stat_t); st.Uid != 4711 || st.Gid != 1234 {
		t.Errorf("links/a/first belongs to %d:%d, want the user, and the group as it is one of the user's", st.Uid, st.Gid)
	}
	if out = asUser(); !strings.Contains(out, "Files:0 ") || strings.Contains(out, "Skipped:0 ") {
		t.Errorf("a second restore found work:\n%s", out)
	}
}

// asOf4711 leaves out of facts what an ordinary user cannot keep.
func asOf4711(t testing.TB, fact string) string {
	t.Helper()
	var kept []string
	words := strings.Fields(fact)
	for i, w := range words {
		before := ""
		if i > 0 {
			before = words[i-1]
		}
		switch {
		case before == "mode", before == "owner", before == "flags", before == "blocks":
		case strings.HasPrefix(w, `"trusted.`), strings.HasPrefix(w, `"security.`):
		default:
			kept = append(kept, w)
		}
	}
	return strings.Join(kept, " ")
}

// copyFile copies the test binary to path.
func copyFile(t testing.TB, path string) {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	from, err := os.Open(self)
	must(t, err)
	defer from.Close()
	var b bytes.Buffer
	_, err = io.Copy(&b, from)
	must(t, err)
	must(t, os.WriteFile(path, b.Bytes(), 0o755))
}
