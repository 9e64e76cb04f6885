package chunk_test

import (
	"crypto/sha256"
	"math"
	"slices"
	"testing"

	"tidemark/chunk"
)

// TestInsertChangesFewChunks puts a byte into the middle of a content: the
// chunks find their old ends again soon.
func TestInsertChangesFewChunks(t *testing.T) {
	const mean, size = 16 << 10, 4 << 20
	chunks := func(content []byte) map[[32]byte]bool {
		seen := make(map[[32]byte]bool)
		s := newSplitter(t, mean, func(e chunk.Extent) error {
			seen[sha256.Sum256(e.Data)] = true
			return nil
		})
		s.Write(content)
		if err := s.Finish(); err != nil {
			t.Fatal(err)
		}
		return seen
	}
	content := stream(size)
	before := chunks(content)
	total := 0
	for at := size / 40; at < size; at += size / 20 {
		fresh := 0
		for id := range chunks(slices.Insert(slices.Clone(content), at, 'x')) {
			if !before[id] {
				fresh++
			}
		}
		if fresh == 0 || fresh > 8 {
			t.Errorf("a byte inserted at %d makes %d new chunks of %d", at, fresh, len(before))
		}
		total += fresh
	}
	if total > 3*20 {
		t.Errorf("20 insertions make %d new chunks together, want 3 each at most", total)
	}
}

// TestLengths compares the lengths of the chunks of random data with what the
// definition makes of it: exponential from MinLen at a rate of one cut in
// 4·MeanLen bytes, from MeanLen at four cuts in MeanLen. The mean of that is
// 1.141 MeanLen, its coefficient of variation 0.300.
func TestLengths(t *testing.T) {
	const mean = 16 << 10
	list := split(t, mean, stream(32<<20))
	list = list[:len(list)-1] // the last one ended with the content
	var sum, squares float64
	for _, n := range list {
		if n <= mean/4 || n > mean*4 {
			t.Errorf("a chunk of %d bytes", n)
		}
		sum += float64(n)
		squares += float64(n) * float64(n)
	}
	count := float64(len(list))
	got := sum / count
	cv := math.Sqrt(squares/count-got*got) / got
	t.Logf("%d chunks, mean %.0f, coefficient of variation %.3f", len(list), got, cv)
	if math.Abs(got/mean-1.141) > 0.03 {
		t.Errorf("mean length %.3f MeanLen, want 1.141", got/mean)
	}
	if math.Abs(cv-0.300) > 0.03 {
		t.Errorf("coefficient of variation %.3f, want 0.300", cv)
	}
}
