package pack_test

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"tidemark/pack"
)

func TestWire(t *testing.T) {
	var e pack.Encoder
	e.U8(0x01)
	e.U16(0x0203)
	e.U32(0x04050607)
	e.U64(0x08090a0b0c0d0e0f)
	e.I64(-2)
	e.Time(-1, 999_999_999)
	e.Str8("ab")
	e.Str16("")
	e.Bytes32([]byte("c"))
	e.Raw([]byte("d"))
	e.ID(id(9))
	e.Ext([]pack.Ext{{ID: 2, Value: []byte("x")}, {ID: 4, Value: nil}})
	want := "\x01\x03\x02\x07\x06\x05\x04\x0f\x0e\x0d\x0c\x0b\x0a\x09\x08" +
		"\xfe\xff\xff\xff\xff\xff\xff\xff" + "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xc9\x9a\x3b" +
		"\x02ab" + "\x00\x00" + "\x01\x00\x00\x00c" + "d" + strings.Repeat("\x09", 32) +
		"\x02\x00" + "\x02\x00\x01\x00\x00\x00x" + "\x04\x00\x00\x00\x00\x00"
	if string(e.B) != want {
		t.Fatalf("encoded as\n%x, want\n%x", e.B, want)
	}
	d := pack.NewDecoder("x", e.B)
	if a, b, c, f, g := d.U8(), d.U16(), d.U32(), d.U64(), d.I64(); a != 1 || b != 0x203 || c != 0x4050607 || f != 0x8090a0b0c0d0e0f || g != -2 {
		t.Errorf("integers read back as %x %x %x %x %d", a, b, c, f, g)
	}
	if sec, nsec := d.Time(); sec != -1 || nsec != 999_999_999 {
		t.Errorf("the time reads back as %d, %d", sec, nsec)
	}
	if a, b, c, f := d.Str8(1, 2), d.Str16(0, 0), d.Bytes32(0, 9), d.Raw(1); a != "ab" || b != "" || string(c) != "c" || string(f) != "d" {
		t.Errorf("strings read back as %q %q %q %q", a, b, c, f)
	}
	if got := d.ID(); got != id(9) {
		t.Errorf("the id reads back as %v", got)
	}
	if d.Offset() != len(e.B)-15 || d.Len() != 15 {
		t.Errorf("Offset is %d, Len %d", d.Offset(), d.Len())
	}
	if x := d.Ext(); len(x) != 2 || x[0].ID != 2 || string(x[0].Value) != "x" || x[1].ID != 4 {
		t.Errorf("extensions read back as %v", x)
	}
	if err := d.Done(); err != nil {
		t.Error(err)
	}
}

func TestDecoderRefuses(t *testing.T) {
	for _, tt := range []struct {
		name   string
		bytes  string
		decode func(d *pack.Decoder)
		reason pack.Reason
	}{
		{"an empty u8", "", func(d *pack.Decoder) { d.U8() }, "truncated"},
		{"half a u16", "1", func(d *pack.Decoder) { d.U16() }, "truncated"},
		{"half a u32", "12", func(d *pack.Decoder) { d.U32() }, "truncated"},
		{"half a u64", "1234", func(d *pack.Decoder) { d.U64() }, "truncated"},
		{"half an id", "1234", func(d *pack.Decoder) { d.ID() }, "truncated"},
		{"bytes that are not there", "1234", func(d *pack.Decoder) { d.Raw(5) }, "truncated"},
		{"a negative length", "1234", func(d *pack.Decoder) { d.Raw(-1) }, "truncated"},
		{"bytes after the end", "12", func(d *pack.Decoder) { d.U8() }, "trailing"},
		{"a billion nanoseconds", "12345678\x00\xca\x9a\x3b", func(d *pack.Decoder) { d.Time() }, "range"},
		{"a str8 that is not there", "\x02a", func(d *pack.Decoder) { d.Str8(0, 255) }, "truncated"},
		{"a short str8", "\x01a", func(d *pack.Decoder) { d.Str8(2, 255) }, "length"},
		{"a long str8", "\x02aa", func(d *pack.Decoder) { d.Str8(0, 1) }, "limit"},
		{"a long str16", "\x02\x00aa", func(d *pack.Decoder) { d.Str16(0, 1) }, "limit"},
		{"a long bytes32", "\xff\xff\xff\xff", func(d *pack.Decoder) { d.Bytes32(0, 1<<20) }, "limit"},
		{"a bytes32 that is not there", "\xff\xff\x00\x00", func(d *pack.Decoder) { d.Bytes32(0, 1<<20) }, "truncated"},
		{"rows that are not there", "\xff\xff\xff\xff12", func(d *pack.Decoder) { d.Count(1) }, "truncated"},
		{"extensions that fall", "\x02\x00\x04\x00\x00\x00\x00\x00\x02\x00\x00\x00\x00\x00", func(d *pack.Decoder) { d.Ext() }, "order"},
		{"an extension twice", "\x02\x00\x04\x00\x00\x00\x00\x00\x04\x00\x00\x00\x00\x00", func(d *pack.Decoder) { d.Ext() }, "duplicate"},
		{"an odd extension", "\x02\x00\x02\x00\x00\x00\x00\x00\x03\x00\x00\x00\x00\x00", func(d *pack.Decoder) { d.Ext() }, "extension"},
		{"half an extension", "\x01\x00\x02\x00\x01\x00\x00\x00", func(d *pack.Decoder) { d.Ext() }, "truncated"},
		{"more extensions than there are", "\xff\xff\x02\x00\x00\x00\x00\x00", func(d *pack.Decoder) { d.Ext() }, "truncated"},
		{"the first error of two", "\x01a", func(d *pack.Decoder) { d.Str8(2, 2); d.U64() }, "length"},
		{"a caller's own", "\x01", func(d *pack.Decoder) { d.Fail(pack.ReasonFlags, "no %s", "flag"); d.U8() }, "flags"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := pack.NewDecoder("the object", []byte(tt.bytes))
			tt.decode(d)
			wantDamage(t, d.Done(), "the object", tt.reason)
			if d.U64() != 0 || d.Raw(1) != nil || d.Rest() != nil || d.Ext() != nil {
				t.Error("values after an error are not zero")
			}
		})
	}
}

func TestDecoderRest(t *testing.T) {
	d := pack.NewDecoder("x", []byte("abc"))
	d.U8()
	if got := d.Rest(); string(got) != "bc" || d.Done() != nil {
		t.Errorf("Rest is %q, Done %v", got, d.Done())
	}
}

func TestEncoderPanics(t *testing.T) {
	long := strings.Repeat("x", 1<<16)
	for what, f := range map[string]func(e *pack.Encoder){
		"a str8 of 256 bytes":     func(e *pack.Encoder) { e.Str8(long[:256]) },
		"a str16 of 64 KiB":       func(e *pack.Encoder) { e.Str16(long) },
		"a billion nanoseconds":   func(e *pack.Encoder) { e.Time(0, 1e9) },
		"extensions out of order": func(e *pack.Encoder) { e.Ext([]pack.Ext{{ID: 2}, {ID: 2}}) },
	} {
		wantPanic(t, what, func() { f(new(pack.Encoder)) })
	}
}

func FuzzExt(f *testing.F) {
	var e pack.Encoder
	e.Ext([]pack.Ext{{ID: 2, Value: []byte("x")}, {ID: 4}})
	f.Add(e.B)
	f.Add([]byte{0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		d := pack.NewDecoder("x", b)
		x := d.Ext()
		if d.Done() != nil {
			return
		}
		var e pack.Encoder
		if e.Ext(x); !bytes.Equal(e.B, b) {
			t.Fatalf("parsed %x, wrote back %x", b, e.B)
		}
	})
}

func TestFrame(t *testing.T) {
	const name = "points/a/b/c"
	repo := secret().Repository
	good := pack.AppendFrame([]byte("before"), pack.Point, repo, name)
	want := "beforeTDMK\x04\x01\x00\x00" + string(repo[:]) + "\x0c\x00" + name
	if string(good) != want {
		t.Fatalf("the frame is %x, want %x", good, want)
	}
	good = good[len("before"):]
	d := pack.NewDecoder(name, append(bytes.Clone(good), "rest"...))
	if err := pack.ParseFrame(d, pack.Point, repo, name); err != nil || string(d.Rest()) != "rest" {
		t.Errorf("ParseFrame = %v", err)
	}
	for _, tt := range []struct {
		name   string
		frame  []byte
		reason pack.Reason
	}{
		{"empty", nil, "truncated"},
		{"cut", good[:len(good)-1], "truncated"},
		{"another magic", change(good, 3, 1, 'L'), "magic"},
		{"a later version", change(good, 5, 1, 2), "version"},
		{"a later version and kind", change(good, 4, 2, 99, 2), "version"},
		{"version 0", change(good, 5, 1, 0), "range"},
		{"another kind", change(good, 4, 1, byte(pack.Intent)), "kind"},
		{"an unknown kind", change(good, 4, 1, 12), "kind"},
		{"reserved byte 6", change(good, 6, 1, 1), "reserved"},
		{"reserved byte 7", change(good, 7, 1, 1), "reserved"},
		{"another repository", change(good, 23, 1, 0), "repository"},
		{"another name", change(good, len(good)-1, 1, 'd'), "name"},
		{"a shorter name", change(good, 24, 1, 11), "name"},
		{"a longer name", append(change(good, 24, 1, 13), 'd'), "name"},
		{"a name of 64 KiB", change(good, 24, 2, 0xff, 0xff), "limit"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := pack.ParseFrame(pack.NewDecoder(name, tt.frame), pack.Point, repo, name)
			wantDamage(t, err, name, tt.reason)
		})
	}
}

func TestKinds(t *testing.T) {
	seen := map[string]bool{}
	for k := pack.DataPack; k <= pack.Feature; k++ {
		if s := k.String(); seen[s] || s == "unknown kind" || k.Limit() == 0 {
			t.Errorf("kind %d is called %q, and has the limit %d", k, s, k.Limit())
		}
		seen[k.String()] = true
	}
	for _, k := range []pack.Kind{0, 12, math.MaxUint8} {
		if k.String() != "unknown kind" || k.Limit() != 0 {
			t.Errorf("kind %d is called %q, and has the limit %d", k, k, k.Limit())
		}
	}
}

func FuzzFrame(f *testing.F) {
	repo := secret().Repository
	f.Add(pack.AppendFrame(nil, pack.DataPack, repo, "packs/a/b/c"), uint8(1), "packs/a/b/c")
	f.Add(pack.AppendFrame(nil, pack.Rules, repo, ""), uint8(7), "")
	f.Fuzz(func(t *testing.T, b []byte, k uint8, name string) {
		d := pack.NewDecoder("x", b)
		if pack.ParseFrame(d, pack.Kind(k), repo, name) != nil {
			return
		}
		if got := pack.AppendFrame(nil, pack.Kind(k), repo, name); !bytes.Equal(got, b[:d.Offset()]) {
			t.Fatalf("parsed %x, wrote back %x", b, got)
		}
	})
}
