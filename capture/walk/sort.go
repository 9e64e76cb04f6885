package walk

import (
	"bytes"
	"container/heap"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// entryCost is what an entry takes in memory beside its name, in bytes.
	entryCost = int64(unsafe.Sizeof(Entry{}) + unsafe.Sizeof((*Entry)(nil)))

	// mergeFan is how many runs of about equal length are merged into one.
	// A directory of 10 million names has 500 runs at the default memory.
	mergeFan = 64

	// mergeBuf is the memory for each run of a merge, in bytes.
	mergeBuf = 8 << 10

	// windowMemory is how much of a listing on disk is merged at a time, in
	// bytes of entries: over a thousand, so that opening the runs anew for
	// each window is cheap, and nothing stays open while the consumer is in
	// the directories below.
	windowMemory = 256 << 10
)

// A sorter takes the entries of a directory in any order and sorts them by
// name: in memory as far as that is granted, else as runs in the temporary
// file.
type sorter struct {
	t        *tree
	entries  []*Entry
	size     int64 // bytes of entries
	reserved int64 // of size, taken from the walk's memory
	runs     []run
}

// A run is a sorted sequence of records in the temporary file.
type run struct {
	start, end int64 // offsets
	pos        int64 // of the first record that was not yet merged
	level      int   // how many merges it went through
}

// add takes entries, which the caller then leaves alone.
func (s *sorter) add(entries []Entry) error {
	var size int64
	for i := range entries {
		s.entries = append(s.entries, &entries[i])
		size += entryCost + int64(len(entries[i].Name))
	}
	s.size += size
	granted := s.t.reserve(size)
	if granted {
		s.reserved += size
	}
	if granted && s.size <= s.t.cfg.SortMemory {
		return nil
	}
	return s.spill()
}

// finish returns the sorted entries if they all are in memory. Otherwise they
// are in s.runs.
func (s *sorter) finish() ([]*Entry, error) {
	if len(s.runs) > 0 && len(s.entries) > 0 {
		return nil, s.spill()
	}
	s.sort()
	return s.entries, nil
}

func (s *sorter) sort() {
	slices.SortFunc(s.entries, func(x, y *Entry) int { return strings.Compare(x.Name, y.Name) })
}

// spill writes what s holds in memory as a run, and lets go of it even if that
// fails: the directory is then not whole, and its memory is wanted elsewhere.
func (s *sorter) spill() error {
	s.sort()
	entries, reserved := s.entries, s.reserved
	s.entries, s.size, s.reserved = nil, 0, 0
	defer s.t.release(reserved)
	var total int64
	for _, e := range entries {
		total += recordLen(e)
	}
	var rec []byte
	r, err := s.t.temp.write(total, func(w io.Writer) error {
		for _, e := range entries {
			rec = appendRecord(rec[:0], e)
			if _, err := w.Write(rec); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.runs = append(s.runs, r)
	return s.compact()
}

// compact merges runs until fewer than mergeFan of any level are left, so that
// their number is a logarithm of the directory's size.
func (s *sorter) compact() error {
	for {
		level, n := s.runs[len(s.runs)-1].level, 0
		for n < len(s.runs) && s.runs[len(s.runs)-1-n].level == level {
			n++
		}
		if n < mergeFan {
			return nil
		}
		last := s.runs[len(s.runs)-n:]
		var total int64
		for _, r := range last {
			total += r.end - r.start
		}
		merged, err := s.t.temp.write(total, func(w io.Writer) error {
			m, err := newMerger(&s.t.temp, last)
			for ; err == nil && len(m) > 0; err = m.advance() {
				if _, err := w.Write(m.head()); err != nil {
					return err
				}
			}
			return err
		})
		if err != nil {
			for i := range last {
				last[i].pos = last[i].start // all is still there
			}
			return err
		}
		merged.level = level + 1
		for _, r := range last {
			s.t.temp.free(r)
		}
		s.runs = append(s.runs[:len(s.runs)-n], merged)
	}
}

// merge returns the next entries of l.runs, in place of those that it returned
// before. An error comes with those entries that could be had.
func (l *listing) merge(t *tree) (window []*Entry, err error) {
	var left int64
	for _, r := range l.runs {
		left += r.end - r.pos
	}
	t.release(l.held)
	l.held = 0
	if want := min(windowMemory, 2*left); t.reserve(want) {
		l.held = want
	}
	var entries []Entry
	m, err := newMerger(&t.temp, l.runs)
	for size := int64(0); err == nil && len(m) > 0; err = m.advance() {
		if size >= l.held && len(entries) > 0 {
			break // without memory to spare, a window is one entry
		}
		e := parseRecord(m.head())
		entries = append(entries, e)
		size += entryCost + int64(len(e.Name))
	}
	l.runs = slices.DeleteFunc(l.runs, func(r run) bool {
		if r.pos < r.end && err == nil {
			return false
		}
		t.temp.free(r)
		return true
	})
	for i := range entries {
		window = append(window, &entries[i])
	}
	return window, err
}

// free gives back what l holds.
func (l *listing) free(t *tree) {
	for _, r := range l.runs {
		t.temp.free(r)
	}
	l.runs = nil
	t.release(l.held)
	l.held = 0
}

// A merger is a heap of runs, the one with the least name first. It moves the
// pos of its runs on.
type merger []*runReader

func newMerger(f io.ReaderAt, runs []run) (merger, error) {
	var m merger
	for i := range runs {
		r := &runReader{f: f, run: &runs[i]}
		if err := r.load(); err != nil {
			return nil, err
		}
		if r.rec != nil {
			m = append(m, r)
		}
	}
	heap.Init(&m)
	return m, nil
}

// head returns the record with the least name, valid until advance.
func (m merger) head() []byte { return m[0].rec }

// advance goes to the next record.
func (m *merger) advance() error {
	r := (*m)[0]
	r.run.pos += int64(len(r.rec))
	r.buf = r.buf[len(r.rec):]
	if err := r.load(); err != nil {
		return err
	}
	if r.rec == nil {
		heap.Pop(m)
	} else {
		heap.Fix(m, 0)
	}
	return nil
}

func (m merger) Len() int           { return len(m) }
func (m merger) Less(i, j int) bool { return bytes.Compare(m[i].rec[nameAt:], m[j].rec[nameAt:]) < 0 }
func (m merger) Swap(i, j int)      { m[i], m[j] = m[j], m[i] }
func (m *merger) Push(x any)        { *m = append(*m, x.(*runReader)) }
func (m *merger) Pop() any {
	last := len(*m) - 1
	r := (*m)[last]
	*m = (*m)[:last]
	return r
}

// A runReader reads the records of one run.
type runReader struct {
	f   io.ReaderAt
	run *run
	mem []byte // mergeBuf bytes
	buf []byte // part of mem: what was read from run.pos on
	rec []byte // the record at run.pos; nil at the end
}

// load sets rec to the record at run.pos.
func (r *runReader) load() error {
	for {
		if r.run.pos == r.run.end {
			r.rec = nil
			return nil
		}
		if len(r.buf) >= nameAt {
			if n := int(binary.LittleEndian.Uint16(r.buf)); n <= len(r.buf) {
				r.rec = r.buf[:n]
				return nil
			}
		}
		if r.mem == nil {
			r.mem = make([]byte, mergeBuf)
		}
		r.buf = r.mem[:min(mergeBuf, r.run.end-r.run.pos)]
		if _, err := r.f.ReadAt(r.buf, r.run.pos); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
	}
}

// A record is an entry in the temporary file. Only the process that wrote it
// reads it, so a Stat, which has no pointers, is there as it is in memory.
//
//	offset  size  field
//	     0     2  length of the record
//	     2     2  errno of Err, 0 for none
//	     4     1  1 for Boundary
//	     5     n  Stat
//	   5+n        Name
const (
	statLen = int(unsafe.Sizeof(Stat{}))
	nameAt  = 5 + statLen
)

// Every record fits in the buffer of a run: names have at most 255 bytes on
// most filesystems, and less than PATH_MAX on any.
const _ = uint(mergeBuf - nameAt - unix.PathMax)

func recordLen(e *Entry) int64 { return int64(nameAt + len(e.Name)) }

func appendRecord(b []byte, e *Entry) []byte {
	errno, _ := e.Err.(unix.Errno) // what stat leaves there
	boundary := byte(0)
	if e.Boundary {
		boundary = 1
	}
	b = binary.LittleEndian.AppendUint16(b, uint16(recordLen(e)))
	b = binary.LittleEndian.AppendUint16(b, uint16(errno))
	b = append(b, boundary)
	b = append(b, (*[statLen]byte)(unsafe.Pointer(&e.Stat))[:]...)
	return append(b, e.Name...)
}

func parseRecord(rec []byte) Entry {
	e := Entry{Name: string(rec[nameAt:]), Boundary: rec[4] == 1}
	if errno := binary.LittleEndian.Uint16(rec[2:]); errno != 0 {
		e.Err = unix.Errno(errno)
	}
	copy((*[statLen]byte)(unsafe.Pointer(&e.Stat))[:], rec[5:])
	return e
}
