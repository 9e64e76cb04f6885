package restore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"tidemark/catalog"
	"tidemark/chunk"
	"tidemark/pack"
	"tidemark/restore"
	"tidemark/store"
)

// TestLargeXattrs has attributes whose values are chunks. (ext4 does not take
// them; tmpfs does.)
func TestLargeXattrs(t *testing.T) {
	needRoot(t)
	disk := filepath.Join(t.TempDir(), "disk")
	mount(t, disk, "")
	src, dst := filepath.Join(disk, "source"), filepath.Join(disk, "target")
	write(t, filepath.Join(src, "d/file"), []byte("x"))
	if err := unix.Setxattr(filepath.Join(src, "d/file"), "user.large", random(60<<10), 0); err != nil {
		t.Skipf("SKIPPED: tmpfs of this kernel has no user attributes: %v", err)
	}
	must(t, unix.Setxattr(filepath.Join(src, "d"), "user.large", random(5<<10), 0))
	r := newRepository(t, store.NewMem())
	tree, chunks := r.open(r.capture(src))

	faulty := chunksFunc(func(context.Context, chunk.ID, pack.Place) (restore.Piece, error) { return nil, errDamaged })
	res, err := restore.Run(t.Context(), restore.Config{Chunks: faulty}, tree, "", dst)
	if !errors.Is(err, restore.ErrIncomplete) || res.Failed != 2 {
		t.Errorf("with damaged attributes: %v, %d failed", err, res.Failed)
	}
	if _, err := os.Lstat(filepath.Join(dst, "d/file")); !os.IsNotExist(err) {
		t.Errorf("a file without its attribute is there: %v", err)
	}
	run(t, restore.Config{Chunks: chunks}, tree, "", dst)
	compare(t, src, dst)
}

// TestWithoutACLs restores to a filesystem without ACLs and user attributes:
// that is said, and nobody may more than before.
func TestWithoutACLs(t *testing.T) {
	needRoot(t)
	src := t.TempDir()
	write(t, filepath.Join(src, "file"), []byte("x"))
	must(t, unix.Setxattr(filepath.Join(src, "file"), "system.posix_acl_access", testACL(), 0))
	must(t, unix.Setxattr(filepath.Join(src, "file"), "user.x", []byte("x"), 0))
	r := newRepository(t, store.NewMem())
	tree, chunks := r.open(r.capture(src))
	disk := t.TempDir()
	must(t, unix.Mount("ramfs", disk, "ramfs", 0, ""))
	unmount(t, disk)
	dst := filepath.Join(disk, "target")
	cfg := restore.Config{Chunks: chunks}
	res := run(t, cfg, tree, "", dst)
	var aspects []restore.Aspect
	for _, l := range res.Losses {
		aspects = append(aspects, l.Aspect)
	}
	if want := []restore.Aspect{restore.ACL, restore.UserXattrs}; !slices.Equal(aspects, want) {
		t.Errorf("lost %v, want %v", aspects, want)
	}
	info, err := os.Lstat(filepath.Join(dst, "file"))
	must(t, err)
	if got := info.Mode(); got != 0o640 { // the mask gave 0670
		t.Errorf("mode %o, want 640", got)
	}
	if again := run(t, cfg, tree, "", dst); again.Skipped != 1 {
		t.Errorf("a second restore found work: %+v", again)
	}
}

// TestCoarseTimes restores to a filesystem that has not room for all times.
func TestCoarseTimes(t *testing.T) {
	needRoot(t)
	file := func(name string, mtime catalog.Time) *catalog.Row {
		return &catalog.Row{Node: catalog.Node{Name: name, Type: catalog.File, Mode: 0o600, Mtime: mtime}}
	}
	tree := buildTree(t, file("2400", catalog.Time{Sec: 13_569_465_600, Nsec: 5}), file("fine", catalog.Time{Sec: 1e9}), file("nano", catalog.Time{Sec: 1e9, Nsec: 1}))
	dst := filepath.Join(loopMount(t, "-I", "128"), "target")
	cfg := restore.Config{Chunks: noChunks}
	res := run(t, cfg, tree, "", dst)
	if len(res.Losses) != 1 || res.Losses[0].Aspect != restore.ModTime || res.Losses[0].Count != 2 {
		t.Errorf("losses = %+v, want two times", res.Losses)
	}
	if again := run(t, cfg, tree, "", dst); again.Skipped != 3 {
		t.Errorf("a second restore found work: %+v", again)
	}
}

// TestWithoutProjects restores a file with a project id and inode flags to a
// filesystem that has only those.
func TestWithoutProjects(t *testing.T) {
	needRoot(t)
	const nodump = 0x80
	tree := buildTree(t, &catalog.Row{Node: catalog.Node{Name: "file", Type: catalog.File, Mode: 0o600, Xflags: nodump, Project: 42}})
	dst := filepath.Join(loopMount(t), "target")
	res := run(t, restore.Config{Chunks: noChunks}, tree, "", dst)
	if len(res.Losses) != 1 || res.Losses[0].Aspect != restore.InodeFlags || res.Losses[0].Count != 1 {
		t.Errorf("losses = %+v, want the project", res.Losses)
	}
	if got := flagsOf(t, filepath.Join(dst, "file")); got != "0x80040" { // FS_EXTENT_FL, FS_NODUMP_FL
		t.Errorf("flags = %s", got)
	}
}

// bytesPiece is a Piece of a slice.
type bytesPiece []byte

func (p bytesPiece) Bytes() []byte { return p }
func (p bytesPiece) Release()      {}

// TestHoleHints restores a file with hints of holes that are wrong, being
// hints: its bytes are right all the same.
func TestHoleHints(t *testing.T) {
	content := append(random(100<<10), make([]byte, 28<<10)...)
	place := pack.Place{Block: pack.Block{Host: "web", Sealed: 1<<20 + 16, Plain: 1 << 20}, Len: 128 << 10}
	row := func(name string, alloc catalog.Alloc, holes ...catalog.Range) *catalog.Row {
		return &catalog.Row{
			Node: catalog.Node{Name: name, Type: catalog.File, Mode: 0o600, Size: 256 << 10, Extents: []catalog.Extent{
				{Len: 128 << 10, ID: chunk.ID{1}, Place: place}, {Zero: true, Len: 128 << 10},
			}},
			Hints: catalog.Hints{Alloc: alloc, Holes: holes},
		}
	}
	all := catalog.Range{Len: 256 << 10}
	tree := buildTree(t,
		row("a list that lies", catalog.HolesListed, all),
		row("odd", catalog.HolesListed, catalog.Range{Off: 1, Len: 5000}, catalog.Range{Off: 110<<10 + 1, Len: 30 << 10}, catalog.Range{Off: 200 << 10, Len: 1}),
		row("unknown", catalog.HolesUnknown),
		row("zeros", catalog.HolesZero))
	chunks := chunksFunc(func(context.Context, chunk.ID, pack.Place) (restore.Piece, error) { return bytesPiece(content), nil })
	dst := target(t)
	run(t, restore.Config{Chunks: chunks}, tree, "", dst)
	want := append(slices.Clone(content), make([]byte, 128<<10)...)
	for name, blocks := range map[string]int64{"a list that lies": 128 << 1, "odd": 0, "unknown": 256 << 1, "zeros": 128 << 1} {
		got, err := os.ReadFile(filepath.Join(dst, name))
		must(t, err)
		if !bytes.Equal(got, want) {
			t.Errorf("%s: the content is wrong", name)
		}
		var st unix.Stat_t
		must(t, unix.Stat(filepath.Join(dst, name), &st))
		if blocks > 0 && st.Blocks > blocks+8 || name == "unknown" && st.Blocks < blocks {
			t.Errorf("%s: takes %d blocks, want %d", name, st.Blocks, blocks)
		}
	}

	long := chunksFunc(func(context.Context, chunk.ID, pack.Place) (restore.Piece, error) {
		return bytesPiece(content[1:]), nil
	})
	if _, err := restore.Run(t.Context(), restore.Config{Chunks: long}, tree, "unknown", target(t)); !errors.Is(err, pack.ErrDamaged) {
		t.Errorf("a chunk that is too short: %v", err)
	}
}

// TestManyFailures has more failures than a Result lists.
func TestManyFailures(t *testing.T) {
	var rows []*catalog.Row
	for i := range restore.MaxFailures + 100 {
		rows = append(rows, &catalog.Row{Node: catalog.Node{
			Name: fmt.Sprintf("%05d", i), Type: catalog.File, Unreadable: "permission denied",
		}})
	}
	var told notices
	res, err := restore.Run(t.Context(), restore.Config{Chunks: noChunks, Notice: told.add}, buildTree(t, rows...), "", target(t))
	if !errors.Is(err, restore.ErrIncomplete) || res.Failed != restore.MaxFailures+100 || len(res.Failures) != restore.MaxFailures {
		t.Errorf("%v, %d failed, %d listed", err, res.Failed, len(res.Failures))
	}
	if got := len(told.paths()); got != restore.MaxFailures+100 {
		t.Errorf("told of %d, want all", got)
	}
}
