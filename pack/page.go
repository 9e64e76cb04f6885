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
	n := uint64(binary.LittleEndian.Uint32(page))
	if n > uint64(len(page)-pageHeaderLen) {
		return nil, &DamageError{Object: object, Reason: ReasonTruncated, Detail: "a page that is shorter than its identity section"}
	}
	return page[pageHeaderLen : pageHeaderLen+n], nil
}
