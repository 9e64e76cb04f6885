package catalog

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"tidemark/keys"
	"tidemark/pack"
)

// Rules say how long the points of a repository are kept.
type Rules struct {
	Number uint32 // the last segment of the object's name; the highest that verifies is in force
	Zone   string // that periods are counted in, by its IANA name: "Europe/Berlin"
	Rules  []Rule // by host and source
	Time   Time   // when they were made
	Ext    []pack.Ext
}

// A Rule says how many points are kept of the sources that it fits.
type Rule struct {
	Host, Source string // "": any
	Keep         Keep
}

// A Keep says of how many periods of a kind, counted back from the newest, a
// point is kept; [KeepForever] is all of them.
type Keep struct{ Last, Hourly, Daily, Weekly, Monthly, Yearly uint32 }

// KeepForever is the number of periods that says: all.
const KeepForever = math.MaxUint32

// maxZoneLen bounds the name of a time zone, in bytes: what its encoding has
// room for. The longest that IANA gave has 32.
const maxZoneLen = math.MaxUint8

// For returns the first rule, the most exact first, that fits a source: one of
// this host and source, of this source, of this host, of any. It is not found
// if there is none.
func (r *Rules) For(host, source string) (rule Rule, found bool) {
	for _, want := range [][2]string{{host, source}, {"", source}, {host, ""}, {"", ""}} {
		for _, rule := range r.Rules {
			if rule.Host == want[0] && rule.Source == want[1] {
				return rule, true
			}
		}
	}
	return Rule{}, false
}

// Location returns the time zone. It is an error if this machine, or the
// program, has no such zone.
func (r *Rules) Location() (*time.Location, error) {
	zone, err := time.LoadLocation(r.Zone)
	if err != nil {
		return nil, fmt.Errorf("catalog: the keep rules are in the time zone %q: %w", r.Zone, err)
	}
	return zone, nil
}

func rulesName(number uint32) string {
	return ObjectName{Area: RulesArea, Number: uint64(number)}.String()
}

// Seal returns r as an object, and its name. k has the records key, signing is
// the repository's key. rand is crypto/rand.Reader but in tests.
func (r *Rules) Seal(rand io.Reader, k Keyring, signing keys.PrivateKey) (object string, b []byte, err error) {
	object = rulesName(r.Number)
	fields := []string{r.Zone}
	for _, rule := range r.Rules {
		fields = append(fields, rule.Host, rule.Source)
	}
	if err := checkLengths(object, math.MaxUint8, fields...); err != nil {
		return "", nil, err
	}
	if len(r.Rules) > math.MaxUint16 {
		return "", nil, fmt.Errorf("catalog: %s: %d rules, the format has room for %d", object, len(r.Rules), math.MaxUint16)
	}
	body := r.Encode()
	if _, err := ParseRules(object, body); err != nil {
		return "", nil, fmt.Errorf("catalog: readers would refuse these rules: %w", err)
	}
	b, err = k.sealSigned(rand, pack.Rules, object, body, nil, signing)
	return object, b, err
}

// OpenRules opens the rules that were stored under the name object. Errors are
// as those of [OpenPoint].
func OpenRules(k Keyring, object string, b []byte) (*Rules, error) {
	name, err := parseObject(object, RulesArea)
	if err != nil {
		return nil, err
	}
	body, _, err := k.openSigned(pack.Rules, object, b, k.Verify)
	if err != nil {
		return nil, err
	}
	r, err := ParseRules(object, body)
	if err != nil {
		return nil, err
	}
	r.Number = uint32(name.Number)
	return r, nil
}

// Encode returns the body of r without its signature: docs/format.md, section
// 13. It panics if a field is longer than its encoding allows.
func (r *Rules) Encode() []byte {
	e := &pack.Encoder{}
	e.Str8(r.Zone)
	e.U16(uint16(len(r.Rules)))
	for _, rule := range r.Rules {
		e.Str8(rule.Host)
		e.Str8(rule.Source)
		k := rule.Keep
		for _, n := range []uint32{k.Last, k.Hourly, k.Daily, k.Weekly, k.Monthly, k.Yearly} {
			e.U32(n)
		}
	}
	putTime(e, r.Time)
	e.Ext(r.Ext)
	return e.B
}

// ParseRules decodes what [Rules.Encode] writes and nothing else; their number
// is not in it. Errors are a [*pack.DamageError] that names object.
func ParseRules(object string, body []byte) (*Rules, error) {
	d := pack.NewDecoder(object, body)
	r := &Rules{Zone: d.Str8(1, maxZoneLen)}
	if d.Err() == nil && !zoneName(r.Zone) {
		d.Fail(pack.ReasonText, "%q is not the name of a time zone", r.Zone)
	}
	for n := d.U16(); n > 0 && d.Err() == nil; n-- {
		rule := Rule{takeName(d, 0), takeName(d, 0), Keep{d.U32(), d.U32(), d.U32(), d.U32(), d.U32(), d.U32()}}
		if len(r.Rules) > 0 {
			last := r.Rules[len(r.Rules)-1]
			ascending(d, cmp.Or(strings.Compare(last.Host, rule.Host), strings.Compare(last.Source, rule.Source)))
		}
		r.Rules = append(r.Rules, rule)
	}
	r.Time = takeTime(d)
	r.Ext = d.Ext()
	if err := d.Done(); err != nil {
		return nil, err
	}
	return r, nil
}

// zoneName reports whether s can be the IANA name of a time zone. "Local",
// which Go reads as the zone of the machine, is none.
func zoneName(s string) bool {
	for _, c := range []byte(s) {
		if c <= ' ' || c > '~' {
			return false
		}
	}
	return s != "Local"
}
