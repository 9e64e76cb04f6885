package pack

import (
	"encoding/binary"
	"errors"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// rawUnless is the part of its length that a block must lose for zstd to pay:
// less is not worth decoding it on every read.
const rawUnless = 16

// The coders are stateless between blocks and safe for concurrent use; each
// keeps the memory of as many blocks at a time as there are processors.
var (
	encoder = sync.OnceValue(newEncoder)
	decoder = sync.OnceValue(newDecoder)
)

func newEncoder() *zstd.Encoder {
	e, err := zstd.NewWriter(nil,
		zstd.WithEncoderLevel(zstd.SpeedFastest), // the next level costs twice the time for a few per cent
		zstd.WithEncoderCRC(false),               // the seal finds every flipped bit
		zstd.WithZeroFrames(true),
	)
	if err != nil {
		panic("pack: " + err.Error()) // the options above are constants
	}
	return e
}

func newDecoder() *zstd.Decoder {
	d, err := zstd.NewReader(nil,
		zstd.WithDecoderConcurrency(0), // as many as there are processors
		zstd.WithDecoderMaxMemory(MaxBlock),
		zstd.WithDecodeAllCapLimit(true),
	)
	if err != nil {
		panic("pack: " + err.Error()) // the options above are constants
	}
	return d
}

// CompressBound returns the room that [Compress] wants for n bytes, so that it
// allocates nothing even if they grow: zstd's 3 bytes for each 128 KiB, and
// its header.
func CompressBound(n int) int { return n + n>>17*3 + 64 }

// Compress returns plain as it is to be stored: compressed, in dst[:0] if
// that has room, or plain itself if zstd saves less than 1/16. It may be
// called concurrently.
func Compress(dst, plain []byte) (codec uint8, out []byte) {
	out = encoder().EncodeAll(plain, dst[:0])
	if (len(plain)-len(out))*rawUnless < len(plain) {
		return Raw, plain
	}
	return Zstd, out
}

// Slack is how many bytes more than a block's plain ones a buffer should have
// room for: the decoder of zstd copies in steps of 16 bytes, and takes twice
// the time where it must not write past the end.
const Slack = 32

// Decompress returns the plainLen bytes that data was made from, in dst[:0]
// if that has room, or in a new slice. Room for [Slack] bytes more makes it
// quick; they may be overwritten. It may be called concurrently. The error is
// a [*DamageError] that names object.
func Decompress(object string, dst []byte, codec uint8, data []byte, plainLen uint32) ([]byte, error) {
	plain, bad := decompress(dst, codec, data, plainLen)
	if bad != nil {
		bad.Object = object
		return nil, bad
	}
	return plain, nil
}

func decompress(dst []byte, codec uint8, data []byte, plainLen uint32) ([]byte, *DamageError) {
	if bad := checkLengths(uint64(len(data))+tagLen, plainLen, codec); bad != nil {
		return nil, bad
	}
	if codec == Raw {
		return append(dst[:0], data...), nil
	}
	if bad := checkFrame(data, plainLen); bad != nil {
		return nil, bad
	}
	n := int(plainLen)
	if cap(dst) < n {
		dst = make([]byte, 0, n+Slack)
	}
	plain, err := decoder().DecodeAll(data, dst[:0:min(cap(dst), n+Slack)])
	switch {
	case errors.Is(err, zstd.ErrDecoderSizeExceeded), errors.Is(err, zstd.ErrFrameSizeExceeded), errors.Is(err, zstd.ErrFrameSizeMismatch):
		return nil, flaw(ReasonLength, "it does not decompress to %d bytes: %v", n, err)
	case err != nil:
		return nil, flaw(ReasonCodec, "it does not decompress: %v", err)
	case len(plain) != n:
		return nil, flaw(ReasonLength, "it decompresses to %d bytes, want %d", len(plain), n)
	}
	return plain, nil
}

// checkFrame returns a flaw unless data is exactly one zstd frame, without a
// dictionary, that does not say another length than plainLen. The library
// would skip frames without data, and go on to a next frame.
//
// The layout is that of RFC 8878, section 3.1.1.
func checkFrame(data []byte, plainLen uint32) *DamageError {
	var h zstd.Header
	switch err := h.Decode(data); {
	case err != nil:
		return flaw(ReasonCodec, "it is no zstd frame: %v", err)
	case h.Skippable:
		return flaw(ReasonCodec, "it is a zstd frame without data")
	case h.DictionaryID != 0:
		return flaw(ReasonCodec, "it wants a zstd dictionary")
	case h.HasFCS && h.FrameContentSize != uint64(plainLen):
		return flaw(ReasonLength, "it decompresses to %d bytes, want %d", h.FrameContentSize, plainLen)
	}
	rest := data[h.HeaderSize:]
	for last := false; !last; {
		if len(rest) < 3 {
			return flaw(ReasonCodec, "its zstd frame ends early")
		}
		v := uint32(binary.LittleEndian.Uint16(rest)) | uint32(rest[2])<<16
		last = v&1 == 1
		size := int(v >> 3)
		if v>>1&3 == 1 { // one byte, repeated
			size = 1
		}
		if size > len(rest)-3 {
			return flaw(ReasonCodec, "its zstd frame ends early")
		}
		rest = rest[3+size:]
	}
	sum := 0
	if h.HasCheckSum {
		sum = 4
	}
	if len(rest) != sum {
		return flaw(ReasonCodec, "%d bytes after its zstd frame, want %d", len(rest), sum)
	}
	return nil
}
