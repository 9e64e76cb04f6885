package chunk_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"tidemark/chunk"
)

// This file holds what the tests compare with, the definition taken
// literally, and what makes contents and tells them to a Splitter.

// reference is the definition in Splitter's comment, taken literally.
func reference(mean int, content []byte) (list extents) {
	const unit = chunk.ZeroLen
	isZero := func(off int) bool { // is there a unit of zeros at off?
		return off+unit <= len(content) && !bytes.ContainsFunc(content[off:off+unit], func(r rune) bool { return r != 0 })
	}
	gear := referenceTable(secret(0))
	for off := 0; off < len(content); {
		end := off
		for isZero(end) {
			end += unit
		}
		if end > off {
			list = append(list, -int64(end-off))
			off = end
			continue
		}
		for end < len(content) && !isZero(end) {
			end = min(end+unit, len(content))
		}
		for off < end {
			n := referenceCut(gear, mean, content[off:end])
			list = append(list, int64(n))
			off += n
		}
	}
	return list
}

// referenceCut returns the length of the first chunk of span.
func referenceCut(gear *[256]uint64, mean int, span []byte) int {
	log := int(math.Log2(float64(mean)))
	n := min(len(span), 4*mean)
	h := uint64(0)
	for i := mean / 4; i < n; i++ {
		h = h<<1 + gear[span[i]]
		zeroBits := log + 2
		if i >= mean {
			zeroBits = log - 2
		}
		if h>>(64-zeroBits) == 0 {
			return i + 1
		}
	}
	return n
}

// referenceTable is the definition of the Gear table, by HMAC alone.
func referenceTable(key [32]byte) *[256]uint64 {
	mac := func(key []byte, parts ...[]byte) []byte {
		h := hmac.New(sha256.New, key)
		h.Write(slices.Concat(parts...))
		return h.Sum(nil)
	}
	prk := mac(make([]byte, 32), key[:])
	var out, last []byte
	for i := byte(1); len(out) < 2048; i++ {
		last = mac(prk, last, []byte("tidemark 1 gear table"), []byte{i})
		out = append(out, last...)
	}
	gear := new([256]uint64)
	for i := range gear {
		gear[i] = binary.LittleEndian.Uint64(out[8*i:])
	}
	return gear
}

// stream returns the first n bytes of SHA-256(0), SHA-256(1), …, each number
// as eight bytes, little-endian.
func stream(n int) []byte {
	var b []byte
	for i := uint64(0); len(b) < n; i++ {
		sum := sha256.Sum256(binary.LittleEndian.AppendUint64(nil, i))
		b = append(b, sum[:]...)
	}
	return b[:n]
}

// An operation of a feed, so that a failure shows what it was.
type operation struct {
	kind string
	n    int
}

// feed gives content to s in pieces that r chooses: as buffers filled, as
// writes, and where it is zero as holes, aligned or not.
func feed(t testing.TB, s *chunk.Splitter, content []byte, r *rand.Rand) (done []operation) {
	t.Helper()
	for rest := content; len(rest) > 0; {
		n := 1 + r.IntN(1<<(1+r.IntN(21)))
		kind := [...]string{"buffer", "write", "hole"}[r.IntN(3)]
		var err error
		switch kind {
		case "buffer":
			buf := s.Buffer()
			if len(buf) < chunk.ReadLen {
				t.Fatalf("Buffer has %d bytes", len(buf))
			}
			n = copy(buf[:min(n, len(buf))], rest)
			err = s.Wrote(n)
		case "write":
			n = min(n, len(rest))
			_, err = s.Write(rest[:n])
		case "hole":
			zeros := len(rest) - len(bytes.TrimLeft(rest, "\x00"))
			if zeros > 1 && r.IntN(2) == 0 {
				zeros = 1 + r.IntN(zeros)
			}
			n = zeros
			err = s.Hole(int64(n))
		}
		done = append(done, operation{kind, n})
		if err != nil {
			t.Fatalf("%v: %v", done, err)
		}
		rest = rest[n:]
	}
	return done
}

// mixture returns a content of random pieces: noise, zeros, short periods and
// zeros with a byte among them.
func mixture(r *rand.Rand, size int) []byte {
	b := make([]byte, 0, size)
	for len(b) < size {
		n := 1 + r.IntN(1<<(8+r.IntN(12)))
		if r.IntN(4) == 0 {
			n = max(1, (n+chunk.ZeroLen-1)&^(chunk.ZeroLen-1)-len(b)%chunk.ZeroLen) // to a boundary
		}
		p := make([]byte, min(n, size-len(b)))
		switch r.IntN(5) {
		case 0, 1:
			for i := range p {
				p[i] = byte(r.Uint32())
			}
		case 2:
			p[r.IntN(len(p))] = 1
		case 3:
			period := 1 + r.IntN(300)
			for i := range p {
				p[i] = byte(i % period)
			}
		}
		b = append(b, p...)
	}
	return b
}
