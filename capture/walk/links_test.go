package walk_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"golang.org/x/sys/unix"
	"tidemark/capture/walk"
)

// TestLinks compares the table with a map, through its move to a file and
// several doublings there.
func TestLinks(t *testing.T) {
	type table struct {
		recordLen, count int
		memory           int64
		inFile           bool
	}
	tables := []table{
		{recordLen: 24, count: 2_000, memory: 1 << 20},
		{recordLen: 24, count: 10_000, memory: 32 << 10, inFile: true},
		{recordLen: 1, count: 3_000, memory: 1, inFile: true},
		{recordLen: 1024, count: 1_000, memory: 1, inFile: true},
	}
	for range 15 { // few records to a page: it is likely that the last one overflows into the first
		tables = append(tables, table{recordLen: 230, count: 1_000, memory: 1, inFile: true})
	}
	for _, tt := range tables {
		t.Run(fmt.Sprintf("%d of %d bytes in %d", tt.count, tt.recordLen, tt.memory), func(t *testing.T) {
			noLeaks(t)
			temp := t.TempDir()
			l, err := walk.NewLinks(walk.LinksConfig{RecordLen: tt.recordLen, Memory: tt.memory, TempDir: temp})
			must(t, err)
			defer l.Close()
			rng := rand.New(rand.NewPCG(5, uint64(tt.count)))
			want := make(map[[2]uint64][]byte)
			for range tt.count {
				key := [2]uint64{rng.Uint64N(3), rng.Uint64N(uint64(tt.count))} // some more than once
				checkLink(t, l, key, want[key], tt.recordLen)
				rec := make([]byte, tt.recordLen)
				for i := range rec {
					rec[i] = byte(rng.Uint32())
				}
				must(t, l.Put(key[0], key[1], rec))
				want[key] = rec
			}
			for key, rec := range want {
				checkLink(t, l, key, rec, tt.recordLen)
				checkLink(t, l, [2]uint64{key[0], ^key[1]}, nil, tt.recordLen)
			}
			if l.InFile() != tt.inFile {
				t.Errorf("in a file: %t", l.InFile())
			}
			if left, err := os.ReadDir(temp); len(left) > 0 || err != nil {
				t.Errorf("in TempDir: %v, %v", left, err)
			}
		})
	}
}

func checkLink(t *testing.T, l *walk.Links, key [2]uint64, want []byte, recordLen int) {
	t.Helper()
	got := make([]byte, recordLen)
	ok, err := l.Get(key[0], key[1], got)
	if err != nil || ok != (want != nil) || ok && !bytes.Equal(got, want) {
		t.Fatalf("Get(%d, %d) = %t, %v", key[0], key[1], ok, err)
	}
}

func TestLinksRefuses(t *testing.T) {
	for _, n := range []int{-1, 0, 1025} {
		if _, err := walk.NewLinks(walk.LinksConfig{RecordLen: n}); err == nil {
			t.Errorf("records of %d bytes were taken", n)
		}
	}
	l, err := walk.NewLinks(walk.LinksConfig{RecordLen: 8})
	must(t, err)
	if err := l.Put(1, 2, make([]byte, 7)); err == nil {
		t.Error("a short record was taken")
	}
	l.Close()
	if _, err := l.Get(1, 2, make([]byte, 8)); err == nil {
		t.Error("Get of a closed table gave no error")
	}
}

// TestLinksFullDisk fills a small filesystem: what the table had, it has.
func TestLinksFullDisk(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: mounting needs root")
	}
	temp := t.TempDir()
	must(t, unix.Mount("tmpfs", temp, "tmpfs", 0, "size=512k"))
	t.Cleanup(func() {
		if err := unix.Unmount(temp, 0); err != nil {
			t.Errorf("unmount: %v", err)
			unix.Unmount(temp, unix.MNT_DETACH)
		}
	})
	l, err := walk.NewLinks(walk.LinksConfig{RecordLen: 64, Memory: 16 << 10, TempDir: temp})
	must(t, err)
	defer l.Close()
	rec := func(i int) []byte { return bytes.Repeat([]byte{byte(i)}, 64) }
	put := 0
	for err == nil && put < 100_000 {
		if err = l.Put(1, uint64(put), rec(put)); err == nil {
			put++
		}
	}
	if !l.InFile() || put == 100_000 {
		t.Fatalf("%d records were put; in a file: %t", put, l.InFile())
	}
	t.Logf("after %d: %v", put, err)
	for i := range put {
		checkLink(t, l, [2]uint64{1, uint64(i)}, rec(i), 64)
	}
}
