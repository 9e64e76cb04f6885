package fusefs

import (
	"os"
	"strings"
)

// A mounted is a line of /proc/self/mountinfo, which says what is mounted
// where without asking any of it: a mount that hangs would hang who asks.
type mounted struct {
	device string // "major:minor"
	fsType string // "" if nothing is mounted
}

// mountAt returns what is mounted at dir, which is absolute: the uppermost.
func mountAt(dir string) (mounted, error) {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return mounted{}, err
	}
	return parseMountinfo(string(text), dir), nil
}

// parseMountinfo returns the last line of text that is about dir:
//
//	36 35 0:53 / /backups ro,nosuid,nodev shared:1 - fuse.tidemark tidemark ro,user_id=0
func parseMountinfo(text, dir string) (at mounted) {
	for line := range strings.Lines(text) {
		where, what, _ := strings.Cut(line, " - ")
		fields, kind := strings.Fields(where), strings.Fields(what)
		if len(fields) > 4 && len(kind) > 0 && mountEscapes.Replace(fields[4]) == dir {
			at = mounted{device: fields[2], fsType: kind[0]}
		}
	}
	return at
}

// mountEscapes undoes what the kernel does to the paths in mountinfo.
var mountEscapes = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`, `\043`, "#")
