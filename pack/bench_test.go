package pack_test

import (
	"testing"

	"tidemark/pack"
)

const benchBlock = 256 << 10 // bytes, what writers make of small chunks

func BenchmarkCompress(b *testing.B) {
	for name, plain := range map[string][]byte{"random": random(benchBlock), "text": sourceText(b, benchBlock)} {
		b.Run(name, func(b *testing.B) {
			dst := make([]byte, 0, pack.CompressBound(len(plain)))
			b.SetBytes(int64(len(plain)))
			b.ReportAllocs()
			for b.Loop() {
				pack.Compress(dst, plain)
			}
		})
	}
}

// BenchmarkBuild builds packs of 32 MiB: sealing and SHA-256.
func BenchmarkBuild(b *testing.B) {
	plain := random(benchBlock)
	one := pieces(benchBlock)
	buf := make([]byte, 0, 33<<20)
	b.SetBytes(32 << 20)
	b.ReportAllocs()
	for b.Loop() {
		builder := newBuilder(pack.DataPack, 1, buf)
		for builder.Size() < 32<<20 {
			must(builder.AddBlock(pack.Raw, plain, benchBlock, one))
		}
		if _, _, err := builder.Finish(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpenBlock(b *testing.B) {
	for name, plain := range map[string][]byte{"random": random(benchBlock), "text": sourceText(b, benchBlock)} {
		builder := newBuilder(pack.DataPack, 1, nil)
		codec, data := pack.Compress(nil, plain)
		at := must(builder.AddBlock(codec, data, benchBlock, pieces(benchBlock)))
		packName, obj, err := builder.Finish()
		if err != nil {
			b.Fatal(err)
		}
		o := pack.NewOpener(secret().Repository, packName, pack.DataPack, fixedRun().Secret, 1)
		for room, dst := range map[string][]byte{"exact": make([]byte, 0, benchBlock), "slack": make([]byte, 0, benchBlock+64), "none": nil} {
			b.Run(name+"/"+room, func(b *testing.B) {
				b.SetBytes(benchBlock)
				b.ReportAllocs()
				for b.Loop() {
					must(o.OpenBlock(dst, at, sealed(obj, at)))
				}
			})
		}
	}
}
