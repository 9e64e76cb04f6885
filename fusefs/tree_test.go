package fusefs_test

import (
	"strings"
	"testing"

	"tidemark/fusefs"
)

// TestSameAsSource compares the mount with the directory that its point was
// made of, by the programs that people use.
func TestSameAsSource(t *testing.T) {
	needFUSE(t)
	need(t, "rsync", "setfacl", "getfacl", "setcap", "getcap", "diff", "tar", "getfattr")
	source := t.TempDir()
	generate(t, source)
	r := newRepo(t)
	dir := serve(t, fusefs.Config{}, oneWorld(r.tree(captured(t, source))), r)
	point := dir + "/" + onlyPoint

	for _, tt := range []struct{ name, script string }{
		{"rsync", `rsync -aniHAX --checksum --delete ` + quoted(source) + `/ $m/`},
		{"rsync back", `rsync -aniHAX --checksum --delete $m/ ` + quoted(source) + `/`},
		{"diff", `diff -r --no-dereference ` + quoted(source) + ` $m 2>&1 | grep -v "^File .* is a "; true`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if out := run(t, point, tt.script); out != "" {
				t.Errorf("%s says\n%s", tt.script, out)
			}
		})
	}

	for _, tt := range []struct{ name, script string }{
		{"ls", `cd $m && ls -lR --full-time | grep -v ^total | sed -E 's/^(d[^ ]*) +[0-9]+ +([^ ]+) +([^ ]+) +[0-9]+/\1 n \2 \3 size/'`},
		{"find", `cd $m && find . -printf '%p %y %m %U %G %T@ %C@ %l' -type d -printf '\n' -o -type l -printf ' %s\n' -o -printf ' %n %s %b\n' | sort`},
		{"links", `cd $m && find . -samefile links/one | sort; find . -samefile links/equal`},
		{"tar", `cd $m && tar --sort=name --acls --xattrs --xattrs-include=user.note --format=pax --pax-option=delete=atime,delete=ctime -cf - --exclude=./socket . | sha256sum`},
		{"sparse tar", `cd $m && tar -S --format=gnu -cf - sparse hole zeros | sha256sum`},
		{"getfacl", `cd $m && find . ! -type l -print0 | sort -z | xargs -0 getfacl 2>&1`},
		{"getcap", `cd $m && getcap -r . | sort`},
		{"getfattr", `cd $m && find . -print0 | sort -z | xargs -0 getfattr -h -d -m - 2>&1`},
		{"devices", `cd $m && stat -c '%n %t %T' null big loop`},
		{"sparse cp", `cd $m && cp sparse hole zeros ` + quoted(t.TempDir()) + ` && cd "$_" && stat -c '%n %s %b' *`},
		{"content", `cd $m && find . -type f -print0 | sort -z | xargs -0 sha256sum`},
		{"du", `cd $m && find . -type f -print0 | sort -z | xargs -0 du --apparent-size -B1; find . -type f -print0 | sort -z | xargs -0 du -B1`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want, got := run(t, source, tt.script), run(t, point, tt.script)
			if want == "" {
				t.Errorf("%s says nothing", tt.script)
			}
			if got != want {
				t.Errorf("%s: not in the mount (-), and only there (+):\n%s", tt.script, difference(want, got))
			}
		})
	}
}

// difference returns the lines by which two texts differ, but not more than a
// reader wants to see.
func difference(a, b string) string {
	var lines []string
	inA, inB := map[string]bool{}, map[string]bool{}
	for line := range strings.Lines(a) {
		inA[line] = true
	}
	for line := range strings.Lines(b) {
		inB[line] = true
		if !inA[line] {
			lines = append(lines, "+"+line)
		}
	}
	for line := range strings.Lines(a) {
		if !inB[line] {
			lines = append(lines, "-"+line)
		}
	}
	if len(lines) > 20 {
		lines = append(lines[:20], "…\n")
	}
	return strings.Join(lines, "")
}
