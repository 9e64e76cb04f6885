package restore

import (
	"context"

	"tidemark/chunk"
	"tidemark/fetch"
	"tidemark/pack"
)

// FromFetcher returns the chunks that f fetches.
func FromFetcher(f *fetch.Fetcher) Chunks { return fetched{f} }

type fetched struct{ f *fetch.Fetcher }

func (c fetched) Chunk(ctx context.Context, id chunk.ID, at pack.Place) (Piece, error) {
	p, err := c.f.Chunk(ctx, id, at)
	if err != nil {
		return nil, err // not a Piece that holds a nil
	}
	return p, nil
}
