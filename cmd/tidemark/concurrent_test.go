package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
)

// TestReadDuringCaptures reads a point through a mount, over and over, while
// the source changes and is captured: it stays what it was, and the new points
// are there in the end.
func TestReadDuringCaptures(t *testing.T) {
	needFUSE(t)
	const captures = 6
	s := newSite(t)
	source := s.dir + "/source"
	noise := rand.NewChaCha8([32]byte{8})
	change := func(n int) {
		for i := range 20 {
			if n > 0 && i%4 != n%4 {
				continue
			}
			path := fmt.Sprintf("%s/%d/file-%d", source, i%5, i)
			must(t, os.MkdirAll(source+"/"+fmt.Sprint(i%5), 0o755))
			b := make([]byte, (10<<10)<<(i%7))
			_, _ = noise.Read(b) // it never fails
			must(t, os.WriteFile(path, b, 0o644))
		}
	}
	change(0)
	s.ok(t, "capture", "app="+source)
	m := s.mount(t)
	point := m.root(t, "latest/app")
	sums := func() (string, error) {
		// The kernel's cache is emptied, so that the mount is asked each time.
		cmd := exec.CommandContext(t.Context(), "bash", "-c",
			`cd "$0" && find . -type f -exec dd if={} iflag=nocache count=0 status=none \; && find . -type f -print0 | sort -z | xargs -0 sha256sum`, point)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	want, err := sums()
	if err != nil || strings.Count(want, "\n") != 20 {
		t.Fatalf("%v\n%s", err, want)
	}

	done := make(chan struct{})
	var reading sync.WaitGroup
	rounds := 0
	reading.Go(func() {
		for {
			got, err := sums()
			if rounds++; err != nil || got != want {
				t.Errorf("round %d: the point is another: %v\n%s\nwas\n%s", rounds, err, got, want)
			}
			select {
			case <-done:
				return
			default:
			}
		}
	})
	for n := range captures {
		change(n + 1)
		s.ok(t, "capture", "app="+source)
	}
	close(done)
	reading.Wait()
	t.Logf("the point was read %d times during %d captures", rounds, captures)
	eventually(t, "the mount shows the newest point", func() bool {
		return exec.CommandContext(t.Context(), "diff", "-rq", source, m.dir+"/latest/app/").Run() == nil
	})
}
