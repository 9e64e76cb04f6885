package main

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"tidemark/catalog"
	"tidemark/restore"
)

func restoreCommand(p *program) *cli.Command {
	return &cli.Command{
		Name:      "restore",
		Category:  groupLook,
		Usage:     "write a point, or a part of it, to a directory",
		ArgsUsage: "PATH TARGET",
		Description: `PATH is a path in the mount, with or without the mount point before it. Nothing
has to be mounted.

What is in a directory PATH is written into the directory TARGET, which is made
if it is missing. A file PATH is written into TARGET if that is a directory,
else as TARGET. Contents, holes, times, permissions, hard links, extended
attributes and ACLs are restored, and for root owners and devices.

A restore that was interrupted is run again: what is complete is not written
twice. What is in the way and differs stays and is named, unless --overwrite.

Examples:
  tidemark restore latest/app /srv/app
  tidemark restore daily/2019-07-18/app/config.yaml .
  tidemark restore --owners name hosts/web/latest/etc /tmp/etc`,
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "overwrite", Usage: "replace files that are in the way and differ"},
			&cli.StringFlag{Name: "owners", Value: "number", Usage: "give files to owners and groups by `WHAT`: number, or name as this machine knows it"},
			hostFlag(),
		},
		Action: p.action(restoreTree),
	}
}

func restoreTree(c *cli.Context, s *settings) error {
	if err := wantArgs(c, 2, 2); err != nil {
		return err
	}
	owners := map[string]restore.Owners{"number": restore.OwnersByNumber, "name": restore.OwnersByName}
	by, known := owners[c.String("owners")]
	if !known {
		return usageError("restore", "--owners %s: it is number or name", quoteName(c.String("owners")))
	}
	r, err := s.openRepository(c.Context, catalog.Reading)
	if err != nil {
		return err
	}
	defer r.close()
	boundMemory(memoryBytes)
	f, err := r.finder(c.Context, c.String("host"))
	if err != nil {
		return err
	}
	defer f.fetcher.Close()
	got, err := f.find(c.Context, c.Args().Get(0))
	if err != nil {
		return err
	}
	if got.point == nil {
		return hint{fmt.Errorf("%s is above the points: there is nothing to restore", quoteName("/"+got.path)), "tidemark ls " + quoteName(got.path)}
	}

	var progress restore.Progress
	total := got.node.Totals()
	stop := s.progress("restore "+got.path, func() amount {
		return amount{
			files: int64(progress.Names.Load()), totalFiles: int64(total.Names),
			bytes: int64(progress.Bytes.Load()), totalBytes: int64(total.Bytes),
		}
	})
	result, err := restore.Run(c.Context, restore.Config{
		Chunks: restore.FromFetcher(f.fetcher), Owners: by, Overwrite: c.Bool("overwrite"), Progress: &progress,
		Notice: func(path string, err error) { s.p.warn("%s: %v", quoteName(filepath.Join(got.path, path)), err) },
	}, got.tree, got.below, c.Args().Get(1))
	stop()
	if err != nil && !errors.Is(err, restore.ErrIncomplete) {
		return err
	}
	if reportErr := s.reportRestore(got, c.Args().Get(1), &result); reportErr != nil {
		return reportErr
	}
	if err != nil {
		return coded{exitPartial, err}
	}
	return nil
}

// reportRestore prints what a restore did.
func (s *settings) reportRestore(got *found, target string, r *restore.Result) error {
	if s.json {
		return s.p.printJSON(restoredJSON(got, target, r))
	}
	s.note("Restored %s to %s: %s, %s; %s were there already.", quoteName(got.path), quoteName(target),
		formatCountOf(int64(r.Files), "file"), formatBytes(int64(r.Bytes)), formatCount(int64(r.Skipped)))
	return nil
}

// restoredJSON is what "restore --json" prints.
func restoredJSON(got *found, target string, r *restore.Result) any {
	type failure struct {
		jsonPath
		Error string `json:"error"`
	}
	failures := make([]failure, len(r.Failures))
	for i, f := range r.Failures {
		failures[i] = failure{newJSONPath(f.Path), f.Err.Error()}
	}
	return struct {
		jsonPath
		Target   string    `json:"target"`
		Files    uint64    `json:"files"`
		Dirs     uint64    `json:"directories"`
		Others   uint64    `json:"others"`
		Links    uint64    `json:"links"`
		Bytes    uint64    `json:"bytes"`
		Skipped  uint64    `json:"skipped"`
		Failed   uint64    `json:"failed"`
		Failures []failure `json:"failures,omitempty"`
	}{newJSONPath(got.path), target, r.Files, r.Dirs, r.Others, r.Links, r.Bytes, r.Skipped, r.Failed, failures}
}
