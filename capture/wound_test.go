package capture_test

import (
	"bytes"
	"fmt"
	"maps"
	mathrand "math/rand/v2"
	"strings"
	"time"

	"tidemark/catalog"
	"tidemark/keys"
	"tidemark/pack"
)

// A wound is one damage to a repository.
type wound struct {
	manner  string   // flip, cut, lengthen, swap, replay, delete
	what    string   // of which kind of object, or part of one
	where   string   // in it, if it is not all of it
	touched []string // the objects' names
	inflict func(image)
}

// String returns all that is needed to inflict w again on the same repository.
func (w wound) String() string {
	return fmt.Sprintf("%s %s%s: %v", w.manner, w.what, w.where, w.touched)
}

// on returns im with the wound.
func (w wound) on(im image) image {
	im = maps.Clone(im)
	w.inflict(im)
	return im
}

// set is the wound that replaces an object.
func set(manner, what, where, object string, b []byte) wound {
	return wound{manner, what, where, []string{object}, func(im image) { im[object] = b }}
}

// A part is a range of an object's bytes.
type part struct {
	name     string
	from, to int
}

// parts returns what an object consists of.
func (v *victim) parts(object string) []part {
	v.t.Helper()
	b := v.image[object]
	area, _, _ := strings.Cut(object, "/")
	if area != "packs" {
		return []part{{area, 0, len(b)}}
	}
	kind := pack.DataPack
	h, err := pack.ParseHeader(b, v.r.secret.Repository, object, kind)
	if err != nil {
		kind = pack.TreePack
		if h, err = pack.ParseHeader(b, v.r.secret.Repository, object, kind); err != nil {
			v.t.Fatal(err)
		}
	}
	n, err := pack.DirectoryLen(object, b)
	if err != nil {
		v.t.Fatal(err)
	}
	end := len(b) - pack.TrailerLen
	name := func(of string) string { return fmt.Sprintf("%v: %s", kind, of) }
	return []part{{name("header"), 0, h.Len}, {name("blocks"), h.Len, end - int(n)}, {name("directory"), end - int(n), end}, {name("trailer"), end, len(b)}}
}

// versionAt is where the version of an object stands in its frame.
const versionAt = 5

// flips returns wounds of one bit each: n in every part of every object, and
// one that makes it look as if a later version of the program had written it.
func (v *victim) flips(rnd *mathrand.Rand, n int) (wounds []wound) {
	for _, object := range v.image.below("") {
		if b := bytes.Clone(v.image[object]); bytes.HasPrefix(b, []byte("TDMK")) {
			b[versionAt] ^= 2
			wounds = append(wounds, set("flip", v.parts(object)[0].name+": version", "", object, b))
		}
		for _, p := range v.parts(object) {
			for range n {
				at, bit := p.from+rnd.IntN(p.to-p.from), rnd.IntN(8)
				b := bytes.Clone(v.image[object])
				b[at] ^= 1 << bit
				wounds = append(wounds, set("flip", p.name, fmt.Sprintf(" (bit %d of byte %d)", bit, at), object, b))
			}
		}
	}
	return wounds
}

// cuts returns wounds that leave the beginning of an object, or add to its end.
func (v *victim) cuts(rnd *mathrand.Rand) (wounds []wound) {
	for _, object := range v.image.below("") {
		b := v.image[object]
		lengths := []int{0, len(b) - 1}
		for _, p := range v.parts(object) {
			lengths = append(lengths, p.from+rnd.IntN(p.to-p.from))
		}
		area, _, _ := strings.Cut(object, "/")
		for _, n := range lengths {
			wounds = append(wounds, set("cut", area, fmt.Sprintf(" (%d bytes of %d)", n, len(b)), object, b[:n:n]))
		}
		wounds = append(wounds, set("lengthen", area, "", object, append(bytes.Clone(b), 0)))
	}
	return wounds
}

// swaps returns wounds that exchange two objects of one area: each with the
// next two, so that packs meet those of their own kind and of the other, and
// points those of their source, of another, and of another host.
func (v *victim) swaps() (wounds []wound) {
	objects := v.image.below("")
	for i, a := range objects {
		area, _, _ := strings.Cut(a, "/")
		for _, b := range objects[i+1 : min(i+3, len(objects))] {
			if strings.HasPrefix(b, area+"/") {
				wounds = append(wounds, wound{"swap", area, "", []string{a, b}, func(im image) { im[a], im[b] = im[b], im[a] }})
			}
		}
	}
	return wounds
}

// deletions returns wounds that remove an object.
func (v *victim) deletions() (wounds []wound) {
	for _, object := range v.image.below("") {
		area, _, _ := strings.Cut(object, "/")
		wounds = append(wounds, wound{"delete", area, "", []string{object}, func(im image) { delete(im, object) }})
	}
	return wounds
}

// replays returns wounds that put a copy of an object under a name that none
// has, as if it were newer.
func (v *victim) replays() (wounds []wound) {
	for _, object := range v.image.below("") {
		name, err := catalog.ParseObjectName(object)
		if err != nil || name.Area == catalog.RepositoryArea {
			continue
		}
		var as []catalog.ObjectName
		later := name
		later.Number, later.ID[0] = name.Number+20, 77
		later.Point.Sequence += 20
		later.Point.Time = name.Point.Time.Add(24 * time.Hour)
		as = append(as, later)
		switch name.Area {
		case catalog.FeatureArea:
			as[0].Label = "newer"
		case catalog.IntentArea:
			announced := name // of a point that there is
			announced.Area = catalog.PointArea
			announced.Point = later.Point
			as = append(as, announced)
		case catalog.PointArea:
			for _, other := range v.image.below("points/") { // below another source, or host
				o, err := catalog.ParseObjectName(other)
				if err == nil && (o.Host != name.Host || o.Source != name.Source) {
					o.Point = later.Point
					as = append(as, o)
				}
			}
		}
		for _, o := range as {
			wounds = append(wounds, set("replay", string(name.Area), " (of "+object+")", o.String(), v.image[object]))
		}
	}
	return wounds
}

// verdict returns what the reading after w is judged by.
func (w wound) verdict() *verdict {
	v := &verdict{touched: w.touched}
	for _, object := range w.touched {
		area, rest, _ := strings.Cut(object, "/")
		switch area {
		case "features":
			v.touched = append(v.touched, rest) // what it is called when it is not known
		case "points", "hosts", "marks", "rules":
			v.gone = w.manner == "delete"
		}
	}
	return v
}

// open opens one object by itself, as it should be under its name.
func (v *victim) open(im image, object string) error {
	v.t.Helper()
	b, ring, secret := im[object], catalog.SecretKeyring(v.r.secret), v.r.secret
	name, err := catalog.ParseObjectName(object)
	if err != nil {
		v.t.Fatal(err)
	}
	host := v.r.host
	if name.Host != "" && name.Host != host.Segment {
		host = v.r.onHost("mail").host
	}
	switch name.Area {
	case catalog.RepositoryArea:
		_, err = catalog.ParseRepository(b)
	case catalog.FeatureArea:
		_, err = catalog.ParseFeature(secret.Repository, object, b)
	case catalog.KeyArea:
		_, err = keys.OpenSecret(b, []keys.Identity{v.identity})
	case catalog.HostArea:
		_, err = catalog.OpenEnrolment(ring, object, b)
	case catalog.RulesArea:
		_, err = catalog.OpenRules(ring, object, b)
	case catalog.MarkArea:
		_, err = catalog.OpenMark(ring, host, object, b)
	case catalog.PointArea, catalog.IntentArea:
		_, err = catalog.OpenPoint(ring, host, object, b)
	case catalog.CondemnedArea:
		_, err = catalog.OpenCondemned(ring, object, b)
	case catalog.IndexArea:
		var group keys.Group
		if group, err = secret.Group(secret.Epoch(), host.Group); err == nil {
			_, err = pack.OpenIndex(secret.Repository, object, group, b)
		}
	case catalog.PackArea:
		if _, err = pack.Check(b, secret.Repository, object, pack.DataPack); err != nil {
			_, err = pack.Check(b, secret.Repository, object, pack.TreePack)
		}
	default:
		v.t.Fatalf("%s: an object of no kind that is known here", object)
	}
	return err
}

// harmless says why w can go unseen even by who opens the object itself; "" if it cannot.
func (w wound) harmless() string {
	area, _, _ := strings.Cut(w.touched[0], "/")
	switch {
	case w.manner == "delete":
		return "there is nothing to open"
	case area == "keys" && (w.manner == "swap" || w.manner == "replay"):
		return "all of them hold the same secret"
	case (area == "features" || area == "tidemark.json") && w.manner == "flip":
		return "it is neither sealed nor signed: what the flipped bit says is believed"
	}
	return ""
}
