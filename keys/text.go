package keys

import (
	"encoding/hex"
	"strconv"
	"strings"
)

// A textReader reads the lines of a secret or a capture-only key, strictly:
// each as it would be written again. Its first error sticks. Errors never
// hold what a line said: it may be a key.
type textReader struct {
	what string
	rest string
	line int // the number of the line read last
	err  error
}

func (t *textReader) fail(reason, detail string) {
	if t.err == nil {
		t.err = malformed(t.what, reason, "line %d: %s", t.line, detail)
	}
}

// next returns the next line without its end.
func (t *textReader) next() string {
	t.line++
	line, rest, found := strings.Cut(t.rest, "\n")
	if !found {
		t.fail("truncated", "the text ends early")
		return ""
	}
	t.rest = rest
	return line
}

// title reads the first line: the title and its version.
func (t *textReader) title(title string) {
	version, ok := strings.CutPrefix(t.next(), title+" ")
	switch {
	case !ok:
		t.fail("magic", "want "+strconv.Quote(title+" 1"))
	case version != "1":
		t.fail("version", "another version of the text; this program reads version 1")
	}
}

// field reads a line that begins with name and a space, and returns the rest.
func (t *textReader) field(name string) string {
	value, ok := strings.CutPrefix(t.next(), name+" ")
	if !ok {
		t.fail("text", "want a line that begins with "+strconv.Quote(name))
	}
	return value
}

// follows reports whether the next line is another one of name.
func (t *textReader) follows(name string) bool {
	return t.err == nil && strings.HasPrefix(t.rest, name+" ")
}

func (t *textReader) key(name string) Key { return t.parseKey(t.field(name)) }

func (t *textReader) parseKey(s string) Key {
	var b [32]byte
	if len(s) != 2*len(b) {
		t.fail("length", "want 64 hex digits")
	} else if !decodeHex(b[:], s) {
		t.fail("text", "want 64 lower-case hex digits")
	}
	return NewKey(b)
}

func (t *textReader) repository() RepositoryID {
	s := t.field("repository")
	id, err := ParseRepositoryID(s)
	if err != nil {
		t.fail(err.(*FormatError).Reason, "want 32 lower-case hex digits")
	}
	return id
}

func (t *textReader) parseEpoch(s string) uint32 {
	n, err := strconv.ParseUint(s, 10, 64)
	switch {
	case err != nil || strconv.FormatUint(n, 10) != s:
		t.fail("text", "want an epoch in decimal, below 2^32")
	case n == 0 || n > 1<<32-1:
		t.fail("range", "want an epoch from 1 and below 2^32")
	}
	return uint32(n)
}

func (t *textReader) name(s string) string {
	if err := ValidName(s); err != nil {
		t.fail(err.(*FormatError).Reason, "not a valid name")
	}
	return s
}

// done returns the first error, or one if text is left.
func (t *textReader) done() error {
	if t.rest != "" {
		t.line++
		t.fail("trailing", "more text than expected")
	}
	return t.err
}

func hexOf(k Key) string {
	b := k.bytes()
	return hex.EncodeToString(b[:])
}
