package walk

// Reading ahead. The directories that a depth-first consumer will ask for, and
// their order, are known as far as directories have been listed: first those
// below where it is, then those after it in its parent, and so on upwards. So
// a worker that is free takes the first of these that nobody reads, and there
// is no queue that could be out of order or grow.

// readAhead starts as many workers as there is work and room for.
func (t *tree) readAhead() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for t.busy < t.cfg.Workers {
		d := t.claim()
		if d == nil {
			return
		}
		t.busy++
		t.workers.Go(func() { t.work(d) })
	}
}

// work reads d, and then whatever else is worth reading ahead.
func (t *tree) work(d *Dir) {
	for d != nil {
		d.read()
		t.readAhead() // what d holds may be work for others
		t.mu.Lock()
		d = t.claim()
		if d == nil {
			t.busy--
		}
		t.mu.Unlock()
	}
}

// claim returns the directory that will be asked for first of those that
// nobody reads yet, for the caller to read; nil if there is none or enough has
// been read ahead. A quarter of the memory is left to the consumer. t.mu is
// held.
func (t *tree) claim() *Dir {
	if t.ended != nil || t.ahead >= aheadPerWorker*t.cfg.Workers || t.memory > t.cfg.Memory/4*3 {
		return nil
	}
	// Directories above these are parked, and far away.
	for a, n := t.cur, 0; a != nil && n < openChain; a, n = a.parent, n+1 {
		if c := a.claim(); c != nil {
			t.ahead++
			return c
		}
	}
	return nil
}

// claim is tree.claim for d and all below it that has been read ahead.
func (d *Dir) claim() *Dir {
	if !d.ready || d.closed {
		return nil
	}
	for _, c := range d.below {
		if c := c.claim(); c != nil {
			return c
		}
	}
	if d.h == nil {
		return nil
	}
	for i := max(d.scanned, int(d.pos.Load())); i < len(d.window); i++ {
		if e := d.window[i]; d.t.enters(e) {
			d.scanned = i + 1
			c := d.newChild(e)
			d.below = append(d.below, c)
			return c
		}
	}
	d.scanned = len(d.window)
	return nil
}

// help reports whether a worker is free, so that the caller may start a
// goroutine to help with one directory. That ends with helped.
func (t *tree) help() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.busy >= t.cfg.Workers {
		return false
	}
	t.busy++
	return true
}

func (t *tree) helped() {
	t.mu.Lock()
	t.busy--
	t.mu.Unlock()
	t.readAhead()
}
