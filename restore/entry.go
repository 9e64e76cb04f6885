package restore

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"tidemark/catalog"
)

// An entry is one that is being restored, and no directory.
type entry struct {
	r    *run
	at   int // the directory that it goes into
	row  *catalog.Row
	path string
	told uint64 // bytes of it that Progress has
}

// An outcome is what became of an entry that did not fail.
type outcome uint8

const (
	written outcome = iota + 1
	linked          // it is a further name of a file
	wasThere
	leftOut // it is a loss
)

// entry restores the entry row of d.
func (r *run) entry(ctx context.Context, d *dir, row *catalog.Row) {
	e := &entry{r: r, row: row, path: d.join(row.Name)}
	var done outcome
	err := checkName(row.Name)
	if err == nil && row.Unreadable != "" {
		err = unreadable(&row.Node)
	}
	if err == nil {
		err = r.dirs.use(d, func(fd int) (err error) {
			e.at = fd
			done, err = e.restore(ctx)
			return err
		})
	}
	if err != nil && ctx.Err() != nil {
		return // that is why
	}
	t := row.Totals()
	t.Bytes -= e.told
	if err != nil {
		r.failed(e.path, t, err)
		return
	}
	r.passed(t)
	switch {
	case done == wasThere:
		r.report.skipped.Add(1)
	case done == linked:
		r.report.links.Add(1)
	case done == written && row.Type == catalog.File:
		r.report.files.Add(1)
		r.report.bytes.Add(row.Size)
	case done == written:
		r.report.others.Add(1)
	}
}

func (e *entry) restore(ctx context.Context) (outcome, error) {
	if e.row.Links > 1 && e.r.links != nil {
		return e.r.links.restore(ctx, e)
	}
	return e.alone(ctx, nil)
}

// alone restores an entry as if it had no other names. Keep, if there is one,
// is told of the inode before it gets its name, and answers whether it will
// see to the inode flags.
func (e *entry) alone(ctx context.Context, keep func(handle) (bool, error)) (outcome, error) {
	st, err := statAt(e.at, e.row.Name)
	over := false
	switch {
	case err == nil:
		same, err := e.same(ctx, &st)
		if err != nil {
			return 0, fmt.Errorf("compare with what is there: %w", err)
		}
		if same {
			return wasThere, e.leave(&st, keep)
		}
		if over, err = e.makeWay(&st); err != nil {
			return 0, err
		}
	case err != unix.ENOENT:
		return 0, err
	}
	err = e.write(ctx, over, keep)
	if errors.Is(err, errNoDevice) {
		e.r.report.lose(e.path, loss{Device, err})
		return leftOut, nil
	}
	return written, err
}

// leave does what an earlier run may have been kept from.
func (e *entry) leave(st *stat, keep func(handle) (bool, error)) error {
	if keep != nil {
		fd, err := openSame(e.at, e.row.Name, unix.O_PATH, st.inode)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		if kept, err := keep(handle{fd, procPath(fd)}); kept || err != nil {
			return err
		}
	}
	e.setFlags(st.inode)
	return nil
}

// makeWay sees to it that a rename can put the entry in the place of what is
// there. It reports whether that has to replace something.
func (e *entry) makeWay(st *stat) (over bool, err error) {
	if !e.r.cfg.Overwrite {
		return false, exists(st)
	}
	if st.kind() != unix.S_IFDIR {
		return true, nil
	}
	if err := unix.Unlinkat(e.at, e.row.Name, unix.AT_REMOVEDIR); err != nil {
		return false, fmt.Errorf("%w: a directory, which is only replaced if it is empty: %w", ErrExists, err)
	}
	return false, nil
}

// exists returns the error for what is there and was left there.
func exists(st *stat) error {
	return fmt.Errorf("%w: a %s that differs; remove it, restore elsewhere or allow overwriting", ErrExists, kindName(st))
}

func kindName(st *stat) string {
	for t := catalog.File; t <= catalog.BlockDevice; t++ {
		if fileType(t) == st.kind() {
			return t.String()
		}
	}
	return "thing"
}

// fileType returns the bits of st_mode that say that an inode is of type t.
func fileType(t catalog.Type) uint32 {
	return [...]uint32{
		catalog.File: unix.S_IFREG, catalog.Dir: unix.S_IFDIR, catalog.Symlink: unix.S_IFLNK,
		catalog.Fifo: unix.S_IFIFO, catalog.Socket: unix.S_IFSOCK,
		catalog.CharDevice: unix.S_IFCHR, catalog.BlockDevice: unix.S_IFBLK,
	}[t]
}

// write makes the entry under a temporary name, with all that it has, and then
// gives it its own.
func (e *entry) write(ctx context.Context, over bool, keep func(handle) (bool, error)) (err error) {
	n := &e.row.Node
	temp := e.r.temps.next()
	h, err := e.create(temp)
	if err != nil {
		return fmt.Errorf("make it: %w", err)
	}
	named := false
	defer func() {
		if h.fd >= 0 {
			h.close()
		}
		if !named {
			_ = unix.Unlinkat(e.at, temp, 0)
		}
	}()

	if n.Type == catalog.File {
		if err := e.content(ctx, h.fd); err != nil {
			return err
		}
	}
	st, lost, err := e.r.metadata(ctx, h, n)
	if err != nil {
		return err
	}
	kept := false
	if keep != nil {
		if kept, err = keep(h); err != nil {
			return err
		}
	}
	fd := h.fd
	h.fd = -1
	if err := unix.Close(fd); err != nil {
		return fmt.Errorf("close: %w", err) // where some filesystems tell that they are full
	}
	if over {
		e.clearFlags()
	}
	if err := place(e.at, temp, e.at, n.Name, over); err != nil {
		return fmt.Errorf("give it its name: %w", err)
	}
	named = true
	e.r.report.lose(e.path, lost...)
	if !kept {
		e.setFlags(st.inode)
	}
	return nil
}

// setFlags gives a file its inode flags, if it is the inode want. It is the
// last that is done to it.
func (e *entry) setFlags(want inode) {
	n := &e.row.Node
	if n.Type != catalog.File || n.Xflags == 0 && n.Project == 0 {
		return
	}
	fd, err := openSame(e.at, n.Name, unix.O_RDONLY, want)
	if err != nil {
		e.r.report.lose(e.path, loss{InodeFlags, err})
		return
	}
	defer unix.Close(fd)
	e.r.setFlags(fd, n, e.path)
}

// clearFlags takes the inode flags from the file that is there, which may keep
// it from being linked or replaced. If that fails, so will what it is for.
func (e *entry) clearFlags() {
	if !e.r.root || e.row.Type != catalog.File {
		return
	}
	st, err := statAt(e.at, e.row.Name)
	if err != nil || st.kind() != unix.S_IFREG {
		return
	}
	if fd, err := openSame(e.at, e.row.Name, unix.O_RDONLY, st.inode); err == nil {
		_ = setFlags(fd, 0, 0)
		unix.Close(fd)
	}
}

// errNoDevice means that we may not make devices.
var errNoDevice = errors.New("only root can make one")

// create makes the inode of the entry: a file without content, everything else
// as it will be but for its metadata.
func (e *entry) create(temp string) (h handle, err error) {
	const onlyOurs = 0o600
	n := &e.row.Node
	if n.Type == catalog.File {
		fd, err := openAt(e.at, temp, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL, onlyOurs)
		if err == nil {
			err = lock(fd) // so that nobody takes it for a leftover
		}
		return handle{fd: fd}, err
	}
	rdev := uint64(0)
	switch n.Type {
	case catalog.Symlink:
		err = retry(func() error { return unix.Symlinkat(n.Target, e.at, temp) })
	case catalog.CharDevice, catalog.BlockDevice:
		rdev = unix.Mkdev(n.Major, n.Minor)
		fallthrough
	default:
		err = retry(func() error { return unix.Mknodat(e.at, temp, fileType(n.Type)|onlyOurs, int(rdev)) })
		if err == unix.EPERM && (n.Type == catalog.CharDevice || n.Type == catalog.BlockDevice) {
			err = errNoDevice
		}
	}
	if err != nil {
		return h, err
	}
	if h, err = openHandle(e.at, temp); err != nil {
		return h, err
	}
	// Whoever may rename in this directory could have put something in its
	// place, to be given to somebody with what follows.
	st, err := statAt(h.fd, "")
	if err == nil && (st.kind() != fileType(n.Type) || st.nlink != 1 || st.uid != e.r.uid || st.rdev() != rdev) {
		err = errChanged
	}
	if err != nil {
		h.close()
	}
	return h, err
}

// place renames from to name, replacing what is there if over is true.
func place(fromAt int, from string, at int, name string, over bool) error {
	return retry(func() error {
		if over {
			return unix.Renameat(fromAt, from, at, name)
		}
		err := unix.Renameat2(fromAt, from, at, name, unix.RENAME_NOREPLACE)
		if err != unix.EINVAL && err != unix.ENOSYS {
			return err
		}
		// Not on this filesystem. The two steps can be raced.
		if _, err := statAt(at, name); err != unix.ENOENT {
			return unix.EEXIST
		}
		return unix.Renameat(fromAt, from, at, name)
	})
}
