package restore_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"tidemark/catalog"
	"tidemark/restore"
	"tidemark/store"
)

// target returns a directory to restore to, which does not exist.
func target(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "below", "target")
	t.Cleanup(func() { clearFlags(t, dir) })
	return dir
}

// run restores what is at path to dir, and fails the test if that fails.
func run(t testing.TB, cfg restore.Config, tree *catalog.Tree, path, dir string) restore.Result {
	t.Helper()
	res, err := restore.Run(t.Context(), cfg, tree, path, dir)
	if err != nil {
		t.Fatalf("%v\n%+v", err, res.Failures)
	}
	return res
}

func TestEverything(t *testing.T) {
	src := t.TempDir()
	makeSource(t, src)
	r := newRepository(t, store.NewMem())
	tree, chunks := r.open(r.capture(src))
	dst := target(t)
	var progress restore.Progress
	res := run(t, restore.Config{Chunks: chunks, Progress: &progress}, tree, "", dst)
	compare(t, src, dst)
	again, _ := r.open(r.capture(dst))
	compareTrees(t, tree, again)

	root := tree.Root()
	total := root.Totals()
	if res.Failed > 0 || len(res.Losses) > 0 || res.Skipped > 0 {
		t.Errorf("result = %+v", res)
	}
	if got := res.Files + res.Dirs + res.Others + res.Links; got != total.Names || res.Dirs != total.Dirs {
		t.Errorf("restored %d names and %d directories, want %d and %d", got, res.Dirs, total.Names, total.Dirs)
	}
	if names, bytes := progress.Names.Load(), progress.Bytes.Load(); names != total.Names || bytes != total.Bytes {
		t.Errorf("progress ended at %d names and %d bytes, want %d and %d", names, bytes, total.Names, total.Bytes)
	}

	res = run(t, restore.Config{Chunks: chunks, Verify: r.verifier()}, tree, "", dst)
	if res.Files > 0 || res.Links > 0 || res.Others > 0 || res.Skipped != total.Names-total.Dirs {
		t.Errorf("a second restore found work: %+v", res)
	}
	compare(t, src, dst)
}

func TestSingle(t *testing.T) {
	src := t.TempDir()
	write(t, filepath.Join(src, "a/b/file"), random(100<<10))
	must(t, os.Symlink("file", filepath.Join(src, "a/b/link")))
	r := newRepository(t, store.NewMem())
	tree, chunks := r.open(r.capture(src))
	cfg := restore.Config{Chunks: chunks}
	for _, tt := range []struct{ name, path, prepare, target, want string }{
		{"a file into a directory", "a/b/file", "dir", "dir", "dir/file"},
		{"a file under a new name", "a/b/file", "", "new", "new"},
		{"a file below new directories", "a/b/file", "", "x/y/new", "x/y/new"},
		{"a file into a new directory", "a/b/file", "", "x/y/", "x/y/file"},
		{"a symlink into a directory", "a/b/link", "dir", "dir", "dir/link"},
		{"a symlink under a new name", "a/b/link", "", "other", "other"},
		{"a directory to a new one", "a/b", "", "d", "d/file"},
		{"a directory to one that is there", "a/b", "dir", "dir/", "dir/file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			base := t.TempDir()
			if tt.prepare != "" {
				must(t, os.Mkdir(filepath.Join(base, tt.prepare), 0o700))
			}
			run(t, cfg, tree, tt.path, base+"/"+tt.target)
			source := filepath.Join(src, tt.path)
			if info, err := os.Lstat(source); err == nil && info.IsDir() {
				compare(t, source, filepath.Join(base, tt.target))
				return
			}
			got := facts(t, filepath.Join(base, tt.want))["."]
			if want := facts(t, source)["."]; got != want {
				t.Errorf("it is\n\t%s\nwant\n\t%s", got, want)
			}
			again := run(t, cfg, tree, tt.path, base+"/"+tt.target)
			if again.Skipped != 1 {
				t.Errorf("the second time: %+v, want it skipped", again)
			}
		})
	}
	if _, err := restore.Run(t.Context(), cfg, tree, "a/c", t.TempDir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a path that is not there: %v", err)
	}
}

func TestExisting(t *testing.T) {
	src := t.TempDir()
	for _, name := range []string{"file", "d/inside", "zlast"} {
		write(t, filepath.Join(src, name), []byte("from the point"))
	}
	r := newRepository(t, store.NewMem())
	tree, chunks := r.open(r.capture(src))
	for _, tt := range []struct {
		name        string
		prepare     func(dst string) error
		bad         string // what fails by default
		overwriting bool   // whether it fails with Overwrite too
	}{
		{"another file", func(dst string) error { return os.WriteFile(dst+"/file", []byte("mine"), 0o600) }, "file", false},
		{"a symlink for a file", func(dst string) error { return os.Symlink("/etc/passwd", dst+"/file") }, "file", false},
		{"an empty directory for a file", func(dst string) error { return os.Mkdir(dst+"/file", 0o700) }, "file", false},
		{"a full directory for a file", func(dst string) error { return os.MkdirAll(dst+"/file/x", 0o700) }, "file", true},
		{"a file for a directory", func(dst string) error { return os.WriteFile(dst+"/d", nil, 0o600) }, "d", false},
		{"a symlink for a directory", func(dst string) error { return os.Symlink(t.TempDir(), dst+"/d") }, "d", false},
		{"a directory for a directory", func(dst string) error { return os.Mkdir(dst+"/d", 0o500) }, "", false},
		{"an immutable file", func(dst string) error {
			err := os.WriteFile(dst+"/file", []byte("mine"), 0o600)
			if os.Geteuid() == 0 {
				setFlags(t, dst+"/file", 8)
				t.Cleanup(func() { setFlags(t, dst+"/file", 0) })
			}
			return err
		}, "file", false},
		{"a fifo for a file", func(dst string) error { return unix.Mkfifo(dst+"/file", 0o600) }, "file", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dst := t.TempDir()
			must(t, tt.prepare(dst))
			before := facts(t, dst)
			var told notices
			cfg := restore.Config{Chunks: chunks, Notice: told.add}
			res, err := restore.Run(t.Context(), cfg, tree, "", dst)
			if tt.bad == "" {
				must(t, err)
				compare(t, src, dst)
				return
			}
			if !errors.Is(err, restore.ErrIncomplete) || !errors.Is(err, restore.ErrExists) {
				t.Errorf("error = %v, want that something else is there", err)
			}
			if got := told.paths(); !slices.Equal(got, []string{tt.bad}) || len(res.Failures) != 1 {
				t.Errorf("told of %q, failures %v, want one for %q", got, res.Failures, tt.bad)
			}
			if after := facts(t, dst); after[tt.bad] != before[tt.bad] {
				t.Errorf("what was there has changed from\n%s to\n%s", before[tt.bad], after[tt.bad])
			}
			if b, err := os.ReadFile(dst + "/zlast"); err != nil || string(b) != "from the point" {
				t.Errorf("the rest was not restored: %q, %v", b, err)
			}

			cfg.Overwrite = true
			res, err = restore.Run(t.Context(), cfg, tree, "", dst)
			if tt.overwriting {
				if !errors.Is(err, restore.ErrExists) || res.Failed != 1 {
					t.Errorf("overwriting: %v, %d failed; want that it is not replaced", err, res.Failed)
				}
				return
			}
			must(t, err)
			compare(t, src, dst)
		})
	}
}
