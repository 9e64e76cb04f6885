package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestUnchangedIsNotOpened watches the system calls of captures: what did not
// change is not opened, and nothing of it is written again.
func TestUnchangedIsNotOpened(t *testing.T) {
	needPrograms(t, "strace")
	s := newSite(t)
	source := s.dir + "/source"
	var all []string
	for i := range 300 {
		file := fmt.Sprintf("%s/%d/%d/file", source, i%5, i)
		writeFile(t, file, strings.Repeat("text ", i*10))
		all = append(all, file)
	}
	slices.Sort(all)
	if got := s.opens(t, source, "capture", "app="+source); !slices.Equal(got, all) {
		t.Fatalf("a first capture opens %d files of %d: is this test blind?\n%q", len(got), len(all), got)
	}
	s.captureUntilQuiet(t, "app="+source)

	before := s.objects(t)
	if got := s.opens(t, source, "capture", "app="+source); len(got) > 0 {
		t.Errorf("nothing changed, and these are opened: %q", got)
	}
	if got := s.newObjects(t, before); len(got) > 0 {
		t.Errorf("nothing changed, and these are written: %q", got)
	}

	changed := all[17]
	must(t, os.Chmod(all[200], 0o755)) // its content is what it was, but only a look can tell
	writeFile(t, changed, "another text")
	before = s.objects(t)
	want := []string{changed, all[200]}
	slices.Sort(want)
	if got := s.opens(t, source, "capture", "app="+source); !slices.Equal(got, want) {
		t.Errorf("one file changed and one has other permissions, and these are opened: %q", got)
	}
	var written int64
	for _, name := range s.newObjects(t, before) {
		written += s.objects(t)[name]
	}
	if most := int64(16 << 10); written == 0 || written > most {
		t.Errorf("for a change of some bytes, %d bytes are written to packs/ and index/; %d at most are all right", written, most)
	}
	if got := s.ok(t, "cat", strings.Replace(changed, source, "latest/app", 1)); got != "another text" {
		t.Errorf("the changed file is %q", got)
	}
}

// captureUntilQuiet captures until the second has passed in which size and time
// of a file that was just written prove nothing. Then no more is read.
func (s *site) captureUntilQuiet(t *testing.T, source string) {
	t.Helper()
	eventually(t, "nothing is read any more", func() bool {
		var done struct {
			FilesRead int `json:"files_read"`
		}
		must(t, json.Unmarshal([]byte(s.ok(t, "capture", "--json", source)), &done))
		return done.FilesRead == 0
	})
}

// newObjects returns the packs and indexes that before does not have.
func (s *site) newObjects(t *testing.T, before map[string]int64) (names []string) {
	t.Helper()
	for name := range s.objects(t) {
		if _, old := before[name]; !old && (strings.HasPrefix(name, "packs/") || strings.HasPrefix(name, "index/")) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// opened matches what strace prints, with -y, of a call that opened something.
var opened = regexp.MustCompile(` = \d+<(.*)>$`)

// opens runs a command, which must succeed, and returns the regular files below
// dir that it opened, in order and each once.
func (s *site) opens(t *testing.T, dir string, args ...string) (files []string) {
	t.Helper()
	log := filepath.Join(t.TempDir(), "strace")
	s.through("strace", "-f", "-y", "-s", "4096", "-e", "trace=open,openat,openat2,open_by_handle_at", "-o", log).ok(t, args...)
	text, err := os.ReadFile(log)
	must(t, err)
	for line := range strings.Lines(string(text)) {
		call := opened.FindStringSubmatch(strings.TrimSuffix(line, "\n"))
		if call == nil || !strings.HasPrefix(call[1], dir+"/") {
			continue
		}
		if info, err := os.Lstat(call[1]); err != nil || info.Mode().IsRegular() { // one that cannot be seen is not let off
			files = append(files, call[1])
		}
	}
	slices.Sort(files)
	return slices.Compact(files)
}
