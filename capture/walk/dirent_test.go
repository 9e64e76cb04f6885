package walk

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// FuzzDirents reads what a kernel should not write: it must be refused or give
// names that can be names.
func FuzzDirents(f *testing.F) {
	record := func(name string, n int) []byte {
		b := make([]byte, n)
		binary.NativeEndian.PutUint64(b, 7)
		binary.NativeEndian.PutUint16(b[16:], uint16(n))
		copy(b[19:], name)
		return b
	}
	f.Add(append(record(".", 24), record("name", 24)...))
	f.Add(record("a/b", 24))
	f.Add(record("", 20))
	f.Add(record("no end", 25))
	f.Add(record("long", 65535))
	f.Add([]byte{1, 2, 3})
	f.Fuzz(func(t *testing.T, buf []byte) {
		var b buffers
		err := b.parse(buf)
		if err == nil && len(buf) > 0 && len(buf) < 19 {
			t.Error("a truncated record was taken")
		}
		for i, d := range b.found {
			name := b.names[d.start:d.end]
			if len(name) == 0 || bytes.ContainsAny(name, "/\x00") || string(name) == "." || string(name) == ".." {
				t.Errorf("name %q", name)
			}
			if b.names[d.end] != 0 {
				t.Errorf("no NUL after %q", name)
			}
			if err == nil && i > 0 && b.found[i-1].ino > d.ino {
				t.Error("not in the order of inodes")
			}
		}
	})
}
