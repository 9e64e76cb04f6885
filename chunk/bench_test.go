package chunk_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"testing"

	"tidemark/chunk"
)

func BenchmarkChunkID(b *testing.B) {
	k := chunk.NewKeys(secret(0))
	for _, n := range []int{100, 4 << 10, 256 << 10} {
		p := stream(n)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				k.ChunkID(p)
			}
		})
	}
}

// BenchmarkSHA256 is what ChunkID is to be compared with.
func BenchmarkSHA256(b *testing.B) {
	p := stream(256 << 10)
	b.SetBytes(int64(len(p)))
	for b.Loop() {
		sha256.Sum256(p)
	}
}

// BenchmarkSplit is the whole Splitter but the reading: the bytes are in its
// buffer already. So it is the cut loop, the test for zeros and the moving of
// what is left over.
func BenchmarkSplit(b *testing.B) {
	for _, mean := range []int{64 << 10, 256 << 10} {
		for _, kind := range []string{"random", "text", "zeros", "hole"} {
			b.Run(fmt.Sprintf("%s/%dKiB", kind, mean>>10), func(b *testing.B) {
				benchmarkSplit(b, kind, mean)
			})
		}
	}
}

func benchmarkSplit(b *testing.B, kind string, mean int) {
	const size = 64 << 20
	s := newSplitter(b, mean, func(chunk.Extent) error { return nil })
	fill(s.Buffer(), kind)
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		for left := size; left > 0; {
			n := min(left, len(s.Buffer()))
			left -= n
			if kind == "hole" {
				s.Hole(int64(n))
			} else if err := s.Wrote(n); err != nil {
				b.Fatal(err)
			}
		}
		if err := s.Finish(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSplitAndID is what a file that is known already costs, from memory
// to ids, with its bytes copied into the buffer as a read would.
func BenchmarkSplitAndID(b *testing.B) {
	k := chunk.NewKeys(secret(0))
	s := newSplitter(b, 256<<10, func(e chunk.Extent) error {
		k.ChunkID(e.Data)
		return nil
	})
	content := make([]byte, 16<<20)
	fill(content, "random")
	for _, readLen := range []int{128 << 10, 1 << 20, 64 << 20} {
		b.Run(fmt.Sprintf("reads of %d KiB", readLen>>10), func(b *testing.B) {
			b.SetBytes(int64(len(content)))
			b.ReportAllocs()
			for b.Loop() {
				for rest := content; len(rest) > 0; {
					buf := s.Buffer()
					n := copy(buf[:min(len(buf), readLen)], rest)
					s.Wrote(n)
					rest = rest[n:]
				}
				if err := s.Finish(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// fill fills p with zeros, random bytes, or lines of words.
func fill(p []byte, kind string) {
	r := rand.New(rand.NewPCG(1, 2))
	switch kind {
	case "random":
		rand.NewChaCha8([32]byte{}).Read(p)
	case "text":
		words := bytes.Fields([]byte("the quick brown fox jumps over a lazy dog and returns nil error"))
		for len(p) > 0 {
			p = p[copy(p, words[r.IntN(len(words))]):]
			p = p[copy(p, " \n"[r.IntN(2):][:1]):]
		}
	}
}
