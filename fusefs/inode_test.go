package fusefs_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"tidemark/catalog"
	"tidemark/fusefs"
)

func TestInodeNumbers(t *testing.T) {
	r := newRepo(t)
	shared, other := fileEntry("same", pattern(1000)), fileEntry("changed", []byte("one"))
	linked := func(name, content string) *entry {
		e := fileEntry(name, []byte(content))
		e.Link, e.Links = catalog.LinkGroup{7}, 2
		return e
	}
	w := newWorld(testHost)
	w.add(testHost, "app", noon, r.tree(dirEntry("", dirEntry("a", fileEntry("same", pattern(1000))), other, dirEntry("d", shared),
		linked("l1", "l"), linked("l2", "l"), fileEntry("same", pattern(1000)))))
	w.add(testHost, "app", noon.AddDate(0, 0, 1), r.tree(dirEntry("", dirEntry("a", fileEntry("same", pattern(1000))), fileEntry("changed", []byte("two")),
		dirEntry("d", fileEntry("same", pattern(1000))), linked("l1", "l"), linked("l2", "l"), fileEntry("same", pattern(1000)))))

	one, two := "/daily/2026-11-20/app", "/daily/2026-11-21/app"
	for _, tt := range []struct {
		inodes  fusefs.Inodes
		a, b    string
		same    bool
		because string
	}{
		{"", one + "/same", two + "/same", true, "a file of two points"},
		{"", one + "/d/same", two + "/d/same", true, "a file of two points, in a directory"},
		{"", one + "/same", one + "/d/same", false, "equal files of one point"},
		{"", one + "/changed", two + "/changed", false, "a file that changed"},
		{"", one + "/l1", one + "/l2", true, "names of one file"},
		{"", one + "/l1", two + "/l2", true, "names of one file in two points"},
		{"", one + "/d", two + "/d", false, "directories"},
		{"", one + "/d", "/hourly/2026-11-20T1200/app/d", false, "a directory in two views"},
		{"", one + "/same", "/hourly/2026-11-20T1200/app/same", true, "a file in two views"},
		{"", one, two, false, "points"},
		{fusefs.InodesShared, one + "/d", two + "/d", true, "equal directories"},
		{fusefs.InodesShared, one + "/a", one + "/d", false, "equal directories of one point"},
		{fusefs.InodesShared, one + "/same", two + "/same", true, "a file of two points"},
		{fusefs.InodesShared, one, two, false, "points"},
		{fusefs.InodesShared, one, "/hourly/2026-11-20T1200/app", false, "a point in two views"},
		{fusefs.InodesUnique, one + "/same", two + "/same", false, "a file of two points"},
		{fusefs.InodesUnique, one + "/l1", one + "/l2", true, "names of one file"},
		{fusefs.InodesUnique, one + "/l1", two + "/l1", false, "a linked file in two points"},
		{fusefs.InodesUnique, one + "/d", two + "/d", false, "directories"},
	} {
		fs := newRaw(t, fusefs.Config{Inodes: tt.inodes}, w, r)
		a, _ := fs.stat(fs.at(tt.a[1:]))
		b, _ := fs.stat(fs.at(tt.b[1:]))
		if (a.Ino == b.Ino) != tt.same {
			t.Errorf("inodes=%s: %s: %s and %s have %d and %d", tt.inodes, tt.because, tt.a, tt.b, a.Ino, b.Ino)
		}
	}
	if _, err := fusefs.NewRaw(fusefs.Config{Inodes: "some"}, w, r); err == nil {
		t.Error("inodes=some is accepted")
	}

	t.Run("tools", func(t *testing.T) {
		dir := serve(t, fusefs.Config{}, w, r)
		before := r.chunks.Load()
		out, err := runErr(t, dir, "diff -rq $m"+one+" $m"+two)
		if want := fmt.Sprintf("Files %s/changed and %s/changed differ\n", dir+one, dir+two); out != want {
			t.Errorf("diff says %q, %v; want %q", out, err, want)
		}
		if n := r.chunks.Load() - before; n > 0 { // what changed is in the tree
			t.Errorf("diff read %d chunks of files that are equal", n)
		}
		run(t, dir, "cd "+quoted(t.TempDir())+" && cp -a $m"+one+" a && cp -a $m"+two+" b && cp -a $m"+one+"/d $m"+two+"/a . && diff -r a $m"+one+" && diff -r b $m"+two)
		links := strings.Fields(run(t, dir, "stat -c '%h %i' $m"+one+"/l1 $m"+one+"/l2 $m"+one+"/same"))
		if want := []string{"2", links[1], "2", links[1], "1"}; !slices.Equal(links[:5], want) {
			t.Errorf("links and inodes: %v", links)
		}
	})
}
