package catalog

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"tidemark/keys"
	"tidemark/pack"
)

// Objects is what this package needs of a store. Methods may be called
// concurrently.
type Objects interface {
	// List calls fn for each object whose name begins with prefix and is
	// greater than after, in the byte order of names; at is when it was
	// stored, by the store's clock. An error of fn ends it.
	List(ctx context.Context, prefix, after string, fn func(name string, size int64, at time.Time) error) error

	// Get returns an object, which the caller owns. The error wraps
	// ErrNoObject if there is none; more than max bytes are an error.
	Get(ctx context.Context, name string, max int64) ([]byte, error)
}

// ErrNoObject means that there is no such object. It is not fs.ErrNotExist,
// which means a file that never was.
var ErrNoObject = errors.New("no such object")

// maxGets is how many objects are fetched at once. 16 fetch a thousand
// enrolments or marks in two seconds at 30 ms a round trip, and hold less than
// 16 of the largest records.
const maxGets = 16

// A Notice says that an object was passed over, and why. It is no error: what
// anybody can store must not keep a reader from what is good.
type Notice struct {
	Object string // its name, or that of a directory of objects, with a slash at its end
	Err    error
}

// String returns the notice as a sentence.
func (n Notice) String() string {
	why := n.Err.Error()
	if damaged, ok := errors.AsType[*pack.DamageError](n.Err); ok && damaged.Object == n.Object {
		why = damaged.Detail // the rest is said before it
		if errors.Is(damaged, pack.ErrTooOld) {
			why = fmt.Sprintf("%v: %s", pack.ErrTooOld, why)
		}
	}
	return fmt.Sprintf("%s was passed over: %s", n.Object, why)
}

// A Roster reads what a repository knows of hosts, their points and the marks
// of them: from the names of objects, and from small ones.
//
// Nobody vouches for what is in a name: whoever can write to the store can
// make names of points. So there are two steps. [Roster.ReadPoints] costs a
// LIST and no more, and [Arrange] makes views of what it returns. On the
// strength of that, a directory of a view may be listed in the one above it,
// and nothing else. When it is entered or asked for its attributes, the points
// in it, with those of their sets ([SetOf]), are opened and verified:
// [Roster.OpenPoints]. What comes of a point, by its error:
//
//   - none: it is believed, for as long as the program runs; objects do not
//     change.
//   - [ErrForged] or [ErrNoObject]: it is taken out ([Believe]), that is said,
//     and the views are arranged again, so that the next point of the period
//     has its turn. It cannot have hidden another: more names can put a point
//     in front of the right one, where it is opened and taken out, but never
//     make a whole set less whole.
//   - any other (it is damaged, or too new, or the store is out of reach): it
//     stays where it is, and reading it is that error. Another point in its
//     place would be a wrong answer.
type Roster struct {
	Objects Objects
	Keys    Keyring
}

// An Entry is a point, or an intent, as a LIST gives it: not yet verified.
type Entry struct {
	Seen
	Host   string
	Stored time.Time // when its object was, by the store's clock
	Size   int64     // of the object, in bytes
}

// ReadFeatures returns the features of the repository, which a program checks
// before anything else: [CheckFeatures]. A feature that cannot be read is an
// error: nobody knows what it forbids.
func (r Roster) ReadFeatures(ctx context.Context) ([]Feature, error) {
	listed, err := r.list(ctx, FeatureArea)
	if err != nil {
		return nil, err
	}
	features := make([]Feature, len(listed))
	err = r.each(ctx, listed, pack.Feature, func(i int, b []byte, err error) error {
		if err != nil {
			return err
		}
		f, err := ParseFeature(r.Keys.Repository, listed[i].object, b)
		if err == nil {
			features[i] = *f
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("catalog: reading what a program must know of the repository: %w", err)
	}
	return features, nil
}

// ReadHosts returns the hosts that are enrolled, by name. A host whose keys
// are all revoked is one of them, without keys.
func (r Roster) ReadHosts(ctx context.Context) ([]Host, []Notice, error) {
	listed, err := r.list(ctx, HostArea)
	if err != nil {
		return nil, nil, err
	}
	enrolments, notices, err := openEach(ctx, r, listed, pack.Enrolment, OpenEnrolment)
	if err != nil {
		return nil, nil, fmt.Errorf("catalog: reading the hosts of the repository: %w", err)
	}
	bySegment := map[string][]*Enrolment{}
	for i, n := range enrolments {
		if n != nil {
			bySegment[listed[i].name.Host] = append(bySegment[listed[i].name.Host], n)
		}
	}
	var hosts []Host
	for segment, enrolments := range bySegment {
		hosts = append(hosts, hostOf(segment, enrolments))
	}
	slices.SortFunc(hosts, func(a, b Host) int { return strings.Compare(a.Name, b.Name) })
	return hosts, notices, nil
}

// ReadPoints lists the points of host, by source and then by sequence. It
// opens none.
func (r Roster) ReadPoints(ctx context.Context, host Host) ([]Entry, []Notice, error) {
	return r.readEntries(ctx, PointArea, host)
}

// ReadIntents lists the intents of host, as ReadPoints does points.
func (r Roster) ReadIntents(ctx context.Context, host Host) ([]Entry, []Notice, error) {
	return r.readEntries(ctx, IntentArea, host)
}

func (r Roster) readEntries(ctx context.Context, area Area, host Host) ([]Entry, []Notice, error) {
	listed, err := r.list(ctx, area, host.Segment)
	if err != nil {
		return nil, nil, err
	}
	sources := map[string]string{} // by segment; "" does not open
	notices := map[string]Notice{} // by segment
	var entries []Entry
	for _, l := range listed {
		source, known := sources[l.name.Source]
		if !known {
			source, err = r.Keys.Names.OpenSource(host.Name, l.name.Source)
			if err != nil {
				source = ""
				notices[l.name.Source] = Notice{fmt.Sprintf("%s/%s/%s/", area, l.name.Host, l.name.Source), err}
			}
			sources[l.name.Source] = source
		}
		if source != "" {
			seen := Seen{Source: source, Name: l.name.Point, Object: l.object}
			entries = append(entries, Entry{Seen: seen, Host: host.Name, Stored: l.at, Size: l.size})
		}
	}
	slices.SortFunc(entries, func(a, b Entry) int {
		if a.Source != b.Source {
			return strings.Compare(a.Source, b.Source)
		}
		return a.Name.Compare(b.Name)
	})
	var said []Notice
	for _, segment := range slices.Sorted(maps.Keys(notices)) {
		said = append(said, notices[segment])
	}
	return entries, said, nil
}

// OpenPoint gets a point, or an intent, and verifies it.
func (r Roster) OpenPoint(ctx context.Context, host Host, e Entry) (*Opened, error) {
	b, err := r.get(ctx, e.Object, e.Size, pack.Point)
	if err != nil {
		return nil, err
	}
	return OpenPoint(r.Keys, host, e.Object, b)
}

// OpenPoints gets and verifies several points at once. For each it returns
// either the point or, instead of nil, a notice. A failure that is not a
// point's own, as of the store, is an error.
func (r Roster) OpenPoints(ctx context.Context, host Host, entries []Entry) ([]*Opened, []Notice, error) {
	listed := make([]listing, len(entries))
	for i, e := range entries {
		listed[i] = listing{object: e.Object, size: e.Size}
	}
	points, notices, err := openEach(ctx, r, listed, pack.Point, func(k Keyring, object string, b []byte) (*Opened, error) {
		return OpenPoint(k, host, object, b)
	})
	if err != nil {
		return nil, nil, fmt.Errorf("catalog: opening points of %s: %w", host.Name, err)
	}
	return points, notices, nil
}

// Believe returns entries as they are to be arranged after some were opened,
// with what [Roster.OpenPoints] returned for these: without those that are
// forged or gone, and with the titles of those that carry one.
func Believe(entries []Entry, opened []*Opened, notices []Notice) []Entry {
	titles, gone := map[string]string{}, map[string]bool{}
	for _, p := range opened {
		if p != nil {
			titles[p.Object] = p.Title
		}
	}
	for _, n := range notices {
		gone[n.Object] = errors.Is(n.Err, ErrForged) || errors.Is(n.Err, ErrNoObject)
	}
	var believed []Entry
	for _, e := range entries {
		if title, ok := titles[e.Object]; ok {
			e.Title = title
		}
		if !gone[e.Object] {
			believed = append(believed, e)
		}
	}
	return believed
}

// ReadMarks returns the marks of host's points, for [Weigh].
func (r Roster) ReadMarks(ctx context.Context, host Host) ([]Mark, []Notice, error) {
	listed, err := r.list(ctx, MarkArea, host.Segment)
	if err != nil {
		return nil, nil, err
	}
	opened, notices, err := openEach(ctx, r, listed, pack.Mark, func(k Keyring, object string, b []byte) (*Mark, error) {
		return OpenMark(k, host, object, b)
	})
	if err != nil {
		return nil, nil, fmt.Errorf("catalog: reading the marks of %s: %w", host.Name, err)
	}
	var marks []Mark
	for _, m := range opened {
		if m != nil {
			marks = append(marks, *m)
		}
	}
	// Marks may be deleted with their point, while this reads.
	notices = slices.DeleteFunc(notices, func(n Notice) bool { return errors.Is(n.Err, ErrNoObject) })
	return marks, notices, nil
}

// ReadRules returns the keep rules that are in force: those of the highest
// number that verify. They are nil if there are none.
func (r Roster) ReadRules(ctx context.Context) (*Rules, []Notice, error) {
	listed, err := r.list(ctx, RulesArea)
	if err != nil {
		return nil, nil, err
	}
	var notices []Notice
	for _, l := range slices.Backward(listed) { // names sort by number
		rules, refused, err := openEach(ctx, r, []listing{l}, pack.Rules, OpenRules)
		if err != nil {
			return nil, nil, fmt.Errorf("catalog: reading the keep rules: %w", err)
		}
		notices = append(notices, refused...)
		if rules[0] != nil {
			return rules[0], notices, nil
		}
	}
	return nil, notices, nil
}

// ReadCondemned returns the packs that a prune means to delete. A writer must
// know all of them: one that cannot be read is an error. One that has gone
// since it was listed is none.
func (r Roster) ReadCondemned(ctx context.Context) ([]Condemned, error) {
	listed, err := r.list(ctx, CondemnedArea)
	if err != nil {
		return nil, err
	}
	opened, notices, err := openEach(ctx, r, listed, pack.Condemned, OpenCondemned)
	for _, n := range notices {
		if err == nil && !errors.Is(n.Err, ErrNoObject) {
			err = n.Err
		}
	}
	if err != nil {
		return nil, fmt.Errorf("catalog: reading which packs are condemned: %w", err)
	}
	var all []Condemned
	for _, c := range opened {
		if c != nil {
			all = append(all, *c)
		}
	}
	return all, nil
}

// A listing is an object as a LIST gives it.
type listing struct {
	object string
	name   ObjectName
	size   int64
	at     time.Time
}

// list returns the objects of an area, or of a directory in it, by name. It
// passes over names that docs/format.md does not describe.
func (r Roster) list(ctx context.Context, area Area, below ...string) ([]listing, error) {
	prefix := strings.Join(append([]string{string(area)}, below...), "/") + "/"
	var listed []listing
	err := r.Objects.List(ctx, prefix, "", func(object string, size int64, at time.Time) error {
		if name, err := ParseObjectName(object); err == nil {
			listed = append(listed, listing{object, name, size, at})
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("catalog: listing %s: %w", prefix, err)
	}
	return listed, nil
}

// get returns an object that was listed with this size. One that is larger
// than its kind may be is damaged, and is not fetched.
func (r Roster) get(ctx context.Context, object string, size int64, kind pack.Kind) ([]byte, error) {
	if size > kind.Limit() {
		return nil, damage(object, pack.ReasonLimit, "%d bytes, at most %d are allowed", size, kind.Limit())
	}
	return r.Objects.Get(ctx, object, kind.Limit())
}

// each gets objects, maxGets at a time, and calls fn for each, concurrently,
// with its number and its bytes or what came instead of them. The first error
// of fn ends it.
func (r Roster) each(ctx context.Context, listed []listing, kind pack.Kind, fn func(i int, b []byte, err error) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(maxGets)
	for i, l := range listed {
		g.Go(func() error {
			b, err := r.get(ctx, l.object, l.size, kind)
			return fn(i, b, err)
		})
	}
	return g.Wait()
}

// openEach gets and opens objects. What it returns for each is nil if a notice
// says why it was passed over: it is damaged, forged, too new, sealed to
// another key, or gone. Any other failure, as of the store, is an error.
func openEach[T any](ctx context.Context, r Roster, listed []listing, kind pack.Kind, open func(Keyring, string, []byte) (*T, error)) ([]*T, []Notice, error) {
	opened, refused := make([]*T, len(listed)), make([]error, len(listed))
	err := r.each(ctx, listed, kind, func(i int, b []byte, err error) error {
		if err == nil {
			opened[i], err = open(r.Keys, listed[i].object, b)
		}
		if passOver(err) {
			refused[i], err = err, nil
		}
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	var notices []Notice
	for i, err := range refused {
		if err != nil {
			notices = append(notices, Notice{listed[i].object, err})
		}
	}
	return opened, notices, nil
}

// passOver reports whether an object is at fault for err, not the store.
func passOver(err error) bool {
	for _, fault := range []error{pack.ErrDamaged, pack.ErrTooOld, keys.ErrNotForUs, ErrNoObject} {
		if errors.Is(err, fault) {
			return true
		}
	}
	return false
}
