package walk

import (
	"encoding/binary"
	"errors"
	"hash/maphash"
	"io"
	"math/bits"
	"os"
	"slices"
)

const (
	linkPageLen = 4 << 10 // bytes, doubled until linkPageMin records fit
	linkPageMin = 16

	// linkFill is the part of all slots, in eighths, beyond which the table
	// doubles: fuller, and pages overflow into the next too often.
	linkFill = 6

	// linkPagesKept is the least number of pages kept in memory.
	linkPagesKept = 16
)

// A linkFile is a hash table in an unlinked temporary file. A record's page is
// the first bits of its key's hash, or the next page with room. Nothing is
// ever removed, so a page with room ends a search. A table of twice the size
// is made by reading the old one once from front to back, and written in that
// order too, which is why the first bits count.
//
//	page:  count u16, then count times: device u64, inode u64, record
type linkFile struct {
	f       *os.File
	dir     string
	seed    maphash.Seed
	slotLen int // 16 and the record
	pageLen int
	bits    int // there are 1<<bits pages
	count   int // records
	kept    []linkPage
}

// A linkPage is a page in memory; page number no is kept at no mod len(kept).
type linkPage struct {
	no    int // -1: none
	dirty bool
	mem   []byte
}

// newLinkFile returns an empty table with room for count records and as many
// again.
func newLinkFile(cfg LinksConfig, count int) (*linkFile, error) {
	l := &linkFile{dir: cfg.TempDir, seed: maphash.MakeSeed(), slotLen: 16 + cfg.RecordLen, pageLen: linkPageLen}
	for l.perPage() < linkPageMin {
		l.pageLen *= 2
	}
	l.bits = bits.Len(uint(2 * count / l.perPage()))
	l.kept = make([]linkPage, max(linkPagesKept, cfg.Memory/2/int64(l.pageLen)))
	for i := range l.kept {
		l.kept[i].no = -1
	}
	return l, l.create()
}

// create makes the file, in which every page is empty.
func (l *linkFile) create() error {
	f, err := createUnlinked(l.dir)
	if err != nil {
		return err
	}
	if err := f.Truncate(int64(l.pageLen) << l.bits); err != nil {
		f.Close()
		return err
	}
	l.f = f
	return nil
}

func (l *linkFile) close() { l.f.Close() }

func (l *linkFile) perPage() int { return (l.pageLen - 2) / l.slotLen }

func (l *linkFile) get(key inode, rec []byte) (bool, error) {
	_, slot, err := l.find(key)
	copy(rec, slot)
	return slot != nil, err
}

func (l *linkFile) put(key inode, rec []byte) error {
	if l.count >= l.perPage()<<l.bits/8*linkFill {
		if err := l.grow(); err != nil {
			return err
		}
	}
	p, slot, err := l.find(key)
	if err != nil {
		return err
	}
	if slot == nil {
		n := binary.LittleEndian.Uint16(p.mem)
		binary.LittleEndian.PutUint16(p.mem, n+1)
		at := p.mem[2+int(n)*l.slotLen:]
		binary.LittleEndian.PutUint64(at, key.dev)
		binary.LittleEndian.PutUint64(at[8:], key.ino)
		slot = at[16:l.slotLen]
		l.count++
	}
	copy(slot, rec)
	p.dirty = true
	return nil
}

// find returns the record of key and its page; if there is none, a nil record
// and the page that it would go to, which has room. The page is valid until
// the next call.
func (l *linkFile) find(key inode) (p *linkPage, rec []byte, err error) {
	no := int(maphash.Comparable(l.seed, key) >> (64 - l.bits))
	for {
		if p, err = l.page(no); err != nil {
			return nil, nil, err
		}
		n := int(binary.LittleEndian.Uint16(p.mem))
		for slot := range slices.Chunk(p.mem[2:2+n*l.slotLen], l.slotLen) {
			if slotKey(slot) == key {
				return p, slot[16:], nil
			}
		}
		if n < l.perPage() {
			return p, nil, nil
		}
		no = (no + 1) & (1<<l.bits - 1)
	}
}

func slotKey(slot []byte) inode {
	return inode{binary.LittleEndian.Uint64(slot), binary.LittleEndian.Uint64(slot[8:])}
}

// page returns page number no.
func (l *linkFile) page(no int) (*linkPage, error) {
	p := &l.kept[no%len(l.kept)]
	if p.no == no {
		return p, nil
	}
	if err := l.write(p); err != nil {
		return nil, err
	}
	if p.mem == nil {
		p.mem = make([]byte, l.pageLen)
	}
	p.no = -1
	if err := l.read(no, p.mem); err != nil {
		return nil, err
	}
	p.no = no
	return p, nil
}

func (l *linkFile) read(no int, mem []byte) error {
	_, err := l.f.ReadAt(mem, int64(no)*int64(l.pageLen))
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return err
}

func (l *linkFile) write(p *linkPage) error {
	if !p.dirty {
		return nil
	}
	if _, err := l.f.WriteAt(p.mem, int64(p.no)*int64(l.pageLen)); err != nil {
		return err
	}
	p.dirty = false
	return nil
}

// grow doubles the table. After an error it is as it was.
func (l *linkFile) grow() error {
	for i := range l.kept {
		if err := l.write(&l.kept[i]); err != nil {
			return err
		}
		l.kept[i].no = -1 // the new table takes the memory
	}
	bigger := *l
	bigger.bits++
	bigger.count = 0
	if err := bigger.create(); err != nil {
		return err
	}
	if err := l.copyTo(&bigger); err != nil {
		bigger.close()
		for i := range l.kept {
			l.kept[i].no, l.kept[i].dirty = -1, false
		}
		return err
	}
	l.close()
	*l = bigger
	return nil
}

func (l *linkFile) copyTo(bigger *linkFile) error {
	mem := make([]byte, l.pageLen)
	for no := range 1 << l.bits {
		if err := l.read(no, mem); err != nil {
			return err
		}
		n := int(binary.LittleEndian.Uint16(mem))
		for slot := range slices.Chunk(mem[2:2+n*l.slotLen], l.slotLen) {
			if err := bigger.put(slotKey(slot), slot[16:]); err != nil {
				return err
			}
		}
	}
	return nil
}
