package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/urfave/cli/v2"
)

// toolCommands has an option of every kind, a command with commands of its
// own, and actions that print what reached them.
func toolCommands(p *program) []*cli.Command {
	print := func(c *cli.Context) error {
		fmt.Fprintf(p.out, "%s r=%q", c.Command.Name, c.String("repository"))
		for _, name := range []string{"name", "exclude", "count", "every", "all", "json", "quiet", "verbose"} {
			if !c.IsSet(name) {
				continue
			}
			if list := c.StringSlice(name); list != nil {
				fmt.Fprintf(p.out, " %s=%q", name, list)
			} else {
				fmt.Fprintf(p.out, " %s=%v", name, c.Value(name))
			}
		}
		fmt.Fprintf(p.out, " %q\n", c.Args().Slice())
		return nil
	}
	return []*cli.Command{
		{Name: "tool", Aliases: []string{"t"}, Category: groupProgram, Usage: "do it", ArgsUsage: "[PATH]...", Action: print,
			Flags: []cli.Flag{
				&cli.StringFlag{Name: "name", Aliases: []string{"n"}, Usage: "call it `NAME`", Value: "x"},
				&cli.StringSliceFlag{Name: "exclude", Usage: "leave out `PATTERN`", KeepSpace: true},
				&cli.IntFlag{Name: "count", Aliases: []string{"c"}},
				&cli.DurationFlag{Name: "every", Usage: "wait"},
				&cli.BoolFlag{Name: "all", Aliases: []string{"a"}},
				&cli.BoolFlag{Name: "secretly", Hidden: true},
			}},
		{Name: "key", Category: groupSetup, Usage: "keys", Subcommands: []*cli.Command{
			{Name: "add", Usage: "add one", Action: print},
			{Name: "list", Usage: "list them", Action: print, Flags: []cli.Flag{&cli.BoolFlag{Name: "long"}}},
		}},
	}
}

func TestArgs(t *testing.T) {
	for _, tt := range []struct {
		name string
		args []string
		want string
	}{
		{"arguments only", []string{"tool", "a", "b"}, `tool r="" ["a" "b"]`},
		{"an alias", []string{"t", "a"}, `tool r="" ["a"]`},
		{"options after arguments", []string{"tool", "a", "--name", "n", "b", "-a"}, `tool r="" name=n all=true ["a" "b"]`},
		{"options before the command", []string{"-r", "R", "--json", "tool", "a"}, `tool r="R" json=true ["a"]`},
		{"a command of a command", []string{"-q", "key", "-r", "R", "add", "x", "-v"}, `add r="R" quiet=true verbose=true ["x"]`},
		{"values with =", []string{"tool", "--name=n=m", "-r=R", "-c=3"}, `tool r="R" name=n=m count=3 []`},
		{"empty values", []string{"tool", "--name=", "--exclude", ""}, `tool r="" name= exclude=[""] []`},
		{"letters together", []string{"tool", "-qac", "7", "x"}, `tool r="" count=7 all=true quiet=true ["x"]`},
		{"letters together, the last with =", []string{"tool", "-qr=R"}, `tool r="R" quiet=true []`},
		{"letters with a Boolean =", []string{"tool", "-qa=false"}, `tool r="" all=false quiet=true []`},
		{"after -- all are arguments", []string{"tool", "-a", "--", "-q", "--", "--name"}, `tool r="" all=true ["-q" "--" "--name"]`},
		{"-- before the command", []string{"--", "tool", "-q"}, `tool r="" ["-q"]`},
		{"negative numbers are values", []string{"tool", "--count", "-5", "--every", "-90m", "-n", "-.5"},
			`tool r="" name=-.5 count=-5 every=-1h30m0s []`},
		{"and arguments", []string{"tool", "-5", "-", "-90min"}, `tool r="" ["-5" "-" "-90min"]`},
		{"lists add up and keep commas and spaces", []string{"tool", "--exclude", "a,b", "x", "--exclude", " c "},
			`tool r="" exclude=["a,b" " c "] ["x"]`},
		{"the last counts", []string{"-r", "A", "tool", "-r", "B", "-a", "--all=false"}, `tool r="B" all=false []`},
		{"arguments named like commands", []string{"tool", "help", "h", "tool", "json", "--json"}, `tool r="" json=true ["help" "h" "tool" "json"]`},
		{"any bytes", []string{"tool", "\xff\n", "--name", "\xfe=\n"}, "tool r=\"\" name=\xfe=\n [\"\\xff\\n\"]"},
		{"an empty argument", []string{"tool", ""}, `tool r="" [""]`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := runTable(t, testProcess(t), toolCommands, tt.args...)
			if got.code != exitOK || got.out != tt.want+"\n" || got.err != "" {
				t.Errorf("%q: %+v\nwant %s", tt.args, got, tt.want)
			}
		})
	}
}

func TestArgsErrors(t *testing.T) {
	for _, tt := range []struct {
		args string
		want string
		help string
	}{
		{"", "no command given", "tidemark"},
		{"tol", `unknown command "tol"; did you mean "tool"?`, "tidemark"},
		{"zebra", `unknown command "zebra"`, "tidemark"},
		{"help tol", `unknown command "tol"; did you mean "tool"?`, "tidemark"},
		{"key", "key: say which: add, remove, list", "tidemark key"},
		{"key lst", `key: unknown command "lst"; did you mean "list"?`, "tidemark key"},
		{"tool --repositroy x", `tool: unknown option "--repositroy"; did you mean "--repository"?`, "tidemark tool"},
		{"tool --repo x", `tool: unknown option "--repo"; did you mean "--repository"?`, "tidemark tool"},
		{"tool --EXCLUDE=x", `tool: unknown option "--EXCLUDE"; did you mean "--exclude"?`, "tidemark tool"},
		{"tool --zebra", `tool: unknown option "--zebra"`, "tidemark tool"},
		{"tool -z", `tool: unknown option "-z"`, "tidemark tool"},
		{"tool -az", `tool: unknown option "-z"`, "tidemark tool"},
		{"tool --n x", `tool: unknown option "--n"; did you mean "-n"?`, "tidemark tool"},
		{"tool -json", `tool: "-json" needs two dashes: --json`, "tidemark tool"},
		{"tool -repository=x", `tool: "-repository=x" needs two dashes: --repository`, "tidemark tool"},
		{"tool -repo x", `tool: "-repo": -r needs a value; write "-r epo" if that is it; did you mean "--repository"?`, "tidemark tool"},
		{"tool -=x", `tool: unknown option "-=x"`, "tidemark tool"},
		{"tool --=x", `tool: unknown option "--"`, "tidemark tool"},
		{"tool -q\x80", `tool: unknown option "-\x80"`, "tidemark tool"},
		{"tool -jsno", `tool: unknown option "-jsno"; did you mean "--json"?`, "tidemark tool"},
		{"--name x tool", `--name is an option of "tool", and goes after its name`, "tidemark"},
		{"tool --long", `tool: --long is an option of "key list" only`, "tidemark tool"},
		{"tool --version", `tool: unknown option "--version"`, "tidemark tool"},
		{"tool -r", "tool: -r needs a value", "tidemark tool"},
		{"tool -r --json", `tool: -r needs a value; if "--json" is it, write -r=--json`, "tidemark tool"},
		{"tool -r -- x", `tool: -r needs a value; if "--" is it, write -r=--`, "tidemark tool"},
		{"tool --count many", `tool: --count wants a whole number, not "many"`, "tidemark tool"},
		{"tool --every 5", `tool: --every wants a duration such as 90s, 15m or 2h, not "5"`, "tidemark tool"},
		{"tool --all=maybe", `tool: --all wants true or false, not "maybe"`, "tidemark tool"},
	} {
		t.Run(tt.args, func(t *testing.T) {
			table := func(p *program) []*cli.Command {
				list := toolCommands(p)
				key := list[1]
				key.Subcommands = slices.Insert(key.Subcommands, 1, &cli.Command{Name: "remove"})
				return list
			}
			got := runTable(t, testProcess(t), table, strings.Fields(tt.args)...)
			want := "tidemark: " + tt.want + "\n  try: " + tt.help + " --help\n"
			if got.code != exitUsage || !strings.HasSuffix(got.err, want) || got.out != "" {
				t.Errorf("%+v\nwant %q", got, want)
			}
			if tt.args != "" && got.err != want {
				t.Errorf("printed more than the error: %q", got.err)
			}
		})
	}
}

// TestArgsInAnyOrder: a command line means the same however its options and
// arguments are mixed, as long as the options stay in order among themselves,
// and so do the arguments.
func TestArgsInAnyOrder(t *testing.T) {
	options := [][]string{{"-r", "R"}, {"--exclude=a"}, {"-aq"}, {"--exclude", "-1"}, {"--name", "x y"}, {"-c=9"}}
	arguments := [][]string{{"one"}, {"-2"}, {"three"}, {"-"}}
	var want string
	seed := uint64(time.Now().UnixNano())
	rng := rand.New(rand.NewPCG(seed, 0))
	for range 100 {
		line := []string{"tool"}
		for o, a := options, arguments; len(o)+len(a) > 0; {
			if len(a) == 0 || len(o) > 0 && rng.IntN(2) == 0 {
				line, o = append(line, o[0]...), o[1:]
			} else {
				line, a = append(line, a[0]...), a[1:]
			}
		}
		got := runTable(t, testProcess(t), toolCommands, line...)
		if want == "" {
			want = got.out
		}
		if got.code != exitOK || got.out != want {
			t.Fatalf("seed %d: %q: %+v\nwant %s", seed, line, got, want)
		}
	}
	if !strings.Contains(want, `["one" "-2" "three" "-"]`) {
		t.Errorf("the arguments came as %s", want)
	}
}

// FuzzArgs: any line is refused, or its canonical form means the same.
func FuzzArgs(f *testing.F) {
	f.Add("tool\x00-r\x00R\x00a\x00--\x00-b")
	f.Add("-q\x00key\x00add\x00--json=true\x00-5")
	f.Add("tool\x00-qac\x00-7\x00--exclude=\x00")
	f.Fuzz(func(t *testing.T, joined string) {
		p := &program{process: testProcess(t)}
		app := newApp(p, toolCommands(p))
		line, err := parseArgs(app, strings.Split(joined, "\x00"))
		if err != nil || line.help || len(line.path) == 0 {
			return
		}
		again, err := parseArgs(app, line.canonical("tidemark")[1:])
		if err != nil {
			t.Fatalf("canonical form %q: %v", line.canonical("tidemark"), err)
		}
		if commandName(again.path) != commandName(line.path) || !slices.Equal(again.options, line.options) || !slices.Equal(again.args, line.args) {
			t.Fatalf("%+v became %+v", line, again)
		}
	})
}

func TestNearest(t *testing.T) {
	known := []string{"capture", "cat", "diff", "ls", "mount", "points", "restore", "unmount"}
	for word, want := range map[string]string{
		"captrue": "capture", "capt": "capture", "point": "points", "dif": "diff", "umount": "unmount", "MOUNT": "mount",
		"mont": "mount", "resotre": "restore", "l": "", "x": "", "snapshots": "", "": "", "backup": "", "list": "ls", "history": "",
	} {
		if got := nearest(word, known); got != want {
			t.Errorf("nearest(%q) = %q, want %q", word, got, want)
		}
	}
}
