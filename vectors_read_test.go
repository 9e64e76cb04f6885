package tidemark_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"tidemark/catalog"
	"tidemark/chunk"
	"tidemark/keys"
	"tidemark/pack"
)

// Fields are what an object holds, in the order of docs/format.md. As JSON,
// integers are numbers; fixed bytes (ids, keys) are hex; and bytes after their
// length are a text of as many characters, U+0000 to U+00FF.
type fields []field

type field struct {
	name  string
	value any
}

// MarshalJSON implements [json.Marshaler]: an object in the order of f.
func (f fields) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, x := range f {
		if i > 0 {
			b.WriteByte(',')
		}
		value, err := json.Marshal(x.value)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&b, "%q:%s", x.name, value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// text is how bytes after their length are told.
func text[T string | []byte](s T) string {
	runes := make([]rune, len(s))
	for i := range len(s) {
		runes[i] = rune(s[i])
	}
	return string(runes)
}

func texts(list []string) []string {
	out := make([]string, 0, len(list))
	for _, s := range list {
		out = append(out, text(s))
	}
	return out
}

func hexOf(b []byte) string { return hex.EncodeToString(b) }

// each returns what f makes of the items of list; never nil.
func each[T any](list []T, f func(T) fields) []fields {
	out := make([]fields, 0, len(list))
	for _, x := range list {
		out = append(out, f(x))
	}
	return out
}

func timeFields(t catalog.Time) fields {
	return fields{{"seconds", t.Sec}, {"nanoseconds", t.Nsec}}
}

func extFields(x pack.Ext) fields {
	return fields{{"id", x.ID}, {"value", text(x.Value)}}
}

// read reads a vector as this program reads such an object, and returns its
// fields as JSON.
func (w *vectorWorld) read(v *vector) (string, error) {
	readers := map[string]func(*vector) (fields, error){
		"tidemark.json": w.readRepository,
		"secret":        w.readSecret,
		"capture-only":  w.readCaptureKey,
		"name":          w.readName,
		"pack":          w.readPack,
		"page":          w.readPage,
		"extents":       w.readExtents,
		"cuts":          w.readCuts,
		"index":         w.readIndex,
		"point":         w.readPoint,
		"intent":        w.readPoint,
		"mark":          w.readMark,
		"rules":         w.readRules,
		"condemned":     w.readCondemned,
		"moved":         w.readMoved,
		"enrolment":     w.readEnrolment,
		"feature":       w.readFeature,
	}
	read, ok := readers[v.kind]
	if !ok {
		return "", fmt.Errorf("%s: docs/format.md knows no type %q", v.name, v.kind)
	}
	found, err := read(v)
	if err != nil {
		return "", err
	}
	b, err := json.Marshal(found)
	return string(b), err
}

// again is an error unless encoding what was read gives the bytes that it was
// read from.
func again(v *vector, encoded []byte) error {
	if !bytes.Equal(encoded, v.body) {
		return fmt.Errorf("%s: what was read encodes to other bytes", v.name)
	}
	return nil
}

func (w *vectorWorld) readRepository(v *vector) (fields, error) {
	id, err := catalog.ParseRepository(v.body)
	if err != nil {
		return nil, err
	}
	return fields{{"format", 1}, {"repository", id.String()}}, again(v, catalog.EncodeRepository(id))
}

// readSecret returns what is derived from the secret; what stands in it is
// there to see.
func (w *vectorWorld) readSecret(v *vector) (fields, error) {
	s, err := keys.ParseSecret(v.body)
	if err != nil {
		return nil, err
	}
	var groups []fields
	for _, epoch := range s.Epochs() {
		for _, name := range []string{"server", "café"} {
			g, err := s.Group(epoch, name)
			if err != nil {
				return nil, err
			}
			secret, id := g.Secret(), g.IndexID()
			ids := chunk.NewKeys(secret)
			groups = append(groups, fields{
				{"epoch", epoch}, {"name", text(name)}, {"secret", hexOf(secret[:])}, {"index id", hexOf(id[:])},
				{"id of the chunk abc", ids.ChunkID([]byte("abc")).String()}, {"id of the page abc", ids.PageID([]byte("abc")).String()},
			})
		}
	}
	chunking := s.Chunking()
	return fields{
		{"repository", s.Repository.String()}, {"chunking", hexOf(chunking[:])}, {"verify", hexOf(s.Verify())},
		{"host key 3 of server", hexOf(s.HostKey(3, "server").Public())}, {"groups", groups},
	}, again(v, s.Encode())
}

func (w *vectorWorld) readCaptureKey(v *vector) (fields, error) {
	k, err := keys.ParseCaptureKey(v.body)
	if err != nil {
		return nil, err
	}
	secret, chunking := k.Group.Secret(), k.Chunking()
	group := fields{{"epoch", k.Group.Epoch}, {"secret", hexOf(secret[:])}, {"name", text(k.Group.Name)}}
	return fields{
		{"repository", k.Repository.String()}, {"host", text(k.Host)}, {"group", group}, {"recipient", k.Recipient},
		{"chunking", hexOf(chunking[:])}, {"public", hexOf(k.Signing().Public())}, {"verify", hexOf(k.Verify())},
	}, again(v, k.Encode())
}

func (w *vectorWorld) readName(v *vector) (fields, error) {
	names := w.secret.Names()
	host := v.input("host")
	if host == "" {
		name, err := names.OpenHost(string(v.body))
		if err != nil {
			return nil, err
		}
		segment, err := names.Host(name)
		if err != nil {
			return nil, err
		}
		return fields{{"name", text(name)}}, again(v, []byte(segment))
	}
	name, err := names.OpenSource(host, string(v.body))
	if err != nil {
		return nil, err
	}
	segment, err := names.Source(host, name)
	if err != nil {
		return nil, err
	}
	return fields{{"name", text(name)}}, again(v, []byte(segment))
}

// signedHost is the host of a vector, with the keys that may sign for it.
func (w *vectorWorld) signedHost(v *vector) (catalog.Host, error) {
	host := w.host
	host.Keys = nil
	for word := range strings.FieldsSeq(v.input("signers")) {
		key, err := hex.DecodeString(word)
		if err != nil {
			return catalog.Host{}, err
		}
		host.Keys = append(host.Keys, ed25519.PublicKey(key))
	}
	return host, nil
}

func (w *vectorWorld) readEnrolment(v *vector) (fields, error) {
	e, err := catalog.OpenEnrolment(w.keyring, v.object, v.body)
	if err != nil {
		return nil, err
	}
	action := 1
	if e.Revoke {
		action = 2
	}
	return fields{
		{"host", text(e.Host)}, {"action", action}, {"key", hexOf(e.Key)}, {"group", text(e.Group)},
		{"time", timeFields(e.Time)}, {"ext", each(e.Ext, extFields)},
	}, w.sealsAgain(v, "enrolment", e.Encode())
}

// sealsAgain is an error unless body, sealed and signed as records of a kind
// are, is the vector's object.
func (w *vectorWorld) sealsAgain(v *vector, kind string, body []byte) error {
	return again(v, w.seal(w.sealing(kind), v.object, body))
}

func (w *vectorWorld) readRules(v *vector) (fields, error) {
	r, err := catalog.OpenRules(w.keyring, v.object, v.body)
	if err != nil {
		return nil, err
	}
	return fields{
		{"zone", text(r.Zone)},
		{"rules", each(r.Rules, func(r catalog.Rule) fields {
			return fields{
				{"host", text(r.Host)}, {"source", text(r.Source)}, {"last", r.Keep.Last}, {"hourly", r.Keep.Hourly},
				{"daily", r.Keep.Daily}, {"weekly", r.Keep.Weekly}, {"monthly", r.Keep.Monthly}, {"yearly", r.Keep.Yearly},
			}
		})},
		{"time", timeFields(r.Time)}, {"ext", each(r.Ext, extFields)},
	}, w.sealsAgain(v, "rules", r.Encode())
}

func (w *vectorWorld) readMark(v *vector) (fields, error) {
	host, err := w.signedHost(v)
	if err != nil {
		return nil, err
	}
	m, err := catalog.OpenMark(w.keyring, host, v.object, v.body)
	if err != nil {
		return nil, err
	}
	kind := "mark"
	if m.Signer == catalog.ByHost {
		kind = "host mark"
	}
	return fields{
		{"signer", m.Signer}, {"kind", m.Kind}, {"host", text(m.Host)}, {"source", text(m.Source)}, {"point", m.Point.String()},
		{"time", timeFields(m.Time)}, {"end", timeFields(m.End)}, {"text", text(m.Text)}, {"bytes", m.Bytes}, {"ext", each(m.Ext, extFields)},
	}, w.sealsAgain(v, kind, m.Encode())
}

func (w *vectorWorld) readCondemned(v *vector) (fields, error) {
	c, err := catalog.OpenCondemned(w.keyring, v.object, v.body)
	if err != nil {
		return nil, err
	}
	return fields{
		{"reason", c.Reason}, {"time", timeFields(c.Time)},
		{"packs", each(c.Packs, func(p catalog.CondemnedPack) fields {
			return fields{{"host", text(p.Host)}, {"run", p.Run.String()}, {"number", p.Number}}
		})},
		{"ext", each(c.Ext, extFields)},
	}, w.sealsAgain(v, "condemned", c.Encode())
}

func (w *vectorWorld) readFeature(v *vector) (fields, error) {
	f, err := catalog.ParseFeature(w.secret.Repository, v.object, v.body)
	if err != nil {
		return nil, err
	}
	return fields{{"needed", f.Needed}, {"text", text(f.Text)}, {"ext", each(f.Ext, extFields)}}, w.sealsAgain(v, "feature", f.Encode())
}

func packedFields(b pack.DirBlock) fields {
	return fields{
		{"offset", b.Offset}, {"sealed", b.Sealed}, {"plain", b.Plain}, {"codec", b.Codec},
		{"pieces", each(b.Pieces, func(p pack.Piece) fields { return fields{{"id", p.ID.String()}, {"length", p.Len}} })},
	}
}

func (w *vectorWorld) readIndex(v *vector) (fields, error) {
	body, _, err := pack.OpenRecord(pack.Index, w.secret.Repository, v.object, v.body, w.keyring.Ring)
	if err != nil {
		return nil, err
	}
	x, err := pack.ParseIndex(v.object, body)
	if err != nil {
		return nil, err
	}
	return fields{
		{"packs", each(x.Packs, func(p pack.IndexPack) fields {
			return fields{{"number", p.N}, {"blocks", each(p.Blocks, packedFields)}}
		})},
		{"ext", each(x.Ext, extFields)},
	}, w.sealsAgain(v, "index", pack.EncodeIndex(x))
}

func (w *vectorWorld) readMoved(v *vector) (fields, error) {
	signed, _, err := pack.OpenRecord(pack.Moved, w.secret.Repository, v.object, v.body, w.keyring.Ring)
	if err != nil {
		return nil, err
	}
	body, err := pack.VerifyBody(pack.Moved, w.secret.Repository, v.object, signed, w.secret.Verify())
	if err != nil {
		return nil, err
	}
	m, err := pack.ParseMoved(v.object, body)
	if err != nil {
		return nil, err
	}
	return fields{
		{"moves", each(m.Moves, func(m pack.Move) fields {
			return fields{{"ordinal", m.Ordinal}, {"offset", m.Start}, {"id", m.ID.String()}, {"to", placeFields(m.To)}}
		})},
		{"ext", each(m.Ext, extFields)},
	}, w.sealsAgain(v, "moved", pack.EncodeMoved(m))
}

func (w *vectorWorld) readPoint(v *vector) (fields, error) {
	host, err := w.signedHost(v)
	if err != nil {
		return nil, err
	}
	p, err := catalog.OpenPoint(w.keyring, host, v.object, v.body)
	if err != nil {
		return nil, err
	}
	flags := 0
	for bit, set := range []bool{p.Complete, p.Snapshot != nil, p.Fresh} {
		if set {
			flags |= 1 << bit
		}
	}
	var snapshot catalog.Snapshot
	if p.Snapshot != nil {
		snapshot = *p.Snapshot
	}
	crossed := 0
	if p.Crossed {
		crossed = 1
	}
	return fields{
		{"host", text(p.Host)}, {"source", text(p.Source)}, {"sequence", p.Sequence}, {"flags", flags}, {"time", p.Time.Unix()},
		{"instant", timeFields(p.Instant)}, {"began", timeFields(p.Began)}, {"ended", timeFields(p.Ended)},
		{"name", text(p.Title)}, {"path", text(p.Path)},
		{"snapshotter", text(snapshot.Snapshotter)}, {"snapshot", text(snapshot.Name)}, {"guid", snapshot.GUID},
		{"set", each(p.Set, func(m catalog.Member) fields { return fields{{"source", text(m.Source)}, {"sequence", m.Sequence}} })},
		{"previous", hexOf(p.Previous[:])}, {"read", p.ReadBytes}, {"changed", p.ChangedFiles}, {"new", p.NewBytes}, {"added", p.AddedBytes},
		{"unreadable", p.UnreadableCount},
		{"listed", each(p.Unreadable, func(u catalog.Unreadable) fields {
			return fields{{"path", text(u.Path)}, {"reason", text(u.Reason)}}
		})},
		{"crossed", crossed}, {"excludes", texts(p.Excludes)}, {"version", text(p.Version)},
		{"root", text(p.Root)}, {"usage", text(p.Usage)}, {"ext", each(p.Ext, extFields)},
	}, w.sealsAgain(v, v.kind, p.Encode())
}

func (w *vectorWorld) readPack(v *vector) (fields, error) {
	kind, err := strconv.Atoi(v.input("kind"))
	if err != nil {
		return nil, err
	}
	h, err := pack.Check(v.body, w.secret.Repository, v.object, pack.Kind(kind))
	if err != nil {
		return nil, err
	}
	opener, err := h.Opener(w.keyring.Ring)
	if err != nil {
		return nil, err
	}
	dir, err := opener.OpenDirectory(v.body, int64(len(v.body)), h.Len)
	if err != nil {
		return nil, err
	}
	var plains []string
	for i, b := range dir.Blocks {
		at := pack.Block{Run: h.Run, Pack: h.N, Ordinal: uint32(i), Offset: b.Offset, Sealed: b.Sealed, Plain: b.Plain, Codec: b.Codec}
		plain, err := opener.OpenBlock(nil, at, v.body[b.Offset:][:b.Sealed])
		if err != nil {
			return nil, err
		}
		plains = append(plains, text(plain))
		for _, p := range b.Pieces {
			piece := plain[:p.Len]
			plain = plain[p.Len:]
			if err := w.verifyPiece(pack.Kind(kind), v.object, p.ID, piece); err != nil {
				return nil, err
			}
		}
	}
	return fields{
		{"run", h.Run.String()}, {"number", h.N}, {"begin", h.Len}, {"blocks", each(dir.Blocks, packedFields)},
		{"plain", plains}, {"ext", each(dir.Ext, extFields)},
	}, nil
}

func (w *vectorWorld) verifyPiece(kind pack.Kind, object string, id chunk.ID, piece []byte) error {
	if kind == pack.DataPack {
		return w.ids.VerifyChunk(id, piece)
	}
	identity, err := pack.PageIdentity(object, piece)
	if err != nil {
		return err
	}
	return w.ids.VerifyPage(id, identity)
}

func blockFields(b pack.Block) fields {
	return fields{
		{"run", b.Run.String()}, {"host", text(b.Host)}, {"pack", b.Pack}, {"ordinal", b.Ordinal}, {"offset", b.Offset},
		{"sealed", b.Sealed}, {"plain", b.Plain}, {"codec", b.Codec},
	}
}

func placeFields(p pack.Place) fields {
	return fields{{"block", blockFields(p.Block)}, {"offset", p.Start}, {"length", p.Len}}
}

// blockOf returns the block that a vector's page lies in, or none.
func blockOf(v *vector) (pack.Block, error) {
	if v.input("block") == "" {
		return pack.Block{}, nil
	}
	var f struct {
		Run           string
		Host          string
		Pack, Ordinal uint32
		Offset        uint64
		Sealed, Plain uint32
		Codec         uint8
	}
	if err := json.Unmarshal([]byte(v.input("block")), &f); err != nil {
		return pack.Block{}, err
	}
	run, err := keys.ParseRunID(f.Run)
	return pack.Block{Host: f.Host, Run: run, Pack: f.Pack, Ordinal: f.Ordinal, Offset: f.Offset, Sealed: f.Sealed, Plain: f.Plain, Codec: f.Codec}, err
}

func (w *vectorWorld) readPage(v *vector) (fields, error) {
	self, err := blockOf(v)
	if err != nil {
		return nil, err
	}
	if v.input("id") != "" {
		id, err := chunk.ParseID(v.input("id"))
		if err != nil {
			return nil, err
		}
		if err := w.verifyPiece(pack.TreePack, v.name, id, v.body); err != nil {
			return nil, err
		}
	}
	p, err := catalog.ParsePage(v.body, self)
	if err != nil {
		return nil, err
	}
	rows := make([]fields, 0, p.Len())
	for i := range p.Len() {
		row, err := rowFields(p, i)
		if err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	if err := catalog.CheckPage(v.body, self); err != nil {
		return nil, err
	}
	if v.input("parent") != "" {
		if err := w.readBelow(v, self); err != nil {
			return nil, err
		}
	}
	return fields{{"kind", p.Kind()}, {"level", p.Level()}, {"rows", rows}}, nil
}

func rowFields(p *catalog.Page, i int) (fields, error) {
	if p.Level() > 0 {
		br, err := p.Interior(i)
		return branchFields(p.Kind(), &br), err
	}
	switch p.Kind() {
	case catalog.ListPage:
		x, err := p.Extent(i)
		return extentFields(x), err
	case catalog.UsagePage:
		r, err := p.Usage(i)
		return fields{
			{"run", r.Run.String()}, {"number", r.N}, {"host", text(r.Host)}, {"references", r.Refs}, {"bytes", r.Bytes},
		}, err
	}
	r, err := p.Row(i)
	return append(nodeFields(&r.Node), field{"hints", hintFields(&r.Hints)}), err
}

func branchFields(kind catalog.PageKind, br *catalog.Branch) fields {
	f := fields{}
	switch kind {
	case catalog.DirPage:
		f = append(f, field{"first", text(br.First)})
	case catalog.UsagePage:
		f = append(f, field{"first", hexOf([]byte(br.First))})
	}
	f = append(f, field{"id", br.Ref.ID.String()})
	names := map[catalog.PageKind][]string{
		catalog.DirPage:   {"names", "files", "directories", "bytes"},
		catalog.ListPage:  {"bytes", "extents"},
		catalog.UsagePage: {"packs", "references", "bytes"},
	}
	for i, name := range names[kind] {
		f = append(f, field{name, br.Sums[i]})
	}
	return append(f, field{"place", placeFields(br.Ref.Place)})
}

func extentFields(x catalog.Extent) fields {
	if x.Zero {
		return fields{{"length", x.Len}}
	}
	return fields{{"length", x.Len}, {"id", x.ID.String()}, {"place", placeFields(x.Place)}}
}

func hintFields(h *catalog.Hints) fields {
	f := fields{{"ctime", timeFields(h.Ctime)}, {"inode", h.Ino}, {"filesystem", h.FS}, {"allocation", h.Alloc}}
	if h.Alloc == catalog.HolesListed {
		f = append(f, field{"holes", each(h.Holes, func(r catalog.Range) fields { return fields{{"offset", r.Off}, {"length", r.Len}} })})
	}
	return f
}

func nodeFields(n *catalog.Node) fields {
	f := fields{
		{"name", text(n.Name)}, {"type", n.Type}, {"mode", n.Mode}, {"uid", n.UID}, {"gid", n.GID},
		{"owner", text(n.Owner)}, {"group", text(n.Group)}, {"mtime", timeFields(n.Mtime)},
	}
	if n.HasBtime {
		f = append(f, field{"birth", timeFields(n.Btime)})
	}
	if n.Links > 0 {
		f = append(f, field{"link group", hexOf(n.Link[:])}, field{"links", n.Links})
	}
	if n.Xflags != 0 || n.Project != 0 {
		f = append(f, field{"inode flags", n.Xflags}, field{"project", n.Project})
	}
	f = append(f, field{"xattrs", each(n.Xattrs, func(x catalog.Xattr) fields {
		if x.Len == 0 {
			return fields{{"name", text(x.Name)}, {"value", text(x.Value)}}
		}
		return fields{{"name", text(x.Name)}, {"length", x.Len}, {"id", x.ID.String()}, {"place", placeFields(x.Place)}}
	})})
	return append(append(f, contentFields(n)...), field{"ext", each(n.Ext, extFields)})
}

func contentFields(n *catalog.Node) fields {
	switch {
	case n.Unreadable != "":
		return fields{{"size", n.Size}, {"unreadable", text(n.Unreadable)}}
	case n.Type == catalog.File && n.Size <= catalog.MaxInlineLen:
		return fields{{"size", n.Size}, {"inline", text(n.Inline)}}
	case n.Type == catalog.File && n.Extents != nil:
		return fields{{"size", n.Size}, {"extents", each(n.Extents, extentFields)}}
	case n.Type == catalog.File:
		return fields{{"size", n.Size}, {"level", n.List.Level}, {"id", n.List.ID.String()}, {"count", n.ExtentCount}, {"place", placeFields(n.List.Place)}}
	case n.Type == catalog.Dir:
		f := fields{{"names", n.Below.Names}, {"files", n.Below.Files}, {"directories", n.Below.Dirs}, {"bytes", n.Below.Bytes}}
		if n.Below.Names > 0 {
			f = append(f, field{"level", n.Child.Level}, field{"id", n.Child.ID.String()}, field{"place", placeFields(n.Child.Place)})
		}
		return f
	case n.Type == catalog.Symlink:
		return fields{{"target", text(n.Target)}}
	case n.Type == catalog.CharDevice || n.Type == catalog.BlockDevice:
		return fields{{"major", n.Major}, {"minor", n.Minor}}
	}
	return nil
}

// errNoPage says that a page was wanted that is not the vector's: all of that
// one was good.
var errNoPage = errors.New("another page")

// A pageMap gives out a page, and the one above it.
type pageMap map[chunk.ID][]byte

func (m pageMap) Page(_ context.Context, id chunk.ID, _ pack.Place) ([]byte, error) {
	if b, ok := m[id]; ok {
		return b, nil
	}
	return nil, errNoPage
}

// readBelow reads a page as it is read from the row that names it.
func (w *vectorWorld) readBelow(v *vector, self pack.Block) error {
	var above parent
	if err := json.Unmarshal([]byte(v.input("parent")), &above); err != nil {
		return err
	}
	identity, err := pack.PageIdentity(v.name, v.body)
	if err != nil {
		return err
	}
	id := w.ids.PageID(identity)
	pages := pageMap{id: v.body}
	ref := catalog.Ref{ID: id, Level: above.Level, Place: pack.Place{Block: self, Len: uint32(len(v.body))}}
	if above.First != nil {
		ref = w.interiorAbove(&above, ref, pages)
	}
	ctx := w.t.Context()
	switch catalog.PageKind(above.Kind) {
	case catalog.DirPage:
		below := catalog.Totals{Names: above.Sums[0], Files: above.Sums[1], Dirs: above.Sums[2], Bytes: above.Sums[3]}
		tree, err := catalog.OpenTree(pages, w.root(&catalog.Row{Node: catalog.Node{Type: catalog.Dir, Below: below, Child: ref}}))
		if err != nil {
			return err
		}
		root := tree.Root()
		list := tree.List(&root.Node, "")
		for ok := true; ok && err == nil; {
			_, ok, err = list.Next(ctx)
		}
		return unless(err, errNoPage)
	case catalog.ListPage:
		tree, err := catalog.OpenTree(pages, w.root(&catalog.Row{Node: catalog.Node{Type: catalog.File, Size: above.Sums[0], ExtentCount: above.Sums[1], List: ref}}))
		if err != nil {
			return err
		}
		root := tree.Root()
		list := tree.Extents(&root.Node, 0)
		for ok := true; ok && err == nil; {
			_, _, ok, err = list.Next(ctx)
		}
		return unless(err, errNoPage)
	}
	page := w.interiorUsage(&above, ref)
	rows, err := catalog.OpenUsage(pages, page)
	for ok := true; ok && err == nil; {
		_, ok, err = rows.Next(ctx)
	}
	return unless(err, errNoPage)
}

// unless returns err, or nil if it is the one expected.
func unless(err, expected error) error {
	if errors.Is(err, expected) {
		return nil
	}
	return err
}

// interiorAbove adds the page above one to pages: its row, and a row of a page
// that is not there. It returns what names it.
func (w *vectorWorld) interiorAbove(above *parent, ref catalog.Ref, pages pageMap) catalog.Ref {
	sums := ""
	for _, sum := range above.Sums {
		sums += le64(sum)
	}
	next := w.chunkID("another page")
	p := &splitted{kind: above.Kind, level: above.Level + 1}
	p.rows = []string{
		string([]byte{byte(len(*above.First))}) + *above.First + string(ref.ID[:]) + sums,
		string([]byte{byte(len(*above.Next))}) + *above.Next + string(next[:]) + le64(1) + le64(0) + le64(0) + le64(0),
	}
	p.ownPlaces(int(ref.Place.Len), 1)
	above.Sums[0]++
	page := p.join()
	identity, err := pack.PageIdentity("the page above", page)
	if err != nil {
		w.t.Fatal(err)
	}
	id := w.ids.PageID(identity)
	pages[id] = page
	return catalog.Ref{ID: id, Level: above.Level + 1, Place: pack.Place{Block: ref.Place.Block, Len: uint32(len(page))}}
}

// ownPlaces gives each row of p a place in the block that p lies in.
func (p *splitted) ownPlaces(lengths ...int) {
	for _, n := range lengths {
		p.places = append(p.places, []string{le32(1<<32-1) + le32(0) + le32(n)})
	}
}

// interiorUsage returns the root page of a usage above one page.
func (w *vectorWorld) interiorUsage(above *parent, ref catalog.Ref) []byte {
	first := w.usageRows()[0]
	row := string(first.Run[:]) + le32(int(first.N)) + string(ref.ID[:])
	for _, sum := range above.Sums {
		row += le64(sum)
	}
	b := ref.Place.Block
	return (&splitted{
		kind: above.Kind, level: above.Level + 1, rows: []string{row},
		runs:   []string{string(b.Run[:]) + string([]byte{byte(len(b.Host))}) + b.Host},
		blocks: []string{"\x00\x00" + le32(int(b.Pack)) + le32(int(b.Ordinal)) + le64(b.Offset) + le32(int(b.Sealed)) + le32(int(b.Plain)) + string([]byte{b.Codec})},
		places: [][]string{{le32(0) + le32(0) + le32(int(ref.Place.Len))}},
	}).join()
}

// writeContent writes the content that a vector describes.
func writeContent(v *vector, s *chunk.Splitter) error {
	for _, l := range v.inputs {
		if l.name != "content" {
			continue
		}
		words := strings.Fields(l.value)
		n, err := strconv.Atoi(words[len(words)-1])
		if err != nil {
			return err
		}
		var b []byte
		switch words[0] {
		case "sha256-counter":
			b = counterBytes(words[1], n)
		case "bytes":
			one, err := hex.DecodeString(words[1])
			if err != nil {
				return err
			}
			b = bytes.Repeat(one, n)
		case "zeros":
			b = make([]byte, n)
		}
		if _, err := s.Write(b); err != nil {
			return err
		}
	}
	return s.Finish()
}

// split returns the extents of the content that a vector describes, encoded.
func (w *vectorWorld) split(v *vector) []byte {
	w.t.Helper()
	mean, err := strconv.Atoi(v.input("mean"))
	if err != nil {
		w.t.Fatal(err)
	}
	var out []byte
	s, err := chunk.NewSplitter(chunk.NewTable(w.secret.Chunking()), chunk.Params{MeanLen: mean}, func(x chunk.Extent) error {
		if x.Zero() {
			out = append(append(out, 0), le64(uint64(x.Len))...)
			return nil
		}
		id := w.ids.ChunkID(x.Data)
		out = append(append(append(out, 1), le32(len(x.Data))...), id[:]...)
		return nil
	})
	if err == nil {
		err = writeContent(v, s)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

func (w *vectorWorld) readExtents(v *vector) (fields, error) {
	d := pack.NewDecoder(v.name, v.body)
	var list []fields
	whole := w.split(v)
	want := pack.NewDecoder(v.name, whole)
	for d.Err() == nil && d.Len() > 0 {
		if d.U8() == 0 {
			list = append(list, fields{{"length", d.U64()}})
			want.Raw(9)
			continue
		}
		x := fields{{"length", d.U32()}, {"id", d.ID().String()}}
		list = append(list, x)
		want.Raw(5)
		if id := want.ID(); id.String() != x[1].value {
			return nil, fmt.Errorf("chunk %d: %w: it is %v", len(list)-1, chunk.ErrCorrupt, id)
		}
	}
	if err := d.Done(); err != nil {
		return nil, err
	}
	return fields{{"extents", list}}, again(v, whole)
}

func (w *vectorWorld) readCuts(v *vector) (fields, error) {
	return fields{{"pages end after row", cutAfter(v)}}, nil
}

// cutAfter returns the numbers of the rows that pages end after, as
// docs/format.md has it: the last row ends one in any case.
func cutAfter(v *vector) (ends []int) {
	minRows, modulus := 16, uint64(128)
	if v.input("level") == "interior" {
		minRows, modulus = 4, 256
	}
	rows, length, total := 0, 0, 0
	for text := range strings.Lines(string(v.body)) {
		var size int
		var key string
		if _, err := fmt.Sscan(text, &size, &key); err != nil {
			return nil
		}
		rows, length, total = rows+1, length+size, total+1
		b, err := hex.DecodeString(key) // not of "-": a row without a key
		if length >= 131_072 || err == nil && rows >= minRows && keyHash(b)%modulus == 0 {
			ends = append(ends, total)
			rows, length = 0, 0
		}
	}
	if rows > 0 {
		ends = append(ends, total)
	}
	return ends
}
