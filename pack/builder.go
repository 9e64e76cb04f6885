package pack

import (
	"crypto/cipher"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"slices"

	"tidemark/keys"
)

// A Builder makes one pack. It is for one goroutine. Blocks are sealed into
// its buffer as they are added, so that nothing is copied twice.
//
//	offset  size  field
//	     0        frame, kind 1 or 2
//	     f    16  run id
//	  f+16     4  number in its run, u32
//	  f+20   2+n  sealed run secret, str16
//	     h        blocks, sealed
//	     d     D  directory, sealed
//	  e-36     4  D, u32
//	  e-32    32  SHA-256 of all bytes before it
//
// A pack number is used for one string of bytes: the blocks' nonces are
// their ordinals. So who tries again after a failure sends the object that
// [Builder.Finish] returned, or builds another pack under another number.
type Builder struct {
	name   string
	pack   Block // what all blocks of this pack share
	aead   cipher.AEAD
	bind   binding
	buf    []byte
	sum    hash.Hash // of buf: taken of each block while the processor's cache has it
	blocks []DirBlock
	dirLen int // of the directory's bytes
}

// NewBuilder begins pack n, a [DataPack] or a [TreePack], of a run of host.
// It writes into buf[:0] and grows that if it must; buf is the caller's again
// when the finished object is done with. The error says that host is no
// host's name, or that the run has no sealed secret that fits. It panics if k
// is no kind of pack.
func NewBuilder(names *keys.Names, run *keys.Run, repo keys.RepositoryID, host string, k Kind, n uint32, buf []byte) (*Builder, error) {
	if k != DataPack && k != TreePack {
		panic(fmt.Sprintf("pack: building a pack of kind %d (%v)", k, k))
	}
	name, err := ObjectName(names, host, run.ID, n)
	if err != nil {
		return nil, err
	}
	if size := len(run.Sealed); size == 0 || size > keys.MaxSealedRun {
		return nil, fmt.Errorf("pack: %s: a sealed run secret of %d bytes, the format allows 1 to %d", name, size, keys.MaxSealedRun)
	}
	e := Encoder{AppendFrame(buf[:0], k, repo, name)}
	e.Raw(run.ID[:])
	e.U32(n)
	e.Str16(string(run.Sealed))
	sum := sha256.New()
	sum.Write(e.B)
	return &Builder{
		name:   name,
		pack:   Block{Host: host, Run: run.ID, Pack: n},
		aead:   packAEAD(repo, k, run.Secret.Key, n),
		bind:   newBinding(repo, run.ID, k, n),
		buf:    e.B,
		sum:    sum,
		dirLen: len(Directory{}.Encode()),
	}, nil
}

// AddBlock seals a block: data is what [Compress] made of plainLen bytes,
// which are pieces, one after the other. It returns where the block is. data
// is the caller's again; pieces stays with the Builder and its directory, and
// must not be changed. An error means that the block does not fit into this
// pack, or is none, and leaves the Builder as it was.
func (b *Builder) AddBlock(codec uint8, data []byte, plainLen uint32, pieces []Piece) (Block, error) {
	if err := b.check(codec, data, plainLen, pieces); err != nil {
		return Block{}, fmt.Errorf("pack: %s: adding block %d: %w", b.name, len(b.blocks), err)
	}
	at := b.pack
	at.Ordinal, at.Offset = uint32(len(b.blocks)), uint64(len(b.buf))
	at.Plain, at.Codec = plainLen, codec
	at.Sealed = b.seal(at.Ordinal, codec, plainLen, data)
	b.blocks = append(b.blocks, DirBlock{at.Offset, at.Sealed, at.Plain, at.Codec, pieces})
	b.dirLen += dirBlockLen + len(pieces)*pieceLen
	return at, nil
}

func (b *Builder) check(codec uint8, data []byte, plainLen uint32, pieces []Piece) error {
	if bad := checkLengths(uint64(len(data))+tagLen, plainLen, codec); bad != nil {
		return fmt.Errorf("%s", bad.Detail)
	}
	var sum uint64
	for _, p := range pieces {
		if p.Len == 0 {
			return fmt.Errorf("piece %s has no bytes", p.ID)
		}
		sum += uint64(p.Len)
	}
	dir := b.dirLen + dirBlockLen + len(pieces)*pieceLen + tagLen
	switch {
	case sum != uint64(plainLen):
		return fmt.Errorf("pieces of %d bytes in a block of %d", sum, plainLen)
	case len(b.blocks) == MaxBlocks, dir > MaxDirectory,
		len(b.buf)+len(data)+tagLen+dir+TrailerLen > MaxPack:
		return fmt.Errorf("the pack is full: it has %d bytes", b.Size())
	}
	return nil
}

// seal appends data, sealed, and returns its sealed length.
func (b *Builder) seal(ordinal uint32, codec uint8, plainLen uint32, data []byte) uint32 {
	start := len(b.buf)
	b.buf = slices.Grow(b.buf, len(data)+tagLen) // Seal itself would grow it by what it needs, each time
	b.bind.to(ordinal, codec, plainLen)
	b.buf = b.aead.Seal(b.buf, b.bind.nonce[:], data, b.bind.aad[:])
	b.sum.Write(b.buf[start:])
	return uint32(len(b.buf) - start)
}

// Directory returns the blocks that were added, in order. The caller must not
// change them.
func (b *Builder) Directory() []DirBlock { return b.blocks[:len(b.blocks):len(b.blocks)] }

// Size returns how many bytes the pack has if it is finished now.
func (b *Builder) Size() int64 { return int64(len(b.buf) + b.dirLen + tagLen + TrailerLen) }

// Finish ends the pack and returns its name and its bytes, which lie in the
// Builder's buffer. A pack of no blocks is an error. No block can be added
// any more.
func (b *Builder) Finish() (name string, object []byte, err error) {
	if len(b.blocks) == 0 {
		return "", nil, fmt.Errorf("pack: %s: finishing a pack of no blocks", b.name)
	}
	dir := Directory{Blocks: b.blocks}.Encode()
	size := b.seal(directoryOrdinal, Raw, uint32(len(dir)), dir)
	b.buf = binary.LittleEndian.AppendUint32(b.buf, size)
	b.sum.Write(b.buf[len(b.buf)-4:])
	b.buf = b.sum.Sum(b.buf)
	return b.name, b.buf, nil
}

// Format writes a placeholder, whatever the verb.
func (b *Builder) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "pack.Builder(%s, redacted)", b.name) }
