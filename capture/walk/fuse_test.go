package walk_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"tidemark/capture/walk"
)

// sickly is a filesystem that fails as disks and networks do: names that are
// listed and gone, inodes that cannot be read, directories that break off. It
// speaks as much of FUSE as a walk needs.
type sickly struct {
	dev   int                   // /dev/fuse, blocking: it cannot be polled before it is mounted
	nodes map[uint64]sicklyNode // by FUSE node id; 1 is the root
}

type sicklyNode struct {
	names   []string // of a directory
	lookup  map[string]any
	failure unix.Errno // of reading it after names; 0: it ends there
}

// Opcodes of linux/fuse.h.
const (
	fuseLookup      = 1
	fuseForget      = 2
	fuseGetattr     = 3
	fuseInit        = 26
	fuseOpendir     = 27
	fuseReaddir     = 28
	fuseReleasedir  = 29
	fuseInterrupt   = 36
	fuseBatchForget = 42
)

// mountSickly mounts nodes for the time of the test. What lookup has of a name
// is the id of its node (a file, if there is no such node) or an errno.
func mountSickly(t *testing.T, nodes map[uint64]sicklyNode) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: mounting needs root")
	}
	dev, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err == unix.ENOENT {
		t.Skip("SKIPPED: no /dev/fuse")
	}
	must(t, err)
	dir := t.TempDir()
	opts := fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", dev)
	must(t, unix.Mount("sickly", dir, "fuse.sickly", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_RDONLY, opts))
	s := &sickly{dev: dev, nodes: nodes}
	served := make(chan struct{})
	go func() {
		defer close(served)
		s.serve()
	}()
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("unmount: %v", err)
			unix.Unmount(dir, unix.MNT_FORCE|unix.MNT_DETACH)
		}
		<-served
		unix.Close(dev)
	})
	return dir
}

// serve answers requests until the unmount.
func (s *sickly) serve() {
	request := make([]byte, 64<<10)
	for {
		n, err := unix.Read(s.dev, request)
		if err == unix.EINTR || err == unix.ENOENT {
			continue // a request was interrupted
		}
		if err != nil {
			return
		}
		le := binary.LittleEndian
		op, unique, id := le.Uint32(request[4:]), le.Uint64(request[8:]), le.Uint64(request[16:])
		body, errno := s.answer(op, id, request[40:n])
		if body == nil && errno == 0 && (op == fuseForget || op == fuseBatchForget || op == fuseInterrupt) {
			continue
		}
		reply := le.AppendUint32(nil, uint32(16+len(body)))
		reply = le.AppendUint32(reply, uint32(-int32(errno)))
		reply = le.AppendUint64(reply, unique)
		unix.Write(s.dev, append(reply, body...)) // fails only for a request that was interrupted
	}
}

func (s *sickly) answer(op uint32, id uint64, arg []byte) ([]byte, unix.Errno) {
	le := binary.LittleEndian
	node := s.nodes[id]
	switch op {
	case fuseForget, fuseBatchForget, fuseInterrupt, fuseReleasedir:
		return nil, 0
	case fuseInit:
		body := make([]byte, 64)
		le.PutUint32(body, 7)
		le.PutUint32(body[4:], 31)
		le.PutUint32(body[20:], 4096) // max_write
		return body, 0
	case fuseGetattr:
		return append(make([]byte, 16), s.attr(id)...), 0
	case fuseLookup:
		switch to := node.lookup[string(bytes.TrimSuffix(arg, []byte{0}))].(type) {
		case int:
			body := le.AppendUint64(nil, uint64(to))
			return append(append(body, make([]byte, 32)...), s.attr(uint64(to))...), 0
		case unix.Errno:
			return nil, to
		}
		return nil, unix.ENOENT
	case fuseOpendir:
		return make([]byte, 16), 0
	case fuseReaddir:
		return readdir(node, int(le.Uint64(arg[8:])))
	}
	return nil, unix.ENOSYS
}

// readdir gives one name at a time.
func readdir(node sicklyNode, offset int) ([]byte, unix.Errno) {
	if offset == len(node.names) {
		return nil, node.failure
	}
	name := node.names[offset]
	le := binary.LittleEndian
	body := le.AppendUint64(nil, uint64(100+offset)) // ino
	body = le.AppendUint64(body, uint64(offset+1))
	body = le.AppendUint32(body, uint32(len(name)))
	body = le.AppendUint32(body, 0) // type: unknown
	body = append(body, name...)
	return append(body, make([]byte, -len(body)&7)...), 0
}

func (s *sickly) attr(id uint64) []byte {
	mode := uint32(unix.S_IFREG | 0o644)
	if _, dir := s.nodes[id]; dir {
		mode = unix.S_IFDIR | 0o755
	}
	le := binary.LittleEndian
	body := make([]byte, 88)
	le.PutUint64(body, id)
	le.PutUint32(body[60:], mode)
	le.PutUint32(body[64:], 1) // nlink
	return body
}

func TestBrokenFilesystem(t *testing.T) {
	many := []string{"file"}
	for i := range 40 {
		many = append(many, fmt.Sprintf("ghost %02d", i))
	}
	root := mountSickly(t, map[uint64]sicklyNode{
		1: {names: []string{"twice", "partial", "ghosts", "broken", "twice", "stale", "nothing", "removed"}, lookup: map[string]any{
			"twice": 50, "partial": 2, "ghosts": 3, "nothing": 4, "removed": 5, "broken": unix.EIO, "stale": unix.ESTALE,
		}},
		2: {names: []string{"b", "a"}, lookup: map[string]any{"a": 51, "b": 52}, failure: unix.EIO},
		3: {names: many, lookup: map[string]any{"file": 53}},
		4: {failure: unix.EIO},
		5: {names: []string{"c"}, lookup: map[string]any{"c": 54}, failure: unix.ENOENT},
	})

	for _, tt := range []struct {
		name string
		cfg  walk.Config
	}{
		{"in memory", walk.Config{}},
		{"on disk", walk.Config{SortMemory: 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := open(t, root, tt.cfg)
			if e := next(t, d, "broken"); !errors.Is(e.Err, unix.EIO) || !strings.Contains(e.Err.Error(), root+"/broken") || e.Stat != (walk.Stat{}) {
				t.Errorf("broken: %v, %+v", e.Err, e.Stat)
			}
			c := child(t, d, next(t, d, "ghosts"))
			if got, err := names(c); !slices.Equal(got, []string{"file"}) || err != nil {
				t.Errorf("ghosts: %q, %v", got, err)
			}
			if n, some := c.Vanished(); n != 40 || len(some) != 16 || !strings.HasPrefix(some[15], "ghost ") {
				t.Errorf("Vanished() = %d, %q", n, some)
			}
			c.Close()
			checkBroken(t, d, "nothing", unix.EIO)
			checkBroken(t, d, "partial", unix.EIO, "a", "b")
			checkBroken(t, d, "removed", walk.ErrVanished, "c")
			if e := next(t, d, "stale"); !errors.Is(e.Err, unix.ESTALE) {
				t.Errorf("stale: %v", e.Err)
			}
			next(t, d, "twice") // once
			if rest, err := names(d); len(rest) > 0 || err != nil {
				t.Errorf("after the last: %q, %v", rest, err)
			}
		})
	}
}

// checkBroken wants the next entry of d to be a directory with the names want,
// and the error cause after them, again and again.
func checkBroken(t *testing.T, d *walk.Dir, name string, cause error, want ...string) {
	t.Helper()
	c, err := d.Child(next(t, d, name))
	must(t, err)
	defer c.Close()
	if err := c.Err(); !errors.Is(err, cause) {
		t.Errorf("%s: Err() = %v, want %v", name, err, cause)
	}
	for range 2 {
		got, err := names(c)
		if !slices.Equal(got, want) || !errors.Is(err, cause) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %q, %v; want %q and %v", name, got, err, want, cause)
		}
		want = nil
	}
}
