package walk

import (
	"errors"
	"slices"
	"strings"
	"sync/atomic"
)

// A Dir is a directory of a walk.
//
// The order of use is depth first: Next gives an entry; if it is a directory
// that is to be entered, Child of it, all of that Dir, its Close; then Next
// again. A child may be left out, and what was read ahead of it is then
// dropped when the next is asked for. A child may be asked for later than
// that, and out of order, but then it is read only when it is asked for.
//
// A Dir is for one goroutine, with the exceptions that their comments name.
// It must be closed, after the Dirs below it.
type Dir struct {
	t      *tree
	parent *Dir   // nil for the root
	name   string // in parent
	want   Stat   // what the parent's entry says this is; unused for the root

	// Set by read, before listed is closed.
	listed  chan struct{}
	stat    Stat  // as it was when it was opened
	openErr error // why it could not be opened
	listing listing

	pos  atomic.Int64 // entries of window that Next has given
	last string       // the name that Next gave last
	some bool         // there is such a name

	// Guarded by t.mu. The consumer alone sets window once listed is closed,
	// and may read it without.
	h       *handle  // nil: not open now
	window  []*Entry // of the listing: all of it, or the part merged last
	scanned int      // entries of window that reading ahead has passed
	ready   bool     // listed is closed, or about to be
	below   []*Dir   // children read ahead and not asked for, in order of names
	opened  []*Dir   // children that the consumer has
	closed  bool
}

// Stat returns what statx said of the directory when it was opened.
func (d *Dir) Stat() Stat { return d.stat }

// Self returns the directory as an entry of itself, named ".", so that what is
// asked of entries can be asked of the root of a walk.
func (d *Dir) Self() Entry { return Entry{Name: ".", Stat: d.stat} }

// Path returns the path of d below the root of the walk; "" is the root. It
// may be longer than any system call takes. It may be called at any time.
func (d *Dir) Path() string {
	var names []string
	for ; d.parent != nil; d = d.parent {
		names = append(names, d.name)
	}
	slices.Reverse(names)
	return strings.Join(names, "/")
}

// Vanished returns how many names of d were gone before statx reached them,
// and up to 16 of them. It is known from the beginning.
func (d *Dir) Vanished() (count int, some []string) {
	return d.listing.vanished, d.listing.vanishedNames
}

// Err returns the error that [Dir.Next] ends with, for a consumer that must know
// before it begins whether d was read whole. An error of sorting a very large
// directory may still come later.
func (d *Dir) Err() error { return d.listing.err }

// Next returns the next entry in the order of the names' bytes, each name
// once, and false at the end. An error says that entries are missing, since
// the directory could not be read whole; it comes after those that could be,
// and stays.
func (d *Dir) Next() (Entry, bool, error) {
	if err := d.t.err(); err != nil {
		return Entry{}, false, err
	}
	for {
		pos := int(d.pos.Load())
		if pos >= len(d.window) {
			if more, err := d.refill(); !more {
				return Entry{}, false, err
			}
			continue
		}
		e := *d.window[pos]
		d.pos.Store(int64(pos) + 1)
		if d.some && e.Name == d.last {
			continue // the kernel may repeat a name while a directory changes
		}
		d.last, d.some = e.Name, true
		if e.Err != nil {
			e.Err = d.fail("stat", e.Name, e.Err)
		}
		return e, true, nil
	}
}

// refill sets window to the next part of a listing that was sorted on disk, or
// returns the error that the listing ends with.
func (d *Dir) refill() (more bool, err error) {
	if len(d.listing.runs) == 0 {
		return false, d.listing.err
	}
	window, err := d.listing.merge(d.t)
	if err != nil {
		d.listing.err = d.fail("read the sorted names of", "", err)
	}
	d.t.mu.Lock()
	d.window, d.scanned = window, 0
	d.pos.Store(0)
	d.t.mu.Unlock()
	d.t.readAhead()
	return true, nil
}

// Child opens the directory that e, an entry of d, tells of. The error wraps
// [ErrVanished] if it is gone, [ErrChanged] if something else has its name. A
// directory that can be opened and not read returns its error from Next.
func (d *Dir) Child(e Entry) (*Dir, error) {
	t := d.t
	if err := t.err(); err != nil {
		return nil, err
	}
	if !t.enters(&e) {
		return nil, d.fail("enter", e.Name, errors.New("not a directory that the walk goes into"))
	}
	c, ours := d.take(e)
	t.readAhead()
	if ours {
		c.read()
		t.readAhead()
	}
	select {
	case <-c.listed:
	case <-t.done:
	}
	err := t.err()
	if err == nil {
		err = c.openErr // c is listed, since the walk has not ended
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// take makes e's directory one that the consumer has, and drops what was read
// ahead of children before it. ours means that nobody has begun to read it.
func (d *Dir) take(e Entry) (c *Dir, ours bool) {
	t := d.t
	t.mu.Lock()
	n := 0
	for n < len(d.below) && d.below[n].name < e.Name {
		n++
	}
	skipped := slices.Clone(d.below[:n])
	d.below = slices.Delete(d.below, 0, n)
	if len(d.below) > 0 && d.below[0].name == e.Name {
		c = d.below[0]
		d.below = slices.Delete(d.below, 0, 1)
		n++
	} else {
		c, ours = d.newChild(&e), true
	}
	t.ahead -= n
	d.opened = append(d.opened, c)
	t.cur = c
	t.mu.Unlock()

	for _, s := range skipped {
		s.shut()
	}
	c.parkAncestor()
	return c, ours
}

func (d *Dir) newChild(e *Entry) *Dir {
	return &Dir{t: d.t, parent: d, name: strings.Clone(e.Name), want: e.Stat, listed: make(chan struct{})}
}

// Close ends the reading of d and of all below it, and waits for it. Closing
// the root ends the walk. A second Close does nothing.
func (d *Dir) Close() {
	t := d.t
	if d.parent == nil {
		t.stop(errClosed)
	}
	t.mu.Lock()
	was := d.closed
	if d.parent != nil && !was {
		t.cur = d.parent
		d.parent.opened = slices.DeleteFunc(d.parent.opened, func(o *Dir) bool { return o == d })
	}
	t.mu.Unlock()
	if was {
		return
	}
	if d.parent == nil {
		d.shut()
		t.workers.Wait()
		t.temp.close()
		t.unwatch()
		return
	}
	d.reopenParent()
	d.shut()
	t.readAhead()
}

// shut frees what d and all below it hold, after their readers have stopped.
func (d *Dir) shut() {
	t := d.t
	t.mu.Lock()
	d.closed = true
	t.ahead -= len(d.below)
	below := append(d.below, d.opened...)
	d.below, d.opened = nil, nil
	t.mu.Unlock()
	for _, c := range below {
		c.shut()
	}
	<-d.listed
	d.park()
	t.mu.Lock()
	d.window = nil
	t.mu.Unlock()
	d.listing.free(t)
	d.listing.err = errDirClosed
}
