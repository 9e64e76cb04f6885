package fusefs

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// Kernel ids are computed, never counted:
//
//	bits  63      62 … 36   35 … 0
//	      0       0         1         the top (FUSE_ROOT_ID)
//	      0       number    rank      a node of a point: the point's number, from 1,
//	                                  and the node's preorder rank in its tree
//	      1       number (63 bits)    a node above the points
//
// A number stands for a line in the [table]. A point that shows in two views
// has two lines and so two numbers, and two kernel ids for each node: the
// kernel knows a directory in one place only, so with one id for both a
// working directory would move from one date to another.
const (
	topID      uint64 = fuse.FUSE_ROOT_ID
	rankBits          = 36 // 69 billion names in a point
	numberBits        = 27 // 134 million places where a point was shown
	aboveBit   uint64 = 1 << 63

	maxRank   = 1<<rankBits - 1
	maxNumber = 1<<numberBits - 1
)

const _ = uint(63 - rankBits - numberBits) // they fit

// pointID returns the kernel id of the node with a rank in the point with a
// number.
func pointID(number, rank uint64) (uint64, error) {
	if rank > maxRank {
		return 0, fmt.Errorf("fusefs: a point of more than %d names", uint64(maxRank))
	}
	return number<<rankBits | rank, nil
}

// A table gives out the numbers of kernel ids. A line is written once and
// stays, so a number is never reused: what the kernel still holds of a point
// that is gone becomes stale, not another's.
//
// A line is a node above the points, as spot.line writes it, or a point in one
// place, as pointKey.line does. Lines are made for what exists only, so their
// number is bounded by that of the points shown.
type table struct {
	mu      sync.RWMutex
	numbers map[string]uint64 // by line; guarded by mu
	lines   []string          // number 1 first; guarded by mu
}

func newTable() *table { return &table{numbers: map[string]uint64{}} }

// number returns the number of a line, which it gives one if it has none.
func (t *table) number(line string) (uint64, error) {
	t.mu.RLock()
	n, known := t.numbers[line]
	t.mu.RUnlock()
	if known {
		return n, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if n, known := t.numbers[line]; known {
		return n, nil
	}
	if len(t.lines) == maxNumber {
		return 0, errors.New("fusefs: the mount has shown all the points that it can; mount again")
	}
	line = strings.Clone(line)
	t.lines = append(t.lines, line)
	n = uint64(len(t.lines))
	t.numbers[line] = n
	return n, nil
}

// line returns the line with a number.
func (t *table) line(number uint64) (string, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if number == 0 || number > uint64(len(t.lines)) {
		return "", false
	}
	return t.lines[number-1], true
}

// A pointKey is a point in one place of the mount. Its parts have no NUL.
type pointKey struct {
	path   string // of the point's root, from the top: "daily/2026-11-20/app"
	host   string
	object string // name of the point's object
}

// line returns k as it stands in the table.
func (k pointKey) line() string { return k.path + "\x00" + k.host + "\x00" + k.object }

// parsePointKey reads what pointKey.line writes, and no line of a spot.
func parsePointKey(line string) (pointKey, bool) {
	parts := strings.Split(line, "\x00")
	if len(parts) != 3 {
		return pointKey{}, false
	}
	return pointKey{parts[0], parts[1], parts[2]}, true
}

// source returns the source of the point, by which it stands in its directory.
func (k pointKey) source() string { return k.path[strings.LastIndexByte(k.path, '/')+1:] }
