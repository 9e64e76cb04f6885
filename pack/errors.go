package pack

import (
	"errors"
	"fmt"
)

// A Reason says why bytes were refused, by one word.
type Reason string

// The reasons of docs/format.md, section 17.
const (
	ReasonMagic      Reason = "magic"
	ReasonVersion    Reason = "version"
	ReasonKind       Reason = "kind"
	ReasonRepository Reason = "repository"
	ReasonName       Reason = "name"
	ReasonReserved   Reason = "reserved"
	ReasonTruncated  Reason = "truncated"
	ReasonTrailing   Reason = "trailing"
	ReasonOrder      Reason = "order"
	ReasonDuplicate  Reason = "duplicate"
	ReasonRange      Reason = "range"
	ReasonLimit      Reason = "limit"
	ReasonFlags      Reason = "flags"
	ReasonCount      Reason = "count"
	ReasonSum        Reason = "sum"
	ReasonSeal       Reason = "seal"
	ReasonSignature  Reason = "signature"
	ReasonID         Reason = "id"
	ReasonLength     Reason = "length"
	ReasonCodec      Reason = "codec"
	ReasonPadding    Reason = "padding"
	ReasonText       Reason = "text"
	ReasonExtension  Reason = "extension"
)

var (
	// ErrDamaged is what every [*DamageError] is, save those that are
	// ErrTooOld.
	ErrDamaged = errors.New("damaged")

	// ErrTooOld is what a [*DamageError] is whose object was made by a later
	// version of the program: its version is above ours, or it has an
	// extension that must be understood.
	ErrTooOld = errors.New("this program is too old")
)

// A DamageError says that an object cannot be used as it is.
type DamageError struct {
	Object string // the object's name, or what else the bytes are
	Reason Reason
	Detail string // what is wrong, and where: "block 3: its seal does not open"
}

func damage(object string, reason Reason, format string, args ...any) *DamageError {
	return &DamageError{object, reason, fmt.Sprintf(format, args...)}
}

// flaw is damage to an object that the caller is to name.
func flaw(reason Reason, format string, args ...any) *DamageError {
	return damage("", reason, format, args...)
}

// in names the object, and the part of it, that e is of.
func (e *DamageError) in(object, part string) *DamageError {
	return &DamageError{object, e.Reason, part + ": " + e.Detail}
}

func (e *DamageError) Error() string {
	is := ErrDamaged
	if e.tooOld() {
		is = ErrTooOld
	}
	return fmt.Sprintf("pack: %s: %v: %s", e.Object, is, e.Detail)
}

// Is makes e match [ErrTooOld] or [ErrDamaged].
func (e *DamageError) Is(target error) bool {
	return target == ErrTooOld && e.tooOld() || target == ErrDamaged && !e.tooOld()
}

func (e *DamageError) tooOld() bool {
	return e.Reason == ReasonVersion || e.Reason == ReasonExtension
}
