package store_test

import (
	"strings"
	"testing"

	"tidemark/store"
)

func TestValidKey(t *testing.T) {
	seg := strings.Repeat("x", store.MaxSegmentLen)
	longest := strings.Repeat(seg+"/", 4) + strings.Repeat("y", store.MaxKeyLen-4*(store.MaxSegmentLen+1))
	for _, key := range []string{"a", "AZaz09._=-", "a/b/c", "...", ".a", "a..b", "-", seg, longest} {
		if err := store.ValidKey(key); err != nil {
			t.Errorf("ValidKey(%.40q) = %v", key, err)
		}
	}
	for _, key := range []string{
		"", "/", "a/", "/a", "a//b", ".", "..", "./a", "a/..", "a/./b",
		"a b", "a~", "a+b", "a%", "a:", "a\\", "a\n", "\x00", "\x7f", "é", "\xff",
		seg + "x", "a/" + seg + "x/b", longest + "y",
	} {
		if err := store.ValidKey(key); err == nil {
			t.Errorf("ValidKey(%.40q) = nil; want an error", key)
		}
	}
}
