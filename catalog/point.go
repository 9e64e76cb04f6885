package catalog

import (
	"crypto/sha256"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"tidemark/keys"
	"tidemark/pack"
)

// Limits of a point's body, docs/format.md, section 12.
const (
	MaxTitleLen        = keys.MaxName // bytes: it is shown as a directory
	MaxUnreadableCount = 1000         // nodes that a point lists as unreadable; it counts all

	// maxRootLen bounds a root page in a point, in bytes: the point is no
	// longer itself.
	maxRootLen = 4 << 20
)

// A Point is one retained point in time of one source, as its object says it;
// an intent announces one. What a field is not for is zero.
type Point struct {
	Host, Source string
	Time         time.Time // UTC, whole seconds: what the point is called by
	Sequence     uint64    // the number of the point in its source, 1 to MaxSequence
	Complete     bool      // every entry is stored, or named in Unreadable within the source's tolerance

	// Fresh is set in a first point, and by a writer that had lost its state.
	// Else Previous is the SHA-256 of the object of the source's point before.
	Fresh    bool
	Previous [32]byte

	Instant      Time // when the tree was as it is, by the filesystem's own clock; before anything was read
	Began, Ended Time // of the capture, by the host's clock

	Title    string    // the name that it was taken under, see keys.ValidName; "" for none
	Path     string    // of the source, on the host
	Snapshot *Snapshot // nil: the live tree was read

	Set []Member // the points of one atomic snapshot, by source, this one among them

	ReadBytes    uint64 // that this capture read
	ChangedFiles uint64 // that it found changed
	NewBytes     uint64 // of chunks that no point had
	AddedBytes   uint64 // that it added to the repository

	UnreadableCount uint64       // nodes of the tree that are unreadable
	Unreadable      []Unreadable // the first of them by path, at most MaxUnreadableCount

	Crossed  bool     // whether other filesystems were entered
	Excludes []string // the patterns of what was left out
	Version  string   // of the program

	Root  []byte // root page of the tree: one row with an empty name, the source itself
	Usage []byte // root page of the usage; empty if no pack is used

	Ext []pack.Ext // even ids only: a point with an odd one is refused
}

// A Snapshot is the filesystem's own, which a point was taken from.
type Snapshot struct {
	Snapshotter string // "zfs", "btrfs"
	Name        string
	GUID        uint64
}

// A Member is a point of a set.
type Member struct {
	Source   string
	Sequence uint64
}

// An Unreadable is a node whose content could not be captured, and why.
type Unreadable struct{ Path, Reason string }

// The flags of a point's body.
const (
	flagComplete = 1 << iota
	flagSnapshot
	flagFresh
)

// Name returns what p is called in the names of objects if run writes it.
func (p *Point) Name(run keys.RunID) PointName {
	return PointName{
		Time:     p.Time.UTC(),
		Sequence: p.Sequence,
		Complete: p.Complete,
		Members:  len(p.Set),
		Named:    p.Title != "",
		Run:      run,
	}
}

// Seal returns p as an object of area, PointArea or IntentArea, and its name.
// run is sealed to the repository, signing is the host's key. rand is
// crypto/rand.Reader but in tests. It is an error if p cannot be written as it
// is: readers would refuse it.
func (p *Point) Seal(rand io.Reader, area Area, k Keyring, run *keys.Run, signing keys.PrivateKey) (object string, b []byte, err error) {
	host, err := k.Names.Host(p.Host)
	if err != nil {
		return "", nil, err
	}
	source, err := k.Names.Source(p.Host, p.Source)
	if err != nil {
		return "", nil, err
	}
	object = ObjectName{Area: area, Host: host, Source: source, Point: p.Name(run.ID)}.String()
	if _, err := parseObject(object, PointArea, IntentArea); err != nil {
		return "", nil, err
	}
	if err := p.fits(object); err != nil {
		return "", nil, err
	}
	body := p.Encode()
	if _, err := ParsePoint(object, body); err != nil {
		return "", nil, fmt.Errorf("catalog: readers would refuse this point: %w", err)
	}
	b, err = k.sealSigned(rand, pointKind(area), object, body, run, signing)
	return object, b, err
}

func pointKind(area Area) pack.Kind {
	if area == IntentArea {
		return pack.Intent
	}
	return pack.Point
}

// An Opened is a point that was read, opened and verified.
type Opened struct {
	Point
	Object string         // its name
	Name   PointName      // the last segment of it
	Run    keys.RunSecret // of the run that wrote it: what opens that run's packs
	Sum    [32]byte       // SHA-256 of the object: Previous in the source's next point
}

// OpenPoint opens an object of points or intents that was stored under the
// name object, and checks that it is what host signed for that place. The
// error is ErrForged if it is not, else a [*pack.DamageError] or what
// [pack.OpenRecord] returns.
func OpenPoint(k Keyring, host Host, object string, b []byte) (*Opened, error) {
	name, err := parseObject(object, PointArea, IntentArea)
	if err != nil {
		return nil, err
	}
	if name.Host != host.Segment {
		return nil, fmt.Errorf("catalog: %s: it is not below host %q", object, host.Name)
	}
	source, err := k.Names.OpenSource(host.Name, name.Source)
	if err != nil {
		return nil, forged(object, pack.ReasonName, "the source's name does not open: %v", err)
	}
	body, run, err := k.openSigned(pointKind(name.Area), object, b, host.Keys...)
	if err != nil {
		return nil, err
	}
	p, err := ParsePoint(object, body)
	if err != nil {
		return nil, err
	}
	if p.Host != host.Name || p.Source != source || p.Name(run.ID()).Compare(name.Point) != 0 {
		return nil, forged(object, pack.ReasonName, "it is %s of source %q of host %q", p.Name(run.ID()), p.Source, p.Host)
	}
	return &Opened{Point: *p, Object: object, Name: name.Point, Run: *run, Sum: sha256.Sum256(b)}, nil
}

// fits returns an error if a field of p is longer than its encoding allows.
func (p *Point) fits(object string) error {
	long := slices.Concat([]string{p.Title, p.Path}, p.Excludes)
	short := []string{p.Version}
	for _, u := range p.Unreadable {
		long = append(long, u.Path, u.Reason)
	}
	if p.Snapshot != nil {
		long, short = append(long, p.Snapshot.Name), append(short, p.Snapshot.Snapshotter)
	}
	for _, m := range p.Set {
		short = append(short, m.Source)
	}
	if err := checkLengths(object, math.MaxUint8, short...); err != nil {
		return err
	}
	if len(p.Excludes) > math.MaxUint16 {
		return fmt.Errorf("catalog: %s: %d exclude patterns, the format has room for %d", object, len(p.Excludes), math.MaxUint16)
	}
	return checkLengths(object, math.MaxUint16, long...)
}

// Encode returns the body of p without its signature: docs/format.md, section
// 12. It panics if a field is longer than its encoding allows, which
// [Point.Seal] finds first.
func (p *Point) Encode() []byte {
	e := &pack.Encoder{}
	e.Str8(p.Host)
	e.Str8(p.Source)
	e.U64(p.Sequence)
	e.U8(p.flags())
	e.I64(p.Time.Unix())
	for _, t := range []Time{p.Instant, p.Began, p.Ended} {
		putTime(e, t)
	}
	e.Str16(p.Title)
	e.Str16(p.Path)
	var snapshot Snapshot
	if p.Snapshot != nil {
		snapshot = *p.Snapshot
	}
	e.Str8(snapshot.Snapshotter)
	e.Str16(snapshot.Name)
	e.U64(snapshot.GUID)
	e.U16(uint16(len(p.Set)))
	for _, m := range p.Set {
		e.Str8(m.Source)
		e.U64(m.Sequence)
	}
	e.Raw(p.Previous[:])
	for _, n := range []uint64{p.ReadBytes, p.ChangedFiles, p.NewBytes, p.AddedBytes, p.UnreadableCount} {
		e.U64(n)
	}
	e.U32(uint32(len(p.Unreadable)))
	for _, u := range p.Unreadable {
		e.Str16(u.Path)
		e.Str16(u.Reason)
	}
	putFlag(e, p.Crossed)
	e.U16(uint16(len(p.Excludes)))
	for _, pattern := range p.Excludes {
		e.Str16(pattern)
	}
	e.Str8(p.Version)
	e.Bytes32(p.Root)
	e.Bytes32(p.Usage)
	e.Ext(p.Ext)
	return e.B
}

func (p *Point) flags() (flags uint8) {
	if p.Complete {
		flags |= flagComplete
	}
	if p.Snapshot != nil {
		flags |= flagSnapshot
	}
	if p.Fresh {
		flags |= flagFresh
	}
	return flags
}

// ParsePoint decodes what [Point.Encode] writes and nothing else. Errors are a
// [*pack.DamageError] that names object. The pages in a point are checked to
// be what they should be, not each row of them. Slices of bytes are parts of
// body.
func ParsePoint(object string, body []byte) (*Point, error) {
	d := pack.NewDecoder(object, body)
	p := &Point{Host: takeName(d, 1), Source: takeName(d, 1), Sequence: d.U64()}
	if d.Err() == nil && (p.Sequence == 0 || p.Sequence > MaxSequence) {
		d.Fail(pack.ReasonRange, "sequence %d, not 1 to %d", p.Sequence, uint64(MaxSequence))
	}
	flags := d.U8()
	if flags > flagComplete|flagSnapshot|flagFresh {
		d.Fail(pack.ReasonFlags, "flags %#x", flags)
	}
	p.Complete, p.Fresh = flags&flagComplete != 0, flags&flagFresh != 0
	p.Time = time.Unix(d.I64(), 0).UTC()
	p.Instant, p.Began, p.Ended = takeTime(d), takeTime(d), takeTime(d)
	p.Title = d.Str16(0, MaxTitleLen)
	checkText(d, p.Title)
	p.Path = d.Str16(0, math.MaxUint16)
	p.takeSnapshot(d, flags&flagSnapshot != 0)
	p.takeSet(d)
	copy(p.Previous[:], d.Raw(len(p.Previous)))
	if p.Fresh && p.Previous != [32]byte{} {
		d.Fail(pack.ReasonFlags, "a first point that names a previous one")
	}
	p.ReadBytes, p.ChangedFiles, p.NewBytes, p.AddedBytes = d.U64(), d.U64(), d.U64(), d.U64()
	p.takeUnreadable(d)
	p.Crossed = takeFlag(d)
	for n := d.U16(); n > 0 && d.Err() == nil; n-- {
		p.Excludes = append(p.Excludes, d.Str16(0, math.MaxUint16))
	}
	p.Version = d.Str8(0, math.MaxUint8)
	p.Root, p.Usage = takeRoots(d)
	p.Ext = d.Ext()
	if err := d.Done(); err != nil {
		return nil, err
	}
	return p, nil
}

func (p *Point) takeSnapshot(d *pack.Decoder, taken bool) {
	s := Snapshot{d.Str8(0, math.MaxUint8), d.Str16(0, math.MaxUint16), d.U64()}
	switch {
	case taken:
		p.Snapshot = &s
	case s != Snapshot{}:
		d.Fail(pack.ReasonFlags, "a snapshot, though none was taken")
	}
}

func (p *Point) takeSet(d *pack.Decoder) {
	n := int(d.U16())
	switch {
	case d.Err() != nil:
		return
	case n == 0:
		d.Fail(pack.ReasonCount, "a set without points")
	case n > MaxSetPoints:
		d.Fail(pack.ReasonLimit, "a set of %d points, at most %d are allowed", n, MaxSetPoints)
	}
	for i := 0; i < n && d.Err() == nil; i++ {
		m := Member{takeName(d, 1), d.U64()}
		if i > 0 {
			ascending(d, strings.Compare(p.Set[i-1].Source, m.Source))
		}
		if d.Err() == nil && (m.Sequence == 0 || m.Sequence > MaxSequence) {
			d.Fail(pack.ReasonRange, "sequence %d, not 1 to %d", m.Sequence, uint64(MaxSequence))
		}
		p.Set = append(p.Set, m)
	}
	if d.Err() == nil && !slices.Contains(p.Set, Member{p.Source, p.Sequence}) {
		d.Fail(pack.ReasonCount, "its set is without the point itself")
	}
}

func (p *Point) takeUnreadable(d *pack.Decoder) {
	p.UnreadableCount = d.U64()
	n := d.U32()
	switch {
	case n > MaxUnreadableCount:
		d.Fail(pack.ReasonLimit, "%d unreadable nodes are listed, at most %d are allowed", n, MaxUnreadableCount)
	case uint64(n) > p.UnreadableCount:
		d.Fail(pack.ReasonCount, "%d unreadable nodes are listed, of %d", n, p.UnreadableCount)
	}
	for i := 0; i < int(n) && d.Err() == nil; i++ {
		u := Unreadable{d.Str16(0, math.MaxUint16), d.Str16(0, math.MaxUint16)}
		if i > 0 {
			ascending(d, strings.Compare(p.Unreadable[i-1].Path, u.Path))
		}
		p.Unreadable = append(p.Unreadable, u)
	}
}

// takeRoots takes the root pages of the tree and of the usage.
func takeRoots(d *pack.Decoder) (root, usage []byte) {
	root, usage = d.Bytes32(1, maxRootLen), d.Bytes32(0, maxRootLen)
	if page := takeRoot(d, "tree", root); page != nil {
		if page.Kind() != DirPage || page.Level() != 0 || page.Len() != 1 || page.Name(0) != "" {
			d.Fail(pack.ReasonKind, "the root page of the tree is not one row with an empty name")
		}
	}
	if len(usage) == 0 {
		return root, nil
	}
	if page := takeRoot(d, "usage", usage); page != nil && page.Kind() != UsagePage {
		d.Fail(pack.ReasonKind, "the root page of the usage is a %v", page.Kind())
	}
	return root, usage
}

func takeRoot(d *pack.Decoder, what string, b []byte) *Page {
	if d.Err() != nil {
		return nil
	}
	page, err := ParsePage(b, pack.Block{})
	if err != nil {
		d.Fail(reasonOf(err), "the root page of the %s: %v", what, err)
	}
	return page
}
