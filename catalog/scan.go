package catalog

import (
	"bytes"
	"cmp"

	"tidemark/chunk"
	"tidemark/pack"
)

// scan goes over the rows of a page without decoding them: it checks that
// their keys ascend and returns their sums. With these checked, what a search
// does not find is not there, and what a position leads to is right.
func (p *Page) scan() (Sums, *flaw) {
	var total Sums
	var last []byte
	for i := range p.n {
		var sums Sums
		key, ok := p.skim(i, &sums)
		if !ok {
			return Sums{}, p.rowFlaw(i, flawf(pack.ReasonTruncated, "the row is cut off"))
		}
		switch {
		case p.kind == ListPage: // has no keys
		case p.kind == DirPage && len(key) == 0:
			return Sums{}, p.rowFlaw(i, flawf(pack.ReasonText, "the name is empty"))
		case i > 0 && p.compareKeys(last, key) >= 0:
			return Sums{}, p.rowFlaw(i, outOfOrder(bytes.Equal(last, key), "keys of rows"))
		}
		last = key
		if !total.add(p.kind, &sums) {
			return Sums{}, p.rowFlaw(i, flawf(pack.ReasonRange, "the sums of the page are out of range"))
		}
	}
	return total, nil
}

// Sums returns the sums over the rows, and checks that their keys ascend.
func (p *Page) Sums() (Sums, error) {
	s, bad := p.scan()
	if bad != nil {
		return Sums{}, bad
	}
	return s, nil
}

// compareKeys returns the order of two keys as skim returns them. In a usage
// the run ids compare as bytes, the numbers as numbers.
func (p *Page) compareKeys(a, b []byte) int {
	if p.kind != UsagePage {
		return bytes.Compare(a, b)
	}
	const idLen = usageKeyLen - 4
	return cmp.Or(bytes.Compare(a[:idLen], b[:idLen]), cmp.Compare(u32(a[idLen:]), u32(b[idLen:])))
}

// weight returns the first of a row's sums: what positions count.
func (p *Page) weight(i int) uint64 {
	var sums Sums
	p.skim(i, &sums)
	return sums[0]
}

// key returns the key of row i as skim does.
func (p *Page) key(i int) []byte {
	var sums Sums
	key, _ := p.skim(i, &sums)
	return key
}

// skim returns the key of row i, and sets sums to what the row adds to those of
// its page. It reports false if the row ends before that is known. Lists have
// no keys.
func (p *Page) skim(i int, sums *Sums) (key []byte, ok bool) {
	row := p.row(i)
	if p.level > 0 {
		return p.skimBranch(row, sums)
	}
	switch p.kind {
	case DirPage:
		return skimNode(row, sums)
	case UsagePage:
		if len(row) <= usageKeyLen {
			return nil, false
		}
		rest := row[usageKeyLen+1:]
		host := int(row[usageKeyLen])
		if len(rest) < host+16 {
			return nil, false
		}
		*sums = Sums{1, u64(rest[host:]), u64(rest[host+8:])}
		return row[:usageKeyLen], true
	}
	switch {
	case len(row) == 9 && row[0] == extentZero:
		*sums = Sums{u64(row[1:]), 1}
	case len(row) == 5+len(chunk.ID{}) && row[0] == extentChunk:
		*sums = Sums{uint64(u32(row[1:])), 1}
	default:
		return nil, false
	}
	return nil, true
}

func (p *Page) skimBranch(row []byte, sums *Sums) (key []byte, ok bool) {
	n := 0 // bytes of the key
	switch p.kind {
	case DirPage:
		if len(row) == 0 || len(row) <= int(row[0]) {
			return nil, false
		}
		n, row = int(row[0]), row[1:]
	case UsagePage:
		n = usageKeyLen
	}
	count := p.kind.sums()
	if len(row) != n+len(chunk.ID{})+8*count {
		return nil, false
	}
	rest := row[n+len(chunk.ID{}):]
	for i := range count {
		sums[i] = u64(rest[8*i:])
	}
	return row[:n], true
}

// skimNode is skim of a row as appendNode writes it.
func skimNode(row []byte, sums *Sums) (name []byte, ok bool) {
	const (
		fixed     = 1 + 1 + 2 + 4 + 4 // type, flags, mode, uid, gid
		timeLen   = 12
		linkLen   = 20
		xflagsLen = 8
	)
	if len(row) == 0 || len(row) < 1+int(row[0])+fixed {
		return nil, false
	}
	name, row = row[1:1+int(row[0])], row[1+int(row[0]):]
	t, flags := Type(row[0]), row[1]
	at := fixed
	for range 2 { // owner and group
		if at >= len(row) {
			return nil, false
		}
		at += 1 + int(row[at])
	}
	at += timeLen + timeLen*int(flags&flagBtime/flagBtime) +
		linkLen*int(flags&flagLinked/flagLinked) + xflagsLen*int(flags&flagXflags/flagXflags)
	if at+2 > len(row) {
		return nil, false
	}
	xattrs := int(u16(row[at:]))
	at += 2
	for range xattrs {
		if at = skipXattr(row, at); at < 0 {
			return nil, false
		}
	}
	row = row[at:]
	*sums = Sums{1, 0, 0, 0}
	switch {
	case t == File:
		if len(row) < 8 {
			return nil, false
		}
		sums[1], sums[3] = 1, u64(row)
	case t == Dir && flags&flagUnreadable != 0:
		sums[2] = 1
	case t == Dir:
		if len(row) < 32 {
			return nil, false
		}
		below := Sums{u64(row), u64(row[8:]), u64(row[16:]), u64(row[24:])}
		sums[2] = 1
		return name, sums.add(DirPage, &below)
	}
	return name, true
}

// skipXattr returns where the xattr at row[at:] ends, or -1 if it is cut off
// or of no known form.
func skipXattr(row []byte, at int) int {
	if at >= len(row) {
		return -1
	}
	at += 1 + int(row[at]) // name
	if at+5 > len(row) {
		return -1
	}
	form, n := row[at], int(u32(row[at+1:]))
	at += 5
	switch form {
	case formValue:
		at += n
	case formChunk:
		at += len(chunk.ID{})
	default:
		return -1
	}
	if at > len(row) {
		return -1
	}
	return at
}
