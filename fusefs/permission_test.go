package fusefs_test

import (
	"os"
	"testing"

	"tidemark/fusefs"
)

// TestOthers lets other users in, whom the kernel is to keep to what they
// could read where it was captured, ACLs included.
func TestOthers(t *testing.T) {
	needFUSE(t)
	need(t, "setpriv", "setfacl", "getfacl")
	source := t.TempDir()
	run(t, source, `cd $m && chmod 755 . && for f in open mine ours secret acl masked; do echo $f >$f; done
		chmod 644 open; chown 1234 mine; chmod 400 mine; chgrp 99 ours; chmod 040 ours; chmod 600 secret acl masked
		setfacl -m u:1234:r acl
		chgrp 99 masked; setfacl -m u:77:r,g::-,m::r masked
		mkdir closed; chmod 700 closed; echo x >closed/x
		mkdir dir; chmod 750 dir; setfacl -m u:1234:rx dir; echo in >dir/in`)
	r := newRepo(t)
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	letIn(t, dir)
	serveAt(t, dir, fusefs.Config{AllowOther: true}, oneWorld(r.tree(captured(t, source))), r)
	for _, tt := range []struct{ user, script, want string }{
		{"--reuid=1234 --regid=1234 --clear-groups", `cat open mine ours secret acl masked closed/x dir/in 2>/dev/null; true`, "open\nmine\nacl\nin\n"},
		{"--reuid=4321 --regid=99 --clear-groups", `cat open mine ours secret acl masked closed/x dir/in 2>/dev/null; true`, "open\nours\n"},
		{"--reuid=4321 --regid=4321 --groups=99", `cat open mine ours secret acl masked closed/x dir/in 2>/dev/null; true`, "open\nours\n"},
		{"--reuid=77 --regid=77 --clear-groups", `cat masked secret 2>/dev/null; getfacl -cn masked`,
			"masked\nuser::rw-\nuser:77:r--\ngroup::---\nmask::r--\nother::---\n\n"},
		{"--reuid=0", `cat secret`, "secret\n"},
	} {
		script := "cd $m/" + onlyPoint + " && exec setpriv " + tt.user + " bash -c " + quoted(tt.script)
		if got := run(t, dir, script); got != tt.want {
			t.Errorf("%s: %s says %q; want %q", tt.user, tt.script, got, tt.want)
		}
	}
}

// letIn opens the directories above a temporary one to all users.
func letIn(t *testing.T, dir string) {
	t.Helper()
	run(t, dir, `d=$(dirname $m); while [ "$d" != /tmp ] && [ "$d" != / ]; do chmod a+rx "$d"; d=$(dirname "$d"); done`)
}
