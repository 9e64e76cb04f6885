package capture

import "sync/atomic"

// Progress counts what a capture has done so far. It may be read at any time.
type Progress struct {
	Files, Dirs, Others atomic.Int64 // entries met, by kind
	Bytes               atomic.Int64 // of the files that are done, read or not
	FilesRead           atomic.Int64 // files that were opened
	ReadBytes           atomic.Int64 // read of them
	NewBytes            atomic.Int64 // of chunks that the repository did not have
	NewPages            atomic.Int64 // pages of trees written
	StoredBytes         atomic.Int64 // of objects stored
	Vanished            atomic.Int64 // names that were gone before anything could be learnt of them
}

func (p *Progress) reset() {
	for _, n := range []*atomic.Int64{
		&p.Files, &p.Dirs, &p.Others, &p.Bytes, &p.FilesRead,
		&p.ReadBytes, &p.NewBytes, &p.NewPages, &p.StoredBytes, &p.Vanished,
	} {
		n.Store(0)
	}
}
