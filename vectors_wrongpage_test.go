package tidemark_test

import (
	"strings"

	"tidemark/catalog"
	"tidemark/pack"
)

// wrongPage adds a page to be refused: that with the name of, taken apart,
// changed and put together again. Its id is right.
func (w *vectorWorld) wrongPage(of, what string, reason pack.Reason, comment string, change func(p *splitted)) {
	w.t.Helper()
	w.wrong(of, what, reason, comment, func(v *vector) {
		p := splitPage(v.body)
		change(p)
		v.body = p.join()
		w.rename(v)
	})
}

// rename makes the id of a page that of its identity, if it has one.
func (w *vectorWorld) rename(v *vector) {
	if identity, err := pack.PageIdentity(v.name, v.body); err == nil {
		setInput("id", w.ids.PageID(identity).String())(v)
	}
}

// Where the rows of the page "page-directory" are.
const (
	blockRow = iota
	characterRow
	directoryRow
	emptyRow
	fifoRow
	fullRow // the file with all that there is
	inlineRow
	largeRow
	holesRow
	socketRow
	symlinkRow
	unreadableRow
	rawNameRow
)

// edit replaces a text in a row, which must be there once.
func edit(s *string, old, new string) {
	if strings.Count(*s, old) != 1 {
		panic("a text to be replaced is not there once: " + old)
	}
	*s = strings.Replace(*s, old, new, 1)
}

// set changes a byte, counted from the end if at is negative.
func set(s *string, at int, b byte) {
	if at < 0 {
		at += len(*s)
	}
	*s = (*s)[:at] + string([]byte{b}) + (*s)[at+1:]
}

func (w *vectorWorld) wrongPages() {
	w.wrongSections()
	w.wrongNodes()
	w.wrongContents()
	w.wrongHints()
	w.wrongPlaces()
	w.wrongLists()
	w.wrong("page-directory", "id", pack.ReasonID, "A page that is not the one that its id names.", func(v *vector) {
		v.body[len(v.body)/4] ^= 1
	})
	w.wrong("page-ended-by-key", "too-long", pack.ReasonCount, "A page that goes on after a row that ends it.", func(v *vector) {
		v.body = w.endedPage(20)
		w.rename(v)
	})
}

// dir adds a directory page to be refused.
func (w *vectorWorld) dir(what string, reason pack.Reason, comment string, change func(p *splitted)) {
	w.t.Helper()
	w.wrongPage("page-directory", what, reason, comment, change)
}

func (w *vectorWorld) wrongSections() {
	w.dir("kind", pack.ReasonKind, "A kind of page that there is not.", func(p *splitted) { p.kind = 4 })
	w.dir("level", pack.ReasonLimit, "A page of level 17.", func(p *splitted) { p.level = 17 })
	w.dir("reserved", pack.ReasonReserved, "A reserved byte is not zero.", func(p *splitted) { p.zero[1] = 1 })
	w.dir("no-rows", pack.ReasonCount, "A page of no rows.", func(p *splitted) { *p = splitted{kind: 1} })
	w.dir("rows-limit", pack.ReasonLimit, "A page that says it has 65,537 rows.", func(p *splitted) { p.count = 65_537 })
	w.dir("rows-cut-off", pack.ReasonTruncated, "A page that says it has 65,536 rows, more than fit into it.", func(p *splitted) { p.count = 65_536 })
	w.dir("trailing", pack.ReasonTrailing, "A byte after the sections.", func(p *splitted) { p.after = "\x00" })
	w.wrong("page-directory", "cut-off", pack.ReasonTruncated, "The last byte is missing.", cutOff(1))
	w.dir("order", pack.ReasonOrder, "Two rows whose names fall.", func(p *splitted) { p.exchange(blockRow, characterRow) })
	w.dir("twice", pack.ReasonDuplicate, "A name twice.", func(p *splitted) {
		p.rows[characterRow], p.hints[characterRow] = p.rows[blockRow], p.hints[blockRow]
	})
	w.wrongPage("page-directory-interior", "order", pack.ReasonOrder, "Two rows whose keys fall.", func(p *splitted) { p.exchange(0, 1) })
	w.wrongPage("page-directory-interior", "trailing", pack.ReasonTrailing, "A byte after an interior row.", func(p *splitted) { p.rows[2] += "\x00" })
	w.wrongPage("page-directory-interior", "hints", pack.ReasonLength, "Hints in an interior page.", func(p *splitted) { p.hinted = "hints" })
	w.wrongPage("page-usage", "order", pack.ReasonOrder, "Two packs that do not ascend.", func(p *splitted) { p.exchange(1, 2) })
	w.wrongPage("page-usage", "twice", pack.ReasonDuplicate, "A pack twice.", func(p *splitted) { p.rows[1] = p.rows[0] })
	w.wrongPage("page-usage", "no-references", pack.ReasonCount, "A pack that nothing refers to.", func(p *splitted) {
		edit(&p.rows[0], le64(3), le64(0))
	})
	w.wrongPage("page-usage", "place", pack.ReasonCount, "A place of a row that names no piece.", func(p *splitted) {
		p.places[2] = []string{le32(1<<32-1) + le32(0) + le32(1)}
	})
}

// exchange exchanges two rows with all that belongs to them.
func (p *splitted) exchange(a, b int) {
	p.rows[a], p.rows[b] = p.rows[b], p.rows[a]
	if p.hints != nil {
		p.hints[a], p.hints[b] = p.hints[b], p.hints[a]
	}
	p.places[a], p.places[b] = p.places[b], p.places[a]
}

// typeAt is where the type stands in a row: after the name. The flags follow,
// then the permissions.
func typeAt(row string) int { return 1 + int(row[0]) }

func (w *vectorWorld) wrongNodes() {
	row := func(i int, what string, reason pack.Reason, comment string, change func(row *string)) {
		w.t.Helper()
		w.dir(what, reason, comment, func(p *splitted) { change(&p.rows[i]) })
	}
	row(fifoRow, "name-slash", pack.ReasonText, "A name with a slash.", func(r *string) { edit(r, "fifo", "fi/o") })
	row(fifoRow, "name-nul", pack.ReasonText, "A name with a NUL.", func(r *string) { edit(r, "fifo", "fif\x00") })
	row(fifoRow, "name-dots", pack.ReasonText, "The name ...", func(r *string) { edit(r, "\x04fifo", "\x02..") })
	row(blockRow, "name-empty", pack.ReasonText, "An empty name, which only the source itself has.", func(r *string) { edit(r, "\x0cblock device", "\x00") })
	row(fifoRow, "type", pack.ReasonKind, "A type that there is not.", func(r *string) { set(r, typeAt(*r), 8) })
	row(fifoRow, "flags", pack.ReasonFlags, "A flag that there is not.", func(r *string) { set(r, typeAt(*r)+1, 16) })
	row(fifoRow, "permissions", pack.ReasonRange, "Permissions of more than 12 bits.", func(r *string) { set(r, typeAt(*r)+3, 0x10) })
	row(fifoRow, "nanoseconds", pack.ReasonRange, "A time with too many nanoseconds.", func(r *string) { edit(r, le32(1)+"\x00\x00", "\x00\xca\x9a\x3b\x00\x00") })
	row(fullRow, "links", pack.ReasonRange, "A link group of no names.", func(r *string) {
		edit(r, "\x01\x02\x03"+strings.Repeat("\x00", 13)+le32(2), "\x01\x02\x03"+strings.Repeat("\x00", 13)+le32(0))
	})
	row(fullRow, "inode-flags", pack.ReasonFlags, "Inode flags and a project that are there, and 0.", func(r *string) { edit(r, le32(0x80)+le32(17), le32(0)+le32(0)) })
	row(fullRow, "xattr-order", pack.ReasonOrder, "Xattrs that do not ascend.", func(r *string) { edit(r, "user.empty", "user.small") })
	row(fullRow, "xattr-twice", pack.ReasonDuplicate, "An xattr twice.", func(r *string) { edit(r, "user.empty", "user.large") })
	row(fullRow, "xattr-form", pack.ReasonKind, "A form of an xattr that there is not.", func(r *string) { edit(r, "user.empty\x00", "user.empty\x02") })
	row(fullRow, "xattr-short", pack.ReasonLength, "A chunk of 4,096 bytes, which belong into the node.", func(r *string) { edit(r, le32(4097), le32(4096)) })
	w.dir("xattr-long", pack.ReasonLimit, "An xattr of more than 65,536 bytes.", func(p *splitted) {
		edit(&p.rows[fullRow], le32(4097), le32(65_537))
		edit(&p.places[fullRow][0], le32(4097), le32(65_537))
	})
	row(fullRow, "extension", pack.ReasonExtension, "An extension that must be understood.", func(r *string) { edit(r, "\x28\x00"+le32(0), "\x29\x00"+le32(0)) })
	row(fullRow, "extension-order", pack.ReasonOrder, "Extensions whose ids fall.", func(r *string) { edit(r, "\x02\x00\x02\x00\x03", "\x02\x00\x2a\x00\x03") })
	row(symlinkRow, "target", pack.ReasonText, "A target with a NUL.", func(r *string) { edit(r, "../\xff", "../\x00") })
	row(symlinkRow, "no-target", pack.ReasonLength, "A symlink without a target.", func(r *string) { edit(r, "\x04\x00../\xff", "\x00\x00") })
	row(unreadableRow, "no-reason", pack.ReasonLength, "An unreadable file without a reason.", func(r *string) { edit(r, "\x12\x00input/output error", "\x00\x00") })
	row(unreadableRow, "size", pack.ReasonRange, "A file of 2^63 bytes.", func(r *string) { edit(r, le64(1<<63-1), le64(1<<63)) })
	row(directoryRow, "linked", pack.ReasonFlags, "A directory in a link group.", func(r *string) {
		at := typeAt(*r) + 1
		set(r, at, 2)
		mtime := at + 1 + 2 + 8 + 1 + len("ada") + 1 + 12
		*r = (*r)[:mtime] + strings.Repeat("g", 16) + le32(2) + (*r)[mtime:]
	})
}

func (w *vectorWorld) wrongContents() {
	row := func(i int, what string, reason pack.Reason, comment string, change func(row *string)) {
		w.t.Helper()
		w.dir(what, reason, comment, func(p *splitted) { change(&p.rows[i]) })
	}
	row(emptyRow, "empty-totals", pack.ReasonSum, "An empty directory with a file below it.", func(r *string) {
		edit(r, le32(1)+noExt+le64(0)+le64(0)+le64(0)+le64(0), le32(1)+noExt+le64(0)+le64(1)+le64(0)+le64(0))
	})
	row(directoryRow, "child-level", pack.ReasonLimit, "A root page of level 17.", func(r *string) {
		id := w.chunkID("a child")
		edit(r, "\x01"+string(id[:]), "\x11"+string(id[:]))
	})
	row(inlineRow, "content-form", pack.ReasonLimit, "A content of 5 bytes that is not inline.", func(r *string) { edit(r, "\x00hello", "\x01hello") })
	row(inlineRow, "inline-long", pack.ReasonLimit, "A content of 513 bytes that is inline.", func(r *string) { edit(r, le64(5)+"\x00hello", le64(513)+"\x00"+strings.Repeat("x", 513)) })
	row(inlineRow, "inline-short", pack.ReasonTruncated, "A content that is cut off.", func(r *string) { edit(r, le64(5)+"\x00hello", le64(50)+"\x00hello") })
	row(fullRow, "extents-sum", pack.ReasonSum, "Extents that do not add up to the size.", func(r *string) { edit(r, le64(66_536), le64(66_537)) })
	row(fullRow, "extents-count", pack.ReasonCount, "No extents.", func(r *string) { edit(r, le64(66_536)+"\x01\x02", le64(66_536)+"\x01\x00") })
	row(fullRow, "extent-kind", pack.ReasonKind, "An extent that is neither zero nor a chunk.", func(r *string) { edit(r, "\x01\x02\x00"+le64(65_536), "\x01\x02\x02"+le64(65_536)) })
	row(largeRow, "list-count", pack.ReasonCount, "A list of 8 extents, which have room in the node.", func(r *string) { edit(r, le64(9), le64(8)) })
}

func (w *vectorWorld) wrongHints() {
	hint := func(i int, what string, reason pack.Reason, comment string, change func(hint *string)) {
		w.t.Helper()
		w.dir(what, reason, comment, func(p *splitted) { change(&p.hints[i]) })
	}
	hint(inlineRow, "allocation", pack.ReasonKind, "An allocation that there is not.", func(h *string) { set(h, -1, 3) })
	hint(fifoRow, "allocation-of-fifo", pack.ReasonFlags, "Holes of what is no file.", func(h *string) { set(h, -1, 1) })
	hint(inlineRow, "no-holes", pack.ReasonCount, "A list of no holes.", func(h *string) { set(h, -1, 2); *h += le32(0) })
	hint(holesRow, "hole-order", pack.ReasonOrder, "Holes that touch.", func(h *string) { edit(h, le64(4096), le64(8192)) })
	hint(holesRow, "hole-range", pack.ReasonRange, "A hole beyond the end of the file.", func(h *string) { edit(h, le64(11_808), le64(11_809)) })
	hint(holesRow, "hints-trailing", pack.ReasonTrailing, "A byte after a row's hints.", func(h *string) { *h += "\x00" })
	hint(holesRow, "hints-cut-off", pack.ReasonTruncated, "Hints that are cut off.", func(h *string) { *h = (*h)[:10] })
}

func (w *vectorWorld) wrongPlaces() {
	// Of the page "page-directory" the first block is of the page that a
	// directory leads to, which is the page's own: so it is not in the table.
	w.dir("blocks-order", pack.ReasonOrder, "Blocks that do not stand in the order of their first use.", func(p *splitted) {
		p.blocks[0], p.blocks[1] = p.blocks[1], p.blocks[0]
		p.runs[0], p.runs[1] = p.runs[1], p.runs[0]
		for _, row := range p.places {
			for i := range row {
				switch row[i][0] {
				case 0:
					set(&row[i], 0, 1)
				case 1:
					set(&row[i], 0, 0)
				}
			}
		}
		for i, b := range p.blocks { // the runs were exchanged too
			set(&p.blocks[i], 0, 1-b[0])
		}
	})
	w.dir("runs-order", pack.ReasonOrder, "Runs that do not stand in the order of their first use.", func(p *splitted) {
		p.runs[0], p.runs[1] = p.runs[1], p.runs[0]
		for i, b := range p.blocks {
			set(&p.blocks[i], 0, 1-b[0])
		}
	})
	w.dir("run-twice", pack.ReasonDuplicate, "A run twice.", func(p *splitted) { p.runs[1] = p.runs[0] })
	w.dir("block-twice", pack.ReasonDuplicate, "A block twice.", func(p *splitted) { p.blocks[1] = p.blocks[0]; p.runs = p.runs[:1] })
	w.dir("run-unused", pack.ReasonCount, "A run that no block is of.", func(p *splitted) {
		p.runs = append(p.runs, strings.Repeat("r", 16)+"\x01h")
	})
	w.dir("block-unused", pack.ReasonCount, "A block that no place is in.", func(p *splitted) {
		b := p.blocks[1]
		set(&b, 6, 77)
		p.blocks = append(p.blocks, b)
	})
	w.dir("run-range", pack.ReasonRange, "A block of a run that is not in the table.", func(p *splitted) { set(&p.blocks[1], 0, 2) })
	w.dir("block-range", pack.ReasonRange, "A place in a block that is not in the table.", func(p *splitted) { set(&p.places[fullRow][0], 0, 9) })
	w.dir("own-block", pack.ReasonRange, "The block that the page lies in, in the table.", func(p *splitted) {
		own := w.ownBlock()
		p.blocks[0] = "\x00\x00" + le32(int(own.Pack)) + le32(int(own.Ordinal)) + le64(own.Offset) + le32(int(own.Sealed)) + le32(int(own.Plain)) + "\x00"
	})
	w.wrong("page-directory", "own-block-in-a-point", pack.ReasonRange, "A place in the own block of a page that stands in a point, which lies in none.", func(v *vector) {
		p := splitPage(v.body)
		v.inputs = v.inputs[:1] // no id, no block
		v.body = p.join()
	})
	w.dir("place-range", pack.ReasonRange, "A place beyond the end of its block.", func(p *splitted) { set(&p.places[fullRow][0], 6, 4) })
	w.dir("place-empty", pack.ReasonRange, "A place of no bytes.", func(p *splitted) {
		row := p.places[largeRow]
		row[0] = row[0][:8] + le32(0)
	})
	w.dir("place-length", pack.ReasonLength, "A place that is shorter than its chunk.", func(p *splitted) {
		row := p.places[holesRow]
		row[0] = row[0][:8] + le32(19_999)
	})
	w.dir("places-fewer", pack.ReasonCount, "A row of fewer places than pieces.", func(p *splitted) { p.places[holesRow] = nil })
	w.dir("places-more", pack.ReasonCount, "A row of more places than pieces.", func(p *splitted) { p.places[fifoRow] = p.places[holesRow] })
	w.dir("block-codec", pack.ReasonCodec, "A block of a codec that there is not.", func(p *splitted) { set(&p.blocks[0], -1, 2) })
	w.dir("block-large", pack.ReasonLimit, "A block of more than 16 MiB.", func(p *splitted) { set(&p.blocks[0], 25, 2) })
	w.dir("block-sealed", pack.ReasonLength, "A zstd block that is not shorter than what it holds.", func(p *splitted) { set(&p.blocks[0], 20, 4) })
	w.dir("run-host", pack.ReasonText, "A run of a host whose name has a slash.", func(p *splitted) { edit(&p.runs[0], "server", "ser/er") })
}

func (w *vectorWorld) wrongLists() {
	list := func(what string, reason pack.Reason, comment string, change func(p *splitted)) {
		w.t.Helper()
		w.wrongPage("page-list", what, reason, comment, change)
	}
	zero := func(n uint64) string { return "\x00" + le64(n) }
	list("zeros-touch", pack.ReasonOrder, "Two zero extents that touch.", func(p *splitted) { p.rows[4], p.places[4] = zero(65_536), nil })
	list("zero-length", pack.ReasonRange, "A zero extent whose length is no multiple of 64 KiB.", func(p *splitted) { p.rows[3] = zero(65_537) })
	list("zero-offset", pack.ReasonRange, "A zero extent that begins at no multiple of 64 KiB, counted from the one before it.", func(p *splitted) {
		p.rows[1], p.places[1] = zero(65_536), nil
		id := w.chunkID("short")
		p.rows[2] = "\x01" + le32(65_535) + string(id[:])
		row := []string{p.places[2][0][:8] + le32(65_535)}
		p.places[2] = row
	})
	list("empty", pack.ReasonLength, "A zero extent of no bytes.", func(p *splitted) { p.rows[3] = zero(0) })
	list("chunk-large", pack.ReasonRange, "A chunk that is larger than its block.", func(p *splitted) {
		p.rows[0] = "\x01" + le32(262_145) + p.rows[0][5:]
		p.places[0] = []string{p.places[0][0][:4] + le32(0) + le32(262_145)}
	})
	list("kind", pack.ReasonKind, "An extent that is neither zero nor a chunk.", func(p *splitted) { set(&p.rows[0], 0, 2) })
	list("trailing", pack.ReasonTrailing, "A byte after an extent.", func(p *splitted) { p.rows[0] += "\x00" })
}

// wrongSums has pages that are good by themselves, but not what the rows that
// name them say.
func (w *vectorWorld) wrongSums() {
	below := func(of, what string, reason pack.Reason, comment string, change func(*parent)) {
		w.t.Helper()
		w.wrong(of, what, reason, comment, func(v *vector) {
			setInput("parent", w.parentOf(v.body, change).value)(v)
		})
	}
	names := func(first, next string) func(*parent) {
		return func(p *parent) { p.First, p.Next = &first, &next }
	}
	between := *w.get("page-as-its-row-says")
	between.name, between.comment = "page-below-another", "The same, below an interior page whose next row begins after it."
	between.inputs = append(append([]line(nil), between.inputs...), line{})
	between.inputs = between.inputs[:len(between.inputs)-1]
	w.add(&between)
	setInput("parent", w.parentOf(between.body, names("a", "d")).value)(&between)

	below("page-as-its-row-says", "names", pack.ReasonSum, "Three names, where the row says four.", func(p *parent) { p.Sums[0]++ })
	below("page-as-its-row-says", "bytes", pack.ReasonSum, "Three bytes, where the row says two.", func(p *parent) { p.Sums[3]-- })
	below("page-as-its-row-says", "level", pack.ReasonKind, "A leaf page, where the row says level 1.", func(p *parent) { p.Level = 1 })
	below("page-below-another", "first", pack.ReasonOrder, "A page that begins with another name than the row says.", names("aa", "d"))
	below("page-below-another", "next", pack.ReasonOrder, "A page that reaches into the names of the next row.", names("a", "c"))
	below("page-list-as-its-node-says", "bytes", pack.ReasonSum, "A list of fewer bytes than the file's size.", func(p *parent) { p.Sums[0]++ })
	below("page-list-as-its-node-says", "extents", pack.ReasonSum, "A list of fewer extents than the file says.", func(p *parent) { p.Sums[1]++ })
	below("page-usage-as-its-row-says", "references", pack.ReasonSum, "A usage of fewer references than the row says.", func(p *parent) { p.Sums[1]++ })
	below("page-usage-as-its-row-says", "packs", pack.ReasonSum, "A usage of more packs than the row says.", func(p *parent) { p.Sums[0]-- })
	w.wrong("page-list", "kind-below", pack.ReasonKind, "A list, where the row says that a directory goes on.", func(v *vector) {
		v.inputs = append(v.inputs, line{"parent", jsonText(w.t, parent{Kind: uint8(catalog.DirPage), Sums: []uint64{9, 9, 0, 0}})})
	})
}
