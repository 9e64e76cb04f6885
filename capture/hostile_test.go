package capture_test

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"

	"tidemark/catalog"
	"tidemark/keys"
	"tidemark/pack"
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

// TestHoaxes stores what looks like points beside two good ones, newer than them.
// None is shown as a point, and each is said.
func TestHoaxes(t *testing.T) {
	v := newVictim(t)
	secret, ring := v.r.secret, catalog.SecretKeyring(v.r.secret)
	source := v.was.points[v.newest("app")]
	mail := v.r.onHost("mail")
	thief, err := secret.NewRun(rand.Reader, "web") // whoever knows the recipient can seal to it
	if err != nil {
		t.Fatal(err)
	}
	place := func(source string, sequence uint64) catalog.ObjectName {
		segment, err := secret.Names().Source("web", source)
		if err != nil {
			t.Fatal(err)
		}
		p := v.was.points[v.newest(source)].point
		p.Sequence = sequence
		return catalog.ObjectName{Area: catalog.PointArea, Host: v.r.host.Segment, Source: segment, Point: p.Name(thief.ID)}
	}
	// written returns a record at object, as sound as who has no key of the host can make it.
	written := func(what string, object catalog.ObjectName, signed []byte) hoax {
		b, err := pack.SealRecord(rand.Reader, pack.Point, secret.Repository, object.String(), pack.RunKey(thief), signed)
		if err != nil {
			t.Fatal(err)
		}
		return hoax{what: what, object: object.String(), bytes: b}
	}
	body := func(of *readPoint, sequence uint64) []byte {
		p := of.point
		p.Sequence = sequence
		p.Set = []catalog.Member{{Source: p.Source, Sequence: sequence}}
		return p.Encode()
	}
	sign := func(object catalog.ObjectName, body []byte, key keys.PrivateKey) []byte {
		return pack.SignBody(pack.Point, secret.Repository, object.String(), body, key)
	}
	opened := func(kind pack.Kind, object string) []byte {
		signed, _, err := pack.OpenRecord(kind, secret.Repository, object, v.image[object], ring.Ring)
		if err != nil {
			t.Fatal(err)
		}
		return signed
	}
	intent := v.image.below("intents/" + v.r.host.Segment + "/")[0]
	older := v.image.below("points/" + v.r.host.Segment + "/")[0]
	ofMail := v.image.below("points/" + mail.host.Segment + "/")[0]

	hoaxes := []hoax{
		written("signed by a stranger", place("app", 11), sign(place("app", 11), body(source, 11), keys.NewPrivateKey([32]byte{1}))),
		written("signed by nobody", place("app", 12), append(body(source, 12), make([]byte, 64)...)),
		written("too short for a signature", place("app", 13), []byte("short")),
		written("signed by another host", place("app", 14), sign(place("app", 14), body(source, 14), secret.HostKey(1, "mail"))),
		written("signed by the repository", place("app", 15), sign(place("app", 15), body(source, 15), secret.Signing())),
		written("another host's point, sealed again", place("app", 16), opened(pack.Point, ofMail)),
		written("another source's point, signed by the host for this place", place("db", 17), sign(place("db", 17), body(source, 17), v.r.key.Signing())),
		written("an older point, sealed again", place("app", 18), opened(pack.Point, older)),
		written("an intent, sealed again", place("app", 19), opened(pack.Intent, intent)),
		{"another host's point, copied", place("app", 21).String(), v.image[ofMail], true},
		{"another source's point, copied", place("db", 22).String(), v.image[v.newest("app")], true},
		{"an older point, copied", place("app", 23).String(), v.image[older], true},
		{"an intent, copied", place("app", 24).String(), v.image[intent], true},
		{"an intent, copied to where it announced the point", strings.Replace(intent, "intents/", "points/", 1), v.image[intent], true},
	}
	im := image{}
	for name, b := range v.image {
		im[name] = b
	}
	for _, h := range hoaxes {
		im[h.object] = h.bytes
	}

	roster := catalog.Roster{Objects: objectsOf{im.store(t)}, Keys: ring}
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
		listed := func(e catalog.Entry) bool { return e.Object == h.object }
		i := slices.IndexFunc(entries, listed)
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
		if slices.ContainsFunc(believed, listed) != h.copied {
			t.Errorf("%s: believed = %t, want %t", h.what, !h.copied, h.copied)
		}
		if _, err := roster.OpenPoint(t.Context(), v.r.host, entries[i]); !errors.Is(err, pack.ErrDamaged) || !strings.Contains(err.Error(), h.object) {
			t.Errorf("%s: who asks for it gets %v, want damage of %s", h.what, err, h.object)
		}
	}
	good := 0
	for _, p := range points {
		if p != nil {
			good++
		}
	}
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

// newest returns the object of the newest point of a source of web.
func (v *victim) newest(source string) string {
	v.t.Helper()
	found, last := "", uint64(0)
	for object, p := range v.was.points {
		if p.point.Host == "web" && p.point.Source == source && p.point.Sequence > last {
			found, last = object, p.point.Sequence
		}
	}
	return found
}

// A stubbornRing says that one key is every key.
type stubbornRing struct{ key keys.Key }

func (r stubbornRing) Records() keys.Key               { return r.key }
func (r stubbornRing) Index([16]byte) (keys.Key, bool) { return r.key, true }
func (r stubbornRing) OpenRun([]byte) (keys.RunSecret, error) {
	return keys.RunSecret{Key: r.key, Epoch: 1, Group: "web"}, nil
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
	rings := []pack.Ring{catalog.CaptureKeyring(key).Ring}
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
	if len(rings) != 1+5 { // group, names, chunking, signing, verify
		t.Fatalf("the key's text has %d keys", len(rings)-1)
	}
	hosts := []catalog.Host{v.r.host, v.r.onHost("mail").host}
	opened := map[string][]string{} // by area
	tries := 0
	for _, object := range v.image.below("") {
		b := v.image[object]
		area, _, _ := strings.Cut(object, "/")
		did := func(how string, err error) {
			if tries++; err == nil {
				opened[area] = append(opened[area], object+" by "+how)
			}
		}
		_, err := keys.OpenSecret(b, passphrases)
		did("OpenSecret", err)
		for i, ring := range rings {
			k := catalog.CaptureKeyring(key)
			k.Ring = ring
			for kind := range pack.Kind(12) {
				_, _, err := pack.OpenRecord(kind, key.Repository, object, b, ring)
				if err == nil && i > 0 && kind == pack.Index {
					err = errors.New("the group's key, as it should be") // is no news
				}
				did("OpenRecord", err)
			}
			for _, host := range hosts {
				_, err = catalog.OpenPoint(k, host, object, b)
				did("OpenPoint", err)
				_, err = catalog.OpenMark(k, host, object, b)
				did("OpenMark", err)
			}
			_, err = catalog.OpenEnrolment(k, object, b)
			did("OpenEnrolment", err)
			_, err = catalog.OpenRules(k, object, b)
			did("OpenRules", err)
			for _, kind := range []pack.Kind{pack.DataPack, pack.TreePack} {
				h, err := pack.ParseHeader(b, key.Repository, object, kind)
				if err != nil {
					continue // it is no pack, or of the other kind
				}
				_, err = h.Opener(ring)
				did("Header.Opener", err)
				run, err := ring.OpenRun(h.Sealed)
				if err == nil { // without asking whether it is that run's
					n, _ := pack.DirectoryLen(object, b)
					_, err = pack.NewOpener(key.Repository, object, kind, run, h.N).OpenDirectory(b, int64(len(b)), h.Len)
					if n == 0 {
						t.Fatalf("%s has no directory", object)
					}
				}
				did("NewOpener", err)
			}
		}
	}
	mine := v.image.below("index/" + v.r.host.Segment + "/")
	for area, list := range opened {
		if area != "index" {
			t.Errorf("a capture-only key opens %q", list)
		}
	}
	if len(mine) != 4 || len(opened["index"]) != len(mine) {
		t.Errorf("of %d index objects of its group it opens %q", len(mine), opened["index"])
	}
	for _, how := range opened["index"] {
		if !slices.ContainsFunc(mine, func(object string) bool { return strings.HasPrefix(how, object+" ") }) {
			t.Errorf("it opens another group's: %s", how)
		}
	}
	t.Logf("%d tries at %d objects; opened: %d index objects of its own group", tries, len(v.image), len(opened["index"]))

	// Nor is anything of the repository in what it leaves on its host but that.
	for _, secret := range []string{"identity AGE-SECRET", "records "} {
		if bytes.Contains(text, []byte(secret)) {
			t.Errorf("the key's text has %q", secret)
		}
	}
}
