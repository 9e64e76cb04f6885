package store_test

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tidemark/store"
)

// TestDirFull fills a disk of 1 MiB. The error says so and nothing is left.
func TestDirFull(t *testing.T) {
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			dir := mountTmpfs(t, "size=1m")
			d := openDir(t, dir)
			way.adapt(d)
			body := strings.NewReader(strings.Repeat("x", 4<<20))
			err := d.Put(t.Context(), "packs/h/1", body, body.Size())
			if !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), "the disk that holds the repository is full") {
				t.Errorf("Put = %v; want that the disk is full", err)
			}
			wantFiles(t, dir)
			if err := d.Put(t.Context(), "packs/h/1", body, 512<<10); err != nil {
				t.Errorf("Put of what fits: %v", err)
			}
			wantFiles(t, dir, "packs/h/1")
		})
	}
}

// TestDirOutOfNames fills a disk in the middle of the directories of a key.
func TestDirOutOfNames(t *testing.T) {
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			dir := mountTmpfs(t, "size=1m,nr_inodes=5")
			d := openDir(t, dir)
			way.adapt(d)
			if err := d.Put(t.Context(), "a/b/c/d/e/f", strings.NewReader("x"), 1); !errors.Is(err, unix.ENOSPC) {
				t.Errorf("Put = %v; want that the disk is full", err)
			}
			wantEmpty(t, dir)
		})
	}
}

// wantFiles checks which files there are below dir, whatever their names.
func wantFiles(t *testing.T, dir string, want ...string) {
	t.Helper()
	var got []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			rel, _ := filepath.Rel(dir, path)
			got = append(got, rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s holds %q; want %q", dir, got, want)
	}
}

// wantEmpty checks that there is nothing in dir, not even a directory.
func wantEmpty(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) > 0 {
		t.Errorf("%s holds %v, %v; want nothing", dir, entries, err)
	}
}

func TestDirLeavesNoDirectories(t *testing.T) {
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			dir := t.TempDir()
			d := openDir(t, dir)
			way.adapt(d)
			if err := d.Put(t.Context(), "a/b/c", strings.NewReader(""), 1); err == nil {
				t.Error("Put of an empty body succeeded")
			}
			wantEmpty(t, dir)
			if err := d.Put(t.Context(), "a/b/c", strings.NewReader("x"), 1); err != nil {
				t.Fatal(err)
			}
			if err := d.Delete(t.Context(), "a/b/c"); err != nil {
				t.Fatal(err)
			}
			wantEmpty(t, dir)
		})
	}
}

// TestDirKilled kills a process in the middle of a Put.
func TestDirKilled(t *testing.T) {
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			dir := t.TempDir()
			killInPut(t, dir, way.name)
			d := openDir(t, dir)
			way.adapt(d)
			if err := d.List(t.Context(), "", "", func(info store.Info) error {
				t.Errorf("List shows %s", info.Key)
				return nil
			}); err != nil {
				t.Error(err)
			}
			if way.name == "nameless" {
				wantEmpty(t, dir)
				return
			}
			left, err := filepath.Glob(filepath.Join(dir, store.TempPrefix+"*"))
			if err != nil || len(left) != 1 {
				t.Fatalf("temporary files: %q, %v; want one", left, err)
			}
			// The next Put spares it, since it might be another process's.
			if err := d.Put(t.Context(), "a/1", strings.NewReader("x"), 1); err != nil {
				t.Fatal(err)
			}
			wantFiles(t, dir, filepath.Base(left[0]), "a/1")
			old := time.Now().Add(-25 * time.Hour)
			if err := os.Chtimes(left[0], old, old); err != nil {
				t.Fatal(err)
			}
			if err := d.Put(t.Context(), "a/2", strings.NewReader("x"), 1); err != nil {
				t.Fatal(err)
			}
			wantFiles(t, dir, "a/1", "a/2")
		})
	}
}

// killInPut runs TestPutForever in a process of its own, and kills it when the
// half of the body is written.
func killInPut(t *testing.T, dir, way string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestPutForever$")
	cmd.Env = append(os.Environ(), "STORE_TEST_PUT="+dir, "STORE_TEST_WAY="+way)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line != "halfway\n" {
		t.Errorf("the process said %q, %v; want halfway", line, err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	cmd.Wait() // its error is that it was killed
}

// TestPutForever is the process that killInPut kills, not a test.
func TestPutForever(t *testing.T) {
	dir := os.Getenv("STORE_TEST_PUT")
	if dir == "" {
		return
	}
	d := openDir(t, dir)
	for _, way := range ways {
		if way.name == os.Getenv("STORE_TEST_WAY") {
			way.adapt(d)
		}
	}
	d.Put(t.Context(), "dir/key", halfway{}, 8<<20)
}

// halfway is a body that says when half of 8 MiB has been read, and never
// gives the rest.
type halfway struct{}

func (halfway) ReadAt(p []byte, off int64) (int, error) {
	if off >= 4<<20 {
		fmt.Println("halfway")
		select {}
	}
	return len(p), nil
}
