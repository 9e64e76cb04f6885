package main

import (
	"context"
	"fmt"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"tidemark/catalog"
)

func pointsCommand(p *program) *cli.Command {
	return &cli.Command{
		Name:      "points",
		Category:  groupLook,
		Usage:     "list the points in time that there are",
		ArgsUsage: "[SOURCE …]",
		Description: `Lists the points of this machine, or of --host, or of all with --all, oldest
first. The path is what the other commands and the mount call the point.

Examples:
  tidemark points
  tidemark points --host db --json
  tidemark points app`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "host", Usage: "list the points of `HOST`"},
			&cli.BoolFlag{Name: "all", Usage: "list the points of all hosts"},
		},
		Action: p.action(listPoints),
	}
}

func listPoints(c *cli.Context, s *settings) error {
	r, err := s.openRepository(c.Context, catalog.Reading)
	if err != nil {
		return err
	}
	defer r.close()
	l, err := r.library(c.Context, c.String("host"))
	if err != nil {
		return err
	}
	hosts := []catalog.Host{l.top}
	if c.Bool("all") || l.top.Name == "" {
		hosts = l.hosts
	}
	w := tabwriter.NewWriter(s.p.out, 0, 0, 2, ' ', 0)
	bad := 0
	for _, h := range hosts {
		n, err := l.listHost(c.Context, w, h, c.Args().Slice())
		if err != nil {
			return err
		}
		bad += n
	}
	if err := w.Flush(); err != nil || bad == 0 {
		return err
	}
	return coded{exitPartial, fmt.Errorf("%s could not be opened", formatCountOf(int64(bad), "point"))}
}

// listHost lists the points of one host, and returns how many could not be
// opened. Each is: one that is forged is no point.
func (l *library) listHost(ctx context.Context, w *tabwriter.Writer, h catalog.Host, sources []string) (bad int, err error) {
	shelf, err := l.shelf(ctx, h)
	if err != nil {
		return bad, err
	}
	s := l.r.s
	for _, e := range shelf.byTime() {
		if len(sources) > 0 && !slices.Contains(sources, e.Source) {
			continue
		}
		p, err := l.r.roster().OpenPoint(ctx, h, e)
		if ctx.Err() != nil {
			return bad, ctx.Err()
		}
		if err != nil {
			s.p.warn("%s: %v", e.Object, err)
			bad++
			continue
		}
		row := pointRow(h, p)
		row.Path = shelf.exactPath(l, e)
		if s.json {
			err = s.p.printJSON(row)
		} else {
			state := ""
			if !p.Complete {
				state = "incomplete"
			}
			_, err = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", row.Path, p.Time.In(s.zone).Format(time.DateTime),
				formatCountOf(int64(row.Files), "file"), formatBytes(int64(row.Bytes)), cleanLine(p.Title), state)
		}
		if err != nil {
			return bad, err
		}
	}
	return bad, nil
}

// pointJSON is a point as "points --json" prints it.
type pointJSON struct {
	Path       string    `json:"path"`
	Host       string    `json:"host"`
	Source     string    `json:"source"`
	Time       time.Time `json:"time"`
	Sequence   uint64    `json:"sequence"`
	Complete   bool      `json:"complete"`
	Name       string    `json:"name,omitempty"`
	Files      uint64    `json:"files"`
	Dirs       uint64    `json:"directories"`
	Bytes      uint64    `json:"bytes"`
	BytesAdded uint64    `json:"bytes_added"`
	Unreadable uint64    `json:"unreadable_count"`
	Object     string    `json:"object"`
}

func pointRow(h catalog.Host, p *catalog.Opened) pointJSON {
	row := pointJSON{
		Host: h.Name, Source: p.Source, Time: p.Time, Sequence: p.Sequence, Complete: p.Complete, Name: p.Title,
		BytesAdded: p.AddedBytes, Unreadable: p.UnreadableCount, Object: p.Object,
	}
	if tree, err := catalog.OpenTree(nil, p.Root); err == nil {
		root := tree.Root()
		row.Files, row.Dirs, row.Bytes = root.Below.Files, root.Below.Dirs, root.Below.Bytes
	}
	return row
}
