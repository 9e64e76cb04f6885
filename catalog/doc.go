// Package catalog holds what existed when: the points in time that a
// repository retains, and for each the tree of files as it then was.
//
// A [Point] names its tree by a root page of one row, the source itself. A
// row is a [Node], and what it names is in further pages: a directory's node
// names the root page of its entries, the node of a large file the root page
// of its list of extents. A long sequence of rows is divided into leaf pages,
// and interior pages above them.
//
//	Point ──▶ root page ──▶ Node (directory) ──▶ Page, Page … ──▶ Node …
//	  │                     Node (file) ──▶ Extent, Extent …
//	  │                     Node (large file) ──▶ Page … ──▶ Extent …
//	  └─────▶ usage: Page … ──▶ UsageRow (a pack, and how often it is referred to)
//
// A page has three parts. Its identity says what is there, and its keyed hash
// is the page's id: equal directories have equal ids wherever their bytes
// are. Its hints let a writer see whether a file changed. Its places say where
// the pieces are that the identity names, so reading needs no index. Where a
// page ends is a function of the rows' identity alone, so a tree built by
// steps is the tree built from scratch.
//
//	rows ──▶ DirPager, ListPager, UsagePager ──▶ Draft ──▶ bytes     (writing)
//	Pages ──▶ ParsePage ──▶ Page ──▶ Tree ──▶ Node, Listing, Extents (reading)
//
// Everything here is immutable once written, and everything read is checked:
// ids by whoever implements [Pages], form, order and sums here. What is wrong
// is an error that wraps [pack.ErrDamaged], or [pack.ErrTooOld] for what a
// later version wrote; "does not exist" is only ever said of what does not
// exist. The encoding is docs/format.md, sections 9 to 13.
package catalog
