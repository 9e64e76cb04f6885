package chunk

import (
	"encoding/binary"
	"fmt"
	"io"
)

// A Table is the Gear table of one chunking key: a random 64-bit word for
// each value of a byte, which the rolling hash of [Splitter] adds up.
//
// It is 2,048 bytes of HKDF-SHA-256 (secret: the chunking key; empty salt;
// info "tidemark 1 gear table"): entry i is the eight bytes at offset 8·i,
// little-endian.
//
// Tables are made by [NewTable]; the zero value is of no use. A Table does
// not change and may be shared; a copy is the same table. Like [Keys] it
// cannot be printed.
type Table struct {
	// gear returns the entries. It is a function because fmt, given a verb
	// that it does not know, follows a pointer.
	gear func() *[256]uint64
}

// NewTable derives the table from the chunking key.
func NewTable(chunkingKey [32]byte) Table {
	gear := new([256]uint64)
	b := derive(chunkingKey, gearLabel, 8*len(gear))
	for i := range gear {
		gear[i] = binary.LittleEndian.Uint64(b[8*i:])
	}
	return Table{func() *[256]uint64 { return gear }}
}

// Format writes a placeholder, whatever the verb.
func (Table) Format(f fmt.State, _ rune) { io.WriteString(f, "chunk.Table(redacted)") }

// roll continues the rolling hash h over b and stops after the first byte
// that leaves the bits of mask all zero. It returns the number of bytes
// hashed, the hash after them, and whether it stopped: if not, n is len(b).
//
// Each byte's step is h = h<<1 + gear[byte]. Four of them an iteration, with
// two steps joined into one (h<<2 + sum), keep the chain of dependent
// instructions at one a byte: 3.4 GB/s where the plain loop does 1.5. The
// slice c, and the loop's condition as it is written, spare bounds checks.
func roll(gear *[256]uint64, h uint64, b []byte, mask uint64) (n int, _ uint64, stopped bool) {
	i := 0
	for ; i < len(b)-3; i += 4 {
		c := b[i : i+4]
		g0, g1, g2, g3 := gear[c[0]], gear[c[1]], gear[c[2]], gear[c[3]]
		h1 := h<<1 + g0
		if h1&mask == 0 {
			return i + 1, h1, true
		}
		h2 := h<<2 + (g0<<1 + g1)
		if h2&mask == 0 {
			return i + 2, h2, true
		}
		h3 := h2<<1 + g2
		if h3&mask == 0 {
			return i + 3, h3, true
		}
		h = h2<<2 + (g2<<1 + g3)
		if h&mask == 0 {
			return i + 4, h, true
		}
	}
	for ; i < len(b); i++ {
		h = h<<1 + gear[b[i]]
		if h&mask == 0 {
			return i + 1, h, true
		}
	}
	return i, h, false
}
