package capture

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/sys/unix"

	"tidemark/capture/walk"
	"tidemark/catalog"
)

// metadata fills in xattrs, and the flags of directories: from old if nothing
// of the inode changed. The error is a [fileError] if it is the entry's.
func (s *scanner) metadata(ctx context.Context, at place, row, old *catalog.Row) error {
	if s.unchanged(row, old) {
		takeMetadata(row, old)
		return nil
	}
	if row.Type == catalog.Dir && at.self != nil {
		flags, ok, err := at.self.Flags()
		if err != nil {
			return &fileError{err}
		}
		if ok {
			row.Xflags, row.Project = flags.X&settableFlags, flags.Project
		}
	}
	attrs, err := at.dir.Xattrs(at.entry)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return &fileError{err}
	}
	if len(attrs) > catalog.MaxXattrCount {
		return &fileError{errXattrs}
	}
	inline := 0
	for _, a := range attrs {
		if len(a.Value) <= catalog.MaxInlineXattr {
			inline += len(a.Name) + len(a.Value)
		}
	}
	if inline > maxXattrsLen {
		return &fileError{errXattrs}
	}
	for _, a := range attrs {
		x := catalog.Xattr{Name: a.Name, Value: a.Value}
		if len(a.Value) > catalog.MaxInlineXattr {
			id, at, err := s.reader.chunk(ctx, a.Value)
			if err != nil {
				return err
			}
			x = catalog.Xattr{Name: a.Name, ID: id, Len: uint32(len(a.Value)), Place: at}
		}
		row.Xattrs = append(row.Xattrs, x)
	}
	return nil
}

// maxXattrsLen bounds the xattrs that are kept in a node, in bytes: with the
// rest of it they must fit into a row.
const maxXattrsLen = 768 << 10

var errXattrs = errors.New("more extended attributes than a repository can hold")

func (s *scanner) target(at place, row, old *catalog.Row) (string, error) {
	if s.unchanged(row, old) {
		return old.Target, nil
	}
	target, err := at.dir.Readlink(at.entry)
	if err != nil {
		return "", &fileError{err}
	}
	return target, nil
}

// linked gives a file of several names the token of its group: the one that
// another name of it has in this point, or had in the parent, or a new one.
func (s *scanner) linked(at place, row, old *catalog.Row) error {
	st := &at.entry.Stat
	if st.Nlink < 2 {
		return nil
	}
	row.Links = st.Nlink
	ok, err := s.links.Get(st.Dev, st.Ino, row.Link[:])
	if err != nil || ok {
		return err
	}
	if old != nil && old.Links > 0 && old.Ino == row.Ino && old.FS == row.FS {
		row.Link = old.Link
	} else if _, err := io.ReadFull(s.c.Rand, row.Link[:]); err != nil {
		return fmt.Errorf("capture: random link group: %w", err)
	}
	return s.links.Put(st.Dev, st.Ino, row.Link[:])
}

// row returns what statx tells of an entry.
func (s *scanner) row(at place, old *catalog.Row) *catalog.Row {
	row := &catalog.Row{}
	row.Name = strings.Clone(at.entry.Name)
	row.FS = at.fs
	setStat(row, &at.entry.Stat)
	s.nameOwners(row, old)
	return row
}

// nameOwners sets the names of owner and group. If they cannot be found out
// now, those that the parent has stay: a directory service that is down must
// not change every page. Else the number is enough.
func (s *scanner) nameOwners(row, old *catalog.Row) {
	var err error
	if row.Owner, err = s.owners.User(row.UID); err != nil && old != nil && old.UID == row.UID {
		row.Owner = old.Owner
	}
	if row.Group, err = s.owners.Group(row.GID); err != nil && old != nil && old.GID == row.GID {
		row.Group = old.Group
	}
	row.Owner, row.Group = clip(row.Owner), clip(row.Group)
}

// clip leaves out a name that is longer than a node can hold.
func clip(name string) string {
	if len(name) > catalog.MaxNameLen {
		return ""
	}
	return name
}

// setStat sets what statx tells.
func setStat(row *catalog.Row, st *walk.Stat) {
	row.Type = typeOf(st.Mode)
	row.Mode = uint16(st.Mode & 0o7777)
	row.UID, row.GID = st.UID, st.GID
	row.Mtime, row.Ctime = catalog.Time(st.Mtime), catalog.Time(st.Ctime)
	row.HasBtime, row.Btime = st.HasBtime, catalog.Time(st.Btime)
	row.Ino = st.Ino
	row.Size = 0
	switch row.Type {
	case catalog.File:
		row.Size = uint64(st.Size)
	case catalog.CharDevice, catalog.BlockDevice:
		row.Major, row.Minor = st.RdevMajor, st.RdevMinor
	}
}

func typeOf(mode uint32) catalog.Type {
	switch mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return catalog.Dir
	case unix.S_IFLNK:
		return catalog.Symlink
	case unix.S_IFIFO:
		return catalog.Fifo
	case unix.S_IFSOCK:
		return catalog.Socket
	case unix.S_IFCHR:
		return catalog.CharDevice
	case unix.S_IFBLK:
		return catalog.BlockDevice
	}
	return catalog.File // a regular file; or nothing is known, and it is unreadable
}
