package walk

import (
	"errors"
	"fmt"
	"os/user"
	"strconv"
	"sync"
)

// maxOwners is how many names of users, and of groups, an Owners remembers:
// about 6 MiB of each. A machine with more asks again for some.
const maxOwners = 1 << 16

// Owners gives the names of users and groups by their numbers, as this machine
// knows them, and asks for each once: a directory service that is down should
// not be asked for every file. The zero value is ready. It may be used by
// several goroutines at once.
type Owners struct {
	users, groups names
}

// User returns the name of the user uid, "" if there is none. An error says
// that it could not be found out, such as when a directory service is down.
func (o *Owners) User(uid uint32) (string, error) {
	return o.users.of(uid, func(id string) (string, error) {
		u, err := user.LookupId(id)
		if _, ok := errors.AsType[user.UnknownUserIdError](err); ok {
			return "", nil
		}
		if err != nil {
			return "", fmt.Errorf("walk: name of user %s: %w", id, err)
		}
		return u.Username, nil
	})
}

// Group is User for groups.
func (o *Owners) Group(gid uint32) (string, error) {
	return o.groups.of(gid, func(id string) (string, error) {
		g, err := user.LookupGroupId(id)
		if _, ok := errors.AsType[user.UnknownGroupIdError](err); ok {
			return "", nil
		}
		if err != nil {
			return "", fmt.Errorf("walk: name of group %s: %w", id, err)
		}
		return g.Name, nil
	})
}

// names remembers what lookups returned.
type names struct {
	mu    sync.Mutex
	known map[uint32]owner // guarded by mu
}

type owner struct {
	name string
	err  error
}

// of returns what lookup says of id, now or before. Two goroutines may look
// up the same id at the same time.
func (n *names) of(id uint32, lookup func(id string) (string, error)) (string, error) {
	n.mu.Lock()
	o, ok := n.known[id]
	n.mu.Unlock()
	if ok {
		return o.name, o.err
	}
	o.name, o.err = lookup(strconv.FormatUint(uint64(id), 10))
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.known == nil || len(n.known) >= maxOwners {
		n.known = make(map[uint32]owner)
	}
	n.known[id] = o
	return o.name, o.err
}
