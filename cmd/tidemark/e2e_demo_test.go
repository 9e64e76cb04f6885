package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDemo runs what "make demo" runs, as root and as an ordinary user, and
// then every command that it says to try.
func TestDemo(t *testing.T) {
	needFUSE(t)
	needRoot(t, "being another user")
	needPrograms(t, "fusermount3", "unshare", "setpriv", "findmnt", "setsid")
	for name, user := range map[string]int{"root": 0, "ordinary user": nobody} {
		t.Run(name, func(t *testing.T) {
			s := newEmptySite(t)
			house := s.dir + "/tidemark" // as the checkout is, for the demo
			must(t, os.MkdirAll(house+"/bin", 0o755))
			command(t, "cp", shipped.path(t), house+"/bin/tidemark")
			script, err := filepath.Abs("../../packaging/demo")
			must(t, err)
			command(t, "cp", "-r", filepath.Dir(script), house+"/packaging")
			s.belongTo(t, user)

			const tryAll = `
				cd "$0"
				packaging/demo | tee "$TMPDIR/said"
				sed -n 's/^  //p' "$TMPDIR/said" | while read -r line; do
					echo "$ $line"
					eval "$line" </dev/null || echo "=> $?"
				done`
			// In a namespace of processes of its own nothing can outlive the test.
			place := s.aside(t, user, toAll)
			place.wrap = append([]string{place.wrap[0], "--pid", "--fork", "--kill-child", "--mount-proc"}, place.wrap[1:]...)
			place = place.with("TMPDIR="+s.dir, envConfig+"=", envRepository+"=", envIdentityFile+"=")
			got := finish(t, place.start(t, append(place.wrap, "bash", "-euo", "pipefail", "-c", tryAll, house)...))
			if got.code != exitOK {
				t.Fatalf("exit code %d\n%s%s", got.code, got.out, got.err)
			}
			wantSaid(t, "the demo", got.out, "\nnovember 101\n", "> november 101", "Here are files as they were", "\nat/20", "\nnotes.txt\n")
			if failed := regexp.MustCompile(`(?m)^\$ (.*)\n(?:[^$].*\n)*?=> (\d+)$`).FindAllStringSubmatch(got.out, -1); len(failed) != 1 || !strings.HasPrefix(failed[0][1], "diff ") || failed[0][2] != "1" {
				t.Errorf("of its commands these fail: %q\n%s%s", failed, got.out, got.err)
			}
			if left, _ := filepath.Glob(s.dir + "/tidemark-demo-*"); len(left) > 0 {
				t.Errorf("its last command leaves %s", left)
			}
		})
	}
}
