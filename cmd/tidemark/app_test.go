package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/urfave/cli/v2"
)

// A result is what one run of the program did.
type result struct {
	code     int
	out, err string
}

// testProcess returns the process of an ordinary user with an empty home, no
// terminal, and the variables env, given as "NAME=value".
func testProcess(t *testing.T, env ...string) process {
	t.Helper()
	env = append([]string{"HOME=" + t.TempDir()}, env...)
	return process{
		getenv: func(name string) string {
			for _, e := range slices.Backward(env) {
				if value, ok := strings.CutPrefix(e, name+"="); ok {
					return value
				}
			}
			return ""
		},
		uid:      1000,
		stdin:    strings.NewReader(""),
		openTTY:  func() (*os.File, error) { return nil, os.ErrNotExist },
		now:      time.Now,
		zone:     time.UTC,
		hostname: func() (string, error) { return "testhost", nil },
		build:    readBuild(nil, "v0.0.1"),
	}
}

// runTable runs a program with the commands of table.
func runTable(t *testing.T, given process, table commandTable, args ...string) result {
	t.Helper()
	var out, err bytes.Buffer
	given.args, given.stdout, given.stderr = args, &out, &err
	code := run(t.Context(), given, table)
	return result{code, out.String(), err.String()}
}

// runTidemark runs Tidemark itself.
func runTidemark(t *testing.T, args ...string) result {
	t.Helper()
	return runTable(t, testProcess(t), commands, args...)
}

// oneCommand is a table of the command "do", which needs settings.
func oneCommand(do func(*cli.Context, *settings) error, flags ...cli.Flag) commandTable {
	return func(p *program) []*cli.Command {
		return []*cli.Command{{Name: "do", Category: groupProgram, Flags: flags, Action: p.action(do)}}
	}
}

func TestVersion(t *testing.T) {
	for _, args := range [][]string{{"version"}, {"--version"}} {
		got := runTidemark(t, args...)
		if got.code != exitOK || got.err != "" || !strings.HasPrefix(got.out, "tidemark v0.0.1, go1.") {
			t.Errorf("%v: %+v", args, got)
		}
	}
	for _, args := range [][]string{{"version", "--json"}, {"--json", "version"}, {"--version", "--json"}} {
		got := runTidemark(t, args...)
		var b build
		if err := json.Unmarshal([]byte(got.out), &b); err != nil || b.Version != "v0.0.1" || b.Platform == "" {
			t.Errorf("%v: %+v: %v", args, got, err)
		}
		if strings.Count(got.out, "\n") != 1 || !strings.HasSuffix(got.out, "\n") {
			t.Errorf("%v printed %q, not one line", args, got.out)
		}
	}
	if got := runTidemark(t, "version", "now"); got.code != exitUsage || !strings.Contains(got.err, "takes no arguments, but got now") {
		t.Errorf("version now: %+v", got)
	}
}

// TestVersionIgnoresConfig: which program this is can be asked when all else
// is broken.
func TestVersionIgnoresConfig(t *testing.T) {
	given := testProcess(t, "TIDEMARK_CONFIG=/does/not/exist")
	if got := runTable(t, given, commands, "version"); got.code != exitOK {
		t.Errorf("%+v", got)
	}
}

func TestReadBuild(t *testing.T) {
	info := &debug.BuildInfo{
		Main: debug.Module{Version: "v1.0.1-0.20261120"},
		Settings: []debug.BuildSetting{
			{Key: "vcs.revision", Value: "0123456789abcdef0123"}, {Key: "vcs.modified", Value: "true"}},
	}
	for _, tt := range []struct {
		name    string
		info    *debug.BuildInfo
		release string
		want    string
	}{
		{"nothing known", nil, "", "tidemark development, go"},
		{"go build outside of git", &debug.BuildInfo{Main: debug.Module{Version: "(devel)"}}, "", "tidemark development, go"},
		{"go build", info, "", "tidemark v1.0.1-0.20261120 from 0123456789ab with changes, go"},
		{"a release", info, "v1.0.0", "tidemark v1.0.0 from 0123456789ab with changes, go"},
	} {
		if got := readBuild(tt.info, tt.release).String(); !strings.HasPrefix(got, tt.want) {
			t.Errorf("%s: %q, want %q…", tt.name, got, tt.want)
		}
	}
}

func TestSharedOptions(t *testing.T) {
	config := filepath.Join(t.TempDir(), "tidemark.yaml")
	writeFile(t, config, "repository: /from/config\npassphrase-file: /pass/config\nidentity-files: [/id/config, /id/2]\n")
	env := []string{"TIDEMARK_REPOSITORY=/from/env", "TIDEMARK_PASSPHRASE_FILE=/pass/env", "TIDEMARK_IDENTITY_FILE=/id/env"}
	show := oneCommand(func(c *cli.Context, s *settings) error {
		fmt.Fprintln(s.p.out, s.repositoryName, s.passphraseFile, s.identityFiles, s.json, s.quiet, s.verbose, c.Args().Slice())
		return nil
	})
	for _, tt := range []struct {
		name string
		env  []string
		args string
		want string
	}{
		{"nothing", nil, "do", "  [] false false false []"},
		{"config", nil, "do --config " + config, "/from/config /pass/config [/id/config /id/2] false false false []"},
		{"config by environment", []string{"TIDEMARK_CONFIG=" + config}, "do",
			"/from/config /pass/config [/id/config /id/2] false false false []"},
		{"environment over config", env, "--config " + config + " do", "/from/env /pass/env [/id/env] false false false []"},
		{"options over all", env, "do --config " + config + " -r /r --passphrase-file /p --identity /a,b --identity /c",
			"/r /p [/a,b /c] false false false []"},
		{"before the command", nil, "-qr /r --json --identity /i do -v", "/r  [/i] true true true []"},
		{"the command wins", nil, "-r /before --json --identity /a do -r /after --json=false --identity /b", "/after  [/a /b] false false false []"},
		{"after arguments", nil, "do x -r /r y -q -- -v", "/r  [] false true false [x y -v]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := runTable(t, testProcess(t, tt.env...), show, strings.Fields(tt.args)...)
			if got.code != exitOK || got.out != tt.want+"\n" || got.err != "" {
				t.Errorf("tidemark %s: %+v; want %q", tt.args, got, tt.want)
			}
		})
	}
}

func TestEmptySharedOptionsAreRefused(t *testing.T) {
	nop := oneCommand(func(*cli.Context, *settings) error { return nil })
	for _, option := range []string{"--repository", "--config", "--passphrase-file", "--identity"} {
		got := runTable(t, testProcess(t, "TIDEMARK_REPOSITORY=/r"), nop, "do", option, "")
		if got.code != exitUsage || !strings.Contains(got.err, option+" is empty") {
			t.Errorf("%s: %+v", option, got)
		}
	}
}

func TestDefaults(t *testing.T) {
	home := t.TempDir()
	writeFile(t, filepath.Join(home, ".config/tidemark/config.yaml"), "repository: /at/home\n")
	xdg := t.TempDir()
	writeFile(t, filepath.Join(xdg, "tidemark/config.yaml"), "repository: /at/xdg\nstate-dir: /state\nhost: other\ntime-zone: Asia/Tokyo\n")
	show := oneCommand(func(_ *cli.Context, s *settings) error {
		fmt.Fprintln(s.p.out, s.repositoryName, s.stateDir, s.host, s.zone)
		return nil
	})
	for _, tt := range []struct {
		name string
		env  []string
		want string
	}{
		{"home", []string{"HOME=" + home}, "/at/home " + home + "/.local/state/tidemark testhost UTC\n"},
		{"XDG", []string{"HOME=" + home, "XDG_CONFIG_HOME=" + xdg}, "/at/xdg /state other Asia/Tokyo\n"},
		{"XDG, relative, is ignored", []string{"HOME=" + home, "XDG_CONFIG_HOME=tmp", "XDG_STATE_HOME=/s"}, "/at/home /s/tidemark testhost UTC\n"},
	} {
		if got := runTable(t, testProcess(t, tt.env...), show, "do"); got.out != tt.want || got.code != exitOK {
			t.Errorf("%s: %+v, want %q", tt.name, got, tt.want)
		}
	}

	root := &program{process: testProcess(t)}
	root.uid = 0
	if got := root.defaultConfigFile(); got != "/etc/tidemark/config.yaml" {
		t.Errorf("root's configuration is %s", got)
	}
	if got, err := root.stateDir(config{}); err != nil || got != "/var/lib/tidemark" {
		t.Errorf("root's state is %s, %v", got, err)
	}
	if got := runTable(t, testProcess(t, "HOME="), show, "do"); got.code == exitOK || !strings.Contains(got.err, "try: set HOME") {
		t.Errorf("without a home: %+v", got)
	}
}

func TestNamedConfigMustExist(t *testing.T) {
	nop := oneCommand(func(*cli.Context, *settings) error { return nil })
	missing := filepath.Join(t.TempDir(), "missing.yaml")
	for _, given := range []process{testProcess(t), testProcess(t, "TIDEMARK_CONFIG="+missing)} {
		args := []string{"do"}
		if given.getenv("TIDEMARK_CONFIG") == "" {
			args = append(args, "--config", missing)
		}
		if got := runTable(t, given, nop, args...); got.code != exitUsage || !strings.Contains(got.err, missing+": no such file") {
			t.Errorf("%v: %+v", args, got)
		}
	}
}

func TestRepositoryIsNeeded(t *testing.T) {
	got := runTable(t, testProcess(t), oneCommand(func(_ *cli.Context, s *settings) error {
		_, err := s.repository()
		return err
	}), "do", "/srv/repo")
	if got.code != exitUsage || !strings.Contains(got.err, "no repository was named\n  try: -r REPO, or set TIDEMARK_REPOSITORY") {
		t.Errorf("%+v", got)
	}
}

func TestErrorsAndExitCodes(t *testing.T) {
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	plain := errors.New("restore /x: disk full")
	for _, tt := range []struct {
		name string
		ctx  context.Context
		err  error
		code int
		text string
	}{
		{"none", t.Context(), nil, exitOK, ""},
		{"none, though a signal came", cancelled, nil, exitOK, ""},
		{"plain", t.Context(), plain, exitFailed, "tidemark: restore /x: disk full\n"},
		{"with a hint, wrapped", t.Context(), fmt.Errorf("app: %w", hint{plain, "df /x"}), exitFailed, "tidemark: app: restore /x: disk full\n  try: df /x\n"},
		{"with a code", t.Context(), fmt.Errorf("app: %w", coded{exitPartial, plain}), exitPartial, "tidemark: app: restore /x: disk full\n"},
		{"the outer code counts", t.Context(), coded{exitNoAccess, coded{exitPartial, plain}}, exitNoAccess, "tidemark: restore /x: disk full\n"},
		{"interrupted", cancelled, fmt.Errorf("app: %w", context.Canceled), exitInterrupted, "tidemark: interrupted\n"},
		{"failed after a signal", cancelled, plain, exitInterrupted, "tidemark: restore /x: disk full\n"},
		{"a deadline is no signal", t.Context(), context.Canceled, exitFailed, "tidemark: context canceled\n"},
		{"hostile names", t.Context(), errors.New("open \x1b[2Ja\nb\xff"), exitFailed, "tidemark: open \\033[2Ja\n    b\\377\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out, msg bytes.Buffer
			given := testProcess(t)
			given.args, given.stdout, given.stderr = []string{"do"}, &out, &msg
			code := run(tt.ctx, given, oneCommand(func(*cli.Context, *settings) error { return tt.err }))
			if code != tt.code || msg.String() != tt.text {
				t.Errorf("code %d, %q; want %d, %q", code, msg.String(), tt.code, tt.text)
			}
		})
	}
}

func TestWantArgs(t *testing.T) {
	for _, tt := range []struct {
		least, most int
		args        string
		want        string
	}{
		{0, 0, "", ""},
		{1, 2, "", "do: it needs A [B]"},
		{2, 2, "a", "do: it needs A [B], and got only 1"},
		{1, 2, "a b", ""},
		{1, 2, "a b c", "do: one argument too many: c"},
		{1, -1, "a b c", ""},
	} {
		table := func(p *program) []*cli.Command {
			return []*cli.Command{{Name: "do", ArgsUsage: "A [B]", Action: func(c *cli.Context) error {
				return wantArgs(c, tt.least, tt.most)
			}}}
		}
		got := runTable(t, testProcess(t), table, append([]string{"do"}, strings.Fields(tt.args)...)...)
		if tt.want == "" && got.code != exitOK || tt.want != "" && (got.code != exitUsage || !strings.Contains(got.err, tt.want+"\n  try: tidemark do --help\n")) {
			t.Errorf("wantArgs(%d, %d) of %q: %+v", tt.least, tt.most, tt.args, got)
		}
	}
}

func TestWantArgsOfSubcommand(t *testing.T) {
	table := func(p *program) []*cli.Command {
		return []*cli.Command{{Name: "key", Subcommands: []*cli.Command{
			{Name: "add", ArgsUsage: "NAME", Action: func(c *cli.Context) error { return wantArgs(c, 1, 1) }}}}}
	}
	if got := runTable(t, testProcess(t), table, "key", "add"); got.err != "tidemark: key add: it needs NAME\n  try: tidemark key add --help\n" {
		t.Errorf("%+v", got)
	}
}

// A fullDisk fails every write.
type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

func TestFullStandardOutput(t *testing.T) {
	given := testProcess(t)
	var msg bytes.Buffer
	given.args, given.stdout, given.stderr = []string{"version"}, fullDisk{}, &msg
	if code := run(t.Context(), given, commands); code != exitFailed || msg.String() != "tidemark: standard output: no space left on device\n" {
		t.Errorf("code %d, %q", code, msg.String())
	}
}

func TestLogger(t *testing.T) {
	for _, tt := range []struct {
		args     []string
		terminal bool
		want     []string
	}{
		{[]string{"do"}, true, []string{"level=INFO msg=notice\n", "level=WARN msg=w\n"}},
		{[]string{"do", "-q"}, true, []string{"level=WARN msg=w\n"}},
		{[]string{"do", "-v"}, true, []string{"level=DEBUG msg=detail name=\"\\x1b[2J\"\n", "level=INFO msg=notice\n", "level=WARN msg=w\n"}},
		{[]string{"do", "-q"}, false, []string{"time=", "level=WARN msg=w\n"}},
	} {
		given := testProcess(t)
		if tt.terminal {
			given.stderrWidth = func() int { return 80 }
		}
		got := runTable(t, given, oneCommand(func(_ *cli.Context, s *settings) error {
			s.log.Debug("detail", "name", "\x1b[2J")
			s.log.Info("notice")
			s.log.Warn("w")
			return nil
		}), tt.args...)
		if tt.terminal && got.err != strings.Join(tt.want, "") || !tt.terminal && !strings.HasPrefix(got.err, tt.want[0]) {
			t.Errorf("%v: %q; want %q", tt.args, got.err, tt.want)
		}
	}
}

func TestNotesAndWarnings(t *testing.T) {
	talk := oneCommand(func(_ *cli.Context, s *settings) error {
		s.note("made point %d", 7)
		s.p.warn("file %s vanished", "a\nb")
		return nil
	})
	if got := runTable(t, testProcess(t), talk, "do"); got.err != "made point 7\ntidemark: warning: file a\n    b vanished\n" || got.out != "" {
		t.Errorf("%+v", got)
	}
	if got := runTable(t, testProcess(t), talk, "do", "-q"); got.err != "tidemark: warning: file a\n    b vanished\n" {
		t.Errorf("quiet: %+v", got)
	}
}

func TestShownName(t *testing.T) {
	show := oneCommand(func(_ *cli.Context, s *settings) error {
		_, err := io.WriteString(s.p.out, s.p.shownName("a\x1b[2J"))
		return err
	})
	given := testProcess(t)
	if got := runTable(t, given, show, "do"); got.out != "a\x1b[2J" {
		t.Errorf("to a pipe: %q", got.out)
	}
	given.stdoutTerm = true
	if got := runTable(t, given, show, "do"); got.out != `'a'$'\033''[2J'` {
		t.Errorf("to a terminal: %q", got.out)
	}
}

func writeFile(t *testing.T, file, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
