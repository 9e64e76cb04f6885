package main

import (
	"strings"
	"testing"
)

// TestEverythingComesBack captures a directory with all that a filesystem can
// hold, and looks whether it is the same through the mount and when restored.
func TestEverythingComesBack(t *testing.T) {
	needRoot(t, "making devices, owners and trusted attributes")
	needFUSE(t)
	needPrograms(t, "rsync", "diff", "setfacl", "du")
	s := newSite(t)
	source := s.dir + "/source"
	growTree(t, source)
	s.ok(t, "capture", "app="+source)

	m := s.mount(t)
	point := m.root(t, "latest/app")
	wantSameTree(t, source, point)
	sameByRsync(t, source, point)
	sameByDiff(t, source, point)

	restored := s.dir + "/restored"
	s.ok(t, "restore", "latest/app", restored)
	wantSameTree(t, source, restored)
	sameByRsync(t, source, restored)
	sameByDiff(t, source, restored)
	sameByDu(t, source, restored)

	rescued := s.rescue(t)
	wantSameTree(t, source, rescued)
	sameByRsync(t, source, rescued)
	sameByDu(t, source, rescued)
}

// TestGoTreeComesBack does the same with a tree as they are, of 15,000 files.
func TestGoTreeComesBack(t *testing.T) {
	needRoot(t, "restoring the owners of Go's own tree")
	needFUSE(t)
	needPrograms(t, "rsync", "diff", "du")
	source := strings.TrimSpace(command(t, "go", "env", "GOROOT"))
	s := newSite(t)
	s.ok(t, "capture", "go="+source)

	m := s.mount(t)
	point := m.root(t, "latest/go")
	sameByRsync(t, source, point)
	sameByDiff(t, source, point)

	restored := s.dir + "/restored"
	s.ok(t, "restore", "latest/go", restored)
	sameByRsync(t, source, restored)
	sameByDu(t, source, restored)
	sameByRsync(t, source, s.rescue(t))
}

// rescue restores the one point of the repository by the rescue program, which
// has nothing of this program, and returns the directory.
func (s *site) rescue(t *testing.T) string {
	t.Helper()
	needPrograms(t, "age")
	rescue := []string{"/usr/bin/python3", "../../docs/rescue.py", s.repo, s.identity} // Debian's, which has the modules
	name, _, _ := strings.Cut(command(t, append(rescue, "list")...), " ")
	target := s.dir + "/rescued"
	silent(t, append(rescue, "restore", name, target)...)
	return target
}

// sameByRsync fails the test unless rsync, which looks at all it knows of and
// reads every file, would change nothing.
func sameByRsync(t *testing.T, want, got string) {
	t.Helper()
	// The file of a terabyte is a hole: to read it takes an hour.
	silent(t, "rsync", "-aniHAX", "--checksum", "--delete", "--exclude=/holes/a terabyte", want+"/", got+"/")
}

func sameByDiff(t *testing.T, want, got string) {
	t.Helper()
	// Symlinks are compared and not followed, for some lead nowhere.
	silent(t, "diff", "-r", "--no-dereference", "--exclude="+specials, "--exclude=a terabyte", want, got)
}

// sameByDu fails the test unless the files of two directories take the same
// space on their disk. What the names take is left out: that follows from the
// order in which they came.
func sameByDu(t *testing.T, want, got string) {
	t.Helper()
	space := func(dir string) string {
		list := "find \"$0\" ! -type d -print0 | du -c --block-size=1 --files0-from=- | tail -n 1"
		return command(t, "bash", "-c", list, dir)
	}
	if w, g := space(want), space(got); w != g || !strings.HasSuffix(w, "total\n") {
		t.Errorf("%s takes %s%s takes %s", got, g, want, w)
	}
}
