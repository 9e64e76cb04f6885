package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// The units of sizes are powers of 1024, and are called so: KiB, not kB.
var sizeUnits = []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}

// parseSize reads a number of bytes: "1048576", or with a unit, "256MiB".
func parseSize(text string) (int64, error) {
	digits := strings.TrimRight(text, "BKMGTPEi")
	factor := int64(1)
	if unit := text[len(digits):]; unit != "" {
		i := 0
		for i < len(sizeUnits) && sizeUnits[i] != unit {
			i++
		}
		if i == len(sizeUnits) {
			return 0, errSize(text)
		}
		factor = 1 << (10 * i)
	}
	n, err := strconv.ParseUint(digits, 10, 63)
	switch {
	case err != nil:
		return 0, errSize(text)
	case n > uint64(math.MaxInt64/factor):
		return 0, fmt.Errorf("%q is more bytes than there are", text)
	}
	return int64(n) * factor, nil
}

func errSize(text string) error {
	return fmt.Errorf("%q is no size; write bytes, or a whole number with KiB, MiB, GiB or TiB", text)
}

// formatBytes returns n for people, with about three digits: "512 B",
// "1.5 KiB", "218 MiB".
func formatBytes(n int64) string {
	v, unit := float64(n), 0
	for v >= 1023.5 && unit < len(sizeUnits)-1 { // 1023.5 would show as 1024
		v /= 1024
		unit++
	}
	if unit == 0 || v >= 99.95 {
		return fmt.Sprintf("%.0f %s", v, sizeUnits[unit])
	}
	return fmt.Sprintf("%.1f %s", v, sizeUnits[unit])
}

// formatCount returns n for people: "1,234,567".
func formatCount(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// formatDuration returns d for people, in its two largest units: "42s",
// "3m05s", "2h07m", "3d04h".
func formatDuration(d time.Duration) string {
	s := int64(d.Round(time.Second) / time.Second)
	switch {
	case s < 60:
		return fmt.Sprintf("%ds", s)
	case s < 60*60:
		return fmt.Sprintf("%dm%02ds", s/60, s%60)
	case s < 24*60*60:
		return fmt.Sprintf("%dh%02dm", s/3600, s/60%60)
	}
	return fmt.Sprintf("%dd%02dh", s/86400, s/3600%24)
}

// formatCountOf returns n with its noun: "1 file", "15,036 files".
func formatCountOf(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return formatCount(n) + " " + noun + "s"
}
