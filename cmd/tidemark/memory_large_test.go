//go:build large

package main

import (
	"os"
	"testing"
)

// TestMillionFiles does as TestMemory, with what the program promises: a
// million files, in one directory and in a thousand, take less than 256 MiB.
// The key is a passphrase, which by itself takes half of that. It takes ten
// minutes and 5 GiB.
func TestMillionFiles(t *testing.T) {
	s := newEmptySite(t)
	file := s.dir + "/passphrase"
	writeFile(t, file, "horse battery\n")
	must(t, os.Chmod(file, 0o600))
	s = s.with(envIdentityFile+"=", envPassphraseFile+"="+file)
	s.ok(t, "init")
	testMemory(t, s, t.TempDir(), 1_000_000, 256<<20)
}
