// Package fetch turns places into bytes: given where a page or a chunk is in
// the repository, and its id, it returns what the id names, or an error.
//
//	Page, Chunk ──▶ memory ──▶ flight ──▶ store: one ranged read of the block,
//	     ▲                       │         and beside it the pack's header if
//	     │                       ▼         its run is new to this reader
//	     └── piece checked ◀── block decrypted and decompressed
//
// The invariant is that no byte leaves which was not checked twice: the seal
// of its block, and the id of the piece under the keys of the run that the
// piece lies in. Damage is an error that names the object, never fewer bytes
// and never "no such file".
//
// A block is fetched once for all who want it at the same time. That flight
// belongs to none of them: a reader that is interrupted returns at once and
// fails nobody, and a flight that nobody waits for any more is cancelled.
// Nothing remembers an error: who asks again makes a new attempt.
//
// Memory is counted and bounded as a whole, see [Config]: what is in flight,
// what is cached, and what [Piece] values hold. Whoever reads a file from
// beginning to end keeps the Piece between two reads, and by that its block:
// the shared cache admits what is asked for often, and would rather drop
// what was just read once.
//
// How blocks are sealed and pieces are named is docs/format.md, sections 4, 7
// and 9; what a reader does about damage is section 15.
package fetch

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"golang.org/x/sync/semaphore"

	"tidemark/chunk"
	"tidemark/keys"
	"tidemark/pack"
	"tidemark/store"
)

// A Store is what is needed of a [store.Store].
type Store interface {
	ReadAt(ctx context.Context, key string, p []byte, off int64) (n int, err error)
	List(ctx context.Context, prefix, after string, fn func(store.Info) error) error
}

// Keys are what is needed of a repository's secret, a [*keys.Secret].
type Keys interface {
	OpenRun(sealed []byte) (keys.RunSecret, error)
	Group(epoch uint32, name string) (keys.Group, error)
	Epochs() []uint32
	Names() *keys.Names
	Verify() ed25519.PublicKey
}

// Defaults of [Config].
const (
	defaultMemory      = 128 << 20 // bytes: half of what a mount may have; the rest is the collector's
	defaultConcurrency = 32        // fills 1 Gbit/s with blocks of 256 KiB at round trips of 60 ms
	defaultTimeout     = time.Minute
)

// minMemory is the least Config.MemoryBytes, in bytes: with less, not even one
// block of 256 KiB fits into each share.
const minMemory = 16 << 20

// Config configures a [Fetcher]. The zero value of a field means its default.
type Config struct {
	// MemoryBytes bounds the memory for blocks and pages: being fetched,
	// cached, and held by Pieces. Default 128 MiB, at least 16 MiB. It is
	// exceeded only by a block that is larger than its share, while that is
	// in use, and by callers who keep Pieces though the Fetcher is
	// [Fetcher.Crowded]. Keys of runs take up to some MiB beside it.
	MemoryBytes int64

	// Concurrency is how many blocks are fetched at once. Each takes one
	// request, or two if its run is new. Default 32.
	Concurrency int

	// Timeout bounds each request to the store. Default 1 minute.
	Timeout time.Duration

	// Groups returns the names of the trust groups that the repository's
	// enrolments name. It is asked only when a pack has been moved, to find
	// the key of the object that says where. The groups that are called
	// like their host, which is the default, need not be among them. It may
	// be called concurrently. Default none.
	Groups func() []string
}

// ErrClosed means that the Fetcher was closed before it had the answer.
var ErrClosed = errors.New("fetch: closed")

// A Fetcher reads pieces of one repository. Its methods may be called
// concurrently. It must be closed.
type Fetcher struct {
	cfg   Config
	repo  keys.RepositoryID
	store Store
	keys  Keys
	names *keys.Names

	memory *memory
	pool   *pool
	recent recent
	cache  *cache

	packs  *lru[packID, *openPack]     // what opens the blocks of a pack
	runs   *lru[keys.RunID, *run]      // what was in the headers of packs
	groups *lru[groupName, chunk.Keys] // shared by their runs
	moved  *lru[packID, *relocation]   // where the pieces of packs went

	blocks flights[blockID, *block]     // blocks being fetched
	opens  flights[packID, *run]        // headers being read, see opening
	moves  flights[packID, *relocation] // moved objects being read

	slots *semaphore.Weighted // blocks being fetched
	room  *semaphore.Weighted // bytes of them, sealed and plain

	counters
}

// New returns a Fetcher that reads the repository repo in s with the secret k.
// The error says what is wrong with cfg.
func New(cfg Config, repo keys.RepositoryID, s Store, k Keys) (*Fetcher, error) {
	if cfg.MemoryBytes == 0 {
		cfg.MemoryBytes = defaultMemory
	}
	if cfg.Concurrency == 0 {
		cfg.Concurrency = defaultConcurrency
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = defaultTimeout
	}
	switch {
	case cfg.MemoryBytes < minMemory:
		return nil, fmt.Errorf("fetch: a memory of %d bytes, at least %d are needed", cfg.MemoryBytes, minMemory)
	case cfg.Concurrency < 0:
		return nil, fmt.Errorf("fetch: %d fetches at once", cfg.Concurrency)
	case cfg.Timeout < 0:
		return nil, fmt.Errorf("fetch: a timeout of %v", cfg.Timeout)
	}
	mem, total := new(memory), cfg.MemoryBytes
	c, err := newCache(portion(total, cachePart), portion(total, queuePart))
	if err != nil {
		return nil, err
	}
	f := &Fetcher{
		cfg: cfg, repo: repo, store: s, keys: k, names: k.Names(),
		memory: mem,
		pool:   newPool(portion(total, idlePart), mem),
		recent: newRecent(portion(total, recentPart)),
		cache:  c,
		packs:  newCountedLRU[packID, *openPack](maxPacks),
		runs:   newCountedLRU[keys.RunID, *run](maxRuns),
		groups: newCountedLRU[groupName, chunk.Keys](maxGroups),
		moved:  newLRU[packID](portion(total, movedPart), (*relocation).size),
		slots:  semaphore.NewWeighted(int64(cfg.Concurrency)),
		room:   semaphore.NewWeighted(portion(total, flightPart)),
	}
	f.blocks.share = func(b *block, waiters int) {
		b.refs.Add(int32(waiters))
		b.release() // the flight's own
	}
	return f, nil
}

// Page returns the page that id names and at leads to. The bytes are shared:
// they must not be changed, and may be kept.
//
// If ctx is done first, the error is its cause. If the repository is damaged,
// it is pack.ErrDamaged and names the object and the page; so it is if the
// pack is not there. Other errors are the store's, or wrap keys.ErrNotForUs.
// No error wraps store.ErrNotExist or io/fs.ErrNotExist.
func (f *Fetcher) Page(ctx context.Context, id chunk.ID, at pack.Place) ([]byte, error) {
	key := pageKey(at)
	if p, ok := f.cache.get(key).(*page); ok && p.id == id && len(p.bytes) == int(at.Len) {
		f.hits.Add(1)
		return p.bytes, nil
	}
	b, at, err := f.find(ctx, pack.TreePack, id, at)
	if err != nil {
		return nil, err
	}
	defer b.release()
	bytes, err := b.page(id, at)
	if err != nil {
		return nil, err
	}
	p := &page{key, id, slices.Clone(bytes), f.memory}
	f.cache.put(p)
	return p.bytes, nil
}

// Chunk returns the chunk that id names and at leads to. The caller must
// release it. Errors are those of [Fetcher.Page].
func (f *Fetcher) Chunk(ctx context.Context, id chunk.ID, at pack.Place) (*Piece, error) {
	b, at, err := f.find(ctx, pack.DataPack, id, at)
	if err != nil {
		return nil, err
	}
	bytes, err := b.chunk(id, at)
	if err != nil {
		b.release()
		return nil, err
	}
	return newPiece(b, bytes, &f.held), nil
}

// Crowded reports whether Pieces hold so much memory that nobody should keep
// one between two reads until this is over.
func (f *Fetcher) Crowded() bool { return f.held.Load() > portion(f.cfg.MemoryBytes, heldPart) }

// Format writes a placeholder, whatever the verb.
func (f *Fetcher) Format(s fmt.State, _ rune) { io.WriteString(s, "fetch.Fetcher") }

// Close ends all fetches, waits for them and gives the memory back. Who waits
// for one gets [ErrClosed], and so does who asks later. Pieces stay good until
// they are released.
func (f *Fetcher) Close() {
	f.blocks.close()
	f.opens.close()
	f.moves.close()
	f.recent.tree.close()
	f.recent.data.close()
	f.cache.close()
	f.pool.close()
}
