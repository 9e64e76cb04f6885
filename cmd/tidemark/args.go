package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/urfave/cli/v2"
)

// A commandLine is what the user typed, taken apart.
//
// cli/v2 ends options at the first argument, keeps the options before and
// after a command's name apart, and reads "-json" as "--json". Users, and
// scripts that append an argument, expect getopt's rules. So parseArgs takes
// the line apart by those, for every command, and canonical writes it down
// again in the one form that cli/v2 cannot misread.
//
// The rules:
//
//   - An option may stand anywhere: before the command's name (shared options
//     only), after it, after arguments. After "--" there are only arguments.
//   - "--name VALUE" and "--name=VALUE"; "-n VALUE" and "-n=VALUE"; "-ab" is
//     "-a -b". A value never touches its letter: "-repo" is a slip for
//     "--repository" more often than "-r epo".
//   - "--flag", "--flag=true" and "--flag=false" for one without a value.
//   - What begins with "-" and a digit or a point is no option but a value or
//     an argument: "-90min". So is "-" alone. Any other value that begins with
//     "-" needs the form with "=".
//   - Of an option given twice the last counts, so what stands after the
//     command's name wins. One that may be repeated adds up.
type commandLine struct {
	path    []*cli.Command // from the program down; empty if none was named
	options []string       // "--name=value", full names, as ordered by the user
	args    []string
	help    bool   // asked for help on path
	topic   string // asked for help on this topic
}

// canonical returns the command line for cli/v2, with the program's name.
func (l commandLine) canonical(program string) []string {
	out := []string{program}
	for _, c := range l.path {
		out = append(out, c.Name)
	}
	out = append(out, l.options...)
	return append(append(out, "--"), l.args...)
}

// parseArgs takes args apart. Its errors are usage errors.
func parseArgs(app *cli.App, args []string) (commandLine, error) {
	p := argParser{app: app, rest: args}
	for len(p.rest) > 0 {
		arg := p.rest[0]
		p.rest = p.rest[1:]
		var err error
		switch {
		case arg == "--":
			for _, a := range p.rest {
				if err = p.operand(a); err != nil {
					return commandLine{}, err
				}
			}
			p.rest = nil
		case !isOption(arg):
			err = p.operand(arg)
		case strings.HasPrefix(arg, "--"):
			err = p.long(arg)
		default:
			err = p.short(arg)
		}
		if err != nil {
			return commandLine{}, err
		}
	}
	return p.line, nil
}

// isOption reports whether arg is an option, or "--", by its form.
func isOption(arg string) bool {
	return len(arg) > 1 && arg[0] == '-' && !strings.ContainsRune("0123456789.", rune(arg[1]))
}

type argParser struct {
	app  *cli.App
	rest []string
	line commandLine
}

// operand takes the name of a command, or an argument of the one named.
func (p *argParser) operand(arg string) error {
	commands := p.app.Commands
	if n := len(p.line.path); n > 0 {
		commands = p.line.path[n-1].Subcommands
		if len(commands) == 0 {
			p.line.args = append(p.line.args, arg)
			return nil
		}
	}
	for _, c := range commands {
		if c.HasName(arg) {
			p.line.path = append(p.line.path, c)
			return nil
		}
	}
	switch {
	case len(p.line.path) == 0 && arg == "help":
		p.line.help = true
		return nil
	case len(p.line.path) == 0 && p.line.help && isTopic(arg):
		p.line.topic = arg
		return nil
	}
	return p.errorf("unknown command %q%s", arg, didYouMean(arg, commandNames(commands)))
}

// long takes "--name" or "--name=value".
func (p *argParser) long(arg string) error {
	name, value, hasValue := strings.Cut(arg, "=")
	if name == "--version" && len(p.line.path) == 0 && !hasValue {
		return p.operand("version")
	}
	f := p.find(name[2:])
	if f == nil || len(name) == len("--x") {
		return p.unknown(name)
	}
	return p.set(f, name, value, hasValue)
}

// short takes "-a", "-abc" or "-a=value".
func (p *argParser) short(arg string) error {
	letters, value, hasValue := strings.Cut(arg[1:], "=")
	if letters == "" {
		return p.unknown(arg)
	}
	if len(letters) > 1 && p.find(letters) != nil {
		return p.errorf("%q needs two dashes: --%s", arg, letters)
	}
	for rest, first := letters, true; rest != ""; first = false {
		_, n := utf8.DecodeRuneInString(rest)
		name := rest[:n]
		rest = rest[n:]
		f := p.find(name)
		switch {
		case f == nil && first:
			return p.unknown("-" + letters)
		case f == nil:
			return p.unknown("-" + name)
		case rest != "" && takesValue(f):
			return p.errorf("%q: -%s needs a value; write \"-%s %s\" if that is it%s", arg, name, name, rest,
				didYouMean("--"+letters, p.optionNames()))
		}
		if err := p.set(f, "-"+name, value, hasValue && rest == ""); err != nil {
			return err
		}
	}
	return nil
}

// set takes f, spelled as the user did, with its value or the word after it.
func (p *argParser) set(f cli.Flag, spelled, value string, hasValue bool) error {
	switch {
	case !takesValue(f) && !hasValue:
		value = "true"
	case takesValue(f) && !hasValue:
		if len(p.rest) == 0 {
			return p.errorf("%s needs a value", spelled)
		}
		if next := p.rest[0]; isOption(next) {
			return p.errorf("%s needs a value; if %q is it, write %s=%s", spelled, next, spelled, next)
		}
		value, p.rest = p.rest[0], p.rest[1:]
	}
	if want := wants(f, value); want != "" {
		return p.errorf("%s wants %s, not %q", spelled, want, value)
	}
	name := f.Names()[0]
	if name == helpOption {
		p.line.help = value != "false"
		return nil
	}
	p.line.options = append(p.line.options, "--"+name+"="+value)
	return nil
}

// wants returns what kind of value f takes, in words, if value is none.
func wants(f cli.Flag, value string) string {
	var err error
	var kind string
	switch f.(type) {
	case *cli.BoolFlag:
		kind = "true or false"
		_, err = strconv.ParseBool(value)
	case *cli.IntFlag, *cli.Int64Flag:
		kind = "a whole number"
		_, err = strconv.ParseInt(value, 0, 64)
	case *cli.UintFlag, *cli.Uint64Flag:
		kind = "a whole number from 0"
		_, err = strconv.ParseUint(value, 0, 64)
	case *cli.Float64Flag:
		kind = "a number"
		_, err = strconv.ParseFloat(value, 64)
	case *cli.DurationFlag:
		kind = "a duration such as 90s, 15m or 2h"
		_, err = time.ParseDuration(value)
	}
	if err != nil {
		return kind
	}
	return ""
}

func takesValue(f cli.Flag) bool {
	d, ok := f.(cli.DocGenerationFlag)
	return ok && d.TakesValue()
}

// flags returns the options that may stand where the parser is.
func (p *argParser) flags() []cli.Flag {
	if n := len(p.line.path); n > 0 {
		return p.line.path[n-1].Flags
	}
	return p.app.Flags
}

func (p *argParser) find(name string) cli.Flag {
	for _, f := range p.flags() {
		if slices.Contains(f.Names(), name) {
			return f
		}
	}
	return nil
}

// optionNames returns the options that may stand here, with their dashes.
func (p *argParser) optionNames() []string {
	var names []string
	for _, f := range p.flags() {
		for _, name := range f.Names() {
			names = append(names, dashed(name))
		}
	}
	return names
}

// dashed returns an option's name as it is typed.
func dashed(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}

// unknown says that there is no such option, and which was meant.
func (p *argParser) unknown(spelled string) error {
	if owners := optionOwners(p.app.Commands, nil, spelled); len(owners) > 0 {
		if len(p.line.path) == 0 {
			return p.errorf("%s is an option of %s, and goes after its name", spelled, strings.Join(owners, ", "))
		}
		return p.errorf("%s is an option of %s only", spelled, strings.Join(owners, ", "))
	}
	word := "-" + strings.TrimLeft(spelled, "-")
	if len(word) > len("-x") {
		word = "-" + word // a word with one dash is a slip for one with two
	}
	return p.errorf("unknown option %q%s", spelled, didYouMean(word, p.optionNames()))
}

// optionOwners returns the commands that have the option spelled.
func optionOwners(commands []*cli.Command, above []*cli.Command, spelled string) []string {
	var owners []string
	for _, c := range commands {
		path := append(above[:len(above):len(above)], c)
		for _, f := range c.Flags {
			if slices.ContainsFunc(f.Names(), func(n string) bool { return dashed(n) == spelled }) {
				owners = append(owners, strconv.Quote(commandName(path)))
			}
		}
		owners = append(owners, optionOwners(c.Subcommands, path, spelled)...)
	}
	return owners
}

func (p *argParser) errorf(format string, args ...any) error {
	return usageError(commandName(p.line.path), format, args...)
}

// commandName returns the name of a command as it is typed: "key add".
func commandName(path []*cli.Command) string {
	names := make([]string, len(path))
	for i, c := range path {
		names[i] = c.Name
	}
	return strings.Join(names, " ")
}

func commandNames(commands []*cli.Command) []string {
	names := make([]string, len(commands))
	for i, c := range commands {
		names[i] = c.Name
	}
	return names
}

// didYouMean returns the end of a message on an unknown word: the nearest of
// the known ones, or nothing.
func didYouMean(word string, known []string) string {
	if best := nearest(word, known); best != "" {
		return fmt.Sprintf("; did you mean %q?", best)
	}
	return ""
}
