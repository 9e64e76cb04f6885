package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"tidemark/catalog"
	"tidemark/fetch"
	"tidemark/keys"
	"tidemark/pack"
	"tidemark/store"
)

// A repository is one that is open: its store, and as much of its keys as the
// user holds.
type repository struct {
	s     *settings
	name  string // as the user gave it
	store store.Store
	close func() error
	id    keys.RepositoryID

	mu   sync.Mutex
	said map[string]bool // notices; guarded by mu

	groups atomic.Pointer[[]string] // the trust groups of the hosts, once they were read

	secret  *keys.Secret     // nil with a capture-only key
	capture *keys.CaptureKey // nil with the secret
}

// openStore opens the repository's store and reads what it says of itself, but
// no key. use is what the command means to do.
func (s *settings) openStore(ctx context.Context, use catalog.Use) (*repository, error) {
	name, err := s.repository()
	if err != nil {
		return nil, err
	}
	if scheme, _, ok := strings.Cut(name, "://"); ok {
		return nil, coded{exitUsage, hint{fmt.Errorf("repository %s: this version keeps repositories in directories only, not in %s", quoteName(name), scheme),
			"-r DIRECTORY"}}
	}
	dir, err := store.OpenDir(name)
	if err != nil {
		return nil, noAccess(hint{fmt.Errorf("repository %s: %w", quoteName(name), err),
			"tidemark init -r " + quoteName(name) + ", if it is to be a new one; else look whether its disk is mounted"})
	}
	r := &repository{s: s, name: name, store: dir, close: dir.Close, said: map[string]bool{}}
	if err := r.identify(ctx, use); err != nil {
		_ = dir.Close()
		return nil, err
	}
	return r, nil
}

// identify reads tidemark.json, and what a program must know.
func (r *repository) identify(ctx context.Context, use catalog.Use) error {
	b, err := store.ReadAll(ctx, r.store, catalog.RepositoryObject, catalog.MaxRepositoryLen)
	if errors.Is(err, store.ErrNotExist) {
		return noAccess(hint{fmt.Errorf("%s is not a Tidemark repository: there is no %s in it", quoteName(r.name), catalog.RepositoryObject),
			"tidemark init -r " + quoteName(r.name) + ", if it is to be a new one"})
	}
	if err == nil {
		r.id, err = catalog.ParseRepository(b)
	}
	if err == nil {
		var features []catalog.Feature
		if features, err = r.roster().ReadFeatures(ctx); err == nil {
			err = catalog.CheckFeatures(features, use)
		}
	}
	if err != nil {
		return r.explain(fmt.Errorf("repository %s: %w", quoteName(r.name), err))
	}
	return nil
}

// explain gives an error of a repository its exit code, and a hint where one helps.
func (r *repository) explain(err error) error {
	switch {
	case errors.Is(err, pack.ErrTooOld):
		return noAccess(hint{err, "a newer version of Tidemark; this one is " + r.s.p.build.Version})
	case errors.Is(err, catalog.ErrNotRepository):
		return noAccess(err)
	}
	return err
}

func noAccess(err error) error { return coded{exitNoAccess, err} }

// openRepository opens the repository with the secret: everything can be read.
func (s *settings) openRepository(ctx context.Context, use catalog.Use) (*repository, error) {
	r, err := s.openStore(ctx, use)
	if err != nil {
		return nil, err
	}
	if err := r.unlock(ctx); err == nil && r.secret == nil {
		err = noAccess(hint{fmt.Errorf("repository %s: a capture-only key cannot read it", quoteName(r.name)),
			"the passphrase, or an identity that opens one of its keys"})
		_ = r.close()
		return nil, err
	} else if err != nil {
		_ = r.close()
		return nil, err
	}
	return r, nil
}

// unlock finds the key: a capture-only one, or the secret by an identity or a
// passphrase.
func (r *repository) unlock(ctx context.Context) error {
	files, err := r.s.identities()
	if err != nil {
		return err
	}
	var ids []keys.Identity
	for _, f := range files {
		if bytes.HasPrefix(f.data, []byte("tidemark capture-only key ")) {
			key, err := keys.ParseCaptureKey(f.data)
			if err == nil && key.Repository != r.id {
				err = errors.New("it is another repository's")
			}
			if err != nil {
				return noAccess(fmt.Errorf("capture-only key %s: %w", quoteName(f.file), err))
			}
			r.capture = key
			return nil
		}
		parsed, err := keys.ParseIdentities(f.data, r.ui(ctx))
		if err != nil {
			return noAccess(fmt.Errorf("%s: %w", quoteName(f.file), err))
		}
		ids = append(ids, parsed...)
	}
	keyFiles, err := r.readKeys(ctx)
	if err != nil {
		return err
	}
	if len(keyFiles) == 0 {
		return noAccess(fmt.Errorf("repository %s has no key: keys/ is empty, and without one nothing in it can be read", quoteName(r.name)))
	}
	if err := r.openWith(keyFiles, ids); err != nil || r.secret != nil {
		return err
	}
	return r.unlockByPassphrase(ctx, keyFiles, len(ids) > 0)
}

// ui lets keys ask the user.
func (r *repository) ui(ctx context.Context) keys.UI {
	return keys.UI{
		Secret: func(what string) ([]byte, error) {
			typed, err := r.s.passphrase(ctx, what)
			return []byte(typed.reveal()), err
		},
		Message: func(text string) { r.s.note("%s", text) },
	}
}

// unlockByPassphrase asks for the passphrase, if there is a key that has one.
func (r *repository) unlockByPassphrase(ctx context.Context, keyFiles []keyFile, triedIdentities bool) error {
	var sealed []keyFile
	for _, k := range keyFiles {
		if keys.HasPassphrase(k.data) {
			sealed = append(sealed, k)
		}
	}
	if len(sealed) == 0 || triedIdentities && r.s.passphraseFile == "" {
		what := "no identity was given, and no key of it has a passphrase"
		if triedIdentities {
			what = "no identity that was given opens any of its keys"
		}
		return noAccess(hint{fmt.Errorf("repository %s: %s", quoteName(r.name), what), "--identity FILE"})
	}
	typed, err := r.s.passphrase(ctx, r.name)
	if err != nil {
		return err
	}
	id, err := keys.PassphraseIdentity([]byte(typed.reveal()))
	if err != nil {
		return noAccess(err)
	}
	if err := r.openWith(sealed, []keys.Identity{id}); err != nil || r.secret != nil {
		return err
	}
	return noAccess(hint{fmt.Errorf("repository %s: wrong passphrase", quoteName(r.name)),
		"tidemark key list -r " + quoteName(r.name) + ", which shows what opens it"})
}

// A keyFile is an object of keys/.
type keyFile struct {
	object string
	label  string
	number uint64
	stored time.Time
	data   []byte
}

// readKeys reads all of keys/.
func (r *repository) readKeys(ctx context.Context) ([]keyFile, error) {
	var files []keyFile
	err := r.store.List(ctx, string(catalog.KeyArea)+"/", "", func(o store.Info) error {
		if name, err := catalog.ParseObjectName(o.Key); err == nil && o.Size <= keys.MaxKeyFile {
			files = append(files, keyFile{object: o.Key, label: name.Label, number: name.Number, stored: o.Time})
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("repository %s: list its keys: %w", quoteName(r.name), err)
	}
	for i := range files {
		if files[i].data, err = store.ReadAll(ctx, r.store, files[i].object, keys.MaxKeyFile); err != nil {
			return nil, fmt.Errorf("repository %s: %w", quoteName(r.name), err)
		}
	}
	return files, nil
}

// openWith opens the key files that ids open, and keeps the best secret.
func (r *repository) openWith(files []keyFile, ids []keys.Identity) error {
	if len(ids) == 0 {
		return nil
	}
	for _, f := range files {
		secret, err := keys.OpenSecret(f.data, ids)
		if errors.Is(err, keys.ErrWrongKey) {
			continue
		}
		if err == nil && secret.Repository != r.id {
			err = errors.New("it is the key of another repository")
		}
		if err != nil {
			r.s.p.warn("%s was passed over: %v", f.object, err)
			continue
		}
		if r.secret == nil || secret.Better(r.secret) {
			r.secret = secret
		}
	}
	return nil
}

// keyring returns what of the keys opens records.
func (r *repository) keyring() catalog.Keyring {
	switch {
	case r.secret != nil:
		return catalog.SecretKeyring(r.secret)
	case r.capture != nil:
		return catalog.CaptureKeyring(r.capture)
	}
	return catalog.Keyring{Repository: r.id}
}

func (r *repository) roster() catalog.Roster {
	return catalog.Roster{Objects: objects{r.store}, Keys: r.keyring()}
}

// fetcher returns what reads packs, with memory bytes to do it in (0: the default).
func (r *repository) fetcher(memory int64) (*fetch.Fetcher, error) {
	return fetch.New(fetch.Config{MemoryBytes: memory, Groups: r.groupNames}, r.id, r.store, r.secret)
}

// hosts returns the hosts that are enrolled.
func (r *repository) hosts(ctx context.Context) ([]catalog.Host, []catalog.Notice, error) {
	hosts, notices, err := r.roster().ReadHosts(ctx)
	if err != nil {
		return nil, nil, r.explain(fmt.Errorf("repository %s: %w", quoteName(r.name), err))
	}
	var groups []string
	for _, h := range hosts {
		groups = append(groups, h.Group)
	}
	r.groups.Store(&groups)
	return hosts, notices, nil
}

// groupNames returns the trust groups of the hosts that were read last.
func (r *repository) groupNames() []string {
	if groups := r.groups.Load(); groups != nil {
		return *groups
	}
	return nil
}

// stateDir returns the directory of what this machine remembers of the repository.
func (r *repository) stateDir() string {
	return filepath.Join(r.s.stateDir, r.id.String())
}

// say prints notices of objects that were passed over, each once.
func (r *repository) say(notices []catalog.Notice) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, n := range notices {
		if text := n.String(); !r.said[text] {
			r.said[text] = true
			r.s.p.warn("%s", text)
		}
	}
}

// objects makes a [catalog.Objects] of a store.
type objects struct{ store store.Store }

func (o objects) List(ctx context.Context, prefix, after string, fn func(string, int64, time.Time) error) error {
	return o.store.List(ctx, prefix, after, func(i store.Info) error { return fn(i.Key, i.Size, i.Time) })
}

func (o objects) Get(ctx context.Context, name string, limit int64) ([]byte, error) {
	b, err := store.ReadAll(ctx, o.store, name, limit)
	if errors.Is(err, store.ErrNotExist) {
		err = fmt.Errorf("%w (%w)", err, catalog.ErrNoObject)
	}
	return b, err
}

// put stores a small object.
func (r *repository) put(ctx context.Context, object string, b []byte) error {
	if err := r.store.Put(ctx, object, bytes.NewReader(b), int64(len(b))); err != nil {
		return fmt.Errorf("store %s: %w", object, err)
	}
	return nil
}

// enrol returns the key that host signs with: the secret derives it, and
// enrolment makes it known. A host that is new is enrolled.
func (r *repository) enrol(ctx context.Context, host string) (keys.PrivateKey, string, error) {
	hosts, notices, err := r.hosts(ctx)
	if err != nil {
		return keys.PrivateKey{}, "", err
	}
	r.say(notices)
	group := host
	for _, h := range hosts {
		if h.Name != host {
			continue
		}
		group = h.Group
		for n := uint32(1); n <= h.Enrolments; n++ {
			key := r.secret.HostKey(n, host)
			for _, known := range h.Keys {
				if bytes.Equal(known, key.Public()) {
					return key, group, nil
				}
			}
		}
		key, err := r.enrolNew(ctx, host, group, h.Enrolments+1)
		return key, group, err
	}
	key, err := r.enrolNew(ctx, host, group, 1)
	return key, group, err
}

// enrolNew enrols key n of those that the secret derives for host.
func (r *repository) enrolNew(ctx context.Context, host, group string, n uint32) (keys.PrivateKey, error) {
	key := r.secret.HostKey(n, host)
	return key, r.enrolKey(ctx, host, group, n, key)
}

// enrolKey makes key one that signs for host.
func (r *repository) enrolKey(ctx context.Context, host, group string, n uint32, key keys.PrivateKey) error {
	now := r.s.p.now()
	e := &catalog.Enrolment{
		Number: n, Host: host, Group: group, Key: key.Public(),
		Time: catalog.Time{Sec: now.Unix(), Nsec: uint32(now.Nanosecond())},
	}
	object, b, err := e.Seal(rand.Reader, r.keyring(), r.secret.Signing())
	if err == nil {
		err = r.put(ctx, object, b)
	}
	if err != nil {
		return fmt.Errorf("enrol host %s: %w", quoteName(host), err)
	}
	return nil
}
