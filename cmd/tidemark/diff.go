package main

import (
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"tidemark/catalog"
)

func diffCommand(p *program) *cli.Command {
	return &cli.Command{
		Name:      "diff",
		Category:  groupLook,
		Usage:     "show what changed between two points, or parts of them",
		ArgsUsage: "A B",
		Description: `A and B are paths in the mount, with or without the mount point before them.
What both have is not even read: the cost follows the differences.

  +  added       M  content changed      T  another type of thing
  -  removed     m  only owner, times, permissions or attributes changed

Examples:
  tidemark diff daily/2019-07-18/app daily/2019-07-19/app
  tidemark diff --json daily/2019-07-18/app/etc latest/app/etc
  tidemark diff --exit-code hourly/2019-07-18T1400/app latest/app`,
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "exit-code", Usage: "exit with 5 if there are differences"},
			&cli.BoolFlag{Name: "content", Usage: "leave out what differs only in owner, times, permissions or attributes"},
			hostFlag(),
		},
		Action: p.action(diff),
	}
}

// changeMarks are what diff prints before the paths.
var changeMarks = map[catalog.ChangeKind]string{
	catalog.Added: "+", catalog.Removed: "-", catalog.Modified: "M", catalog.TypeChanged: "T", catalog.MetadataOnly: "m",
}

func diff(c *cli.Context, s *settings) error {
	if err := wantArgs(c, 2, 2); err != nil {
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
	var sides [2]catalog.Side
	for i, path := range c.Args().Slice() {
		got, err := f.find(c.Context, path)
		if err != nil {
			return err
		}
		if got.point == nil {
			return hint{fmt.Errorf("%s is above the points: there is nothing to compare", quoteName("/"+got.path)), "tidemark points"}
		}
		sides[i] = catalog.Side{Tree: got.tree, Node: &got.node}
	}
	n := 0
	err = catalog.Diff(c.Context, sides[0], sides[1], catalog.DiffOptions{}, func(ch catalog.Change) error {
		if c.Bool("content") && ch.Kind == catalog.MetadataOnly {
			return nil
		}
		n++
		return s.printChange(ch)
	})
	if err != nil {
		return fmt.Errorf("compare %s with %s: %w", quoteName(c.Args().Get(0)), quoteName(c.Args().Get(1)), err)
	}
	if n > 0 && c.Bool("exit-code") {
		return coded{exitDiffer, errDiffer}
	}
	return nil
}

// errDiffer is the end of diff --exit-code. The differences say it all: it is not printed.
var errDiffer = errors.New("the two differ")

// printChange prints one difference.
func (s *settings) printChange(ch catalog.Change) error {
	path := ch.Path
	if path == "" {
		path = "."
	}
	if !s.json {
		if n := ch.New; n != nil && n.Type == catalog.Dir || n == nil && ch.Old.Type == catalog.Dir {
			path += "/"
		}
		_, err := fmt.Fprintf(s.p.out, "%s %s\n", changeMarks[ch.Kind], s.p.shownName(path))
		return err
	}
	row := struct {
		jsonPath
		Change string    `json:"change"`
		Old    *nodeInfo `json:"old,omitempty"`
		New    *nodeInfo `json:"new,omitempty"`
	}{jsonPath: newJSONPath(path), Change: ch.Kind.String()}
	if ch.Old != nil {
		info := nodeJSON(path, ch.Old)
		row.Old = &info
	}
	if ch.New != nil {
		info := nodeJSON(path, ch.New)
		row.New = &info
	}
	return s.p.printJSON(row)
}
