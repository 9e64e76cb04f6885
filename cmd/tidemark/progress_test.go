package main

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/urfave/cli/v2"
)

func TestMeter(t *testing.T) {
	start := time.Unix(1_000_000, 0)
	for _, tt := range []struct {
		name  string
		past  amount // at the start
		after time.Duration
		now   amount
		width int
		want  string
	}{
		{"totals not known", amount{}, time.Second, amount{files: 3, bytes: 2048}, 80, "x: 3 files, 2.0 KiB"},
		{"totals known", amount{}, time.Second, amount{files: 10, totalFiles: 20_000, bytes: 1 << 20, totalBytes: 100 << 20}, 80,
			"x: 10 of 20,000 files, 1.0 MiB of 100 MiB, 1%"},
		{"a rate", amount{}, 2 * time.Second, amount{files: 10, bytes: 20 << 20}, 80, "x: 10 files, 20.0 MiB, 10.0 MiB/s"},
		{"and the time left", amount{bytes: 10 << 20}, 2 * time.Second, amount{files: 10, bytes: 30 << 20, totalBytes: 100 << 20}, 80,
			"x: 10 files, 30.0 MiB of 100 MiB, 30%, 10.0 MiB/s, 7s left"},
		{"by files", amount{}, 4 * time.Second, amount{files: 30, totalFiles: 45}, 80, "x: 30 of 45 files, 0 B, 66%, 0 B/s, 2s left"},
		{"nothing moves", amount{files: 30}, 4 * time.Second, amount{files: 30, totalFiles: 45}, 80, "x: 30 of 45 files, 0 B, 66%, 0 B/s"},
		{"hardly anything moves", amount{}, 9 * time.Second, amount{bytes: 1, totalBytes: 1 << 60}, 80, "x: 0 files, 1 B of 1.0 EiB, 0%, 0 B/s"},
		{"all but the end", amount{}, time.Second, amount{files: 45, totalFiles: 45}, 80, "x: 45 of 45 files, 0 B, 99%"},
		{"a path", amount{}, time.Second, amount{path: "/srv/app/x\x1b\n"}, 60, `x: 0 files, 0 B  /srv/app/x\033\n`},
		{"a longer path", amount{}, time.Second, amount{path: strings.Repeat("日", 50)}, 40, "x: 0 files, 0 B  …" + strings.Repeat("日", 10)},
		{"no room for it", amount{}, time.Second, amount{path: "/srv/app/file"}, 25, "x: 0 files, 0 B"},
		{"no room at all", amount{}, time.Second, amount{}, 10, "x: 0 file"},
	} {
		m := meter{verb: "x", started: start}
		m.line(start, tt.past, tt.width)
		if got := m.line(start.Add(tt.after), tt.now, tt.width); got != tt.want || columns(got) >= tt.width {
			t.Errorf("%s: %q\nwant %q", tt.name, got, tt.want)
		}
	}
}

// TestMeterForgets: the rate is that of the last seconds, and so is the memory.
func TestMeterForgets(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	m := meter{verb: "x", started: now}
	var bytes int64
	var line string
	for i := range 1000 {
		if i < 900 {
			bytes += 1 << 30
		} else {
			bytes += 1 << 20 / 5
		}
		now = now.Add(redrawEvery)
		line = m.line(now, amount{bytes: bytes}, 80)
	}
	if !strings.HasSuffix(line, ", 1.0 MiB/s") {
		t.Errorf("after 20 s at 1 MiB/s: %s", line)
	}
	if most := int(rateWindow/redrawEvery) + 2; len(m.samples) > most {
		t.Errorf("it remembers %d samples, want at most %d", len(m.samples), most)
	}
}

func TestProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		reads := 0
		work := oneCommand(func(_ *cli.Context, s *settings) error {
			stop := s.progress("capture app", func() amount {
				mu.Lock()
				defer mu.Unlock()
				reads++
				return amount{files: int64(reads)}
			})
			defer stop()
			time.Sleep(time.Second + redrawEvery/2)
			s.p.warn("file x vanished")
			time.Sleep(redrawEvery)
			stop()
			fmt.Fprintln(s.p.messages, "done")
			return nil
		})
		given := testProcess(t)
		given.stderrWidth = func() int { return 80 }
		got := runTable(t, given, work, "do")
		var want bytes.Buffer
		for i := range 5 {
			fmt.Fprintf(&want, "\r\x1b[Kcapture app: %d files, 0 B", i+1)
		}
		want.WriteString("\r\x1b[Ktidemark: warning: file x vanished\n")
		want.WriteString("\r\x1b[Kcapture app: 6 files, 0 B\r\x1b[Kdone\n")
		// The line may or may not have been cleared before "done" was: both erase.
		if strings.ReplaceAll(got.err, eraseLine+eraseLine, eraseLine) != want.String() || got.code != exitOK {
			t.Errorf("%+v\nwant %q", got, want.String())
		}

		for _, args := range [][]string{{"do", "-q"}, {"do"}} {
			given.stderrWidth = nil
			if args[len(args)-1] == "-q" {
				given.stderrWidth = func() int { return 80 }
			}
			if got := runTable(t, given, work, args...); strings.Contains(got.err, "\x1b") || strings.Contains(got.err, "capture") {
				t.Errorf("%v: %q", args, got.err)
			}
		}
	})
}

// TestProgressIsSeldom: however fast the work is, the line is drawn five times
// a second.
func TestProgressIsSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		given := testProcess(t)
		given.stderrWidth = func() int { return 80 }
		got := runTable(t, given, oneCommand(func(_ *cli.Context, s *settings) error {
			defer s.progress("x", func() amount { return amount{} })()
			time.Sleep(time.Minute + time.Millisecond)
			return nil
		}), "do")
		if n := strings.Count(got.err, "x: "); n != 300 {
			t.Errorf("drawn %d times in a minute, want 300", n)
		}
	})
}

// TestScreenKeepsLinesWhole: messages from everywhere and redraws do not mix.
func TestScreenKeepsLinesWhole(t *testing.T) {
	var out bytes.Buffer
	s := &screen{w: &out, redraws: true}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				s.setLine("progress")
				fmt.Fprintf(s, "a message\n")
			}
		})
	}
	wg.Wait()
	s.setLine("")
	for line := range strings.Lines(out.String()) {
		if text := line[strings.LastIndex(line, eraseLine)+len(eraseLine):]; text != "a message\n" && line != "a message\n" && text != "" {
			t.Fatalf("a line is %q", line)
		}
	}
	if n := strings.Count(out.String(), "a message\n"); n != 800 {
		t.Errorf("%d messages of 800", n)
	}
}
