package restore_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"tidemark/catalog"
	"tidemark/chunk"
	"tidemark/pack"
	"tidemark/restore"
	"tidemark/store"
)

// TestFullDisk fills a small disk, by bytes and by inodes. What has its name
// is whole, and with more room the rest comes.
func TestFullDisk(t *testing.T) {
	needRoot(t)
	src := t.TempDir()
	for i := range 12 {
		write(t, filepath.Join(src, fmt.Sprintf("d/%02d", i)), random(300<<10))
	}
	r := newRepository(t, store.NewMem())
	tree, chunks := r.open(r.capture(src))
	for _, options := range []string{"size=2m", "nr_inodes=10"} {
		t.Run(options, func(t *testing.T) {
			disk := filepath.Join(t.TempDir(), "disk")
			mount(t, disk, options)
			dst := filepath.Join(disk, "target")
			var told notices
			res, err := restore.Run(t.Context(), restore.Config{Chunks: chunks, Notice: told.add}, tree, "", dst)
			if !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), dst) || !strings.Contains(err.Error(), "disk is full") {
				t.Errorf("error = %v, want one that says so", err)
			}
			if len(told.paths()) > 0 || res.Failed > 0 {
				t.Errorf("told of %q, %d failed; want the end at once", told.paths(), res.Failed)
			}
			there, err := filepath.Glob(dst + "/d/*")
			must(t, err)
			if uint64(len(there)) != res.Files || res.Files == 0 || res.Files == 12 {
				t.Errorf("%d files are there and %d restored, want the same, and some", len(there), res.Files)
			}
			for _, path := range there {
				silent(t, "cmp", path, filepath.Join(src, "d", filepath.Base(path)))
			}
			noTemps(t, disk)
			must(t, unix.Mount("", disk, "", unix.MS_REMOUNT, "size=16m,nr_inodes=1000"))
			again := run(t, restore.Config{Chunks: chunks}, tree, "", dst)
			if again.Skipped != res.Files {
				t.Errorf("the second time %d were there, want %d", again.Skipped, res.Files)
			}
			silent(t, "rsync", "-aniHAX", "--checksum", "--delete", src+"/", dst+"/")
		})
	}
}

func TestBadTargets(t *testing.T) {
	src := t.TempDir()
	write(t, filepath.Join(src, "file"), []byte("x"))
	r := newRepository(t, store.NewMem())
	tree, chunks := r.open(r.capture(src))
	base := t.TempDir()
	write(t, filepath.Join(base, "file"), []byte("mine"))
	for _, target := range []string{"file", "file/below", "dangling/below"} {
		must(t, os.RemoveAll(filepath.Join(base, "dangling")))
		must(t, os.Symlink("/nonexistent/x", filepath.Join(base, "dangling")))
		path := filepath.Join(base, target)
		_, err := restore.Run(t.Context(), restore.Config{Chunks: chunks}, tree, "", path)
		if err == nil || errors.Is(err, restore.ErrIncomplete) || !strings.Contains(err.Error(), path) || strings.Count(err.Error(), base) > 1 {
			t.Errorf("%s: error = %v, want one that names it once", target, err)
		}
	}
	if b, _ := os.ReadFile(filepath.Join(base, "file")); string(b) != "mine" {
		t.Errorf("the file in the way became %q", b)
	}
	if os.Geteuid() == 0 {
		disk := filepath.Join(t.TempDir(), "disk")
		mount(t, disk, "")
		must(t, unix.Mount("", disk, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
		if _, err := restore.Run(t.Context(), restore.Config{Chunks: chunks}, tree, "", disk); !errors.Is(err, unix.EROFS) {
			t.Errorf("a read-only target: %v", err)
		}
	}
}

// TestCancelled ends restores early, each a bit later than the one before, at
// the same target, and then lets one end.
func TestCancelled(t *testing.T) {
	src := t.TempDir()
	makeSource(t, src)
	r := newRepository(t, store.NewMem())
	tree, chunks := r.open(r.capture(src))
	dst := target(t)
	errEnough := errors.New("enough")
	for last := int64(1); ; last += 25 {
		ctx, cancel := context.WithCancelCause(t.Context())
		var asked atomic.Int64
		counted := chunksFunc(func(ctx context.Context, id chunk.ID, at pack.Place) (restore.Piece, error) {
			if asked.Add(1) == last {
				cancel(errEnough)
			}
			return chunks.Chunk(ctx, id, at)
		})
		_, err := restore.Run(ctx, restore.Config{Chunks: counted, Workers: 3}, tree, "", dst)
		noTemps(t, dst)
		if err == nil {
			break
		}
		if !errors.Is(err, errEnough) || errors.Is(err, restore.ErrIncomplete) {
			t.Fatalf("error = %v, want why it ended", err)
		}
	}
	compare(t, src, dst)
}

// TestLeftovers has temporary names in the target: those of the dead go, and
// those of the living stay.
func TestLeftovers(t *testing.T) {
	src := t.TempDir()
	write(t, filepath.Join(src, "d/file"), []byte("x"))
	r := newRepository(t, store.NewMem())
	tree, chunks := r.open(r.capture(src))
	dst := t.TempDir()
	temp := "d/.tidemark-restore-" + strings.Repeat("A", 26) + "-"
	for i := range 3 {
		write(t, filepath.Join(dst, temp+fmt.Sprint(i)), []byte("half"))
	}
	write(t, filepath.Join(dst, temp+"4/linked"), nil)
	must(t, os.Symlink("x", filepath.Join(dst, temp+"5")))
	write(t, filepath.Join(dst, temp+"not"), []byte("a user's"))
	alive, err := os.Open(filepath.Join(dst, temp+"1"))
	must(t, err)
	defer alive.Close()
	must(t, unix.Flock(int(alive.Fd()), unix.LOCK_EX))
	run(t, restore.Config{Chunks: chunks}, tree, "", dst)
	entries, err := os.ReadDir(filepath.Join(dst, "d"))
	must(t, err)
	var got []string
	for _, e := range entries {
		got = append(got, "d/"+e.Name())
	}
	if want := []string{temp + "1", temp + "not", "d/file"}; !slices.Equal(got, want) {
		t.Errorf("there are %q, want %q", got, want)
	}
}

func TestTwoAtOnce(t *testing.T) {
	src := t.TempDir()
	write(t, filepath.Join(src, "file"), random(1000))
	r := newRepository(t, store.NewMem())
	tree, chunks := r.open(r.capture(src))
	dst := target(t)
	var second error
	during := chunksFunc(func(ctx context.Context, id chunk.ID, at pack.Place) (restore.Piece, error) {
		_, second = restore.Run(ctx, restore.Config{Chunks: chunks}, tree, "", dst)
		return chunks.Chunk(ctx, id, at)
	})
	run(t, restore.Config{Chunks: during}, tree, "", dst)
	if second == nil || !strings.Contains(second.Error(), "another restore") {
		t.Errorf("a second restore at the same time: %v", second)
	}
	compare(t, src, dst)
}

// TestVerify changes a file without changing what lstat says of it.
func TestVerify(t *testing.T) {
	src := t.TempDir()
	write(t, filepath.Join(src, "list"), append(random(4<<20), make([]byte, 1<<20)...))
	write(t, filepath.Join(src, "inline"), []byte("some"))
	r := newRepository(t, store.NewMem())
	tree, chunks := r.open(r.capture(src))
	dst := target(t)
	cfg := restore.Config{Chunks: chunks}
	run(t, cfg, tree, "", dst)
	for _, tt := range []struct {
		name string
		off  int64
	}{{"inline", 0}, {"list", 0}, {"list", 4<<20 - 1}, {"list", 5<<20 - 1}} {
		path := filepath.Join(dst, tt.name)
		info, err := os.Stat(path)
		must(t, err)
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		must(t, err)
		b := make([]byte, 1)
		_, err = f.ReadAt(b, tt.off)
		must(t, err)
		_, err = f.WriteAt([]byte{b[0] ^ 1}, tt.off)
		must(t, err)
		must(t, f.Close())
		must(t, os.Chtimes(path, info.ModTime(), info.ModTime()))

		cfg.Verify = nil
		if res := run(t, cfg, tree, "", dst); res.Skipped != 2 {
			t.Errorf("%v: without Verify: %+v", tt, res)
		}
		cfg.Verify = r.verifier()
		res, err := restore.Run(t.Context(), cfg, tree, "", dst)
		if !errors.Is(err, restore.ErrExists) || len(res.Failures) != 1 || res.Failures[0].Path != tt.name {
			t.Errorf("%v: with Verify: %v, %+v", tt, err, res)
		}
		cfg.Overwrite = true
		if res := run(t, cfg, tree, "", dst); res.Files != 1 || res.Skipped != 1 {
			t.Errorf("%v: overwriting: %+v", tt, res)
		}
		cfg.Overwrite = false
		compare(t, src, dst)
	}
}

// TestInherited restores into a directory whose entries would inherit an ACL
// and inode flags.
func TestInherited(t *testing.T) {
	src := t.TempDir()
	write(t, filepath.Join(src, "d/file"), []byte("x"))
	write(t, filepath.Join(src, "file"), []byte("x"))
	r := newRepository(t, store.NewMem())
	tree, chunks := r.open(r.capture(src))
	cfg := restore.Config{Chunks: chunks}
	dst := t.TempDir()
	prepare := func() {
		must(t, os.MkdirAll(filepath.Join(dst, "d"), 0o700))
		must(t, unix.Setxattr(dst, "system.posix_acl_default", testACL(), 0))
		must(t, unix.Setxattr(dst, "user.mine", []byte("x"), 0))
		if os.Geteuid() == 0 {
			setFlags(t, dst, 0x80)
			setFlags(t, filepath.Join(dst, "d"), 0x80)
		}
	}
	prepare()
	run(t, cfg, tree, "", dst)
	compare(t, src, dst)

	must(t, os.RemoveAll(filepath.Join(dst, "file")))
	must(t, os.RemoveAll(filepath.Join(dst, "d")))
	prepare()
	before := facts(t, dst)["."]
	run(t, cfg, tree, "file", dst)
	if got, want := xattrsOf(t, filepath.Join(dst, "file")), xattrsOf(t, filepath.Join(src, "file")); !slices.Equal(got, want) {
		t.Errorf("a file alone has %q, want %q", got, want)
	}
	attributes := func(fact string) string { _, after, _ := strings.Cut(fact, `"`); return after }
	if after := facts(t, dst)["."]; attributes(after) != attributes(before) {
		t.Errorf("the directory it went to is now %s, was %s", after, before)
	}
}

func TestOwnersByName(t *testing.T) {
	needRoot(t)
	file := func(name string, n catalog.Node) *catalog.Row {
		n.Name, n.Type, n.Mode = name, catalog.File, 0o4755
		return &catalog.Row{Node: n}
	}
	tree := buildTree(t,
		file("known", catalog.Node{UID: 1, GID: 2, Owner: "nobody", Group: "nogroup"}),
		file("nameless", catalog.Node{UID: 3, GID: 4}),
		file("nobody's", catalog.Node{UID: 1<<32 - 1, GID: 4}),
		file("unknown", catalog.Node{UID: 5, GID: 6, Owner: "no such user", Group: "no such group"}))
	for _, owners := range []restore.Owners{restore.OwnersByNumber, restore.OwnersByName} {
		dst := target(t)
		res := run(t, restore.Config{Chunks: noChunks, Owners: owners}, tree, "", dst)
		want := map[string]string{"known": "1:2 4755", "nameless": "3:4 4755", "nobody's": "0:0 755", "unknown": "5:6 4755"}
		if owners == restore.OwnersByName {
			want["known"] = "65534:65534 4755"
		}
		for name, want := range want {
			info, err := os.Lstat(filepath.Join(dst, name))
			must(t, err)
			st := info.Sys().(*syscall.Stat_t)
			if got := fmt.Sprintf("%d:%d %o", st.Uid, st.Gid, st.Mode&0o7777); got != want {
				t.Errorf("owners %d: %s is %s, want %s", owners, name, got, want)
			}
		}
		if len(res.Losses) != 2 || res.Losses[0].Aspect != restore.Owner || res.Losses[1].Aspect != restore.SetID {
			t.Errorf("owners %d: losses = %+v", owners, res.Losses)
		}
		if again := run(t, restore.Config{Chunks: noChunks, Owners: owners}, tree, "", dst); again.Skipped != 4 {
			t.Errorf("owners %d: a second restore found work: %+v", owners, again)
		}
	}
}

// TestDeep has paths that no system call takes, wide directories on the way
// down, and entries that come after them on the way up.
func TestDeep(t *testing.T) {
	src := t.TempDir()
	const depth = 600
	name := "m" + strings.Repeat("d", 19) // path of 12,000 bytes
	fd, err := unix.Open(src, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	must(t, err)
	for i := range depth {
		for _, other := range []string{"a", "z"} {
			file, err := unix.Openat(fd, other, unix.O_CREAT|unix.O_WRONLY, 0o600)
			must(t, err)
			_, err = unix.Write(file, fmt.Append(nil, i))
			must(t, errors.Join(err, unix.Close(file)))
		}
		must(t, unix.Mkdirat(fd, name, 0o700))
		next, err := unix.Openat(fd, name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
		must(t, errors.Join(err, unix.Close(fd)))
		fd = next
	}
	must(t, unix.Close(fd))
	r := newRepository(t, store.NewMem())
	tree, chunks := r.open(r.capture(src))
	dst := target(t)
	res := run(t, restore.Config{Chunks: chunks}, tree, "", dst)
	if res.Files != 2*depth || res.Dirs != depth+1 {
		t.Errorf("result = %+v", res)
	}
	again, _ := r.open(r.capture(dst))
	compareTrees(t, tree, again)
}
