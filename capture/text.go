package capture

import (
	"errors"
	"io/fs"
	"strconv"

	"tidemark/capture/walk"
	"tidemark/catalog"
)

// quote makes a path fit for a message: as it is if it is plain, else quoted.
func quote(path string) string {
	if path == "" {
		return "."
	}
	if q := strconv.Quote(path); q[1:len(q)-1] != path {
		return q
	}
	return path
}

// reason says in words why a node could not be captured whole. It stands in
// the point for as long as that is kept, so it is short and names no path.
func reason(err error) string {
	text := ""
	var path *fs.PathError
	switch {
	case errors.Is(err, errMoving):
		text = errMoving.Error()
	case errors.Is(err, walk.ErrVanished):
		text = "removed before it was read"
	case errors.Is(err, walk.ErrChanged):
		text = "replaced before it was read"
	case errors.As(err, &path):
		text = path.Op + ": " + path.Err.Error()
	default:
		text = innermost(err).Error()
	}
	return text[:min(len(text), catalog.MaxReasonLen)]
}

// innermost unwraps err as far as it goes.
func innermost(err error) error {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err
		}
		err = next
	}
}
