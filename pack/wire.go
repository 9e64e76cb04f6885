package pack

import (
	"encoding/binary"
	"fmt"
	"math"

	"tidemark/chunk"
)

// An Ext is an extension: something that a later version of the format adds
// to a value. Those with an even ID are kept and ignored.
type Ext struct {
	ID    uint16
	Value []byte
}

// An Encoder appends values to B as docs/format.md, section 2, encodes them.
// Its methods panic if a value has no encoding, as a str8 of more than 255
// bytes: the caller has checked its limits.
type Encoder struct{ B []byte }

func (e *Encoder) U8(v uint8)       { e.B = append(e.B, v) }
func (e *Encoder) U16(v uint16)     { e.B = binary.LittleEndian.AppendUint16(e.B, v) }
func (e *Encoder) U32(v uint32)     { e.B = binary.LittleEndian.AppendUint32(e.B, v) }
func (e *Encoder) U64(v uint64)     { e.B = binary.LittleEndian.AppendUint64(e.B, v) }
func (e *Encoder) I64(v int64)      { e.U64(uint64(v)) }
func (e *Encoder) Raw(b []byte)     { e.B = append(e.B, b...) }
func (e *Encoder) ID(id chunk.ID)   { e.B = append(e.B, id[:]...) }
func (e *Encoder) Bytes32(b []byte) { e.U32(length[uint32](len(b), math.MaxUint32)); e.Raw(b) }

// Str8 appends a string of at most 255 bytes.
func (e *Encoder) Str8(s string) {
	e.U8(length[uint8](len(s), math.MaxUint8))
	e.B = append(e.B, s...)
}

// Str16 appends a string of at most 65,535 bytes.
func (e *Encoder) Str16(s string) {
	e.U16(length[uint16](len(s), math.MaxUint16))
	e.B = append(e.B, s...)
}

// Time appends seconds since 1970 and nanoseconds below 1,000,000,000.
func (e *Encoder) Time(sec int64, nsec uint32) {
	if nsec >= 1e9 {
		panic(fmt.Sprintf("pack: encoding a time with %d nanoseconds", nsec))
	}
	e.I64(sec)
	e.U32(nsec)
}

// Ext appends extensions, whose ids must ascend.
func (e *Encoder) Ext(exts []Ext) {
	e.U16(length[uint16](len(exts), math.MaxUint16))
	for i, x := range exts {
		if i > 0 && x.ID <= exts[i-1].ID {
			panic(fmt.Sprintf("pack: encoding extension %d after %d", x.ID, exts[i-1].ID))
		}
		e.U16(x.ID)
		e.Bytes32(x.Value)
	}
}

func length[T uint8 | uint16 | uint32](n, most int) T {
	if n > most {
		panic(fmt.Sprintf("pack: encoding %d bytes where at most %d fit", n, most))
	}
	return T(n)
}

// A Decoder takes values off the front of bytes, strictly. Its first error
// sticks; after it every value is zero. So a caller decodes a whole value and
// asks [Decoder.Done] once.
//
// Byte slices that it returns are parts of the input.
type Decoder struct {
	object string
	b      []byte
	size   int
	err    error
}

// NewDecoder returns a Decoder of b. Errors name object.
func NewDecoder(object string, b []byte) *Decoder {
	return &Decoder{object: object, b: b, size: len(b)}
}

// Fail makes reason the error of d, unless it has one.
func (d *Decoder) Fail(reason Reason, format string, args ...any) {
	if d.err == nil {
		d.err = damage(d.object, reason, format, args...)
	}
	d.b = nil
}

// Err returns the first error, a [*DamageError], or nil.
func (d *Decoder) Err() error { return d.err }

// Done returns the first error; it is one if bytes are left.
func (d *Decoder) Done() error {
	if len(d.b) > 0 {
		d.Fail(ReasonTrailing, "%d bytes after the end", len(d.b))
	}
	return d.err
}

// Len returns how many bytes are left.
func (d *Decoder) Len() int { return len(d.b) }

// Offset returns how many bytes were taken, while there is no error.
func (d *Decoder) Offset() int { return d.size - len(d.b) }

// Rest takes all bytes that are left.
func (d *Decoder) Rest() []byte {
	b := d.b
	d.b = nil
	return b
}

// Raw takes n bytes.
func (d *Decoder) Raw(n int) []byte {
	if n < 0 || n > len(d.b) {
		d.Fail(ReasonTruncated, "it ends early: %d bytes are wanted at offset %d of %d", n, d.Offset(), d.size)
		return nil
	}
	b := d.b[:n:n]
	d.b = d.b[n:]
	return b
}

func (d *Decoder) U8() uint8 {
	if b := d.Raw(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *Decoder) U16() uint16 {
	if b := d.Raw(2); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

func (d *Decoder) U32() uint32 {
	if b := d.Raw(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (d *Decoder) U64() uint64 {
	if b := d.Raw(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

func (d *Decoder) I64() int64 { return int64(d.U64()) }

func (d *Decoder) ID() chunk.ID {
	if b := d.Raw(len(chunk.ID{})); b != nil {
		return chunk.ID(b)
	}
	return chunk.ID{}
}

// Time takes seconds since 1970 and nanoseconds below 1,000,000,000.
func (d *Decoder) Time() (sec int64, nsec uint32) {
	sec, nsec = d.I64(), d.U32()
	if nsec >= 1e9 {
		d.Fail(ReasonRange, "a time with %d nanoseconds", nsec)
		return 0, 0
	}
	return sec, nsec
}

// Str8 takes a string of least to most bytes.
func (d *Decoder) Str8(least, most int) string {
	return string(d.bounded(int64(d.U8()), least, most))
}

// Str16 takes a string of least to most bytes.
func (d *Decoder) Str16(least, most int) string {
	return string(d.bounded(int64(d.U16()), least, most))
}

// Bytes32 takes least to most bytes after their length.
func (d *Decoder) Bytes32(least, most int) []byte {
	return d.bounded(int64(d.U32()), least, most)
}

func (d *Decoder) bounded(n int64, least, most int) []byte {
	switch {
	case d.err != nil:
		return nil
	case n < int64(least):
		d.Fail(ReasonLength, "a field of %d bytes, at least %d are wanted", n, least)
		return nil
	case n > int64(most):
		d.Fail(ReasonLimit, "a field of %d bytes, at most %d are allowed", n, most)
		return nil
	}
	return d.Raw(int(n))
}

// Count takes a u32 number of rows, each of at least size bytes, so that what
// a caller allocates for them is bounded by what is there.
func (d *Decoder) Count(size int) int {
	n := int64(d.U32())
	if n*int64(size) > int64(len(d.b)) {
		d.Fail(ReasonTruncated, "it ends early: %d rows do not fit into %d bytes", n, len(d.b))
		return 0
	}
	return int(n)
}

// Ext takes extensions. One with an odd id is an error that is [ErrTooOld].
func (d *Decoder) Ext() []Ext {
	n := int(d.U16())
	var exts []Ext
	for i := 0; i < n && d.err == nil; i++ {
		x := Ext{ID: d.U16(), Value: d.Bytes32(0, math.MaxInt32)}
		if d.err != nil {
			return nil
		}
		if i > 0 {
			d.ascending(int(exts[i-1].ID) - int(x.ID))
		}
		exts = append(exts, x)
	}
	for _, x := range exts {
		if x.ID%2 == 1 {
			d.Fail(ReasonExtension, "extension %d is unknown", x.ID)
		}
	}
	return exts
}

// ascending fails unless order, the comparison of a row with the next, is
// below 0.
func (d *Decoder) ascending(order int) {
	switch {
	case order == 0:
		d.Fail(ReasonDuplicate, "a row stands twice")
	case order > 0:
		d.Fail(ReasonOrder, "rows do not ascend")
	}
}
