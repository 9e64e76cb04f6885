package catalog

import (
	"fmt"
	"math"
	"math/bits"

	"tidemark/pack"
)

// A flaw is what is wrong with bytes or a value, before it is known where
// they stand: a [pack.DamageError] without its Object.
type flaw = pack.DamageError

func flawf(reason pack.Reason, format string, args ...any) *flaw {
	return &flaw{Reason: reason, Detail: fmt.Sprintf(format, args...)}
}

// flawOf returns what a [pack.Decoder] found.
func flawOf(err error) *flaw {
	if err == nil {
		return nil
	}
	return err.(*flaw) // as its documentation says
}

// outOfOrder is the flaw of rows that do not ascend strictly.
func outOfOrder(equal bool, noun string) *flaw {
	if equal {
		return flawf(pack.ReasonDuplicate, "one of the %s stands twice", noun)
	}
	return flawf(pack.ReasonOrder, "the %s do not ascend", noun)
}

// damaged makes bad an error about p.
func (p *Page) damaged(bad *flaw) error {
	bad.Object = p.subject()
	return bad
}

// rowFlaw makes bad a flaw of a row of p.
func (p *Page) rowFlaw(i int, bad *flaw) *flaw {
	bad.Object = fmt.Sprintf("%s, row %d", p.subject(), i)
	return bad
}

// subject says in messages which page p is.
func (p *Page) subject() string {
	switch {
	case p.kind == 0:
		return "page"
	case p.id.IsZero():
		return p.kind.String()
	}
	return fmt.Sprintf("%v %v", p.kind, p.id)
}

func (p *Page) damagedRow(i int, bad *flaw) error { return p.rowFlaw(i, bad) }

// notRows is the error of asking p for rows that it has none of.
func (p *Page) notRows(noun string) error {
	return fmt.Errorf("catalog: a %v of level %d has no rows that are %s", p.kind, p.level, noun)
}

// Sums are what an interior row says of the page that it names, as sums over
// the rows of the page: of a directory Names, Files, Dirs and Bytes as in
// [Totals]; of a list bytes and extents; of a usage packs, references and
// bytes. The others are 0.
type Sums [4]uint64

// sums returns how many sums a kind of page has.
func (k PageKind) sums() int {
	switch k {
	case DirPage:
		return 4
	case ListPage:
		return 2
	}
	return 3
}

// add adds t to s. It reports false if a sum does not fit. The bytes of a
// directory are let be: a few sparse files can pass any number, so their sum
// stops at the largest. It is the same in whatever order they are added.
func (s *Sums) add(kind PageKind, t *Sums) bool {
	var carry [4]uint64
	s[0], carry[0] = bits.Add64(s[0], t[0], 0)
	s[1], carry[1] = bits.Add64(s[1], t[1], 0)
	s[2], carry[2] = bits.Add64(s[2], t[2], 0)
	s[3], carry[3] = bits.Add64(s[3], t[3], 0)
	if carry[3] != 0 && kind == DirPage {
		s[3], carry[3] = math.MaxUint64, 0
	}
	return carry[0]|carry[1]|carry[2]|carry[3] == 0
}

func dirSums(t Totals) Sums { return Sums{t.Names, t.Files, t.Dirs, t.Bytes} }

// Totals returns the sums of a directory's page by their names.
func (s Sums) Totals() Totals { return Totals{s[0], s[1], s[2], s[3]} }
