package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"tidemark/catalog"
)

func catCommand(p *program) *cli.Command {
	return &cli.Command{
		Name:      "cat",
		Category:  groupLook,
		Usage:     "print a file as it was",
		ArgsUsage: "PATH …",
		Description: `PATH is a path in the mount, with or without the mount point before it.

Examples:
  tidemark cat latest/app/config.yaml
  tidemark cat daily/2019-07-18/db/dump.sql | psql`,
		Flags: []cli.Flag{hostFlag()},
		Action: p.action(func(c *cli.Context, s *settings) error {
			if err := wantArgs(c, 1, -1); err != nil {
				return err
			}
			r, err := s.openRepository(c.Context, catalog.Reading)
			if err != nil {
				return err
			}
			defer r.close()
			f, err := r.finder(c.Context, c.String("host"))
			if err != nil {
				return err
			}
			defer f.fetcher.Close()
			for _, path := range c.Args().Slice() {
				got, err := f.find(c.Context, path)
				if err == nil {
					err = f.cat(c.Context, s.p.out, got)
				}
				if err != nil {
					return err
				}
			}
			return nil
		}),
	}
}

// cat writes a file's content to w.
func (f *finder) cat(ctx context.Context, w io.Writer, got *found) error {
	n := &got.node
	var err error
	switch {
	case got.point == nil || n.Type == catalog.Dir:
		err = hint{errors.New("it is a directory"), "tidemark ls " + quoteName(got.path)}
	case n.Unreadable != "":
		err = fmt.Errorf("it could not be captured: %s", n.Unreadable)
	case n.Type != catalog.File:
		err = fmt.Errorf("it is a %v, not a file", n.Type)
	case n.Size <= catalog.MaxInlineLen:
		_, err = w.Write(n.Inline)
	default:
		err = f.catExtents(ctx, w, got)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", quoteName(got.path), err)
	}
	return nil
}

func (f *finder) catExtents(ctx context.Context, w io.Writer, got *found) error {
	zeros := make([]byte, 64<<10)
	extents := got.tree.Extents(&got.node, 0)
	for {
		_, x, ok, err := extents.Next(ctx)
		if err != nil || !ok {
			return err
		}
		if x.Zero {
			for left := x.Len; left > 0 && err == nil; {
				var n int
				n, err = w.Write(zeros[:min(left, uint64(len(zeros)))])
				left -= uint64(n)
			}
		} else {
			err = f.writeChunk(ctx, w, &x)
		}
		if err != nil {
			return err
		}
	}
}

func (f *finder) writeChunk(ctx context.Context, w io.Writer, x *catalog.Extent) error {
	piece, err := f.fetcher.Chunk(ctx, x.ID, x.Place)
	if err != nil {
		return err
	}
	defer piece.Release()
	_, err = w.Write(piece.Bytes())
	return err
}
