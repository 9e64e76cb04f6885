package fusefs

import (
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// NewRaw returns the filesystem of a mount at /backups that the kernel does not
// know of.
func NewRaw(cfg Config, world World, chunks Chunks) (fuse.RawFileSystem, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	return newMount(cfg, "/backups", time.Unix(1e9, 0), world, chunks), nil
}

// RenewFailures lets every failure be logged again.
func RenewFailures(fs fuse.RawFileSystem) { fs.(*mount).failures.renew() }

// MountedAt returns the device and the type of what a mountinfo has at dir.
func MountedAt(text, dir string) (device, fsType string) {
	at := parseMountinfo(text, dir)
	return at.device, at.fsType
}

// MaxFailures is how many failures are logged between two RenewFailures.
const MaxFailures = maxFailures

// CacheOf returns the values that a cache with a budget keeps, after values
// were put into it, each costing what it is.
func CacheOf(budget int64, values ...int64) (kept, dropped []int64) {
	c := newLRU[int64](budget, func(v int64) int64 { return v }, func(v int64) { dropped = append(dropped, v) })
	for _, v := range values {
		c.put(v, v)
	}
	seen := map[int64]bool{}
	for _, v := range values {
		if got, ok := c.get(v, nil); ok && !seen[v] {
			seen[v] = true
			kept = append(kept, got)
		}
	}
	return kept, dropped
}
