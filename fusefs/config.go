package fusefs

import (
	"fmt"
	"log/slog"
)

// Config configures a mount. The zero value of a field means its default.
type Config struct {
	// AllowOther lets other users than the one who mounts in. The kernel then
	// checks the permissions and ACLs that were captured, so that they read
	// their own files and no more. An ordinary user needs "user_allow_other"
	// in /etc/fuse.conf for it. Default: nobody else gets in, and who mounts,
	// having the key to everything, is kept from nothing.
	AllowOther bool

	// Inodes says which files have equal inode numbers. Default InodesFiles.
	Inodes Inodes

	// NodeBytes bounds what is kept of nodes that were asked for lately.
	// Default 16 MiB: some ten thousand.
	NodeBytes int64

	// ReadBytes bounds the chunks kept for those who are reading them.
	// Default 32 MiB: a hundred readers at the usual 256 KiB.
	ReadBytes int64

	// Log is told what went wrong: each failure once a minute. Default: nobody.
	Log *slog.Logger

	// LogRequests logs every request of the kernel, at slog.LevelDebug.
	LogRequests bool
}

// Inodes says which files have equal inode numbers (st_ino). Programs take two
// names for one file if those are equal: diff does not compare them, du counts
// them once, and cp and tar may make links of them.
type Inodes string

const (
	// InodesFiles gives a file that is the same in two points, under the same
	// path, one number. Directories have numbers of their own, because GNU cp
	// refuses to copy what it takes for the same directory twice.
	InodesFiles Inodes = "files"

	// InodesShared does so for directories with all they hold, too: diff -r of
	// two points passes over all that is equal.
	InodesShared Inodes = "shared"

	// InodesUnique gives equal numbers to nothing but hard links.
	InodesUnique Inodes = "unique"
)

// Sizes of requests.
const (
	// maxRequest is how many bytes one READ may ask for. At 1 MiB a request
	// with its header is larger than a pipe, which some paths splice through.
	maxRequest = 512 << 10

	// readahead is what the kernel may read ahead of a sequential reader, in
	// bytes. Only root can raise it from 128 KiB; measured, this saves a
	// quarter of the CPU, and more saves nothing.
	readahead = 512 << 10

	// maxBackground is how many requests of readahead the kernel may have in
	// flight for the whole mount: enough for a few sequential readers, each
	// four deep. The kernel's 12 starve the fourth of them.
	maxBackground = 32
)

// openPoints is how many points are kept open: each holds its root page, a
// kilobyte. A walk over all of a year's days and hours stays within it.
const openPoints = 1024

// withDefaults returns c with its defaults filled in, or what is wrong with it.
func (c Config) withDefaults() (Config, error) {
	switch c.Inodes {
	case "":
		c.Inodes = InodesFiles
	case InodesFiles, InodesShared, InodesUnique:
	default:
		return c, fmt.Errorf("fusefs: inodes %q: it is one of files, shared and unique", string(c.Inodes))
	}
	if c.NodeBytes == 0 {
		c.NodeBytes = 16 << 20
	}
	if c.ReadBytes == 0 {
		c.ReadBytes = 32 << 20
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c, nil
}
