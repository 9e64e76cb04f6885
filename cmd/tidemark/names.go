package main

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Names of files are any bytes but NUL and "/", and whoever could name a file
// may have put an escape sequence into it. So a name is printed to people by
// quoteName, in the sentences of messages by cleanText, and in JSON by jsonName.

// quoteName returns name as a shell would read it back: as it is if that is
// safe, in single quotes, or with $'…' around what cannot be printed. What ls
// prints on a terminal, and fit to be pasted.
func quoteName(name string) string {
	if name != "" && name[0] != '~' && name[0] != '#' && strings.IndexFunc(name, isSpecial) < 0 && utf8.ValidString(name) {
		return name
	}
	var b strings.Builder
	open := "" // the kind of quote that is open: ', $' or none
	for i := 0; i < len(name); {
		r, n := utf8.DecodeRuneInString(name[i:])
		kind := "'"
		if !isPrintable(r, n) {
			kind = "$'"
		}
		if open != kind {
			if open != "" {
				b.WriteByte('\'')
			}
			b.WriteString(kind)
			open = kind
		}
		switch {
		case kind == "$'":
			escapeTo(&b, name[i:i+n])
		case r == '\'':
			b.WriteString(`'\''`)
		default:
			b.WriteRune(r)
		}
		i += n
	}
	if open == "" {
		return "''"
	}
	return b.String() + "'"
}

// isSpecial reports whether r is anything but a letter, a digit or a mark that
// no shell cares for.
func isSpecial(r rune) bool {
	return r <= unicode.MaxASCII && !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("+-.,/:=@_%^~#", r) ||
		r > unicode.MaxASCII && !unicode.IsPrint(r)
}

// isPrintable reports whether the rune r, decoded from n bytes, may go to a
// terminal. Marks that change the direction of text may not.
func isPrintable(r rune, n int) bool {
	return unicode.IsPrint(r) && (r != utf8.RuneError || n > 1)
}

// escapeTo writes bytes as $'…' spells them.
func escapeTo(b *strings.Builder, bytes string) {
	for i := range len(bytes) {
		switch c := bytes[i]; c {
		case '\n':
			b.WriteString(`\n`)
		case '\r':
			b.WriteString(`\r`)
		case '\t':
			b.WriteString(`\t`)
		default:
			fmt.Fprintf(b, `\%03o`, c) // always three digits, so that a digit may follow
		}
	}
}

// cleanText makes a sentence safe for a terminal and a log: what cannot be
// printed is escaped, and the lines after the first are indented, so that no
// name in it can pass for a message of its own.
func cleanText(s string) string {
	return clean(s, "\n    ")
}

// cleanLine is cleanText for what must stay on one line.
func cleanLine(s string) string {
	return clean(s, `\n`)
}

func clean(s, newline string) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == '\n':
			b.WriteString(newline)
		case isPrintable(r, n):
			b.WriteRune(r)
		default:
			escapeTo(&b, s[i:i+n])
		}
		i += n
	}
	return b.String()
}

// A jsonPath is the name of a file in JSON output; embed it. PathBytes is there
// only if the name is not UTF-8, which JSON cannot say otherwise: then it is
// the name, in base64, and Path is for reading.
type jsonPath struct {
	Path      string `json:"path"`
	PathBytes []byte `json:"path_bytes,omitempty"`
}

func newJSONPath(name string) jsonPath {
	text, bytes := jsonName(name)
	return jsonPath{text, bytes}
}

// jsonName returns name as text, and its bytes if the text had to differ: with
// U+FFFD in place of what is not UTF-8. For a name other than the path, such as
// a link's target, in two fields "target" and "target_bytes".
func jsonName(name string) (text string, bytes []byte) {
	if utf8.ValidString(name) {
		return name, nil
	}
	return strings.ToValidUTF8(name, "\uFFFD"), []byte(name)
}

// columns returns how many columns of a terminal the printable text s takes.
func columns(s string) int {
	n := 0
	for _, r := range s {
		n += runeColumns(r)
	}
	return n
}

// wideRunes are the ranges of what terminals draw two columns wide: East Asian
// Wide and Fullwidth and emoji, by blocks (Unicode Standard Annex #11).
var wideRunes = [][2]rune{
	{0x1100, 0x115F}, {0x2E80, 0x303E}, {0x3041, 0x4DBF}, {0x4E00, 0xA4CF}, {0xA960, 0xA97F}, {0xAC00, 0xD7A3},
	{0xF900, 0xFAFF}, {0xFE30, 0xFE6F}, {0xFF00, 0xFF60}, {0xFFE0, 0xFFE6}, {0x1F300, 0x1F64F}, {0x1F680, 0x1F6FF},
	{0x1F900, 0x1FAFF}, {0x20000, 0x3FFFD},
}

func runeColumns(r rune) int {
	if unicode.In(r, unicode.Mn, unicode.Me) {
		return 0
	}
	for _, w := range wideRunes {
		if w[0] <= r && r <= w[1] {
			return 2
		}
	}
	return 1
}

// keepEnd cuts s from its beginning until it fits into width columns, with "…"
// for what is gone. Of a path the end says most.
func keepEnd(s string, width int) string {
	n := columns(s)
	if n <= width {
		return s
	}
	if width <= 0 {
		return ""
	}
	for i, r := range s {
		if n < width { // one column is for the "…"
			return "…" + s[i:]
		}
		n -= runeColumns(r)
	}
	return "…"
}

// keepStart cuts s from its end until it fits into width columns.
func keepStart(s string, width int) string {
	n := 0
	for i, r := range s {
		if n += runeColumns(r); n > width {
			return s[:i]
		}
	}
	return s
}
