package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// module is a Go module whose tests end in every way there is.
var module = map[string]string{
	"go.mod": "module m\n\ngo 1.26\n",

	"good/good_test.go": `package good
import "testing"
func TestOne(t *testing.T) { t.Log("chatter") }
func TestSubs(t *testing.T) { for _, n := range []string{"a", "b/c"} { t.Run(n, func(t *testing.T) {}) } }`,

	"bad/bad_test.go": `package bad
import "testing"
func TestFails(t *testing.T) { t.Error("two is not three") }
func TestSub(t *testing.T) { t.Run("in", func(t *testing.T) { t.Error("inner trouble") }) }
func TestSelf(t *testing.T) { t.Run("fine", func(t *testing.T) {}); t.Error("outer trouble") }`,

	"skips/skips_test.go": `package skips
import "testing"
func TestMount(t *testing.T) { t.Skip("no /dev/fuse here") }
func TestFine(t *testing.T) {}`,

	"panics/panics_test.go": `package panics
import "testing"
func TestPanics(t *testing.T) { panic("out of cheese") }`,

	"exits/exits_test.go": `package exits
import ("os"; "testing")
func TestExits(t *testing.T) { os.Exit(3) }`,

	"testmain/testmain_test.go": `package testmain
import ("fmt"; "os"; "testing")
func TestMain(m *testing.M) { m.Run(); fmt.Println("two goroutines are left"); os.Exit(1) }
func TestFine(t *testing.T) {}`,

	"broken/broken_test.go": `package broken
var x int = "not a number"`,

	"empty/empty.go": "package empty",
}

// TestReport runs real tests with real outcomes, since what go test writes is
// what has to be understood.
func TestReport(t *testing.T) {
	dir := writeModule(t)
	for _, tt := range []struct {
		name   string
		pkgs   string
		strict bool
		wantOK bool
		want   []string // pieces of the log
		last   string
	}{
		{"all passes", "good", true, true,
			[]string{"m/good: 3 passed, 0 failed, 0 skipped\n"}, "3 passed, 0 failed, 0 skipped"},
		{"a failure is shown with all that it printed", "bad", false, false,
			[]string{"FAIL", "two is not three", "inner trouble", "outer trouble", "failed:  m/bad TestSub/in\n"},
			"1 passed, 3 failed, 0 skipped"},
		{"a skip is named with its reason", "skips", false, true,
			[]string{"no /dev/fuse here", "skipped: m/skips TestMount\n"}, "1 passed, 0 failed, 1 skipped"},
		{"a skip is a failure where nothing is missing", "skips", true, false,
			[]string{"no /dev/fuse here", "a skipped test is a failure here"}, "1 passed, 0 failed, 1 skipped"},
		{"a panic", "panics", false, false, []string{"out of cheese"}, "0 passed, 1 failed, 0 skipped"},
		{"a test that ends its process", "exits", false, false,
			[]string{"failed:  m/exits TestExits\n"}, "0 passed, 1 failed, 0 skipped"},
		{"a package that fails after its tests", "testmain", false, false,
			[]string{"two goroutines are left", "failed:  m/testmain\n"}, "1 passed, 1 failed, 0 skipped"},
		{"a package that does not compile", "broken", false, false,
			[]string{"cannot use \"not a number\"", "failed:  m/broken\n"}, "0 passed, 1 failed, 0 skipped"},
		{"no tests at all", "empty", false, false, []string{"no test ran\n"}, "0 passed, 0 failed, 0 skipped"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var log bytes.Buffer
			ok, err := report(bytes.NewReader(goTest(t, dir, "./"+tt.pkgs)), &log, tt.strict)
			if err != nil {
				t.Fatal(err)
			}
			if ok != tt.wantOK {
				t.Errorf("report says ok=%t, want %t", ok, tt.wantOK)
			}
			for _, want := range tt.want {
				if !strings.Contains(log.String(), want) {
					t.Errorf("the log lacks %q", want)
				}
			}
			if !strings.HasSuffix(log.String(), "\n"+tt.last+"\n") && log.String() != tt.last+"\n" {
				t.Errorf("the last line is not %q", tt.last)
			}
			if t.Failed() {
				t.Logf("the log:\n%s", &log)
			}
		})
	}
}

// TestReportCutShort sees that a test that was running when the events ended
// is a failure.
func TestReportCutShort(t *testing.T) {
	dir := writeModule(t)
	events := goTest(t, dir, "./good")
	i := bytes.Index(events, []byte(`"Action":"pass"`))
	var log bytes.Buffer
	ok, err := report(bytes.NewReader(events[:bytes.LastIndexByte(events[:i], '\n')+1]), &log, false)
	if err != nil || ok || !strings.Contains(log.String(), "did not finish") {
		t.Errorf("report = %t, %v of a log that ends in a test:\n%s", ok, err, &log)
	}
}

func writeModule(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range module {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// goTest returns the events of testing pkg. That the tests may fail is the
// point, so the exit status says nothing here.
func goTest(t *testing.T, dir, pkg string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "test", "-json", pkg)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off")
	out, err := cmd.Output()
	if len(out) == 0 {
		t.Fatalf("go test -json %s: %v", pkg, err)
	}
	return out
}
