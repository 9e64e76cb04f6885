package walk

import (
	"bufio"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// runAlign is what runs begin at a multiple of, in bytes: a block of any usual
// filesystem, so that all the space of a run can be given back.
const runAlign = 4 << 10

// runBuf is the buffer for writing a run, in bytes.
const runBuf = 64 << 10

// A tempFile is the file that holds the runs of all directories of a walk. It
// has no name, so that nothing is left of it whatever becomes of the process.
// A run's space is given back when it is freed, and the file begins anew when
// none is left.
type tempFile struct {
	dir string

	open sync.Once
	f    *os.File
	err  error // why there is no f

	mu   sync.Mutex
	end  int64 // where the next run goes; guarded by mu
	live int   // runs that are not freed; guarded by mu
}

// write adds a run of size bytes, which fn writes.
func (t *tempFile) write(size int64, fn func(io.Writer) error) (run, error) {
	t.open.Do(func() { t.f, t.err = createUnlinked(t.dir) })
	if t.err != nil {
		return run{}, t.err
	}
	t.mu.Lock()
	start := t.end
	t.end += (size + runAlign - 1) / runAlign * runAlign
	t.live++
	t.mu.Unlock()

	r := run{start: start, pos: start, end: start + size}
	w := bufio.NewWriterSize(io.NewOffsetWriter(t.f, start), runBuf)
	err := fn(w)
	if err == nil {
		err = w.Flush()
	}
	if err != nil {
		t.free(r)
		return run{}, err
	}
	return r, nil
}

func (t *tempFile) ReadAt(b []byte, off int64) (int, error) { return t.f.ReadAt(b, off) }

// free gives back the space of r. Where a filesystem cannot, it waits for the
// last run.
func (t *tempFile) free(r run) {
	_ = unix.Fallocate(int(t.f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, r.start, r.end-r.start)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.live--; t.live == 0 {
		t.end = 0
	}
}

// close closes the file, which is its end.
func (t *tempFile) close() {
	if t.f != nil {
		t.f.Close()
	}
}

// createUnlinked makes a file without a name in dir.
func createUnlinked(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, "tidemark-*")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
