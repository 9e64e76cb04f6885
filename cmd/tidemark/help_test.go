package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/urfave/cli/v2"
)

func TestHelpOnProgram(t *testing.T) {
	given := testProcess(t)
	want := runTable(t, given, commands, "--help")
	if want.code != exitOK || want.err != "" {
		t.Fatalf("%+v", want)
	}
	for _, args := range [][]string{{"-h"}, {"help"}, {"-q", "--help"}} {
		if got := runTable(t, given, commands, args...); got != want {
			t.Errorf("%v: %+v", args, got)
		}
	}
	for _, e := range exitCodes {
		if !strings.Contains(want.out, fmt.Sprintf("\n  %3d  %s", e.code, e.means[:4])) {
			t.Errorf("exit code %d is not explained", e.code)
		}
	}
	for _, env := range []string{envRepository, envConfig, envPassphraseFile, envIdentityFile} {
		if !strings.Contains(want.out, "[$"+env+"]") {
			t.Errorf("%s is not explained", env)
		}
	}
	if !strings.HasSuffix(want.out, "\n\n"+readBuild(nil, "v0.0.1").String()+"\n") {
		t.Errorf("the version is not at the foot:\n%s", want.out)
	}
	narrow(t, want.out)
}

func TestHelpOnCommand(t *testing.T) {
	want := runTable(t, testProcess(t), toolCommands, "tool", "--help")
	for _, args := range [][]string{{"help", "tool"}, {"--help", "tool"}, {"tool", "-ah", "x"}, {"-h", "t"}} {
		if got := runTable(t, testProcess(t), toolCommands, args...); got != want {
			t.Errorf("%v: %+v", args, got)
		}
	}
	for _, part := range []string{
		"tidemark tool: do it\n\nUsage:\n  tidemark tool [OPTION]... [PATH]...\n",
		"\nOptions:\n  -n, --name NAME         call it NAME (default: \"x\")\n      --exclude PATTERN   leave out PATTERN\n",
		"\nOptions of every command:\n  -r, --repository REPO ",
	} {
		if !strings.Contains(want.out, part) {
			t.Errorf("%q is not in\n%s", part, want.out)
		}
	}
	if strings.Contains(want.out, "secretly") {
		t.Errorf("a hidden option shows in\n%s", want.out)
	}
	group := runTable(t, testProcess(t), toolCommands, "key", "-h")
	if !strings.Contains(group.out, "\nCommands:\n  add         add one\n  list        list them\n") {
		t.Errorf("the commands of key are not listed:\n%s", group.out)
	}
	if sub := runTable(t, testProcess(t), toolCommands, "help", "key", "list"); !strings.HasPrefix(sub.out, "tidemark key list: list them\n") {
		t.Errorf("%+v", sub)
	}
}

func TestHelpOnConfig(t *testing.T) {
	if got := runTidemark(t, "help", "config"); got.code != exitOK || got.out != configManual {
		t.Errorf("%+v", got)
	}
}

// TestCommandsAreWellFormed holds every command to what the rest of this
// package counts on, and to help that needs no other page.
func TestCommandsAreWellFormed(t *testing.T) {
	p := &program{process: testProcess(t)}
	app := newApp(p, commands(p))
	for _, c := range app.Commands {
		if !slices.Contains(groups, c.Category) {
			t.Errorf("%s: Category %q is none of the groups", c.Name, c.Category)
		}
		checkCommand(t, app, []*cli.Command{c})
	}
}

func checkCommand(t *testing.T, app *cli.App, path []*cli.Command) {
	c, name := path[len(path)-1], commandName(path)
	if c.Usage == "" || (len(c.Subcommands) > 0) == (c.Action != nil) {
		t.Errorf("%s: it needs a Usage, and either an Action or Subcommands", name)
	}
	if len(c.Subcommands) == 0 && !strings.Contains(c.Description, "\nExamples:\n  tidemark "+name) {
		t.Errorf("%s: its Description has no Examples", name)
	}
	seen := make(map[string]bool)
	for _, f := range c.Flags {
		for _, n := range f.Names() {
			if seen[n] {
				t.Errorf("%s: two options --%s", name, n)
			}
			seen[n] = true
			if !isOption("-" + n) {
				t.Errorf("%s: -%s would be a number", name, n)
			}
		}
		if len(f.Names()[0]) == 1 {
			t.Errorf("%s: the first name of -%s is to be its long one", name, f.Names()[0])
		}
		if r, ok := f.(cli.RequiredFlag); ok && r.IsRequired() {
			t.Errorf("%s: --%s: cli/v2 would tell that it is required in its own words; check it in the Action", name, f.Names()[0])
		}
		if d, ok := f.(cli.DocGenerationFlag); !ok || d.GetUsage() == "" || len(d.GetEnvVars()) > 0 {
			t.Errorf("%s: --%s: it needs a Usage, and no EnvVars, which cli/v2 would read from the real environment", name, f.Names()[0])
		}
	}
	var b strings.Builder
	commandHelp(&b, path)
	narrow(t, b.String())
	for _, sub := range c.Subcommands {
		checkCommand(t, app, append(path[:len(path):len(path)], sub))
	}
}

func narrow(t *testing.T, help string) {
	t.Helper()
	for line := range strings.Lines(help) {
		if strings.Contains(line, "/config.yaml") {
			continue // as long as this user's home directory makes it
		}
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > helpWidth {
			t.Errorf("a line of help has %d columns: %s", n, line)
		}
	}
}
