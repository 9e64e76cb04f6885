package restore

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"tidemark/catalog"
)

// enter makes the directory n in parent, or takes the one that is there. Until
// it is finished a new one is ours alone.
func (r *run) enter(parent *dir, n *catalog.Node) (*dir, error) {
	if err := checkName(n.Name); err != nil {
		return nil, err
	}
	if n.Unreadable != "" {
		return nil, unreadable(n)
	}
	d := &dir{parent: parent, name: n.Name, node: *n}
	err := r.dirs.use(parent, func(at int) error {
		var err error
		if d.fresh, err = r.makeDir(at, n.Name); err != nil {
			return err
		}
		fd, err := r.openDir(at, n.Name)
		if err != nil {
			return err
		}
		return r.entered(d, fd)
	})
	if err != nil {
		return nil, fmt.Errorf("make the directory: %w", err)
	}
	return d, nil
}

// checkName refuses what is no name of an entry. Package catalog has done so
// already, and here everything rests on it.
func checkName(name string) error {
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") {
		return fmt.Errorf("%q cannot be a name", name)
	}
	return nil
}

// makeDir makes a directory. It reports false if there is one already.
func (r *run) makeDir(at int, name string) (fresh bool, err error) {
	const onlyOurs = 0o700
	mkdir := func() error { return retry(func() error { return unix.Mkdirat(at, name, onlyOurs) }) }
	err = mkdir()
	if err != unix.EEXIST {
		return err == nil, err
	}
	st, err := statAt(at, name)
	if err != nil || st.kind() == unix.S_IFDIR {
		return false, err
	}
	if !r.cfg.Overwrite {
		return false, exists(&st)
	}
	if err := unix.Unlinkat(at, name, 0); err != nil {
		return false, fmt.Errorf("remove the %s in its place: %w", kindName(&st), err)
	}
	err = mkdir()
	return err == nil, err
}

// openDir opens a directory, and gives its owner all rights to it if it
// cannot be opened without.
func (r *run) openDir(at int, name string) (fd int, err error) {
	const flags = unix.O_RDONLY | unix.O_DIRECTORY
	if fd, err = openAt(at, name, flags, 0); err != unix.EACCES {
		return fd, err
	}
	h, err := openHandle(at, name)
	if err != nil {
		return -1, err
	}
	defer h.close()
	st, err := statAt(h.fd, "")
	if err != nil {
		return -1, err
	}
	if err := h.chmod(st.mode&^unix.S_IFMT | 0o700); err != nil {
		return -1, err
	}
	return openSame(at, name, flags, st.inode)
}

// entered makes fd that of d. A directory that was there before is prepared:
// what an earlier run left half done is removed, and so is what would keep us
// from writing there or would be inherited by what we write. It gets back what
// it should have when it is finished.
func (r *run) entered(d *dir, fd int) error {
	st, err := statAt(fd, "")
	if err == nil && !d.fresh {
		err = r.prepare(fd, &st)
	}
	if err == nil {
		err = r.willSync(fd, st.dev)
	}
	if err != nil {
		unix.Close(fd)
		return err
	}
	d.inode = st.inode
	d.fd = -1
	r.dirs.offer(d, fd, 1)
	r.dirs.release(d)
	return nil
}

func (r *run) prepare(fd int, st *stat) error {
	if r.root {
		if err := setFlags(fd, 0, 0); err != nil {
			return fmt.Errorf("clear its inode flags: %w", err)
		}
	} else if st.mode&0o700 != 0o700 {
		// If it is not ours, what is to be written to it says so.
		_ = handle{fd: fd}.chmod(st.mode&^unix.S_IFMT | 0o700)
	}
	return removeLeftovers(fd)
}

// removeLeftovers removes from a directory what runs that were killed had not
// finished. What a run that is alive works on is locked, and stays.
func removeLeftovers(fd int) error {
	return names(fd, func(name string) error {
		if isTemp(name) {
			// One that cannot be removed does no harm but to take space.
			_ = removeLeftover(fd, name)
		}
		return nil
	})
}

func removeLeftover(at int, name string) error {
	st, err := statAt(at, name)
	if err != nil {
		return err
	}
	kind := st.kind()
	if kind != unix.S_IFREG && kind != unix.S_IFDIR {
		return unix.Unlinkat(at, name, 0) // what takes no time to make is not locked
	}
	fd, err := openAt(at, name, unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := lock(fd); err != nil {
		return err
	}
	if kind == unix.S_IFREG {
		return unix.Unlinkat(at, name, 0)
	}
	err = names(fd, func(name string) error { return unix.Unlinkat(fd, name, 0) })
	return errors.Join(err, unix.Unlinkat(at, name, unix.AT_REMOVEDIR))
}

// lock locks the file or directory fd until it is closed. It fails if somebody
// else has it locked; not where there are no locks.
func lock(fd int) error {
	err := retry(func() error { return unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) })
	if err == unix.EWOULDBLOCK {
		return errLocked
	}
	return nil
}

var errLocked = errors.New("another restore is at work there: wait for it, or end it")

// finish gives a directory its metadata, when everything in it is done.
func (r *run) finish(ctx context.Context, d *dir) {
	defer r.dirs.close(d)
	if ctx.Err() != nil {
		return // another run will come back to it
	}
	err := r.dirs.use(d, func(fd int) error {
		r.dirs.openParent(d, fd)
		_, lost, err := r.metadata(ctx, handle{fd: fd}, &d.node)
		if err != nil {
			return err
		}
		r.report.lose(d.path(), lost...)
		r.setFlags(fd, &d.node, d.path())
		return nil
	})
	self := catalog.Totals{Names: 1}
	switch {
	case ctx.Err() != nil:
	case err != nil:
		r.failed(d.path(), self, fmt.Errorf("its metadata: %w", err))
	default:
		r.passed(self)
		r.report.dirs.Add(1)
	}
}
