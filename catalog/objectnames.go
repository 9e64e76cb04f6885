package catalog

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"tidemark/keys"
)

// An Area is a sort of object: the first segment of its name.
type Area string

// The areas of a repository, docs/format.md, section 3.
const (
	RepositoryArea Area = "tidemark.json" // one object, no directory
	FeatureArea    Area = "features"
	KeyArea        Area = "keys"
	HostArea       Area = "hosts"
	RulesArea      Area = "rules"
	PackArea       Area = "packs"
	IndexArea      Area = "index"
	IntentArea     Area = "intents"
	PointArea      Area = "points"
	MarkArea       Area = "marks"
	CondemnedArea  Area = "condemned"
	MovedArea      Area = "moved"
)

// maxSegmentLen bounds a segment of an object's name, in bytes: below the 255
// that filesystems allow, which some stores are.
const maxSegmentLen = 200

// An ObjectName is the name of an object, taken apart. Which fields are in use
// depends on the area; the others are zero. Each is one segment of the name,
// in angle brackets as docs/format.md, section 3, calls it.
type ObjectName struct {
	Area   Area
	Label  string     // <feature>, in features; <name>, in keys
	Host   string     // <host>, sealed, in hosts, packs, index, intents, points, marks, moved
	Source string     // <source>, sealed, in intents, points
	Point  PointName  // <point>, in intents, points, marks
	Run    keys.RunID // <run>, in packs, index, moved
	Number uint64     // <n8>, <n16> or <n>, in keys (from 1), hosts, rules, packs, index, marks, moved
	Move   uint32     // the last <n8>, in moved
	ID     [16]byte   // <id32>, in condemned
}

// String returns the name as one string, the form that [ParseObjectName]
// reads if the fields are what their comments say.
func (o ObjectName) String() string {
	var b strings.Builder
	b.WriteString(string(o.Area))
	for _, s := range segments[o.Area] {
		b.WriteString("/" + s.write(&o))
	}
	return b.String()
}

// ParseObjectName takes name apart. It accepts what [ObjectName.String]
// writes and nothing else. An error means that docs/format.md describes no
// such name: readers ignore what is stored under it.
func ParseObjectName(name string) (ObjectName, error) {
	parts := strings.Split(name, "/")
	o := ObjectName{Area: Area(parts[0])}
	form, known := segments[o.Area]
	if !known || len(parts) != 1+len(form) {
		return ObjectName{}, badName(name)
	}
	for i, s := range form {
		part := parts[1+i]
		if len(part) > maxSegmentLen || !s.read(&o, part) {
			return ObjectName{}, badName(name)
		}
	}
	if o.String() != name { // each value has one form
		return ObjectName{}, badName(name)
	}
	return o, nil
}

func badName(name string) error { return fmt.Errorf("catalog: no object is called %.250q", name) }

// A segment is a part of a name: how it is written, and how it is read. What
// read accepts need not be the one form of its value.
type segment struct {
	write func(*ObjectName) string
	read  func(*ObjectName, string) bool
}

// segments says what follows the area in the names of objects.
var segments = map[Area][]segment{
	RepositoryArea: {},
	FeatureArea:    {featureSegment},
	KeyArea:        {keySegment},
	HostArea:       {hostSegment, n8Segment},
	RulesArea:      {n8Segment},
	PackArea:       {hostSegment, runSegment, n8Segment},
	IndexArea:      {hostSegment, runSegment, n8Segment},
	IntentArea:     {hostSegment, sourceSegment, pointSegment},
	PointArea:      {hostSegment, sourceSegment, pointSegment},
	MarkArea:       {hostSegment, pointSegment, n16Segment},
	CondemnedArea:  {idSegment},
	MovedArea:      {hostSegment, runSegment, n8Segment, moveSegment},
}

const (
	lowerDigits = "abcdefghijklmnopqrstuvwxyz0123456789"
	base32Chars = "abcdefghijklmnopqrstuvwxyz234567"
)

var (
	featureSegment = segment{
		func(o *ObjectName) string { return o.Label },
		func(o *ObjectName, s string) bool {
			o.Label = s
			return len(s) <= 64 && madeOf(lowerDigits+"-", s)
		},
	}
	keySegment = segment{
		func(o *ObjectName) string { return fmt.Sprintf("%s-%d.age", o.Label, o.Number) },
		func(o *ObjectName, s string) bool {
			s, age := strings.CutSuffix(s, ".age")
			dash := strings.LastIndexByte(s, '-')
			if !age || dash < 0 {
				return false
			}
			o.Label = s[:dash]
			o.Number, _ = strconv.ParseUint(s[dash+1:], 10, 64)
			return len(o.Label) <= 64 && madeOf(lowerDigits+"._-", o.Label) && o.Number > 0
		},
	}
	hostSegment = segment{
		func(o *ObjectName) string { return o.Host },
		func(o *ObjectName, s string) bool { o.Host = s; return madeOf(base32Chars, s) },
	}
	sourceSegment = segment{
		func(o *ObjectName) string { return o.Source },
		func(o *ObjectName, s string) bool { o.Source = s; return madeOf(base32Chars, s) },
	}
	pointSegment = segment{
		func(o *ObjectName) string { return o.Point.String() },
		func(o *ObjectName, s string) (ok bool) {
			var err error
			o.Point, err = ParsePointName(s)
			return err == nil
		},
	}
	runSegment = segment{
		func(o *ObjectName) string { return o.Run.String() },
		func(o *ObjectName, s string) bool {
			var err error
			o.Run, err = keys.ParseRunID(s)
			return err == nil
		},
	}
	n8Segment = segment{
		func(o *ObjectName) string { return fmt.Sprintf("%08x", o.Number) },
		func(o *ObjectName, s string) (ok bool) { o.Number, ok = parseHex(s, 32); return ok },
	}
	n16Segment = segment{
		func(o *ObjectName) string { return fmt.Sprintf("%016x", o.Number) },
		func(o *ObjectName, s string) (ok bool) { o.Number, ok = parseHex(s, 64); return ok },
	}
	moveSegment = segment{
		func(o *ObjectName) string { return fmt.Sprintf("%08x", o.Move) },
		func(o *ObjectName, s string) bool {
			n, ok := parseHex(s, 32)
			o.Move = uint32(n)
			return ok
		},
	}
	idSegment = segment{
		func(o *ObjectName) string { return hex.EncodeToString(o.ID[:]) },
		func(o *ObjectName, s string) bool {
			n, err := hex.Decode(o.ID[:], []byte(s[:min(len(s), 32)]))
			return err == nil && n == len(o.ID)
		},
	}
)

// madeOf reports whether s is not empty and has only bytes of set.
func madeOf(set, s string) bool { return s != "" && strings.Trim(s, set) == "" }

// parseHex reads a number of so many bits from its hex digits.
func parseHex(s string, bits int) (uint64, bool) {
	n, err := strconv.ParseUint(s, 16, bits)
	return n, err == nil
}
