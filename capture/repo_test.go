package capture_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"tidemark/capture"
	"tidemark/catalog"
	"tidemark/chunk"
	"tidemark/keys"
	"tidemark/pack"
	"tidemark/store"
)

// A repository is one in memory, with what a test needs to write and to read it.
type repository struct {
	t      testing.TB
	store  store.Store
	secret *keys.Secret
	key    *keys.CaptureKey
	host   catalog.Host
	now    time.Time
	state  string

	parent *capture.Parent // of the next capture
}

func newRepository(t testing.TB, s store.Store) *repository {
	t.Helper()
	secret, err := keys.Generate(rand.Reader, false)
	if err != nil {
		t.Fatal(err)
	}
	signing := secret.HostKey(1, "web")
	key, err := secret.CaptureOnly("web", "web", signing)
	if err != nil {
		t.Fatal(err)
	}
	segment, err := secret.Names().Host("web")
	if err != nil {
		t.Fatal(err)
	}
	host := catalog.Host{Name: "web", Segment: segment, Group: "web", Keys: []ed25519.PublicKey{signing.Public()}}
	return &repository{
		t: t, store: s, secret: secret, key: key, host: host, state: t.TempDir(),
		now: time.Date(2026, 11, 20, 14, 0, 0, 0, time.UTC),
	}
}

// capturer returns a Capturer whose clock is the repository's.
func (r *repository) capturer() *capture.Capturer {
	return &capture.Capturer{
		Key: r.key, Store: r.store, StateDir: r.state, TempDir: r.t.TempDir(),
		Rand: rand.Reader, Now: func() time.Time { return r.now }, Version: "test",
		Notice: func(object string, err error) { r.t.Logf("notice: %s: %v", object, err) },
	}
}

// try captures dir from r.parent; if that works the point is the next parent.
func (r *repository) try(ctx context.Context, c *capture.Capturer, dir string, progress *capture.Progress) (*catalog.Opened, error) {
	req := capture.Request{
		Source: capture.Source{Name: "app", Path: dir}, Parent: r.parent, Sequence: 1, Progress: progress,
	}
	if r.parent != nil {
		req.Sequence = r.parent.Point.Sequence + 1
		req.Previous = &r.parent.Sum
	}
	res, err := c.Capture(ctx, req)
	if err != nil {
		return nil, err
	}
	p := r.open(res.Object)
	tree := r.tree(p)
	r.parent = &capture.Parent{Object: res.Object, Sum: p.Sum, Point: &p.Point, Tree: tree, Pages: r.pages()}
	return p, nil
}

// capture captures dir, an hour after the last time, and fails the test if that fails.
func (r *repository) capture(dir string) (*catalog.Opened, *capture.Progress) {
	r.t.Helper()
	r.now = time.Now().Add(time.Hour) // past what the files' times say
	progress := &capture.Progress{}
	p, err := r.try(r.t.Context(), r.capturer(), dir, progress)
	if err != nil {
		r.t.Fatal(err)
	}
	return p, progress
}

func (r *repository) open(object string) *catalog.Opened {
	r.t.Helper()
	b, err := store.ReadAll(r.t.Context(), r.store, object, 4<<20)
	if err != nil {
		r.t.Fatal(err)
	}
	p, err := catalog.OpenPoint(catalog.SecretKeyring(r.secret), r.host, object, b)
	if err != nil {
		r.t.Fatal(err)
	}
	return p
}

func (r *repository) tree(p *catalog.Opened) *catalog.Tree {
	r.t.Helper()
	tree, err := catalog.OpenTree(r.pages(), p.Root)
	if err != nil {
		r.t.Fatal(err)
	}
	return tree
}

func (r *repository) pages() *packReader {
	return &packReader{r: r, blocks: map[pack.Block][]byte{}, runs: map[keys.RunID]keys.RunSecret{}}
}

// packReader reads pieces straight from the packs in the store.
type packReader struct {
	r      *repository
	mu     sync.Mutex
	blocks map[pack.Block][]byte
	runs   map[keys.RunID]keys.RunSecret
}

func (p *packReader) Page(ctx context.Context, id chunk.ID, at pack.Place) ([]byte, error) {
	b, ids, err := p.piece(ctx, pack.TreePack, at)
	if err != nil {
		return nil, err
	}
	identity, err := pack.PageIdentity("", b)
	if err != nil {
		return nil, err
	}
	return b, ids.VerifyPage(id, identity)
}

func (p *packReader) chunk(ctx context.Context, id chunk.ID, at pack.Place) ([]byte, error) {
	b, ids, err := p.piece(ctx, pack.DataPack, at)
	if err != nil {
		return nil, err
	}
	return b, ids.VerifyChunk(id, b)
}

func (p *packReader) piece(ctx context.Context, kind pack.Kind, at pack.Place) ([]byte, chunk.Keys, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.r
	name, err := pack.ObjectName(r.secret.Names(), at.Host, at.Run, at.Pack)
	if err != nil {
		return nil, chunk.Keys{}, err
	}
	run, ok := p.runs[at.Run]
	if !ok {
		head := make([]byte, pack.MaxHeader)
		n, err := r.store.ReadAt(ctx, name, head, 0)
		if err != nil {
			return nil, chunk.Keys{}, err
		}
		h, err := pack.ParseHeader(head[:n], r.secret.Repository, name, kind)
		if err != nil {
			return nil, chunk.Keys{}, err
		}
		if run, err = r.secret.OpenRun(h.Sealed); err != nil {
			return nil, chunk.Keys{}, err
		}
		p.runs[at.Run] = run
	}
	group, err := r.secret.Group(run.Epoch, run.Group)
	if err != nil {
		return nil, chunk.Keys{}, err
	}
	ids := chunk.NewKeys(group.Secret())
	plain, ok := p.blocks[at.Block]
	if !ok {
		sealed := make([]byte, at.Sealed)
		if n, err := r.store.ReadAt(ctx, name, sealed, int64(at.Offset)); err != nil || n < len(sealed) {
			return nil, ids, fmt.Errorf("%s: %d of %d bytes: %v", name, n, len(sealed), err)
		}
		o := pack.NewOpener(r.secret.Repository, name, kind, run, at.Pack)
		if plain, err = o.OpenBlock(nil, at.Block, sealed); err != nil {
			return nil, ids, err
		}
		p.blocks[at.Block] = plain
	}
	return plain[at.Start : at.Start+at.Len : at.Start+at.Len], ids, nil
}

// content returns the bytes of a file.
func (r *repository) content(tree *catalog.Tree, pages *packReader, n *catalog.Node) ([]byte, error) {
	if n.Unreadable != "" {
		return nil, errors.New(n.Unreadable)
	}
	if n.Size <= catalog.MaxInlineLen {
		return n.Inline, nil
	}
	b := make([]byte, n.Size)
	extents := tree.Extents(n, 0)
	for {
		off, x, ok, err := extents.Next(r.t.Context())
		if err != nil || !ok {
			return b, err
		}
		if x.Zero {
			continue
		}
		data, err := pages.chunk(r.t.Context(), x.ID, x.Place)
		if err != nil {
			return nil, err
		}
		copy(b[off:], data)
	}
}

// compare fails the test unless the tree of p is dir: names, contents, modes and times.
func (r *repository) compare(p *catalog.Opened, dir string) {
	r.t.Helper()
	tree, pages := r.tree(p), r.pages()
	want := map[string]bool{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, path)
		if rel == "." {
			rel = ""
		}
		want[rel] = true
		n, err := tree.Resolve(r.t.Context(), rel)
		if err != nil {
			return fmt.Errorf("%q is not in the point: %w", rel, err)
		}
		return r.compareNode(tree, pages, &n, path)
	})
	if err != nil {
		r.t.Fatal(err)
	}
	for path := range maps.Keys(r.paths(tree)) {
		if !want[path] {
			r.t.Errorf("%q is in the point and not in the source", path)
		}
	}
}

func (r *repository) compareNode(tree *catalog.Tree, pages *packReader, n *catalog.Node, path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if uint32(n.Mode&0o777) != uint32(info.Mode().Perm()) {
		r.t.Errorf("%s: mode %o, want %o", path, n.Mode, info.Mode().Perm())
	}
	if got, want := time.Unix(n.Mtime.Sec, int64(n.Mtime.Nsec)), info.ModTime(); !got.Equal(want) {
		r.t.Errorf("%s: mtime %v, want %v", path, got, want)
	}
	switch {
	case info.Mode().IsRegular():
		got, err := r.content(tree, pages, n)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		want, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if string(got) != string(want) {
			r.t.Errorf("%s: %d bytes differ from %d", path, len(got), len(want))
		}
	case info.Mode()&os.ModeSymlink != 0:
		if want, _ := os.Readlink(path); n.Target != want {
			r.t.Errorf("%s: target %q, want %q", path, n.Target, want)
		}
	}
	return nil
}

// paths returns all paths of the tree, each with its node.
func (r *repository) paths(tree *catalog.Tree) map[string]catalog.Node {
	r.t.Helper()
	found := map[string]catalog.Node{}
	var walk func(path string, n *catalog.Node)
	walk = func(path string, n *catalog.Node) {
		found[path] = *n
		if n.Type != catalog.Dir || n.Unreadable != "" {
			return
		}
		rows := tree.List(n, "")
		for {
			row, ok, err := rows.Next(r.t.Context())
			if err != nil {
				r.t.Fatal(err)
			}
			if !ok {
				return
			}
			walk(filepath.Join(path, row.Name), &row.Node)
		}
	}
	root := tree.Root()
	walk("", &root.Node)
	return found
}

// usage returns the usage that p says.
func (r *repository) usage(p *catalog.Opened) map[string][2]uint64 {
	r.t.Helper()
	rows, err := catalog.OpenUsage(r.pages(), p.Usage)
	if err != nil {
		r.t.Fatal(err)
	}
	u := map[string][2]uint64{}
	for {
		row, ok, err := rows.Next(r.t.Context())
		if err != nil {
			r.t.Fatal(err)
		}
		if !ok {
			return u
		}
		u[fmt.Sprintf("%v/%d", row.Run, row.N)] = [2]uint64{row.Refs, row.Bytes}
	}
}

// recount returns the usage of p's tree, counted by walking all of it.
func (r *repository) recount(p *catalog.Opened) map[string][2]uint64 {
	r.t.Helper()
	u := map[string][2]uint64{}
	pages := r.pages()
	count := func(page *catalog.Page) {
		err := catalog.PageUsage(page, func(at pack.Place) {
			key := fmt.Sprintf("%v/%d", at.Run, at.Pack)
			u[key] = [2]uint64{u[key][0] + 1, u[key][1] + uint64(at.Len)}
		})
		if err != nil {
			r.t.Fatal(err)
		}
	}
	var walk func(page *catalog.Page)
	follow := func(ref catalog.Ref) {
		if ref.IsZero() {
			return
		}
		b, err := pages.Page(r.t.Context(), ref.ID, ref.Place)
		if err != nil {
			r.t.Fatal(err)
		}
		page, err := catalog.ParsePage(b, ref.Place.Block)
		if err != nil {
			r.t.Fatal(err)
		}
		walk(page)
	}
	walk = func(page *catalog.Page) {
		count(page)
		for i := range page.Len() {
			if page.Level() > 0 {
				b, err := page.Interior(i)
				if err != nil {
					r.t.Fatal(err)
				}
				follow(b.Ref)
			} else if page.Kind() == catalog.DirPage {
				row, err := page.Row(i)
				if err != nil {
					r.t.Fatal(err)
				}
				follow(row.Child)
				follow(row.List)
			}
		}
	}
	root, err := catalog.ParsePage(p.Root, pack.Block{})
	if err != nil {
		r.t.Fatal(err)
	}
	walk(root)
	return u
}

// write writes a file below dir, making its directories.
func write(t testing.TB, path string, content []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
}

// random returns n bytes that do not compress.
func random(n int) []byte {
	b := make([]byte, n)
	_, _ = io.ReadFull(rand.Reader, b)
	return b
}
