package tidemark_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"tidemark/catalog"
	"tidemark/chunk"
	"tidemark/keys"
	"tidemark/pack"
)

// vectorSecret is the secret of the repository that the vectors are of.
const vectorSecret = `tidemark secret 1
repository 54696465206d61726b20766563746f72
identity AGE-SECRET-KEY-1KGYD0CHQE96CZASKGWA3HP4V2VVAHHN0D7REGV589YRJ9PVSXJLSYFXAKJ
identity AGE-SECRET-KEY-1KSWDWHUZNJR2E9TV9V40CA2S6EN4LAH265J9P9VRZSV9W0P5WP8QWFHFP3
names 1f1e1d1c1b1a191817161514131211100f0e0d0c0b0a09080706050403020100
records 2f2e2d2c2b2a292827262524232221200f0e0d0c0b0a09080706050403020100
chunking 3f3e3d3c3b3a393837363534333231300f0e0d0c0b0a09080706050403020100
signing 4f4e4d4c4b4a494847464544434241400f0e0d0c0b0a09080706050403020100
groups 1 5f5e5d5c5b5a595857565554535251500f0e0d0c0b0a09080706050403020100
groups 2 6f6e6d6c6b6a696867666564636261600f0e0d0c0b0a09080706050403020100
`

// vectorIdentity is the newest identity of vectorSecret, and vectorRecipient is
// whom it opens what is sealed to.
const (
	vectorIdentity  = "AGE-SECRET-KEY-1KSWDWHUZNJR2E9TV9V40CA2S6EN4LAH265J9P9VRZSV9W0P5WP8QWFHFP3"
	vectorRecipient = "age1y264xga787zn9fjnhf57yd4jdsmvwfu33wmqmjx06ry3wsly5pvq0geqg2"
)

// Run secrets, sealed by age once: it never seals twice to the same bytes.
// Their keys are SHA-256("tidemark vectors run " + their names here).
const (
	// one is of the group server in epoch 2.
	sealedRunOne = `
		YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IFgyNTUxOSBYMjdESFY3RGhVTHA1c1NkRDIzVDBIZ2J1
		eXRYU3B5ZVE3VXd6NnNjMVZZCnR4RFMwc0pDNm1vdEU1V2IrRzl0NVUwOHBCbTV3LzdOSFBjMEVw
		amNFcjgKLS0tIEUvekh6STZDYUpqWHZ2YUV6WDVQVWl2bTBkbm9KSWV1blBBTUowVXJMRG8KAZXg
		cGpfoCHksg76x8XIlqtnR4mRfQTDC1210njQC9VuvtN0RGfbORk5I/VOYT/JmH7AZbpJePvzLlov
		W/9IOkafIqPV/Mdl6HwiK8bitpfMgcA6U3c/EP8UnYNW1zyQk668bFieLaiHsnc1mKiqqF1MBkfc
		tdlDcNhmXkNhXYq29pOxNw==`

	// two is of the group café in epoch 1.
	sealedRunTwo = `
		YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IFgyNTUxOSB3YVRxbTFWRjFiUVBPS0dsai90cnpLd3RO
		ZjI3OTZOMnhKemF0aTlCUGxnCjhDWnFvWE43Tndpalk5b1d0OEtsUS9sbkI0Q0tVcHZwM0FSR3F4
		empyejQKLS0tIEVjeVRiNkIvSC9Za25OM3VEMUlWOFptdGpMYmZhVS94SThJQWVDMTFYTlkKcp0x
		Yr+Bkct2zKRsRgJMdJDxThkifykak0oR5b8cV4EbDkMuXrvIczPZyYh+sf6rTxN3YnmB6T7E9JdS
		LjGqJB821g9GsFOYQK5VEbSSGCFGwoaV8gHNbdTpKpzux8eBInepbV2nnBHiBth+il0k2zbM7r/D
		JtAUM5/zia4RTGEsJ2JVkA==`

	// padded is of the group server in epoch 2, but what fills its name up is
	// not zero.
	sealedRunPadded = `
		YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IFgyNTUxOSBZSVpVNUdFdVJucFpRbUN0NkszR0YvVU04
		T1RVK2Rqd2ZtV1Vjb1hKb3prCm1USHBrckV5MDh0YVNwbjhCU0x0dFpXRENxOGhTSHFVMytrKzdt
		OFpNREkKLS0tIENjZm40WkhpcjEycU45QXZDZEg2UWpDVzh2SlhieTF6ZmhEMlRzLzVnZVUKw1qY
		2cTt0d4EC8KYo6tTCYE4jb/F3ndXPNlrgiPRGY3+XqSPH/KEsq5ayoLhdHOoMCgevZTF3x56ruLX
		TIyCcJ4c90FwD4oAsuPvjy/U4b+GHAV0OSuYUdp53OoPrAIs9ZpM1C3LXdI2icntq8Erdj6wEJsL
		BEkhJnPWss2JXZfxieeGLA==`
)

// The host and the sources that the vectors are about.
const (
	vectorHost   = "server"
	vectorSource = "app"
	otherSource  = "db"
)

// vectorTime is when the points were taken, and about when everything else.
var vectorTime = time.Date(2026, 11, 20, 14, 0, 0, 0, time.UTC)

// A vectorWorld is what the vectors are made from.
type vectorWorld struct {
	t       testing.TB
	secret  *keys.Secret
	keyring catalog.Keyring
	group   keys.Group // server, epoch 2
	ids     chunk.Keys // of group
	one     *keys.Run
	two     *keys.Run
	signing keys.PrivateKey // of the host: enrolled, and not derived from the secret
	host    catalog.Host

	made []*vector
}

func newVectorWorld(t testing.TB) *vectorWorld {
	t.Helper()
	secret, err := keys.ParseSecret([]byte(vectorSecret))
	if err != nil {
		t.Fatal(err)
	}
	if secret.Recipient() != vectorRecipient {
		t.Fatalf("the secret's recipient is %s", secret.Recipient())
	}
	w := &vectorWorld{t: t, secret: secret, keyring: catalog.SecretKeyring(secret)}
	if w.group, err = secret.Group(2, "server"); err != nil {
		t.Fatal(err)
	}
	w.ids = chunk.NewKeys(w.group.Secret())
	w.one = w.run("one", 2, "server", sealedRunOne)
	w.two = w.run("two", 1, "café", sealedRunTwo)
	w.keyring.Ring = pack.KeyRing{Secret: secret, Groups: []keys.Group{w.group}}
	w.signing = keys.NewPrivateKey(sha256.Sum256([]byte("tidemark vectors host key")))
	w.host = catalog.Host{Name: vectorHost, Segment: w.hostSegment(vectorHost), Group: "server"}
	w.host.Keys = append(w.host.Keys, w.signing.Public())
	return w
}

// run returns the run whose secret was sealed to the bytes in base64.
func (w *vectorWorld) run(name string, epoch uint32, group, sealed string) *keys.Run {
	key := keys.NewKey(sha256.Sum256([]byte("tidemark vectors run " + name)))
	r := &keys.Run{Secret: keys.RunSecret{Key: key, Epoch: epoch, Group: group}, Sealed: unbase64(w.t, sealed)}
	r.ID = r.Secret.ID()
	opened, err := w.secret.OpenRun(r.Sealed)
	if err != nil || opened.ID() != r.ID {
		w.t.Fatalf("run %s is %v: %v", name, opened.ID(), err)
	}
	return r
}

func unbase64(t testing.TB, text string) []byte {
	b, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (w *vectorWorld) hostSegment(host string) string {
	segment, err := w.secret.Names().Host(host)
	if err != nil {
		w.t.Fatal(err)
	}
	return segment
}

func (w *vectorWorld) sourceSegment(source string) string {
	segment, err := w.secret.Names().Source(vectorHost, source)
	if err != nil {
		w.t.Fatal(err)
	}
	return segment
}

// counter returns a source of bytes that are the same each time: SHA-256(seed
// || 0), SHA-256(seed || 1) …, the numbers being u64.
func counter(seed string) io.Reader { return &counterReader{seed: seed} }

type counterReader struct {
	seed string
	n    uint64
	left []byte
}

func (c *counterReader) Read(p []byte) (int, error) {
	if len(c.left) == 0 {
		sum := sha256.Sum256(binary.LittleEndian.AppendUint64([]byte(c.seed), c.n))
		c.left = sum[:]
		c.n++
	}
	n := copy(p, c.left)
	c.left = c.left[n:]
	return n, nil
}

func counterBytes(seed string, n int) []byte {
	b := make([]byte, n)
	_, _ = io.ReadFull(counter(seed), b) // never fails
	return b
}

// vectors returns all of them: first those to be accepted.
func (w *vectorWorld) vectors() []*vector {
	w.t.Helper()
	w.made = nil
	w.texts()
	w.names()
	w.records()
	w.points()
	w.pages()
	w.packs()
	w.contents()
	w.cuts()
	w.wrongTexts()
	w.wrongNames()
	w.wrongFrames()
	w.wrongRecords()
	w.wrongBodies()
	w.wrongPoints()
	w.wrongPacks()
	w.wrongPages()
	w.wrongSums()
	return w.made
}

// add adds a vector to be accepted.
func (w *vectorWorld) add(v *vector) *vector {
	if v.expect == "" {
		v.expect = accepted
	}
	w.made = append(w.made, v)
	return v
}

// get returns the vector with a name, which was added before.
func (w *vectorWorld) get(name string) *vector {
	w.t.Helper()
	for _, v := range w.made {
		if v.name == name {
			return v
		}
	}
	w.t.Fatalf("no vector is called %s", name)
	return nil
}

// withSecret is the input of what the secret opens: the vector that is it.
var withSecret = line{"secret", "secret"}

func (w *vectorWorld) texts() {
	w.add(&vector{name: "tidemark.json", comment: "The object that makes a repository of what lies beside it.",
		object: catalog.RepositoryObject, kind: "tidemark.json", body: catalog.EncodeRepository(w.secret.Repository)})
	w.add(&vector{name: "secret", comment: "A secret of two identities and two epochs, and what is derived from it.",
		kind: "secret", body: []byte(vectorSecret)})
	k, err := w.secret.CaptureOnly(vectorHost, "café", w.signing)
	if err != nil {
		w.t.Fatal(err)
	}
	w.add(&vector{name: "capture-only", comment: "The capture-only key of a host in a group of another name.",
		kind: "capture-only", body: k.Encode()})
}

func (w *vectorWorld) names() {
	for _, v := range []struct{ name, comment, host, source string }{
		{"name-host", "The name of a host.", vectorHost, ""},
		{"name-source", "The name of a source of that host.", vectorHost, vectorSource},
		{"name-utf8", "A name of two words and three scripts.", "größer 大きい", ""},
		{"name-31", "The longest name that is padded to 32 bytes.", strings.Repeat("n", 31), ""},
		{"name-32", "The shortest name that is padded to 64 bytes.", strings.Repeat("n", 32), ""},
		{"name-64", "The longest name.", strings.Repeat("n", 64), ""},
	} {
		inputs := []line{withSecret}
		segment, err := w.secret.Names().Host(v.host)
		if v.source != "" {
			inputs = append(inputs, line{"host", v.host})
			segment, err = w.secret.Names().Source(v.host, v.source)
		}
		if err != nil {
			w.t.Fatal(err)
		}
		w.add(&vector{name: v.name, comment: v.comment, kind: "name", inputs: inputs, body: []byte(segment)})
	}
}

// A sealing is how a record is closed.
type sealing struct {
	kind   pack.Kind
	with   pack.RecordKey   // zero if it is not sealed
	signer *keys.PrivateKey // nil if it is not signed
	inputs []line
}

func (w *vectorWorld) sealing(kind string) sealing {
	repository := w.secret.Signing()
	records := pack.RecordsKey(w.secret.Records())
	signers := line{"signers", hex.EncodeToString(w.signing.Public())}
	switch kind {
	case "index":
		return sealing{pack.Index, pack.IndexKey(w.group), nil, []line{withSecret, {"group", "2 server"}}}
	case "point":
		return sealing{pack.Point, pack.RunKey(w.one), &w.signing, []line{withSecret, signers}}
	case "intent":
		return sealing{pack.Intent, pack.RunKey(w.one), &w.signing, []line{withSecret, signers}}
	case "host mark":
		return sealing{pack.Mark, pack.RunKey(w.one), &w.signing, []line{withSecret, signers}}
	case "mark":
		return sealing{pack.Mark, records, &repository, []line{withSecret, signers}}
	case "rules":
		return sealing{pack.Rules, records, &repository, []line{withSecret}}
	case "condemned":
		return sealing{kind: pack.Condemned, signer: &repository, inputs: []line{withSecret}}
	case "moved":
		return sealing{pack.Moved, pack.IndexKey(w.group), &repository, []line{withSecret, {"group", "2 server"}}}
	case "enrolment":
		return sealing{pack.Enrolment, records, &repository, []line{withSecret}}
	case "feature":
		return sealing{kind: pack.Feature, inputs: []line{withSecret}}
	}
	w.t.Fatalf("no record is a %s", kind)
	return sealing{}
}

// seal returns the object that holds body.
func (w *vectorWorld) seal(s sealing, object string, body []byte) []byte {
	w.t.Helper()
	if s.signer != nil {
		body = pack.SignBody(s.kind, w.secret.Repository, object, body, *s.signer)
	}
	if s.kind == pack.Condemned || s.kind == pack.Feature {
		return pack.PlainRecord(s.kind, w.secret.Repository, object, body)
	}
	b, err := pack.SealRecord(counter("nonce of "+object), s.kind, w.secret.Repository, object, s.with, body)
	if err != nil {
		w.t.Fatal(err)
	}
	return b
}

// record adds a record that is sealed as those of a kind are.
func (w *vectorWorld) record(name, comment, kind, object string, body []byte) *vector {
	w.t.Helper()
	s := w.sealing(kind)
	return w.add(&vector{name: name, comment: comment, object: object, kind: strings.TrimPrefix(kind, "host "),
		inputs: s.inputs, body: w.seal(s, object, body)})
}

// evenExt are extensions that readers ignore and keep.
var evenExt = []pack.Ext{{ID: 2, Value: []byte("two")}, {ID: 40, Value: nil}}

func (w *vectorWorld) object(area catalog.Area, number uint64) string {
	return catalog.ObjectName{Area: area, Host: w.host.Segment, Number: number}.String()
}

func (w *vectorWorld) enrolment() *catalog.Enrolment {
	return &catalog.Enrolment{Host: vectorHost, Key: w.signing.Public(), Group: "server",
		Time: catalog.Time{Sec: vectorTime.Unix(), Nsec: 1}}
}

func (w *vectorWorld) rules() *catalog.Rules {
	return &catalog.Rules{Zone: "Europe/Berlin", Time: catalog.Time{Sec: -1, Nsec: 999_999_999}, Rules: []catalog.Rule{
		{Keep: catalog.Keep{Hourly: 24, Daily: 7, Weekly: 5, Monthly: catalog.KeepForever}},
		{Source: vectorSource, Keep: catalog.Keep{Last: 1, Yearly: 10}},
		{Host: vectorHost, Source: otherSource, Keep: catalog.Keep{Daily: 1}},
	}}
}

func (w *vectorWorld) condemned() *catalog.Condemned {
	return &catalog.Condemned{Reason: catalog.Compacted, Time: catalog.Time{Sec: vectorTime.Unix()}, Packs: []catalog.CondemnedPack{
		{Host: w.host.Segment, Run: w.one.ID, Number: 1}, {Host: w.host.Segment, Run: w.one.ID, Number: 258},
	}}
}

// point is the name of the point that the vectors are about.
func (w *vectorWorld) pointName() catalog.PointName {
	return catalog.PointName{Time: vectorTime, Sequence: 42, Complete: true, Members: 2, Named: true, Run: w.one.ID}
}

func (w *vectorWorld) pin() *catalog.Mark {
	return &catalog.Mark{Signer: catalog.ByHost, Kind: catalog.Pin, Host: vectorHost, Source: vectorSource, Point: w.pointName(),
		Time: catalog.Time{Sec: vectorTime.Unix(), Nsec: 5}, End: catalog.Time{Sec: vectorTime.Unix() + 86400}, Text: "before the move"}
}

func (w *vectorWorld) markName(number uint64) string {
	return catalog.ObjectName{Area: catalog.MarkArea, Host: w.host.Segment, Point: w.pointName(), Number: number}.String()
}

// records adds all kinds of records but points and intents.
func (w *vectorWorld) records() {
	const n8 = 0x0000001a
	enrolment := w.enrolment()
	w.record("enrolment", "A key that signs for a host from then on.", "enrolment", w.object(catalog.HostArea, n8), enrolment.Encode())
	enrolment.Ext = evenExt
	w.record("enrolment-extensions", "The same, with extensions of a later version that may be ignored.",
		"enrolment", w.object(catalog.HostArea, n8), enrolment.Encode())
	enrolment.Revoke, enrolment.Ext = true, nil
	w.record("enrolment-revoke", "A key that signs no more.", "enrolment", w.object(catalog.HostArea, n8+1), enrolment.Encode())

	w.record("rules", "Keep rules for all, for one source, and for one of one host.", "rules",
		catalog.ObjectName{Area: catalog.RulesArea, Number: n8}.String(), w.rules().Encode())
	w.record("mark-pin", "A pin that ends, by the host itself.", "host mark", w.markName(1), w.pin().Encode())
	readBack := w.pin()
	readBack.Signer, readBack.Kind, readBack.End, readBack.Text, readBack.Bytes = catalog.ByRepository, catalog.ReadBack, catalog.Time{}, "", 1<<40
	w.record("mark-read-back", "Something read back, by who holds the secret.", "mark", w.markName(0xfedcba9876543210), readBack.Encode())
	w.record("condemned", "Two packs that a compaction means to delete.", "condemned",
		catalog.ObjectName{Area: catalog.CondemnedArea, ID: [16]byte{0: 0xab, 15: 0xcd}}.String(), w.condemned().Encode())
	feature := &catalog.Feature{Needed: catalog.Writing | catalog.Pruning, Text: "an example; version 7 knows it"}
	w.record("feature", "A feature that a program must know to write or to prune.", "feature",
		catalog.ObjectName{Area: catalog.FeatureArea, Label: "example-1"}.String(), feature.Encode())
	w.record("index", "What two data packs of a run hold.", "index", w.indexName(), pack.EncodeIndex(w.index()))
	w.record("moved", "Three pieces of a pack that went to two others.", "moved", w.movedName(), pack.EncodeMoved(w.moved()))
}

func (w *vectorWorld) indexName() string {
	name, err := pack.IndexName(w.secret.Names(), vectorHost, w.one.ID, 3)
	if err != nil {
		w.t.Fatal(err)
	}
	return name
}

func (w *vectorWorld) movedName() string {
	name, err := pack.MovedName(w.secret.Names(), vectorHost, w.one.ID, 7, 2)
	if err != nil {
		w.t.Fatal(err)
	}
	return name
}

func (w *vectorWorld) chunkID(seed string) chunk.ID { return w.ids.ChunkID([]byte(seed)) }

func (w *vectorWorld) index() pack.IndexBody {
	return pack.IndexBody{Packs: []pack.IndexPack{
		{N: 1, Blocks: []pack.DirBlock{
			{Offset: 500, Sealed: 1016, Plain: 1000, Codec: pack.Raw, Pieces: []pack.Piece{{ID: w.chunkID("a"), Len: 1000}}},
			{Offset: 1516, Sealed: 300, Plain: 1000, Codec: pack.Zstd, Pieces: []pack.Piece{{ID: w.chunkID("b"), Len: 1}, {ID: w.chunkID("c"), Len: 999}}},
		}},
		{N: 300, Blocks: []pack.DirBlock{
			{Offset: 501, Sealed: 17, Plain: 1, Codec: pack.Raw, Pieces: []pack.Piece{{ID: w.chunkID("d"), Len: 1}}},
		}},
	}}
}

// somewhere returns a block of a run, as it may be.
func somewhere(run *keys.Run, n, ordinal uint32) pack.Block {
	return pack.Block{Host: vectorHost, Run: run.ID, Pack: n, Ordinal: ordinal,
		Offset: 4096 * uint64(ordinal+1), Sealed: 70_000, Plain: 262_144, Codec: pack.Zstd}
}

func (w *vectorWorld) moved() pack.MovedBody {
	a, b := somewhere(w.one, 9, 0), somewhere(w.two, 1, 4)
	return pack.MovedBody{Moves: []pack.Move{
		{Ordinal: 0, Start: 0, ID: w.chunkID("a"), To: pack.Place{Block: b, Start: 0, Len: 1000}},
		{Ordinal: 0, Start: 1000, ID: w.chunkID("b"), To: pack.Place{Block: a, Start: 17, Len: 1}},
		{Ordinal: 2, Start: 0, ID: w.chunkID("c"), To: pack.Place{Block: b, Start: 1000, Len: 999}},
	}}
}

// packs adds a data pack and a tree pack.
func (w *vectorWorld) packs() {
	b := w.builder(pack.DataPack, 1)
	raw := counterBytes("a chunk", 300)
	w.block(b, pack.Raw, raw, raw)
	// A zstd frame of a kilobyte of "a" and one of "b", as the format's users
	// may meet it: one block, no length in its header, no checksum.
	plain := []byte(strings.Repeat("a", 1024) + strings.Repeat("b", 1024))
	w.block(b, pack.Zstd, zstdOfTwo, plain[:1024], plain[1024:])
	w.finish(b, "pack-data", "A data pack of a block that is not compressed and one that is, of two chunks.", "1")

	b = w.builder(pack.TreePack, 2)
	page := w.get("page-directory").body
	w.block(b, pack.Raw, page, page)
	w.finish(b, "pack-tree", "A tree pack of one page.", "2")
}

// zstdOfTwo is a zstd frame that holds 1,024 times "a" and 1,024 times "b".
// It has no length of the content and no checksum: an RLE block for each.
var zstdOfTwo = []byte{
	0x28, 0xb5, 0x2f, 0xfd, // magic number
	0x00, 0x58, // no content size, window of 2 MiB
	0x02, 0x20, 0x00, 'a', // 1,024 times "a"
	0x03, 0x20, 0x00, 'b', // the last block: 1,024 times "b"
}

func (w *vectorWorld) builder(kind pack.Kind, n uint32) *pack.Builder {
	b, err := pack.NewBuilder(w.secret.Names(), w.one, w.secret.Repository, vectorHost, kind, n, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return b
}

// block adds a block of pieces, whose bytes are stored as data.
func (w *vectorWorld) block(b *pack.Builder, codec uint8, data []byte, pieces ...[]byte) {
	w.t.Helper()
	var size uint32
	var rows []pack.Piece
	for _, p := range pieces {
		rows = append(rows, pack.Piece{ID: w.pieceID(p), Len: uint32(len(p))})
		size += uint32(len(p))
	}
	if _, err := b.AddBlock(codec, data, size, rows); err != nil {
		w.t.Fatal(err)
	}
}

// pieceID returns the id of a chunk, or of a page if that is what b is.
func (w *vectorWorld) pieceID(b []byte) chunk.ID {
	if identity, err := pack.PageIdentity("", b); err == nil {
		return w.ids.PageID(identity)
	}
	return w.ids.ChunkID(b)
}

func (w *vectorWorld) finish(b *pack.Builder, name, comment, kind string) {
	w.t.Helper()
	object, bytes, err := b.Finish()
	if err != nil {
		w.t.Fatal(err)
	}
	w.add(&vector{name: name, comment: comment, object: object, kind: "pack", inputs: []line{withSecret, {"kind", kind}}, body: bytes})
}

// points adds points and an intent.
func (w *vectorWorld) points() {
	full := w.point()
	w.record("point", "A point of two sources, with all that one can have.", "point", w.pointObject(catalog.PointArea, full), full.Encode())
	w.record("intent", "The intent of that point.", "intent", w.pointObject(catalog.IntentArea, full), full.Encode())
	first := w.firstPoint()
	w.record("point-first", "The first point of a source, incomplete, of an empty directory, without a name or a snapshot.",
		"point", w.pointObject(catalog.PointArea, first), first.Encode())
}

func (w *vectorWorld) pointObject(area catalog.Area, p *catalog.Point) string {
	return catalog.ObjectName{Area: area, Host: w.host.Segment, Source: w.sourceSegment(p.Source), Point: p.Name(w.one.ID)}.String()
}

func (w *vectorWorld) point() *catalog.Point {
	at := vectorTime.Unix()
	return &catalog.Point{
		Host: vectorHost, Source: vectorSource, Time: vectorTime, Sequence: 42, Complete: true,
		Previous: sha256.Sum256([]byte("the point before")),
		Instant:  catalog.Time{Sec: at - 3, Nsec: 123_456_789}, Began: catalog.Time{Sec: at - 2}, Ended: catalog.Time{Sec: at + 60, Nsec: 1},
		Title: "before the move", Path: "/srv/app\xff", Snapshot: &catalog.Snapshot{Snapshotter: "zfs", Name: "tank/app@1", GUID: 1<<64 - 1},
		Set:       []catalog.Member{{Source: vectorSource, Sequence: 42}, {Source: otherSource, Sequence: 7}},
		ReadBytes: 1, ChangedFiles: 2, NewBytes: 3, AddedBytes: 4,
		UnreadableCount: 3, Unreadable: []catalog.Unreadable{{Path: "a", Reason: "it changed while it was read"}, {Path: "b\n", Reason: "permission denied"}},
		Crossed: true, Excludes: []string{"*.tmp", "/cache/"}, Version: "tidemark 1.0",
		Root: w.rootPage(), Usage: w.usagePage(), Ext: evenExt,
	}
}

func (w *vectorWorld) firstPoint() *catalog.Point {
	at := vectorTime.Unix()
	return &catalog.Point{
		Host: vectorHost, Source: otherSource, Time: vectorTime, Sequence: 1, Fresh: true,
		Instant: catalog.Time{Sec: at}, Began: catalog.Time{Sec: at}, Ended: catalog.Time{Sec: at},
		Path: "/", Set: []catalog.Member{{Source: otherSource, Sequence: 1}},
		Root: w.root(&catalog.Row{Node: catalog.Node{Type: catalog.Dir, Mode: 0o755}}),
	}
}

func (w *vectorWorld) root(r *catalog.Row) []byte {
	w.t.Helper()
	page, err := catalog.RootPage(r, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return page
}

// rootPage is the root page of a tree of four names.
func (w *vectorWorld) rootPage() []byte {
	block := somewhere(w.one, 2, 0)
	return w.root(&catalog.Row{
		Node: catalog.Node{Type: catalog.Dir, Mode: 0o2755, UID: 1000, GID: 100, Owner: "ada", Group: "users",
			Mtime: catalog.Time{Sec: -1, Nsec: 999_999_999}, Below: catalog.Totals{Names: 4, Files: 2, Dirs: 1, Bytes: 6},
			Child: catalog.Ref{ID: w.chunkID("a page"), Level: 1, Place: pack.Place{Block: block, Start: 10, Len: 500}}},
		Hints: catalog.Hints{Ctime: catalog.Time{Sec: 1}, Ino: 2},
	})
}

func (w *vectorWorld) usageRows() []catalog.UsageRow {
	return []catalog.UsageRow{
		{Host: vectorHost, Run: w.one.ID, N: 1, Refs: 3, Bytes: 700},
		{Host: vectorHost, Run: w.one.ID, N: 2, Refs: 1, Bytes: 500},
		{Host: vectorHost, Run: w.one.ID, N: 256, Refs: 1, Bytes: 1 << 40},
	}
}

func (w *vectorWorld) usagePage() []byte {
	pager := catalog.NewUsagePager(func(*catalog.Draft) (catalog.Ref, error) { return catalog.Ref{}, fmt.Errorf("a second page") })
	for _, r := range w.usageRows() {
		if err := pager.Add(&r); err != nil {
			w.t.Fatal(err)
		}
	}
	page, err := pager.Close(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return page
}

// jsonText returns v in one line.
func jsonText(t testing.TB, v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
