package store_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tidemark/store"
	"tidemark/store/storetest"
)

// openDir opens dir as a store until the test ends.
func openDir(t *testing.T, dir string) *store.Dir {
	t.Helper()
	d, err := store.OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return d
}

var mayMount = os.Getuid() == 0

// mountTmpfs returns a directory that is a filesystem in memory of its own.
func mountTmpfs(t *testing.T, options string) string {
	t.Helper()
	if !mayMount {
		t.Skip("mounting a tmpfs needs root")
	}
	dir := t.TempDir()
	if err := unix.Mount("tidemark-test", dir, "tmpfs", 0, options); err != nil {
		t.Fatalf("mount a tmpfs: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
	return dir
}

// ways are how a Dir may come to put its objects.
var ways = []struct {
	name  string
	adapt func(*store.Dir)
}{
	{"nameless", func(*store.Dir) {}},
	{"rename", func(d *store.Dir) { store.WithoutTmpfile(d, false) }},
	{"link", func(d *store.Dir) { store.WithoutTmpfile(d, true) }},
}

// TestDir runs the suite on a disk, and each way to put on a tmpfs if possible,
// where the thousands of fsyncs cost nothing.
func TestDir(t *testing.T) {
	t.Run("disk", func(t *testing.T) {
		t.Parallel()
		storetest.Test(t, func(t *testing.T) store.Store { return openDir(t, t.TempDir()) })
	})
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			storetest.Test(t, func(t *testing.T) store.Store {
				dir := t.TempDir()
				if mayMount {
					dir = mountTmpfs(t, "size=128m")
				}
				d := openDir(t, dir)
				way.adapt(d)
				return d
			})
		})
	}
}

// TestOneWinner checks what Dir and Mem promise beyond the contract: of several
// Puts of one key just one succeeds, and the others say why not.
func TestOneWinner(t *testing.T) {
	dir := t.TempDir()
	stores := map[string][]store.Store{"mem": {store.NewMem()}}
	for _, way := range ways {
		for range 2 { // as two processes would
			d := openDir(t, dir)
			way.adapt(d)
			stores[way.name] = append(stores[way.name], d)
			stores["mixed"] = append(stores["mixed"], d)
		}
	}
	for name, ss := range stores {
		t.Run(name, func(t *testing.T) {
			errs := make(chan error)
			for i := range 12 {
				go func() { errs <- ss[i%len(ss)].Put(t.Context(), name+"/key", strings.NewReader("x"), 1) }()
			}
			won := 0
			for range 12 {
				if err := <-errs; err == nil {
					won++
				} else if !errors.Is(err, store.ErrExist) || errors.Is(err, fs.ErrExist) {
					t.Errorf("Put = %v; want nil or ErrExist", err)
				}
			}
			if won != 1 {
				t.Errorf("%d Puts of one key succeeded", won)
			}
		})
	}
}

// TestDirGone removes an open repository. What cannot be seen any more is not
// what never was.
func TestDirGone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "repository")
	if err := store.CreateDir(dir); err != nil {
		t.Fatal(err)
	}
	d := openDir(t, dir)
	if err := d.Put(t.Context(), "a/b", strings.NewReader("x"), 1); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	_, readErr := d.ReadAt(t.Context(), "a/b", make([]byte, 1), 0)
	_, statErr := d.Stat(t.Context(), "a/b")
	fn := func(store.Info) error { return nil }
	for call, err := range map[string]error{
		"ReadAt":      readErr,
		"Stat":        statErr,
		"List":        d.List(t.Context(), "", "", fn),
		"List(a/)":    d.List(t.Context(), "a/", "", fn),
		"Put":         d.Put(t.Context(), "a/c", strings.NewReader("x"), 1),
		"Delete":      d.Delete(t.Context(), "a/b"),
		"Delete(top)": d.Delete(t.Context(), "top"),
	} {
		if err == nil || errors.Is(err, store.ErrNotExist) || !strings.Contains(err.Error(), dir) ||
			!strings.Contains(err.Error(), "directory has been removed") {
			t.Errorf("%s = %v; want that the repository's directory has been removed", call, err)
		}
	}
}

// TestDirForeign puts what is no object into a repository: what is named like
// one is an error, never read through; what is not is left alone.
func TestDirForeign(t *testing.T) {
	outside := t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "secret"), []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name  string
		place func(path string) error
		key   string // an object's, if it were one
	}{
		{"a link to a file", func(p string) error { return os.Symlink(filepath.Join(outside, "secret"), p) }, "dir/it"},
		{"a link to a directory", func(p string) error { return os.Symlink(outside, p) }, "dir/it/secret"},
		{"a link to what is above", func(p string) error { return os.Symlink("../../"+filepath.Base(outside), p) }, "dir/it/secret"},
		{"a link to nothing", func(p string) error { return os.Symlink(filepath.Join(outside, "x"), p) }, "dir/it"},
		{"a fifo", func(p string) error { return unix.Mkfifo(p, 0o600) }, "dir/it"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			d := openDir(t, dir)
			if err := d.Put(t.Context(), "dir/object", strings.NewReader("x"), 1); err != nil {
				t.Fatal(err)
			}
			if err := tt.place(filepath.Join(dir, "dir", "it")); err != nil {
				t.Fatal(err)
			}
			if b, err := store.ReadAll(t.Context(), d, tt.key, 100); err == nil || errors.Is(err, store.ErrNotExist) {
				t.Errorf("ReadAll(%s) = %q, %v; want an error of its own", tt.key, b, err)
			}
			if info, err := d.Stat(t.Context(), tt.key); err == nil || errors.Is(err, store.ErrNotExist) {
				t.Errorf("Stat(%s) = %+v, %v; want an error of its own", tt.key, info, err)
			}
			err := d.Put(t.Context(), tt.key, strings.NewReader("y"), 1)
			if err == nil || errors.Is(err, store.ErrExist) {
				t.Errorf("Put(%s) = %v; want an error of its own", tt.key, err)
			}
			err = d.List(t.Context(), "", "", func(store.Info) error { return nil })
			if err == nil || !strings.Contains(err.Error(), "dir/it") {
				t.Errorf("List = %v; want an error that names dir/it", err)
			}
			wantFiles(t, outside, "secret")
		})
	}
	t.Run("names that are no keys", func(t *testing.T) {
		dir := t.TempDir()
		d := openDir(t, dir)
		for _, name := range []string{"lost+found", "a b", "ä"} {
			if err := os.Symlink(outside, filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
		if err := d.List(t.Context(), "", "", func(info store.Info) error {
			t.Errorf("List shows %q", info.Key)
			return nil
		}); err != nil {
			t.Error(err)
		}
	})
}

// TestDirUnreadable lists a repository with a directory that may not be read:
// an error, not a shorter list.
func TestDirUnreadable(t *testing.T) {
	dir := t.TempDir()
	d := openDir(t, dir)
	for _, key := range []string{"a/1", "b/1", "c/1"} {
		if err := d.Put(t.Context(), key, strings.NewReader("x"), 1); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(dir, "b"), 0); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(filepath.Join(dir, "b"), 0o700) // to be removed
	if os.Getuid() == 0 {                          // whom no mode stops: be somebody else for files
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		for _, name := range []string{"", "a", "b", "c"} {
			if err := os.Chown(filepath.Join(dir, name), 65534, -1); err != nil {
				t.Fatal(err)
			}
		}
		if err := unix.Setfsuid(65534); err != nil {
			t.Fatal(err)
		}
		defer unix.Setfsuid(0)
	}
	var got []string
	err := d.List(t.Context(), "", "", func(info store.Info) error {
		got = append(got, info.Key)
		return nil
	})
	if !errors.Is(err, fs.ErrPermission) || !slices.Equal(got, []string{"a/1"}) {
		t.Errorf("List = %q, %v; want a/1, then permission denied", got, err)
	}
	if _, err := d.Stat(t.Context(), "b/1"); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("Stat = %v; want permission denied", err)
	}
	if _, err := d.Stat(t.Context(), "b/2"); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("Stat of what nobody can know to be missing = %v; want permission denied", err)
	}
}

func TestDirModes(t *testing.T) {
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "repository")
			if err := store.CreateDir(dir); err != nil {
				t.Fatal(err)
			}
			d := openDir(t, dir)
			way.adapt(d)
			if err := d.Put(t.Context(), "a/b", strings.NewReader("x"), 1); err != nil {
				t.Fatal(err)
			}
			for name, want := range map[string]fs.FileMode{"": fs.ModeDir | 0o700, "a": fs.ModeDir | 0o700, "a/b": 0o400} {
				if st, err := os.Stat(filepath.Join(dir, name)); err != nil || st.Mode() != want {
					t.Errorf("%q: mode %v, %v; want %v", name, st.Mode(), err, want)
				}
			}
		})
	}
}

// TestKeyOfDirectory checks that Dir and Mem refuse a key that is another's
// directory, and do not call it existing.
func TestKeyOfDirectory(t *testing.T) {
	stores := map[string]store.Store{"mem": store.NewMem()}
	for _, way := range ways {
		d := openDir(t, t.TempDir())
		way.adapt(d)
		stores[way.name] = d
	}
	for name, s := range stores {
		t.Run(name, func(t *testing.T) {
			if err := s.Put(t.Context(), "a/b/c", strings.NewReader("x"), 1); err != nil {
				t.Fatal(err)
			}
			for key, want := range map[string]string{
				"a":         "have this key as their directory",
				"a/b":       "have this key as their directory",
				"a/b/c/d":   "is itself an object",
				"a/b/c/d/e": "is itself an object",
			} {
				err := s.Put(t.Context(), key, strings.NewReader("y"), 1)
				if err == nil || errors.Is(err, store.ErrExist) || !strings.Contains(err.Error(), want) {
					t.Errorf("Put(%s) beside a/b/c = %v; want that objects %s", key, err, want)
				}
			}
			if b, err := store.ReadAll(t.Context(), s, "a/b/c", 10); err != nil || string(b) != "x" {
				t.Errorf("ReadAll(a/b/c) = %q, %v; want it unharmed", b, err)
			}
		})
	}
}

func TestCreateDir(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "repository")
	for range 2 { // the second time it is there
		if err := store.CreateDir(dir); err != nil {
			t.Error(err)
		}
	}
	openDir(t, dir)
	if err := store.CreateDir(filepath.Join(dir, "missing", "repository")); err == nil || !strings.Contains(err.Error(), "mounted?") {
		t.Errorf("CreateDir below a missing directory = %v; want a question about its disk", err)
	}
	wantEmpty(t, dir)
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := store.CreateDir(file); !errors.Is(err, unix.ENOTDIR) {
		t.Errorf("CreateDir where a file is = %v; want not a directory", err)
	}
	if _, err := store.OpenDir(file); err == nil || !strings.Contains(err.Error(), "not a directory") {
		t.Errorf("OpenDir of a file = %v; want not a directory", err)
	}
	if _, err := store.OpenDir(filepath.Join(dir, "missing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("OpenDir of nothing = %v; want fs.ErrNotExist", err)
	}
}
