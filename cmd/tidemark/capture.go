package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"tidemark/capture"
	"tidemark/catalog"
	"tidemark/fetch"
	"tidemark/keys"
)

func captureCommand(p *program) *cli.Command {
	return &cli.Command{
		Name:      "capture",
		Category:  groupCapture,
		Usage:     "make a point of a directory",
		ArgsUsage: "NAME=DIRECTORY … | NAME …",
		Description: `Stores what the repository does not have of each directory and makes a point
of it, under the source's NAME. What did not change since the point before is
not even opened. A NAME alone is a source of the configuration; without any,
all of those are captured.

A file that changes while it is read, or that cannot be read, is named, and is
in the point without content: exit code 3. A capture that was interrupted goes
on where it was when it is run again.

Exclude patterns are as in .gitignore: "*.tmp" matches names everywhere,
"cache/" directories, "/var/log/**" a path below DIRECTORY.

Examples:
  tidemark capture -r /mnt/backup app=/srv/app
  tidemark capture -r /mnt/backup --name before-upgrade etc=/etc
  tidemark capture -r /mnt/backup --time 2019-07-18T02:00 app=/old/daily.3/app`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "name", Usage: "give the point the name `NAME`: it shows below pinned/, and stays"},
			&cli.StringFlag{Name: "time", Usage: "file the point under `TIME`, as taken then: to take over older history (not with a capture-only key)"},
			&cli.StringSliceFlag{Name: "exclude", Usage: "leave out what matches `PATTERN`; may be repeated"},
			&cli.BoolFlag{Name: "cross-filesystems", Usage: "enter other filesystems that are mounted below DIRECTORY"},
		},
		Action: p.action(captureSources),
	}
}

// namedSource is a source to capture.
type namedSource struct {
	name string
	source
}

func captureSources(c *cli.Context, s *settings) error {
	sources, err := sourcesOf(c, s)
	if err != nil {
		return err
	}
	label := c.String("name")
	if label != "" {
		if err := keys.ValidName(label); err != nil {
			return usageError("capture", "--name: %v", err)
		}
	}
	var at time.Time
	if text := c.String("time"); text != "" {
		if at, err = parseTime(text, s.zone); err != nil {
			return usageError("capture", "--time: %v", err)
		}
	}
	r, err := s.openStore(c.Context, catalog.Writing)
	if err != nil {
		return err
	}
	defer r.close()
	if err := r.unlock(c.Context); err != nil {
		return err
	}
	if r.secret == nil && !at.IsZero() {
		return noAccess(errors.New("--time needs the full key: a capture-only key makes points of now"))
	}
	boundMemory(memoryBytes)
	w, err := r.writer(c.Context)
	if err != nil {
		return err
	}
	defer w.close()
	return w.captureAll(c.Context, sources, label, at)
}

// captureAll captures one source after the other. One that fails does not stop
// the others.
func (w *writer) captureAll(ctx context.Context, sources []namedSource, label string, at time.Time) error {
	var failed, partial []string
	for _, src := range sources {
		unreadable, err := w.capture(ctx, src, label, at)
		if err != nil && (ctx.Err() != nil || len(sources) == 1) {
			return explainFull(err)
		}
		if err != nil {
			w.r.s.p.warn("%s was not captured: %v", src.name, err)
			failed = append(failed, src.name)
		}
		if unreadable > 0 {
			partial = append(partial, src.name)
		}
	}
	switch {
	case len(failed) > 0:
		return fmt.Errorf("not captured: %s", strings.Join(failed, ", "))
	case len(partial) > 0:
		return coded{exitPartial, fmt.Errorf("some files could not be read whole, in: %s", strings.Join(partial, ", "))}
	}
	return nil
}

// explainFull makes a hint of what helps where a disk is full.
func explainFull(err error) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return hint{err, "make room there, then run it again: it goes on from what is stored by now"}
	}
	return err
}

// sourcesOf returns the sources that the command line means.
func sourcesOf(c *cli.Context, s *settings) ([]namedSource, error) {
	args := c.Args().Slice()
	if len(args) == 0 {
		if args = s.config.sourceNames(); len(args) == 0 {
			return nil, coded{exitUsage, hint{errors.New("there is nothing to capture"), "tidemark capture NAME=DIRECTORY, or write \"sources:\" in " + s.configFile}}
		}
	}
	var sources []namedSource
	for _, arg := range args {
		name, dir, given := strings.Cut(arg, "=")
		src, known := s.config.Sources[sourceName(name)]
		if given {
			if err := checkSourceName(name); err != nil {
				return nil, usageError("capture", "%v", err)
			}
			path, err := filepath.Abs(dir)
			if err != nil {
				return nil, err
			}
			if !known {
				src = newSource(path)
			}
			src.Path = absPath(path)
		} else if !known {
			return nil, coded{exitUsage, hint{fmt.Errorf("source %s is not in the configuration", quoteName(name)), "NAME=DIRECTORY"}}
		}
		src.Exclude = append(slices.Clone(src.Exclude), c.StringSlice("exclude")...)
		if c.Bool("cross-filesystems") {
			src.OneFilesystem = false
		}
		if slices.ContainsFunc(sources, func(o namedSource) bool { return o.name == name }) {
			return nil, usageError("capture", "source %s is named twice", quoteName(name))
		}
		sources = append(sources, namedSource{name, src})
	}
	return sources, nil
}

// A writer captures into a repository.
type writer struct {
	r        *repository
	capturer *capture.Capturer
	host     catalog.Host
	fetcher  *fetch.Fetcher // nil with a capture-only key
}

// writer makes ready what captures share. The full key enrols this host if it is new.
func (r *repository) writer(ctx context.Context) (*writer, error) {
	key := r.capture
	w := &writer{r: r}
	if r.secret != nil {
		signing, group, err := r.enrol(ctx, r.s.host)
		if err != nil {
			return nil, err
		}
		if key, err = r.secret.CaptureOnly(r.s.host, group, signing); err != nil {
			return nil, err
		}
		if w.fetcher, err = r.fetcher(captureCacheBytes); err != nil {
			return nil, err
		}
	}
	segment, err := key.Names().Host(key.Host)
	if err != nil {
		return nil, err
	}
	w.host = catalog.Host{Name: key.Host, Segment: segment, Group: key.Group.Name}
	hosts := []catalog.Host{}
	if r.secret != nil {
		if hosts, _, err = r.hosts(ctx); err != nil {
			return nil, err
		}
	}
	for _, h := range hosts {
		if h.Name == key.Host {
			w.host = h // with all its keys: its points may be signed by an older one
		}
	}
	if err := os.MkdirAll(r.stateDir(), 0o700); err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	w.capturer = &capture.Capturer{
		Key: key, Store: r.store, StateDir: filepath.Join(r.stateDir(), segment),
		Rand: rand.Reader, Now: r.s.p.now, Version: r.s.p.build.Version,
		Mirror: r.secret == nil,
		Notice: func(object string, err error) { r.s.p.warn("%s: %v", quoteName(object), err) },
	}
	return w, nil
}

// captureCacheBytes is the memory for the parent's pages. They are asked for
// once each, in order.
const captureCacheBytes = 16 << 20

func (w *writer) close() {
	if w.fetcher != nil {
		w.fetcher.Close()
	}
}

// capture captures one source and says what came of it.
func (w *writer) capture(ctx context.Context, src namedSource, label string, at time.Time) (unreadable uint64, err error) {
	s := w.r.s
	unlock, err := w.capturer.Lock()
	if err != nil {
		return 0, err
	}
	defer unlock()
	before, err := w.before(ctx, src.name)
	if err != nil {
		return 0, err
	}
	var progress capture.Progress
	stop := s.progress("capture "+src.name, captured(&progress, before.parent))
	res, err := w.capturer.Capture(ctx, capture.Request{
		Source: capture.Source{
			Name: src.name, Path: string(src.Path), Exclude: append(src.Exclude, w.ownPlaces(string(src.Path))...),
			CrossFilesystems: !src.OneFilesystem, MeanLen: int(src.ChunkMean),
		},
		Parent: before.parent, Previous: before.sum, Sequence: before.sequence + 1, Time: at, Label: label, Progress: &progress,
	})
	stop()
	if err != nil {
		return 0, err
	}
	return res.Unreadable, w.report(res, &progress)
}

// ownPlaces returns patterns that leave out the repository and the state
// directory, if they are in the directory that is captured: a repository that
// holds itself would grow with each capture.
func (w *writer) ownPlaces(source string) []string {
	var patterns []string
	source, err := filepath.EvalSymlinks(source)
	if err != nil {
		return nil // the capture says what is wrong with it
	}
	for _, place := range []string{w.r.name, w.r.s.stateDir} {
		place, err := filepath.Abs(place)
		if err == nil {
			place, err = filepath.EvalSymlinks(place)
		}
		if err != nil {
			continue
		}
		if rel, err := filepath.Rel(source, place); err == nil && rel != "." && filepath.IsLocal(rel) {
			patterns = append(patterns, "/"+literalPattern.Replace(rel))
		}
	}
	return patterns
}

// literalPattern makes a pattern of a path that matches just that.
var literalPattern = strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`, "{", `\{`)

// captured returns how far a capture has come. The point before says how far there is to go.
func captured(progress *capture.Progress, parent *capture.Parent) func() amount {
	var total catalog.Totals
	if parent != nil {
		root := parent.Tree.Root()
		total = root.Below
	}
	return func() amount {
		return amount{
			files: progress.Files.Load(), totalFiles: int64(total.Files),
			bytes: progress.Bytes.Load(), totalBytes: int64(total.Bytes),
		}
	}
}

// report prints what a capture did.
func (w *writer) report(res *capture.Result, progress *capture.Progress) error {
	s, p := w.r.s, res.Point
	if s.json {
		return s.p.printJSON(capturedJSON(res, progress))
	}
	for _, u := range p.Unreadable {
		s.p.warn("%s: %s", quoteName(filepath.Join(p.Path, u.Path)), u.Reason)
	}
	if more := res.Unreadable - uint64(len(p.Unreadable)); more > 0 {
		s.p.warn("and %s more that could not be read whole", formatCount(int64(more)))
	}
	if !p.Complete {
		s.p.warn("the point of %s is incomplete: it shows below incomplete/ only", p.Source)
	}
	s.note("Captured %s: %s, %s; %s read, %s new, %s stored, in %s.", p.Source,
		formatCountOf(progress.Files.Load(), "file"), formatBytes(progress.Bytes.Load()),
		formatCountOf(int64(p.ChangedFiles), "file"), formatBytes(int64(p.NewBytes)), formatBytes(progress.StoredBytes.Load()),
		formatDuration(s.p.now().Sub(time.Unix(p.Began.Sec, int64(p.Began.Nsec)))))
	return nil
}

// capturedJSON is what "capture --json" prints of one point.
func capturedJSON(res *capture.Result, progress *capture.Progress) any {
	p := res.Point
	type unreadable struct {
		jsonPath
		Reason string `json:"reason"`
	}
	list := make([]unreadable, len(p.Unreadable))
	for i, u := range p.Unreadable {
		list[i] = unreadable{newJSONPath(u.Path), u.Reason}
	}
	return struct {
		Host            string       `json:"host"`
		Source          string       `json:"source"`
		Point           string       `json:"point"`
		Time            time.Time    `json:"time"`
		Sequence        uint64       `json:"sequence"`
		Complete        bool         `json:"complete"`
		Files           int64        `json:"files"`
		Directories     int64        `json:"directories"`
		Bytes           int64        `json:"bytes"`
		FilesRead       uint64       `json:"files_read"`
		BytesRead       uint64       `json:"bytes_read"`
		BytesNew        uint64       `json:"bytes_new"`
		BytesStored     int64        `json:"bytes_stored"`
		UnreadableCount uint64       `json:"unreadable_count"`
		Unreadable      []unreadable `json:"unreadable,omitempty"`
	}{
		p.Host, p.Source, res.Name.String(), p.Time, p.Sequence, p.Complete,
		progress.Files.Load(), progress.Dirs.Load(), progress.Bytes.Load(),
		p.ChangedFiles, p.ReadBytes, p.NewBytes, progress.StoredBytes.Load(), res.Unreadable, list,
	}
}

// timeForms are the ways to write a time, those with a zone first.
var timeForms = []string{
	time.RFC3339, "2006-01-02T15:04Z07:00",
	"2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02",
}

// parseTime reads a time; without a zone it is one of zone's.
func parseTime(text string, zone *time.Location) (time.Time, error) {
	for _, form := range timeForms {
		if t, err := time.ParseInLocation(form, text, zone); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%s is no time; write it as 2019-07-18, 2019-07-18T14:03 or 2019-07-18T14:03:00+02:00", quoteName(text))
}
