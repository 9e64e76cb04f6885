package walk

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// A handle is the open descriptor of a directory. It is closed when its Dir
// has given it up and nobody uses it any more.
type handle struct {
	fd    int
	users int  // guarded by tree.mu
	given bool // its Dir has given it up; guarded by tree.mu
}

// withFD calls fn with d's descriptor, opened again if need be.
func (d *Dir) withFD(fn func(fd int) error) error {
	h, err := d.acquire()
	if err != nil {
		return err
	}
	defer d.t.drop(h)
	return fn(h.fd)
}

func (d *Dir) acquire() (*handle, error) {
	t := d.t
	t.mu.Lock()
	h, closed := d.h, d.closed
	if h != nil && !closed {
		h.users++
	}
	t.mu.Unlock()
	if closed {
		return nil, errClosed
	}
	if h != nil {
		return h, nil
	}
	fd, err := d.reopen()
	if err != nil {
		return nil, err
	}
	h = &handle{fd: fd, users: 1, given: true}
	t.mu.Lock()
	if d == t.cur && d.h == nil && !d.closed {
		// It will be asked for again. Elsewhere in the chain it would be
		// one descriptor too many.
		d.h, h.given = h, false
	}
	t.mu.Unlock()
	return h, nil
}

// drop ends one use of h.
func (t *tree) drop(h *handle) {
	t.mu.Lock()
	h.users--
	last := h.users == 0 && h.given
	t.mu.Unlock()
	if last {
		unix.Close(h.fd)
	}
}

// park gives up d's descriptor until it is needed again.
func (d *Dir) park() {
	t := d.t
	t.mu.Lock()
	h := d.h
	d.h = nil
	if h != nil {
		h.given = true
		h.users++ // ours, which drop ends
	}
	t.mu.Unlock()
	if h != nil {
		t.drop(h)
	}
}

// parkAncestor bounds the descriptors of the chain from d to the root, by
// parking the one that became too far from d. The root's is never parked.
func (d *Dir) parkAncestor() {
	a := d
	for range openChain {
		if a = a.parent; a == nil {
			return
		}
	}
	if a.parent != nil {
		a.park()
	}
}

// open opens d for the first time: in its parent, as the inode that its entry
// told of; the root by its path, whatever it is.
func (d *Dir) open() error {
	if d.parent == nil {
		fd, stat, err := openDir(unix.AT_FDCWD, d.t.path, 0)
		if err != nil {
			return d.fail("open", "", err)
		}
		d.hold(fd, stat)
		return nil
	}
	err := d.parent.withFD(func(at int) error {
		fd, stat, err := openSame(at, d.name, &d.want)
		if err == nil {
			d.hold(fd, stat)
		}
		return err
	})
	if err != nil {
		return d.fail("open", "", err)
	}
	return nil
}

func (d *Dir) hold(fd int, stat Stat) {
	d.t.mu.Lock()
	defer d.t.mu.Unlock()
	d.stat = stat
	d.h = &handle{fd: fd}
}

// reopenParent opens the parent of d again if it was parked, while that costs
// one system call: from the directory below it. Without it, the way back from
// a deep tree would cost the square of its depth.
func (d *Dir) reopenParent() {
	t, p := d.t, d.parent
	t.mu.Lock()
	needed := p.h == nil && !p.closed && d.h != nil
	t.mu.Unlock()
	if !needed {
		return
	}
	// Any failure leaves it to reopen, as when d was moved elsewhere.
	_ = d.withFD(func(at int) error {
		fd, _, err := openSame(at, "..", &p.stat)
		if err != nil {
			return err
		}
		t.mu.Lock()
		taken := p.h == nil && !p.closed // another goroutine may have been quicker
		if taken {
			p.h = &handle{fd: fd}
		}
		t.mu.Unlock()
		if !taken {
			unix.Close(fd)
		}
		return nil
	})
}

// reopen opens d by its path from the nearest directory above that is open,
// name by name: the whole path may be longer than the kernel takes. Each must
// be the inode that it was.
func (d *Dir) reopen() (int, error) {
	t := d.t
	t.mu.Lock()
	var down []*Dir // from d upwards
	a := d
	for a.h == nil && a.parent != nil {
		down = append(down, a)
		a = a.parent
	}
	h := a.h
	if h != nil {
		h.users++
	}
	t.mu.Unlock()
	if h == nil {
		return 0, errClosed
	}
	defer t.drop(h)

	at := h.fd
	for i := len(down) - 1; i >= 0; i-- {
		fd, _, err := openSame(at, down[i].name, &down[i].stat)
		if at != h.fd {
			unix.Close(at)
		}
		if errors.Is(err, ErrVanished) {
			err = ErrChanged // of what is asked for in d, nobody knows that it is gone
		}
		if err != nil {
			return 0, fmt.Errorf("open %s again: %w", shown(down[i].pathOf("")), err)
		}
		at = fd
	}
	return at, nil
}

// openSame opens the directory name in at, which must be the inode of want.
func openSame(at int, name string, want *Stat) (fd int, stat Stat, err error) {
	fd, stat, err = openDir(at, name, unix.O_NOFOLLOW)
	if err != nil {
		return 0, Stat{}, changed(err)
	}
	if !stat.same(want) {
		unix.Close(fd)
		return 0, Stat{}, ErrChanged
	}
	return fd, stat, nil
}

// openDir opens a directory to read it, without a new access time where that
// is allowed.
func openDir(at int, name string, flags int) (fd int, stat Stat, err error) {
	flags |= unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC
	if fd, err = openNoAtime(at, name, flags); err != nil {
		return 0, Stat{}, err
	}
	if stat, err = statFD(fd); err != nil {
		unix.Close(fd)
		return 0, Stat{}, err
	}
	return fd, stat, nil
}

// openNoAtime opens name with O_NOATIME, or without if the caller may not: it
// takes the owner or CAP_FOWNER.
func openNoAtime(at int, name string, flags int) (fd int, err error) {
	open := func(flags int) error {
		return retryEINTR(func() error {
			fd, err = unix.Openat(at, name, flags, 0)
			return err
		})
	}
	if err = open(flags | unix.O_NOATIME); err == unix.EPERM {
		err = open(flags)
	}
	return fd, err
}

// changed turns the error of opening a name that was there, and was no
// symlink, into what it says of the name.
func changed(err error) error {
	switch {
	case errors.Is(err, unix.ENOENT):
		return ErrVanished
	case errors.Is(err, unix.ELOOP), errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ENXIO):
		return ErrChanged
	}
	return err
}
