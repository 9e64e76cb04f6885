package main

import (
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// What may be wrong with a mount before it is there, and who may mount. What
// concerns /dev/fuse happens in mount namespaces of their own: nothing of the
// machine's own /dev is touched.

func TestMountPointIsWrong(t *testing.T) {
	needFUSE(t)
	s := newSite(t)
	s.ok(t, "capture", "app="+s.sourceOf(t, "file", "text"))
	full := s.dir + "/source"
	for _, tt := range []struct {
		dir  string
		said []string
	}{
		{s.dir + "/missing place", []string{"there is no such directory", "try: mkdir -p '" + s.dir + "/missing place'"}},
		{full, []string{full, "it is not empty, and a mount would hide what is in it", "try: choose an empty directory"}},
		{full + "/file", []string{"it is not a directory", "try: choose an empty directory"}},
	} {
		s.refused(t, exitFailed, tt.said, "mount", tt.dir)
		if isMountPoint(full) {
			t.Fatalf("%s is a mount point now", full)
		}
	}
	s.refused(t, exitUsage, []string{"mount: it needs DIR"}, "mount")
	s.refused(t, exitFailed, []string{full + " is not a mount of Tidemark"}, "unmount", full)
	if got := command(t, "cat", full+"/file"); got != "text" {
		t.Errorf("the file in the way is %q", got)
	}

	m := s.mount(t)
	s.refused(t, exitFailed, []string{"it is mounted already", "try: tidemark unmount '" + m.dir + "'"}, "mount", m.dir)
	silent(t, "diff", "-r", full, m.root(t, "latest/app"))
}

// TestUnmount: a mount ends by unmount, also from under who is in it, and the
// process that served it ends too.
func TestUnmount(t *testing.T) {
	needFUSE(t)
	s := newSite(t)
	s.ok(t, "capture", "app="+s.sourceOf(t, "file", "text"))
	m := s.mount(t)
	held, err := os.Open(m.dir + "/latest/app/file")
	must(t, err)
	defer held.Close()
	s.refused(t, exitFailed, []string{"is in use", "try: fuser -vm"}, "unmount", m.dir)
	command(t, "cat", m.dir+"/latest/app/file")
	must(t, held.Close())
	s.ok(t, "unmount", m.dir)
	m.ended(t)
	s.refused(t, exitFailed, []string{"is not a mount of Tidemark"}, "unmount", m.dir)

	again := s.mount(t)
	held, err = os.Open(again.dir + "/latest/app/file")
	must(t, err)
	s.ok(t, "unmount", "--lazy", again.dir)
	if isMountPoint(again.dir) {
		t.Error("it is still mounted")
	}
	b := make([]byte, 10)
	if n, err := held.Read(b); string(b[:n]) != "text" {
		t.Errorf("who had a file open reads %q, %v", b[:n], err)
	}
	must(t, held.Close())
	again.ended(t)
}

// TestDeadMount: what a killed mount leaves behind reads as an error, never as
// an empty directory, and can be taken away.
func TestDeadMount(t *testing.T) {
	needFUSE(t)
	s := newSite(t)
	s.ok(t, "capture", "app="+s.sourceOf(t, "file", "text"))
	m := s.mount(t)
	must(t, m.cmd.Process.Kill())
	m.once.Do(func() { // it cannot end in good order
		m.read.Wait()
		_ = m.cmd.Wait()
	})
	t.Cleanup(func() { _ = unix.Unmount(m.dir, unix.MNT_DETACH) })
	if names, err := os.ReadDir(m.dir); err == nil {
		t.Errorf("without its process the mount has %v", names)
	}
	s.refused(t, exitFailed, []string{"a mount whose program has ended is still there", "try: "}, "mount", m.dir)
	s.ok(t, "unmount", m.dir)
	if isMountPoint(m.dir) {
		t.Error("it is still mounted")
	}
	again := s.mount(t)
	if got := command(t, "cat", again.dir+"/latest/app/file"); got != "text" {
		t.Errorf("the file is %q", got)
	}
}

// nobody is an ordinary user that every machine has.
const nobody = 65534

// aside returns the site with commands that run in a mount namespace of their
// own, which a shell script has prepared, as root or as nobody. The script has
// an empty directory as "$dir".
func (s *site) aside(t *testing.T, user int, script string) *site {
	t.Helper()
	needRoot(t, "a mount namespace")
	needPrograms(t, "unshare", "setpriv", "nsenter")
	dir := t.TempDir()
	wrap := []string{"unshare", "--mount", "--propagation", "private", "bash", "-euc", "dir=$0; " + script + "; exec \"$@\"", dir}
	return s.through(append(wrap, asUser(user)...)...)
}

// asUser returns what runs a command as a user.
func asUser(user int) []string {
	if user == 0 {
		return nil
	}
	return []string{"setpriv", fmt.Sprintf("--reuid=%d", user), fmt.Sprintf("--regid=%d", user), "--clear-groups"}
}

// scripts for aside.
const (
	noDevice = `mount -t tmpfs tidemark-test "$dir"; mknod -m 0666 "$dir/null" c 1 3; mount --bind "$dir" /dev`
	// device has the permissions $mode.
	device = `mount -t tmpfs tidemark-test "$dir"; mknod -m $mode "$dir/fuse" c 10 229; mount --bind "$dir/fuse" /dev/fuse`
	toRoot = `mode=0600; ` + device
	toAll  = `mode=0666; ` + device
)

// belongTo gives all of the site to a user.
func (s *site) belongTo(t *testing.T, user int) {
	t.Helper()
	command(t, "chown", "-R", fmt.Sprintf("%d:%d", user, user), s.dir)
}

func TestDeviceIsWrong(t *testing.T) {
	needFUSE(t)
	needRoot(t, "hiding /dev/fuse")
	s := newSite(t)
	s.ok(t, "capture", "app="+s.sourceOf(t, "file", "text"))
	dir := s.dir + "/mount"
	must(t, os.Mkdir(dir, 0o755))
	s.aside(t, 0, noDevice).refused(t, exitFailed, []string{"there is no /dev/fuse", "try: modprobe fuse; a container needs --device /dev/fuse"}, "mount", dir)

	s.belongTo(t, nobody)
	s.aside(t, nobody, toRoot).refused(t, exitFailed, []string{"/dev/fuse is not open to this user", "try: as root: chmod 0666 /dev/fuse"}, "mount", dir)

	// A PATH without fusermount3.
	alone := s.aside(t, nobody, toAll)
	alone.wrap = append(alone.wrap, "env", "PATH=/nowhere")
	alone.refused(t, exitFailed, []string{"only root can mount without fusermount3", "try: apt-get install fuse3"}, "mount", dir)

	if isMountPoint(dir) {
		t.Errorf("%s is a mount point", dir)
	}
	if got := s.ok(t, "cat", "latest/app/file"); got != "text" {
		t.Errorf("without a mount the file is %q", got)
	}
}

// TestOrdinaryUser: who is not root inits, captures, mounts by fusermount3,
// restores and unmounts.
func TestOrdinaryUser(t *testing.T) {
	needFUSE(t)
	needRoot(t, "being another user")
	needPrograms(t, "fusermount3", "diff")
	s := newEmptySite(t)
	recipient := s.newIdentity(t, "identity")
	source := s.sourceOf(t, "directory/file", "text")
	s.belongTo(t, nobody)
	user := s.aside(t, nobody, toAll)
	user.ok(t, "init", "--to", recipient)
	user.ok(t, "capture", "app="+source)

	dir := s.dir + "/mount"
	must(t, os.Mkdir(dir, 0o700))
	must(t, os.Chown(dir, nobody, nobody))
	m := user.mountAt(t, dir)
	silent(t, m.inside(nobody, "diff", "-r", source, dir+"/latest/app/")...)
	if out, err := english(t, m.inside(0, "ls", dir)...).CombinedOutput(); err == nil {
		t.Errorf("without --allow-other root sees %q", out) // as it is with FUSE, even root
	}
	within := user.through(m.inside(nobody)...)
	if got := within.ok(t, "ls", dir+"/latest"); got != "app\n" {
		t.Errorf("latest/ has %q", got)
	}
	within.ok(t, "unmount", dir)
	m.ended(t)

	target := s.dir + "/restored"
	user.ok(t, "restore", "latest/app", target)
	silent(t, "diff", "-r", source, target)
	var st unix.Stat_t
	must(t, unix.Stat(target+"/directory/file", &st))
	if st.Uid != nobody {
		t.Errorf("what is restored belongs to %d", st.Uid)
	}
}
