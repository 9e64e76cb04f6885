package catalog

import (
	"cmp"
	"fmt"
	"regexp"
	"strconv"
	"time"

	"tidemark/keys"
)

// Limits of a point's name, docs/format.md, section 3.
const (
	MaxSequence  = 9_999_999_999 // ten decimal digits
	MaxSetPoints = 999           // sources of one set: three decimal digits
)

// A PointName is what a LIST says of a point: the last segment of its
// object's name. Views are made of it alone.
//
//	20261120T140000Z-0000000042-c2n-00112233445566778899aabbccddeeff
//	time             sequence   │││ run
//	                            ││└ n: it carries a name, which its body says
//	                            │└ sources of its set
//	                            └ c: complete, i: incomplete
type PointName struct {
	Time     time.Time // UTC, whole seconds, in the years 0 to 9999
	Sequence uint64    // the number of the point in its source: rises, from 1; gaps mean nothing
	Complete bool
	Members  int        // points of the set that it is one of, from 1
	Named    bool       // whether it carries a name
	Run      keys.RunID // that wrote it
}

// pointTime is the form of the time in a point's name.
const pointTime = "20060102T150405Z"

var pointForm = regexp.MustCompile(`^([0-9]{8}T[0-9]{6}Z)-([0-9]{10})-([ci])([1-9][0-9]{0,2})(n?)-([0-9a-f]{32})$`)

// String returns n as it stands in the names of objects, the form that
// [ParsePointName] reads.
func (n PointName) String() string {
	complete, named := "i", ""
	if n.Complete {
		complete = "c"
	}
	if n.Named {
		named = "n"
	}
	return fmt.Sprintf("%s-%010d-%s%d%s-%s", n.Time.UTC().Format(pointTime), n.Sequence, complete, n.Members, named, n.Run)
}

// ParsePointName reads the form that [PointName.String] writes, and no other.
func ParsePointName(s string) (PointName, error) {
	m := pointForm.FindStringSubmatch(s)
	if m == nil {
		return PointName{}, fmt.Errorf("catalog: %.80q is not the name of a point", s)
	}
	at, err := time.Parse(pointTime, m[1])
	if err != nil {
		return PointName{}, fmt.Errorf("catalog: %q is not the name of a point: no such time", s)
	}
	sequence, _ := strconv.ParseUint(m[2], 10, 64) // ten digits
	if sequence == 0 {
		return PointName{}, fmt.Errorf("catalog: %q is not the name of a point: sequences begin with 1", s)
	}
	members, _ := strconv.Atoi(m[4])  // three digits
	run, err := keys.ParseRunID(m[6]) // 32 hex digits
	if err != nil {
		return PointName{}, err
	}
	return PointName{
		Time:     at,
		Sequence: sequence,
		Complete: m[3] == "c",
		Members:  members,
		Named:    m[5] != "",
		Run:      run,
	}, nil
}

// Compare returns -1, 0 or +1: the order of two points of one source. It is
// that of their sequences, not of the clock. A source has no two points of one
// sequence; should a writer that lost its state have made them, the rest of
// their names decides.
func (n PointName) Compare(other PointName) int {
	return cmp.Or(
		cmp.Compare(n.Sequence, other.Sequence),
		cmp.Compare(n.Time.Unix(), other.Time.Unix()),
		n.Run.Compare(other.Run),
		cmp.Compare(n.Members, other.Members),
		compareBool(n.Complete, other.Complete),
		compareBool(n.Named, other.Named),
	)
}

// compareBool orders false before true.
func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}
