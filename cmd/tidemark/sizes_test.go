package main

import (
	"math"
	"testing"
	"time"
)

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "1": 1, "1048576": 1 << 20, "12B": 12, "64KiB": 64 << 10, "256MiB": 256 << 20, "1GiB": 1 << 30, "3TiB": 3 << 40,
		"2PiB": 2 << 50, "7EiB": 7 << 60, "9223372036854775807": math.MaxInt64,
	} {
		if got, err := parseSize(text); err != nil || got != want {
			t.Errorf("parseSize(%q) = %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "B", "MiB", "-1", "+1", "1.5GiB", "1MB", "1M", "1mib", "1 MiB", "1iB", "0x10", "1_000", "8EiB", "9223372036854775808", "1MiB1"} {
		if got, err := parseSize(text); err == nil {
			t.Errorf("parseSize(%q) = %d, want an error", text, got)
		}
	}
}

func TestFormatBytes(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 1: "1 B", 1023: "1023 B", 1024: "1.0 KiB", 1536: "1.5 KiB", 100 << 10: "100 KiB", 1023 << 10: "1023 KiB",
		1<<20 - 1: "1.0 MiB", 1 << 20: "1.0 MiB", 99*1<<20 + 1<<19: "99.5 MiB", 218 << 20: "218 MiB", 1 << 40: "1.0 TiB",
		math.MaxInt64: "8.0 EiB", -5: "-5 B",
	} {
		if got := formatBytes(n); got != want {
			t.Errorf("formatBytes(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestFormatCount(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0", 999: "999", 1000: "1,000", 999999: "999,999", 1234567: "1,234,567", -123: "-123", -1234: "-1,234",
	} {
		if got := formatCount(n); got != want {
			t.Errorf("formatCount(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestFormatDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 400 * time.Millisecond: "0s", 59*time.Second + 600*time.Millisecond: "1m00s", 42 * time.Second: "42s",
		3*time.Minute + 5*time.Second: "3m05s", 59*time.Minute + 59*time.Second: "59m59s", 2*time.Hour + 7*time.Minute: "2h07m",
		76 * time.Hour: "3d04h",
	} {
		if got := formatDuration(d); got != want {
			t.Errorf("formatDuration(%v) = %q, want %q", d, got, want)
		}
	}
}
