package tidemark_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"tidemark/catalog"
	"tidemark/chunk"
	"tidemark/keys"
	"tidemark/pack"
)

// wrong adds a vector to be refused: that with the name of, changed. The
// reason comes first in the name it is given after that.
func (w *vectorWorld) wrong(of, what string, reason pack.Reason, comment string, change func(v *vector)) {
	w.t.Helper()
	good := w.get(of)
	v := *good
	v.inputs = slices.Clone(good.inputs)
	v.body = bytes.Clone(good.body)
	v.name, v.expect, v.comment = of+"-bad-"+what, string(reason), comment
	change(&v)
	w.add(&v)
}

// A swap replaces a piece of text, which must be there once.
func swap(old, new string) func(v *vector) {
	return func(v *vector) {
		if bytes.Count(v.body, []byte(old)) != 1 {
			panic(fmt.Sprintf("%s: %q is not there once", v.name, old))
		}
		v.body = bytes.Replace(v.body, []byte(old), []byte(new), 1)
	}
}

func setByte(offset int, b byte) func(v *vector) {
	return func(v *vector) { v.body[offset] = b }
}

func cutOff(n int) func(v *vector) {
	return func(v *vector) { v.body = v.body[:len(v.body)-n] }
}

func appendBytes(b string) func(v *vector) {
	return func(v *vector) { v.body = append(v.body, b...) }
}

func setInput(name, value string) func(v *vector) {
	return func(v *vector) {
		for i := range v.inputs {
			if v.inputs[i].name == name {
				v.inputs[i].value = value
			}
		}
	}
}

func (w *vectorWorld) wrongTexts() {
	w.wrong("tidemark.json", "newer", pack.ReasonVersion, "The format of a later version, with a field that is not known yet.",
		func(v *vector) { v.body = []byte(`{"format":2,"repository":"elsewhere","more":true}` + "\n") })
	w.wrong("tidemark.json", "spaces", pack.ReasonText, "A space after the comma.", swap(`,`, `, `))
	w.wrong("tidemark.json", "no-line-feed", pack.ReasonText, "No line feed at the end.", cutOff(1))
	w.wrong("tidemark.json", "upper-case", pack.ReasonText, "An upper-case hex digit.", swap("6f72", "6F72"))

	w.wrong("secret", "title", pack.ReasonMagic, "Another first line.", swap("tidemark secret", "tidemark secrets"))
	w.wrong("secret", "version", pack.ReasonVersion, "A later version of the text.", swap("secret 1\n", "secret 2\n"))
	w.wrong("secret", "order", pack.ReasonText, "The lines names and records are exchanged.", func(v *vector) {
		swap("names 1f", "RECORDS 1f")(v)
		swap("records 2f", "names 2f")(v)
		swap("RECORDS 1f", "records 1f")(v)
	})
	w.wrong("secret", "epochs-fall", pack.ReasonOrder, "The epochs do not rise.", func(v *vector) {
		swap("groups 1 ", "groups 3 ")(v)
	})
	w.wrong("secret", "epoch-twice", pack.ReasonDuplicate, "The second epoch is the first.", swap("groups 2 ", "groups 1 "))
	w.wrong("secret", "epoch-zero", pack.ReasonRange, "An epoch that is 0.", swap("groups 1 ", "groups 0 "))
	w.wrong("secret", "leading-zero", pack.ReasonText, "An epoch with a leading zero.", swap("groups 1 ", "groups 01 "))
	w.wrong("secret", "short-key", pack.ReasonLength, "A key of 62 digits.", swap("0100\nrecords", "01\nrecords"))
	w.wrong("secret", "upper-case", pack.ReasonText, "A key in upper case.", swap("names 1f1e", "names 1F1e"))
	w.wrong("secret", "cut-off", pack.ReasonTruncated, "The last line has no end.", cutOff(1))
	w.wrong("secret", "more", pack.ReasonTrailing, "A line more.", appendBytes("more\n"))

	w.wrong("capture-only", "title", pack.ReasonMagic, "Another first line.", swap("only key", "only  key"))
	w.wrong("capture-only", "host", pack.ReasonText, "A host whose name has a slash.", swap("host server", "host ser/er"))
	w.wrong("capture-only", "recipient", pack.ReasonText, "No age recipient.", swap("recipient age1", "recipient age2"))
	w.wrong("capture-only", "epoch-zero", pack.ReasonRange, "An epoch that is 0.", swap("group 2 ", "group 0 "))
	w.wrong("capture-only", "more", pack.ReasonTrailing, "A line more.", appendBytes("\n"))
}

// derived returns a key derived from the names key.
func (w *vectorWorld) derived(info string) []byte {
	_, names, _ := strings.Cut(vectorSecret, "\nnames ")
	key, err := hex.DecodeString(names[:64])
	if err == nil {
		key, err = hkdf.Key(sha256.New, key, nil, info, 32)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return key
}

// sealPadded returns the segment of a host's name that was padded somehow.
func (w *vectorWorld) sealPadded(padded []byte) []byte {
	mac := hmac.New(sha256.New, w.derived("tidemark 1 names mac"))
	mac.Write([]byte{1})
	mac.Write(padded)
	tag := mac.Sum(nil)[:16]
	block, err := aes.NewCipher(w.derived("tidemark 1 names cipher"))
	if err != nil {
		w.t.Fatal(err)
	}
	sealed := slices.Concat(tag, padded)
	cipher.NewCTR(block, tag).XORKeyStream(sealed[16:], padded)
	return []byte(strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sealed)))
}

func (w *vectorWorld) wrongNames() {
	padded := func(length byte, name string, size int) []byte {
		return append(append([]byte{length}, name...), make([]byte, size-1-len(name))...)
	}
	if got := w.sealPadded(padded(6, "server", 32)); !bytes.Equal(got, w.get("name-host").body) {
		w.t.Fatalf("the name of the host is sealed as %s, by docs/format.md as %s", w.get("name-host").body, got)
	}
	sealed := func(b []byte) func(*vector) { return func(v *vector) { v.body = w.sealPadded(b) } }
	w.wrong("name-host", "tag", pack.ReasonSeal, "A character of the tag is another.", func(v *vector) {
		v.body[0] ^= 'a' ^ 'b'
	})
	w.wrong("name-source", "host", pack.ReasonSeal, "The source of a host, below another one.", setInput("host", "other"))
	w.wrong("name-host", "padding", pack.ReasonPadding, "The last byte of the padding is 1.", func(v *vector) {
		b := padded(6, "server", 32)
		b[31] = 1
		v.body = w.sealPadded(b)
	})
	w.wrong("name-host", "padded-too-far", pack.ReasonLength, "A short name, padded to 64 bytes.", sealed(padded(6, "server", 64)))
	w.wrong("name-host", "empty", pack.ReasonLength, "A name of no bytes.", sealed(padded(0, "", 32)))
	w.wrong("name-host", "long", pack.ReasonLength, "A name of 65 bytes.", sealed(padded(65, strings.Repeat("n", 65), 96)))
	w.wrong("name-host", "slash", pack.ReasonText, "A name with a slash.", sealed(padded(3, "a/b", 32)))
	w.wrong("name-host", "dots", pack.ReasonText, "The name ...", sealed(padded(2, "..", 32)))
	w.wrong("name-host", "control", pack.ReasonText, "A name with U+0085.", sealed(padded(3, "a\u0085", 32)))
	w.wrong("name-host", "utf8", pack.ReasonText, "A name that is not UTF-8.", sealed(padded(2, "a\xff", 32)))
	w.wrong("name-host", "upper-case", pack.ReasonText, "The base32 in upper case.", func(v *vector) { v.body = bytes.ToUpper(v.body) })
	w.wrong("name-host", "cut-off", pack.ReasonLength, "A name that is padded to 16 bytes.", sealed(padded(6, "server", 16)))
}

// Offsets in a frame, docs/format.md, section 6.
const (
	kindAt       = 4
	versionAt    = 5
	reservedAt   = 6
	repositoryAt = 8
	nameAt       = 26
)

// wrongFrames changes the frame of an object that is not sealed, and of one
// that is: the frame is checked first.
func (w *vectorWorld) wrongFrames() {
	for _, of := range []string{"feature", "enrolment", "pack-data"} {
		w.wrong(of, "magic", pack.ReasonMagic, "The first byte is another.", setByte(0, 't'))
		w.wrong(of, "kind", pack.ReasonKind, "The kind is that of a point.", setByte(kindAt, 4))
		w.wrong(of, "version", pack.ReasonVersion, "A later version.", setByte(versionAt, 2))
		w.wrong(of, "reserved", pack.ReasonReserved, "A reserved byte is not zero.", setByte(reservedAt+1, 1))
		w.wrong(of, "repository", pack.ReasonRepository, "Another repository's object.", func(v *vector) { v.body[repositoryAt] ^= 1 })
		w.wrong(of, "name", pack.ReasonName, "An object that was stored under another name.", func(v *vector) { v.body[nameAt+len(v.object)-1] ^= 1 })
		w.wrong(of, "no-frame", pack.ReasonTruncated, "Only ten bytes.", func(v *vector) { v.body = v.body[:10] })
	}
}

// sealingAt returns where the sealing of a record stands in it.
func sealingAt(v *vector) int { return nameAt + len(v.object) }

// wrongRecords changes records where they are sealed and signed.
func (w *vectorWorld) wrongRecords() {
	for of, by := range map[string]byte{"point": 2, "intent": 3, "mark-pin": 3, "rules": 1, "enrolment": 3, "mark-read-back": 3, "index": 1, "moved": 2} {
		w.wrong(of, "sealing", pack.ReasonRange, "Sealed by a key that such records are not sealed by.", func(v *vector) { v.body[sealingAt(v)] = by })
	}
	w.wrong("mark-pin", "signer", pack.ReasonSignature, "A mark of the host that says that the repository signed it.", func(v *vector) {
		m := w.pin()
		m.Signer = catalog.ByRepository
		v.body = w.seal(w.sealing("host mark"), v.object, m.Encode())
	})
	w.wrong("point", "run-id", pack.ReasonID, "The id of the run is not that of the run secret.", func(v *vector) { v.body[sealingAt(v)+1] ^= 1 })
	w.wrong("rules", "key-id", pack.ReasonReserved, "A key id, which a record under the records key has none of.", setAfterSealing(1, 1))
	w.wrong("point", "run-secret", pack.ReasonPadding, "A run secret whose group's name is filled up with something else than zeros.", func(v *vector) {
		s := w.sealing("point")
		run := *w.one
		run.Sealed = unbase64(w.t, sealedRunPadded)
		s.with = pack.RunKey(&run)
		v.body = w.seal(s, v.object, w.point().Encode())
	})
	w.wrong("rules", "run-secret", pack.ReasonLimit, "A sealed run secret in a record that has none.", func(v *vector) {
		i := sealingAt(v) + 17
		v.body = slices.Insert(v.body, i+2, 'x')
		v.body[i] = 1
	})
	w.wrong("point", "no-run-secret", pack.ReasonLength, "No sealed run secret.", func(v *vector) {
		i := sealingAt(v) + 17
		n := int(binary.LittleEndian.Uint16(v.body[i:]))
		v.body = slices.Delete(v.body, i+2, i+2+n)
		v.body[i], v.body[i+1] = 0, 0
	})
	w.wrong("point", "long-run-secret", pack.ReasonLimit, "A sealed run secret of 3,073 bytes.", func(v *vector) {
		i := sealingAt(v) + 17
		n := int(binary.LittleEndian.Uint16(v.body[i:]))
		v.body = slices.Insert(v.body, i+2+n, make([]byte, 3073-n)...)
		binary.LittleEndian.PutUint16(v.body[i:], 3073)
	})
	for _, of := range []string{"point", "rules", "index"} {
		w.wrong(of, "seal", pack.ReasonSeal, "The last bit is another.", func(v *vector) { v.body[len(v.body)-1] ^= 1 })
		w.wrong(of, "cut-off", pack.ReasonSeal, "The last byte is missing.", cutOff(1))
	}
	w.wrong("index", "no-seal", pack.ReasonTruncated, "It ends after the nonce.", func(v *vector) {
		v.body = v.body[:sealingAt(v)+1+16+2+12]
	})
	w.wrongSignatures()
}

func setAfterSealing(offset int, b byte) func(v *vector) {
	return func(v *vector) { v.body[sealingAt(v)+offset] = b }
}

func (w *vectorWorld) wrongSignatures() {
	signedBy := func(kind string, key keys.PrivateKey, body []byte) func(v *vector) {
		return func(v *vector) {
			s := w.sealing(kind)
			s.signer = &key
			v.body = w.seal(s, v.object, body)
		}
	}
	another := keys.NewPrivateKey(sha256.Sum256([]byte("another host's key")))
	repository := w.secret.Signing()
	w.wrong("point", "signature", pack.ReasonSignature, "Signed by a key that is not the host's.", signedBy("point", another, w.point().Encode()))
	w.wrong("point", "derived-key", pack.ReasonSignature, "Signed by the key that the secret gives the host, but that is not enrolled.",
		signedBy("point", w.secret.HostKey(1, vectorHost), w.point().Encode()))
	w.wrong("point", "repository-key", pack.ReasonSignature, "Signed by the repository's key, not by the host's.", signedBy("point", repository, w.point().Encode()))
	w.wrong("intent", "signature", pack.ReasonSignature, "Signed by a key that is not the host's.", signedBy("intent", another, w.point().Encode()))
	w.wrong("point", "signature-first", pack.ReasonSignature, "Not signed by the host, and of a body that is not a point: the signature is checked first.",
		signedBy("point", another, []byte("anything")))
	w.wrong("intent", "signed-as-point", pack.ReasonSignature, "The signature of the point: its frame is another.", func(v *vector) {
		s := w.sealing("intent")
		s.signer = nil
		point := w.get("point").object
		v.body = w.seal(s, v.object, pack.SignBody(pack.Point, w.secret.Repository, point, w.point().Encode(), w.signing))
	})
	w.wrong("mark-pin", "signature", pack.ReasonSignature, "Signed by a key that is not the host's.", signedBy("host mark", another, w.pin().Encode()))
	w.wrong("rules", "signature", pack.ReasonSignature, "Signed by a host.", signedBy("rules", w.signing, w.rules().Encode()))
	w.wrong("enrolment", "signature", pack.ReasonSignature, "Signed by a host.", signedBy("enrolment", w.signing, w.enrolment().Encode()))
	w.wrong("condemned", "signature", pack.ReasonSignature, "Signed by a host.", signedBy("condemned", w.signing, w.condemned().Encode()))
	w.wrong("moved", "signature", pack.ReasonSignature, "Signed by a host.", signedBy("moved", w.signing, pack.EncodeMoved(w.moved())))
	w.wrong("condemned", "no-signature", pack.ReasonTruncated, "No room for a signature.", func(v *vector) {
		v.body = v.body[:sealingAt(v)+63]
	})
}

// body adds a vector to be refused: a record with another body, signed and
// sealed as it should be.
func (w *vectorWorld) body(of, kind, what string, reason pack.Reason, comment string, body []byte) {
	w.t.Helper()
	w.wrong(of, what, reason, comment, func(v *vector) { v.body = w.seal(w.sealing(kind), v.object, body) })
}

// noExt is an encoded ext of none.
const noExt = "\x00\x00"

// exts encodes extensions, in whatever order.
func exts(ids ...uint16) string {
	b := binary.LittleEndian.AppendUint16(nil, uint16(len(ids)))
	for _, id := range ids {
		b = append(binary.LittleEndian.AppendUint16(b, id), 1, 0, 0, 0, 'x')
	}
	return string(b)
}

// without returns b without the n bytes at its end.
func without(b []byte, n int) []byte { return bytes.Clone(b[:len(b)-n]) }

func changed(b []byte, at int, to byte) []byte {
	b = bytes.Clone(b)
	b[at] = to
	return b
}

// wrongBodies changes what records say, but for points.
func (w *vectorWorld) wrongBodies() {
	enrolment := w.enrolment().Encode()
	begin := without(enrolment, len(noExt))
	host := 1 + len(vectorHost)
	add := func(what string, reason pack.Reason, comment string, body []byte) {
		w.t.Helper()
		w.body("enrolment", "enrolment", what, reason, comment, body)
	}
	add("extension", pack.ReasonExtension, "An extension that must be understood.", append(begin, exts(2, 3)...))
	add("extension-order", pack.ReasonOrder, "Extensions whose ids fall.", append(begin, exts(4, 2)...))
	add("extension-twice", pack.ReasonDuplicate, "An extension twice.", append(begin, exts(2, 2)...))
	add("action", pack.ReasonRange, "Neither enrols nor revokes.", changed(enrolment, host, 3))
	add("cut-off", pack.ReasonTruncated, "The body ends early.", without(enrolment, 1))
	add("trailing", pack.ReasonTrailing, "A byte after the body.", append(bytes.Clone(enrolment), 0))
	add("nanoseconds", pack.ReasonRange, "A time with 1,000,000,000 nanoseconds.",
		append(without(enrolment, len(noExt)+4), "\x00\xca\x9a\x3b"+noExt...))
	add("no-host", pack.ReasonLength, "A host without a name.", append([]byte{0}, enrolment[host:]...))
	add("host", pack.ReasonText, "A host whose name has a control character.", changed(enrolment, 1, '\n'))
	other := w.enrolment()
	other.Host = "other"
	add("another-host", pack.ReasonName, "The enrolment of another host.", other.Encode())

	rules := w.rules()
	zone := func(name string) []byte { r := *rules; r.Zone = name; return r.Encode() }
	w.body("rules", "rules", "zone", pack.ReasonText, "The zone Local, which is no IANA name.", zone("Local"))
	w.body("rules", "rules", "zone-space", pack.ReasonText, "A zone with a space.", zone("Europe/ Berlin"))
	w.body("rules", "rules", "no-zone", pack.ReasonLength, "No zone.", zone(""))
	order := w.rules()
	slices.Reverse(order.Rules)
	w.body("rules", "rules", "order", pack.ReasonOrder, "Rules that do not ascend.", order.Encode())
	twice := w.rules()
	twice.Rules[1] = twice.Rules[0]
	w.body("rules", "rules", "twice", pack.ReasonDuplicate, "A rule twice.", twice.Encode())

	mark := func(what string, reason pack.Reason, comment string, change func(m *catalog.Mark)) {
		w.t.Helper()
		m := w.pin()
		m.Signer, m.Kind, m.End, m.Text, m.Bytes = catalog.ByRepository, catalog.ReadBack, catalog.Time{}, "", 1
		change(m)
		w.body("mark-read-back", "mark", what, reason, comment, m.Encode())
	}
	mark("kind", pack.ReasonRange, "A kind of mark that there is not.", func(m *catalog.Mark) { m.Kind = 6 })
	mark("signer-range", pack.ReasonRange, "A signer that there is not.", func(m *catalog.Mark) { m.Signer = 2 })
	mark("end", pack.ReasonRange, "An end, which only pins have.", func(m *catalog.Mark) { m.End.Sec = 1 })
	mark("bytes", pack.ReasonRange, "Bytes, which only read back has.", func(m *catalog.Mark) { m.Kind = catalog.Suspect })
	mark("text", pack.ReasonLimit, "A text of 1,025 bytes.", func(m *catalog.Mark) { m.Text = strings.Repeat("x", 1025) })
	mark("pin-name", pack.ReasonText, "A pin whose name has a slash.", func(m *catalog.Mark) { m.Kind, m.Bytes, m.Text = catalog.Pin, 0, "a/b" })
	mark("point", pack.ReasonName, "A mark of another point.", func(m *catalog.Mark) { m.Point.Sequence++ })

	condemned := w.condemned()
	slices.Reverse(condemned.Packs)
	w.body("condemned", "condemned", "order", pack.ReasonOrder, "Packs that do not ascend.", condemned.Encode())
	condemned = w.condemned()
	condemned.Packs[1] = condemned.Packs[0]
	w.body("condemned", "condemned", "twice", pack.ReasonDuplicate, "A pack twice.", condemned.Encode())
	w.body("condemned", "condemned", "reason", pack.ReasonRange, "A reason that there is not.", changed(w.condemned().Encode(), 0, 3))
	w.body("condemned", "condemned", "count", pack.ReasonTruncated, "More packs than there are.", changed(w.condemned().Encode(), 1+12+3, 1))
	condemned = w.condemned()
	condemned.Packs[0].Host = vectorHost
	condemned.Packs = condemned.Packs[:1]
	condemned.Packs[0].Host = "server!"
	w.body("condemned", "condemned", "host", pack.ReasonText, "A host that is not a sealed segment.", condemned.Encode())

	feature := catalog.Feature{Text: "an example"}
	w.body("feature", "feature", "needed-by-none", pack.ReasonFlags, "A feature that nothing needs.", feature.Encode())
	feature.Needed = 8
	w.body("feature", "feature", "needed", pack.ReasonFlags, "A use that there is not.", feature.Encode())

	w.wrongIndex()
	w.wrongMoved()
}

func (w *vectorWorld) wrongIndex() {
	index := func(what string, reason pack.Reason, comment string, body []byte) {
		w.t.Helper()
		w.body("index", "index", what, reason, comment, body)
	}
	good := pack.EncodeIndex(w.index())
	const firstPack, firstBlock, firstPiece = 4, 4 + 4 + 4, 4 + 4 + 4 + 21
	index("order", pack.ReasonOrder, "Packs whose numbers fall.", changed(good, firstPack+1, 2))
	index("no-blocks", pack.ReasonCount, "A pack of no blocks.", append([]byte(le32(1)+le32(1)+le32(0)), make([]byte, 80)...))
	index("no-pieces", pack.ReasonCount, "A block of no pieces.",
		[]byte(le32(1)+le32(1)+le32(1)+le64(500)+le32(17)+le32(1)+"\x00"+le32(0)+strings.Repeat("\x00", 40)))
	index("sum", pack.ReasonSum, "A piece that is shorter than its block.", changed(good, firstPiece+32, 0xe7))
	index("empty-piece", pack.ReasonLength, "A piece of no bytes.",
		[]byte(le32(1)+le32(1)+le32(1)+le64(500)+le32(17)+le32(1)+"\x00"+le32(2)+
			strings.Repeat("i", 32)+le32(1)+strings.Repeat("j", 32)+le32(0)+noExt))
	index("gap", pack.ReasonRange, "A block that does not begin where the one before it ends.", changed(good, firstPiece+36, 0xed))
	index("codec", pack.ReasonCodec, "A codec that there is not.", changed(good, firstBlock+16, 2))
}

func (w *vectorWorld) wrongMoved() {
	moved := func(what string, reason pack.Reason, comment string, body []byte) {
		w.t.Helper()
		w.body("moved", "moved", what, reason, comment, body)
	}
	good := pack.EncodeMoved(w.moved())
	row := 52
	moves := len(good) - len(noExt) - 3*row
	moved("order", pack.ReasonOrder, "Moves that do not ascend.", slices.Concat(good[:moves+row], good[moves+2*row:moves+3*row], good[moves+row:moves+2*row], []byte(noExt)))
	moved("twice", pack.ReasonDuplicate, "A piece that went to two places.", slices.Concat(good[:moves+row+4], []byte(le32(0)), good[moves+row+8:]))
	moved("first-use", pack.ReasonOrder, "The second block is used before the first.", changed(good, moves+44, 1))
	moved("unused", pack.ReasonCount, "A block that nothing uses.", changed(good, moves+row+44, 0))
	moved("block", pack.ReasonRange, "A block that is not in the table.", changed(good, moves+44, 2))
	moved("range", pack.ReasonRange, "A place beyond the end of its block.", changed(good, moves+row+48+2, 4))
}

// wrongPoints changes what points say.
func (w *vectorWorld) wrongPoints() {
	point := func(what string, reason pack.Reason, comment string, change func(p *catalog.Point)) {
		w.t.Helper()
		p := w.point()
		change(p)
		w.body("point", "point", what, reason, comment, p.Encode())
	}
	point("host", pack.ReasonName, "Another host's name.", func(p *catalog.Point) { p.Host = "other" })
	point("source", pack.ReasonName, "The name of another source.", func(p *catalog.Point) {
		p.Source = "zzz"
		p.Set = append(p.Set, catalog.Member{Source: "zzz", Sequence: 42})[1:]
	})
	point("sequence", pack.ReasonName, "Another number than the object's name.", func(p *catalog.Point) { p.Sequence++; p.Set[0].Sequence++ })
	point("time", pack.ReasonName, "Another time than the object's name.", func(p *catalog.Point) { p.Time = p.Time.Add(1e9) })
	point("incomplete", pack.ReasonName, "Incomplete, under the name of one that is complete.", func(p *catalog.Point) { p.Complete = false })
	point("no-name", pack.ReasonName, "No name, though the object's name says that there is one.", func(p *catalog.Point) { p.Title = "" })
	point("name-slash", pack.ReasonText, "A name with a slash.", func(p *catalog.Point) { p.Title = "a/b" })
	point("set-order", pack.ReasonOrder, "A set whose sources do not ascend.", func(p *catalog.Point) { slices.Reverse(p.Set) })
	point("set-twice", pack.ReasonDuplicate, "A source twice in the set.", func(p *catalog.Point) { p.Set[1] = p.Set[0] })
	point("set-without", pack.ReasonCount, "A set without the point itself.", func(p *catalog.Point) { p.Set[0].Sequence++ })
	point("no-set", pack.ReasonCount, "A set of none.", func(p *catalog.Point) { p.Set = nil })
	point("set-large", pack.ReasonLimit, "A set of 1,000 points.", func(p *catalog.Point) {
		for i := range 998 {
			p.Set = append(p.Set, catalog.Member{Source: fmt.Sprintf("s%03d", i), Sequence: 1})
		}
	})
	point("previous", pack.ReasonFlags, "A first point that names a previous one.", func(p *catalog.Point) { p.Fresh = true })
	point("listed-order", pack.ReasonOrder, "Unreadable nodes that do not ascend.", func(p *catalog.Point) { slices.Reverse(p.Unreadable) })
	point("listed-more", pack.ReasonCount, "More unreadable nodes in the list than there are.", func(p *catalog.Point) { p.UnreadableCount = 1 })
	point("root-kind", pack.ReasonKind, "A usage where the root of the tree belongs.", func(p *catalog.Point) { p.Root = p.Usage })
	point("root-name", pack.ReasonKind, "A root with a name.", func(p *catalog.Point) { p.Root = w.leafPage() })
	point("usage-kind", pack.ReasonKind, "A tree where the usage belongs.", func(p *catalog.Point) { p.Usage = p.Root })
	point("root-cut-off", pack.ReasonTruncated, "A root page that is cut off.", func(p *catalog.Point) { p.Root = without(p.Root, 1) })
	point("extension", pack.ReasonExtension, "An extension that must be understood.", func(p *catalog.Point) { p.Ext = []pack.Ext{{ID: 1}} })
	body := w.point().Encode()
	flags := 2 + len(vectorHost) + len(vectorSource) + 8
	w.body("point", "point", "flags", pack.ReasonFlags, "A flag that there is not.", changed(body, flags, 8|1))
	w.body("point", "point", "snapshot", pack.ReasonFlags, "A snapshot, though the flags say that there is none.", changed(body, flags, 1))
	first := w.firstPoint()
	first.Title = ""
	tail := len(noExt) + 4 + 4 + len(first.Root) + 1 + 2 + 1 // crossed and what follows
	w.body("point-first", "point", "crossed", pack.ReasonRange, "A byte that is neither 0 nor 1.", changed(first.Encode(), len(first.Encode())-tail, 2))
}

// wrongPacks changes packs. All but the first few are closed anew: their
// SHA-256, and the seals where that is said, are good.
func (w *vectorWorld) wrongPacks() {
	closed := func(v *vector) {
		sum := sha256.Sum256(v.body[:len(v.body)-32])
		copy(v.body[len(v.body)-32:], sum[:])
	}
	w.wrong("pack-data", "sha256", pack.ReasonSum, "The SHA-256 at the end is another.", func(v *vector) { v.body[len(v.body)-1] ^= 1 })
	w.wrong("pack-data", "flipped", pack.ReasonSum, "A bit of the first block is another.", func(v *vector) { v.body[sealingAt(v)+400] ^= 1 })
	w.wrong("pack-data", "block-seal", pack.ReasonSeal, "A bit of the first block is another, and the SHA-256 is right.", func(v *vector) {
		v.body[sealingAt(v)+400] ^= 1
		closed(v)
	})
	w.wrong("pack-data", "directory-seal", pack.ReasonSeal, "A bit of the directory is another, and the SHA-256 is right.", func(v *vector) {
		v.body[len(v.body)-40] ^= 1
		closed(v)
	})
	w.wrong("pack-data", "run", pack.ReasonName, "The header says another run than the name.", func(v *vector) { v.body[sealingAt(v)] ^= 1; closed(v) })
	w.wrong("pack-data", "number", pack.ReasonName, "The header says another number than the name.", func(v *vector) { v.body[sealingAt(v)+16] ^= 1; closed(v) })
	w.wrong("pack-data", "directory-length", pack.ReasonTruncated, "A directory that is longer than the pack.", func(v *vector) {
		copy(v.body[len(v.body)-36:], le32(1<<20))
		closed(v)
	})
	w.wrong("pack-data", "no-directory", pack.ReasonLength, "A directory of no bytes.", func(v *vector) {
		copy(v.body[len(v.body)-36:], le32(16))
		closed(v)
	})
	w.wrong("pack-data", "run-secret", pack.ReasonID, "The sealed secret of another run.", func(v *vector) {
		i := sealingAt(v) + 20
		v.body = slices.Concat(v.body[:i+2], w.two.Sealed, v.body[i+2+len(w.one.Sealed):])
		closed(v)
	})
	w.wrongBlocks()
}

// A handmade is a pack that no Builder would make.
type handmade struct {
	w      *vectorWorld
	v      *vector
	number uint32
	buf    []byte
	aead   cipher.AEAD
}

// byHand begins a data pack in place of a vector's.
func (w *vectorWorld) byHand(v *vector) *handmade {
	const number = 1
	info := "tidemark 1 pack\x01" + le32(number)
	key := sha256.Sum256([]byte("tidemark vectors run one"))
	derived, err := hkdf.Key(sha256.New, key[:], w.secret.Repository[:], info, 32)
	if err != nil {
		w.t.Fatal(err)
	}
	block, err := aes.NewCipher(derived)
	if err != nil {
		w.t.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		w.t.Fatal(err)
	}
	header := sealingAt(v) + 20 + 2 + len(w.one.Sealed)
	return &handmade{w: w, v: v, number: number, buf: bytes.Clone(v.body[:header]), aead: aead}
}

// seal adds a block, or the directory, and returns where it begins and ends.
func (h *handmade) seal(ordinal uint32, codec byte, plain uint32, data string) (begin, end int) {
	begin = len(h.buf)
	aad := slices.Concat(h.w.secret.Repository[:], h.w.one.ID[:], []byte(le32(int(h.number))+le32(int(ordinal))+"\x01"+string([]byte{codec})+le32(int(plain))))
	nonce := []byte(le32(int(ordinal)) + "\x00\x00\x00\x00\x00\x00\x00\x00")
	h.buf = h.aead.Seal(h.buf, nonce, []byte(data), aad)
	return begin, len(h.buf)
}

// dirBlock is a block as the directory has it, of one piece.
func (h *handmade) dirBlock(begin, end int, codec byte, plain string) string {
	id := h.w.ids.ChunkID([]byte(plain))
	return le64(uint64(begin)) + le32(end-begin) + le32(len(plain)) + string([]byte{codec}) + le32(1) + string(id[:]) + le32(len(plain))
}

// finish ends the pack, and puts it in the vector.
func (h *handmade) finish(directory string) {
	begin, end := h.seal(1<<32-1, 0, uint32(len(directory)), directory)
	h.buf = append(h.buf, le32(end-begin)...)
	sum := sha256.Sum256(h.buf)
	h.v.body = append(h.buf, sum[:]...)
}

// wrongBlocks makes packs whose seals are all good, of blocks and directories
// that are not.
func (w *vectorWorld) wrongBlocks() {
	zstdBlock := func(what string, reason pack.Reason, comment, frame, plain string) {
		w.wrong("pack-data", what, reason, comment, func(v *vector) {
			h := w.byHand(v)
			begin, end := h.seal(0, 1, uint32(len(plain)), frame)
			h.finish(le32(1) + h.dirBlock(begin, end, 1, plain) + noExt)
		})
	}
	zstdBlock("longer", pack.ReasonLength, "A zstd frame of 2,048 bytes in a block of 2,047.", string(zstdOfTwo), strings.Repeat("a", 2047))
	zstdBlock("shorter", pack.ReasonLength, "A zstd frame of 2,048 bytes in a block of 2,049.", string(zstdOfTwo), strings.Repeat("a", 2049))
	zstdBlock("two-frames", pack.ReasonCodec, "Two zstd frames.", string(zstdOfTwo)+string(zstdOfTwo), strings.Repeat("a", 4096))
	zstdBlock("no-frame-of-zstd", pack.ReasonCodec, "Something else than a zstd frame.", "anything", strings.Repeat("a", 100))
	zstdBlock("not-shorter", pack.ReasonLength, "A zstd frame that is as long as what it holds.", string(zstdOfTwo), strings.Repeat("a", len(zstdOfTwo)))

	const plain = "a chunk of some bytes"
	raw := func(what string, reason pack.Reason, comment string, directory func(h *handmade, begin, end int) string) {
		w.wrong("pack-data", what, reason, comment, func(v *vector) {
			h := w.byHand(v)
			begin, end := h.seal(0, 0, uint32(len(plain)), plain)
			h.finish(directory(h, begin, end))
		})
	}
	raw("piece", pack.ReasonID, "A chunk that is not the one that its id names.", func(h *handmade, begin, end int) string {
		return le32(1) + h.dirBlock(begin, end, 0, strings.Repeat("x", len(plain))) + noExt
	})
	raw("first-block", pack.ReasonRange, "A first block that does not begin at the end of the header.", func(h *handmade, begin, end int) string {
		return le32(1) + h.dirBlock(begin-1, end-1, 0, plain) + noExt
	})
	raw("last-block", pack.ReasonRange, "A directory that does not begin where the last block ends.", func(h *handmade, begin, end int) string {
		two := h.dirBlock(end, end+len(plain)+16, 0, plain)
		return le32(2) + h.dirBlock(begin, end, 0, plain) + two + noExt
	})
	raw("sealed-length", pack.ReasonLength, "A raw block whose sealed length is not its plain length and 16.", func(h *handmade, begin, end int) string {
		return le32(1) + h.dirBlock(begin, end, 0, plain+"x") + noExt
	})
	raw("codec", pack.ReasonCodec, "A codec that there is not.", func(h *handmade, begin, end int) string {
		return le32(1) + h.dirBlock(begin, end, 2, plain) + noExt
	})
	raw("no-blocks", pack.ReasonCount, "A directory of no blocks.", func(*handmade, int, int) string { return le32(0) + noExt })
	raw("block-limit", pack.ReasonLimit, "A block of more than 16 MiB.", func(h *handmade, begin, end int) string {
		const large = 16<<20 + 1
		id := chunk.ID{}
		return le32(1) + le64(uint64(begin)) + le32(large+16) + le32(large) + "\x00" + le32(1) + string(id[:]) + le32(large) + noExt
	})
	raw("extension", pack.ReasonExtension, "An extension of the directory that must be understood.", func(h *handmade, begin, end int) string {
		return le32(1) + h.dirBlock(begin, end, 0, plain) + exts(7)
	})
	raw("directory-trailing", pack.ReasonTrailing, "A byte after the directory's extensions.", func(h *handmade, begin, end int) string {
		return le32(1) + h.dirBlock(begin, end, 0, plain) + noExt + "\x00"
	})
}
