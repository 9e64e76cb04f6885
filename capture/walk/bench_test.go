package walk_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"tidemark/capture/walk"
)

// benchTree makes 100,000 files in 1,000 directories.
func benchTree(b *testing.B) string {
	root := b.TempDir()
	for i := range 1000 {
		dir := filepath.Join(root, fmt.Sprintf("d%02d", i/100), fmt.Sprintf("d%03d", i))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			b.Fatal(err)
		}
		for j := range 100 {
			if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("file%03d", j)), nil, 0o644); err != nil {
				b.Fatal(err)
			}
		}
	}
	return root
}

// BenchmarkWalk compares a walk with the standard library's, on files in a warm
// cache.
func BenchmarkWalk(b *testing.B) {
	root := benchTree(b)
	b.Run("filepath.WalkDir", func(b *testing.B) { walkDir(b, root) })
	for _, workers := range []int{1, 8} {
		b.Run(fmt.Sprintf("workers=%d", workers), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				d, err := walk.Open(b.Context(), root, walk.Config{Workers: workers})
				if err != nil {
					b.Fatal(err)
				}
				n, err := count(d)
				d.Close()
				if n != 101_010 || err != nil {
					b.Fatalf("%d entries, %v", n, err)
				}
			}
		})
	}
}

func count(d *walk.Dir) (n int, err error) {
	for {
		e, more, err := d.Next()
		if !more || err != nil {
			return n, err
		}
		n++
		if e.Stat.IsDir() {
			c, err := d.Child(e)
			if err != nil {
				return n, err
			}
			m, err := count(c)
			c.Close()
			if err != nil {
				return n, err
			}
			n += m
		}
	}
}

func walkDir(b *testing.B, root string) {
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		err := filepath.WalkDir(root, func(_ string, e fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			n++
			_, err = e.Info()
			return err
		})
		if n != 101_011 || err != nil {
			b.Fatalf("%d entries, %v", n, err)
		}
	}
}
