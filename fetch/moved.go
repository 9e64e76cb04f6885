package fetch

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"

	"tidemark/chunk"
	"tidemark/keys"
	"tidemark/pack"
	"tidemark/store"
)

// maxMoves is how often a piece may have been moved: docs/format.md, section
// 13.
const maxMoves = 8

// A goneError says that a pack is not there. It does not leave this package:
// the pieces may have been moved to another pack.
type goneError struct{ object string }

func (e *goneError) Error() string { return "fetch: " + e.object + " is not there" }

// reasonMissing is none of docs/format.md, section 17: no bytes were refused.
const reasonMissing pack.Reason = "missing"

// missing returns the error for an object that must be there. It is damage,
// and no "no such object", which higher up could pass for a file that never
// was.
func missing(object string) error {
	return damage(object, reasonMissing, "it is missing from the repository")
}

// find returns the block that a piece is in, which the caller must release,
// and where in it. That is at, unless the piece was moved.
func (f *Fetcher) find(ctx context.Context, kind pack.Kind, id chunk.ID, at pack.Place) (*block, pack.Place, error) {
	asked := at
	for range maxMoves + 1 {
		b, moved, err := f.look(ctx, blockID{kind, at.Block})
		if err != nil || b != nil {
			return b, at, err
		}
		if at, err = moved.follow(id, at); err != nil {
			return nil, at, err
		}
	}
	object, err := pack.ObjectName(f.names, asked.Host, asked.Run, asked.Pack)
	if err != nil {
		return nil, at, err
	}
	return nil, at, damage(object, pack.ReasonLimit, "block %d: piece %s was moved more than %d times", asked.Ordinal, id, maxMoves)
}

// look returns a block, or where its pieces went.
func (f *Fetcher) look(ctx context.Context, id blockID) (*block, *relocation, error) {
	if b := f.inMemory(id); b != nil {
		f.hits.Add(1)
		return b, nil, nil
	}
	p := packID{id.kind, id.Host, id.Run, id.Pack}
	if moved, ok := f.moved.get(p); ok {
		return nil, moved, nil
	}
	f.misses.Add(1)
	b, err := f.fly(ctx, id)
	if gone, ok := errors.AsType[*goneError](err); ok {
		moved, err := f.relocation(ctx, p, gone.object)
		return nil, moved, err
	}
	return b, nil, err
}

// A relocation says where the pieces of a pack went that is not there.
type relocation struct {
	object string // name of the moved object
	moves  []pack.Move
}

const moveBytes = 112 // of a pack.Move in memory, which has 52 in the object

// size returns the bytes that r takes in memory.
func (r *relocation) size() int64 { return int64(len(r.moves)) * moveBytes }

// follow returns where the piece went that id names, and that was at at.
func (r *relocation) follow(id chunk.ID, at pack.Place) (pack.Place, error) {
	i, ok := slices.BinarySearchFunc(r.moves, at, func(m pack.Move, at pack.Place) int {
		return cmp.Or(cmp.Compare(m.Ordinal, at.Ordinal), cmp.Compare(m.Start, at.Start))
	})
	if !ok || r.moves[i].ID != id || r.moves[i].To.Len != at.Len {
		return pack.Place{}, damage(r.object, pack.ReasonID, "its pack is missing, and it does not say where piece %s went, of %d bytes at %d of block %d",
			id, at.Len, at.Start, at.Ordinal)
	}
	return r.moves[i].To, nil
}

// relocation returns where the pieces of a pack went, which is called object
// and is not there.
func (f *Fetcher) relocation(ctx context.Context, p packID, object string) (*relocation, error) {
	fl, _ := f.moves.join(ctx, p, func(ctx context.Context) (*relocation, error) {
		if r, ok := f.moved.get(p); ok {
			return r, nil // another flight landed just before this one began
		}
		r, err := f.readRelocation(ctx, p, object)
		if err == nil {
			f.moved.put(p, r)
		}
		return r, err
	})
	return f.moves.wait(ctx, fl)
}

// readRelocation is the work of a flight.
func (f *Fetcher) readRelocation(ctx context.Context, p packID, object string) (*relocation, error) {
	newest, err := f.newestMove(ctx, p)
	switch {
	case err != nil:
		return nil, err
	case newest.Key == "":
		return nil, missing(object)
	case newest.Size > pack.Moved.Limit():
		return nil, damage(newest.Key, pack.ReasonLimit, "%d bytes, at most %d are allowed", newest.Size, pack.Moved.Limit())
	}
	done, err := f.turn(ctx, 4*newest.Size) // the object, its body, and its moves
	if err != nil {
		return nil, err
	}
	defer done()
	b := f.pool.get(int(newest.Size))
	defer f.pool.put(b)
	n, err := f.read(ctx, newest.Key, b, 0)
	if gone, ok := errors.AsType[*goneError](err); ok {
		return nil, missing(gone.object) // it was listed, and nobody deletes one
	}
	if err != nil {
		return nil, err
	}
	return f.parseRelocation(p, newest.Key, b[:n])
}

// newestMove returns the object in force that says where the pieces of a pack
// went, or nothing.
func (f *Fetcher) newestMove(ctx context.Context, p packID) (newest store.Info, err error) {
	name, err := pack.MovedName(f.names, p.host, p.run, p.n, 0)
	if err != nil {
		return newest, err
	}
	prefix := name[:len(name)-numberLen]
	ctx, cancel := context.WithTimeout(ctx, f.cfg.Timeout)
	defer cancel()
	err = f.store.List(ctx, prefix, "", func(i store.Info) error {
		if isNumber(i.Key[len(prefix):]) && i.Key > newest.Key {
			newest = i
		}
		return nil
	})
	if err != nil {
		return newest, f.late(ctx, prefix, err)
	}
	return newest, nil
}

const numberLen = 8 // hex digits of a number in an object's name

func isNumber(s string) bool {
	return len(s) == numberLen && strings.Trim(s, "0123456789abcdef") == ""
}

func (f *Fetcher) parseRelocation(p packID, name string, object []byte) (*relocation, error) {
	signed, _, err := pack.OpenRecord(pack.Moved, f.repo, name, object, movedRing{f, p.host})
	if err != nil {
		return nil, err
	}
	body, err := pack.VerifyBody(pack.Moved, f.repo, name, signed, f.keys.Verify())
	if err != nil {
		return nil, err
	}
	m, err := pack.ParseMoved(name, body)
	if err != nil {
		return nil, err
	}
	return &relocation{name, m.Moves}, nil
}

// A movedRing is a pack.Ring that finds the index key of the group that a
// moved pack's run was in. The run's own key went with the pack.
type movedRing struct {
	f    *Fetcher
	host string
}

// Index tries the groups that are known, in all epochs, the newest first.
func (r movedRing) Index(id [16]byte) (keys.Key, bool) {
	names := []string{r.host}
	if r.f.cfg.Groups != nil {
		names = append(names, r.f.cfg.Groups()...)
	}
	for _, name := range names {
		for _, epoch := range slices.Backward(r.f.keys.Epochs()) {
			g, err := r.f.keys.Group(epoch, name)
			if err == nil && g.IndexID() == id {
				return g.IndexKey(), true
			}
		}
	}
	return keys.Key{}, false
}

func (movedRing) Records() keys.Key { return keys.Key{} }

func (movedRing) OpenRun([]byte) (keys.RunSecret, error) { return keys.RunSecret{}, keys.ErrNotForUs }
