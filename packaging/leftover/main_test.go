package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// TestLeftover runs the program on commands that leave something, or nothing.
func TestLeftover(t *testing.T) {
	program := filepath.Join(t.TempDir(), "leftover")
	if out, err := exec.Command("go", "build", "-buildvcs=false", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	canMount := exec.Command("unshare", "--mount", "true").Run() == nil
	for _, tt := range []struct {
		name   string
		script string
		status int
		want   string // in what the program says; "" if it must say nothing
		mounts bool
	}{
		{"nothing is left", `f=$(mktemp) && rm "$f"; sleep 0.01 & wait`, 0, "", false},
		{"a process that ends by itself", `(sleep 0.3 &)`, 0, "", false},
		{"the command's own failure is passed on", `exit 7`, 7, "", false},
		{"a signal is told as a shell tells it", `kill -TERM $$`, 128 + 15, "", false},
		{"a daemon", `(setsid sleep 1234 >/dev/null 2>&1 &)`, 1, "process", false},
		{"a daemon that ignores SIGTERM", `(trap "" TERM; exec setsid sleep 1234) >/dev/null 2>&1 &`, 1, "sleep 1234", false},
		{"a file", `: >"$TMPDIR/core"`, 1, "/core\n", false},
		{"a failure with something left is still that failure", `: >"$TMPDIR/core"; exit 7`, 7, "/core\n", false},
		{"a mount", `mkdir "$TMPDIR/m m" && mount -t tmpfs scratch "$TMPDIR/m m" && : >"$TMPDIR/m m/f"`, 1, "/m m of scratch (tmpfs)\n", true},
		{"a mount elsewhere", `mount -t tmpfs scratch /mnt`, 1, "mount /mnt of scratch (tmpfs)\n", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if tt.mounts && !canMount {
				t.Skip("unshare --mount fails: this needs root, and no chroot")
			}
			tmp := t.TempDir()
			var said bytes.Buffer
			cmd := exec.CommandContext(t.Context(), program, "sh", "-c", tt.script)
			cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
			cmd.Stderr = &said
			status := 0
			if exit, ok := errors.AsType[*exec.ExitError](cmd.Run()); ok {
				status = exit.ExitCode()
			}
			if status != tt.status {
				t.Errorf("exit status %d, want %d", status, tt.status)
			}
			if !strings.Contains(said.String(), tt.want) || tt.want == "" && said.Len() > 0 {
				t.Errorf("it says %q, want %q", &said, tt.want)
			}
			checkCleared(t, tmp, said.String())
		})
	}
}

// checkCleared sees that nothing is in tmp, and that the processes that said
// names have ended.
func checkCleared(t *testing.T, tmp, said string) {
	t.Helper()
	if rest, err := os.ReadDir(tmp); err != nil || len(rest) > 0 {
		t.Errorf("still there: %v, %v", rest, err)
	}
	for line := range strings.Lines(said) {
		_, rest, ok := strings.Cut(line, "process ")
		if !ok {
			continue
		}
		digits, _, _ := strings.Cut(rest, ":")
		pid, err := strconv.Atoi(digits)
		if err != nil {
			t.Fatalf("no process id in %q", line)
		}
		if err := syscall.Kill(pid, 0); err != syscall.ESRCH {
			t.Errorf("process %d is still there: %v", pid, err)
		}
	}
}
