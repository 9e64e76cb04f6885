package fetch

import "sync/atomic"

// Stats are counts since the Fetcher was made, but for those that say now.
type Stats struct {
	Hits    int64 // times that what was asked for was in memory, or its block
	Misses  int64 // times that it was not
	Fetches int64 // blocks that were asked of the store
	Bytes   int64 // that came, sealed, without headers
	Headers int64 // of packs that were asked of the store: one for each run

	InFlight   int64 // blocks now being fetched, or waiting for their turn
	Held       int64 // bytes of blocks that Pieces hold now
	Memory     int64 // bytes that all this takes now, without keys
	MemoryPeak int64 // bytes that blocks and pages took at most
}

type counters struct {
	hits, misses, fetches, bytes, headers atomic.Int64
	waiting, held                         atomic.Int64
}

// Stats returns the counts. Each is right; together they may be of slightly
// different times.
func (f *Fetcher) Stats() Stats {
	return Stats{
		Hits:       f.hits.Load(),
		Misses:     f.misses.Load(),
		Fetches:    f.fetches.Load(),
		Bytes:      f.bytes.Load(),
		Headers:    f.headers.Load(),
		InFlight:   f.waiting.Load(),
		Held:       f.held.Load(),
		Memory:     f.memory.now.Load() + f.moved.size(),
		MemoryPeak: f.memory.peak.Load(),
	}
}
