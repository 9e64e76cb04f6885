package chunk_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"tidemark/chunk"
)

func newSplitter(t testing.TB, mean int, emit func(chunk.Extent) error) *chunk.Splitter {
	t.Helper()
	s, err := chunk.NewSplitter(chunk.NewTable(secret(0)), chunk.Params{MeanLen: mean}, emit)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// extents is a list of extents to compare: the length of each, a zero
// extent's negative. A chunk's bytes follow from the content and the lengths.
type extents []int64

func (l *extents) add(e chunk.Extent) error {
	if e.Zero() {
		*l = append(*l, -e.Len)
	} else {
		*l = append(*l, e.Len)
	}
	return nil
}

// checker is given extents, and sees that they are the pieces of content.
type checker struct {
	extents
	t       testing.TB
	content []byte
	off     int
}

func (c *checker) emit(e chunk.Extent) error {
	c.t.Helper()
	if e.Len <= 0 || e.Len > int64(len(c.content)-c.off) {
		c.t.Fatalf("an extent of %d bytes at %d of %d", e.Len, c.off, len(c.content))
	}
	want := c.content[c.off:][:e.Len]
	switch {
	case e.Zero() && bytes.ContainsFunc(want, func(r rune) bool { return r != 0 }):
		c.t.Fatalf("a zero extent at %d where the content is data", c.off)
	case !e.Zero() && !bytes.Equal(e.Data, want):
		c.t.Fatalf("the chunk at %d is not the content's %d bytes there", c.off, e.Len)
	case !e.Zero() && cap(e.Data) != len(e.Data):
		c.t.Fatalf("the chunk at %d can be appended to", c.off)
	}
	c.off += int(e.Len)
	return c.add(e)
}

// split returns the extents of content, written at once.
func split(t testing.TB, mean int, content []byte) extents {
	t.Helper()
	c := checker{t: t, content: content}
	s := newSplitter(t, mean, c.emit)
	if n, err := s.Write(content); n != len(content) || err != nil {
		t.Fatalf("Write(%d bytes) = %d, %v", len(content), n, err)
	}
	finish(t, s, &c)
	return c.extents
}

func finish(t testing.TB, s *chunk.Splitter, c *checker) {
	t.Helper()
	if err := s.Finish(); err != nil {
		t.Fatalf("Finish: %v", err)
	}
	if c.off != len(c.content) {
		t.Fatalf("the extents end at %d of %d", c.off, len(c.content))
	}
}

// The vectors were computed by a separate program, in Python.
func TestSplitVectors(t *testing.T) {
	for _, tt := range []struct {
		name    string
		mean    int
		content []byte
		want    extents
	}{
		{"mean 16 KiB", 16 << 10, stream(256 << 10), extents{
			17578, 15934, 11817, 19048, 18992, 20022, 18287, 23002, 33615, 17447, 17942, 23258, 8988, 16214,
		}},
		{"mean 64 KiB", 64 << 10, stream(1 << 20), extents{
			83369, 94926, 67635, 75582, 82325, 109213, 115998, 108878, 80702, 75939, 127934, 26075,
		}},
		{"mean 256 KiB, the default", 0, stream(4 << 20), extents{
			301645, 263823, 354925, 297760, 281430, 283057, 227300, 275917, 329237, 291423, 215013, 284536, 589691, 198547,
		}},
		{"data, zeros, data, zeros", 16 << 10, slices.Concat(
			stream(100000), make([]byte, 300000), stream(50000), make([]byte, 3*65536+5),
		), extents{
			17578, 15934, 11817, 19048, 18992, 47703, -262144, 19369, 20927, 11817, 13423, -131072, 56789,
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := split(t, tt.mean, tt.content); !slices.Equal(got, tt.want) {
				t.Errorf("extents %v, want %v", got, tt.want)
			}
		})
	}
}

// TestHashBeginsAtMinLen has a cut so soon after MinLen that the hash of the
// bytes from there decides it alone, which random data has too seldom.
func TestHashBeginsAtMinLen(t *testing.T) {
	const mean, minLen, strict = 16 << 10, 4 << 10, 16
	gear := referenceTable(secret(0))
	for n := range uint32(1 << 24) {
		a, b, c := byte(n), byte(n>>8), byte(n>>16)
		h := (gear[a]<<1+gear[b])<<1 + gear[c]
		if h>>(64-strict) != 0 {
			continue
		}
		content := slices.Concat(bytes.Repeat([]byte{1}, minLen), []byte{a, b, c}, []byte("the rest"))
		want := extents{minLen + 3, 8}
		if got := split(t, mean, content); !slices.Equal(got, want) {
			t.Errorf("extents %v, want %v", got, want)
		}
		return
	}
	t.Fatal("no three bytes make a cut")
}

func TestZeroExtents(t *testing.T) {
	const unit = chunk.ZeroLen
	one := []byte{1}
	z := func(n int) []byte { return make([]byte, n) }
	for _, tt := range []struct {
		name    string
		content []byte
		want    extents
	}{
		{"an empty content has no extents", nil, nil},
		{"less than a unit is data", z(unit - 1), extents{unit - 1}},
		{"a unit", z(unit), extents{-unit}},
		{"the tail after a unit is data", z(unit + 1), extents{-unit, 1}},
		{"units join", z(50 * unit), extents{-50 * unit}},
		{"a byte at the end of the first unit", slices.Concat(z(unit-1), one, z(unit)), extents{unit, -unit}},
		{"a byte at the start of the second unit", slices.Concat(z(unit), one, z(2*unit-1)), extents{-unit, unit, -unit}},
		{"units are aligned to the content", slices.Concat(one, z(2*unit-2), one), extents{2 * unit}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			// A mean at which no chunk of these ends before its span does.
			if got := split(t, 1<<20, tt.content); !slices.Equal(got, tt.want) {
				t.Errorf("extents %v, want %v", got, tt.want)
			}
		})
	}
}

// TestHoleIsFree splits the largest sparse file there can be, twice.
func TestHoleIsFree(t *testing.T) {
	const unit = chunk.ZeroLen
	var got extents
	s := newSplitter(t, 0, got.add)
	for range 2 {
		got = nil
		s.Write([]byte{1})
		s.Hole(1 << 40)
		s.Hole(math.MaxInt64 - 1<<40 - 2)
		s.Write([]byte{1})
		if err := s.Finish(); err != nil {
			t.Fatal(err)
		}
		if want := (extents{unit, -(math.MaxInt64 - 2*unit + 1), unit - 1}); !slices.Equal(got, want) {
			t.Errorf("extents %v, want %v", got, want)
		}
	}
}

func TestImpossibleContent(t *testing.T) {
	for _, tt := range []struct {
		name string
		add  func(s *chunk.Splitter) error
	}{
		{"a negative hole", func(s *chunk.Splitter) error { return s.Hole(-1) }},
		{"a hole past the largest offset", func(s *chunk.Splitter) error {
			s.Hole(math.MaxInt64)
			return s.Hole(1)
		}},
		{"data past the largest offset", func(s *chunk.Splitter) error {
			s.Hole(math.MaxInt64)
			_, err := s.Write([]byte{1})
			return err
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSplitter(t, 0, new(extents).add)
			err := tt.add(s)
			if err == nil {
				t.Fatal("no error")
			}
			if again := s.Finish(); again != err {
				t.Errorf("Finish = %v, want the error before, %v", again, err)
			}
		})
	}
}

// TestExtentsDependOnBytesAlone splits contents, however they are told, and
// compares with the definition. One Splitter does all of them, so that
// nothing of a content is left for the next.
func TestExtentsDependOnBytesAlone(t *testing.T) {
	const mean = 16 << 10
	s := newSplitter(t, mean, nil)
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 0))
		content := mixture(r, r.IntN(1<<20))
		want := reference(mean, content)
		for range 3 {
			c := checker{t: t, content: content}
			s.Reset(c.emit)
			done := feed(t, s, content, r)
			finish(t, s, &c)
			if !slices.Equal(c.extents, want) {
				t.Fatalf("seed %d, %v:\nextents %v\nwant    %v", seed, done, c.extents, want)
			}
		}
	}
}

// FuzzSplit compares with the definition: program is a list of pieces of
// content, four bytes each, and seed chooses how the content is told.
func FuzzSplit(f *testing.F) {
	f.Add([]byte{}, uint64(0))
	f.Add([]byte{0, 7, 0, 1}, uint64(1))                                         // noise
	f.Add([]byte{1, 0, 0, 1, 0, 1, 0, 0, 1, 0, 0, 4, 2, 0, 0, 3}, uint64(2))     // zeros, noise, zeros, one byte
	f.Add([]byte{3, 255, 255, 7, 1, 255, 255, 7, 0, 255, 255, 7}, uint64(3))     // long pieces
	f.Add([]byte{1, 0, 0, 1, 2, 0, 0, 1, 1, 255, 255, 0, 0, 1, 0, 1}, uint64(4)) // about a unit
	const mean = 16 << 10
	s := newSplitter(f, mean, nil)
	f.Fuzz(func(t *testing.T, program []byte, seed uint64) {
		r := rand.New(rand.NewPCG(seed, 1))
		var content []byte
		for ; len(program) >= 4 && len(content) < 1<<20; program = program[4:] {
			p := make([]byte, int(binary.LittleEndian.Uint32(program)>>8)%(1<<19))
			switch kind := program[0]; {
			case len(p) == 0 || kind%4 == 1: // zeros
			case kind%4 == 0:
				for i := range p {
					p[i] = byte(r.Uint32())
				}
			case kind%4 == 2:
				p[len(p)-1] = kind
			case kind%4 == 3:
				for i := range p {
					p[i] = byte(i) % (kind>>2 + 1)
				}
			}
			content = append(content, p...)
		}
		c := checker{t: t, content: content}
		s.Reset(c.emit)
		done := feed(t, s, content, r)
		finish(t, s, &c)
		if want := reference(mean, content); !slices.Equal(c.extents, want) {
			t.Fatalf("%v:\nextents %v\nwant    %v", done, c.extents, want)
		}
	})
}

var errEmit = errors.New("emit failed")

// TestEmitErrors fails each call of emit in turn: the error comes back as it
// is and stays, nothing is emitted after it, and Reset mends all.
func TestEmitErrors(t *testing.T) {
	const mean = 16 << 10
	content := slices.Concat(stream(300000), make([]byte, 200000), stream(100000), make([]byte, 200000))
	want := reference(mean, content)
	s := newSplitter(t, mean, nil)
	failed := 0
	for failAt := range want {
		calls := 0
		s.Reset(func(chunk.Extent) error {
			calls++
			if calls > failAt {
				return errEmit
			}
			return nil
		})
		_, err := s.Write(content)
		if ferr := s.Finish(); ferr != errEmit || err != nil && err != errEmit {
			t.Fatalf("call %d failed: Write says %v, Finish %v", failAt, err, ferr)
		}
		if _, err := s.Write(content); err != errEmit {
			t.Errorf("Write after the error says %v", err)
		}
		if err := s.Hole(1 << 20); err != errEmit {
			t.Errorf("Hole after the error says %v", err)
		}
		if calls != failAt+1 {
			t.Errorf("emit was called %d times, failing from the %dth", calls, failAt+1)
		}
		failed++

		c := checker{t: t, content: content}
		s.Reset(c.emit)
		s.Write(content)
		finish(t, s, &c)
		if !slices.Equal(c.extents, want) {
			t.Errorf("after Reset: extents %v, want %v", c.extents, want)
		}
	}
	if failed < 20 {
		t.Errorf("only %d calls were failed", failed)
	}
}

// TestFinishMakesReady splits one content after the other without Reset.
func TestFinishMakesReady(t *testing.T) {
	var got extents
	s := newSplitter(t, 16<<10, got.add)
	var want extents
	for seed := range uint64(5) {
		content := mixture(rand.New(rand.NewPCG(seed, 2)), 200000)
		s.Write(content)
		if err := s.Finish(); err != nil {
			t.Fatal(err)
		}
		want = append(want, reference(16<<10, content)...)
	}
	if !slices.Equal(got, want) {
		t.Errorf("extents %v, want %v", got, want)
	}
}

func TestSplitAllocatesNothing(t *testing.T) {
	content := slices.Concat(stream(1<<20), make([]byte, 1<<20))
	s := newSplitter(t, 16<<10, func(chunk.Extent) error { return nil })
	if n := testing.AllocsPerRun(10, func() {
		s.Write(content)
		s.Hole(1 << 30)
		s.Finish()
	}); n != 0 {
		t.Errorf("splitting a content makes %v allocations", n)
	}
}

func TestWroteTooMuchPanics(t *testing.T) {
	s := newSplitter(t, 0, nil)
	for _, n := range []int{-1, len(s.Buffer()) + 1} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("Wrote(%d) does not panic", n)
				}
			}()
			s.Wrote(n)
		}()
	}
}
