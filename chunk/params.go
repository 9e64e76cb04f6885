package chunk

import (
	"fmt"
	"math/bits"
)

// Bounds of [Params.MeanLen], in bytes.
const (
	// MinMeanLen is where what pages hold of each chunk, its id and place,
	// begins to weigh against the content.
	MinMeanLen = 16 << 10

	// DefaultMeanLen is a cold random read of one round trip and a few
	// milliseconds of transfer.
	DefaultMeanLen = 256 << 10

	// MaxMeanLen bounds the memory of a Splitter, and of whoever holds a
	// chunk: its MaxLen is 16 MiB.
	MaxMeanLen = 4 << 20
)

// Params are the lengths of chunks. They belong to a source and must not
// change while its points are to share content.
type Params struct {
	// MeanLen is about the mean length of a chunk, in bytes: a power of two
	// from MinMeanLen to MaxMeanLen. Zero means DefaultMeanLen. Files that a
	// program overwrites in pages, like a database's, do better with 64 KiB.
	//
	// Over random data the mean is 1.14 MeanLen, and the standard deviation
	// 0.30 of that.
	MeanLen int
}

// Check returns an error if p is not what MeanLen's comment allows.
func (p Params) Check() error {
	if m := p.meanLen(); m < MinMeanLen || m > MaxMeanLen || bits.OnesCount(uint(m)) != 1 {
		return fmt.Errorf("chunk: mean length %d: want a power of two from %d to %d", p.MeanLen, MinMeanLen, MaxMeanLen)
	}
	return nil
}

// MinLen returns MeanLen/4. Every chunk but the last of its span is longer.
func (p Params) MinLen() int { return p.meanLen() / 4 }

// MaxLen returns MeanLen·4. No chunk is longer.
func (p Params) MaxLen() int { return p.meanLen() * 4 }

func (p Params) meanLen() int {
	if p.MeanLen == 0 {
		return DefaultMeanLen
	}
	return p.MeanLen
}
