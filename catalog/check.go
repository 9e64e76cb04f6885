package catalog

import (
	"tidemark/keys"
	"tidemark/pack"
)

// CheckPage checks all that can be said of a page by itself: the sections and
// tables, each row, the order of rows, that no page goes on where the cuts end
// it, and that runs and blocks stand in the order of their first use, each
// once. Readers of a tree check rows as they come to them; this is for whoever
// wants to know that a page is the one form of what it says.
//
// self is as in [ParsePage].
func CheckPage(b []byte, self pack.Block) error {
	p, err := ParsePage(b, self)
	if err != nil {
		return err
	}
	if bad := p.checkTables(); bad != nil {
		return p.damaged(bad)
	}
	if err := p.checkRows(); err != nil {
		return err
	}
	if p.kind == DirPage && p.n == 1 && p.level == 0 && len(p.name(0)) == 0 {
		return nil // the root page of a point
	}
	if _, bad := p.scan(); bad != nil {
		return bad
	}
	return p.checkCuts()
}

func (p *Page) checkTables() *flaw {
	seen := make(map[keys.RunID]bool, len(p.runs))
	for _, r := range p.runs {
		if err := keys.ValidName(r.host); err != nil {
			return flawf(pack.ReasonText, "run %s is of a host whose name is not valid: %v", r.id, err)
		}
		if seen[r.id] {
			return flawf(pack.ReasonDuplicate, "run %s stands twice", r.id)
		}
		seen[r.id] = true
	}
	if bad := p.checkBlocks(); bad != nil {
		return bad
	}
	next := uint32(0) // the first block that no place has used
	for k := 0; k < len(p.places); k += placeLen {
		switch i := u32(p.places[k:]); {
		case i == ownBlock:
		case i > next:
			return flawf(pack.ReasonOrder, "blocks do not stand in the order of their first use")
		case i == next:
			next++
		}
	}
	if n := uint32(len(p.blocks) / blockLen); next != n {
		return flawf(pack.ReasonCount, "%d blocks, of which %d are used", n, next)
	}
	return nil
}

func (p *Page) checkBlocks() *flaw {
	n := len(p.blocks) / blockLen
	seen := make(map[blockKey]bool, n)
	next := 0 // the first run that no block has used
	for i := range n {
		b, bad := p.block(uint32(i))
		if bad != nil {
			return bad
		}
		switch r := int(u16(p.blocks[i*blockLen:])); {
		case r > next:
			return flawf(pack.ReasonOrder, "runs do not stand in the order of their first use")
		case r == next:
			next++
		}
		key := keyOf(&b)
		if seen[key] {
			return flawf(pack.ReasonDuplicate, "block %d of pack %d of run %s stands twice", b.Ordinal, b.Pack, b.Run)
		}
		seen[key] = true
		if p.self != (pack.Block{}) && key == keyOf(&p.self) {
			return flawf(pack.ReasonRange, "the block that the page lies in stands in its table")
		}
	}
	if next != len(p.runs) {
		return flawf(pack.ReasonCount, "%d runs, of which %d are used", len(p.runs), next)
	}
	return nil
}

func (p *Page) checkRows() error {
	var extents extentRun
	aligned := false // whether extents.off is right but for a multiple of zeroAlign
	for i := range p.n {
		var err error
		switch {
		case p.level > 0:
			_, err = p.Interior(i)
		case p.kind == DirPage:
			_, err = p.Row(i)
		case p.kind == UsagePage:
			_, err = p.Usage(i)
		default:
			var x Extent
			if x, err = p.Extent(i); err != nil {
				break
			}
			if x.Zero && !aligned { // where the page begins in the content is not known
				extents.off, aligned = 0, true
			}
			if bad := extents.add(&x); bad != nil {
				err = p.damagedRow(i, bad)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// checkCuts checks that no row but the last ends the page.
func (p *Page) checkCuts() error {
	for i := range p.n - 1 {
		_, end := between(p.rowEnds, i)
		key, keyed := p.cutKey(i)
		if endsPage(p.level, i+1, int(end), keyHash(key), keyed) {
			return p.damagedRow(i, flawf(pack.ReasonCount, "the page goes on after a row that ends it"))
		}
	}
	return nil
}
