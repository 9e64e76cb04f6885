package capture

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"tidemark/catalog"
	"tidemark/chunk"
	"tidemark/pack"
)

// A mirror is the part of the state directory that lets a host compare with a
// tree which it may not read back: the newest point of a source, and the
// blocks of pages that it names. What it keeps is names and metadata of what is on this very
// host, and no key. It is only for speed: what is missing or damaged costs a full read.
//
//	sources/<hex of the name>/point                       object's name, SHA-256, body
//	sources/<hex of the name>/<run>/<pack>-<ordinal>      codec, data, CRC-32C
type mirror struct{ dir string }

func (c *Capturer) mirrorOf(source string) *mirror {
	return &mirror{dir: filepath.Join(c.StateDir, "sources", hex.EncodeToString([]byte(source)))}
}

func (m *mirror) blockPath(b pack.Block) string {
	return filepath.Join(m.dir, b.Run.String(), fmt.Sprintf("%d-%d", b.Pack, b.Ordinal))
}

// save keeps a block of pages that is being stored.
func (m *mirror) save(at pack.Block, codec uint8, data []byte) error {
	b := append([]byte{codec}, data...)
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	return m.write(m.blockPath(at), b)
}

// write writes a file whole under its name, or not at all.
func (m *mirror) write(path string, b []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("capture: state directory: %w", err)
	}
	temp := path + ".new"
	err := os.WriteFile(temp, b, 0o600)
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		_ = os.Remove(temp)
		return fmt.Errorf("capture: state directory: %w", err)
	}
	return nil
}

// block returns the plain bytes of a block that was kept.
func (m *mirror) block(at pack.Block) ([]byte, error) {
	path := m.blockPath(at)
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("capture: mirror: %w", errors.Join(err, pack.ErrDamaged))
	}
	end := len(b) - 4
	if end < 1 || crc32.Checksum(b[:end], castagnoli) != binary.LittleEndian.Uint32(b[end:]) {
		return nil, fmt.Errorf("capture: mirror: %s: %w", path, pack.ErrDamaged)
	}
	return pack.Decompress(path, nil, b[0], b[1:end], at.Plain)
}

// mirrorPages is a [catalog.Pages] over a mirror. It keeps the blocks that it
// was asked for last: pages that are asked for one after the other share them.
type mirrorPages struct {
	mirror *mirror
	keys   chunk.Keys
	recent blockCache
}

// Page implements [catalog.Pages].
func (p *mirrorPages) Page(_ context.Context, id chunk.ID, at pack.Place) ([]byte, error) {
	plain, err := p.recent.get(at.Block, p.mirror.block)
	if err != nil {
		return nil, err
	}
	if uint64(at.Start)+uint64(at.Len) > uint64(len(plain)) {
		return nil, fmt.Errorf("capture: mirror: page %v: %w", id, pack.ErrDamaged)
	}
	page := plain[at.Start : at.Start+at.Len : at.Start+at.Len]
	identity, err := pack.PageIdentity(p.mirror.blockPath(at.Block), page)
	if err != nil {
		return nil, err
	}
	return page, p.keys.VerifyPage(id, identity)
}

// remember keeps the point that was committed, for the next capture to start from.
func (a *capturing) remember(ctx context.Context, p *catalog.Point, object string, sealed []byte) error {
	m := a.run.mirror
	if m == nil {
		return nil
	}
	b := binary.LittleEndian.AppendUint16(nil, uint16(len(object)))
	b = append(b, object...)
	sum := sha256.Sum256(sealed)
	b = append(b, sum[:]...)
	b = append(b, p.Encode()...)
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	if err := m.write(filepath.Join(m.dir, "point"), b); err != nil {
		return err
	}
	return m.sweep(ctx, p, &mirrorPages{mirror: m, keys: a.builder.keys})
}

// sweep removes the blocks of packs that p does not use.
func (m *mirror) sweep(ctx context.Context, p *catalog.Point, pages catalog.Pages) error {
	used := map[string]bool{}
	rows, err := catalog.OpenUsage(pages, p.Usage)
	if err != nil {
		return err
	}
	for {
		row, ok, err := rows.Next(ctx)
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		used[fmt.Sprintf("%v/%d", row.Run, row.N)] = true
	}
	if len(p.Usage) > 0 {
		old, err := readOldUsage(ctx, &Parent{Point: p, Pages: pages})
		if err != nil {
			return err
		}
		for _, o := range old.byID {
			used[fmt.Sprintf("%v/%d", o.ref.Place.Run, o.ref.Place.Pack)] = true
		}
	}
	runs, err := os.ReadDir(m.dir)
	if err != nil {
		return err
	}
	for _, run := range runs {
		if !run.IsDir() {
			continue
		}
		blocks, err := os.ReadDir(filepath.Join(m.dir, run.Name()))
		if err != nil {
			return err
		}
		for _, b := range blocks {
			n, _, _ := strings.Cut(b.Name(), "-")
			if used[run.Name()+"/"+n] {
				continue
			}
			if err := os.Remove(filepath.Join(m.dir, run.Name(), b.Name())); err != nil {
				return err
			}
		}
		_ = os.Remove(filepath.Join(m.dir, run.Name())) // if it is empty now
	}
	return nil
}

// Remembered returns the point of source that the state directory has, or nil.
// Whether it still exists in the repository is for the caller to find out.
func (c *Capturer) Remembered(source string) *Parent {
	m := c.mirrorOf(source)
	b, err := os.ReadFile(filepath.Join(m.dir, "point"))
	if err == nil {
		p, err := m.parse(b)
		if err == nil {
			pages := &mirrorPages{mirror: m, keys: chunk.NewKeys(c.Key.Group.Secret())}
			p.Pages = pages
			if p.Tree, err = catalog.OpenTree(pages, p.Point.Root); err == nil {
				return p
			}
		}
		c.notice(source, fmt.Errorf("capture: what the state directory knows of the last point cannot be used; everything is read: %w", err))
		return nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		c.notice(source, fmt.Errorf("capture: state directory: %w", err))
	}
	return nil
}

// parse reads what remember wrote.
func (m *mirror) parse(b []byte) (*Parent, error) {
	end := len(b) - 4
	if end < 2 || crc32.Checksum(b[:end], castagnoli) != binary.LittleEndian.Uint32(b[end:]) {
		return nil, pack.ErrDamaged
	}
	n := int(binary.LittleEndian.Uint16(b))
	b = b[2:end]
	if len(b) < n+32 {
		return nil, pack.ErrDamaged
	}
	p := &Parent{Object: string(b[:n]), Sum: [32]byte(b[n : n+32])}
	var err error
	p.Point, err = catalog.ParsePoint(p.Object, b[n+32:])
	return p, err
}

// A blockCache keeps the plain bytes of a few blocks, the least recently used
// first: the parts of a capture ask for pages in nearly the same order.
type blockCache struct {
	mu     sync.Mutex
	blocks []cachedBlock // guarded by mu
}

type cachedBlock struct {
	at    pack.Block
	plain []byte
}

// cachedBlocks is how many blocks of pages a blockCache holds, of 256 KiB mostly.
const cachedBlocks = 32

func (c *blockCache) get(at pack.Block, read func(pack.Block) ([]byte, error)) ([]byte, error) {
	c.mu.Lock()
	if i := slices.IndexFunc(c.blocks, func(b cachedBlock) bool { return sameBlock(b.at, at) }); i >= 0 {
		found := c.blocks[i]
		c.blocks = append(slices.Delete(c.blocks, i, i+1), found)
		c.mu.Unlock()
		return found.plain, nil
	}
	c.mu.Unlock()
	plain, err := read(at)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.blocks) >= cachedBlocks {
		c.blocks = slices.Delete(c.blocks, 0, 1)
	}
	c.blocks = append(c.blocks, cachedBlock{at, plain})
	return plain, nil
}
