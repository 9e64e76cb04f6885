package restore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"tidemark/catalog"
)

// directory restores the directory of row as the directory target.
func (r *run) directory(ctx context.Context, row *catalog.Row, target string) (err error) {
	root, err := r.open(target, true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.sync(err == nil && ctx.Err() == nil)) }()
	root.node = row.Node
	root.pending.Add(1) // what is below ends first
	r.links = &links{run: r, root: root, fd: -1}
	r.entries(ctx, root)
	err = r.links.close(ctx)
	r.done(ctx, root)
	return err
}

// single restores an entry that is no directory.
func (r *run) single(ctx context.Context, row *catalog.Row, target string) (err error) {
	dir, name := target, row.Name
	info, err := os.Stat(target)
	if !strings.HasSuffix(target, "/") && (err != nil || !info.IsDir()) {
		dir, name = filepath.Split(target)
		dir = filepath.Clean(dir) // "" is "."
	}
	row.Name = name
	d, err := r.open(dir, false)
	if err != nil {
		return err
	}
	defer r.dirs.close(d)
	defer func() { err = errors.Join(err, r.sync(err == nil && ctx.Err() == nil)) }()
	r.entry(ctx, d, row)
	return nil
}

// open opens the directory path, following symlinks, and makes it if it is
// missing. The whole of it becomes that of a tree if whole is true.
func (r *run) open(path string, whole bool) (*dir, error) {
	d := &dir{}
	fd, err := openPath(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(filepath.Dir(filepath.Clean(path)), 0o777); err != nil {
			return nil, bare(err)
		}
		mode := os.FileMode(0o777)
		if whole {
			mode, d.fresh = 0o700, true // nobody else's, until it is finished
		}
		if err := os.Mkdir(path, mode); err != nil {
			return nil, bare(err)
		}
		fd, err = openPath(path)
	}
	if err != nil {
		return nil, err
	}
	if !whole {
		d.fresh = true // it is not ours to change
		_ = removeLeftovers(fd)
	} else if err := lock(fd); err != nil {
		unix.Close(fd)
		return nil, err
	}
	if err := r.entered(d, fd); err != nil {
		return nil, err
	}
	_, err = r.dirs.acquire(d) // it stays open
	return d, err
}

func openPath(path string) (fd int, err error) {
	err = retry(func() error {
		fd, err = unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		return err
	})
	return fd, err
}

// bare returns err without the path, which is said once already.
func bare(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return fmt.Errorf("%s: %w", p.Op, p.Err)
	}
	return err
}

// willSync has the filesystem dev, which the directory fd is on, synced at the
// end. One goroutine calls it.
func (r *run) willSync(fd int, dev uint64) error {
	if _, ok := r.disks[dev]; ok || r.cfg.NoSync {
		return nil
	}
	again, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err == nil {
		r.disks[dev] = again
	}
	return err
}

// sync waits until all that was written is on its disks, if that is wanted.
func (r *run) sync(wanted bool) error {
	var errs []error
	for _, fd := range r.disks {
		if wanted {
			if err := retry(func() error { return unix.Syncfs(fd) }); err != nil {
				errs = append(errs, fmt.Errorf("sync: %w", err))
			}
		}
		unix.Close(fd)
	}
	clear(r.disks)
	return errors.Join(errs...)
}
