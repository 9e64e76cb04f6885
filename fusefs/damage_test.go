package fusefs_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tidemark/catalog"
	"tidemark/chunk"
	"tidemark/fusefs"
	"tidemark/pack"
)

// TestDamage flips a byte of a pack: the read fails, says so once, and is never
// short; with the right byte there again it succeeds.
func TestDamage(t *testing.T) {
	r := newRepo(t)
	content := pattern(30 * zeroLen)
	w := oneWorld(fileTree(r, map[string][]byte{"f": content, "other": pattern(700)}))
	var log lockedBuffer
	dir := serve(t, fusefs.Config{Log: slog.New(slog.NewTextHandler(&log, nil))}, w, r) + "/" + onlyPoint
	broken := r.keys.ChunkID(content[17*zeroLen : 18*zeroLen])
	object := "packs/abc/def/00000001"
	fail := func(_ context.Context, id chunk.ID) error {
		if id == broken {
			return &pack.DamageError{Object: object, Reason: pack.ReasonSeal, Detail: "block 17: its seal does not open"}
		}
		return nil
	}
	r.before.Store(&fail)
	got, err := os.ReadFile(dir + "/f")
	wantErrno(t, "reading a damaged file", err, unix.EIO)
	if len(got) > 17*zeroLen || !bytes.Equal(got, content[:len(got)]) {
		t.Errorf("before the error came %d bytes, or other ones", len(got))
	}
	if out, err := runErr(t, dir, `cp $m/f `+quoted(t.TempDir()+"/copy")); err == nil {
		t.Errorf("cp of a damaged file succeeds: %s", out)
	}
	if got, err := os.ReadFile(dir + "/other"); err != nil || !bytes.Equal(got, pattern(700)) {
		t.Errorf("another file: %v, or other bytes", err)
	}
	if n := strings.Count(log.String(), object); n != 1 || !strings.Contains(log.String(), "path="+onlyPoint+"/f") {
		t.Errorf("the log names the object %d times:\n%s", n, log.String())
	}
	r.before.Store(nil)
	if got, err := os.ReadFile(dir + "/f"); err != nil || !bytes.Equal(got, content) {
		t.Errorf("once it is whole again: %v, or other bytes", err)
	}
}

// TestDamagedTree has pages that cannot be read: a directory is an error, never
// empty, and a name in it is an error, never missing.
func TestDamagedTree(t *testing.T) {
	r := newRepo(t)
	tree := r.tree(dirEntry("", dirEntry("d", fileEntry("f", []byte("x"))), fileEntry("g", []byte("g"))))
	pages := &failingPages{repo: r}
	page, err := catalog.RootPage(&[]catalog.Row{tree.Root()}[0], nil)
	if err != nil {
		t.Fatal(err)
	}
	failing, err := catalog.OpenTree(pages, page)
	if err != nil {
		t.Fatal(err)
	}
	dir := serve(t, fusefs.Config{NodeBytes: 1}, oneWorld(failing), r) + "/" + onlyPoint
	if got := names(t, dir); got != "d g" {
		t.Fatalf("it lists %q", got)
	}
	d, err := tree.Resolve(t.Context(), "d")
	if err != nil {
		t.Fatal(err)
	}
	pages.fail.Store(&d.Child.ID)
	_, err = os.ReadDir(dir + "/d")
	wantErrno(t, "listing it", err, unix.EIO)
	_, err = os.Lstat(dir + "/d/f")
	wantErrno(t, "a name in it", err, unix.EIO)
	_, err = os.Lstat(dir + "/d/none")
	wantErrno(t, "a name that is not in it", err, unix.EIO)
	if out, err := runErr(t, dir, `rsync -a --delete $m/ `+quoted(t.TempDir())); err == nil {
		t.Errorf("rsync succeeds: %s", out)
	}
	pages.fail.Store(nil)
	if got := names(t, dir+"/d"); got != "f" {
		t.Errorf("once it is whole again it lists %q", got)
	}
}

// failingPages fails one page.
type failingPages struct {
	*repo
	fail atomic.Pointer[chunk.ID]
}

func (p *failingPages) Page(ctx context.Context, id chunk.ID, at pack.Place) ([]byte, error) {
	if bad := p.fail.Load(); bad != nil && *bad == id {
		return nil, fmt.Errorf("page %v is damaged: %w", id, unix.ENOENT) // whatever it wraps
	}
	return p.repo.Page(ctx, id, at)
}

// TestKilledReaders kills readers of a chunk that does not come, while others
// wait for the same one.
func TestKilledReaders(t *testing.T) {
	r := newRepo(t)
	content := pattern(50_000)
	dir := serve(t, fusefs.Config{}, oneWorld(fileTree(r, map[string][]byte{"f": content})), r) + "/" + onlyPoint
	release := make(chan struct{})
	wait := func(ctx context.Context, _ chunk.ID) error {
		select {
		case <-release:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	r.before.Store(&wait)
	var killed, patient []*exec.Cmd
	var out [4]bytes.Buffer
	for i := range out {
		cmd := exec.CommandContext(t.Context(), "cat", dir+"/f")
		cmd.Stdout = &out[i]
		patient = append(patient, cmd)
		killed = append(killed, exec.CommandContext(t.Context(), "cat", dir+"/f"))
	}
	for i := range out {
		for _, cmd := range []*exec.Cmd{patient[i], killed[i]} {
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
		}
	}
	within(t, 10*time.Second, "somebody waits for the chunk", func() bool { return r.chunks.Load() > 0 })
	for _, cmd := range killed {
		cmd.Process.Kill()
		if err := cmd.Wait(); err == nil {
			t.Error("a reader that was killed succeeded")
		}
	}
	close(release)
	for i, cmd := range patient {
		if err := cmd.Wait(); err != nil || !bytes.Equal(out[i].Bytes(), content) {
			t.Errorf("a reader that waited: %v, or other bytes", err)
		}
	}
}

// TestPanic has a mistake in what the mount reads from: one request fails.
func TestPanic(t *testing.T) {
	r := newRepo(t)
	var log lockedBuffer
	dir := serve(t, fusefs.Config{Log: slog.New(slog.NewTextHandler(&log, nil))}, oneWorld(fileTree(r, someFiles())), r) + "/" + onlyPoint
	panics := func(context.Context, chunk.ID) error { panic("no such luck") }
	r.before.Store(&panics)
	_, err := os.ReadFile(dir + "/extent")
	wantErrno(t, "reading", err, unix.EIO)
	if !strings.Contains(log.String(), "no such luck") {
		t.Errorf("the log says\n%s", log.String())
	}
	r.before.Store(nil)
	if _, err := os.ReadFile(dir + "/extent"); err != nil {
		t.Error(err)
	}
}

// TestUnreadable lists what could not be captured, and fails to read it.
func TestUnreadable(t *testing.T) {
	r := newRepo(t)
	bad := func(e *entry) *entry {
		e.Unreadable = "input/output error"
		return e
	}
	file := bad(fileEntry("f", nil))
	file.Size = 12345
	link := &entry{Row: catalog.Row{Node: catalog.Node{Name: "l", Type: catalog.Symlink, Mode: 0o777}}}
	var log lockedBuffer
	dir := serve(t, fusefs.Config{Log: slog.New(slog.NewTextHandler(&log, nil))},
		oneWorld(r.tree(dirEntry("", bad(dirEntry("d")), file, bad(link)))), r) + "/" + onlyPoint
	if got := names(t, dir); got != "d f l" {
		t.Errorf("it lists %q", got)
	}
	if info, err := os.Stat(dir + "/f"); err != nil || info.Size() != 12345 {
		t.Errorf("stat of the file: %v, %v", info, err)
	}
	_, err := os.ReadFile(dir + "/f")
	wantErrno(t, "reading the file", err, unix.EIO)
	_, err = os.ReadDir(dir + "/d")
	wantErrno(t, "listing the directory", err, unix.EIO)
	_, err = os.Lstat(dir + "/d/x")
	wantErrno(t, "a name in the directory", err, unix.EIO)
	_, err = os.Readlink(dir + "/l")
	wantErrno(t, "reading the link", err, unix.EIO)
	if !strings.Contains(log.String(), "could not be read when it was captured: input/output error") {
		t.Errorf("the log says\n%s", log.String())
	}
}

// TestReadOnly tries to change things through the kernel.
func TestReadOnly(t *testing.T) {
	r := newRepo(t)
	dir := serve(t, fusefs.Config{}, oneWorld(fileTree(r, someFiles())), r)
	for _, below := range []string{"", "/daily", "/daily/2026-11-20", "/" + onlyPoint} {
		d := dir + below
		file := dir + "/" + onlyPoint + "/inline"
		for name, err := range map[string]error{
			"create":   func() error { _, err := os.Create(d + "/new"); return err }(),
			"mkdir":    os.Mkdir(d+"/new", 0o755),
			"mknod":    unix.Mknod(d+"/new", unix.S_IFIFO|0o600, 0),
			"symlink":  os.Symlink("x", d+"/new"),
			"link":     os.Link(file, dir+"/"+onlyPoint+"/new"),
			"rename":   os.Rename(file, dir+"/"+onlyPoint+"/new"),
			"remove":   os.Remove(file),
			"rmdir":    unix.Rmdir(d),
			"truncate": os.Truncate(file, 0),
			"chmod":    os.Chmod(d, 0o777),
			"chown":    os.Chown(d, 1, 1),
			"utimes":   os.Chtimes(d, time.Unix(1, 0), time.Unix(1, 0)),
			"setxattr": unix.Setxattr(d, "user.x", []byte("x"), 0),
			"rmxattr":  unix.Removexattr(d, "user.x"),
			"open":     func() error { _, err := os.OpenFile(file, os.O_RDWR, 0); return err }(),
			"append":   func() error { _, err := os.OpenFile(file, os.O_WRONLY|os.O_APPEND, 0); return err }(),
			"access":   unix.Access(file, unix.W_OK),
		} {
			if name == "rmdir" && below == "" {
				continue // a mount point is busy before it is anything else
			}
			wantErrno(t, name+" in "+d, err, unix.EROFS)
		}
	}
}

// A lockedBuffer is a log that may be written while it is read.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer // guarded by mu
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
