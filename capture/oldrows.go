package capture

import (
	"context"
	"fmt"

	"tidemark/catalog"
)

// oldRows are the rows of a directory in the parent, of which one is looked at.
type oldRows struct {
	rows *catalog.Listing // nil: none
	row  catalog.Row
	ok   bool
}

func (s *scanner) oldRows(ctx context.Context, dir *catalog.Node) (*oldRows, error) {
	o := &oldRows{}
	if dir == nil {
		return o, nil
	}
	o.rows = s.parent.Tree.List(dir, "")
	return o, o.next(ctx)
}

func (o *oldRows) next(ctx context.Context) (err error) {
	o.row, o.ok, err = o.rows.Next(ctx)
	if err != nil {
		return fmt.Errorf("capture: the point before: %w", err)
	}
	return nil
}

// upTo passes over the rows before name, or all that are left if name is
// empty, calling gone for each, and returns the row of that name or nil.
func (o *oldRows) upTo(ctx context.Context, name string, gone func(*catalog.Row) error) (*catalog.Row, error) {
	for o.ok && (name == "" || o.row.Name < name) {
		row := o.row
		if err := gone(&row); err != nil {
			return nil, err
		}
		if err := o.next(ctx); err != nil {
			return nil, err
		}
	}
	if !o.ok || o.row.Name != name {
		return nil, nil
	}
	row := o.row
	return &row, o.next(ctx)
}
