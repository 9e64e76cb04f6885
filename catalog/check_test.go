package catalog_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"tidemark/catalog"
	"tidemark/keys"
	"tidemark/pack"
)

// A raw page is made by hand from docs/format.md, sections 9 to 11, right or
// wrong.
type raw struct {
	kind, level byte
	zero        [2]byte
	count       int // of rows; 0 means as many as there are
	rows        []string
	hints       []string
	runs        []string
	blocks      []string
	places      [][]string // for each row
	after       string     // behind everything
}

func (r *raw) bytes() []byte {
	n := r.count
	if n == 0 {
		n = len(r.rows)
	}
	identity := table(append([]byte{r.kind, r.level, r.zero[0], r.zero[1]}, le32(n)...), r.rows)
	var hints []byte
	if r.hints != nil {
		hints = table(nil, r.hints)
	}
	places := binary.LittleEndian.AppendUint16(nil, uint16(len(r.runs)))
	places = append(places, strings.Join(r.runs, "")...)
	places = append(places, le32(len(r.blocks))+strings.Join(r.blocks, "")...)
	total, ends := 0, ""
	var list string
	for _, row := range r.places {
		total += len(row)
		ends += le32(total)
		list += strings.Join(row, "")
	}
	places = append(places, le32(total)+list+ends...)
	b := []byte(le32(len(identity)) + le32(len(hints)) + le32(len(places)))
	b = append(append(append(b, identity...), hints...), places...)
	return append(b, r.after...)
}

// table appends the ends of rows, and the rows.
func table(b []byte, rows []string) []byte {
	end := 0
	for _, row := range rows {
		end += len(row)
		b = append(b, le32(end)...)
	}
	return append(b, strings.Join(rows, "")...)
}

func le16(n int) string { return string(binary.LittleEndian.AppendUint16(nil, uint16(n))) }
func le32(n int) string { return string(binary.LittleEndian.AppendUint32(nil, uint32(n))) }
func le64(n int) string { return string(binary.LittleEndian.AppendUint64(nil, uint64(n))) }
func str8(s string) string {
	return string([]byte{byte(len(s))}) + s
}

var (
	anID      = strings.Repeat("i", 32)
	anotherID = strings.Repeat("j", 32)
	someTime  = le64(1_500_000_000) + le32(999_999_999)
	someHint  = someTime + le64(77) + le32(0) + "\x00"
)

// rawNode is a node without anything optional, up to its xattrs.
func rawNode(name string, typ, flags byte) string {
	return str8(name) + string([]byte{typ, flags}) + le16(0o644) + le32(1000) + le32(100) + str8("ada") + str8("") + someTime
}

func fileOf(name, content string) string {
	return rawNode(name, 1, 0) + le16(0) + le64(len(content)) + "\x00" + content + le16(0)
}

// chunkFile is a file of one chunk of 1,000 bytes.
func chunkFile(name string) string {
	return rawNode(name, 1, 0) + le16(0) + le64(1000) + "\x01\x01" + "\x01" + le32(1000) + anID + le16(0)
}

func rawRun(b byte, host string) string {
	return string([]byte{b}) + strings.Repeat("r", 15) + str8(host)
}

func rawBlock(run, n, ordinal int) string {
	return le16(run) + le32(n) + le32(ordinal) + le64(4096) + le32(100_016) + le32(100_000) + "\x00"
}

func rawPlace(block, start, length int) string { return le32(block) + le32(start) + le32(length) }

// ownBlock is the block that the raw pages lie in.
func ownBlock() pack.Block {
	b := pack.Block{Host: "own", Pack: 3, Ordinal: 4, Offset: 5, Sealed: 100_016, Plain: 100_000}
	copy(b.Run[:], "o"+strings.Repeat("r", 15))
	return b
}

// rawDir is a directory of three files: inline, of one chunk, of two chunks.
// The second chunk lies in the page's own block.
func rawDir() *raw {
	two := rawNode("c", 1, 0) + le16(0) + le64(66_536) + "\x01\x02" + "\x00" + le64(65_536) + "\x01" + le32(1000) + anotherID + le16(0)
	return &raw{
		kind: 1,
		rows: []string{fileOf("a", "hello"), chunkFile("b"), two}, hints: slices.Repeat([]string{someHint}, 3),
		runs: []string{rawRun('1', "host")}, blocks: []string{rawBlock(0, 1, 0)},
		places: [][]string{nil, {rawPlace(0, 10, 1000)}, {rawPlace(-1, 99_000, 1000)}},
	}
}

func rawInterior() *raw {
	return &raw{
		kind: 1, level: 1,
		rows: []string{
			str8("a") + anID + le64(3) + le64(2) + le64(1) + le64(100),
			str8("b") + anotherID + le64(1) + le64(0) + le64(0) + le64(0),
		},
		runs: []string{rawRun('1', "host")}, blocks: []string{rawBlock(0, 1, 0)},
		places: [][]string{{rawPlace(0, 10, 1000)}, {rawPlace(-1, 99_000, 1000)}},
	}
}

func rawList() *raw {
	return &raw{
		kind: 2,
		rows: []string{"\x01" + le32(1000) + anID, "\x00" + le64(65_536), "\x01" + le32(2000) + anotherID},
		runs: []string{rawRun('1', "host")}, blocks: []string{rawBlock(0, 1, 0)},
		places: [][]string{{rawPlace(0, 10, 1000)}, nil, {rawPlace(0, 0, 2000)}},
	}
}

func rawUsage() *raw {
	row := func(run byte, n int) string {
		return string([]byte{run}) + strings.Repeat("r", 15) + le32(n) + str8("host") + le64(3) + le64(30)
	}
	return &raw{kind: 3, rows: []string{row(1, 255), row(1, 256), row(2, 0)}, places: make([][]string, 3)}
}

// TestFormat compares what the pagers write with pages made by hand.
func TestFormat(t *testing.T) {
	for name, r := range map[string]*raw{"directory": rawDir(), "interior": rawInterior(), "list": rawList(), "usage": rawUsage()} {
		b := r.bytes()
		if err := catalog.CheckPage(b, ownBlock()); err != nil {
			t.Errorf("%s: CheckPage: %v", name, err)
			continue
		}
		p, err := catalog.ParsePage(b, ownBlock())
		if err != nil {
			t.Fatal(err)
		}
		if again, err := catalog.Reencode(p); err != nil || !bytes.Equal(again, b) {
			t.Errorf("%s: encoded again: %v\n%q; want\n%q", name, err, again, b)
		}
	}
	p, err := catalog.ParsePage(rawDir().bytes(), ownBlock())
	if err != nil {
		t.Fatal(err)
	}
	want := catalog.Row{
		Node: catalog.Node{
			Name: "c", Type: catalog.File, Mode: 0o644, UID: 1000, GID: 100, Owner: "ada",
			Mtime: catalog.Time{Sec: 1_500_000_000, Nsec: 999_999_999}, Size: 66_536,
			Extents: []catalog.Extent{
				{Zero: true, Len: 65_536},
				{Len: 1000, ID: [32]byte([]byte(anotherID)), Place: pack.Place{Block: ownBlock(), Start: 99_000, Len: 1000}},
			},
		},
		Hints: catalog.Hints{Ctime: catalog.Time{Sec: 1_500_000_000, Nsec: 999_999_999}, Ino: 77},
	}
	r, err := p.Row(2)
	if d := difference(r.Node, want.Node) + difference(r.Hints, want.Hints); err != nil || d != "" {
		t.Errorf("Row(2): %v; %s", err, d)
	}
}

// damage is one way to make a page wrong.
type damage struct {
	name   string
	page   func() *raw
	change func(r *raw)
	want   pack.Reason
}

func (d damage) bytes() []byte {
	r := d.page()
	d.change(r)
	return r.bytes()
}

var damages = []damage{
	{"bytes behind the page", rawDir, func(r *raw) { r.after = "x" }, pack.ReasonTrailing},
	{"no kind", rawDir, func(r *raw) { r.kind = 0 }, pack.ReasonKind},
	{"an unknown kind", rawUsage, func(r *raw) { r.kind = 4 }, pack.ReasonKind},
	{"too high a level", rawInterior, func(r *raw) { r.level = 17 }, pack.ReasonLimit},
	{"reserved bytes", rawList, func(r *raw) { r.zero[1] = 1 }, pack.ReasonReserved},
	{"no rows", rawUsage, func(r *raw) { r.rows, r.places = nil, nil }, pack.ReasonCount},
	{"more rows than there are", rawUsage, func(r *raw) { r.count = 1000 }, pack.ReasonTruncated},
	{"fewer rows than there are", rawUsage, func(r *raw) { r.count = 1 }, pack.ReasonTrailing},
	{"too many rows", rawUsage, func(r *raw) { r.count = 1<<16 + 1 }, pack.ReasonLimit},
	{"no hints", rawDir, func(r *raw) { r.hints = nil }, pack.ReasonTruncated},
	{"too few hints", rawDir, func(r *raw) { r.hints = r.hints[:1:1] }, pack.ReasonLimit},
	{"hints of an interior page", rawInterior, func(r *raw) { r.hints = []string{"", ""} }, pack.ReasonLength},
	{"hints of a list", rawList, func(r *raw) { r.hints = []string{"", "", ""} }, pack.ReasonLength},
	{"a hint that is cut off", rawDir, func(r *raw) { r.hints[1] = someHint[:24] }, pack.ReasonTruncated},
	{"a hint with more to it", rawDir, func(r *raw) { r.hints[1] += "x" }, pack.ReasonTrailing},
	{"holes of no known kind", rawDir, func(r *raw) { r.hints[1] = someHint[:24] + "\x03" }, pack.ReasonKind},
	{"a list of no holes", rawDir, func(r *raw) { r.hints[1] = someHint[:24] + "\x02" + le32(0) }, pack.ReasonCount},
	{"more holes than there are", rawDir, func(r *raw) { r.hints[1] = someHint[:24] + "\x02" + le32(1<<30) }, pack.ReasonTruncated},
	{"a change time with too many nanoseconds", rawDir, func(r *raw) { r.hints[0] = le64(0) + le32(1e9) + someHint[12:] }, pack.ReasonRange},

	{"a run that is not used", rawDir, func(r *raw) { r.runs = append(r.runs, rawRun('2', "host")) }, pack.ReasonCount},
	{"a run twice", rawDir, func(r *raw) {
		r.runs = append(r.runs, r.runs[0])
		r.blocks = append(r.blocks, rawBlock(1, 2, 0))
		r.places[2][0] = rawPlace(1, 0, 1000)
	}, pack.ReasonDuplicate},
	{"runs that are not in the order of their use", rawDir, func(r *raw) {
		r.runs = append(r.runs, rawRun('2', "host"))
		r.blocks = []string{rawBlock(1, 1, 0), rawBlock(0, 1, 0)}
		r.places[2][0] = rawPlace(1, 0, 1000)
	}, pack.ReasonOrder},
	{"a run of a host without a name", rawDir, func(r *raw) { r.runs[0] = rawRun('1', "") }, pack.ReasonText},
	{"a run of a host with a slash", rawDir, func(r *raw) { r.runs[0] = rawRun('1', "a/b") }, pack.ReasonText},
	{"a block of no run", rawDir, func(r *raw) { r.blocks[0] = rawBlock(1, 1, 0) }, pack.ReasonRange},
	{"a block that is not used", rawDir, func(r *raw) { r.blocks = append(r.blocks, rawBlock(0, 1, 1)) }, pack.ReasonCount},
	{"a block twice", rawDir, func(r *raw) {
		r.blocks = append(r.blocks, r.blocks[0])
		r.places[2][0] = rawPlace(1, 0, 1000)
	}, pack.ReasonDuplicate},
	{"blocks that are not in the order of their use", rawDir, func(r *raw) {
		r.blocks = append(r.blocks, rawBlock(0, 1, 1))
		r.places[1][0], r.places[2][0] = rawPlace(1, 0, 1000), rawPlace(0, 0, 1000)
	}, pack.ReasonOrder},
	{"its own block in the table", rawDir, func(r *raw) {
		r.runs[0], r.blocks[0] = rawRun('o', "own"), rawBlock(0, 3, 4)
	}, pack.ReasonRange},
	{"an unknown codec", rawDir, func(r *raw) { r.blocks[0] = r.blocks[0][:26] + "\x02" }, pack.ReasonCodec},
	{"a block of no bytes", rawDir, func(r *raw) { r.blocks[0] = r.blocks[0][:22] + le32(0) + "\x00" }, pack.ReasonLength},
	{"a block that is too large", rawDir, func(r *raw) {
		r.blocks[0] = r.blocks[0][:18] + le32(16<<20+17) + le32(16<<20+1) + "\x00"
	}, pack.ReasonLimit},
	{"a raw block of another length", rawDir, func(r *raw) { r.blocks[0] = r.blocks[0][:18] + le32(99) + r.blocks[0][22:] }, pack.ReasonLength},
	{"a block behind the end of any pack", rawDir, func(r *raw) {
		r.blocks[0] = r.blocks[0][:10] + le64(1<<30) + r.blocks[0][18:]
	}, pack.ReasonLimit},
	{"a place in no block", rawDir, func(r *raw) { r.places[1][0] = rawPlace(1, 0, 1000) }, pack.ReasonOrder},
	{"a place behind its block", rawDir, func(r *raw) { r.places[1][0] = rawPlace(0, 99_001, 1000) }, pack.ReasonRange},
	{"a place far behind its block", rawDir, func(r *raw) { r.places[1][0] = rawPlace(0, 1<<32-1, 1000) }, pack.ReasonRange},
	{"a place of no bytes", rawInterior, func(r *raw) { r.places[0][0] = rawPlace(0, 0, 0) }, pack.ReasonRange},
	{"a place that is not as long as its chunk", rawDir, func(r *raw) { r.places[1][0] = rawPlace(0, 0, 999) }, pack.ReasonLength},
	{"a chunk without a place", rawDir, func(r *raw) { r.places[2] = nil }, pack.ReasonCount},
	{"a place without a chunk", rawDir, func(r *raw) { r.places[0] = r.places[1] }, pack.ReasonCount},
	{"a place of a zero extent", rawList, func(r *raw) { r.places[1] = r.places[0] }, pack.ReasonCount},
	{"a place in a usage", rawUsage, func(r *raw) { r.places[1] = []string{rawPlace(-1, 0, 1)} }, pack.ReasonCount},

	{"names that do not ascend", rawDir, func(r *raw) { r.rows[0] = fileOf("bb", "") }, pack.ReasonOrder},
	{"a name twice", rawDir, func(r *raw) { r.rows[0] = fileOf("b", "") }, pack.ReasonDuplicate},
	{"no name among others", rawDir, func(r *raw) { r.rows[0] = fileOf("", "") }, pack.ReasonText},
	{"a name with a slash", rawDir, func(r *raw) { r.rows[0] = fileOf("a/", "") }, pack.ReasonText},
	{"a name with a NUL", rawDir, func(r *raw) { r.rows[0] = fileOf("a\x00", "") }, pack.ReasonText},
	{"the name of this directory", rawDir, func(r *raw) { r.rows[0] = fileOf(".", "") }, pack.ReasonText},
	{"the name of the directory above", rawDir, func(r *raw) { r.rows[0] = fileOf("..", "") }, pack.ReasonText},
	{"a row that is cut off", rawDir, func(r *raw) { r.rows[0] = r.rows[0][:len(r.rows[0])-1] }, pack.ReasonTruncated},
	{"an empty row", rawDir, func(r *raw) { r.rows[0] = "" }, pack.ReasonTruncated},
	{"a row with more to it", rawDir, func(r *raw) { r.rows[0] += "x" }, pack.ReasonTrailing},
	{"a row that is too long", rawDir, func(r *raw) {
		r.rows[2] = rawNode("c", 3, 0) + le16(0) + le16(1) + "t" + le16(1) + le16(2) + le32(1<<20) + strings.Repeat("x", 1<<20)
		r.places[2] = nil
	}, pack.ReasonLimit},
	{"no type", rawDir, func(r *raw) { r.rows[0] = rawNode("a", 0, 0) + le16(0) + le16(0) }, pack.ReasonKind},
	{"an unknown type", rawDir, func(r *raw) { r.rows[0] = rawNode("a", 8, 0) + le16(0) + le16(0) }, pack.ReasonKind},
	{"an unknown flag", rawDir, func(r *raw) { r.rows[0] = rawNode("a", 4, 16) + le16(0) + le16(0) }, pack.ReasonFlags},
	{"permissions with a type", rawDir, func(r *raw) {
		r.rows[0] = strings.Replace(fileOf("a", ""), le16(0o644), le16(0o10644), 1)
	}, pack.ReasonRange},
	{"a time with too many nanoseconds", rawDir, func(r *raw) {
		r.rows[0] = strings.Replace(fileOf("a", ""), someTime, le64(0)+le32(1e9), 1)
	}, pack.ReasonRange},
	{"a linked directory", rawDir, func(r *raw) {
		r.rows[0] = rawNode("a", 2, 2) + anID[:16] + le32(2) + le16(0) + strings.Repeat(le64(0), 4) + le16(0)
	}, pack.ReasonFlags},
	{"a link group without names", rawDir, func(r *raw) {
		r.rows[0] = rawNode("a", 4, 2) + anID[:16] + le32(0) + le16(0) + le16(0)
	}, pack.ReasonRange},
	{"inode flags that are 0", rawDir, func(r *raw) { r.rows[0] = rawNode("a", 4, 8) + le64(0) + le16(0) + le16(0) }, pack.ReasonFlags},
	{"an unreadable node without a reason", rawDir, func(r *raw) {
		r.rows[0] = rawNode("a", 1, 4) + le16(0) + le64(5) + le16(0) + le16(0)
	}, pack.ReasonLength},
	{"an unreadable directory with a size", rawDir, func(r *raw) {
		r.rows[0] = rawNode("a", 2, 4) + le16(0) + le64(5) + le16(1) + "x" + le16(0)
	}, pack.ReasonRange},
	{"an odd extension", rawDir, func(r *raw) {
		r.rows[0] = rawNode("a", 4, 0) + le16(0) + le16(1) + le16(1) + le32(0)
	}, pack.ReasonExtension},
	{"extensions that do not ascend", rawDir, func(r *raw) {
		r.rows[0] = rawNode("a", 4, 0) + le16(0) + le16(2) + le16(4) + le32(0) + le16(2) + le32(0)
	}, pack.ReasonOrder},
	{"an extension twice", rawDir, func(r *raw) {
		r.rows[0] = rawNode("a", 4, 0) + le16(0) + le16(2) + le16(2) + le32(0) + le16(2) + le32(0)
	}, pack.ReasonDuplicate},

	{"an xattr without a name", rawDir, func(r *raw) { r.rows[0] = withXattrs(str8("") + "\x00" + le32(0)) }, pack.ReasonLength},
	{"an xattr whose name has a NUL", rawDir, func(r *raw) { r.rows[0] = withXattrs(str8("a\x00") + "\x00" + le32(0)) }, pack.ReasonText},
	{"xattrs that do not ascend", rawDir, func(r *raw) {
		r.rows[0] = withXattrs(str8("b")+"\x00"+le32(0), str8("a")+"\x00"+le32(0))
	}, pack.ReasonOrder},
	{"an xattr twice", rawDir, func(r *raw) {
		r.rows[0] = withXattrs(str8("a")+"\x00"+le32(0), str8("a")+"\x00"+le32(0))
	}, pack.ReasonDuplicate},
	{"an xattr of an unknown form", rawDir, func(r *raw) { r.rows[0] = withXattrs(str8("a") + "\x02" + le32(0)) }, pack.ReasonKind},
	{"a long xattr in the row", rawDir, func(r *raw) {
		r.rows[0] = withXattrs(str8("a") + "\x00" + le32(4097) + strings.Repeat("x", 4097))
	}, pack.ReasonLimit},
	{"a short xattr as a chunk", rawDir, func(r *raw) {
		r.rows[0] = withXattrs(str8("a") + "\x01" + le32(4096) + anID)
		r.places[0] = []string{rawPlace(-1, 0, 4096)}
	}, pack.ReasonLength},
	{"too long an xattr", rawDir, func(r *raw) {
		r.rows[0] = withXattrs(str8("a") + "\x01" + le32(1<<16+1) + anID)
		r.places[0] = []string{rawPlace(-1, 0, 1<<16+1)}
	}, pack.ReasonLimit},
	{"too many xattrs", rawDir, func(r *raw) {
		var list []string
		for i := range 4097 {
			list = append(list, str8(fmt.Sprintf("%04d", i))+"\x00"+le32(0))
		}
		r.rows[0] = withXattrs(list...)
	}, pack.ReasonLimit},

	{"a content of an unknown form", rawDir, func(r *raw) {
		r.rows[0] = rawNode("a", 1, 0) + le16(0) + le64(1000) + "\x03" + le16(0)
	}, pack.ReasonKind},
	{"an inline content of 513 bytes", rawDir, func(r *raw) { r.rows[0] = fileOf("a", strings.Repeat("x", 513)) }, pack.ReasonLimit},
	{"a small content in a chunk", rawDir, func(r *raw) {
		r.rows[1] = rawNode("b", 1, 0) + le16(0) + le64(512) + "\x01\x01" + "\x01" + le32(512) + anID + le16(0)
		r.places[1][0] = rawPlace(0, 0, 512)
	}, pack.ReasonLimit},
	{"an empty content in a list", rawDir, func(r *raw) {
		r.rows[1] = rawNode("b", 1, 0) + le16(0) + le64(0) + "\x02\x00" + anID + le64(0) + le16(0)
	}, pack.ReasonLimit},
	{"no extents", rawDir, func(r *raw) {
		r.rows[1], r.places[1] = rawNode("b", 1, 0)+le16(0)+le64(1000)+"\x01\x00"+le16(0), nil
		r.runs, r.blocks = nil, nil
	}, pack.ReasonCount},
	{"nine extents in a node", rawDir, func(r *raw) {
		r.rows[1] = rawNode("b", 1, 0) + le16(0) + le64(9000) + "\x01\x09" + strings.Repeat("\x01"+le32(1000)+anID, 9) + le16(0)
		r.places[1] = slices.Repeat(r.places[1], 9)
	}, pack.ReasonCount},
	{"a list of eight extents", rawDir, func(r *raw) {
		r.rows[1] = rawNode("b", 1, 0) + le16(0) + le64(9000) + "\x02\x00" + anID + le64(8) + le16(0)
	}, pack.ReasonCount},
	{"a list of too high a level", rawDir, func(r *raw) {
		r.rows[1] = rawNode("b", 1, 0) + le16(0) + le64(9000) + "\x02\x11" + anID + le64(9) + le16(0)
	}, pack.ReasonLimit},
	{"extents that do not add up", rawDir, func(r *raw) {
		r.rows[1] = strings.Replace(r.rows[1], le64(1000), le64(1001), 1)
	}, pack.ReasonSum},
	{"an extent of an unknown kind", rawDir, func(r *raw) {
		r.rows[1] = rawNode("b", 1, 0) + le16(0) + le64(1000) + "\x01\x01" + "\x02" + le16(0)
	}, pack.ReasonKind},
	{"a file that is too large", rawDir, func(r *raw) {
		r.rows[1] = rawNode("b", 1, 0) + le16(0) + le64(-1<<63) + "\x02\x00" + anID + le64(9) + le16(0)
	}, pack.ReasonRange},
	{"an empty directory with a file below", rawDir, func(r *raw) {
		r.rows[0] = rawNode("a", 2, 0) + le16(0) + le64(0) + le64(1) + le64(0) + le64(0) + le16(0)
	}, pack.ReasonSum},
	{"more names than can be counted", rawDir, func(r *raw) {
		r.rows[1] = rawNode("b", 2, 0) + le16(0) + le64(-1) + le64(0) + le64(0) + le64(0) + "\x00" + anID + le16(0)
	}, pack.ReasonRange},
	{"a directory of too high a level", rawDir, func(r *raw) {
		r.rows[1] = rawNode("b", 2, 0) + le16(0) + le64(1) + le64(1) + le64(0) + le64(0) + "\x11" + anID + le16(0)
	}, pack.ReasonLimit},
	{"a symlink to nothing", rawDir, func(r *raw) { r.rows[0] = rawNode("a", 3, 0) + le16(0) + le16(0) + le16(0) }, pack.ReasonLength},
	{"a symlink to a NUL", rawDir, func(r *raw) { r.rows[0] = rawNode("a", 3, 0) + le16(0) + le16(1) + "\x00" + le16(0) }, pack.ReasonText},
	{"a symlink to far away", rawDir, func(r *raw) {
		r.rows[0] = rawNode("a", 3, 0) + le16(0) + le16(4096) + strings.Repeat("a", 4096) + le16(0)
	}, pack.ReasonLimit},

	{"an interior row without a name", rawInterior, func(r *raw) { r.rows[0] = str8("") + r.rows[0][2:] }, pack.ReasonText},
	{"interior rows that do not ascend", rawInterior, func(r *raw) { r.rows[0] = str8("c") + r.rows[0][2:] }, pack.ReasonOrder},
	{"an interior row twice", rawInterior, func(r *raw) { r.rows[1] = str8("a") + r.rows[1][2:] }, pack.ReasonDuplicate},
	{"an interior row that is cut off", rawInterior, func(r *raw) { r.rows[0] = r.rows[0][:60] }, pack.ReasonTruncated},
	{"an interior row with more to it", rawInterior, func(r *raw) { r.rows[0] += "x" }, pack.ReasonTrailing},
	{"sums that cannot be counted", rawInterior, func(r *raw) { r.rows[0] = str8("a") + anID + strings.Repeat(le64(-1), 4) }, pack.ReasonRange},

	{"an extent of no bytes", rawList, func(r *raw) { r.rows[1] = "\x00" + le64(0) }, pack.ReasonLength},
	{"a zero extent that ends anywhere", rawList, func(r *raw) { r.rows[1] = "\x00" + le64(1000) }, pack.ReasonRange},
	{"zero extents that touch", rawList, func(r *raw) { r.rows[2], r.places[2] = r.rows[1], nil }, pack.ReasonOrder},
	{"zero extents apart by anything", rawList, func(r *raw) {
		r.rows, r.places = append(r.rows, r.rows[1]), append(r.places, nil)
	}, pack.ReasonRange},
	{"a chunk that is larger than a block", rawList, func(r *raw) { r.rows[0] = "\x01" + le32(16<<20+1) + anID }, pack.ReasonLength},
	{"extents of too many bytes", rawList, func(r *raw) { r.rows[1] = "\x00" + le64(-1<<63) }, pack.ReasonRange},

	{"usage without references", rawUsage, func(r *raw) { r.rows[0] = r.rows[0][:25] + le64(0) + le64(30) }, pack.ReasonCount},
	{"usage of a host without a name", rawUsage, func(r *raw) { r.rows[0] = r.rows[0][:20] + str8("") + le64(1) + le64(30) }, pack.ReasonLength},
	{"usage of a host with a slash", rawUsage, func(r *raw) { r.rows[0] = r.rows[0][:20] + str8("a/b") + le64(1) + le64(30) }, pack.ReasonText},
	{"a pack twice", rawUsage, func(r *raw) { r.rows[1] = r.rows[0] }, pack.ReasonDuplicate},
	{"packs that do not ascend", rawUsage, func(r *raw) { r.rows[0], r.rows[1] = r.rows[1], r.rows[0] }, pack.ReasonOrder},
}

func withXattrs(list ...string) string {
	return rawNode("a", 4, 0) + le16(len(list)) + strings.Join(list, "") + le16(0)
}

// TestCheckPageRefuses sees that each kind of damage is refused for its
// reason, and that readers of single rows do not panic over it.
func TestCheckPageRefuses(t *testing.T) {
	for _, d := range damages {
		t.Run(d.name, func(t *testing.T) {
			b := d.bytes()
			err := catalog.CheckPage(b, ownBlock())
			var de *pack.DamageError
			if !errors.As(err, &de) || de.Reason != d.want {
				t.Fatalf("CheckPage: %v; want reason %q", err, d.want)
			}
			if old := d.want == pack.ReasonExtension; errors.Is(err, pack.ErrTooOld) != old || errors.Is(err, pack.ErrDamaged) == old {
				t.Errorf("CheckPage: %v: it is too old: %t, it is damaged: %t", err, errors.Is(err, pack.ErrTooOld), errors.Is(err, pack.ErrDamaged))
			}
			if de.Object == "" || de.Detail == "" {
				t.Errorf("CheckPage: %#v says too little", de)
			}
			touch(b, ownBlock())
		})
	}
}

// TestTruncatedPages cuts pages off after every byte.
func TestTruncatedPages(t *testing.T) {
	for _, page := range []*raw{rawDir(), rawInterior(), rawList(), rawUsage()} {
		b := page.bytes()
		for n := range b {
			if err := catalog.CheckPage(b[:n], ownBlock()); !errors.Is(err, pack.ErrDamaged) {
				t.Errorf("%d of %d bytes: %v", n, len(b), err)
			}
			touch(b[:n], ownBlock())
		}
	}
}

// TestOwnBlockInAPoint reads a page with a place in its own block as one that
// stands in a point, and so in no block.
func TestOwnBlockInAPoint(t *testing.T) {
	b := rawDir().bytes()
	var de *pack.DamageError
	if err := catalog.CheckPage(b, pack.Block{}); !errors.As(err, &de) || de.Reason != pack.ReasonRange {
		t.Errorf("CheckPage: %v; want reason %q", err, pack.ReasonRange)
	}
}

// TestPageGoesOnAfterCut adds rows behind one that ends the page.
func TestPageGoesOnAfterCut(t *testing.T) {
	r := &raw{kind: 1}
	add := func(name string) {
		r.rows, r.hints, r.places = append(r.rows, fileOf(name, "")), append(r.hints, someHint), append(r.places, nil)
	}
	last := ""
	for i := 0; len(r.rows) < 16 || cutHash([]byte(last))%128 != 0; i++ {
		last = fmt.Sprintf("%06d", i)
		add(last)
	}
	if err := catalog.CheckPage(r.bytes(), pack.Block{}); err != nil {
		t.Errorf("%d rows, of which the last ends the page: %v", len(r.rows), err)
	}
	add("x")
	var de *pack.DamageError
	if err := catalog.CheckPage(r.bytes(), pack.Block{}); !errors.As(err, &de) || de.Reason != pack.ReasonCount {
		t.Errorf("one more row: %v; want reason %q", err, pack.ReasonCount)
	}
}

// touch calls everything that reads a page, which must not panic.
func touch(b []byte, self pack.Block) {
	p, err := catalog.ParsePage(b, self)
	if err != nil {
		return
	}
	for i := range p.Len() {
		p.Row(i)
		p.Node(i)
		p.Interior(i)
		p.Extent(i)
		p.Usage(i)
		p.Search(p.Name(i))
	}
	p.Sums()
	catalog.PageUsage(p, func(pack.Place) {})
	catalog.FillBlocks(bytes.Clone(b), func(b pack.Block) (pack.Block, error) { b.Sealed++; return b, nil })
	catalog.OpenUsage(nil, b)
	catalog.OpenTree(nil, b)
}

// TestFillBlocks completes a page whose blocks were not complete.
func TestFillBlocks(t *testing.T) {
	whole := rawDir()
	part := rawDir()
	part.blocks[0] = part.blocks[0][:10] + le64(0) + le32(0) + le32(0) + "\x00"
	b := part.bytes()
	err := catalog.FillBlocks(b, func(b pack.Block) (pack.Block, error) {
		if b.Host != "host" || b.Run != keys.RunID([]byte(rawRun('1', "")[:16])) || b.Pack != 1 || b.Ordinal != 0 {
			t.Errorf("asked for %+v", b)
		}
		b.Offset, b.Sealed, b.Plain = 4096, 100_016, 100_000
		return b, nil
	})
	if err != nil || !bytes.Equal(b, whole.bytes()) {
		t.Errorf("FillBlocks: %v\n%q; want\n%q", err, b, whole.bytes())
	}
	gone := errors.New("gone")
	if err := catalog.FillBlocks(b, func(b pack.Block) (pack.Block, error) { return b, gone }); !errors.Is(err, gone) {
		t.Errorf("FillBlocks: %v; want %v", err, gone)
	}
	if err := catalog.FillBlocks(b, func(b pack.Block) (pack.Block, error) { b.Ordinal++; return b, nil }); err == nil {
		t.Error("FillBlocks took one block for another")
	}
}
