package pack

import (
	"crypto/cipher"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strings"
	"sync"

	"tidemark/keys"
)

// A Header is the beginning of a pack: what a reader needs of it to open
// blocks, once it has opened the run's key.
type Header struct {
	Repository keys.RepositoryID
	Name       string // of the pack
	Kind       Kind
	Run        keys.RunID
	N          uint32 // number of the pack in its run
	Sealed     []byte // sealed run secret; part of the bytes that were read
	Len        int    // in bytes: the offset of the first block
}

// ParseHeader reads the header of the pack called name from its first bytes:
// [MaxHeader] of them are enough. The error is a [*DamageError].
func ParseHeader(obj []byte, repo keys.RepositoryID, name string, k Kind) (Header, error) {
	d := NewDecoder(name, obj[:min(len(obj), MaxHeader)])
	ParseFrame(d, k, repo, name)
	h := Header{Repository: repo, Name: name, Kind: k}
	copy(h.Run[:], d.Raw(len(h.Run)))
	h.N = d.U32()
	h.Sealed = parseSealedRun(d, true)
	h.Len = d.Offset()
	if err := d.Err(); err != nil {
		return Header{}, err
	}
	if !strings.HasSuffix(name, runSuffix(h.Run, h.N)) {
		return Header{}, damage(name, ReasonName, "its header is that of pack %08x of run %s", h.N, h.Run)
	}
	return h, nil
}

// Opener opens the header's run with ring, which may cost one opening by age,
// and returns what opens the pack. The error is a [*DamageError], or wraps
// keys.ErrNotForUs.
func (h Header) Opener(ring Ring) (*Opener, error) {
	run, err := ring.OpenRun(h.Sealed)
	if err != nil {
		return nil, runError(h.Name, err)
	}
	if id := run.ID(); id != h.Run {
		return nil, damage(h.Name, ReasonID, "the run secret in it is that of run %s, not of %s", id, h.Run)
	}
	return NewOpener(h.Repository, h.Name, h.Kind, run, h.N), nil
}

// An Opener opens the blocks of one pack. Its methods may be called
// concurrently. It cannot be printed.
type Opener struct {
	name string
	run  keys.RunID
	n    uint32
	aead cipher.AEAD
	bind binding
}

// NewOpener returns the Opener of pack n of run, which is called name, for a
// reader that has the run's secret already. With another run's secret, or for
// another pack, nothing opens.
func NewOpener(repo keys.RepositoryID, name string, k Kind, run keys.RunSecret, n uint32) *Opener {
	id := run.ID()
	return &Opener{name, id, n, packAEAD(repo, k, run.Key, n), newBinding(repo, id, k, n)}
}

// Format writes a placeholder, whatever the verb.
func (o *Opener) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "pack.Opener(%s, redacted)", o.name) }

// OpenBlock opens block b, whose bytes in the pack are sealed, and returns
// its plain bytes, in dst[:0] if that has room, or in a new slice. Room for
// [Slack] bytes more makes it quick; they may be overwritten. It does not
// change sealed, which dst must not overlap. That a piece in it is the one
// that was asked for is for the caller to check, by its id. The error is a
// [*DamageError].
func (o *Opener) OpenBlock(dst []byte, b Block, sealed []byte) (plain []byte, err error) {
	plain, bad := o.openBlock(dst, b, sealed)
	if bad != nil {
		return nil, bad.in(o.name, fmt.Sprintf("block %d", b.Ordinal))
	}
	return plain, nil
}

// scratch holds what is compressed between decryption and decompression.
var scratch = sync.Pool{New: func() any { return new([]byte) }}

func (o *Opener) openBlock(dst []byte, b Block, sealed []byte) ([]byte, *DamageError) {
	switch {
	case b.Run != o.run || b.Pack != o.n:
		return nil, flaw(ReasonID, "it is of pack %08x of run %s", b.Pack, b.Run)
	case len(sealed) < int(b.Sealed):
		return nil, flaw(ReasonTruncated, "%d bytes, want %d", len(sealed), b.Sealed)
	case len(sealed) > int(b.Sealed):
		return nil, flaw(ReasonTrailing, "%d bytes, want %d", len(sealed), b.Sealed)
	}
	if bad := checkLengths(uint64(b.Sealed), b.Plain, b.Codec); bad != nil {
		return nil, bad
	}
	if b.Codec == Raw {
		if cap(dst) < int(b.Plain) {
			dst = make([]byte, 0, b.Plain)
		}
		return o.open(dst[:0], b.Ordinal, b.Codec, b.Plain, sealed)
	}
	buf := scratch.Get().(*[]byte)
	defer scratch.Put(buf)
	data, bad := o.open((*buf)[:0], b.Ordinal, b.Codec, b.Plain, sealed)
	if bad != nil {
		return nil, bad
	}
	*buf = data
	return decompress(dst, b.Codec, data, b.Plain)
}

func (o *Opener) open(dst []byte, ordinal uint32, codec uint8, plain uint32, sealed []byte) ([]byte, *DamageError) {
	bind := o.bind
	bind.to(ordinal, codec, plain)
	out, err := o.aead.Open(dst, bind.nonce[:], sealed, bind.aad[:])
	if err != nil {
		return nil, flaw(ReasonSeal, "its seal does not open")
	}
	return out, nil
}

// OpenDirectory opens the directory of the pack, from tail, the last bytes of
// the pack, which has size bytes, the first block being at headerLen. tail
// holds the directory and the [TrailerLen] bytes after it: [DirectoryLen]
// says how many that are; it may be the whole pack. The error is a
// [*DamageError].
func (o *Opener) OpenDirectory(tail []byte, size int64, headerLen int) (Directory, error) {
	n, err := DirectoryLen(o.name, tail)
	if err != nil {
		return Directory{}, err
	}
	start := size - TrailerLen - n // in the pack
	at := int64(len(tail)) - TrailerLen - n
	if start < int64(headerLen) || at < 0 {
		return Directory{}, damage(o.name, ReasonTruncated, "directory: it has %d bytes, which are not there", n)
	}
	b, bad := o.open(nil, directoryOrdinal, Raw, uint32(n-tagLen), tail[at:at+n])
	if bad != nil {
		return Directory{}, bad.in(o.name, "directory")
	}
	dir, err := ParseDirectory(o.name, b)
	if err != nil {
		return Directory{}, err
	}
	if first := dir.Blocks[0].Offset; first != uint64(headerLen) {
		return Directory{}, damage(o.name, ReasonRange, "directory: the first block begins at %d, the header ends at %d", first, headerLen)
	}
	if end := dir.Blocks[len(dir.Blocks)-1].end(); end != uint64(start) {
		return Directory{}, damage(o.name, ReasonRange, "directory: it begins at %d, the last block ends at %d", start, end)
	}
	return dir, nil
}

// TrailerLen is how many bytes of a pack follow its directory: the
// directory's length and the SHA-256.
const TrailerLen = 4 + sha256.Size

// DirectoryLen returns the length of the sealed directory of the pack called
// name, from its last bytes, at least [TrailerLen]. The error is a
// [*DamageError].
func DirectoryLen(name string, tail []byte) (int64, error) {
	if len(tail) < TrailerLen {
		return 0, damage(name, ReasonTruncated, "it ends early: %d bytes are no end of a pack", len(tail))
	}
	n := int64(binary.LittleEndian.Uint32(tail[len(tail)-TrailerLen:]))
	switch {
	case n <= tagLen:
		return 0, damage(name, ReasonLength, "a directory of %d bytes", n)
	case n > MaxDirectory:
		return 0, damage(name, ReasonLimit, "a directory of %d bytes, at most %d are allowed", n, MaxDirectory)
	}
	return n, nil
}

// Check reads the whole pack called name and checks what can be checked with
// no key: its SHA-256, its header, and that its directory fits in. The error
// is a [*DamageError].
func Check(obj []byte, repo keys.RepositoryID, name string, k Kind) (Header, error) {
	if len(obj) > MaxPack {
		return Header{}, damage(name, ReasonLimit, "%d bytes, at most %d are allowed", len(obj), MaxPack)
	}
	h, err := ParseHeader(obj, repo, name, k)
	if err != nil {
		return Header{}, err
	}
	n, err := DirectoryLen(name, obj[h.Len:])
	if err != nil {
		return Header{}, err
	}
	if int64(len(obj)-h.Len) < n+TrailerLen {
		return Header{}, damage(name, ReasonTruncated, "directory: it has %d bytes, which are not there", n)
	}
	end := len(obj) - sha256.Size
	if sum := sha256.Sum256(obj[:end]); string(sum[:]) != string(obj[end:]) {
		return Header{}, damage(name, ReasonSum, "its SHA-256 is %x, it says %x", sum, obj[end:])
	}
	return h, nil
}
