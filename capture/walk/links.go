package walk

import (
	"errors"
	"fmt"
)

const (
	// defaultLinksMemory is in bytes; 200,000 inodes with records of 64.
	defaultLinksMemory = 32 << 20

	// linkCost is what the map takes of memory for an inode beside its
	// record, in bytes: keys and values of 24 in a table that is half to
	// seven eighths full.
	linkCost = 48

	// linkSlab is how many records are allocated at a time.
	linkSlab = 1 << 8
)

// Links is a table with a record of fixed length for each of many inodes, such
// as for files with several names. It takes memory up to a bound, and beyond
// that is a hash table in an unlinked temporary file, of which the memory
// keeps some pages. It is for one goroutine.
type Links struct {
	cfg   LinksConfig
	index map[inode]int // to the place in slabs; nil when the table is in a file
	slabs [][]byte      // of linkSlab records each
	file  *linkFile     // nil while all is in memory
}

// LinksConfig configures [Links].
type LinksConfig struct {
	// RecordLen is the length of every record, in bytes, at most 1,024.
	RecordLen int

	// Memory bounds what the table takes of memory, in bytes; while it moves
	// to its file it takes half as much again. Default 32 MiB.
	Memory int64

	// TempDir is the directory of the temporary file, as for [Config].
	TempDir string
}

// maxRecordLen keeps some tens of records in a page of a link file.
const maxRecordLen = 1 << 10

type inode struct{ dev, ino uint64 }

// NewLinks returns an empty table, which must be closed.
func NewLinks(cfg LinksConfig) (*Links, error) {
	if cfg.RecordLen <= 0 || cfg.RecordLen > maxRecordLen || cfg.Memory < 0 {
		return nil, fmt.Errorf("walk: links: record of %d bytes in %d of memory: want 1 to %d in none or some", cfg.RecordLen, cfg.Memory, maxRecordLen)
	}
	if cfg.Memory == 0 {
		cfg.Memory = defaultLinksMemory
	}
	if cfg.TempDir == "" {
		cfg.TempDir = defaultTempDir
	}
	return &Links{cfg: cfg, index: make(map[inode]int)}, nil
}

// Get sets rec, which has the length of a record, to that of the inode ino of
// the device dev, and reports whether it has one.
func (l *Links) Get(dev, ino uint64, rec []byte) (bool, error) {
	if err := l.check(rec); err != nil {
		return false, err
	}
	key := inode{dev, ino}
	if l.file != nil {
		ok, err := l.file.get(key, rec)
		return ok, linksErr("read", err)
	}
	i, ok := l.index[key]
	if ok {
		copy(rec, l.slot(i))
	}
	return ok, nil
}

// Put sets the record of an inode to a copy of rec, in place of any that it
// had. After an error, such as that the disk is full, the table is as it was.
func (l *Links) Put(dev, ino uint64, rec []byte) error {
	if err := l.check(rec); err != nil {
		return err
	}
	key := inode{dev, ino}
	if l.file == nil {
		if l.put(key, rec) {
			return nil
		}
		if err := l.spill(); err != nil {
			return linksErr("move to a file", err)
		}
	}
	return linksErr("write", l.file.put(key, rec))
}

// put is Put in memory, and reports whether there was room.
func (l *Links) put(key inode, rec []byte) bool {
	i, ok := l.index[key]
	if !ok {
		i = len(l.index)
		if int64(i+1)*int64(linkCost+l.cfg.RecordLen) > l.cfg.Memory {
			return false
		}
		if i%linkSlab == 0 {
			l.slabs = append(l.slabs, make([]byte, linkSlab*l.cfg.RecordLen))
		}
		l.index[key] = i
	}
	copy(l.slot(i), rec)
	return true
}

// Close frees the table. It must not be used afterwards.
func (l *Links) Close() {
	if l.file != nil {
		l.file.close()
	}
	l.index, l.slabs, l.file = nil, nil, nil
}

// spill moves the table from memory to a file.
func (l *Links) spill() error {
	f, err := newLinkFile(l.cfg, len(l.index))
	if err != nil {
		return err
	}
	for key, i := range l.index {
		if err := f.put(key, l.slot(i)); err != nil {
			f.close()
			return err
		}
	}
	l.file, l.index, l.slabs = f, nil, nil
	return nil
}

func (l *Links) slot(i int) []byte {
	at := i % linkSlab * l.cfg.RecordLen
	return l.slabs[i/linkSlab][at:][:l.cfg.RecordLen]
}

func (l *Links) check(rec []byte) error {
	if len(rec) != l.cfg.RecordLen {
		return fmt.Errorf("walk: links: record of %d bytes, want %d", len(rec), l.cfg.RecordLen)
	}
	if l.file == nil && l.index == nil {
		return errors.New("walk: links: closed")
	}
	return nil
}

func linksErr(op string, err error) error {
	if err != nil {
		return fmt.Errorf("walk: links: %s: %w", op, err)
	}
	return nil
}
