package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/urfave/cli/v2"

	"tidemark/catalog"
	"tidemark/chunk"
	"tidemark/fetch"
	"tidemark/fusefs"
	"tidemark/pack"
)

func mountCommand(p *program) *cli.Command {
	return &cli.Command{
		Name:      "mount",
		Category:  groupLook,
		Usage:     "show every point in time as a directory",
		ArgsUsage: "DIR",
		Description: `Mounts the repository at DIR, an empty directory, and serves it until ^C or
"tidemark unmount DIR". Nothing can be changed through it. Root, and ordinary
users where fusermount3 is installed, can mount.

  DIR/daily/2019-07-18/app/…    the first point of that day
  DIR/latest/app                the newest
  DIR/README.txt                the rest

Examples:
  tidemark mount -r /mnt/backup /backups
  cp /backups/daily/2019-07-18/app/file .`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "host", Usage: "show `HOST`'s points at the top instead of this machine's"},
			&cli.BoolFlag{Name: "allow-other", Usage: "let other users in, each to what the permissions allow"},
			&cli.StringFlag{Name: "inodes", Usage: "give equal inode numbers to equal `THINGS`: files, shared (directories too) or unique"},
		},
		Action: p.action(mount),
	}
}

func mount(c *cli.Context, s *settings) error {
	if err := wantArgs(c, 1, 1); err != nil {
		return err
	}
	dir := c.Args().First()
	cfg := fusefs.Config{
		AllowOther: s.config.Mount.AllowOther || c.Bool("allow-other"),
		Inodes:     fusefs.Inodes(s.config.Mount.Inodes),
		Log:        s.log,
	}
	if v := c.String("inodes"); v != "" {
		if cfg.Inodes = fusefs.Inodes(v); !slices.Contains([]fusefs.Inodes{fusefs.InodesFiles, fusefs.InodesShared, fusefs.InodesUnique}, cfg.Inodes) {
			return usageError("mount", "--inodes %s: it is one of files, shared and unique", quoteName(v))
		}
	}
	r, err := s.openRepository(c.Context, catalog.Reading)
	if err != nil {
		return err
	}
	defer r.close()
	memory := int64(memoryBytes)
	if m := int64(s.config.Mount.Memory); m > 0 {
		if memory = m; memory < leastMountBytes {
			return coded{exitUsage, fmt.Errorf("mount: memory: %s is too little to work with, at least %s is needed", formatBytes(m), formatBytes(leastMountBytes))}
		}
	}
	boundMemory(memory)
	fetcher, err := r.fetcher((memory - outsideHeap) / 2)
	if err != nil {
		return err
	}
	defer fetcher.Close()
	host := c.String("host")
	if host == "" {
		host = s.config.Mount.Host
	}
	w, err := r.world(c.Context, fetcher, host)
	if err != nil {
		return err
	}
	defer w.close()
	server, err := fusefs.Mount(c.Context, dir, cfg, w, chunks{fetcher})
	if err != nil {
		return explainMount(err)
	}
	s.note("Mounted %s at %s. End it by ^C, or: tidemark unmount %s", quoteName(r.name), quoteName(dir), quoteName(dir))
	err = server.Wait()
	if errors.Is(err, fusefs.ErrBusy) {
		s.p.warn("%s was in use when it was unmounted; who used it gets errors", quoteName(dir))
		err = nil
	}
	return err
}

// explainMount makes a hint of what the mount says the user can do.
func explainMount(err error) error {
	if setup, ok := errors.AsType[*fusefs.SetupError](err); ok && setup.Hint != "" {
		return hint{err, setup.Hint}
	}
	return err
}

// chunks makes a [fusefs.Chunks] of a fetcher.
type chunks struct{ fetcher *fetch.Fetcher }

func (c chunks) Chunk(ctx context.Context, id chunk.ID, at pack.Place) (fusefs.Piece, error) {
	p, err := c.fetcher.Chunk(ctx, id, at)
	if err != nil {
		return nil, err
	}
	return p, nil
}

// leastMountBytes is the least memory that a mount can do with.
const leastMountBytes = 96 << 20

const (
	// refreshEvery is how often a mount looks for new points. A listing that
	// takes long is made less often: refreshShare of the time at most.
	refreshEvery = time.Second
	refreshShare = 20

	// hostsEvery is how many of those rounds pass between looks for new hosts.
	hostsEvery = 15
)

// A world is what a mount shows: a library that is kept up to date.
type world struct {
	r       *repository
	fetcher *fetch.Fetcher
	want    string // the host that the user wants at the top

	stop context.CancelFunc
	done sync.WaitGroup

	mu      sync.Mutex
	library *library          // guarded by mu
	shelves map[string]*shelf // of the hosts that were asked for; guarded by mu
}

// world reads what there is, and goes on doing so until close.
func (r *repository) world(ctx context.Context, fetcher *fetch.Fetcher, host string) (*world, error) {
	l, err := r.library(ctx, host)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	w := &world{r: r, fetcher: fetcher, want: host, library: l, shelves: map[string]*shelf{}, stop: stop}
	w.done.Go(func() { w.refresh(ctx) })
	return w, nil
}

func (w *world) close() {
	w.stop()
	w.done.Wait()
}

// refresh looks for new points until ctx ends. A failure is said once, and
// what was known stays.
func (w *world) refresh(ctx context.Context) {
	timer := time.NewTimer(refreshEvery)
	defer timer.Stop()
	failed := ""
	for round := 1; ; round++ {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		began := w.r.s.p.now()
		err := w.refreshOnce(ctx, round%hostsEvery == 0)
		if err != nil && ctx.Err() == nil && err.Error() != failed {
			w.r.s.log.Warn("looking for new points failed; the mount shows those that it knows", "error", err)
		}
		if failed = ""; err != nil {
			failed = err.Error()
		}
		timer.Reset(max(refreshEvery, refreshShare*w.r.s.p.now().Sub(began)))
	}
}

func (w *world) refreshOnce(ctx context.Context, hosts bool) error {
	if hosts {
		l, err := w.r.library(ctx, w.want)
		if err != nil {
			return err
		}
		w.mu.Lock()
		if w.library.top.Name != "" {
			l.top = w.library.top // another would be other directories under the same names
		}
		w.library = l
		for _, h := range l.hosts {
			if sh := w.shelves[h.Name]; sh != nil {
				sh.setHost(h)
			}
		}
		w.mu.Unlock()
	}
	w.mu.Lock()
	shelves := make([]*shelf, 0, len(w.shelves))
	for _, sh := range w.shelves {
		shelves = append(shelves, sh)
	}
	w.mu.Unlock()
	var errs []error
	for _, sh := range shelves {
		errs = append(errs, sh.refresh(ctx))
	}
	return errors.Join(errs...)
}

// Hosts implements [fusefs.World].
func (w *world) Hosts(context.Context) (names []string, top string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, h := range w.library.hosts {
		names = append(names, h.Name)
	}
	return names, w.library.top.Name, nil
}

// shelf returns the points of a host, which are read when they are first asked for.
func (w *world) shelf(ctx context.Context, host string) (*shelf, error) {
	w.mu.Lock()
	sh, l := w.shelves[host], w.library
	w.mu.Unlock()
	if sh != nil {
		return sh, nil
	}
	i := slices.IndexFunc(l.hosts, func(h catalog.Host) bool { return h.Name == host })
	if i < 0 {
		return nil, fmt.Errorf("host %s: %w", quoteName(host), fusefs.ErrNotShown)
	}
	sh, err := l.shelf(ctx, l.hosts[i])
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if other := w.shelves[host]; other != nil {
		return other, nil
	}
	w.shelves[host] = sh
	return sh, nil
}

// Views implements [fusefs.World].
func (w *world) Views(ctx context.Context, host string) (*fusefs.Views, error) {
	sh, err := w.shelf(ctx, host)
	if err != nil {
		return nil, err
	}
	return sh.arranged(), nil
}

// Open implements [fusefs.World].
func (w *world) Open(ctx context.Context, host, object string) (*catalog.Tree, error) {
	sh, err := w.shelf(ctx, host)
	if err != nil {
		return nil, err
	}
	p, err := sh.open(ctx, object)
	if err != nil {
		return nil, err
	}
	return catalog.OpenTree(w.fetcher, slices.Clone(p.Root))
}
