package pack

import (
	"cmp"
	"io"
	"math"
	"slices"

	"tidemark/keys"
)

// An IndexBody is the body of an index object: which chunks some data packs
// of a run hold, so that the next run of the group does not write them again.
// It is not signed.
type IndexBody struct {
	Packs []IndexPack // ascending by N
	Ext   []Ext
}

// An IndexPack is one data pack in an index.
type IndexPack struct {
	N      uint32     // number of the pack in its run
	Blocks []DirBlock // as in its directory
}

// SealIndex returns the index object called name that holds packs, sealed for
// group. rand is crypto/rand.Reader but in tests. It sorts packs, which may
// come in any order, and panics if one stands twice.
func SealIndex(rand io.Reader, repo keys.RepositoryID, name string, group keys.Group, packs []IndexPack) ([]byte, error) {
	slices.SortFunc(packs, func(a, b IndexPack) int { return cmp.Compare(a.N, b.N) })
	return SealRecord(rand, Index, repo, name, IndexKey(group), EncodeIndex(IndexBody{Packs: packs}))
}

// OpenIndex opens the index object called name and returns its packs,
// ascending by N. The error is a [*DamageError], or wraps keys.ErrNotForUs if
// the object belongs to another group or epoch.
func OpenIndex(repo keys.RepositoryID, name string, group keys.Group, obj []byte) ([]IndexPack, error) {
	body, _, err := OpenRecord(Index, repo, name, obj, KeyRing{Groups: []keys.Group{group}})
	if err != nil {
		return nil, err
	}
	x, err := ParseIndex(name, body)
	return x.Packs, err
}

// EncodeIndex returns the body of an index object. It panics if the packs do
// not ascend.
//
//	size  field
//	   4  number of packs, u32
//	      each: number u32; number of blocks u32; the blocks as in the directory
//	      ext
func EncodeIndex(x IndexBody) []byte {
	var e Encoder
	e.U32(length[uint32](len(x.Packs), math.MaxUint32))
	for i, p := range x.Packs {
		if i > 0 && p.N <= x.Packs[i-1].N {
			panic("pack: encoding an index: packs do not ascend")
		}
		e.U32(p.N)
		e.dirBlocks(p.Blocks)
	}
	e.Ext(x.Ext)
	return e.B
}

// ParseIndex reads what [EncodeIndex] writes, and nothing else, from the
// body of the object called name. The error is a [*DamageError].
func ParseIndex(name string, body []byte) (IndexBody, error) {
	d := NewDecoder(name, body)
	var x IndexBody
	for i := range d.Count(4 + 4 + dirBlockLen + pieceLen) {
		p := IndexPack{N: d.U32()}
		if i > 0 && d.err == nil {
			d.ascending(cmp.Compare(x.Packs[i-1].N, p.N))
		}
		p.Blocks = d.dirBlocks()
		if d.err != nil {
			return IndexBody{}, d.err
		}
		x.Packs = append(x.Packs, p)
	}
	x.Ext = d.Ext()
	if err := d.Done(); err != nil {
		return IndexBody{}, err
	}
	return x, nil
}
