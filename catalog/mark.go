package catalog

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"

	"tidemark/keys"
	"tidemark/pack"
)

// MaxMarkText bounds the text of a mark, in bytes: a reason in a sentence or
// two. docs/format.md, section 13.
const MaxMarkText = 1024

// A Signer says whose key signed a mark.
type Signer uint8

// The signers, with the numbers that the format gives them.
const (
	ByHost Signer = iota // the host that the point is of
	ByRepository
)

// A MarkKind is what a mark says of a point.
type MarkKind uint8

// The kinds of marks, with the numbers that the format gives them.
const (
	Pin      MarkKind = 1 + iota // keep it, until End
	Unpin                        // ends the pins before
	Suspect                      // it may be damaged or wrong
	Clear                        // it is not suspect
	ReadBack                     // Bytes of it were read back and found right
)

// String returns "pin", "unpin", "suspect", "clear" or "read back".
func (k MarkKind) String() string {
	words := [...]string{Pin: "pin", Unpin: "unpin", Suspect: "suspect", Clear: "clear", ReadBack: "read back"}
	if k < Pin || k > ReadBack {
		return fmt.Sprintf("mark of kind %d", uint8(k))
	}
	return words[k]
}

// A Mark is something said of a point after it was made.
type Mark struct {
	Signer       Signer
	Kind         MarkKind
	Host, Source string
	Point        PointName
	Time         Time // of the mark itself
	End          Time // of a pin, until when; zero for no end
	Text         string
	Bytes        uint64 // if Kind is ReadBack
	Ext          []pack.Ext
}

// Seal returns m as an object, and its name, of which number is the last
// segment: one that the point's marks have not. A host's mark is sealed by
// run; for the repository's, run is nil and k has the records key. rand is
// crypto/rand.Reader but in tests.
func (m *Mark) Seal(rand io.Reader, k Keyring, number uint64, run *keys.Run, signing keys.PrivateKey) (object string, b []byte, err error) {
	if (m.Signer == ByHost) != (run != nil) {
		return "", nil, fmt.Errorf("catalog: a mark of signer %d, with a run or without", m.Signer)
	}
	host, err := k.Names.Host(m.Host)
	if err != nil {
		return "", nil, err
	}
	object = ObjectName{Area: MarkArea, Host: host, Point: m.Point, Number: number}.String()
	if _, err := parseObject(object, MarkArea); err != nil {
		return "", nil, err
	}
	if err := checkLengths(object, keys.MaxName, m.Source); err != nil {
		return "", nil, err
	}
	if err := checkLengths(object, MaxMarkText, m.Text); err != nil {
		return "", nil, err
	}
	body := m.Encode()
	if _, err := ParseMark(object, body); err != nil {
		return "", nil, fmt.Errorf("catalog: readers would refuse this mark: %w", err)
	}
	b, err = k.sealSigned(rand, pack.Mark, object, body, run, signing)
	return object, b, err
}

// OpenMark opens a mark of a point of host that was stored under the name
// object, and checks that its signer wrote it for that place. Errors are as
// those of [OpenPoint].
//
// A good mark need not count: see [Weigh].
func OpenMark(k Keyring, host Host, object string, b []byte) (*Mark, error) {
	name, err := parseObject(object, MarkArea)
	if err != nil {
		return nil, err
	}
	if name.Host != host.Segment {
		return nil, fmt.Errorf("catalog: %s: it is not below host %q", object, host.Name)
	}
	signed, run, err := pack.OpenRecord(pack.Mark, k.Repository, object, b, k.Ring)
	if err != nil {
		return nil, err
	}
	signers := host.Keys
	if run == nil { // sealed by the records key: only the repository's own can be
		signers = append(signers[:0:0], k.Verify)
	}
	body, err := pack.VerifyBody(pack.Mark, k.Repository, object, signed, signers...)
	if err != nil {
		return nil, forgedBy(err)
	}
	m, err := ParseMark(object, body)
	if err != nil {
		return nil, err
	}
	if (m.Signer == ByHost) != (run != nil) {
		return nil, forged(object, pack.ReasonSignature, "it says that another signed it")
	}
	if m.Host != host.Name || m.Point.Compare(name.Point) != 0 {
		return nil, forged(object, pack.ReasonName, "it is about %s of host %q", m.Point, m.Host)
	}
	return m, nil
}

// Encode returns the body of m without its signature: docs/format.md, section
// 13. It panics if a field is longer than its encoding allows.
func (m *Mark) Encode() []byte {
	e := &pack.Encoder{}
	e.U8(uint8(m.Signer))
	e.U8(uint8(m.Kind))
	e.Str8(m.Host)
	e.Str8(m.Source)
	e.Str16(m.Point.String())
	putTime(e, m.Time)
	putTime(e, m.End)
	e.Str16(m.Text)
	e.U64(m.Bytes)
	e.Ext(m.Ext)
	return e.B
}

// ParseMark decodes what [Mark.Encode] writes and nothing else. Errors are a
// [*pack.DamageError] that names object.
func ParseMark(object string, body []byte) (*Mark, error) {
	d := pack.NewDecoder(object, body)
	m := &Mark{Signer: Signer(d.U8()), Kind: MarkKind(d.U8()), Host: takeName(d, 1), Source: takeName(d, 1)}
	point := d.Str16(0, math.MaxUint16)
	m.Time, m.End = takeTime(d), takeTime(d)
	m.Text, m.Bytes = d.Str16(0, MaxMarkText), d.U64()
	if d.Err() == nil {
		m.check(d, point)
	}
	m.Ext = d.Ext()
	if err := d.Done(); err != nil {
		return nil, err
	}
	return m, nil
}

// check fails unless the fields are what the format allows together.
func (m *Mark) check(d *pack.Decoder, point string) {
	var err error
	m.Point, err = ParsePointName(point)
	switch {
	case err != nil:
		d.Fail(pack.ReasonText, "%v", err)
	case m.Signer > ByRepository:
		d.Fail(pack.ReasonRange, "signer %d", m.Signer)
	case m.Kind < Pin || m.Kind > ReadBack:
		d.Fail(pack.ReasonRange, "%v", m.Kind)
	case m.Kind != Pin && m.End != Time{}:
		d.Fail(pack.ReasonRange, "%v with an end, which only pins have", m.Kind)
	case m.Kind != ReadBack && m.Bytes != 0:
		d.Fail(pack.ReasonRange, "%v of %d bytes, which only read back has", m.Kind, m.Bytes)
	case m.Kind == Pin:
		checkText(d, m.Text) // it is shown as a directory
	}
}

// Marks are what all marks of a host's points come to, by point. The zero
// value says nothing of any.
type Marks struct{ standings map[subject]Standing }

// A subject is a point that marks are about.
type subject struct{ source, point string }

// A Standing is what the marks of one point come to.
type Standing struct {
	Suspect bool
	Reason  string // why it is suspect

	// Pinned is set if a pin is in force. Pins are their names as far as they
	// are known, sorted, each once; "" for a pin without a name.
	Pinned bool
	Pins   []string

	unpinned *Time // of the latest unpin
}

// Weigh returns what the marks of one host's points come to at the time now,
// in whatever order they are given.
//
// A pin is in force until its end, unless an unpin is later than it. So a pin
// shortens no other: of two, the later end counts. Of suspect and clear the
// latest counts; if they are equally late, suspect does. Of a host's own marks
// only its pins count.
func Weigh(marks []Mark, now Time) Marks {
	standings := map[subject]Standing{}
	judged := map[subject]Mark{} // the suspect or clear that counts
	for _, m := range marks {
		about := m.subject()
		s := standings[about]
		switch {
		case m.Signer == ByHost: // a captured host could discredit history
		case m.Kind == Unpin:
			if s.unpinned == nil || s.unpinned.Compare(m.Time) < 0 {
				s.unpinned = &m.Time
			}
		case m.Kind == Suspect || m.Kind == Clear:
			if last, found := judged[about]; !found || last.compareJudgement(m) < 0 {
				judged[about] = m
			}
		}
		standings[about] = s
	}
	for _, m := range marks {
		s := standings[m.subject()]
		if m.Kind == Pin && (m.End == Time{} || now.Compare(m.End) < 0) && s.pinnedSince(m.Time) {
			s.pin(m.Text)
			standings[m.subject()] = s
		}
	}
	for about, m := range judged {
		if m.Kind == Suspect {
			s := standings[about]
			s.Suspect, s.Reason = true, m.Text
			standings[about] = s
		}
	}
	return Marks{standings}
}

func (m *Mark) subject() subject { return subject{m.Source, m.Point.String()} }

// compareJudgement orders marks by which of them counts more.
func (m *Mark) compareJudgement(other Mark) int {
	return cmp.Or(
		m.Time.Compare(other.Time),
		-cmp.Compare(m.Kind, other.Kind), // suspect before clear
		cmp.Compare(m.Text, other.Text),
	)
}

// pinnedSince reports whether no unpin is later than a pin of this time.
func (s *Standing) pinnedSince(t Time) bool { return s.unpinned == nil || t.Compare(*s.unpinned) >= 0 }

// pin adds a pin that is in force.
func (s *Standing) pin(name string) {
	s.Pinned = true
	if i, found := slices.BinarySearch(s.Pins, name); !found {
		s.Pins = slices.Insert(s.Pins, i, name)
	}
}

// Of returns what the marks of p come to. A point that carries a name is
// pinned by it, from its own time on: under p.Title, once that is known.
func (m Marks) Of(p Seen) Standing {
	if len(m.standings) == 0 && !p.Name.Named {
		return Standing{} // as nearly all points are
	}
	s := m.standings[subject{p.Source, p.Name.String()}]
	if p.Name.Named && s.pinnedSince(Time{Sec: p.Name.Time.Unix()}) {
		s.Pinned = true
		if p.Title != "" {
			s.Pins = slices.Clone(s.Pins) // m's own stay as they are
			s.pin(p.Title)
		}
	}
	return s
}
