package catalog

import (
	"cmp"
	"fmt"
	"strings"

	"tidemark/keys"
	"tidemark/pack"
)

// A CondemnedReason is why packs are to be deleted.
type CondemnedReason uint8

// The reasons, with the numbers that the format gives them.
const (
	Unused    CondemnedReason = 1 + iota // no point names them
	Compacted                            // what is used of them is moved elsewhere
)

// A Condemned names packs that a prune means to delete. No new point may
// refer to them.
type Condemned struct {
	ID     [16]byte // the last segment of the object's name; random
	Reason CondemnedReason
	Time   Time
	Packs  []CondemnedPack // ascending
	Ext    []pack.Ext
}

// A CondemnedPack names a pack.
type CondemnedPack struct {
	Host   string // <host>, sealed, as in the pack's name
	Run    keys.RunID
	Number uint32
}

// condemnedPackLen is the least length of a pack's row, in bytes.
const condemnedPackLen = 1 + 1 + 16 + 4

// Compare returns -1, 0 or +1: the order of rows in a [Condemned].
func (p CondemnedPack) Compare(other CondemnedPack) int {
	return cmp.Or(strings.Compare(p.Host, other.Host), p.Run.Compare(other.Run), cmp.Compare(p.Number, other.Number))
}

// Seal returns c as an object, and its name. It is signed by the repository's
// key and not sealed: every writer must be able to read it.
func (c *Condemned) Seal(repo keys.RepositoryID, signing keys.PrivateKey) (object string, b []byte, err error) {
	object = ObjectName{Area: CondemnedArea, ID: c.ID}.String()
	for _, p := range c.Packs {
		if err := checkLengths(object, maxSegmentLen, p.Host); err != nil {
			return "", nil, err
		}
	}
	body := c.Encode()
	if _, err := ParseCondemned(object, body); err != nil {
		return "", nil, fmt.Errorf("catalog: readers would refuse these condemned packs: %w", err)
	}
	b = pack.PlainRecord(pack.Condemned, repo, object, pack.SignBody(pack.Condemned, repo, object, body, signing))
	if int64(len(b)) > pack.Condemned.Limit() {
		return "", nil, fmt.Errorf("catalog: %s: %d packs are too many for one object of %d bytes", object, len(c.Packs), pack.Condemned.Limit())
	}
	return object, b, nil
}

// OpenCondemned opens what was stored under the name object. Errors are as
// those of [OpenPoint]. A writer that finds one stops: it cannot know which
// packs it may use.
func OpenCondemned(k Keyring, object string, b []byte) (*Condemned, error) {
	name, err := parseObject(object, CondemnedArea)
	if err != nil {
		return nil, err
	}
	signed, err := pack.OpenPlain(pack.Condemned, k.Repository, object, b)
	if err != nil {
		return nil, err
	}
	body, err := pack.VerifyBody(pack.Condemned, k.Repository, object, signed, k.Verify)
	if err != nil {
		return nil, forgedBy(err)
	}
	c, err := ParseCondemned(object, body)
	if err != nil {
		return nil, err
	}
	c.ID = name.ID
	return c, nil
}

// Encode returns the body of c without its signature: docs/format.md, section
// 13. It panics if a field is longer than its encoding allows.
func (c *Condemned) Encode() []byte {
	e := &pack.Encoder{}
	e.U8(uint8(c.Reason))
	putTime(e, c.Time)
	e.U32(uint32(len(c.Packs)))
	for _, p := range c.Packs {
		e.Str8(p.Host)
		e.Raw(p.Run[:])
		e.U32(p.Number)
	}
	e.Ext(c.Ext)
	return e.B
}

// ParseCondemned decodes what [Condemned.Encode] writes and nothing else; the
// id is not in it. Errors are a [*pack.DamageError] that names object.
func ParseCondemned(object string, body []byte) (*Condemned, error) {
	d := pack.NewDecoder(object, body)
	c := &Condemned{Reason: CondemnedReason(d.U8())}
	if d.Err() == nil && c.Reason != Unused && c.Reason != Compacted {
		d.Fail(pack.ReasonRange, "reason %d", c.Reason)
	}
	c.Time = takeTime(d)
	n := d.Count(condemnedPackLen)
	for i := 0; i < n && d.Err() == nil; i++ {
		p := CondemnedPack{Host: d.Str8(1, maxSegmentLen)}
		if d.Err() == nil && !sealedSegment(p.Host) {
			d.Fail(pack.ReasonText, "%q is not a sealed name", p.Host)
		}
		copy(p.Run[:], d.Raw(len(p.Run)))
		p.Number = d.U32()
		if i > 0 {
			ascending(d, c.Packs[i-1].Compare(p))
		}
		c.Packs = append(c.Packs, p)
	}
	c.Ext = d.Ext()
	if err := d.Done(); err != nil {
		return nil, err
	}
	return c, nil
}
