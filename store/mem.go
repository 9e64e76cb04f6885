package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"time"
)

// Mem is a [Store] in memory, for tests. Unlike other stores it always refuses
// a key that is another's directory, since no caller should try it.
type Mem struct {
	// Now is the clock that Info.Time comes from. Set it before the first
	// use of the store. Nil means one that goes on by a second at each Put.
	Now func() time.Time

	mu      sync.Mutex
	puts    int64                // guarded by mu
	objects map[string]memObject // guarded by mu
	dirs    map[string]int       // how many objects are below each; guarded by mu
}

type memObject struct {
	data []byte // never changed
	time time.Time
}

// NewMem returns an empty store.
func NewMem() *Mem {
	return &Mem{objects: make(map[string]memObject), dirs: make(map[string]int)}
}

// Put implements [Store].
func (m *Mem) Put(ctx context.Context, key string, body io.ReaderAt, size int64) error {
	if err := checkPut(key, size); err != nil {
		return err
	}
	data := make([]byte, 0, size)
	err := pieces(ctx, body, size, func(piece []byte) error {
		data = append(data, piece...)
		return nil
	})
	if err == nil {
		err = m.put(key, data)
	}
	if err != nil {
		return fmt.Errorf("store: put %s: %w", key, err)
	}
	return nil
}

func (m *Mem) put(key string, data []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.puts++
	at := time.Unix(m.puts, 0)
	if m.Now != nil {
		at = m.Now()
	}
	if _, ok := m.objects[key]; ok {
		return ErrExist
	}
	if m.dirs[key] > 0 {
		return errors.New("other objects have this key as their directory")
	}
	for dir := path.Dir(key); dir != "."; dir = path.Dir(dir) {
		if _, ok := m.objects[dir]; ok {
			return fmt.Errorf("a part of its key, %s, is itself an object", dir)
		}
	}
	m.objects[key] = memObject{data, at}
	for dir := path.Dir(key); dir != "."; dir = path.Dir(dir) {
		m.dirs[dir]++
	}
	return nil
}

// ReadAt implements [Store].
func (m *Mem) ReadAt(ctx context.Context, key string, p []byte, off int64) (int, error) {
	if err := checkRead(key, off); err != nil {
		return 0, err
	}
	o, err := m.object(ctx, key)
	if err != nil {
		return 0, fmt.Errorf("store: read %s: %w", key, err)
	}
	return copy(p, o.data[min(off, int64(len(o.data))):]), nil
}

// Stat implements [Store].
func (m *Mem) Stat(ctx context.Context, key string) (Info, error) {
	if err := ValidKey(key); err != nil {
		return Info{}, err
	}
	o, err := m.object(ctx, key)
	if err != nil {
		return Info{}, fmt.Errorf("store: stat %s: %w", key, err)
	}
	return Info{key, int64(len(o.data)), o.time}, nil
}

func (m *Mem) object(ctx context.Context, key string) (memObject, error) {
	if err := ctx.Err(); err != nil {
		return memObject{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	o, ok := m.objects[key]
	if !ok {
		return memObject{}, ErrNotExist
	}
	return o, nil
}

// List implements [Store].
func (m *Mem) List(ctx context.Context, prefix, after string, fn func(Info) error) error {
	m.mu.Lock()
	keys := slices.Sorted(maps.Keys(m.objects))
	m.mu.Unlock()
	for _, key := range keys {
		if !strings.HasPrefix(key, prefix) || key <= after {
			continue
		}
		o, err := m.object(ctx, key)
		if err == ErrNotExist {
			continue // deleted meanwhile
		} else if err != nil {
			return fmt.Errorf("store: list %q: %w", prefix, err)
		}
		if err := fn(Info{key, int64(len(o.data)), o.time}); err != nil {
			return err
		}
	}
	return nil
}

// Delete implements [Store].
func (m *Mem) Delete(ctx context.Context, key string) error {
	if err := ValidKey(key); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("store: delete %s: %w", key, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.objects[key]; !ok {
		return nil
	}
	delete(m.objects, key)
	for dir := path.Dir(key); dir != "."; dir = path.Dir(dir) {
		if m.dirs[dir]--; m.dirs[dir] == 0 {
			delete(m.dirs, dir)
		}
	}
	return nil
}
