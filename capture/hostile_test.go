package capture_test

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tidemark/catalog"
	"tidemark/chunk"
	"tidemark/fetch"
	"tidemark/keys"
	"tidemark/pack"
	"tidemark/store"
)

// A hoax is something stored as a point of web that is none.
type hoax struct {
	what   string
	object string
	bytes  []byte

	// copied says that it is a whole object from elsewhere. Its frame says so,
	// and whoever asks for it gets that error: as for any damage it is not
	// known which point should be there. Everything else is taken out.
	copied bool
}

// hoaxes returns what looks like points of web that are newer than all that it has.
func (v *victim) hoaxes() []hoax {
	v.t.Helper()
	secret, ring := v.r.secret, catalog.SecretKeyring(v.r.secret)
	thief, err := secret.NewRun(rand.Reader, "web") // whoever knows the recipient can seal to it
	if err != nil {
		v.t.Fatal(err)
	}
	place := func(source string, sequence uint64) string {
		segment, err := secret.Names().Source("web", source)
		if err != nil {
			v.t.Fatal(err)
		}
		p := v.was.points[v.newest(source)].point
		p.Sequence = sequence
		return catalog.ObjectName{Area: catalog.PointArea, Host: v.r.host.Segment, Source: segment, Point: p.Name(thief.ID)}.String()
	}
	// written is a record that is as sound as who has not the host's key can make it.
	written := func(what, object string, signed []byte) hoax {
		b, err := pack.SealRecord(rand.Reader, pack.Point, secret.Repository, object, pack.RunKey(thief), signed)
		if err != nil {
			v.t.Fatal(err)
		}
		return hoax{what: what, object: object, bytes: b}
	}
	// signed is written with the body that a point of app would have there.
	signed := func(what, object string, sequence uint64, key keys.PrivateKey) hoax {
		p := v.was.points[v.newest("app")].point
		p.Sequence = sequence
		p.Set = []catalog.Member{{Source: "app", Sequence: sequence}}
		return written(what, object, pack.SignBody(pack.Point, secret.Repository, object, p.Encode(), key))
	}
	opened := func(kind pack.Kind, object string) []byte {
		body, _, err := pack.OpenRecord(kind, secret.Repository, object, v.image[object], ring.Ring)
		if err != nil {
			v.t.Fatal(err)
		}
		return body
	}
	intent := v.image.below("intents/" + v.r.host.Segment + "/")[0]
	older := v.image.below("points/" + v.r.host.Segment + "/")[0]
	ofMail := v.image.below("points/" + v.r.onHost("mail").host.Segment + "/")[0]
	unsigned := opened(pack.Point, v.newest("app"))
	clear(unsigned[len(unsigned)-64:])
	return []hoax{
		signed("signed by a stranger", place("app", 11), 11, keys.NewPrivateKey([32]byte{1})),
		signed("signed by another host", place("app", 12), 12, secret.HostKey(1, "mail")),
		signed("signed by the repository", place("app", 13), 13, secret.Signing()),
		signed("another source's, signed by the host for this place", place("db", 14), 14, v.r.key.Signing()),
		signed("of another number, signed by the host for this place", place("app", 15), 99, v.r.key.Signing()),
		written("signed by nobody", place("app", 16), unsigned),
		written("too short for a signature", place("app", 17), []byte("short")),
		written("another host's point, sealed again", place("app", 18), opened(pack.Point, ofMail)),
		written("an older point, sealed again", place("app", 19), opened(pack.Point, older)),
		written("an intent, sealed again", place("app", 20), opened(pack.Intent, intent)),
		{"another host's point, copied", place("app", 21), v.image[ofMail], true},
		{"another source's point, copied", place("db", 22), v.image[v.newest("app")], true},
		{"an older point, copied", place("app", 23), v.image[older], true},
		{"an intent, copied", place("app", 24), v.image[intent], true},
		{"an intent, copied over the point that it announced", strings.Replace(intent, "intents/", "points/", 1), v.image[intent], true},
	}
}

// TestHoaxes stores what looks like points beside good ones, and newer than
// them. None is shown as a point, and each is said.
func TestHoaxes(t *testing.T) {
	v := newVictim(t)
	hoaxes := v.hoaxes()
	im := maps.Clone(v.image)
	for _, h := range hoaxes {
		im[h.object] = h.bytes
	}
	roster := catalog.Roster{Objects: objectsOf{im.store(t)}, Keys: catalog.SecretKeyring(v.r.secret)}
	entries, _, err := roster.ReadPoints(t.Context(), v.r.host)
	if err != nil {
		t.Fatal(err)
	}
	points, notices, err := roster.OpenPoints(t.Context(), v.r.host, entries)
	if err != nil {
		t.Fatal(err)
	}
	believed := catalog.Believe(entries, points, notices)
	for _, h := range hoaxes {
		is := func(e catalog.Entry) bool { return e.Object == h.object }
		i := slices.IndexFunc(entries, is)
		if i < 0 {
			t.Fatalf("%s: it is not listed as %s", h.what, h.object)
		}
		if points[i] != nil {
			t.Errorf("%s: it opens as point %d of %s", h.what, points[i].Sequence, points[i].Source)
		}
		said := slices.IndexFunc(notices, func(n catalog.Notice) bool { return n.Object == h.object && strings.Contains(n.String(), h.object) })
		if said < 0 {
			t.Errorf("%s: nothing is said of it", h.what)
			continue
		}
		if forged := errors.Is(notices[said].Err, catalog.ErrForged); forged == h.copied {
			t.Errorf("%s: it is said that %v", h.what, notices[said])
		}
		if slices.ContainsFunc(believed, is) != h.copied {
			t.Errorf("%s: believed = %t, want %t", h.what, !h.copied, h.copied)
		}
		if _, err := roster.OpenPoint(t.Context(), v.r.host, entries[i]); !errors.Is(err, pack.ErrDamaged) || !strings.Contains(err.Error(), h.object) {
			t.Errorf("%s: who asks for it gets %v, want damage of %s", h.what, err, h.object)
		}
	}
	good := len(points) - len(notices)
	if want := len(v.was.points) - 1 - 1; good != want { // less mail's, and the one that an intent was copied over
		t.Errorf("%d points open, want %d", good, want)
	}
	// The next capture starts from the newest good one.
	r := *v.r
	r.store, r.state = im.store(t), t.TempDir()
	res := r.takePoint("app", v.dir)
	if res.Point.ChangedFiles != 0 || res.Point.Sequence != 25 {
		t.Errorf("the capture after that made point %d and opened %d files, want point 25 and none", res.Point.Sequence, res.Point.ChangedFiles)
	}
}

// A stubbornRing says that one key is every key.
type stubbornRing struct{ key keys.Key }

func (r stubbornRing) Records() keys.Key               { return r.key }
func (r stubbornRing) Index([16]byte) (keys.Key, bool) { return r.key, true }
func (r stubbornRing) OpenRun([]byte) (keys.RunSecret, error) {
	return keys.RunSecret{Key: r.key, Epoch: 1, Group: "web"}, nil
}

// openAnyhow tries everything that opens objects with a keyring, or with a
// ring, on b, and tells did what came of it.
func openAnyhow(k catalog.Keyring, hosts []catalog.Host, object string, b []byte, did func(how string, err error)) {
	for kind := range pack.Kind(12) {
		_, _, err := pack.OpenRecord(kind, k.Repository, object, b, k.Ring)
		did(fmt.Sprintf("OpenRecord of a %v", kind), err)
	}
	for _, host := range hosts {
		_, err := catalog.OpenPoint(k, host, object, b)
		did("OpenPoint", err)
		_, err = catalog.OpenMark(k, host, object, b)
		did("OpenMark", err)
	}
	_, err := catalog.OpenEnrolment(k, object, b)
	did("OpenEnrolment", err)
	_, err = catalog.OpenRules(k, object, b)
	did("OpenRules", err)
	for _, kind := range []pack.Kind{pack.DataPack, pack.TreePack} {
		h, err := pack.ParseHeader(b, k.Repository, object, kind)
		if err != nil {
			continue // it is no pack, or of the other kind
		}
		_, err = h.Opener(k.Ring)
		did("Header.Opener", err)
		if run, err := k.Ring.OpenRun(h.Sealed); err == nil { // without asking whether it is that run's
			_, err = pack.NewOpener(k.Repository, object, kind, run, h.N).OpenDirectory(b, int64(len(b)), h.Len)
			did("Opener.OpenDirectory", err)
		}
	}
}

// TestCaptureKeyOpensNothing takes what a host has that captures with a
// capture-only key, after its local state is lost, to every object of the
// repository: it opens index/ of its group, and nothing else that is sealed.
func TestCaptureKeyOpensNothing(t *testing.T) {
	v := newVictim(t)
	text := v.r.key.Encode()
	key, err := keys.ParseCaptureKey(text)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := keys.ParseIdentities(text, keys.UI{}); err == nil {
		t.Error("the key's text holds an age identity")
	}
	var rings []pack.Ring
	var passphrases []keys.Identity
	for word := range strings.FieldsSeq(string(text)) {
		if b, err := hex.DecodeString(word); err == nil && len(b) == 32 {
			rings = append(rings, stubbornRing{keys.NewKey([32]byte(b))})
			id, err := keys.PassphraseIdentity([]byte(word))
			if err != nil {
				t.Fatal(err)
			}
			passphrases = append(passphrases, id)
		}
	}
	if len(rings) != 5 { // group, names, chunking, signing, verify
		t.Fatalf("the key's text has %d keys", len(rings))
	}
	hosts := []catalog.Host{v.r.host, v.r.onHost("mail").host}
	tries, opened := 0, map[string]bool{}
	for _, object := range v.image.below("") {
		b := v.image[object]
		_, err := keys.OpenSecret(b, passphrases)
		if tries++; err == nil {
			t.Errorf("%s opens as a key file", object)
		}
		openAnyhow(catalog.CaptureKeyring(key), hosts, object, b, func(how string, err error) {
			if tries++; err != nil {
				return
			}
			if opened[object] = true; !below(object, catalog.IndexArea) {
				t.Errorf("%s opens by %s", object, how)
			}
		})
		for _, ring := range rings {
			k := catalog.CaptureKeyring(key)
			k.Ring = ring
			openAnyhow(k, hosts, object, b, func(how string, err error) {
				if tries++; err == nil {
					t.Errorf("%s opens by %s with a key that is for something else", object, how)
				}
			})
		}
	}
	mine := v.image.below("index/" + v.r.host.Segment + "/")
	if got := slices.Sorted(maps.Keys(opened)); len(mine) != 4 || !slices.Equal(got, mine) {
		t.Errorf("it opens %q, want %q", got, mine)
	}
	t.Logf("%d tries at %d objects; opened: %d index objects of its own group", tries, len(v.image), len(opened))
}

// TestIndexLies has a member of a trust group say in its index that a chunk is
// where other bytes are. Another member believes it: that is what the group
// means. But readers get an error that names the pack, never the other bytes.
func TestIndexLies(t *testing.T) {
	r := newRepository(t, store.NewMem())
	web, mail := r.inGroup("web", "servers"), r.inGroup("mail", "servers")
	dir, victims := t.TempDir(), t.TempDir()
	write(t, filepath.Join(dir, "other"), random(2<<10)) // one chunk
	mail.takePoint("app", dir)
	wanted := random(2 << 10)
	write(t, filepath.Join(victims, "file"), wanted)

	im := imageOf(t, web.store)
	object := im.below("index/" + mail.host.Segment + "/")[0]
	packs, err := pack.OpenIndex(web.secret.Repository, object, mail.key.Group, im[object])
	if err != nil {
		t.Fatal(err)
	}
	packs[0].Blocks[0].Pieces[0].ID = chunk.NewKeys(web.key.Group.Secret()).ChunkID(wanted)
	lie := object[:len(object)-1] + "9"
	b, err := pack.SealIndex(rand.Reader, web.secret.Repository, lie, mail.key.Group, packs)
	if err == nil {
		err = web.store.Put(t.Context(), lie, bytes.NewReader(b), int64(len(b)))
	}
	if err != nil {
		t.Fatal(err)
	}

	res := web.takePoint("app", victims)
	at := web.contentPlace(res.Object, "file")
	if res.Point.NewBytes != 0 || at.Host != "mail" {
		t.Fatalf("%d bytes were stored, and the file is in a pack of %s: the lie was not believed", res.Point.NewBytes, at.Host)
	}
	f, err := fetch.New(fetch.Config{}, web.secret.Repository, web.store, web.secret)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p := &readPoint{}
	p.read(t.Context(), f, &web.open(res.Object).Point)
	name, err := pack.ObjectName(web.secret.Names(), at.Host, at.Run, at.Pack)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.nodes["file"].err; !errors.Is(err, pack.ErrDamaged) || !strings.Contains(err.Error(), name) {
		t.Errorf("reading the file gives %v, want damage of %s", err, name)
	}
}
