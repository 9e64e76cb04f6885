package restore_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tidemark/capture"
	"tidemark/catalog"
	"tidemark/chunk"
	"tidemark/fetch"
	"tidemark/keys"
	"tidemark/pack"
	"tidemark/restore"
	"tidemark/store"
)

// A repository is one that tests capture directories into.
type repository struct {
	t      testing.TB
	store  store.Store
	secret *keys.Secret
}

func newRepository(t testing.TB, s store.Store) *repository {
	t.Helper()
	secret, err := keys.Generate(rand.Reader, false)
	must(t, err)
	return &repository{t, s, secret}
}

// capture makes a point of dir and returns the name of its object.
func (r *repository) capture(dir string) string {
	r.t.Helper()
	key, err := r.secret.CaptureOnly("web", "web", r.secret.HostKey(1, "web"))
	must(r.t, err)
	c := &capture.Capturer{
		Key: key, Store: r.store, StateDir: r.t.TempDir(), TempDir: r.t.TempDir(),
		Rand: rand.Reader, Now: time.Now, Version: "test",
	}
	res, err := c.Capture(r.t.Context(), capture.Request{
		Source: capture.Source{Name: "app", Path: dir, CrossFilesystems: true}, Sequence: 1,
	})
	must(r.t, err)
	if res.Unreadable > 0 {
		r.t.Fatalf("%d files of the source could not be captured: %v", res.Unreadable, res.Point.Unreadable)
	}
	return res.Object
}

// open returns the tree of a point, and where its chunks come from.
func (r *repository) open(object string) (*catalog.Tree, restore.Chunks) {
	r.t.Helper()
	root, f := r.fetcher(object)
	tree, err := catalog.OpenTree(f, root)
	must(r.t, err)
	return tree, restore.FromFetcher(f)
}

// fetcher returns the root page of a point, and where the rest comes from.
func (r *repository) fetcher(object string) (root []byte, f *fetch.Fetcher) {
	r.t.Helper()
	b, err := store.ReadAll(r.t.Context(), r.store, object, 4<<20)
	must(r.t, err)
	segment, err := r.secret.Names().Host("web")
	must(r.t, err)
	signing := r.secret.HostKey(1, "web")
	host := catalog.Host{Name: "web", Segment: segment, Group: "web", Keys: []ed25519.PublicKey{signing.Public()}}
	p, err := catalog.OpenPoint(catalog.SecretKeyring(r.secret), host, object, b)
	must(r.t, err)
	f, err = fetch.New(fetch.Config{MemoryBytes: 32 << 20}, r.secret.Repository, r.store, r.secret)
	must(r.t, err)
	r.t.Cleanup(f.Close)
	return p.Root, f
}

// chunksFunc is a function as Chunks.
type chunksFunc func(ctx context.Context, id chunk.ID, at pack.Place) (restore.Piece, error)

func (f chunksFunc) Chunk(ctx context.Context, id chunk.ID, at pack.Place) (restore.Piece, error) {
	return f(ctx, id, at)
}

// verifier returns a Verifier for what capture made.
func (r *repository) verifier() restore.Verifier {
	group, err := r.secret.Group(r.secret.Epoch(), "web")
	must(r.t, err)
	return &verifier{keys: chunk.NewKeys(group.Secret())}
}

type verifier struct {
	keys  chunk.Keys
	asked atomic.Int64
}

func (v *verifier) VerifyChunk(_ context.Context, id chunk.ID, _ pack.Place, plain []byte) error {
	v.asked.Add(1)
	return v.keys.VerifyChunk(id, plain)
}

// notices collects what a restore tells.
type notices struct {
	mu  sync.Mutex
	all []restore.Failure // guarded by mu
}

func (n *notices) add(path string, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.all = append(n.all, restore.Failure{Path: path, Err: err})
}

// paths returns what was told of, in order of names.
func (n *notices) paths() (paths []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, f := range n.all {
		paths = append(paths, f.Path)
	}
	slices.Sort(paths)
	return paths
}

// must stops the test if err is not nil.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// write writes a file, making its directories.
func write(t testing.TB, path string, content []byte) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(t, os.WriteFile(path, content, 0o644))
}

// random returns n bytes that do not compress.
func random(n int) []byte {
	b := make([]byte, n)
	_, _ = io.ReadFull(rand.Reader, b)
	return b
}

// needRoot skips a test that an ordinary user cannot run.
func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: owners, devices, mounts and inode flags need root")
	}
}
