package store_test

import (
	"testing"

	"tidemark/store"
	"tidemark/store/storetest"
)

func TestMem(t *testing.T) {
	t.Parallel()
	storetest.Test(t, func(*testing.T) store.Store { return store.NewMem() })
}
