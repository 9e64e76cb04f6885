package store_test

import (
	"testing"
	"time"

	"tidemark/store"
	"tidemark/store/storetest"
)

func TestMem(t *testing.T) {
	t.Parallel()
	storetest.Test(t, func(*testing.T) store.Store { return newMem() })
}

// newMem returns a store in memory whose clock is this machine's, as the
// suite expects of every store.
func newMem() *store.Mem {
	m := store.NewMem()
	m.Now = time.Now
	return m
}
