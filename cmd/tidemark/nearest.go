package main

import "strings"

// nearest returns the one of known that the user most likely meant by word, or
// "" if none is near: one that word begins, or else the one with the fewest
// slips between them, at most one and one more for each four letters. Of two
// as near, it is the one with the same first letter. A single letter is near to
// itself only.
func nearest(word string, known []string) string {
	word = strings.ToLower(word)
	letters := len(strings.TrimLeft(word, "-"))
	limit := letters/4 + 1
	if letters < 2 {
		limit = 0
	}
	best, least := "", 2*limit+2
	for _, k := range known {
		slips := distance(word, k)
		if letters > 1 && strings.HasPrefix(k, word) {
			slips = 0
		}
		// Twice the slips leaves a half to the first letter.
		cost := 2*slips + 1
		if word != "" && strings.HasPrefix(k, word[:1]) {
			cost--
		}
		if slips <= limit && cost < least {
			best, least = k, cost
		}
	}
	return best
}

// distance counts the slips that make a into b: bytes left out, added,
// replaced, or swapped with their neighbour (optimal string alignment).
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(last[j+1]+1, row[j]+1, last[j]+cost)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
