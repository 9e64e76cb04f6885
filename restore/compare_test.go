package restore_test

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tidemark/catalog"
	"tidemark/pack"
)

// compare fails the test unless the directory got is want in everything that
// lstat, extended attributes, contents and holes tell, and rsync and diff agree.
func compare(t testing.TB, want, got string) {
	t.Helper()
	a, b := facts(t, want), facts(t, got)
	for path, w := range a {
		g, ok := b[path]
		if !ok {
			t.Errorf("%q is missing", path)
		} else if w != g {
			t.Errorf("%q is\n\t%s\nwant\n\t%s", path, g, w)
		}
	}
	for path := range b {
		if _, ok := a[path]; !ok {
			t.Errorf("%q should not be there", path)
		}
	}
	silent(t, "rsync", "-aniHAX", "--checksum", "--delete", "--exclude=/content/very large", want+"/", got+"/")
	silent(t, "diff", "-r", "--no-dereference", "--exclude=very large", "--exclude=kinds", want, got)
}

// silent fails the test unless a command succeeds and says nothing.
func silent(t testing.TB, name string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	out, err := cmd.CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("%s says %v:\n%s", name, err, out)
	}
}

// facts returns all that is to be restored of everything below dir, as text by
// path. Files of one inode have the path of the first of them.
func facts(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	first := map[uint64]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, path)
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		var b strings.Builder
		fmt.Fprintf(&b, "mode %o owner %d:%d mtime %d.%09d", st.Mode, st.Uid, st.Gid, st.Mtim.Sec, st.Mtim.Nsec)
		if st.Mode&unix.S_IFMT != unix.S_IFDIR {
			if first[st.Ino] == "" {
				first[st.Ino] = rel
			}
			fmt.Fprintf(&b, " links %d of %q size %d blocks %d device %x", st.Nlink, first[st.Ino], st.Size, st.Blocks, st.Rdev)
		}
		for _, x := range xattrsOf(t, path) {
			fmt.Fprintf(&b, " %s", x)
		}
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFLNK:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, " -> %q", target)
		case unix.S_IFREG:
			fmt.Fprintf(&b, " data %s", dataOf(t, path))
		}
		if kind := st.Mode & unix.S_IFMT; kind == unix.S_IFREG || kind == unix.S_IFDIR {
			fmt.Fprintf(&b, " flags %s", flagsOf(t, path))
		}
		all[rel] = b.String()
		return nil
	})
	must(t, err)
	return all
}

func xattrsOf(t testing.TB, path string) (all []string) {
	t.Helper()
	b := make([]byte, 64<<10)
	n, err := unix.Llistxattr(path, b)
	if err == unix.ENOTSUP {
		return nil
	}
	must(t, err)
	for _, name := range strings.FieldsFunc(string(b[:n]), func(r rune) bool { return r == 0 }) {
		value := make([]byte, 64<<10)
		n, err := unix.Lgetxattr(path, name, value)
		must(t, err)
		all = append(all, fmt.Sprintf("%q=%x", name, value[:n]))
	}
	slices.Sort(all)
	return all
}

// dataOf returns where a file has data, and a sum of it.
func dataOf(t testing.TB, path string) string {
	t.Helper()
	f, err := os.Open(path)
	if os.IsPermission(err) {
		return "secret"
	}
	must(t, err)
	defer f.Close()
	var b strings.Builder
	for pos := int64(0); ; {
		from, err := f.Seek(pos, unix.SEEK_DATA)
		if err != nil {
			return b.String()
		}
		pos, err = f.Seek(from, unix.SEEK_HOLE)
		must(t, err)
		data := make([]byte, pos-from)
		_, err = f.ReadAt(data, from)
		must(t, err)
		sum := uint64(14695981039346656037)
		for _, c := range data {
			sum = (sum ^ uint64(c)) * 1099511628211
		}
		fmt.Fprintf(&b, "[%d,%d %x]", from, pos, sum)
	}
}

func flagsOf(t testing.TB, path string) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		return "unknown"
	}
	defer f.Close()
	flags, err := unix.IoctlGetInt(int(f.Fd()), unix.FS_IOC_GETFLAGS)
	if err != nil {
		return "none"
	}
	return fmt.Sprintf("%#x", flags)
}

// compareTrees fails the test unless two trees are equal in all but times of
// birth and change, inode numbers, and the tokens of link groups. It works at
// any depth.
func compareTrees(t testing.TB, want, got *catalog.Tree) {
	t.Helper()
	groups := map[catalog.LinkGroup]catalog.LinkGroup{}
	normal := func(row catalog.Row) catalog.Row {
		row.HasBtime, row.Btime, row.Ctime, row.Ino = false, catalog.Time{}, catalog.Time{}, 0
		row.Child, row.List.Place, row.Link = catalog.Ref{}, pack.Place{}, catalog.LinkGroup{}
		row.Extents, row.Xattrs = slices.Clone(row.Extents), slices.Clone(row.Xattrs)
		for i := range row.Extents {
			row.Extents[i].Place = pack.Place{}
		}
		for i := range row.Xattrs {
			row.Xattrs[i].Place = pack.Place{}
		}
		return row
	}
	type pair struct {
		path string
		a, b catalog.Node
	}
	root, copied := want.Root(), got.Root()
	todo := []pair{{"", root.Node, copied.Node}}
	check := func(path string, a, b catalog.Row) {
		t.Helper()
		if known, ok := groups[a.Link]; ok && known != b.Link {
			t.Errorf("%.100q: is not linked to what it should be", path)
		}
		groups[a.Link] = b.Link
		if a, b := normal(a), normal(b); !reflect.DeepEqual(a, b) {
			t.Errorf("%.100q is\n\t%+v\nwant\n\t%+v", path, b, a)
		}
	}
	check("", root, copied)
	for len(todo) > 0 {
		p := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		as, bs := want.List(&p.a, ""), got.List(&p.b, "")
		for {
			a, more, err := as.Next(t.Context())
			must(t, err)
			b, also, err := bs.Next(t.Context())
			must(t, err)
			if more != also || a.Name != b.Name {
				t.Fatalf("%.100q: has %q, want %q", p.path, b.Name, a.Name)
			}
			if !more {
				break
			}
			path := p.path + "/" + a.Name
			check(path, a, b)
			if a.Type == catalog.Dir {
				todo = append(todo, pair{path, a.Node, b.Node})
			}
		}
	}
}
