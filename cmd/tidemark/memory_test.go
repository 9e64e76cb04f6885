package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestMemory captures 100,000 small files, in one directory and in a hundred,
// shows them, and looks what that takes at most. (The tag "large" has the same
// with a million, for what the program promises.)
func TestMemory(t *testing.T) {
	testMemory(t, newSite(t), memoryDir(t), 100_000, 160<<20)
}

// memoryDir returns an empty directory, in memory if there is such a filesystem:
// a disk takes half a minute for 200,000 files.
func memoryDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "tidemark-test-*")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	return dir
}

// testMemory captures so many files, which it makes below dir, into the
// repository of s. No process may take more than most bytes.
func testMemory(t *testing.T, s *site, dir string, files int, most int64) {
	t.Helper()
	needFUSE(t)
	needPrograms(t, "python3", "find")
	one, many := dir+"/one", dir+"/many"
	makeFiles(t, one, files)

	first := s.memoryOf(t, "capture", "one="+one)
	again := s.memoryOf(t, "capture", "one="+one)
	spread(t, one, many)
	second := s.memoryOf(t, "capture", "many="+many)
	againMany := s.memoryOf(t, "capture", "many="+many)

	m := s.mount(t)
	before := peakMemory(t, m.cmd.Process.Pid)
	for _, name := range []string{"one", "many"} {
		// Sizes are asked for, so that find looks at every file.
		found := command(t, "bash", "-c", `find "$0" -type f -size -2k -printf x | wc -c`, m.root(t, "latest/"+name))
		if n, err := strconv.Atoi(strings.TrimSpace(found)); err != nil || n != files {
			t.Errorf("find finds %q files in %s, want %d", found, name, files)
		}
	}
	after := peakMemory(t, m.cmd.Process.Pid)

	const mib = 1 << 20
	t.Logf("%d files: in one directory, capture takes %d MiB at most, and again %d MiB; in many, %d and %d MiB; a mount takes %d MiB, and %d MiB when find was through",
		files, first/mib, again/mib, second/mib, againMany/mib, before/mib, after/mib)
	for _, peak := range []int64{first, again, second, againMany, after} {
		if peak > most {
			t.Errorf("a process takes %d MiB, want at most %d MiB", peak/mib, most/mib)
		}
	}
}

// makeFiles makes n files in dir, of up to 1,000 bytes: some are kept with
// their names, some are chunks.
func makeFiles(t *testing.T, dir string, n int) {
	t.Helper()
	must(t, os.Mkdir(dir, 0o755))
	noise := rand.NewChaCha8([32]byte{6})
	b := make([]byte, 1000)
	_, _ = noise.Read(b) // it never fails
	for i := range n {
		at := i % 499
		b[at]++ // no two are equal
		must(t, os.WriteFile(fileName(dir, i), b[:at*2], 0o644))
	}
}

func fileName(dir string, i int) string { return fmt.Sprintf("%s/file-%07d.txt", dir, i) }

// spread moves the files of one directory to others below many, 1,000 in each.
func spread(t *testing.T, one, many string) {
	t.Helper()
	entries, err := os.ReadDir(one)
	must(t, err)
	for i, e := range entries {
		dir := fmt.Sprintf("%s/dir-%04d", many, i/1000)
		if i%1000 == 0 {
			must(t, os.MkdirAll(dir, 0o755))
		}
		must(t, os.Rename(filepath.Join(one, e.Name()), filepath.Join(dir, e.Name())))
	}
}

// measure runs a program and writes the most memory that it took, in KiB, to
// a file. It must be small itself: a process begins with its parent's memory.
const measure = `
import resource, subprocess, sys
code = subprocess.call(sys.argv[2:])
with open(sys.argv[1], "w") as f:
    f.write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
sys.exit(code)
`

// memoryOf runs the program, which must succeed, and returns the most memory
// that it took, in bytes.
func (s *site) memoryOf(t *testing.T, args ...string) int64 {
	t.Helper()
	file := s.dir + "/memory"
	s.through("python3", "-c", measure, file).ok(t, args...)
	b, err := os.ReadFile(file)
	must(t, err)
	kib, err := strconv.ParseInt(string(b), 10, 64)
	must(t, err)
	return kib << 10
}

// peakMemory returns the most memory that a running process has taken, in bytes.
func peakMemory(t *testing.T, pid int) int64 {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	must(t, err)
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			must(t, err)
			return kib << 10
		}
	}
	t.Fatalf("process %d has no VmHWM", pid)
	return 0
}
