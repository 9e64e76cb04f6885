package chunk

import (
	"math/rand/v2"
	"testing"
)

// The vector was computed by a separate program, in Python. The test is
// inside the package because a Table shows its entries to nobody.
func TestTableVector(t *testing.T) {
	var key [32]byte
	for i := range key {
		key[i] = byte(i)
	}
	gear := NewTable(key).gear()
	for i, want := range map[int]uint64{
		0:   0xe9988060c9dee8b2,
		1:   0xe4da8d8a620d8d9d,
		2:   0xe77cf0defa5bbd41,
		3:   0xe22a770fbd50188d,
		255: 0x91ae7f848c13c519,
	} {
		if gear[i] != want {
			t.Errorf("entry %d is %#016x, want %#016x", i, gear[i], want)
		}
	}
}

// BenchmarkRoll is the cut loop alone, with the mask that a chunk of the
// default mean has before MeanLen.
func BenchmarkRoll(b *testing.B) {
	mask := ^uint64(0)
	mask <<= 64 - 20
	gear := NewTable([32]byte{}).gear()
	p := make([]byte, 1<<20)
	rand.NewChaCha8([32]byte{}).Read(p)
	b.SetBytes(int64(len(p)))
	for b.Loop() {
		for rest := p; len(rest) > 0; {
			n, _, _ := roll(gear, 0, rest, mask)
			rest = rest[n:]
		}
	}
}
