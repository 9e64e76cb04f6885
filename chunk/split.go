package chunk

import (
	"bytes"
	"fmt"
	"math"
	"math/bits"
)

const (
	// ZeroLen is the granularity of zero extents, in bytes: small enough for
	// the holes of sparse files, large enough that an extent's entry in a
	// page costs nothing beside it. Part of the format.
	ZeroLen = 64 << 10

	// ReadLen is the least that [Splitter.Buffer] returns, in bytes: enough
	// that the cost of a read does not show.
	ReadLen = 1 << 20
)

// zeros is what a unit of zeros is compared with.
var zeros [ZeroLen]byte

// An Extent is a piece of a content: a chunk, or a run of zeros.
type Extent struct {
	// Data is the chunk, of 1 to MaxLen bytes, or nil for zeros. It is a
	// part of the Splitter's buffer: see [NewSplitter].
	Data []byte

	// Len is the length in bytes: len(Data), or for zeros a multiple of
	// ZeroLen.
	Len int64
}

// Zero reports whether e is a run of zeros.
func (e Extent) Zero() bool { return e.Data == nil }

// A Splitter divides contents into extents, one content after the other.
//
// # Zero extents and spans
//
// A content is seen as units of [ZeroLen] bytes, the first at its offset 0;
// what is left at the end, if shorter, is no unit. A zero extent is a longest
// run of neighbouring units whose bytes are all zero. A span is a longest run
// of bytes outside the zero extents. So a span begins on a multiple of
// ZeroLen, and ends on one or at the end of the content. An empty content has
// no extents.
//
// # Chunks
//
// Each span is cut into chunks on its own. With G a [Table]'s entries and b
// the n bytes of the span that no chunk has yet:
//
//	h = 0
//	for i = MinLen; i < min(n, MaxLen); i++ {
//		h = h<<1 + G[b[i]], modulo 2^64
//		mask = S (strict) if i < MeanLen, else L (loose)
//		if h & mask == 0, the chunk is b[0] to b[i] inclusive: i+1 bytes
//	}
//	if none was found, the chunk is the first min(n, MaxLen) bytes
//
// S is a word with the top log2(MeanLen)+2 bits set, L one with the top
// log2(MeanLen)-2. So the bytes before MinLen are not hashed, each chunk
// begins with a hash of zero, and every chunk but the last of its span has
// MinLen+1 to MaxLen bytes. Cutting seldom before MeanLen and often after it
// keeps the lengths near the mean, so that an edit makes less new data than
// it would with one mask.
//
// # Use
//
// The caller reads into [Splitter.Buffer] and says how much with
// [Splitter.Wrote], tells what it knows to be a hole with [Splitter.Hole],
// and ends the content with [Splitter.Finish]. The extents are the same
// however the content was cut up into these calls. They come in order,
// without gaps, during the calls, by the function given to [NewSplitter].
//
// An error is final for the content: every later call returns it, until
// [Splitter.Reset].
//
// A Splitter is for one goroutine at a time. It holds MaxLen + ReadLen +
// ZeroLen bytes (2.06 MiB by default), allocates nothing more, and is worth
// keeping for the next content.
type Splitter struct {
	table                   Table
	minLen, meanLen, maxLen int
	strictMask, looseMask   uint64 // S and L
	emit                    func(Extent) error
	err                     error // of the content

	// The bytes that are in no extent yet are buf[start:end]. Those before
	// span are known to be data, and were searched for the chunk's end up to
	// start+searched. Those after it are less than a unit between calls, so
	// not known to be data or zeros; they begin at a multiple of ZeroLen in
	// the content.
	buf              []byte
	start, span, end int
	searched         int
	hash             uint64

	zeroLen int64 // length of the zero extent that ends at start, not emitted yet
	size    int64 // length of the content so far
}

// NewSplitter returns a Splitter that calls emit with each extent.
//
// An Extent's Data is valid until emit returns, and must not be modified: it
// is in the buffer that is read into, so that a chunk which is known already
// is never copied. emit must not call the Splitter. An error that it returns
// is returned, as it is, by the method that the Splitter was in.
func NewSplitter(t Table, p Params, emit func(Extent) error) (*Splitter, error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	log := bits.Len(uint(p.meanLen())) - 1
	return &Splitter{
		table:      t,
		minLen:     p.MinLen(),
		meanLen:    p.meanLen(),
		maxLen:     p.MaxLen(),
		strictMask: ^uint64(0) << (64 - (log + 2)),
		looseMask:  ^uint64(0) << (64 - (log - 2)),
		emit:       emit,
		buf:        make([]byte, p.MaxLen()+ZeroLen+ReadLen),
	}, nil
}

// Reset forgets the content so far, and an error, without emitting anything.
// The next content's extents go to emit.
func (s *Splitter) Reset(emit func(Extent) error) {
	s.emit, s.err = emit, nil
	s.start, s.span, s.end = 0, 0, 0
	s.searched, s.hash = 0, 0
	s.zeroLen, s.size = 0, 0
}

// Buffer returns where the content's next bytes are to be put: ReadLen bytes
// at the least. It is valid until the next call of any method.
func (s *Splitter) Buffer() []byte {
	if s.start == s.end || len(s.buf)-s.end < ReadLen {
		copy(s.buf, s.buf[s.start:s.end])
		s.span -= s.start
		s.end -= s.start
		s.start = 0
	}
	return s.buf[s.end:]
}

// Wrote says that the first n bytes of what [Splitter.Buffer] returned are
// the content's next n bytes.
func (s *Splitter) Wrote(n int) error {
	if n < 0 || n > len(s.buf)-s.end {
		panic(fmt.Sprintf("chunk: %d bytes written to a buffer of %d", n, len(s.buf)-s.end))
	}
	if s.grow(int64(n)) {
		s.take(n)
	}
	return s.err
}

// Write adds p to the content, for callers that have it in memory. It copies
// p, and returns len(p) or an error.
func (s *Splitter) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		n := copy(s.Buffer(), rest)
		if err := s.Wrote(n); err != nil {
			return 0, err
		}
		rest = rest[n:]
	}
	return len(p), nil
}

// Hole adds n zeros to the content. Whole units of them cost nothing.
func (s *Splitter) Hole(n int64) error {
	if !s.grow(n) {
		return s.err
	}
	// The units that the hole begins and ends in may hold data too. So the
	// zeros there are written out; between the two nothing is pending.
	head := min(n, int64(s.span-s.end+ZeroLen)%ZeroLen)
	s.takeZeros(int(head))
	if units := (n - head) / ZeroLen * ZeroLen; units > 0 {
		s.endSpan()
		s.zeroLen += units
	}
	s.takeZeros(int((n - head) % ZeroLen))
	return s.err
}

// Finish ends the content: it emits what is left, and makes s ready for the
// next content, whose extents go to the same function.
func (s *Splitter) Finish() error {
	s.span = s.end // less than a unit: data, zeros or not
	s.cut()
	s.endSpan()
	s.flushZeros()
	if s.err == nil {
		s.Reset(s.emit)
	}
	return s.err
}

// grow counts n more bytes of content. It reports whether the content is in
// order: no error yet, and an end that a file can have.
func (s *Splitter) grow(n int64) bool {
	if s.err == nil && (n < 0 || n > math.MaxInt64-s.size) {
		s.err = fmt.Errorf("chunk: %d bytes at offset %d: no content ends there", n, s.size)
	}
	if s.err == nil {
		s.size += n
	}
	return s.err == nil
}

// take takes in the first n bytes of the buffer's free part. It tells the
// units among what is now whole apart, and emits what that decides.
func (s *Splitter) take(n int) {
	s.end += n
	for s.err == nil && s.end-s.span >= ZeroLen {
		if bytes.Equal(s.buf[s.span:s.span+ZeroLen], zeros[:]) {
			s.endSpan()
			s.span += ZeroLen
			s.start = s.span
			s.zeroLen += ZeroLen
		} else {
			s.span += ZeroLen
			s.cut()
		}
	}
}

// takeZeros takes in n zeros, fewer than ZeroLen.
func (s *Splitter) takeZeros(n int) {
	if s.err == nil && n > 0 {
		clear(s.Buffer()[:n])
		s.take(n)
	}
}

// cut emits the chunks that end in the span as far as it is known.
func (s *Splitter) cut() {
	for s.err == nil {
		n, found := s.search(s.buf[s.start:s.span])
		if !found {
			return
		}
		s.emitChunk(n)
	}
}

// search continues the search for the end of the chunk that begins with b. It
// returns the chunk's length if b has all of it.
func (s *Splitter) search(b []byte) (n int, found bool) {
	gear := s.table.gear()
	i := max(s.searched, s.minLen)
	if end := min(len(b), s.meanLen); i < end {
		n, s.hash, found = roll(gear, s.hash, b[i:end], s.strictMask)
		i += n
	}
	if end := min(len(b), s.maxLen); i < end && !found {
		n, s.hash, found = roll(gear, s.hash, b[i:end], s.looseMask)
		i += n
	}
	s.searched = i
	return i, found || i == s.maxLen
}

// endSpan emits the last chunk of a span, if any of it is left.
func (s *Splitter) endSpan() {
	if s.err == nil && s.start < s.span {
		s.emitChunk(s.span - s.start)
	}
}

// emitChunk emits the next n bytes as a chunk, and the zeros before them.
func (s *Splitter) emitChunk(n int) {
	s.flushZeros()
	if s.err != nil {
		return
	}
	end := s.start + n
	s.err = s.emit(Extent{Data: s.buf[s.start:end:end], Len: int64(n)})
	s.start = end
	s.searched, s.hash = 0, 0
}

// flushZeros emits the zero extent that waits to be known whole.
func (s *Splitter) flushZeros() {
	if s.err == nil && s.zeroLen > 0 {
		s.err = s.emit(Extent{Len: s.zeroLen})
		s.zeroLen = 0
	}
}
