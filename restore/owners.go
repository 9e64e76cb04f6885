package restore

import (
	"os/user"
	"strconv"
	"sync"

	"tidemark/catalog"
)

// maxOwners is how many names of users, and of groups, are remembered: some
// MiB of each. A machine with more looks some up again.
const maxOwners = 1 << 16

// owners finds the numbers that names of users and groups have here, and asks
// for each once: a directory service that is down should not be asked for
// every file.
type owners struct {
	users, groups ids
}

// uid returns the number of n's owner: by its name, or the one it had.
func (o *owners) uid(n *catalog.Node) uint32 {
	return o.users.of(n.Owner, n.UID, func(name string) (string, error) {
		u, err := user.Lookup(name)
		if err != nil {
			return "", err
		}
		return u.Uid, nil
	})
}

// gid is uid for the group.
func (o *owners) gid(n *catalog.Node) uint32 {
	return o.groups.of(n.Group, n.GID, func(name string) (string, error) {
		g, err := user.LookupGroup(name)
		if err != nil {
			return "", err
		}
		return g.Gid, nil
	})
}

// ids remembers what lookups returned.
type ids struct {
	mu    sync.Mutex
	known map[string]id // guarded by mu
}

type id struct {
	number uint32
	ok     bool // the name is known
}

// of returns the number that lookup gives name, now or before, else number.
// Two goroutines may look up the same name at the same time.
func (i *ids) of(name string, number uint32, lookup func(name string) (string, error)) uint32 {
	if name == "" {
		return number
	}
	i.mu.Lock()
	found, known := i.known[name]
	i.mu.Unlock()
	if !known {
		text, err := lookup(name)
		parsed, bad := strconv.ParseUint(text, 10, 32)
		found = id{uint32(parsed), err == nil && bad == nil}
		i.mu.Lock()
		if i.known == nil || len(i.known) >= maxOwners {
			i.known = make(map[string]id)
		}
		i.known[name] = found
		i.mu.Unlock()
	}
	if !found.ok {
		return number
	}
	return found.number
}
