package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A disk is a small filesystem, mounted for a test.
type disk struct {
	dir  string
	grow func() // makes room
}

// mountDisk mounts a filesystem at a new directory, by mount(8).
func mountDisk(t *testing.T, args ...string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	command(t, append(append([]string{"mount"}, args...), dir)...)
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
			_ = unix.Unmount(dir, unix.MNT_DETACH)
		}
	})
	return dir
}

// smallTmpfs returns a filesystem in memory of some megabytes.
func smallTmpfs(t *testing.T) disk {
	t.Helper()
	dir := mountDisk(t, "-t", "tmpfs", "-o", "size=4m", "tidemark-test")
	return disk{dir, func() { command(t, "mount", "-o", "remount,size=64m", dir) }}
}

// smallExt4 returns an ext4 of 32 MiB that is nearly full.
func smallExt4(t *testing.T) disk {
	t.Helper()
	needPrograms(t, "mkfs.ext4")
	image := filepath.Join(t.TempDir(), "image")
	writeFile(t, image, "")
	must(t, os.Truncate(image, 32<<20))
	command(t, "mkfs.ext4", "-q", "-m", "0", image)
	dir := mountDisk(t, "-o", "loop", image)
	ballast, err := os.Create(dir + "/ballast")
	must(t, err)
	defer ballast.Close()
	var st unix.Statfs_t
	must(t, unix.Statfs(dir, &st))
	must(t, unix.Fallocate(int(ballast.Fd()), 0, 0, int64(st.Bavail)*st.Bsize-4<<20))
	return disk{dir, func() { must(t, os.Remove(dir+"/ballast")) }}
}

// TestFullRepository fills the repository's disk up in a capture. What was there
// stays, nothing half shows, and with more room the capture goes through.
func TestFullRepository(t *testing.T) {
	needRoot(t, "mounting a small filesystem")
	for _, tt := range []struct {
		name string
		make func(*testing.T) disk
	}{{"tmpfs", smallTmpfs}, {"ext4", smallExt4}} {
		t.Run(tt.name, func(t *testing.T) {
			disk := tt.make(t)
			s := newEmptySite(t)
			s.repo = disk.dir + "/repository"
			s.ok(t, "init", "--to", s.newIdentity(t, "identity"))
			source := s.sourceOf(t, "file", "before")
			s.ok(t, "capture", "--time", "2026-01-01", "app="+source)
			first := s.ok(t, "points")

			large := noise(1, 8<<20)
			s.sourceOf(t, "file", "after")
			s.sourceOf(t, "large", large)
			for range 2 { // the second finds the disk full to begin with
				s.refused(t, exitFailed, []string{"the disk that holds the repository is full", s.repo, "no space left", "try: make room"}, "capture", "app="+source)
				if got := s.ok(t, "points"); got != first {
					t.Errorf("after a capture that failed the points are\n%sand were\n%s", got, first)
				}
				if got := s.ok(t, "cat", "latest/app/file"); got != "before" {
					t.Errorf("after a capture that failed the file is %q", got)
				}
			}

			disk.grow()
			s.ok(t, "capture", "app="+source)
			if got := s.ok(t, "cat", "latest/app/file", "latest/app/large"); got != "after"+large {
				t.Errorf("with more room, the files have %d bytes that differ", len(got))
			}
			if got := s.ok(t, "cat", "daily/2026-01-01/app/file"); got != "before" {
				t.Errorf("of the point before the disk was full the file is %q", got)
			}
		})
	}
}

// TestFullState fills up the disk of what a machine remembers: another disk,
// and said to be so. It may be lost, and so the points are no worse.
func TestFullState(t *testing.T) {
	needRoot(t, "mounting a small filesystem")
	disk := mountDisk(t, "-t", "tmpfs", "-o", "size=32k", "tidemark-test")
	s := newSite(t)
	var source string
	for i := range 2000 {
		source = s.sourceOf(t, strconv.Itoa(i), noise(i, 600))
	}
	s.ok(t, "capture", "app="+source)
	before := s.ok(t, "points")
	must(t, os.RemoveAll(s.dir+"/state-box")) // the index has to come from the repository
	tight := s.with()
	tight.host = "tight"
	writeFile(t, s.dir+"/tight.yaml", "host: box\ntime-zone: UTC\nstate-dir: "+disk+"\n")
	tight.refused(t, exitFailed, []string{disk, "no space left", "try: make room"}, "capture", "app="+source)
	if got := s.ok(t, "points"); got != before {
		t.Errorf("after a capture that failed the points are\n%sand were\n%s", got, before)
	}
	command(t, "mount", "-o", "remount,size=64m", disk)
	tight.ok(t, "capture", "app="+source)
	s.ok(t, "restore", "latest/app", s.dir+"/restored")
	silent(t, "diff", "-r", source, s.dir+"/restored")
}

// TestFullTarget fills the disk up in a restore, which goes on where it was
// when there is room.
func TestFullTarget(t *testing.T) {
	needRoot(t, "mounting a small filesystem")
	disk := smallTmpfs(t)
	s := newSite(t)
	var source string
	for i := range 100 {
		source = s.sourceOf(t, strconv.Itoa(i), noise(i, 80_000))
	}
	s.ok(t, "capture", "app="+source)
	target := disk.dir + "/target"
	s.refused(t, exitFailed, []string{target, "no space left", "make room and restore again"}, "restore", "latest/app", target)
	disk.grow()
	got := s.run(t, "restore", "latest/app", target)
	if got.code != exitOK || strings.Contains(got.err, " 0 were there already") {
		t.Errorf("with more room: exit code %d\n%s", got.code, got.err)
	}
	silent(t, "diff", "-r", source, target)
}
