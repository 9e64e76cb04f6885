// Command testlog reads the events of go test -json and writes what a person
// wants of them: a line for each package, all that a failed test printed, why
// a test was skipped, what was slow, and as the last line the totals.
//
//	go test -json ./... | go run ./packaging/testlog
//
// It exits with 1 if something failed or if no test ran. Where CI=true or
// TIDEMARK_MUST=1 says that the machine has all that the tests need, a skipped
// test is a failure too: nothing may go untested there without being seen.
//
// A test with subtests counts only if it failed or was skipped by itself, so
// that the totals are of what was tested.
package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
)

func main() {
	strict := os.Getenv("CI") == "true" || os.Getenv("TIDEMARK_MUST") == "1"
	ok, err := report(os.Stdin, os.Stdout, strict)
	if err != nil {
		fmt.Fprintln(os.Stderr, "testlog:", err)
	}
	if !ok || err != nil {
		os.Exit(1)
	}
}

// report writes to w the log of the events that r holds, and says whether all
// is well. With strict, a skipped test is not well.
func report(r io.Reader, w io.Writer, strict bool) (bool, error) {
	l := testLog{w: w, packages: map[string]*packageRun{}, builds: map[string][]string{}}
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			l.line(line)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return false, fmt.Errorf("read events: %w", err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(l.packages)) {
		l.finish(event{Action: "fail", Package: name}) // go test itself was stopped
	}
	return l.close(strict), nil
}

// An event is one line of go test -json; see go doc test2json and go help
// buildjson. Elapsed is in seconds.
type event struct {
	Action      string
	Package     string
	ImportPath  string // of a build event, which has no Package
	Test        string
	Output      string
	FailedBuild string // the ImportPath whose build broke this package
	Elapsed     float64
}

// A testLog is the log as far as it has been read.
type testLog struct {
	w        io.Writer
	packages map[string]*packageRun // those that have not finished
	builds   map[string][]string    // what the compiler said, by ImportPath

	passed, failed, skipped int
	bad                     []string   // names of what failed or was skipped
	timed                   []*testRun // top-level tests, for the slowest
}

// A packageRun is one package whose tests are running.
type packageRun struct {
	tests  []*testRun // in the order in which they started
	byName map[string]*testRun
	output []string // what belongs to no test
}

// A testRun is one test, subtest, example or fuzz target's seeds.
type testRun struct {
	pkg, name string
	result    string // "pass", "fail", "skip", or "" while it runs
	elapsed   float64
	output    []string // kept unless it passed
	explained bool     // its subtests say all that its result says
}

// line takes one line of input. What is no event is passed on as it is.
func (l *testLog) line(line []byte) {
	var e event
	if err := json.Unmarshal(line, &e); err != nil {
		fmt.Fprintf(l.w, "%s\n", strings.TrimRight(string(line), "\n"))
		return
	}
	switch {
	case e.Action == "build-output":
		l.builds[e.ImportPath] = append(l.builds[e.ImportPath], e.Output)
	case e.Package == "":
		// build-fail: the package's own "fail" comes later and says more.
	case e.Action == "start":
		l.packageRun(e.Package) // from here on its end is waited for
	case e.Test != "":
		l.packageRun(e.Package).event(e)
	case e.Action == "output":
		p := l.packageRun(e.Package)
		p.output = append(p.output, e.Output)
	case e.Action == "pass", e.Action == "fail", e.Action == "skip":
		l.finish(e)
	}
}

func (l *testLog) packageRun(name string) *packageRun {
	p := l.packages[name]
	if p == nil {
		p = &packageRun{byName: map[string]*testRun{}}
		l.packages[name] = p
	}
	return p
}

// event takes an event of one of the package's tests.
func (p *packageRun) event(e event) {
	t := p.byName[e.Test]
	if t == nil {
		t = &testRun{pkg: e.Package, name: e.Test}
		p.byName[e.Test] = t
		p.tests = append(p.tests, t)
	}
	switch e.Action {
	case "output":
		if !framing(e.Output) {
			t.output = append(t.output, e.Output)
		}
	case "pass":
		t.result, t.elapsed, t.output = e.Action, e.Elapsed, nil
	case "fail", "skip":
		t.result, t.elapsed = e.Action, e.Elapsed
	}
}

// framing says whether go test wrote line, to tell what its events tell too.
func framing(line string) bool {
	line = strings.TrimLeft(line, " ")
	for _, start := range []string{"=== ", "--- PASS: ", "--- FAIL: ", "--- SKIP: "} {
		if strings.HasPrefix(line, start) {
			return true
		}
	}
	return false
}

// finish counts and writes the package that e ends.
func (l *testLog) finish(e event) {
	p := l.packageRun(e.Package)
	delete(l.packages, e.Package)
	p.explain()

	var passed, failed, skipped int
	for _, t := range p.tests {
		if !strings.Contains(t.name, "/") {
			l.timed = append(l.timed, t)
		}
		switch {
		case t.explained:
		case t.result == "pass":
			passed++
		case t.result == "skip":
			skipped++
			l.bad = append(l.bad, "skipped: "+t.pkg+" "+t.name)
		default:
			failed++
			l.bad = append(l.bad, "failed:  "+t.pkg+" "+t.name)
		}
	}
	if e.Action == "fail" && failed == 0 { // the build, TestMain, a race after the last test
		failed++
		l.bad = append(l.bad, "failed:  "+e.Package)
	}
	l.passed += passed
	l.failed += failed
	l.skipped += skipped

	if len(p.tests) == 0 && e.Action != "fail" {
		return // no tests: nothing to say
	}
	word := "ok  "
	if failed > 0 {
		word = "FAIL"
	}
	fmt.Fprintf(l.w, "%s %6.1fs  %s: %s\n", word, e.Elapsed, e.Package, totals(passed, failed, skipped))
	for _, t := range p.tests {
		if t.result != "pass" && (!t.explained || len(t.output) > 0) {
			fmt.Fprintf(l.w, "  %s %s\n", cmp.Or(t.result, "did not finish:"), t.name)
			l.indent(t.output)
		}
	}
	if failed > 0 {
		l.indent(l.builds[e.FailedBuild])
		l.indent(p.output)
	}
}

// explain finds the tests whose result their subtests say: those that passed,
// and those that failed because a subtest did.
func (p *packageRun) explain() {
	for _, t := range p.tests {
		parent, ok := p.byName[parentName(t.name)]
		for ; ok; parent, ok = p.byName[parentName(parent.name)] {
			same := parent.result == "pass" || parent.result == t.result
			parent.explained = parent.explained || same && parent.result != "skip"
		}
	}
}

// parentName returns the name of the test that name is a subtest of, or "".
func parentName(name string) string {
	return name[:max(0, strings.LastIndexByte(name, '/'))]
}

// indent writes output, whose pieces need not be whole lines, four columns in.
func (l *testLog) indent(output []string) {
	text := strings.TrimRight(strings.Join(output, ""), "\n")
	if text != "" {
		fmt.Fprintf(l.w, "    %s\n", strings.ReplaceAll(text, "\n", "\n    "))
	}
}

// Tests are named as slow from slowSeconds on, the slowestCount worst.
const (
	slowSeconds  = 1.0
	slowestCount = 10
)

// close writes the end of the log and says whether all is well.
func (l *testLog) close(strict bool) bool {
	slices.SortStableFunc(l.timed, func(a, b *testRun) int {
		return int(1000*b.elapsed) - int(1000*a.elapsed)
	})
	for i, t := range l.timed {
		if i == slowestCount || t.elapsed < slowSeconds {
			break
		}
		fmt.Fprintf(l.w, "slow %6.1fs  %s %s\n", t.elapsed, t.pkg, t.name)
	}
	for _, b := range l.bad {
		fmt.Fprintln(l.w, b)
	}
	ok := l.failed == 0
	if strict && l.skipped > 0 {
		fmt.Fprintln(l.w, "a skipped test is a failure here: CI=true or TIDEMARK_MUST=1 says that nothing is missing")
		ok = false
	}
	if l.passed+l.failed+l.skipped == 0 {
		fmt.Fprintln(l.w, "no test ran")
		ok = false
	}
	fmt.Fprintln(l.w, totals(l.passed, l.failed, l.skipped))
	return ok
}

// totals is the one form in which numbers of tests are written.
func totals(passed, failed, skipped int) string {
	return fmt.Sprintf("%d passed, %d failed, %d skipped", passed, failed, skipped)
}
