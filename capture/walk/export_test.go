package walk

// Accounts returns what the walk of d thinks it holds: bytes of entries,
// directories read ahead, goroutines that read, and runs on disk. All of it is
// zero after the root was closed.
func (d *Dir) Accounts() (memory int64, ahead, busy, runs int) {
	t := d.t
	t.mu.Lock()
	defer t.mu.Unlock()
	t.temp.mu.Lock()
	defer t.temp.mu.Unlock()
	return t.memory, t.ahead, t.busy, t.temp.live
}

// Ended reports whether the walk of d is over.
func (d *Dir) Ended() bool { return d.t.err() != nil }

// InFile reports whether l has moved to its file.
func (l *Links) InFile() bool { return l.file != nil }

// Bounds of descriptors, for tests that count them.
const (
	OpenChain      = openChain
	AheadPerWorker = aheadPerWorker
	MergeFan       = mergeFan
)
