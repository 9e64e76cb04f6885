package restore

import (
	"container/list"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"tidemark/catalog"
)

// openDirs is how many directories are kept open that nobody uses just now.
// The ways up and down that are shorter than that cost nothing.
const openDirs = 256

// A dir is a directory of the target. Its descriptor may be closed while
// nobody uses it, and is opened again from above, name by name: so a path may
// be longer than the kernel takes, and whatever is found under a name must be
// the inode that was there before.
type dir struct {
	parent *dir // nil for the target
	name   string
	node   catalog.Node
	inode  inode
	fresh  bool // made by this run

	// pending counts what is to be done before the directory can be finished:
	// its entries, directories among them, and the listing itself.
	pending atomic.Int64

	// Guarded by dirs.mu.
	fd    int           // -1: not open
	users int           // of fd
	idle  *list.Element // in dirs.idle, if fd is open and there are no users
}

// path returns the path below the target; "" is the target itself.
func (d *dir) path() string {
	var names []string
	for ; d.parent != nil; d = d.parent {
		names = append(names, d.name)
	}
	slices.Reverse(names)
	return strings.Join(names, "/")
}

// join returns the path of an entry of d.
func (d *dir) join(name string) string {
	if d.parent == nil {
		return name
	}
	return d.path() + "/" + name
}

// dirs bounds how many directories are open.
type dirs struct {
	mu   sync.Mutex
	idle list.List // of *dir, the longest idle first; guarded by mu
}

// use calls fn with d's descriptor.
func (s *dirs) use(d *dir, fn func(fd int) error) error {
	fd, err := s.acquire(d)
	if err != nil {
		return err
	}
	defer s.release(d)
	return fn(fd)
}

func (s *dirs) acquire(d *dir) (int, error) {
	if fd, ok := s.borrow(d); ok {
		return fd, nil
	}
	fd, err := s.reopen(d)
	if err != nil {
		return -1, err
	}
	return s.offer(d, fd, 1), nil
}

// borrow adds a user of d, if it is open.
func (s *dirs) borrow(d *dir) (fd int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d.fd < 0 {
		return -1, false
	}
	s.busy(d)
	d.users++
	return d.fd, true
}

// busy takes d off the list of idle ones. The caller holds mu.
func (s *dirs) busy(d *dir) {
	if d.idle != nil {
		s.idle.Remove(d.idle)
		d.idle = nil
	}
}

// offer makes fd that of d, unless it has one, adds users and returns it.
func (s *dirs) offer(d *dir, fd int, users int) int {
	s.mu.Lock()
	spare := -1
	if d.fd >= 0 {
		spare = fd
	} else {
		d.fd = fd
	}
	s.busy(d)
	d.users += users
	fd = d.fd
	s.mu.Unlock()
	if spare >= 0 {
		unix.Close(spare)
	}
	return fd
}

// release ends one use of d, and closes the directory that was idle longest if
// there are too many.
func (s *dirs) release(d *dir) {
	s.mu.Lock()
	surplus := -1
	d.users--
	if d.users == 0 && d.fd >= 0 {
		d.idle = s.idle.PushBack(d)
		if s.idle.Len() > openDirs {
			old := s.idle.Remove(s.idle.Front()).(*dir)
			surplus, old.fd, old.idle = old.fd, -1, nil
		}
	}
	s.mu.Unlock()
	if surplus >= 0 {
		unix.Close(surplus)
	}
}

// close closes d, which nobody uses nor will.
func (s *dirs) close(d *dir) {
	s.mu.Lock()
	s.busy(d)
	fd := d.fd
	d.fd = -1
	s.mu.Unlock()
	if fd >= 0 {
		unix.Close(fd)
	}
}

// reopen opens d from the nearest directory above it that is open. The target
// always is.
func (s *dirs) reopen(d *dir) (int, error) {
	down := []*dir{d} // upwards
	above := d.parent
	at, ok := s.borrow(above)
	for ; !ok; at, ok = s.borrow(above) {
		down = append(down, above)
		above = above.parent
	}
	defer s.release(above)
	fd := at
	for _, next := range slices.Backward(down) {
		child, err := openSame(fd, next.name, unix.O_RDONLY|unix.O_DIRECTORY, next.inode)
		if fd != at {
			unix.Close(fd)
		}
		if err != nil {
			return -1, err
		}
		fd = child
	}
	return fd, nil
}

// openParent opens the directory above d again, from d, whose descriptor is
// fd. Without it the way back from a deep tree would cost the square of its
// depth. Any failure leaves it to reopen.
func (s *dirs) openParent(d *dir, fd int) {
	p := d.parent
	if p == nil {
		return
	}
	if _, open := s.borrow(p); open {
		s.release(p)
		return
	}
	if up, err := openSame(fd, "..", unix.O_RDONLY|unix.O_DIRECTORY, p.inode); err == nil {
		s.offer(p, up, 1)
		s.release(p)
	}
}
