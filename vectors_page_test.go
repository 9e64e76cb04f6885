package tidemark_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"tidemark/catalog"
	"tidemark/chunk"
	"tidemark/pack"
)

// ownBlock is the block that the pages of the vectors lie in, but for those
// that stand in a point.
func (w *vectorWorld) ownBlock() pack.Block {
	b := somewhere(w.one, 2, 5)
	b.Sealed, b.Codec = b.Plain+16, pack.Raw
	return b
}

// page adds a page that lies in a block.
func (w *vectorWorld) page(name, comment string, body []byte, more ...line) *vector {
	w.t.Helper()
	identity, err := pack.PageIdentity(name, body)
	if err != nil {
		w.t.Fatal(err)
	}
	return w.add(&vector{name: name, comment: comment, kind: "page", body: body, inputs: append([]line{
		withSecret, {"group", "2 server"}, {"id", w.ids.PageID(identity).String()}, {"block", jsonText(w.t, blockFields(w.ownBlock()))},
	}, more...)})
}

// pages adds pages of all kinds and levels.
func (w *vectorWorld) pages() {
	w.page("page-directory", "A directory of every type of node, some with all that a node can have.", w.directoryPage())
	w.page("page-directory-interior", "A page above the leaf pages of a directory.", w.interiorPage(catalog.DirPage))
	w.page("page-list", "A list of nine extents, the last of which lies in the page's own block.", w.listPage())
	w.page("page-list-interior", "A page above the leaf pages of a list.", w.interiorPage(catalog.ListPage))
	w.page("page-usage", "Three packs.", w.usagePage())
	w.page("page-usage-interior", "A page above the leaf pages of a usage.", w.interiorPage(catalog.UsagePage))
	w.add(&vector{name: "page-root", comment: "The root page of a point: the source itself.", kind: "page",
		inputs: []line{withSecret}, body: w.rootPage()})
	w.page("page-ended-by-key", "A page that ends after 16 rows, for the key of the last says so.", w.endedPage(16))
	leaf := w.leafPage()
	w.page("page-as-its-row-says", "A leaf page of a directory, and the row that names it.", leaf, w.parentOf(leaf, nil))
	list := w.get("page-list").body
	w.page("page-list-as-its-node-says", "A list, and the file that names it.", list, w.parentOf(list, nil))
	usage := w.get("page-usage").body
	w.page("page-usage-as-its-row-says", "A page of a usage, and the row that names it.", usage, w.parentOf(usage, nil))
}

// dirPage returns the only page of a directory of rows. Places in the own
// block are resolved to be that.
func (w *vectorWorld) dirPage(rows ...catalog.Row) []byte {
	w.t.Helper()
	var page []byte
	pager := catalog.NewDirPager(func(d *catalog.Draft) (ref catalog.Ref, err error) {
		if page != nil {
			return catalog.Ref{}, fmt.Errorf("a second page")
		}
		page, err = d.Encode(w.resolve)
		return catalog.Ref{}, err
	})
	for i := range rows {
		if err := pager.Add(&rows[i]); err != nil {
			w.t.Fatal(err)
		}
	}
	if _, _, err := pager.Close(); err != nil {
		w.t.Fatal(err)
	}
	return page
}

func (w *vectorWorld) resolve(b pack.Block) (pack.Block, bool, error) {
	return b, b == w.ownBlock(), nil
}

func at(b pack.Block, start, length uint32) pack.Place {
	return pack.Place{Block: b, Start: start, Len: length}
}

func (w *vectorWorld) chunkExtent(seed string, length uint32, b pack.Block) catalog.Extent {
	return catalog.Extent{Len: uint64(length), ID: w.chunkID(seed), Place: at(b, 100, length)}
}

func (w *vectorWorld) directoryPage() []byte {
	one, other, own := somewhere(w.one, 1, 0), somewhere(w.two, 3, 1), w.ownBlock()
	hints := catalog.Hints{Ctime: catalog.Time{Sec: vectorTime.Unix(), Nsec: 7}, Ino: 1 << 40}
	elsewhere := hints
	elsewhere.FS = 0xdeadbeef
	mtime := catalog.Time{Sec: 5_000_000_000, Nsec: 1}
	node := func(name string, typ catalog.Type) catalog.Node {
		return catalog.Node{Name: name, Type: typ, Mode: 0o644, UID: 1000, GID: 1<<32 - 1, Owner: "ada", Mtime: mtime}
	}
	block := node("block device", catalog.BlockDevice)
	block.Major, block.Minor = 259, 1<<20-1
	character := node("character device", catalog.CharDevice)
	character.Major, character.Minor = 1, 3
	dir := node("directory", catalog.Dir)
	dir.Mode, dir.Below = 0o1777, catalog.Totals{Names: 3, Files: 2, Dirs: 1, Bytes: 9}
	dir.Child = catalog.Ref{ID: w.chunkID("a child"), Level: 1, Place: at(own, 0, 400)}
	empty := node("empty directory", catalog.Dir)
	fifo := node("fifo", catalog.Fifo)
	all := node("file with all that there is", catalog.File)
	all.HasBtime, all.Btime = true, catalog.Time{Sec: -62_135_596_800, Nsec: 999_999_999}
	all.Link, all.Links = catalog.LinkGroup{1, 2, 3}, 2
	all.Xflags, all.Project = 0x80, 17
	all.Xattrs = []catalog.Xattr{
		{Name: "security.capability", Value: []byte{1, 0, 0, 2}},
		{Name: "user.empty", Value: []byte{}},
		{Name: "user.large", ID: w.chunkID("an xattr"), Len: 4097, Place: at(one, 1000, 4097)},
	}
	all.Size = 65_536 + 1000
	all.Extents = []catalog.Extent{{Zero: true, Len: 65_536}, w.chunkExtent("tail", 1000, one)}
	all.Ext = evenExt
	inline := node("inline", catalog.File)
	inline.Size, inline.Inline = 5, []byte("hello")
	large := node("large", catalog.File)
	large.Size, large.ExtentCount = 1<<40, 9
	large.List = catalog.Ref{ID: w.chunkID("a list"), Level: 0, Place: at(other, 3, 700)}
	holes := node("list of holes", catalog.File)
	holes.Size, holes.Extents = 20_000, []catalog.Extent{w.chunkExtent("holes", 20_000, other)}
	socket := node("socket", catalog.Socket)
	symlink := node("symlink", catalog.Symlink)
	symlink.Target = "../\xff"
	lost := node("unreadable", catalog.File)
	lost.Size, lost.Unreadable = 1<<63-1, "input/output error"
	raw := node("\xff\x01\n", catalog.Fifo)
	withZeros, withHoles := hints, hints
	withZeros.Alloc = catalog.HolesZero
	withHoles.Alloc, withHoles.Holes = catalog.HolesListed, []catalog.Range{{Off: 0, Len: 4096}, {Off: 8192, Len: 11_808}}
	return w.dirPage(
		catalog.Row{Node: block, Hints: hints}, catalog.Row{Node: character, Hints: hints}, catalog.Row{Node: dir, Hints: elsewhere},
		catalog.Row{Node: empty, Hints: hints}, catalog.Row{Node: fifo, Hints: hints}, catalog.Row{Node: all, Hints: withZeros},
		catalog.Row{Node: inline, Hints: hints}, catalog.Row{Node: large, Hints: hints}, catalog.Row{Node: holes, Hints: withHoles},
		catalog.Row{Node: socket, Hints: hints}, catalog.Row{Node: symlink, Hints: hints}, catalog.Row{Node: lost, Hints: hints},
		catalog.Row{Node: raw, Hints: hints})
}

// smallFile is a row of little.
func smallFile(name string) catalog.Row {
	return catalog.Row{Node: catalog.Node{Name: name, Type: catalog.File, Mode: 0o644, Size: 1, Inline: []byte("x")}}
}

// leafPage is a directory of three small files.
func (w *vectorWorld) leafPage() []byte {
	return w.dirPage(smallFile("a"), smallFile("b"), smallFile("c"))
}

// endedPage is a directory of n files, of which the 16th ends a page.
func (w *vectorWorld) endedPage(n int) []byte {
	rows := make([]catalog.Row, n)
	for i := range rows {
		rows[i] = smallFile(fmt.Sprintf("%02d", i))
	}
	for k := 0; ; k++ {
		name := fmt.Sprintf("15 %d", k)
		if keyHash([]byte(name))%128 == 0 {
			rows[15] = smallFile(name)
			break
		}
	}
	if n == 16 {
		return w.dirPage(rows...)
	}
	// No pager makes it: a page of the 16 rows, and one of the rest, as one.
	a, b := splitPage(w.dirPage(rows[:16]...)), splitPage(w.dirPage(rows[16:]...))
	a.rows, a.hints, a.places = append(a.rows, b.rows...), append(a.hints, b.hints...), append(a.places, b.places...)
	return a.join()
}

func (w *vectorWorld) extents() []catalog.Extent {
	var list []catalog.Extent
	for i := range 8 {
		if i == 3 {
			list = append(list, catalog.Extent{Zero: true, Len: 1 << 40})
		} else {
			list = append(list, w.chunkExtent(fmt.Sprint(i), 65_536, somewhere(w.one, 1, uint32(i/2))))
		}
	}
	return append(list, w.chunkExtent("last", 77, w.ownBlock()))
}

func (w *vectorWorld) listPage() []byte {
	w.t.Helper()
	var page []byte
	pager := catalog.NewListPager(func(d *catalog.Draft) (ref catalog.Ref, err error) {
		page, err = d.Encode(w.resolve)
		return catalog.Ref{}, err
	})
	for _, x := range w.extents() {
		if err := pager.Add(&x); err != nil {
			w.t.Fatal(err)
		}
	}
	if _, _, _, err := pager.Close(); err != nil {
		w.t.Fatal(err)
	}
	return page
}

// interiorPage is the page above the leaf pages of a kind of which there are
// about ten.
func (w *vectorWorld) interiorPage(kind catalog.PageKind) []byte {
	w.t.Helper()
	var page []byte
	count := uint32(0)
	sink := func(d *catalog.Draft) (ref catalog.Ref, err error) {
		if d.Level == 1 {
			page, err = d.Encode(w.resolve)
			return catalog.Ref{}, err
		}
		count++
		b := somewhere(w.one, 2, count/4)
		if count%4 == 3 && kind != catalog.UsagePage { // its page above stands in a point, which lies in no block
			b = w.ownBlock()
		}
		return catalog.Ref{ID: w.ids.PageID(d.Identity), Place: at(b, 1000*(count%4), 1000)}, nil
	}
	var err error
	switch kind {
	case catalog.DirPage:
		pager := catalog.NewDirPager(sink)
		for i := range 1000 {
			r := smallFile(fmt.Sprintf("%04d", i))
			if err := pager.Add(&r); err != nil {
				w.t.Fatal(err)
			}
		}
		_, _, err = pager.Close()
	case catalog.ListPage:
		pager := catalog.NewListPager(sink)
		for i := range 1000 {
			x := w.chunkExtent(fmt.Sprint(i), 1000, somewhere(w.one, 1, 0))
			if err := pager.Add(&x); err != nil {
				w.t.Fatal(err)
			}
		}
		_, _, _, err = pager.Close()
	case catalog.UsagePage:
		pager := catalog.NewUsagePager(sink)
		for i := range 1000 {
			r := catalog.UsageRow{Host: vectorHost, Run: w.one.ID, N: uint32(i), Refs: 2, Bytes: 3}
			if err := pager.Add(&r); err != nil {
				w.t.Fatal(err)
			}
		}
		page, err = pager.Close(nil)
	}
	if err != nil || page == nil {
		w.t.Fatalf("interior %v: %v", kind, err)
	}
	return page
}

// A parent is what the row that names a page says of it.
type parent struct {
	Kind  uint8    `json:"kind"`
	Level uint8    `json:"level"`
	Sums  []uint64 `json:"sums"`
	First *string  `json:"first,omitempty"` // if that is an interior row: its key, and that of the next row
	Next  *string  `json:"next,omitempty"`
}

// parentOf is the input "parent" of a page, as changed by change.
func (w *vectorWorld) parentOf(page []byte, change func(*parent)) line {
	w.t.Helper()
	p, err := catalog.ParsePage(page, w.ownBlock())
	if err != nil {
		w.t.Fatal(err)
	}
	sums, err := p.Sums()
	if err != nil {
		w.t.Fatal(err)
	}
	above := parent{Kind: uint8(p.Kind()), Level: p.Level(), Sums: sums[:]}
	switch p.Kind() {
	case catalog.ListPage:
		above.Sums = sums[:2]
	case catalog.UsagePage:
		above.Sums = sums[:3]
	}
	if change != nil {
		change(&above)
	}
	return line{"parent", jsonText(w.t, above)}
}

// A splitted page is one in parts, which the violating vectors change.
type splitted struct {
	kind, level   byte
	zero          [2]byte
	count         int // of rows, if it is not how many there are
	rows, hints   []string
	runs, blocks  []string
	places        [][]string // of each row
	after, hinted string     // bytes after everything, and in place of hints
}

// splitPage divides a page that is good.
func splitPage(b []byte) *splitted {
	u32 := func(b []byte) int { return int(binary.LittleEndian.Uint32(b)) }
	i, h := u32(b), u32(b[4:])
	identity, hints, places := b[12:12+i], b[12+i:12+i+h], b[12+i+h:]
	n := u32(identity[4:])
	divide := func(b []byte) (parts []string) {
		from := 0
		for k := range n {
			to := u32(b[4*k:])
			parts = append(parts, string(b[4*n+from:4*n+to]))
			from = to
		}
		return parts
	}
	p := &splitted{kind: identity[0], level: identity[1], rows: divide(identity[8:])}
	if h > 0 {
		p.hints = divide(hints)
	}
	take := func(n int) string {
		s := string(places[:n])
		places = places[n:]
		return s
	}
	runs := int(binary.LittleEndian.Uint16([]byte(take(2))))
	for range runs {
		p.runs = append(p.runs, take(17+int(places[16])))
	}
	for range u32([]byte(take(4))) {
		p.blocks = append(p.blocks, take(27))
	}
	var all []string
	for range u32([]byte(take(4))) {
		all = append(all, take(12))
	}
	from := 0
	for range n {
		to := u32([]byte(take(4)))
		p.places = append(p.places, all[from:to])
		from = to
	}
	return p
}

// join makes one page of the parts.
func (p *splitted) join() []byte {
	n := p.count
	if n == 0 {
		n = len(p.rows)
	}
	table := func(parts []string) string {
		end, ends := 0, ""
		for _, part := range parts {
			end += len(part)
			ends += le32(end)
		}
		return ends + strings.Join(parts, "")
	}
	identity := string([]byte{p.kind, p.level, p.zero[0], p.zero[1]}) + le32(n) + table(p.rows)
	hints := p.hinted
	if p.hints != nil {
		hints = table(p.hints)
	}
	places := string(binary.LittleEndian.AppendUint16(nil, uint16(len(p.runs)))) + strings.Join(p.runs, "") +
		le32(len(p.blocks)) + strings.Join(p.blocks, "")
	count, all, ends := 0, "", ""
	for _, row := range p.places {
		count += len(row)
		all += strings.Join(row, "")
		ends += le32(count)
	}
	places += le32(count) + all + ends
	return []byte(le32(len(identity)) + le32(len(hints)) + le32(len(places)) + identity + hints + places + p.after)
}

func le32(n int) string    { return string(binary.LittleEndian.AppendUint32(nil, uint32(n))) }
func le64(n uint64) string { return string(binary.LittleEndian.AppendUint64(nil, n)) }

// keyHash is H of docs/format.md, section 9.
func keyHash(key []byte) uint64 {
	h := uint64(14695981039346656037)
	for _, c := range key {
		h = (h ^ uint64(c)) * 1099511628211
	}
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// cuts adds sequences of rows and where they are divided into pages. The body
// has a line for each row: its length, and its key in hex or "-".
func (w *vectorWorld) cuts() {
	files := func(n int, row func(i int) catalog.Row) func(catalog.Sink) error {
		return func(sink catalog.Sink) error {
			pager := catalog.NewDirPager(sink)
			for i := range n {
				r := row(i)
				if err := pager.Add(&r); err != nil {
					return err
				}
			}
			_, _, err := pager.Close()
			return err
		}
	}
	numbered := func(i int) catalog.Row { return smallFile(fmt.Sprintf("e%05d", i)) }
	w.cut("cuts-leaf", "Leaf rows of a directory.", 0, files(600, numbered))
	w.cut("cuts-interior", "Interior rows of a directory of 40,000 names.", 1, files(40_000, numbered))
	w.cut("cuts-long", "Rows of which a few make a page too long, before it has 16.", 0, files(40, func(i int) catalog.Row {
		r := numbered(i)
		for k := range 1 + i%3 {
			r.Xattrs = append(r.Xattrs, catalog.Xattr{Name: fmt.Sprint("user.", k), Value: make([]byte, 4096)})
		}
		return r
	}))
	w.cut("cuts-list", "Extents: a zero extent, which has no key, never ends a page.", 0, func(sink catalog.Sink) error {
		pager := catalog.NewListPager(sink)
		for i := range 1200 {
			x := w.chunkExtent(fmt.Sprint(i), 65_536, somewhere(w.one, 1, 0))
			if i%2 == 0 {
				x = catalog.Extent{Zero: true, Len: 65_536}
			}
			if err := pager.Add(&x); err != nil {
				return err
			}
		}
		_, _, _, err := pager.Close()
		return err
	})
}

// cut adds the rows of one level of the pages that build gives to its sink,
// and checks that they end where readCuts has it.
func (w *vectorWorld) cut(name, comment string, level uint8, build func(catalog.Sink) error) {
	w.t.Helper()
	var body bytes.Buffer
	var ends []int
	rows := 0
	err := build(func(d *catalog.Draft) (catalog.Ref, error) {
		ref := catalog.Ref{ID: w.ids.PageID(d.Identity), Place: at(somewhere(w.one, 2, 0), 0, 1)}
		if d.Level != level {
			return ref, nil
		}
		page, err := d.Encode(nil)
		if err != nil {
			return ref, err
		}
		p := splitPage(page)
		for _, row := range p.rows {
			fmt.Fprintf(&body, "%d %s\n", len(row), rowKey(p, row))
		}
		rows += len(p.rows)
		ends = append(ends, rows)
		return ref, nil
	})
	if err != nil || len(ends) < 3 {
		w.t.Fatalf("%s: %d pages: %v", name, len(ends), err)
	}
	levels := []string{"leaf", "interior"}
	v := w.add(&vector{name: name, comment: comment, kind: "cuts", inputs: []line{{"level", levels[level]}}, body: body.Bytes()})
	if got := cutAfter(v); !slices.Equal(got, ends) {
		w.t.Errorf("%s: the pager ends pages after rows %d, docs/format.md after %d", name, ends, got)
	}
}

// rowKey returns the key, in hex, of a row of a directory or a list.
func rowKey(p *splitted, row string) string {
	switch {
	case catalog.PageKind(p.kind) == catalog.DirPage:
		row = row[1 : 1+row[0]]
	case row[0] == 0: // a zero extent
		return "-"
	default:
		row = row[len(row)-len(chunk.ID{}):]
	}
	return hex.EncodeToString([]byte(row))
}

// contents adds contents and the extents that they are divided into.
func (w *vectorWorld) contents() {
	for _, v := range []struct {
		name, comment, mean string
		content             []string
	}{
		{"extents-mean-16k", "Chunks of the least mean, with a zero extent between two spans, and an end that is shorter than 64 KiB.", "16384",
			[]string{"sha256-counter one 131072", "zeros 196608", "sha256-counter two 100001"}},
		{"extents-mean-256k", "Chunks of the mean that is the default.", "262144", []string{"sha256-counter three 1300000"}},
		{"extents-forced", "Bytes in which no hash is ever zero: chunks of the greatest length.", "16384", []string{"bytes 01 200000"}},
		{"extents-zeros", "Zeros that are no whole and aligned 64 KiB are chunks.", "16384",
			[]string{"bytes 02 1", "zeros 196607", "bytes 03 65536", "zeros 65535"}},
	} {
		inputs := []line{withSecret, {"group", "2 server"}, {"mean", v.mean}}
		for _, c := range v.content {
			inputs = append(inputs, line{"content", c})
		}
		made := &vector{name: v.name, comment: v.comment, kind: "extents", inputs: inputs}
		made.body = w.split(made)
		w.add(made)
	}
	good := w.get("extents-mean-16k")
	bad := *good
	bad.name, bad.comment, bad.expect = "extents-bad-id", "The id of the first chunk has a flipped bit.", string(pack.ReasonID)
	bad.body = bytes.Clone(good.body)
	bad.body[5] ^= 1
	w.add(&bad)
}
