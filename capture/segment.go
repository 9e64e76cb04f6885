package capture

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sort"

	"tidemark/chunk"
	"tidemark/keys"
	"tidemark/pack"
)

// A segment is a file of sorted records that say where chunks are: a cache of
// index/ in the state directory, or what a long run has itself written. It is
// this machine's own affair and no part of the format: one that cannot be read
// is made again.
//
// The records come first, entryLen bytes each, then the footer as JSON, then
// the footer's length in 8 bytes.
type segment struct {
	file  *os.File
	path  string // "" if nothing names the file
	count int64
	fence []uint64 // the first 8 bytes, big-endian, of every fenceEvery-th id
	footer
}

// footer is the part of a segment that is read at once.
type footer struct {
	Runs    []segmentRun // what records name by number
	Objects []string     // the index objects whose chunks these are
}

type segmentRun struct{ Host, Run string }

const (
	entryLen   = 32 + 4 + 4 + 4 + 8 + 4 + 4 + 1 + 4 + 4 + 4
	fenceEvery = 64

	// maxFooter bounds the footer, in bytes: a million index objects and runs.
	maxFooter = 256 << 20
)

// errSegment means that a segment is not what was written. The cache is made again.
var errSegment = errors.New("damaged segment of the local index")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// entry is where one chunk is.
type entry struct {
	id chunk.ID
	at pack.Place
}

// writeSegment writes entries, which must come sorted by id, to f. Of entries
// with the same id the first is kept.
func writeSegment(f *os.File, objects []string, entries func(yield func(entry) error) error) error {
	w := bufio.NewWriterSize(f, 1<<20)
	foot := footer{Objects: objects}
	runs := map[segmentRun]uint32{}
	var last chunk.ID
	first := true
	var b []byte
	err := entries(func(e entry) error {
		if !first && e.id == last {
			return nil
		}
		first, last = false, e.id
		run := segmentRun{e.at.Host, e.at.Run.String()}
		i, ok := runs[run]
		if !ok {
			i = uint32(len(foot.Runs))
			runs[run] = i
			foot.Runs = append(foot.Runs, run)
		}
		b = appendEntry(b[:0], e, i)
		_, err := w.Write(b)
		return err
	})
	if err != nil {
		return err
	}
	text, err := json.Marshal(foot)
	if err != nil {
		return err
	}
	if _, err := w.Write(binary.LittleEndian.AppendUint64(text, uint64(len(text)))); err != nil {
		return err
	}
	return w.Flush()
}

func appendEntry(b []byte, e entry, run uint32) []byte {
	le := binary.LittleEndian
	start := len(b)
	b = append(b, e.id[:]...)
	b = le.AppendUint32(b, run)
	b = le.AppendUint32(b, e.at.Pack)
	b = le.AppendUint32(b, e.at.Ordinal)
	b = le.AppendUint64(b, e.at.Offset)
	b = le.AppendUint32(b, e.at.Sealed)
	b = le.AppendUint32(b, e.at.Plain)
	b = append(b, e.at.Codec)
	b = le.AppendUint32(b, e.at.Start)
	b = le.AppendUint32(b, e.at.Len)
	return le.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
}

// entry reads the record in b.
func (s *segment) entry(b []byte) (entry, error) {
	le := binary.LittleEndian
	if crc32.Checksum(b[:entryLen-4], castagnoli) != le.Uint32(b[entryLen-4:]) {
		return entry{}, errSegment
	}
	i := int(le.Uint32(b[32:]))
	if i >= len(s.Runs) {
		return entry{}, errSegment
	}
	run, err := keys.ParseRunID(s.Runs[i].Run)
	if err != nil {
		return entry{}, errSegment
	}
	e := entry{id: chunk.ID(b[:32])}
	e.at.Block = pack.Block{
		Host: s.Runs[i].Host, Run: run, Pack: le.Uint32(b[36:]), Ordinal: le.Uint32(b[40:]),
		Offset: le.Uint64(b[44:]), Sealed: le.Uint32(b[52:]), Plain: le.Uint32(b[56:]), Codec: b[60],
	}
	e.at.Start, e.at.Len = le.Uint32(b[61:]), le.Uint32(b[65:])
	return e, nil
}

// openSegment reads the footer and the fence of the segment in f, which it
// then owns.
func openSegment(f *os.File, path string) (*segment, error) {
	s := &segment{file: f, path: path}
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	var tail [8]byte
	if info.Size() < 8 {
		return nil, errSegment
	}
	if _, err := f.ReadAt(tail[:], info.Size()-8); err != nil {
		return nil, err
	}
	n := binary.LittleEndian.Uint64(tail[:])
	if n > maxFooter || int64(n) > info.Size()-8 || (info.Size()-8-int64(n))%entryLen != 0 {
		return nil, errSegment
	}
	text := make([]byte, n)
	if _, err := f.ReadAt(text, info.Size()-8-int64(n)); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, &s.footer); err != nil {
		return nil, errSegment
	}
	s.count = (info.Size() - 8 - int64(n)) / entryLen
	var b [8]byte
	for i := int64(0); i < s.count; i += fenceEvery {
		if _, err := f.ReadAt(b[:], i*entryLen); err != nil {
			return nil, err
		}
		s.fence = append(s.fence, binary.BigEndian.Uint64(b[:]))
	}
	return s, nil
}

func (s *segment) close() { _ = s.file.Close() }

// find looks up id.
func (s *segment) find(id chunk.ID) (pack.Place, bool, error) {
	key := binary.BigEndian.Uint64(id[:8])
	// The record is in the last group that begins before key, or, ids that
	// share 8 bytes being next to impossible but not wrong, in one after it.
	group := max(sort.Search(len(s.fence), func(i int) bool { return s.fence[i] >= key })-1, 0)
	buf := make([]byte, fenceEvery*entryLen)
	for ; group < len(s.fence) && s.fence[group] <= key; group++ {
		n := min(fenceEvery, s.count-int64(group)*fenceEvery)
		b := buf[:n*entryLen]
		if _, err := s.file.ReadAt(b, int64(group)*fenceEvery*entryLen); err != nil {
			return pack.Place{}, false, fmt.Errorf("read the local index: %w", err)
		}
		i := sort.Search(int(n), func(i int) bool { return bytes.Compare(b[i*entryLen:i*entryLen+32], id[:]) >= 0 })
		if i < int(n) && bytes.Equal(b[i*entryLen:i*entryLen+32], id[:]) {
			e, err := s.entry(b[i*entryLen : (i+1)*entryLen])
			return e.at, err == nil, err
		}
	}
	return pack.Place{}, false, nil
}

// cursor reads a segment's entries in order.
type cursor struct {
	s    *segment
	r    *bufio.Reader
	left int64
	e    entry
}

func (s *segment) cursor() *cursor {
	return &cursor{s: s, left: s.count, r: bufio.NewReaderSize(io.NewSectionReader(s.file, 0, s.count*entryLen), 256<<10)}
}

// next moves to the next entry; false at the end.
func (c *cursor) next() (bool, error) {
	if c.left == 0 {
		return false, nil
	}
	c.left--
	var b [entryLen]byte
	if _, err := io.ReadFull(c.r, b[:]); err != nil {
		return false, err
	}
	var err error
	c.e, err = c.s.entry(b[:])
	return err == nil, err
}

// mergeSegments gives the entries of all of them, sorted. Of equal ids that of
// the later segment comes first.
func mergeSegments(segments []*segment) func(yield func(entry) error) error {
	return func(yield func(entry) error) error {
		var cursors []*cursor
		for _, s := range slices.Backward(segments) {
			c := s.cursor()
			if ok, err := c.next(); err != nil {
				return err
			} else if ok {
				cursors = append(cursors, c)
			}
		}
		for len(cursors) > 0 {
			low := 0
			for i, c := range cursors[1:] {
				if c.e.id.Compare(cursors[low].e.id) < 0 {
					low = i + 1
				}
			}
			if err := yield(cursors[low].e); err != nil {
				return err
			}
			if ok, err := cursors[low].next(); err != nil {
				return err
			} else if !ok {
				cursors = slices.Delete(cursors, low, low+1)
			}
		}
		return nil
	}
}

// createSegment writes a segment to a new file in dir, durable and complete
// under its name or not there at all, and opens it.
func createSegment(dir string, objects []string, entries func(yield func(entry) error) error) (*segment, error) {
	f, err := os.CreateTemp(dir, unfinished+"*")
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, filepath.Base(f.Name())[len(unfinished):]+segmentSuffix)
	err = writeSegment(f, objects, entries)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = f.Close()
		_ = os.Remove(f.Name())
		return nil, err
	}
	return openSegment(f, path)
}

// What the files of segments are called: one that is being written, and one
// that is whole.
const (
	unfinished    = "new-"
	segmentSuffix = ".segment"
)
