package main

import "runtime/debug"

const (
	// memoryBytes bounds the whole process, caches included, unless the
	// configuration says otherwise.
	memoryBytes = 256 << 20

	// outsideHeap is what the process needs beside what Go's memory limit
	// counts: the program itself, and pages that the kernel maps in.
	outsideHeap = 32 << 20
)

// boundMemory keeps the process within total bytes. The collector would
// otherwise let the heap grow to twice what is in use. It returns what opening
// the key took: scrypt needs much, once.
func boundMemory(total int64) {
	debug.SetMemoryLimit(total - outsideHeap)
	debug.FreeOSMemory()
}
