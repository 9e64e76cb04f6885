package catalog

import (
	"cmp"
	"crypto/ed25519"
	"fmt"
	"io"
	"math"
	"slices"

	"tidemark/keys"
	"tidemark/pack"
)

// An Enrolment makes a key one that signs for a host, or revokes it.
type Enrolment struct {
	Number uint32 // the last segment of the object's name
	Host   string
	Revoke bool
	Key    ed25519.PublicKey
	Group  string // the trust group that the host is in from then on
	Time   Time
	Ext    []pack.Ext
}

// A Host is what its enrolments say of it.
type Host struct {
	Name    string
	Segment string              // Name, sealed: <host> in the names of its objects
	Group   string              // its trust group
	Keys    []ed25519.PublicKey // that sign for it; none if all were revoked

	Enrolments uint32 // the highest number of an enrolment
}

// The numbers of enrolments in the format.
const (
	enrols  = 1
	revokes = 2
)

// Seal returns n as an object, and its name. k has the records key, signing is
// the repository's key. rand is crypto/rand.Reader but in tests.
func (n *Enrolment) Seal(rand io.Reader, k Keyring, signing keys.PrivateKey) (object string, b []byte, err error) {
	host, err := k.Names.Host(n.Host)
	if err != nil {
		return "", nil, err
	}
	object = ObjectName{Area: HostArea, Host: host, Number: uint64(n.Number)}.String()
	if err := checkLengths(object, math.MaxUint8, n.Group); err != nil {
		return "", nil, err
	}
	body := n.Encode()
	if _, err := ParseEnrolment(object, body); err != nil {
		return "", nil, fmt.Errorf("catalog: readers would refuse this enrolment: %w", err)
	}
	b, err = k.sealSigned(rand, pack.Enrolment, object, body, nil, signing)
	return object, b, err
}

// OpenEnrolment opens the enrolment that was stored under the name object.
// Errors are as those of [OpenPoint].
func OpenEnrolment(k Keyring, object string, b []byte) (*Enrolment, error) {
	name, err := parseObject(object, HostArea)
	if err != nil {
		return nil, err
	}
	host, err := k.Names.OpenHost(name.Host)
	if err != nil {
		return nil, forged(object, pack.ReasonName, "the host's name does not open: %v", err)
	}
	body, _, err := k.openSigned(pack.Enrolment, object, b, k.Verify)
	if err != nil {
		return nil, err
	}
	n, err := ParseEnrolment(object, body)
	if err != nil {
		return nil, err
	}
	if n.Host != host {
		return nil, forged(object, pack.ReasonName, "it is of host %q", n.Host)
	}
	n.Number = uint32(name.Number)
	return n, nil
}

// Encode returns the body of n without its signature: docs/format.md, section
// 13. It panics if a field is longer than its encoding allows.
func (n *Enrolment) Encode() []byte {
	e := &pack.Encoder{}
	e.Str8(n.Host)
	if n.Revoke {
		e.U8(revokes)
	} else {
		e.U8(enrols)
	}
	e.Raw(n.Key)
	e.Str8(n.Group)
	putTime(e, n.Time)
	e.Ext(n.Ext)
	return e.B
}

// ParseEnrolment decodes what [Enrolment.Encode] writes and nothing else; the
// number is not in it. Errors are a [*pack.DamageError] that names object.
func ParseEnrolment(object string, body []byte) (*Enrolment, error) {
	d := pack.NewDecoder(object, body)
	n := &Enrolment{Host: takeName(d, 1)}
	does := d.U8()
	if d.Err() == nil && does != enrols && does != revokes {
		d.Fail(pack.ReasonRange, "it does %d, neither enrol nor revoke", does)
	}
	n.Revoke = does == revokes
	n.Key = slices.Clone(d.Raw(ed25519.PublicKeySize))
	n.Group = takeName(d, 1)
	n.Time = takeTime(d)
	n.Ext = d.Ext()
	if err := d.Done(); err != nil {
		return nil, err
	}
	return n, nil
}

// hostOf returns the host that all of its good enrolments make. A key that
// was ever revoked stays so. The group is that of the last key enrolled.
func hostOf(segment string, enrolments []*Enrolment) Host {
	enrolments = slices.SortedFunc(slices.Values(enrolments), func(a, b *Enrolment) int { return cmp.Compare(a.Number, b.Number) })
	revoked := map[string]bool{}
	for _, n := range enrolments {
		if n.Revoke {
			revoked[string(n.Key)] = true
		}
	}
	h := Host{Segment: segment}
	for _, n := range enrolments {
		h.Name, h.Enrolments = n.Host, n.Number
		if n.Revoke {
			continue
		}
		h.Group = n.Group
		if !revoked[string(n.Key)] && !slices.ContainsFunc(h.Keys, func(k ed25519.PublicKey) bool { return k.Equal(n.Key) }) {
			h.Keys = append(h.Keys, n.Key)
		}
	}
	return h
}
