package capture

import (
	"testing"

	"tidemark/pack"
)

// TestBlockTableSpills writes more packs than the table keeps in memory: the
// rows of all of them are found.
func TestBlockTableSpills(t *testing.T) {
	table, err := newBlockTable(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer table.close()
	const packs, blocks = recentPacks + 20, 5
	row := func(n, i uint32) pack.Block {
		return pack.Block{Pack: n, Ordinal: i, Offset: uint64(n*1000 + i), Sealed: n + 16, Plain: n, Codec: uint8(i % 2)}
	}
	for n := range uint32(packs) {
		for i := range uint32(blocks) {
			table.sealed(row(n, i))
		}
		if err := table.finished(n); err != nil {
			t.Fatal(err)
		}
	}
	inMemory := 0
	for n := range uint32(packs) {
		if table.packs[n].rows != nil {
			inMemory++
		}
		for i := range uint32(blocks) {
			got, err := table.fill(t.Context(), pack.Block{Pack: n, Ordinal: i})
			if err != nil || got != row(n, i) {
				t.Errorf("fill(block %d of pack %d) = %+v, %v; want %+v", i, n, got, err, row(n, i))
			}
		}
	}
	if inMemory != recentPacks {
		t.Errorf("%d packs are in memory, want %d", inMemory, recentPacks)
	}
}
