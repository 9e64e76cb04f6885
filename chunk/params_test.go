package chunk_test

import (
	"fmt"
	"math"
	"testing"

	"tidemark/chunk"
)

func TestParams(t *testing.T) {
	for _, tt := range []struct {
		mean     int
		min, max int // 0: refused
	}{
		{0, 64 << 10, 1 << 20},
		{16 << 10, 4 << 10, 64 << 10},
		{64 << 10, 16 << 10, 256 << 10},
		{4 << 20, 1 << 20, 16 << 20},
		{8 << 10, 0, 0},
		{8 << 20, 0, 0},
		{100 << 10, 0, 0},
		{-256 << 10, 0, 0},
		{math.MinInt, 0, 0},
	} {
		t.Run(fmt.Sprint(tt.mean), func(t *testing.T) {
			p := chunk.Params{MeanLen: tt.mean}
			_, err := chunk.NewSplitter(chunk.NewTable(secret(0)), p, nil)
			if checkErr := p.Check(); (checkErr == nil) != (err == nil) {
				t.Fatalf("Check says %v, NewSplitter %v", checkErr, err)
			}
			if tt.max == 0 {
				if err == nil {
					t.Fatal("accepted")
				}
				return
			}
			if err != nil || p.MinLen() != tt.min || p.MaxLen() != tt.max {
				t.Errorf("MinLen %d, MaxLen %d, %v; want %d, %d", p.MinLen(), p.MaxLen(), err, tt.min, tt.max)
			}
		})
	}
}
