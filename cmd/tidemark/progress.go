package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

const (
	// redrawEvery is how often progress is drawn: often enough to look alive,
	// seldom enough to cost nothing on a slow line.
	redrawEvery = 200 * time.Millisecond

	// rateWindow is the time over which the rate is taken. Long enough that one
	// large or one slow file does not swing the time left.
	rateWindow = 10 * time.Second

	// rateAfter is how long to wait for a first rate that means something.
	rateAfter = 2 * time.Second

	// defaultWidth is the columns of a terminal that does not tell.
	defaultWidth = 80
)

// An amount is how far a command has come. A total of 0 is not known.
type amount struct {
	files, totalFiles int64
	bytes, totalBytes int64
	path              string // what is being worked on, or ""
}

// progress shows how far the command has come, on one line of the terminal
// that standard error is, until the returned function is called, which clears
// the line. It shows nothing if standard error is no terminal or the user
// wants quiet. Read is called a few times a second, never concurrently with
// itself, and must not block.
//
//	defer s.progress("capture app", read)()
func (s *settings) progress(verb string, read func() amount) (stop func()) {
	p := s.p
	if s.quiet || p.stderrWidth == nil {
		return func() {}
	}
	m := meter{verb: verb, started: p.now()}
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		ticker := time.NewTicker(redrawEvery)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
				p.messages.setLine(m.line(p.now(), read(), p.stderrWidth()))
			}
		}
	})
	return sync.OnceFunc(func() {
		close(done)
		wg.Wait()
		p.messages.setLine("")
	})
}

// A meter turns amounts into lines. It remembers those of the rateWindow.
type meter struct {
	verb    string
	started time.Time
	samples []sample // oldest first; at most rateWindow / redrawEvery and a few
}

type sample struct {
	at     time.Time
	amount amount
}

// line returns the line for now, not longer than a terminal of width columns
// can show without wrapping.
func (m *meter) line(now time.Time, a amount, width int) string {
	m.samples = append(m.samples, sample{now, a})
	for len(m.samples) > 2 && now.Sub(m.samples[0].at) > rateWindow {
		m.samples = m.samples[1:]
	}
	parts := []string{
		outOf(a.files, a.totalFiles, formatCount) + " files",
		outOf(a.bytes, a.totalBytes, formatBytes),
	}
	if _, done, total := a.work(amount{}); total > 0 {
		parts = append(parts, fmt.Sprintf("%d%%", min(99, int(100*float64(done)/float64(total)))))
	}
	parts = append(parts, m.pace(now, a)...)
	line := m.verb + ": " + strings.Join(parts, ", ")
	width-- // some terminals wrap after the last column
	if rest := width - columns(line) - 2; a.path != "" && rest >= 10 {
		line += "  " + keepEnd(cleanLine(a.path), rest)
	}
	return keepStart(line, width)
}

// work returns what the part done and the time left are taken from: bytes if
// their total is known, else files. Earlier is an amount to compare with.
func (a amount) work(earlier amount) (before, done, total int64) {
	if a.totalBytes > 0 {
		return earlier.bytes, a.bytes, a.totalBytes
	}
	return earlier.files, a.files, a.totalFiles
}

// pace returns the rate, and the time left at that rate, as far as known.
func (m *meter) pace(now time.Time, a amount) []string {
	first := m.samples[0]
	span := now.Sub(first.at).Seconds()
	if now.Sub(m.started) < rateAfter || span <= 0 {
		return nil
	}
	parts := []string{formatBytes(int64(float64(a.bytes-first.amount.bytes)/span)) + "/s"}
	before, done, total := a.work(first.amount)
	if rate := float64(done-before) / span; rate > 0 && total > done {
		left := float64(total-done) / rate
		const longest = 99 * 24 * 60 * 60 // seconds; beyond that the estimate is noise
		if left < longest {
			parts = append(parts, formatDuration(time.Duration(left*float64(time.Second)))+" left")
		}
	}
	return parts
}

func outOf(done, total int64, format func(int64) string) string {
	if total == 0 {
		return format(done)
	}
	return format(done) + " of " + format(total)
}

// A screen is standard error. What is written to it goes above the line of
// progress, if there is one, which comes back with its next redraw.
//
// It holds its lock while it writes, as log.Logger does and for the same
// reason: so that lines stay whole. Nothing but messages waits for it.
type screen struct {
	w       io.Writer
	redraws bool // w is a terminal

	mu    sync.Mutex
	shown bool // a line of progress is there; guarded by mu
}

// eraseLine moves to the beginning of the line and erases it (ECMA-48 EL).
const eraseLine = "\r\x1b[K"

// Write writes b, which should be whole lines.
func (s *screen) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shown {
		s.shown = false
		if _, err := io.WriteString(s.w, eraseLine); err != nil {
			return 0, err
		}
	}
	return s.w.Write(b)
}

// setLine shows line as the line of progress, or none if it is "".
func (s *screen) setLine(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.redraws && (s.shown || line != "") {
		s.shown = line != ""
		io.WriteString(s.w, eraseLine+line)
	}
}
