package main

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

func TestConfig(t *testing.T) {
	got, err := parseConfig("c.yaml", []byte(configManual))
	if err != nil {
		t.Fatal(err)
	}
	want := config{
		Repository:     "/srv/tidemark",
		PassphraseFile: "/etc/tidemark/passphrase",
		IdentityFiles:  []absPath{"/etc/tidemark/identity.txt"},
		Host:           "web1",
		StateDir:       "/var/lib/tidemark",
		Sources: map[sourceName]source{
			"app": {Path: "/srv/app", Exclude: []string{"*.tmp", "/cache"}, OneFilesystem: true, ChunkMean: 256 << 10},
			"db":  {Path: "/var/lib/postgresql", OneFilesystem: false, ChunkMean: 64 << 10},
		},
		Mount: mountConfig{Memory: 256 << 20, Host: "web1", AllowOther: true, Inodes: inodesFiles},
	}
	if got.TimeZone.Location == nil || got.TimeZone.String() != "Europe/Berlin" {
		t.Errorf("time zone %v", got.TimeZone)
	}
	got.TimeZone = zone{}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if names := got.sourceNames(); !slices.Equal(names, []string{"app", "db"}) {
		t.Errorf("sources in order: %v", names)
	}
}

// TestConfigManual: the manual has every key that there is.
func TestConfigManual(t *testing.T) {
	var keys func(reflect.Type, string) []string
	keys = func(typ reflect.Type, at string) []string {
		var all []string
		for i := range typ.NumField() {
			f := typ.Field(i)
			key := below(at, f.Tag.Get("yaml"))
			all = append(all, key)
			switch {
			case f.Type.Kind() == reflect.Map:
				all = append(all, keys(f.Type.Elem(), key+".*")...)
			case f.Type.Kind() == reflect.Struct && f.Type != reflect.TypeFor[zone]():
				all = append(all, keys(f.Type, key)...)
			}
		}
		return all
	}
	var doc map[string]any
	if err := yaml.Unmarshal([]byte(configManual), &doc); err != nil {
		t.Fatal(err)
	}
	shown := make(map[string]bool)
	var walk func(map[string]any, string)
	walk = func(m map[string]any, at string) {
		for k, v := range m {
			key := below(at, k)
			if at == "sources" {
				key = "sources.*"
			}
			shown[key] = true
			if m, ok := v.(map[string]any); ok {
				walk(m, key)
			}
		}
	}
	walk(doc, "")
	for _, key := range keys(reflect.TypeFor[config](), "") {
		if !shown[key] {
			t.Errorf("config.example.yaml does not show %s", key)
		}
	}
}

func TestConfigLeavesDefaults(t *testing.T) {
	for _, text := range []string{"", "\n# nothing\n", "---\n", "~", "repository:\nmount:\nsources:\n", "{}"} {
		if got, err := parseConfig("c.yaml", []byte(text)); err != nil || !reflect.DeepEqual(got, config{}) {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	got, err := parseConfig("c.yaml", []byte("host: 0x10\nsources: {a: {path: /a, one-filesystem: ~}}"))
	want := config{Host: "0x10", Sources: map[sourceName]source{"a": newSource("/a")}}
	if err != nil || !reflect.DeepEqual(got, want) || !got.Sources["a"].OneFilesystem {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestConfigErrors(t *testing.T) {
	for _, tt := range []struct {
		name, text, want string
	}{
		{"unknown key", "host: a\n\nreposiotry: /r", `c.yaml:3: unknown key "reposiotry"; did you mean "repository"?`},
		{"underscores", "passphrase_file: /p", `c.yaml:1: unknown key "passphrase_file"; did you mean "passphrase-file"?`},
		{"nothing near", "zebra: 1", `c.yaml:1: unknown key "zebra"`},
		{"unknown key below", "sources:\n  app:\n    path: /a\n    pth: /b", `c.yaml:4: unknown key "pth" in sources.app; did you mean "path"?`},
		{"twice", "host: a\nmount: {}\nhost: b", `c.yaml:3: key "host" stands on line 1 already`},
		{"source twice", "sources:\n  a: {path: /a}\n  a: {path: /b}", `c.yaml:3: key "a" stands on line 2 already`},
		{"no path", "sources:\n  app:\n    exclude: []", `c.yaml:3: sources.app: its path is missing`},
		{"empty source", "sources:\n  app:", `c.yaml:2: sources.app: nothing follows its name`},
		{"source name", "sources:\n  -app: {path: /a}", `c.yaml:2: sources: source name "-app": use letters, digits, ".", "_" and "-", the first a letter, a digit or "_"`},
		{"relative path", "state-dir: state", `c.yaml:1: state-dir: "state" is not an absolute path; begin it with /`},
		{"home", "repository: ~/r", `c.yaml:1: repository: "~/r" is not an absolute path; begin it with /`},
		{"not Boolean", "mount:\n  allow-other: yes", `c.yaml:2: mount.allow-other wants true or false, not "yes"`},
		{"list for Boolean", "mount:\n  allow-other: [true]", `c.yaml:2: mount.allow-other wants true or false, not a list`},
		{"text for list", "identity-files: /i", `c.yaml:1: identity-files wants a list, as in "- value", not "/i"`},
		{"empty entry", "identity-files:\n- /i\n-", `c.yaml:3: identity-files: an entry is empty`},
		{"text for keys", "mount: /backups", `c.yaml:1: mount wants keys with values, as in "name: value", not "/backups"`},
		{"keys for text", "host: {a: b}", `c.yaml:1: host wants a single value, not keys with values`},
		{"a list for all", "- a", `c.yaml:1: the file wants keys with values, as in "name: value", not a list`},
		{"size", "mount: {memory: 256MB}", `c.yaml:1: mount.memory: "256MB" is no size; write bytes, or a whole number with KiB, MiB, GiB or TiB`},
		{"chunk mean", "sources: {a: {path: /a, chunk-mean: 1MiB}}", `c.yaml:1: sources.a.chunk-mean: "1MiB" is neither 256KiB nor 64KiB`},
		{"inodes", "mount: {inodes: file}", `c.yaml:1: mount.inodes: "file" is none of files, shared, unique`},
		{"time zone", "time-zone: Europe/Bonn", `c.yaml:1: time-zone: unknown time zone "Europe/Bonn"; write a name such as Europe/Berlin or UTC`},
		{"empty time zone", "time-zone: ''", `c.yaml:1: time-zone: unknown time zone ""; write a name such as Europe/Berlin or UTC`},
		{"alias", "host: &h a\nmount: {host: *h}", "c.yaml:1: host: anchors, aliases and tags are not for this file; write the value out\n" +
			"c.yaml:2: mount.host: anchors, aliases and tags are not for this file; write the value out"},
		{"tag", "host: !!str 5", "c.yaml:1: host: anchors, aliases and tags are not for this file; write the value out"},
		{"merge", "mount:\n  <<: {host: a}", `c.yaml:2: unknown key "<<" in mount`},
		{"syntax", "host: a\n  b: c", "c.yaml: line 2: mapping values are not allowed in this context"},
		{"two documents", "host: a\n---\nhost: b", "c.yaml: there is more after the end of the first document"},
		{"all at once", "hots: a\nmount: 1", "c.yaml:1: unknown key \"hots\"; did you mean \"host\"?\nc.yaml:2: mount wants keys with values, as in \"name: value\", not \"1\""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := parseConfig("c.yaml", []byte(tt.text)); err == nil || err.Error() != tt.want {
				t.Errorf("%v\nwant %s", err, tt.want)
			}
		})
	}
}

func TestConfigErrorsAreBounded(t *testing.T) {
	var b strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&b, "key%d: 1\n", i)
	}
	_, err := parseConfig("c.yaml", []byte(b.String()))
	if err == nil || strings.Count(err.Error(), "\n") != maxConfigErrors-1 {
		t.Errorf("%v", err)
	}
	file := filepath.Join(t.TempDir(), "c.yaml")
	writeFile(t, file, strings.Repeat("#", maxConfigBytes+1))
	if _, err := loadConfig(file, true); err == nil || !strings.Contains(err.Error(), "is larger than 1.0 MiB") {
		t.Errorf("a file too large: %v", err)
	}
	if err := os.Truncate(file, maxConfigBytes); err != nil {
		t.Fatal(err)
	}
	if _, err := loadConfig(file, true); err != nil {
		t.Errorf("the largest file: %v", err)
	}
}

func TestSourceNames(t *testing.T) {
	for _, name := range []string{"a", "app", "_x", "A-9._", "9", strings.Repeat("x", maxSourceName)} {
		if err := checkSourceName(name); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{"", ".", "..", ".a", "-a", "a/b", "a b", "ä", "a\n", "a\x00", "a=b", strings.Repeat("x", maxSourceName+1)} {
		if checkSourceName(name) == nil {
			t.Errorf("%q is accepted", name)
		}
	}
}

// FuzzConfig: whatever is accepted, what a command would rest on holds.
func FuzzConfig(f *testing.F) {
	f.Add([]byte(configManual))
	f.Add([]byte("sources: {a: {path: /a, exclude: [b, c]}}\nmount: &x {memory: 1GiB}\nhost: *x"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := parseConfig("c.yaml", data)
		if err != nil {
			return
		}
		for name, s := range c.Sources {
			if checkSourceName(string(name)) != nil || !filepath.IsAbs(string(s.Path)) || s.ChunkMean == 0 {
				t.Fatalf("accepted source %q: %+v", name, s)
			}
		}
		for _, p := range append(c.IdentityFiles, c.PassphraseFile, c.StateDir) {
			if p != "" && !filepath.IsAbs(string(p)) {
				t.Fatalf("accepted path %q", p)
			}
		}
		if c.Mount.Memory < 0 {
			t.Fatalf("accepted %d bytes", c.Mount.Memory)
		}
	})
}
