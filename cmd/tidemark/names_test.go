package main

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// awkward are names that files really have, or that somebody gives them.
var awkward = []string{
	"plain", "a b", "it's", `a"b`, `a\b`, "$HOME", "`id`", "a;b", "*", "?", "[x]", "{a,b}", "!1", "~root", "a~", "#x", "a#", "a&b", "<>|",
	"-n", "--", "ä", "日本語", "e\u0301", "\n", "a\nb", "\t", "\x1b[2J", "\x1b]0;title\x07", "\xff", "a\xffb\xfe", "\x7f", "\u202e", "\u00a0",
	"\ufffd", "\x011", "tab\there", "(x)", "=a", "%s", "a^b", "", " ", "\u2028",
}

// TestQuoteNameIsShell: a real shell reads a quoted name back.
func TestQuoteNameIsShell(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Fatalf("this test needs bash: %v", err)
	}
	var script strings.Builder
	for _, name := range awkward {
		script.WriteString("printf '%s\\0' " + quoteName(name) + "\n")
	}
	out, err := exec.CommandContext(t.Context(), bash, "-c", script.String()).Output()
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.Join(awkward, "\x00") + "\x00"; string(out) != want {
		t.Errorf("bash read %q\nwant      %q", out, want)
	}
}

func TestQuoteName(t *testing.T) {
	for name, want := range map[string]string{
		"daily/2019-07-18/app/file.txt": "daily/2019-07-18/app/file.txt",
		"ä日本":                           "ä日本",
		"":                              "''",
		"a b":                           "'a b'",
		"it's":                          `'it'\''s'`,
		"a\nb":                          `'a'$'\n''b'`,
		"\x1b[2J\xff":                   `$'\033''[2J'$'\377'`,
	} {
		if got := quoteName(name); got != want {
			t.Errorf("quoteName(%q) = %s, want %s", name, got, want)
		}
	}
}

func FuzzQuoteName(f *testing.F) {
	for _, name := range awkward {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		for _, shown := range []string{quoteName(name), cleanLine(name), strings.ReplaceAll(cleanText(name), "\n    ", "")} {
			if bad := strings.IndexFunc(shown, func(r rune) bool { return !unicode.IsPrint(r) }); bad >= 0 || !utf8.ValidString(shown) {
				t.Fatalf("%q is shown as %q", name, shown)
			}
		}
		if got := unquoteName(t, quoteName(name)); got != name {
			t.Fatalf("%q became %s, which is %q", name, quoteName(name), got)
		}
	})
}

// unquoteName reads what quoteName wrote as a shell does.
func unquoteName(t *testing.T, s string) string {
	var b strings.Builder
	for s != "" {
		switch {
		case strings.HasPrefix(s, `\'`):
			b.WriteByte('\'')
			s = s[2:]
		case s[0] == '\'':
			text, rest, ok := strings.Cut(s[1:], "'")
			if !ok {
				t.Fatalf("no end of quote in %s", s)
			}
			b.WriteString(text)
			s = rest
		case strings.HasPrefix(s, "$'"):
			text, rest, _ := strings.Cut(s[2:], "'")
			for text != "" {
				if i := strings.IndexByte("ntr", text[1]); i >= 0 {
					b.WriteByte("\n\t\r"[i])
					text = text[2:]
				} else {
					b.WriteByte((text[1]-'0')<<6 | (text[2]-'0')<<3 | (text[3] - '0'))
					text = text[4:]
				}
			}
			s = rest
		default:
			b.WriteByte(s[0])
			s = s[1:]
		}
	}
	return b.String()
}

func TestCleanText(t *testing.T) {
	for s, want := range map[string]string{
		"open /a: no such file": "open /a: no such file",
		"it's 日本":               "it's 日本",
		"a\nb":                  "a\n    b",
		"a\x1b[2J\r\t\xff":      `a\033[2J\r\t\377`,
		"a\u202eb":              `a\342\200\256b`,
	} {
		if got := cleanText(s); got != want {
			t.Errorf("cleanText(%q) = %q, want %q", s, got, want)
		}
	}
}

// TestJSONPath: any name comes back from its JSON.
func TestJSONPath(t *testing.T) {
	for _, name := range awkward {
		data, err := json.Marshal(struct {
			jsonPath
			Size int `json:"size"`
		}{newJSONPath(name), 1})
		if err != nil {
			t.Fatal(err)
		}
		var got jsonPath
		if err := json.Unmarshal(data, &got); err != nil {
			t.Fatal(err)
		}
		back := got.Path
		if got.PathBytes != nil {
			back = string(got.PathBytes)
		}
		if back != name {
			t.Errorf("%q became %s, which is %q", name, data, back)
		}
		if utf8.ValidString(name) != !strings.Contains(string(data), "path_bytes") {
			t.Errorf("%q became %s", name, data)
		}
	}
	data, err := json.Marshal(newJSONPath("a\xff"))
	if want := "{\"path\":\"a\ufffd\",\"path_bytes\":\"Yf8=\"}"; err != nil || string(data) != want {
		t.Errorf("%s, %v; want %s", data, err, want)
	}
}

func TestKeepEnd(t *testing.T) {
	for _, tt := range []struct {
		s     string
		width int
		want  string
	}{
		{"/srv/app/file", 13, "/srv/app/file"},
		{"/srv/app/file", 12, "…rv/app/file"},
		{"/srv/app/file", 1, "…"},
		{"/srv/app/file", 0, ""},
		{"日本語", 6, "日本語"},
		{"日本語", 5, "…本語"},
		{"日本語", 4, "…語"},
		{"äöü", 2, "…ü"},
		{"", 0, ""},
	} {
		if got := keepEnd(tt.s, tt.width); got != tt.want || columns(got) > tt.width {
			t.Errorf("keepEnd(%q, %d) = %q, want %q", tt.s, tt.width, got, tt.want)
		}
	}
	for _, tt := range []struct {
		s     string
		width int
		want  string
	}{{"日本語", 5, "日本"}, {"abc", 3, "abc"}, {"abc", 2, "ab"}, {"abc", 0, ""}, {"e\u0301e", 1, "e\u0301"}} {
		if got := keepStart(tt.s, tt.width); got != tt.want {
			t.Errorf("keepStart(%q, %d) = %q, want %q", tt.s, tt.width, got, tt.want)
		}
	}
}
