package walk

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	// direntBufLen is the buffer for getdents64, in bytes: one call gives
	// about 2,000 names, which is also the batch that is put in the order of
	// inodes. glibc takes 32 KiB.
	direntBufLen = 64 << 10

	// statBatchLen is how many names one goroutine stats at a time: 0.3 ms of
	// work in a warm cache, a thousand times what starting a goroutine costs.
	statBatchLen = 128

	// vanishedNames is how many names that vanished a directory remembers.
	vanishedNames = 16
)

// A listing is what reading a directory gave, beside the window of its Dir.
type listing struct {
	runs          []run // sorted parts in the temporary file, not yet given
	held          int64 // bytes of the window, reserved
	err           error // why the names end early
	vanished      int
	vanishedNames []string
}

// buffers are what reading a directory needs and the next may use again.
type buffers struct {
	dirents [direntBufLen]byte
	names   []byte
	found   []dirent
}

// A dirent is a name that getdents gave: buffers.names[start:end], without the
// NUL after it.
type dirent struct {
	ino        uint64
	start, end int
}

// read opens and lists d, and says so by closing d.listed.
func (d *Dir) read() {
	t := d.t
	d.openErr = d.open()
	s := sorter{t: t}
	if d.openErr == nil {
		if err := d.withFD(func(fd int) error { return d.list(fd, &s) }); err != nil {
			d.listing.err = d.fail("read directory", "", err)
		}
	}
	window, err := s.finish()
	if err != nil && d.listing.err == nil {
		d.listing.err = d.fail("sort names of", "", err)
	}
	d.listing.runs, d.listing.held = s.runs, s.reserved
	t.mu.Lock()
	d.window, d.ready = window, true
	t.mu.Unlock()
	close(d.listed)
}

// list gives s all entries of d, whose descriptor is fd.
func (d *Dir) list(fd int, s *sorter) error {
	b := d.t.bufs.Get().(*buffers)
	defer d.t.bufs.Put(b)
	var dir string
	if d.t.cfg.Skip != nil {
		dir = d.Path()
	}
	for {
		var n int
		err := retryEINTR(func() (err error) {
			n, err = unix.Getdents(fd, b.dirents[:])
			return err
		})
		if errors.Is(err, unix.ENOENT) {
			return ErrVanished // the directory was removed while it was read
		}
		if err != nil || n == 0 {
			return err
		}
		parseErr := b.parse(b.dirents[:n])
		entries, err := d.statNames(fd, b)
		if err != nil {
			return err
		}
		if err := errors.Join(parseErr, s.add(d.keep(entries, dir))); err != nil {
			return err
		}
	}
}

// keep returns those of entries that did not vanish and are not skipped.
func (d *Dir) keep(entries []Entry, dir string) []Entry {
	kept := entries[:0]
	for i := range entries {
		e := &entries[i]
		if d.gone(e) || d.t.cfg.Skip != nil && d.t.cfg.Skip(dir, e) {
			continue
		}
		kept = append(kept, *e)
	}
	return kept
}

// parse sets b.found to the names in buf, the result of one getdents64, but
// for "." and "..", in the order of their inode numbers: on most filesystems
// that of the inodes on disk.
func (b *buffers) parse(buf []byte) error {
	const header = 19 // ino 8, offset 8, length of the record 2, type 1
	b.names, b.found = b.names[:0], b.found[:0]
	var err error
	for len(buf) > 0 {
		if len(buf) < header {
			return errors.New("the kernel gave a truncated record")
		}
		n := int(binary.NativeEndian.Uint16(buf[16:]))
		if n < header || n > len(buf) {
			return errors.New("the kernel gave a record of impossible length")
		}
		name := buf[header:n]
		if i := bytes.IndexByte(name, 0); i >= 0 {
			name = name[:i]
		}
		switch {
		case string(name) == ".", string(name) == "..":
		case len(name) == 0, bytes.IndexByte(name, '/') >= 0:
			err = fmt.Errorf("the filesystem is damaged: it gave the name %q", name)
		default:
			start := len(b.names)
			b.names = append(append(b.names, name...), 0)
			b.found = append(b.found, dirent{binary.NativeEndian.Uint64(buf), start, start + len(name)})
		}
		buf = buf[n:]
	}
	slices.SortFunc(b.found, func(x, y dirent) int { return cmp.Compare(x.ino, y.ino) })
	return err
}

// statNames returns the entries of b.found with what statx says of them, Err
// being a bare errno where it says nothing. Free workers take a part of it.
func (d *Dir) statNames(fd int, b *buffers) ([]Entry, error) {
	names := string(b.names)
	entries := make([]Entry, len(b.found))
	for i, f := range b.found {
		entries[i].Name = names[f.start:f.end] // names has a NUL after it, for statAt
	}
	var helpers sync.WaitGroup
	defer helpers.Wait()
	for batch := range slices.Chunk(entries, statBatchLen) {
		if err := d.interrupted(); err != nil {
			return nil, err
		}
		if len(entries) > statBatchLen && d.t.help() {
			helpers.Go(func() {
				defer d.t.helped()
				d.statBatch(fd, batch)
			})
		} else {
			d.statBatch(fd, batch)
		}
	}
	return entries, nil
}

func (d *Dir) statBatch(fd int, batch []Entry) {
	var x unix.Statx_t
	for i := range batch {
		e := &batch[i]
		if err := statAt(fd, e.Name, &x); err != nil {
			e.Err = err
			continue
		}
		e.Stat = statOf(&x)
		e.Boundary = d.t.boundary(&d.stat, &e.Stat)
	}
}

// gone counts e if it vanished.
func (d *Dir) gone(e *Entry) bool {
	if e.Err != unix.ENOENT {
		return false
	}
	d.listing.vanished++
	if len(d.listing.vanishedNames) < vanishedNames {
		d.listing.vanishedNames = append(d.listing.vanishedNames, strings.Clone(e.Name))
	}
	return true
}

// interrupted returns why reading d should stop, if it should.
func (d *Dir) interrupted() error {
	t := d.t
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended != nil {
		return t.ended
	}
	if d.closed {
		return errClosed
	}
	return nil
}
