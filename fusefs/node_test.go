package fusefs_test

import (
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tidemark/catalog"
	"tidemark/fusefs"
	"tidemark/pack"
)

func TestTimes(t *testing.T) {
	r := newRepo(t)
	times := map[string]catalog.Time{
		"a before 1970":   {Sec: -1, Nsec: 999_999_999},
		"b before 1901":   {Sec: math.MinInt32 - 1, Nsec: 1},
		"c after 2038":    {Sec: math.MaxInt32 + 1},
		"d after 2106":    {Sec: math.MaxUint32 + 1, Nsec: 123456789},
		"e in the year 1": {Sec: -62135596800},
		"f far away":      {Sec: 1 << 45, Nsec: 5},
	}
	var entries []*entry
	for _, name := range sorted(times) {
		e := fileEntry(name, nil)
		e.Mtime, e.Ctime, e.Btime, e.HasBtime = times[name], catalog.Time{Sec: times[name].Sec, Nsec: 77}, catalog.Time{Sec: times[name].Sec, Nsec: 99}, true
		entries = append(entries, e)
	}
	entries = append(entries, fileEntry("g without", nil))
	dir := serve(t, fusefs.Config{}, oneWorld(r.tree(dirEntry("", entries...))), r) + "/" + onlyPoint
	for name, at := range times {
		var st unix.Statx_t
		if err := unix.Statx(unix.AT_FDCWD, dir+"/"+name, 0, unix.STATX_BASIC_STATS|unix.STATX_BTIME, &st); err != nil {
			t.Fatal(err)
		}
		if st.Mtime.Sec != at.Sec || st.Mtime.Nsec != at.Nsec || st.Ctime.Sec != at.Sec || st.Ctime.Nsec != 77 || st.Btime.Sec != at.Sec || st.Btime.Nsec != 99 {
			t.Errorf("%s: %v, %v, %v; want %v", name, st.Mtime, st.Ctime, st.Btime, at)
		}
	}
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, dir+"/g without", 0, unix.STATX_BTIME, &st); err != nil || st.Mask&unix.STATX_BTIME != 0 {
		t.Errorf("a birth time that is not known: %v, mask %#x", err, st.Mask)
	}
}

func TestXattrs(t *testing.T) {
	r := newRepo(t)
	large := pattern(60_000)
	id := r.keys.ChunkID(large)
	at, err := r.put(pack.DataPack, id, large)
	if err != nil {
		t.Fatal(err)
	}
	with := fileEntry("with", []byte("x"))
	with.Xattrs = []catalog.Xattr{
		{Name: "trusted.t", Value: []byte("root's")},
		{Name: "user.empty"},
		{Name: "user.large", ID: id, Len: uint32(len(large)), Place: at},
		{Name: "user.small", Value: []byte("small")},
	}
	dir := t.TempDir()
	run(t, dir, "chmod 755 $m")
	letIn(t, dir)
	serveAt(t, dir, fusefs.Config{AllowOther: true}, oneWorld(r.tree(dirEntry("", with, fileEntry("without", nil)))), r)
	file, without := dir+"/"+onlyPoint+"/with", dir+"/"+onlyPoint+"/without"

	for name, want := range map[string]string{"user.empty": "", "user.large": string(large), "user.small": "small", "trusted.t": "root's"} {
		size, err := unix.Getxattr(file, name, nil)
		if err != nil || size != len(want) {
			t.Errorf("%s has %d bytes, %v; want %d", name, size, err, len(want))
		}
		b := make([]byte, 64<<10)
		n, err := unix.Getxattr(file, name, b)
		if err != nil || string(b[:max(n, 0)]) != want {
			t.Errorf("%s: %v, or other bytes", name, err)
		}
		if len(want) > 1 {
			_, err := unix.Getxattr(file, name, b[:len(want)-1])
			wantErrno(t, name+" with too small a buffer", err, unix.ERANGE)
		}
	}
	list := make([]byte, 1000)
	n, err := unix.Listxattr(file, list)
	if got := strings.ReplaceAll(string(list[:max(n, 0)]), "\x00", " "); err != nil || got != "trusted.t user.empty user.large user.small " {
		t.Errorf("they are %q, %v", got, err)
	}
	_, err = unix.Listxattr(file, list[:3])
	wantErrno(t, "listing with too small a buffer", err, unix.ERANGE)
	if n, err := unix.Listxattr(without, nil); n != 0 || err != nil {
		t.Errorf("a file without: %d bytes of names, %v", n, err)
	}
	for _, name := range []string{"user.none", "security.selinux", "security.capability", "system.posix_acl_access"} {
		_, err := unix.Getxattr(without, name, list)
		wantErrno(t, name, err, unix.ENODATA)
	}
	// Again: none of these answers turned xattrs off for the whole mount.
	if n, err := unix.Getxattr(file, "user.small", list); n != 5 || err != nil {
		t.Errorf("afterwards: %d bytes, %v", n, err)
	}
	if got := run(t, dir, "setpriv --reuid=1234 --clear-groups getfattr -d -m - $m/"+onlyPoint+"/with"); strings.Contains(got, "trusted") || !strings.Contains(got, "user.small") {
		t.Errorf("an ordinary user sees\n%s", got)
	}
	_, err = unix.Getxattr(dir+"/daily", "user.x", list)
	wantErrno(t, "above the points", err, unix.ENODATA)
}

// TestOddNames looks up names that cannot be.
func TestOddNames(t *testing.T) {
	r := newRepo(t)
	dir := serve(t, fusefs.Config{}, oneWorld(fileTree(r, someFiles())), r)
	for _, below := range []string{"/", "/daily/", "/" + onlyPoint + "/"} {
		_, err := os.Lstat(dir + below + strings.Repeat("n", 256))
		wantErrno(t, "a name of 256 bytes", err, unix.ENAMETOOLONG)
		for range 2 { // the kernel keeps that it is not there
			if _, err := os.Lstat(dir + below + strings.Repeat("n", 255)); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("a name of 255 bytes: %v", err)
			}
		}
	}
	_, err := os.Lstat(dir + "/" + onlyPoint + "/byte/below")
	wantErrno(t, "a name in a file", err, unix.ENOTDIR)
	_, err = os.ReadDir(dir + "/" + onlyPoint + "/byte")
	wantErrno(t, "listing a file", err, unix.ENOTDIR)
}

// TestTooNew has a node that only a later version of the program understands:
// it is listed, and its neighbours are as good as ever.
func TestTooNew(t *testing.T) {
	r := newRepo(t)
	newer := fileEntry("b", []byte("b"))
	newer.Ext = []pack.Ext{{ID: 1}} // odd: whoever does not know it must refuse
	dir := serve(t, fusefs.Config{}, oneWorld(r.tree(dirEntry("", fileEntry("a", []byte("a")), newer, fileEntry("c", []byte("c"))))), r) + "/" + onlyPoint
	if got := strings.TrimSpace(run(t, dir, `ls $m | paste -sd' '`)); got != "a b c" {
		t.Errorf("it lists %q", got)
	}
	_, err := os.Lstat(dir + "/b")
	wantErrno(t, "stat of it", err, unix.EIO)
	if got := run(t, dir, `cat $m/a $m/c`); got != "ac" {
		t.Errorf("its neighbours are %q", got)
	}
}

func TestStatFS(t *testing.T) {
	r := newRepo(t)
	dir := serve(t, fusefs.Config{}, oneWorld(r.tree(dirEntry("", dirEntry("d"), fileEntry("f", pattern(10_000))))), r)
	var st unix.Statfs_t
	if err := unix.Statfs(dir+"/"+onlyPoint+"/d", &st); err != nil {
		t.Fatal(err)
	}
	if st.Blocks != 3 || st.Files != 3 || st.Bfree != 0 || st.Namelen != 255 || st.Bsize != 4096 {
		t.Errorf("in a point: %+v", st)
	}
	if err := unix.Statfs(dir, &st); err != nil || st.Blocks != 0 {
		t.Errorf("at the top: %+v, %v", st, err)
	}
	out, err := runErr(t, dir, "df --output=fstype,source $m | tail -1")
	if want := "fuse.tidemark tidemark"; err != nil || strings.Join(strings.Fields(out), " ") != want {
		t.Errorf("df says %q, %v; want %q", out, err, want)
	}
}

func TestMountinfo(t *testing.T) {
	const text = `21 25 0:20 / /proc rw,nosuid - proc proc rw
36 35 0:53 / /mnt/a\040b ro,nosuid,nodev shared:1 - fuse.tidemark tidemark ro,user_id=0
37 35 0:54 / /mnt/a\040b rw master:2 - tmpfs tmpfs rw
38 35 0:55 / /mnt/c\134040d rw - ext4 /dev/x rw
`
	for dir, want := range map[string]string{"/proc": "0:20 proc", "/mnt/a b": "0:54 tmpfs", `/mnt/c\040d`: "0:55 ext4", "/mnt": " "} {
		device, fsType := fusefs.MountedAt(text, dir)
		if got := fmt.Sprint(device, " ", fsType); got != want {
			t.Errorf("at %s is %q; want %q", dir, got, want)
		}
	}
}
