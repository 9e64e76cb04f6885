package pack_test

import (
	"bytes"
	"runtime"
	"testing"

	"github.com/klauspost/compress/zstd"

	"tidemark/pack"
)

func TestCompress(t *testing.T) {
	text := sourceText(t, 1<<20)
	for _, tt := range []struct {
		name  string
		plain []byte
		codec uint8
	}{
		{"a byte", []byte("x"), pack.Raw},
		{"ten bytes", []byte("aaaaaaaaaa"), pack.Raw},
		{"a hundred equal bytes", bytes.Repeat([]byte("a"), 100), pack.Zstd},
		{"source text", text[:256<<10], pack.Zstd},
		{"random bytes", random(256 << 10), pack.Raw},
		{"random bytes, a 17th of them text", append(random(256<<10), text[:16<<10]...), pack.Raw},
		{"random bytes, a quarter of them text", append(random(256<<10), text[:86<<10]...), pack.Zstd},
		{"16 MiB of zeros", make([]byte, pack.MaxBlock), pack.Zstd},
		{"16 MiB of random bytes", random(pack.MaxBlock), pack.Raw},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dst := make([]byte, 3, pack.CompressBound(len(tt.plain)))
			codec, out := pack.Compress(dst, tt.plain)
			if codec != tt.codec {
				t.Errorf("codec is %d for %d of %d bytes, want %d", codec, len(out), len(tt.plain), tt.codec)
			}
			if codec == pack.Raw && &out[0] != &tt.plain[0] {
				t.Error("what is stored raw is copied")
			}
			if codec == pack.Zstd && (&out[0] != &dst[0] || (len(tt.plain)-len(out))*16 < len(tt.plain)) {
				t.Errorf("%d bytes are compressed to %d, in the buffer given: %t", len(tt.plain), len(out), &out[0] == &dst[0])
			}
			for _, room := range []int{0, len(tt.plain), len(tt.plain) + 100} {
				got, err := pack.Decompress("x", make([]byte, 0, room), codec, out, uint32(len(tt.plain)))
				if err != nil || !bytes.Equal(got, tt.plain) {
					t.Errorf("with room for %d bytes: %d bytes, %v", room, len(got), err)
				}
			}
		})
	}
}

// frame returns a zstd frame of plain, as some program might make it.
func frame(plain []byte, opts ...zstd.EOption) []byte {
	e := must(zstd.NewWriter(nil, opts...))
	return e.EncodeAll(plain, nil)
}

// streamed returns a zstd frame that does not say how long its content is.
func streamed(plain []byte) []byte {
	var b bytes.Buffer
	e := must(zstd.NewWriter(&b))
	must(e.Write(plain[:1]))
	if err := e.Flush(); err != nil {
		panic(err)
	}
	must(e.Write(plain[1:]))
	if err := e.Close(); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func TestDecompress(t *testing.T) {
	plain := bytes.Repeat([]byte("sixteen bytes ok"), 64) // 1 KiB
	small := frame(plain, zstd.WithEncoderCRC(false))
	withSum := frame(plain)
	skippable := append([]byte{0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0}, "skip"...)
	dictionary := frame(plain, zstd.WithEncoderDictRaw(7, bytes.Repeat(plain, 2)))
	var header zstd.Header
	if err := header.Decode(small); err != nil {
		t.Fatal(err)
	}
	lying := bytes.Clone(small) // says that its content has 1 KiB + 1, in two bytes
	lying[header.HeaderSize-2]++
	bomb := frame(make([]byte, 100<<20), zstd.WithSingleSegment(false), zstd.WithWindowSize(1<<20))
	for _, tt := range []struct {
		name   string
		codec  uint8
		data   []byte
		plain  int
		reason pack.Reason // "": it decompresses
	}{
		{"a frame", 1, small, 1024, ""},
		{"a frame with a checksum", 1, withSum, 1024, ""},
		{"a frame that does not say its length", 1, streamed(plain), 1024, ""},
		{"a frame of one segment", 1, frame(plain, zstd.WithSingleSegment(true)), 1024, ""},
		{"raw", 0, plain, 1024, ""},
		{"raw of another length", 0, plain, 1023, "length"},
		{"an unknown codec", 2, small, 1024, "codec"},
		{"a length less", 1, small, 1023, "length"},
		{"a length more", 1, small, 1025, "length"},
		{"a length less, unsaid", 1, streamed(plain), 1023, "length"},
		{"a length much less, unsaid", 1, streamed(plain), 200, "codec"},
		{"a length more, unsaid", 1, streamed(plain), 1025, "length"},
		{"length 0", 1, small, 0, "length"},
		{"more than 16 MiB", 1, small, pack.MaxBlock + 1, "limit"},
		{"a frame that lies about its length", 1, lying, 1025, "length"},
		{"a bomb", 1, bomb, 1 << 20, "length"},
		{"a longer frame than content", 1, small, 5, "length"},
		{"a damaged checksum", 1, change(withSum, len(withSum)-1, 1, withSum[len(withSum)-1]+1), 1024, "codec"},
		{"a frame cut by a byte", 1, small[:len(small)-1], 1024, "codec"},
		{"a frame cut to its header", 1, small[:6], 1024, "codec"},
		{"a byte after the frame", 1, append(bytes.Clone(small), 0), 1024, "codec"},
		{"two frames", 1, append(frame(plain[:512], zstd.WithEncoderCRC(false)), small...), 1024, "length"},
		{"two frames of one content", 1, append(bytes.Clone(small), small...), 1024, "codec"},
		{"an empty frame after it", 1, append(bytes.Clone(small), frame(nil, zstd.WithZeroFrames(true))...), 1024, "codec"},
		{"a skippable frame", 1, skippable, 1024, "codec"},
		{"a skippable frame before it", 1, append(bytes.Clone(skippable), small...), 1024, "codec"},
		{"a skippable frame after it", 1, append(bytes.Clone(small), skippable...), 1024, "codec"},
		{"a dictionary", 1, dictionary, 1024, "codec"},
		{"no frame", 1, []byte("hello, hello, hello"), 1024, "codec"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := pack.Decompress("the object", nil, tt.codec, tt.data, uint32(tt.plain))
			if tt.reason == "" {
				if err != nil || !bytes.Equal(got, plain) {
					t.Fatalf("Decompress = %d bytes, %v", len(got), err)
				}
				return
			}
			wantDamage(t, err, "the object", tt.reason)
		})
	}
}

// TestDecompressMemory: what a hostile frame says of itself is not what is
// allocated for it.
func TestDecompressMemory(t *testing.T) {
	bombs := map[string][]byte{
		"a frame that says 100 MiB":      frame(make([]byte, 100<<20)),
		"a frame that does not say":      streamed(make([]byte, 100<<20)),
		"a frame with a window of 8 MiB": frame(make([]byte, 100<<20), zstd.WithSingleSegment(false), zstd.WithWindowSize(8<<20)),
	}
	_, _ = pack.Decompress("x", nil, pack.Zstd, frame(make([]byte, 1000)), 1000) // makes the decoder
	for name, bomb := range bombs {
		plain := uint32(len(bomb) + 1000)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := pack.Decompress("x", nil, pack.Zstd, bomb, plain)
		runtime.ReadMemStats(&after)
		if err == nil {
			t.Errorf("%s decompresses to %d bytes", name, plain)
		}
		if got := after.TotalAlloc - before.TotalAlloc; got > 4*uint64(plain)+1<<20 {
			t.Errorf("%s: %d bytes are allocated for %d", name, got, plain)
		}
	}
}

func FuzzDecompress(f *testing.F) {
	plain := bytes.Repeat([]byte("sixteen bytes ok"), 64)
	f.Add(frame(plain, zstd.WithEncoderCRC(false)), uint32(1024))
	f.Add(frame(plain), uint32(1024))
	f.Add(streamed(plain), uint32(1024))
	f.Add(frame(plain[:1], zstd.WithSingleSegment(true)), uint32(1))
	_, data := pack.Compress(nil, plain[:200])
	f.Add(data, uint32(200))
	f.Fuzz(func(t *testing.T, data []byte, n uint32) {
		got, err := pack.Decompress("x", nil, pack.Zstd, data, n)
		if err != nil {
			return
		}
		if len(got) != int(n) {
			t.Fatalf("%d bytes, want %d", len(got), n)
		}
		again, err := pack.Decompress("x", make([]byte, 0, n), pack.Zstd, data, n)
		if err != nil || !bytes.Equal(again, got) {
			t.Fatalf("with other room it decompresses otherwise: %v", err)
		}
	})
}
