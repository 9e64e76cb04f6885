package fetch_test

import (
	"math/rand/v2"
	"testing"

	"tidemark/fetch"
	"tidemark/pack"
)

// BenchmarkCachedPage is one look at a page that is in memory.
func BenchmarkCachedPage(b *testing.B) {
	r := newRepo(b)
	p := r.write(r.run(host), pack.TreePack, 1, [][]byte{page(text(20<<10, 1))})[0][0]
	f := benchFetcher(b, r)
	for f.Stats().Fetches == 0 || f.Stats().Hits < 100 {
		check(b, f, p) // until the cache has admitted it
	}
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		if _, err := f.Page(b.Context(), p.id, p.at); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCachedPages is the same from several goroutines, for 1,000 pages.
func BenchmarkCachedPages(b *testing.B) {
	r := newRepo(b)
	var blocks [][][]byte
	for i := range uint64(100) {
		var block [][]byte
		for j := range uint64(10) {
			block = append(block, page(noise(20<<10, i<<8|j)))
		}
		blocks = append(blocks, block)
	}
	var pieces []piece
	for _, block := range r.write(r.run(host), pack.TreePack, 1, blocks...) {
		pieces = append(pieces, block...)
	}
	f := benchFetcher(b, r)
	for range 3 {
		for _, p := range pieces {
			check(b, f, p)
		}
	}
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			p := &pieces[rand.IntN(len(pieces))]
			if _, err := f.Page(b.Context(), p.id, p.at); err != nil {
				b.Error(err)
			}
		}
	})
}

// BenchmarkCachedChunk reads 4 KiB of a chunk whose block is in memory.
func BenchmarkCachedChunk(b *testing.B) {
	r := newRepo(b)
	p := r.write(r.run(host), pack.DataPack, 1, [][]byte{text(256<<10, 1)})[0][0]
	f := benchFetcher(b, r)
	check(b, f, p)
	dst := make([]byte, 4<<10)
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		c, err := f.Chunk(b.Context(), p.id, p.at)
		if err != nil {
			b.Fatal(err)
		}
		copy(dst, c.Bytes()[i%64<<12:])
		c.Release()
	}
}

// BenchmarkColdChunk fetches, decrypts, decompresses and checks chunks of
// 256 KiB, each a block of its own.
func BenchmarkColdChunk(b *testing.B) {
	for name, make := range map[string]func(n int, seed uint64) []byte{"text": text, "noise": noise} {
		b.Run(name, func(b *testing.B) {
			r := newRepo(b)
			var blocks [][][]byte
			for i := range uint64(128) { // 32 MiB: twice the memory
				blocks = append(blocks, [][]byte{make(256<<10, i)})
			}
			pieces := r.write(r.run(host), pack.DataPack, 1, blocks...)
			f, err := fetch.New(small, r.secret.Repository, r.store, r.secret)
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			b.SetBytes(256 << 10)
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				p := pieces[i%len(pieces)][0]
				c, err := f.Chunk(b.Context(), p.id, p.at)
				if err != nil {
					b.Fatal(err)
				}
				c.Release()
			}
			b.ReportMetric(float64(f.Stats().Misses)/float64(b.N), "misses/op")
		})
	}
}

// BenchmarkWalk reads all pages of a tree in the order in which they lie, as
// find does: 13 pages of 20 KiB in a block.
func BenchmarkWalk(b *testing.B) {
	r := newRepo(b)
	var blocks [][][]byte
	for i := range uint64(128) {
		var block [][]byte
		for j := range uint64(13) {
			block = append(block, page(text(20<<10, i<<8|j)))
		}
		blocks = append(blocks, block)
	}
	pieces := r.write(r.run(host), pack.TreePack, 1, blocks...)
	f, err := fetch.New(small, r.secret.Repository, r.store, r.secret)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	b.SetBytes(13 * 20 << 10)
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		for _, p := range pieces[i%len(pieces)] {
			if _, err := f.Page(b.Context(), p.id, p.at); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(f.Stats().Fetches)/float64(b.N), "fetches/op")
}

// benchFetcher returns a Fetcher as it is in use.
func benchFetcher(b *testing.B, r *repo) *fetch.Fetcher {
	b.Helper()
	f, err := fetch.New(fetch.Config{}, r.secret.Repository, r.store, r.secret)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(f.Close)
	return f
}
