package pack

import (
	"crypto/cipher"
	"encoding/binary"

	"tidemark/keys"
)

const (
	packLabel        = "tidemark 1 pack"
	directoryOrdinal = 1<<32 - 1 // no block has it
)

// packAEAD returns what seals the blocks and the directory of one pack.
func packAEAD(repo keys.RepositoryID, k Kind, run keys.Key, n uint32) cipher.AEAD {
	info := append([]byte(packLabel), byte(k))
	info = binary.LittleEndian.AppendUint32(info, n)
	return run.Derive(repo[:], string(info)).AEAD()
}

// A binding is the nonce and the AAD of the blocks of one pack. They are
// arrays of one value, so that sealing a block allocates nothing.
//
//	offset  size  field of the AAD
//	     0    16  repository id
//	    16    16  run id
//	    32     4  pack number
//	    36     4  ordinal
//	    40     1  kind of the pack
//	    41     1  codec
//	    42     4  plain length
type binding struct {
	nonce [nonceLen]byte
	aad   [46]byte
}

func newBinding(repo keys.RepositoryID, run keys.RunID, k Kind, n uint32) binding {
	var b binding
	copy(b.aad[0:], repo[:])
	copy(b.aad[16:], run[:])
	binary.LittleEndian.PutUint32(b.aad[32:], n)
	b.aad[40] = byte(k)
	return b
}

// to makes b that of a block.
func (b *binding) to(ordinal uint32, codec uint8, plain uint32) {
	binary.LittleEndian.PutUint32(b.nonce[:], ordinal)
	binary.LittleEndian.PutUint32(b.aad[36:], ordinal)
	b.aad[41] = codec
	binary.LittleEndian.PutUint32(b.aad[42:], plain)
}
