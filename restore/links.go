package restore

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"tidemark/catalog"
)

// links is the table of the files that have several names. It is a directory
// in the target which only we can enter: each such file gets a further name
// there, made of its group and of the inode flags that it will have, and from
// there its other names. The directory is removed at the end. So the table
// takes no memory, and leads to the inode that was meant whatever became of
// its first name.
type links struct {
	run  *run
	root *dir // the target

	open sync.Once
	name string // in the target
	fd   int    // -1: not open
	err  error  // why not

	mu   sync.Mutex
	busy map[string]chan struct{} // files that are being written or linked; guarded by mu
}

// restore restores an entry of a group: as a link if the group has a file
// already, else in full, and then it is the file of the group.
func (l *links) restore(ctx context.Context, e *entry) (outcome, error) {
	n := &e.row.Node
	if err := l.ready(); err != nil {
		return 0, fmt.Errorf("directory for hard links: %w", err)
	}
	key := fmt.Sprintf("%x-%x-%x", n.Link, n.Xflags, n.Project)
	free, err := l.claim(ctx, key)
	if err != nil {
		return 0, err
	}
	defer free()

	file, err := statAt(l.fd, key)
	if err == unix.ENOENT {
		return e.alone(ctx, func(h handle) (bool, error) { return l.keep(e, h, key) })
	}
	if err != nil {
		return 0, err
	}
	done, err := l.link(ctx, e, key, &file)
	if err == unix.EXDEV { // another filesystem is mounted in the target
		l.run.report.lose(e.path, loss{HardLink, err})
		return e.alone(ctx, nil)
	}
	return done, err
}

// ready makes the directory of the table when it is first needed.
func (l *links) ready() error {
	l.open.Do(func() {
		l.busy = make(map[string]chan struct{})
		l.name = l.run.temps.next()
		l.err = l.run.dirs.use(l.root, l.make)
	})
	return l.err
}

func (l *links) make(at int) error {
	const onlyOurs = 0o700
	if err := retry(func() error { return unix.Mkdirat(at, l.name, onlyOurs) }); err != nil {
		return err
	}
	fd, err := openAt(at, l.name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	st, err := statAt(fd, "")
	if err == nil && (st.uid != l.run.uid || st.mode&0o077 != 0) {
		err = errChanged
	}
	if err == nil {
		err = lock(fd) // so that nobody takes it for a leftover
	}
	if err != nil {
		unix.Close(fd)
		return err
	}
	l.fd = fd
	return nil
}

// claim waits until nobody is at work on the group of key, and keeps the
// others waiting until free is called: they will find the file to link to.
func (l *links) claim(ctx context.Context, key string) (free func(), err error) {
	for {
		l.mu.Lock()
		others, taken := l.busy[key]
		if !taken {
			mine := make(chan struct{})
			l.busy[key] = mine
			l.mu.Unlock()
			return func() {
				l.mu.Lock()
				delete(l.busy, key)
				l.mu.Unlock()
				close(mine)
			}, nil
		}
		l.mu.Unlock()
		select {
		case <-others:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// keep makes the inode h the file of a group. It reports false if that cannot
// be: then every name of the group becomes a file of its own.
func (l *links) keep(e *entry, h handle, key string) (bool, error) {
	err := h.link(l.fd, key)
	if err == unix.EPERM && l.run.root && e.row.Type == catalog.File {
		// An earlier run may have made it immutable.
		e.clearFlags()
		err = h.link(l.fd, key)
	}
	switch err {
	case unix.EXDEV, unix.EPERM, unix.EMLINK, unix.ENOTSUP, unix.ENOSYS:
		l.run.report.lose(e.path, loss{HardLink, err})
		return false, nil
	}
	return err == nil, err
}

// link gives the file of a group the name of e. A file of its own that is as
// it should be makes way: an earlier run may have ended before all names were
// linked.
func (l *links) link(ctx context.Context, e *entry, key string, file *stat) (outcome, error) {
	st, err := statAt(e.at, e.row.Name)
	over := false
	switch {
	case err == nil && st.inode == file.inode:
		return wasThere, nil
	case err == nil:
		if over, err = e.same(ctx, &st); err == nil && !over {
			over, err = e.makeWay(&st)
		}
		if err != nil {
			return 0, err
		}
	case err != unix.ENOENT:
		return 0, err
	}
	name := e.row.Name
	if over {
		name = l.run.temps.next()
	}
	err = retry(func() error { return unix.Linkat(l.fd, key, e.at, name, 0) })
	moved := err == unix.EMLINK
	if moved {
		// It has as many names as the filesystem allows, one of them ours.
		err = place(l.fd, key, e.at, name, false)
	}
	if err == nil && over {
		e.clearFlags()
		if err = place(e.at, name, e.at, e.row.Name, true); err != nil {
			_ = unix.Unlinkat(e.at, name, 0)
		}
	}
	if err == nil && moved {
		e.setFlags(file.inode)
		if e.row.Links > file.nlink {
			l.run.report.lose(e.path, loss{HardLink, fmt.Errorf("only %d names of a file are possible here, it had %d", file.nlink, e.row.Links)})
		}
	}
	return linked, err
}

// close removes the table, and gives the files their inode flags unless the
// run has ended early.
func (l *links) close(ctx context.Context) error {
	if l.fd < 0 {
		return nil
	}
	defer unix.Close(l.fd)
	for {
		err := names(l.fd, func(name string) error { return l.remove(ctx, name) })
		if err == nil {
			err = l.run.dirs.use(l.root, func(at int) error {
				return unix.Unlinkat(at, l.name, unix.AT_REMOVEDIR)
			})
		}
		if err != unix.ENOTEMPTY { // a listing may miss names while others are removed
			return wrap("remove the directory for hard links", err)
		}
	}
}

// remove takes a file out of the table.
func (l *links) remove(ctx context.Context, key string) error {
	_, flags, _ := strings.Cut(key, "-")
	var n catalog.Node
	_, err := fmt.Sscanf(flags, "%x-%x", &n.Xflags, &n.Project)
	if err != nil || n.Xflags|n.Project == 0 || ctx.Err() != nil {
		return unix.Unlinkat(l.fd, key, 0)
	}
	fd, err := openAt(l.fd, key, unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.Unlinkat(l.fd, key, 0); err != nil {
		return err
	}
	l.run.setFlags(fd, &n, "")
	return nil
}
