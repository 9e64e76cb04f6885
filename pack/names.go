package pack

import (
	"fmt"
	"strconv"
	"strings"

	"tidemark/keys"
)

// ObjectName returns the name of pack n of a run of host:
// "packs/<host>/<run>/<n8>". The error says that host is no host's name.
func ObjectName(names *keys.Names, host string, run keys.RunID, n uint32) (string, error) {
	return runName("packs", names, host, run, n)
}

// IndexName returns the name of index object n of a run of host:
// "index/<host>/<run>/<n8>". The error says that host is no host's name.
func IndexName(names *keys.Names, host string, run keys.RunID, n uint32) (string, error) {
	return runName("index", names, host, run, n)
}

// MovedName returns the name of the n-th object that says where the pieces of
// a pack went: "moved/<host>/<run>/<n8>/<n8>". The error says that host is no
// host's name.
func MovedName(names *keys.Names, host string, run keys.RunID, pack, n uint32) (string, error) {
	of, err := runName("moved", names, host, run, pack)
	return fmt.Sprintf("%s/%08x", of, n), err
}

// ParseIndexName reads what [IndexName] writes, and nothing else. An error
// means that the name is none, or of no host of this repository: readers
// ignore what is stored under it.
func ParseIndexName(names *keys.Names, name string) (host string, run keys.RunID, n uint32, err error) {
	parts := strings.Split(name, "/")
	if len(parts) != 4 || parts[0] != "index" {
		return "", keys.RunID{}, 0, fmt.Errorf("pack: %.300q is not the name of an index", name)
	}
	if host, err = names.OpenHost(parts[1]); err != nil {
		return "", keys.RunID{}, 0, err
	}
	if run, err = keys.ParseRunID(parts[2]); err != nil {
		return "", keys.RunID{}, 0, err
	}
	number, err := strconv.ParseUint(parts[3], 16, 32)
	if err != nil || fmt.Sprintf("%08x", number) != parts[3] {
		return "", keys.RunID{}, 0, fmt.Errorf("pack: %.300q is not the name of an index", name)
	}
	return host, run, uint32(number), nil
}

func runName(area string, names *keys.Names, host string, run keys.RunID, n uint32) (string, error) {
	segment, err := names.Host(host)
	if err != nil {
		return "", err
	}
	return area + "/" + segment + runSuffix(run, n), nil
}

// runSuffix returns the end of the name of an object of a run.
func runSuffix(run keys.RunID, n uint32) string { return fmt.Sprintf("/%s/%08x", run, n) }
