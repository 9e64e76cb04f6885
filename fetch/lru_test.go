package fetch

import "testing"

func TestLRU(t *testing.T) {
	l := newLRU[int](10, func(v string) int64 { return int64(len(v)) })
	want := func(keys ...int) {
		t.Helper()
		var total int64
		for _, key := range keys {
			v, ok := l.get(key)
			if !ok {
				t.Errorf("%d is not there", key)
			}
			total += int64(len(v))
		}
		if l.order.Len() != len(keys) || len(l.byKey) != len(keys) || l.size() != total {
			t.Errorf("%d values that cost %d, want %v, which cost %d", l.order.Len(), l.size(), keys, total)
		}
	}
	l.put(1, "1234")
	l.put(2, "12")
	l.put(3, "1234")
	want(3, 2, 1)
	l.put(4, "1") // drives out 3, which was used before 2 and 1
	want(1, 2, 4)
	l.put(1, "another") // is used, and stays what it was
	l.put(5, "12345")   // drives out 2
	want(4, 5, 1)
	l.put(6, "longer than ten")
	want(6)
	l.put(7, "")
	want(7)
}
