package walk_test

import (
	"os/user"
	"sync"
	"testing"

	"tidemark/capture/walk"
)

func TestOwners(t *testing.T) {
	u, err := user.LookupId("0")
	must(t, err)
	g, err := user.LookupGroupId("0")
	must(t, err)
	const unknown = 4_000_000_003
	var o walk.Owners
	var askers sync.WaitGroup
	for range 4 {
		askers.Go(func() {
			for range 3 {
				for _, tt := range []struct {
					ask  func(uint32) (string, error)
					id   uint32
					want string
				}{
					{o.User, 0, u.Username}, {o.Group, 0, g.Name}, {o.User, unknown, ""}, {o.Group, unknown, ""},
				} {
					if got, err := tt.ask(tt.id); got != tt.want || err != nil {
						t.Errorf("name of %d = %q, %v; want %q", tt.id, got, err, tt.want)
					}
				}
			}
		})
	}
	askers.Wait()
}
