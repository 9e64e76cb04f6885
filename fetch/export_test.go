package fetch

// Poison overwrites buffers as they come back to the pool, so that a test
// sees who still reads them. It must be called before the first fetch.
func (f *Fetcher) Poison() { f.pool.freed = func(buf []byte) { clear(buf) } }

// BufferLen is bufferLen.
var BufferLen = bufferLen
