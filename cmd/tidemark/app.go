package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
)

// outBytes is the buffer before standard output: a listing of a million names
// costs some thousands of writes, not a million.
const outBytes = 64 << 10

// commands lists every command, in the order in which help shows them within
// their groups.
func commands(p *program) []*cli.Command {
	return []*cli.Command{
		initCommand(p),
		keyCommand(p),
		captureCommand(p),
		pointsCommand(p),
		lsCommand(p),
		catCommand(p),
		diffCommand(p),
		restoreCommand(p),
		mountCommand(p),
		unmountCommand(p),
		versionCommand(p),
	}
}

// The groups of help. Every command has one of them as its Category.
const (
	groupSetup   = "Setting up"
	groupCapture = "Making points"
	groupLook    = "Looking and restoring"
	groupProgram = "The program"
)

// groups is the order of the groups in help.
var groups = []string{groupSetup, groupCapture, groupLook, groupProgram}

// A process is all that the program is given by the system.
type process struct {
	args           []string            // without the program's own name
	getenv         func(string) string // "" for a variable that is not set
	uid            int                 // whose configuration to read
	stdin          io.Reader
	stdout, stderr io.Writer
	stdoutTerm     bool                     // stdout is a terminal
	stderrWidth    func() int               // columns of stderr; nil: not a terminal
	openTTY        func() (*os.File, error) // the terminal to ask for passphrases on
	now            func() time.Time
	zone           *time.Location // this machine's
	hostname       func() (string, error)
	build          build
}

// A program is one run of Tidemark. Constructors of commands are given it.
//
// A command prints its results to out, and needs no check of each write: out
// keeps its first error, which run reports. Everything else, meant for people,
// goes through messages.
type program struct {
	process
	out      *bufio.Writer
	messages *screen
}

// run runs the program once and returns its exit code. It is the whole of
// Tidemark but for the process around it.
func run(ctx context.Context, given process, table commandTable) int {
	p := &program{
		process:  given,
		out:      bufio.NewWriterSize(given.stdout, outBytes),
		messages: &screen{w: given.stderr, redraws: given.stderrWidth != nil},
	}
	err := p.dispatch(ctx, newApp(p, table(p)))
	if flushErr := p.out.Flush(); flushErr != nil && err == nil {
		err = fmt.Errorf("standard output: %w", flushErr)
	}
	return p.report(ctx, err)
}

// dispatch takes the command line apart and runs what it asks for.
func (p *program) dispatch(ctx context.Context, app *cli.App) error {
	line, err := parseArgs(app, p.args)
	switch {
	case err != nil:
		return err
	case line.topic != "":
		writeTopic(p.out, line.topic)
		return nil
	case line.help:
		p.writeHelp(p.out, app, line.path)
		return nil
	case len(line.path) == 0:
		p.writeHelp(p.messages, app, nil)
		return usageError("", "no command given")
	}
	if c := line.path[len(line.path)-1]; len(c.Subcommands) > 0 {
		return usageError(commandName(line.path), "say which: %s", strings.Join(commandNames(c.Subcommands), ", "))
	}
	return app.RunContext(ctx, line.canonical(app.Name))
}

// newApp makes the cli.App. What cli/v2 would do by itself, parsing apart, is
// turned off: it reads the real environment, prints errors of its own, ends
// the process, takes an argument "help" for a command, and splits values at
// commas. See args.go and help.go for what stands in its place.
func newApp(p *program, commands []*cli.Command) *cli.App {
	for _, c := range commands {
		prepare(c, nil)
	}
	return &cli.App{
		Name:                      "tidemark",
		Commands:                  commands,
		Flags:                     sharedFlags(),
		Reader:                    p.stdin,
		Writer:                    p.out,
		ErrWriter:                 p.messages,
		HideHelp:                  true,
		HideVersion:               true,
		DisableSliceFlagSeparator: true,
		ExitErrHandler:            func(*cli.Context, error) {}, // report does it
	}
}

// prepare gives c and the commands below it what every command has.
func prepare(c *cli.Command, above []*cli.Command) {
	path := append(above[:len(above):len(above)], c)
	c.HideHelp = true
	c.Flags = append(c.Flags, sharedFlags()...)
	c.OnUsageError = func(_ *cli.Context, err error, _ bool) error {
		return usageError(commandName(path), "%v", err)
	}
	for _, sub := range c.Subcommands {
		prepare(sub, path)
	}
}

// printJSON prints v as one line of JSON. Listings print one line an entry, so
// that a reader needs no memory for the whole and sees where one broke off.
func (p *program) printJSON(v any) error {
	enc := json.NewEncoder(p.out)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// shownName returns a name as it belongs on standard output: quoted if that is
// a terminal, as it is if that is a file or a program.
func (p *program) shownName(name string) string {
	if p.stdoutTerm {
		return quoteName(name)
	}
	return name
}

// warn tells the user what does not stop the command.
func (p *program) warn(format string, args ...any) {
	fmt.Fprintf(p.messages, "tidemark: warning: %s\n", cleanText(fmt.Sprintf(format, args...)))
}

// wantArgs checks how many arguments a command got: at least least, and at
// most most, or any number if most is negative.
func wantArgs(c *cli.Context, least, most int) error {
	name := strings.TrimPrefix(c.Command.HelpName, c.App.Name+" ")
	switch n := c.NArg(); {
	case n < least && n == 0:
		return usageError(name, "it needs %s", c.Command.ArgsUsage)
	case n < least:
		return usageError(name, "it needs %s, and got only %d", c.Command.ArgsUsage, n)
	case most == 0 && n > 0:
		return usageError(name, "it takes no arguments, but got %s", quoteName(c.Args().First()))
	case most > 0 && n > most:
		return usageError(name, "one argument too many: %s", quoteName(c.Args().Get(most)))
	}
	return nil
}
