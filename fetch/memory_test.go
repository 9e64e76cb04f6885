package fetch_test

import (
	"bytes"
	"math/rand/v2"
	"sync"
	"testing"

	"tidemark/fetch"
	"tidemark/pack"
)

// Random reads of ten times the memory, by readers that keep what they read
// while the Fetcher is not crowded, stay within it at every moment.
func TestMemoryBound(t *testing.T) {
	const (
		budget  = 16 << 20
		readers = 4
	)
	r := newRepo(t)
	run := r.run(host)
	var pieces []piece
	total := 0
	for n := uint32(1); total < 3*budget; n++ {
		var blocks [][][]byte
		for i := range uint64(12) {
			var block [][]byte
			for j := range uint64(4) {
				block = append(block, page(noise(rand.IntN(60<<10)+5000, uint64(n)<<32|i<<8|j)))
				total += len(block[j])
			}
			blocks = append(blocks, block)
		}
		for _, block := range r.write(run, []pack.Kind{pack.DataPack, pack.TreePack}[n%2], n, blocks...) {
			pieces = append(pieces, block...)
		}
	}
	f := r.fetcher(t, r.store, fetch.Config{MemoryBytes: budget})
	var wg sync.WaitGroup
	for range readers {
		wg.Go(func() {
			var kept []*fetch.Piece
			var want []piece
			for f.Stats().Bytes < 10*budget {
				p := pieces[rand.IntN(len(pieces))]
				if p.kind == pack.TreePack {
					check(t, f, p)
					continue
				}
				c, err := f.Chunk(t.Context(), p.id, p.at)
				if err != nil {
					t.Error(err)
					continue
				}
				kept, want = append(kept, c), append(want, p)
				for len(kept) > 0 && (f.Crowded() || len(kept) > 100) {
					if !bytes.Equal(kept[0].Bytes(), want[0].bytes) {
						t.Error("a piece changed while it was kept")
					}
					kept[0].Release()
					kept, want = kept[1:], want[1:]
				}
			}
			for _, c := range kept {
				c.Release()
			}
		})
	}
	wg.Wait()
	s := f.Stats()
	if s.MemoryPeak > budget || s.Memory > s.MemoryPeak {
		t.Errorf("%d bytes of %d were in use, %d now", s.MemoryPeak, budget, s.Memory)
	}
	if s.MemoryPeak < budget/2 {
		t.Errorf("this tests nothing: %+v", s)
	}
	f.Close()
	if s := f.Stats(); s.Memory != 0 || s.Held != 0 {
		t.Errorf("when all is closed: %+v", s)
	}
}

// Who keeps Pieces is told when that is enough.
func TestCrowded(t *testing.T) {
	r := newRepo(t)
	pieces := r.chunks(20, 256<<10)
	f := r.fetcher(t, r.store, small)
	var kept []*fetch.Piece
	for _, p := range pieces {
		if f.Crowded() {
			break
		}
		c, err := f.Chunk(t.Context(), p.id, p.at)
		if err != nil {
			t.Fatal(err)
		}
		kept = append(kept, c)
	}
	// A quarter of the memory, in buffers of 320 KiB.
	if held := f.Stats().Held; len(kept) != 13 || held != 13*320<<10 {
		t.Errorf("crowded by %d pieces of %d bytes in all", len(kept), held)
	}
	kept[0].Release()
	if f.Crowded() {
		t.Error("still crowded when a piece was released")
	}
	for _, c := range kept {
		c.Release()
	}
	if held := f.Stats().Held; held != 0 {
		t.Errorf("%d bytes are held", held)
	}
}

// Two pieces of a block hold it once.
func TestHeldBlocksCountOnce(t *testing.T) {
	r := newRepo(t)
	pieces := r.write(r.run(host), pack.DataPack, 1, [][]byte{text(100<<10, 1), text(100<<10, 2)})[0]
	f := r.fetcher(t, r.store, small)
	a, err := f.Chunk(t.Context(), pieces[0].id, pieces[0].at)
	if err != nil {
		t.Fatal(err)
	}
	one := f.Stats().Held
	b, err := f.Chunk(t.Context(), pieces[1].id, pieces[1].at)
	if err != nil {
		t.Fatal(err)
	}
	if two := f.Stats().Held; one < 200<<10 || two != one {
		t.Errorf("one piece holds %d bytes, two hold %d", one, two)
	}
	a.Release()
	a.Release()
	if still := f.Stats().Held; still != one {
		t.Errorf("%d bytes are held when one of two pieces is released, want %d", still, one)
	}
	b.Release()
	if none := f.Stats().Held; none != 0 {
		t.Errorf("%d bytes are held in the end", none)
	}
}

func TestBufferLen(t *testing.T) {
	for n := 1; n <= pack.MaxBlock; n += n/7 + 1 {
		size := fetch.BufferLen(n)
		if size < n || n > 4<<10 && size > n+n/4+1<<10 {
			t.Errorf("a buffer for %d bytes has %d", n, size)
		}
		if next := fetch.BufferLen(size - 64); n > 4<<10 && next != size {
			t.Errorf("a buffer of %d bytes is not used for %d", size, size-64)
		}
	}
}
