package main

import (
	"context"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"tidemark/catalog"
)

func lsCommand(p *program) *cli.Command {
	return &cli.Command{
		Name:      "ls",
		Category:  groupLook,
		Usage:     "list a directory as it was",
		ArgsUsage: "[PATH …]",
		Description: `PATH is a path in the mount, with or without the mount point before it. Nothing
has to be mounted.

Examples:
  tidemark ls
  tidemark ls daily
  tidemark ls -l latest/app
  tidemark ls --json daily/2019-07-18/app/config`,
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "long", Aliases: []string{"l"}, Usage: "show permissions, owners, sizes and times"},
			&cli.BoolFlag{Name: "recursive", Aliases: []string{"R"}, Usage: "list all that is below, too"},
			hostFlag(),
		},
		Action: p.action(list),
	}
}

// hostFlag is the option that says whose points stand at the top.
func hostFlag() cli.Flag {
	return &cli.StringFlag{Name: "host", Usage: "take paths from `HOST`'s points"}
}

func list(c *cli.Context, s *settings) error {
	r, err := s.openRepository(c.Context, catalog.Reading)
	if err != nil {
		return err
	}
	defer r.close()
	f, err := r.finder(c.Context, c.String("host"))
	if err != nil {
		return err
	}
	defer f.fetcher.Close()
	paths := c.Args().Slice()
	if len(paths) == 0 {
		paths = []string{""}
	}
	for _, path := range paths {
		got, err := f.find(c.Context, path)
		if err != nil {
			return err
		}
		l := &lister{s: s, long: c.Bool("long"), deep: c.Bool("recursive")}
		if err := l.list(c.Context, got); err != nil {
			return err
		}
	}
	return nil
}

// A lister prints listings.
type lister struct {
	s          *settings
	long, deep bool
}

func (l *lister) list(ctx context.Context, got *found) error {
	if got.point == nil {
		for _, name := range got.names {
			if err := l.directory(strings.TrimPrefix(got.path+"/"+name, "/"), name); err != nil {
				return err
			}
		}
		return nil
	}
	if got.node.Type != catalog.Dir {
		return l.node(got.path, got.path, &got.node)
	}
	return l.entries(ctx, got.tree, got.path, "", &got.node)
}

// directory prints a directory above points.
func (l *lister) directory(path, name string) error {
	if l.s.json {
		return l.s.p.printJSON(struct {
			jsonPath
			Type string `json:"type"`
		}{newJSONPath(path), "directory"})
	}
	_, err := fmt.Fprintln(l.s.p.out, l.s.p.shownName(name))
	return err
}

// entries prints what is in a directory of a point. shown is what stands before
// the names.
func (l *lister) entries(ctx context.Context, tree *catalog.Tree, path, shown string, dir *catalog.Node) error {
	if dir.Unreadable != "" {
		return fmt.Errorf("%s could not be captured: %s", quoteName(path), dir.Unreadable)
	}
	rows := tree.List(dir, "")
	for {
		row, ok, err := rows.Next(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", quoteName(path), err)
		}
		if !ok {
			return nil
		}
		if err := l.node(path+"/"+row.Name, shown+row.Name, &row.Node); err != nil {
			return err
		}
		if l.deep && row.Type == catalog.Dir && row.Unreadable == "" {
			if err := l.entries(ctx, tree, path+"/"+row.Name, shown+row.Name+"/", &row.Node); err != nil {
				return err
			}
		}
	}
}

// node prints one node.
func (l *lister) node(path, shown string, n *catalog.Node) error {
	p := l.s.p
	switch {
	case l.s.json:
		return p.printJSON(nodeJSON(path, n))
	case !l.long:
		_, err := fmt.Fprintln(p.out, p.shownName(shown))
		return err
	}
	name := p.shownName(shown)
	if n.Type == catalog.Symlink {
		name += " -> " + p.shownName(n.Target)
	}
	if n.Unreadable != "" {
		name += "  (not captured: " + cleanLine(n.Unreadable) + ")"
	}
	size := fmt.Sprint(n.Size)
	switch n.Type {
	case catalog.CharDevice, catalog.BlockDevice:
		size = fmt.Sprintf("%d,%d", n.Major, n.Minor)
	case catalog.Symlink:
		size = fmt.Sprint(len(n.Target))
	}
	_, err := fmt.Fprintf(p.out, "%s %2d %-8s %-8s %10s %s %s\n", modeString(n), max(n.Links, 1),
		ownerName(n.Owner, n.UID), ownerName(n.Group, n.GID), size,
		nodeTime(n.Mtime).In(l.s.zone).Format("2006-01-02 15:04:05"), name)
	return err
}

func ownerName(name string, id uint32) string {
	if name == "" {
		return fmt.Sprint(id)
	}
	return cleanLine(name)
}

func nodeTime(t catalog.Time) time.Time { return time.Unix(t.Sec, int64(t.Nsec)) }

// modeString returns type and permissions as ls shows them.
func modeString(n *catalog.Node) string {
	mode := fs.FileMode(n.Mode & 0o777)
	text := []byte("-" + mode.String()[1:])
	text[0] = "?-dlpscb"[min(int(n.Type), 7)]
	for _, bit := range []struct {
		mask uint16
		at   int
		mark byte
	}{{0o4000, 3, 's'}, {0o2000, 6, 's'}, {0o1000, 9, 't'}} {
		if n.Mode&bit.mask != 0 {
			if text[bit.at] == '-' {
				bit.mark -= 'a' - 'A'
			}
			text[bit.at] = bit.mark
		}
	}
	return string(text)
}

// nodeInfo is a node as JSON.
type nodeInfo struct {
	jsonPath
	Type       string    `json:"type"`
	Mode       string    `json:"mode"` // octal
	UID        uint32    `json:"uid"`
	GID        uint32    `json:"gid"`
	Owner      string    `json:"owner,omitempty"`
	Group      string    `json:"group,omitempty"`
	Size       uint64    `json:"size"`
	Mtime      time.Time `json:"mtime"`
	Links      uint32    `json:"links,omitempty"`
	Target     string    `json:"target,omitempty"`
	TargetB    []byte    `json:"target_bytes,omitempty"`
	Major      uint32    `json:"major,omitempty"`
	Minor      uint32    `json:"minor,omitempty"`
	Xattrs     []string  `json:"xattrs,omitempty"`
	Unreadable string    `json:"unreadable,omitempty"`
	Names      uint64    `json:"names_below,omitempty"`
	Bytes      uint64    `json:"bytes_below,omitempty"`
}

func nodeJSON(path string, n *catalog.Node) nodeInfo {
	info := nodeInfo{
		jsonPath: newJSONPath(path), Type: n.Type.String(), Mode: fmt.Sprintf("%04o", n.Mode),
		UID: n.UID, GID: n.GID, Owner: n.Owner, Group: n.Group, Size: n.Size,
		Mtime: nodeTime(n.Mtime).UTC(), Links: n.Links, Major: n.Major, Minor: n.Minor,
		Unreadable: n.Unreadable, Names: n.Below.Names, Bytes: n.Below.Bytes,
	}
	info.Target, info.TargetB = jsonName(n.Target)
	for _, x := range n.Xattrs {
		info.Xattrs = append(info.Xattrs, x.Name)
	}
	return info
}
