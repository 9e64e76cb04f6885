package catalog

import (
	"fmt"
	"math"
	"strings"

	"tidemark/keys"
	"tidemark/pack"
)

// A Use is something that a program does with a repository; uses are added up.
type Use uint8

// The uses, with the numbers that the format gives them.
const (
	Reading Use = 1 << iota
	Writing
	Pruning
)

// A Feature is what a program must know before it uses a repository. None are
// defined yet, so this program knows none.
type Feature struct {
	Name   string // the last segment of the object's name
	Needed Use    // by which uses
	Text   string // what it is, and which version knows it
	Ext    []pack.Ext
}

// Object returns n as an object, and its name. It is neither sealed nor
// signed: every program must be able to read it.
func (f *Feature) Object(repo keys.RepositoryID) (object string, b []byte, err error) {
	object = ObjectName{Area: FeatureArea, Label: f.Name}.String()
	if _, err := parseObject(object, FeatureArea); err != nil {
		return "", nil, err
	}
	if err := checkLengths(object, math.MaxUint16, f.Text); err != nil {
		return "", nil, err
	}
	b = pack.PlainRecord(pack.Feature, repo, object, f.Encode())
	if _, err := ParseFeature(repo, object, b); err != nil {
		return "", nil, fmt.Errorf("catalog: readers would refuse this feature: %w", err)
	}
	return object, b, nil
}

// Encode returns the body of f: docs/format.md, section 13. It panics if a
// field is longer than its encoding allows.
func (f *Feature) Encode() []byte {
	e := &pack.Encoder{}
	e.U8(uint8(f.Needed))
	e.Str16(f.Text)
	e.Ext(f.Ext)
	return e.B
}

// ParseFeature decodes the feature that was stored under the name object.
// Errors are a [*pack.DamageError].
func ParseFeature(repo keys.RepositoryID, object string, b []byte) (*Feature, error) {
	name, err := parseObject(object, FeatureArea)
	if err != nil {
		return nil, err
	}
	body, err := pack.OpenPlain(pack.Feature, repo, object, b)
	if err != nil {
		return nil, err
	}
	d := pack.NewDecoder(object, body)
	f := &Feature{Name: name.Label, Needed: Use(d.U8())}
	if d.Err() == nil && (f.Needed == 0 || f.Needed > Reading|Writing|Pruning) {
		d.Fail(pack.ReasonFlags, "needed by uses %#x", f.Needed)
	}
	f.Text = d.Str16(0, math.MaxUint16)
	f.Ext = d.Ext()
	if err := d.Done(); err != nil {
		return nil, err
	}
	return f, nil
}

// CheckFeatures returns an error that wraps [pack.ErrTooOld] if one of the
// features of a repository is needed for a use, and this program does not
// know it.
func CheckFeatures(features []Feature, use Use) error {
	var unknown []string
	for _, f := range features {
		if f.Needed&use != 0 {
			unknown = append(unknown, fmt.Sprintf("%s (%q)", f.Name, f.Text))
		}
	}
	if len(unknown) > 0 {
		return fmt.Errorf("catalog: %w for this repository: it does not know %s", pack.ErrTooOld, strings.Join(unknown, ", "))
	}
	return nil
}
