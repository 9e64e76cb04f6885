package capture

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"sync"

	"tidemark/pack"
)

const (
	// rowLen is the bytes that the table keeps of a sealed block.
	rowLen = 8 + 4 + 4 + 1

	// recentPacks is how many packs' rows the table keeps in memory: those
	// that pages being written are likely to name. Older ones are read back
	// from a temporary file, so that a run may write any number of packs.
	recentPacks = 64
)

// A blockTable says where the blocks of this run lie in their packs. A piece's
// place names its block by pack and ordinal from the moment that the piece is
// put into it; the rest is known when the block has been compressed and sealed,
// which is when [blockTable.sealed] is told.
type blockTable struct {
	file *os.File // rows of the packs that are not in memory; unlinked

	mu      sync.Mutex
	changed chan struct{}        // closed and replaced when a row is added; guarded by mu
	packs   map[uint32]*packRows // guarded by mu
	order   []uint32             // packs in memory that are complete, oldest first; guarded by mu
	written int64                // bytes in file; guarded by mu
}

// packRows is the rows of one pack: in memory, or at an offset of the file.
type packRows struct {
	rows []byte // rowLen each, in order of ordinals; nil when they are in the file
	at   int64
}

// newBlockTable makes an empty table that spills to a file in tempDir.
func newBlockTable(tempDir string) (*blockTable, error) {
	f, err := unlinkedFile(tempDir, "tidemark-blocks-*")
	if err != nil {
		return nil, fmt.Errorf("capture: temporary file for the table of blocks: %w", err)
	}
	return &blockTable{file: f, changed: make(chan struct{}), packs: map[uint32]*packRows{}}, nil
}

// unlinkedFile opens a new temporary file that nothing names, so that it is
// gone when the process is.
func unlinkedFile(dir, pattern string) (*os.File, error) {
	f, err := os.CreateTemp(dir, pattern)
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, fmt.Errorf("remove %s: %w", f.Name(), err)
	}
	return f, nil
}

func (t *blockTable) close() { _ = t.file.Close() }

// sealed adds the next block of its pack.
func (t *blockTable) sealed(b pack.Block) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.packs[b.Pack]
	if p == nil {
		p = &packRows{}
		t.packs[b.Pack] = p
	}
	p.rows = binary.LittleEndian.AppendUint64(p.rows, b.Offset)
	p.rows = binary.LittleEndian.AppendUint32(p.rows, b.Sealed)
	p.rows = binary.LittleEndian.AppendUint32(p.rows, b.Plain)
	p.rows = append(p.rows, b.Codec)
	close(t.changed) // whoever waits looks again
	t.changed = make(chan struct{})
}

// finished says that pack n has all its blocks. It may move an older pack's rows to the file.
func (t *blockTable) finished(n uint32) error {
	t.mu.Lock()
	t.order = append(t.order, n)
	if len(t.order) <= recentPacks {
		t.mu.Unlock()
		return nil
	}
	p := t.packs[t.order[0]]
	t.order = t.order[1:]
	rows, at := p.rows, t.written
	t.written += int64(len(rows))
	t.mu.Unlock()

	if _, err := t.file.WriteAt(rows, at); err != nil {
		return fmt.Errorf("capture: write the table of blocks: %w", err)
	}
	t.mu.Lock()
	p.rows, p.at = nil, at
	t.mu.Unlock()
	return nil
}

// fill completes b, one of this run's, waiting until it has been sealed. The
// caller sees to it that b is on its way: see [packer.flush].
func (t *blockTable) fill(ctx context.Context, b pack.Block) (pack.Block, error) {
	for {
		t.mu.Lock()
		p, changed := t.packs[b.Pack], t.changed
		var row []byte
		at := int64(-1)
		if p != nil {
			if i := int(b.Ordinal) * rowLen; p.rows == nil {
				at = p.at + int64(i)
			} else if i < len(p.rows) {
				row = p.rows[i : i+rowLen]
			}
		}
		t.mu.Unlock()

		switch {
		case at >= 0:
			row = make([]byte, rowLen)
			if _, err := t.file.ReadAt(row, at); err != nil {
				return b, fmt.Errorf("capture: read the table of blocks: %w", err)
			}
		case row != nil:
		default:
			select {
			case <-changed:
				continue
			case <-ctx.Done():
				return b, context.Cause(ctx)
			}
		}
		b.Offset = binary.LittleEndian.Uint64(row)
		b.Sealed = binary.LittleEndian.Uint32(row[8:])
		b.Plain = binary.LittleEndian.Uint32(row[12:])
		b.Codec = row[16]
		return b, nil
	}
}
