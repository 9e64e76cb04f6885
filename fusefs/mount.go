package fusefs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"tidemark/chunk"
	"tidemark/pack"
)

// ErrBusy means that a mount was in use when it was to end. It is gone from the
// tree; who was in it gets errors.
var ErrBusy = errors.New("it was in use")

// A mount answers the kernel's requests. Its methods with the names of
// operations are called concurrently, each from a goroutine of its own.
type mount struct {
	readonly // what would change something

	cfg    Config
	world  World
	chunks Chunks

	dir   string     // the mount point
	born  time.Time  // of what has no time of its own
	owner fuse.Owner // of what stands above the points

	table    *table
	points   *lru[uint64, *point] // by number
	nodes    *lru[uint64, *node]  // by kernel id; of entries only
	reading  *lru[pieceKey, *heldPiece]
	dirs     *handles[*openDir]
	files    *handles[*openFile]
	failures *failures

	mu    sync.Mutex
	hosts map[string]*arranged // as they were last asked for, by name; guarded by mu
}

// newMount returns a mount at dir of which the kernel does not know yet.
func newMount(cfg Config, dir string, born time.Time, world World, chunks Chunks) *mount {
	return &mount{
		readonly: readonly{fuse.NewDefaultRawFileSystem()},
		cfg:      cfg,
		world:    world,
		chunks:   chunks,
		dir:      dir,
		born:     born,
		owner:    fuse.Owner{Uid: uint32(os.Geteuid()), Gid: uint32(os.Getegid())},
		table:    newTable(),
		points:   newLRU[uint64](openPoints, func(*point) int64 { return 1 }, nil),
		nodes:    newLRU[uint64](cfg.NodeBytes, (*node).cost, nil),
		reading:  newLRU[pieceKey](cfg.ReadBytes, (*heldPiece).cost, (*heldPiece).letGo),
		dirs:     newHandles[*openDir](),
		files:    newHandles[*openFile](),
		failures: &failures{log: cfg.Log, said: map[string]bool{}},
		hosts:    map[string]*arranged{},
	}
}

// String is how go-fuse calls the filesystem.
func (m *mount) String() string { return mountSource }

// validity returns how long the kernel may keep the name and the attributes of
// a node. The root of a point does not change, but what its name leads to may.
func (m *mount) validity(n *node) (entry, attr time.Duration) {
	switch {
	case n.spot != nil:
		return awhile, awhile
	case n.path == "":
		return awhile, forever
	}
	return forever, forever
}

// chunk returns a chunk that must have length bytes.
func (m *mount) chunk(ctx context.Context, id chunk.ID, at pack.Place, length uint64) (Piece, error) {
	p, err := m.chunks.Chunk(ctx, id, at)
	if err != nil {
		return nil, err
	}
	if n := len(p.Bytes()); uint64(n) != length {
		p.Release()
		return nil, fmt.Errorf("fusefs: chunk %v has %d bytes, not %d", id, n, length)
	}
	return p, nil
}

// A Server is a mount that is there.
type Server struct {
	m      *mount
	server *fuse.Server
	device string // "major:minor"
	end    context.CancelFunc

	done chan struct{} // closed at the end
	err  error         // valid after done
}

// Mount mounts at dir, which is an empty directory, and serves until ctx ends
// or somebody unmounts it. It returns once the mount is there. The error is a
// [*SetupError] if there is something that the user can do.
//
// The process that serves a mount should not read from it: a page that is
// missing there stops the thread that would fetch it.
func Mount(ctx context.Context, dir string, cfg Config, world World, chunks Chunks) (*Server, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	dir, born, err := checkDir(dir)
	if err != nil {
		return nil, err
	}
	fd, err := attach(ctx, dir, cfg.AllowOther)
	if err != nil {
		return nil, err
	}
	m := newMount(cfg, dir, born, world, chunks)
	at, err := mountAt(dir)
	if err != nil {
		unix.Close(fd)
		return nil, m.failed(ctx, err)
	}
	server, err := fuse.NewServer(m, fmt.Sprintf("/dev/fd/%d", fd), m.options())
	if err != nil { // the descriptor is closed
		return nil, m.failed(ctx, err)
	}
	if err := raiseReadahead(at.device); err != nil {
		cfg.Log.Debug("the kernel reads ahead 128 KiB at most", "error", err)
	}
	ctx, end := context.WithCancel(ctx)
	s := &Server{m: m, server: server, device: at.device, end: end, done: make(chan struct{})}
	go s.run(ctx)
	return s, nil
}

// failed takes away a mount that cannot be served, and returns why.
func (m *mount) failed(ctx context.Context, why error) error {
	return errors.Join(fmt.Errorf("fusefs: mount %s: %w", m.dir, why), detach(context.WithoutCancel(ctx), m.dir, true))
}

// options are those of go-fuse.
func (m *mount) options() *fuse.MountOptions {
	return &fuse.MountOptions{
		MaxWrite:             maxRequest, // and read
		MaxBackground:        maxBackground,
		DisableSplice:        true, // content is in memory: a pipe would be one more copy
		EnableSymlinkCaching: true, // a link that leads elsewhere is another node
		EnableAcl:            m.cfg.AllowOther,
		Debug:                m.cfg.LogRequests,
		Logger:               slog.NewLogLogger(m.cfg.Log.Handler(), slog.LevelDebug),
		PanicHandler:         m.failures.panicked,
	}
}

// raiseReadahead lets the kernel read ahead further than FUSE's 128 KiB. Only
// root can.
func raiseReadahead(device string) error {
	return os.WriteFile("/sys/class/bdi/"+device+"/read_ahead_kb", fmt.Appendln(nil, readahead>>10), 0)
}

// Wait waits until the mount has ended. The error wraps ErrBusy if somebody was
// still in it.
func (s *Server) Wait() error {
	<-s.done
	return s.err
}

// Unmount ends the mount, and waits for that. The error is that of Wait.
func (s *Server) Unmount() error {
	s.end()
	return s.Wait()
}

// failuresAgain is how often a failure that goes on is logged.
const failuresAgain = time.Minute

// run serves until ctx ends or the mount does.
func (s *Server) run(ctx context.Context) {
	defer close(s.done)
	defer s.end()
	served := make(chan struct{})
	go func() {
		s.server.Serve()
		close(served)
	}()
	again := time.NewTicker(failuresAgain)
	defer again.Stop()
	for ended := false; !ended; {
		select {
		case <-again.C:
			s.m.failures.renew()
		case <-served:
			ended = true
			s.err = s.cutOff(context.WithoutCancel(ctx))
		case <-ctx.Done():
			ended = true
			s.err = s.leave(context.WithoutCancel(ctx), served)
		}
	}
	s.m.failures.renew()
	s.m.reading.clear()
}

// cutOff is for a mount that ended by itself. Mostly somebody has unmounted it.
// Else the kernel or somebody cut it off, and what is still there, which gives
// errors only, is taken away.
func (s *Server) cutOff(ctx context.Context) error {
	at, err := mountAt(s.m.dir)
	if err != nil || at.device != s.device {
		return nil
	}
	err = fmt.Errorf("fusefs: mount %s: it was cut off from this program", s.m.dir)
	return errors.Join(err, detach(ctx, s.m.dir, true))
}

// How often, and how far apart, an unmount is tried before the mount counts as
// in use: the kernel lets go of a file a moment after it was closed. And how
// long it may take to end once it is unmounted, before it counts as in use in a
// place that is not seen from here: another mount namespace.
const (
	unmountTries = 5
	unmountPause = 20 * time.Millisecond
	endsWithin   = 5 * time.Second
)

// leave unmounts and waits until no request runs any more. If somebody is in the
// mount it goes all the same: the error then wraps ErrBusy.
func (s *Server) leave(ctx context.Context, served <-chan struct{}) error {
	if s.unmount(ctx, served) {
		select {
		case <-served:
			return nil
		case <-time.After(endsWithin):
		}
	}
	aborted := s.abort()
	if at, err := mountAt(s.m.dir); err == nil && at.device == s.device {
		if err := detach(ctx, s.m.dir, true); err != nil {
			return fmt.Errorf("fusefs: unmount %s: %w", s.m.dir, err)
		}
	}
	if aborted {
		<-served
	}
	return fmt.Errorf("fusefs: unmount %s: %w", s.m.dir, ErrBusy)
}

// unmount unmounts if nobody is in the mount, and reports whether it is gone.
func (s *Server) unmount(ctx context.Context, served <-chan struct{}) bool {
	for range unmountTries {
		at, err := mountAt(s.m.dir)
		if err != nil || at.device != s.device {
			return err == nil // somebody else did it, or has mounted over it
		}
		if detach(ctx, s.m.dir, false) == nil {
			return true
		}
		select {
		case <-time.After(unmountPause):
		case <-served:
			return true
		}
	}
	return false
}

// abort cuts the mount off from this process, so that who is in it gets errors
// at once. It reports whether it could; if not, that comes when the process ends.
func (s *Server) abort() bool {
	_, minor, _ := strings.Cut(s.device, ":")
	if os.WriteFile("/sys/fs/fuse/connections/"+minor+"/abort", []byte("1"), 0) == nil {
		return true
	}
	if at, err := mountAt(s.m.dir); err != nil || at.device != s.device {
		return false
	}
	// By force it is cut off first, and then stays because it is in use.
	err := unix.Unmount(s.m.dir, unix.MNT_FORCE|unix.UMOUNT_NOFOLLOW)
	return err == nil || errors.Is(err, unix.EBUSY)
}

var _ fuse.RawFileSystem = (*mount)(nil)
