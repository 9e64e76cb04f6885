package tidemark_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"tidemark/chunk"
	"tidemark/keys"
	"tidemark/pack"
)

// The vectors of docs/format.md, section 17: what readers must accept, with
// what they must find in it, and what they must refuse, with the reason.
//
// They are made from fixed keys by the code in vectors_make_test.go, so that
// the test sees when an encoding changes. To write them anew:
//
//	go test -run TestVectors . -update

const vectorDir = "testdata/vectors"

var update = flag.Bool("update", false, "write the test vectors that are missing or differ")

// A vector is a file of testdata/vectors, but for what its object is found to
// hold: the line "fields", which the vectors to be accepted have.
type vector struct {
	name    string // of the file
	comment string
	object  string // the name the bytes were found under, or ""
	kind    string // the line "type"
	expect  string // "ok" or a reason
	inputs  []line // what it takes to read the object
	body    []byte
}

// A line is one of the header of a vector.
type line struct{ name, value string }

const accepted = "ok"

// input returns the value of an input, or "".
func (v *vector) input(name string) string {
	for _, l := range v.inputs {
		if l.name == name {
			return l.value
		}
	}
	return ""
}

// encode returns the bytes of the file.
func (v *vector) encode(fields string) []byte {
	lines := []line{{"comment", v.comment}}
	if v.object != "" {
		lines = append(lines, line{"object", v.object})
	}
	lines = append(lines, line{"type", v.kind}, line{"expect", v.expect})
	lines = append(lines, v.inputs...)
	if v.expect == accepted {
		lines = append(lines, line{"fields", fields})
	}
	var b bytes.Buffer
	for _, l := range lines {
		fmt.Fprintf(&b, "%s: %s\n", l.name, l.value)
	}
	b.WriteByte('\n')
	b.Write(v.body)
	return b.Bytes()
}

// parseVector reads what encode writes.
func parseVector(name string, b []byte) (v *vector, fields string, err error) {
	head, body, found := bytes.Cut(b, []byte("\n\n"))
	if !found {
		return nil, "", fmt.Errorf("%s: no empty line after the header", name)
	}
	v = &vector{name: name, body: body}
	for text := range strings.SplitSeq(string(head), "\n") {
		l := line{}
		if l.name, l.value, found = strings.Cut(text, ": "); !found {
			return nil, "", fmt.Errorf("%s: the header line %q has no colon", name, text)
		}
		switch l.name {
		case "comment":
			v.comment = l.value
		case "object":
			v.object = l.value
		case "type":
			v.kind = l.value
		case "expect":
			v.expect = l.value
		case "fields":
			fields = l.value
		default:
			v.inputs = append(v.inputs, l)
		}
	}
	if !bytes.Equal(v.encode(fields), b) {
		return nil, "", fmt.Errorf("%s: the header is not in the one order that it has", name)
	}
	return v, fields, nil
}

// TestVectors reads every vector: what is to be accepted must hold what its
// fields say, and what is to be refused must be refused for its reason. The
// files must be those that the code makes, and no others.
func TestVectors(t *testing.T) {
	w := newVectorWorld(t)
	made := w.vectors()
	names := make(map[string]bool, len(made))
	for _, v := range made {
		if names[v.name] {
			t.Errorf("two vectors are called %s", v.name)
		}
		names[v.name] = true
		t.Run(v.name, func(t *testing.T) {
			fields, err := w.read(v)
			if got := verdict(err); got != v.expect {
				t.Fatalf("is %q (%v), want %q", got, err, v.expect)
			}
			checkVectorFile(t, v.name, v.encode(fields))
		})
	}
	for _, path := range vectorFiles(t) {
		name := filepath.Base(path)
		if !names[name] {
			t.Errorf("%s: nothing makes this file", path)
			continue
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		v, fields, err := parseVector(name, b)
		if err != nil {
			t.Error(err)
			continue
		}
		found, err := w.read(v)
		if got := verdict(err); got != v.expect {
			t.Errorf("%s: is %q (%v), want %q", path, got, err, v.expect)
		} else if err == nil && found != fields {
			t.Errorf("%s: holds\n%s\nwant\n%s", path, found, fields)
		}
	}
}

func checkVectorFile(t *testing.T, name string, want []byte) {
	path := filepath.Join(vectorDir, name)
	have, err := os.ReadFile(path)
	switch {
	case err == nil && bytes.Equal(have, want):
	case *update:
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
	case err != nil:
		t.Error(err)
	default:
		t.Errorf("%s is not what is made now. If the format is meant to change, run: go test -run TestVectors . -update", path)
	}
}

func vectorFiles(t *testing.T) []string {
	paths, err := filepath.Glob(filepath.Join(vectorDir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	if len(paths) == 0 {
		t.Fatalf("%s is empty", vectorDir)
	}
	return paths
}

// verdict returns the word that a vector expects for err.
func verdict(err error) string {
	if err == nil {
		return accepted
	}
	if damaged, ok := errors.AsType[*pack.DamageError](err); ok {
		return string(damaged.Reason)
	}
	if malformed, ok := errors.AsType[*keys.FormatError](err); ok {
		return malformed.Reason
	}
	if errors.Is(err, chunk.ErrCorrupt) {
		return string(pack.ReasonID)
	}
	return err.Error()
}

// TestEveryReason: each word of section 17 has a vector that is refused for it.
func TestEveryReason(t *testing.T) {
	text := spec(t)
	_, words, found := strings.Cut(text, "Reasons: `")
	if !found {
		t.Fatal("docs/format.md lists no reasons")
	}
	words, _, _ = strings.Cut(words, "`")
	have := map[string]bool{accepted: true}
	for _, v := range newVectorWorld(t).vectors() {
		have[v.expect] = true
		if v.expect != accepted && !slices.Contains(strings.Fields(words), v.expect) {
			t.Errorf("%s expects %q, which docs/format.md does not list", v.name, v.expect)
		}
	}
	for word := range strings.FieldsSeq(words) {
		if !have[word] {
			t.Errorf("no vector is refused for the reason %q", word)
		}
	}
}

// spec returns docs/format.md with every run of white space as one space.
func spec(t *testing.T) string {
	b, err := os.ReadFile("docs/format.md")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(strings.Fields(string(b)), " ")
}

// TestEveryMust: what docs/format.md says one MUST do or not do is in the
// table of musts, and what that names exists.
func TestEveryMust(t *testing.T) {
	text := spec(t)
	vectors := map[string]string{} // name: what is expected
	for _, v := range newVectorWorld(t).vectors() {
		vectors[v.name] = v.expect
	}
	covered := make([]bool, len(text))
	for _, m := range musts {
		if n := strings.Count(text, m.text); n != 1 {
			t.Errorf("docs/format.md says %d times %q, want once", n, m.text)
			continue
		}
		at := strings.Index(text, m.text)
		for i := range m.text {
			covered[at+i] = true
		}
		m.check(t, vectors)
	}
	for _, at := range regexp.MustCompile(`\bMUST\b`).FindAllStringIndex(text, -1) {
		if !covered[at[0]] {
			t.Errorf("nothing shows that %q", text[at[0]-min(at[0], 60):min(len(text), at[1]+60)])
		}
	}
}

// check sees that m names enough, and only what exists.
func (m must) check(t *testing.T, vectors map[string]string) {
	for _, name := range m.passes {
		if vectors[name] != accepted {
			t.Errorf("%q: %s is no vector that is accepted", m.text, name)
		}
	}
	for _, name := range m.violates {
		if expect, ok := vectors[name]; !ok || expect == accepted {
			t.Errorf("%q: %s is no vector that is refused", m.text, name)
		}
	}
	if m.instead == "" && (len(m.passes) == 0 || len(m.violates) == 0) {
		t.Errorf("%q: want a vector that is accepted and one that is refused, or what shows it instead", m.text)
	}
	for _, name := range m.tests {
		dir, function, _ := strings.Cut(name, ".")
		if !hasTest(t, dir, function) {
			t.Errorf("%q: there is no test %s in %s", m.text, function, dir)
		}
	}
	if m.instead == behaviour && (len(m.tests) == 0) != (m.gap != "") {
		t.Errorf("%q: name the test that shows it, or say why there is none", m.text)
	}
}

// hasTest reports whether a test of the package in dir is called function.
func hasTest(t *testing.T, dir, function string) bool {
	paths, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(paths, func(path string) bool {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Contains(string(b), "\nfunc "+function+"(")
	})
}
