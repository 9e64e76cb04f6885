package catalog

import "tidemark/pack"

// Reencode decodes every row of a page and makes a page of them again.
func Reencode(p *Page) ([]byte, error) {
	o := &openPage{level: p.level}
	pg := pager{kind: p.kind}
	for i := range p.n {
		var err error
		switch {
		case p.level > 0:
			var br Branch
			if br, err = p.Interior(i); err == nil {
				o.rows = appendBranch(o.rows, p.kind, &br)
				o.places.add(&br.Ref.Place)
			}
		case p.kind == DirPage:
			var r Row
			if r, err = p.Row(i); err == nil {
				o.rows = appendNode(o.rows, &r.Node)
				o.appendHints(&r.Hints)
				addNodePlaces(&o.places, &r.Node)
			}
		case p.kind == UsagePage:
			var r UsageRow
			if r, err = p.Usage(i); err == nil {
				o.rows = appendUsage(o.rows, &r)
			}
		default:
			var x Extent
			if x, err = p.Extent(i); err == nil {
				o.rows = appendExtent(o.rows, &x)
				if !x.Zero {
					o.places.add(&x.Place)
				}
			}
		}
		if err != nil {
			return nil, err
		}
		if err := pg.endRow(o, "", 0, false, Sums{}); err != nil {
			return nil, err
		}
	}
	return o.draft(p.kind).Encode(func(b pack.Block) (pack.Block, bool, error) {
		return b, p.self != (pack.Block{}) && keyOf(&b) == keyOf(&p.self), nil
	})
}
