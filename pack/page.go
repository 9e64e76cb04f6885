package pack

import "encoding/binary"

// pageHeaderLen is the bytes before a page's identity section.
const pageHeaderLen = 12

// PageIdentity returns the identity section of a page, whose keyed hash is the
// page's id: docs/format.md, section 9. It is a part of page. It is all that
// must be known of pages to check one; what is in it is package catalog's.
func PageIdentity(object string, page []byte) ([]byte, error) {
	if len(page) < pageHeaderLen {
		return nil, &DamageError{Object: object, Reason: ReasonTruncated, Detail: "a page without its header"}
	}
	var total uint64 // of the three sections
	for i := range 3 {
		total += uint64(binary.LittleEndian.Uint32(page[4*i:]))
	}
	switch have := uint64(len(page) - pageHeaderLen); {
	case total > have:
		return nil, &DamageError{Object: object, Reason: ReasonTruncated, Detail: "a page that is shorter than its sections"}
	case total < have:
		return nil, &DamageError{Object: object, Reason: ReasonTrailing, Detail: "a page that is longer than its sections"}
	}
	n := binary.LittleEndian.Uint32(page)
	return page[pageHeaderLen : pageHeaderLen+n], nil
}
