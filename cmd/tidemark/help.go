package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"
)

const (
	// helpWidth is where help wraps its lines: any terminal, any pager, any mail.
	helpWidth = 80

	// helpColumn is where the explanations of options begin.
	helpColumn = 26
)

const aboutProgram = `Tidemark keeps points in time of directories in an encrypted repository, and
shows each of them as a read-only directory: restoring is cp.

Usage:
  tidemark [OPTION]... COMMAND [OPTION]... [ARGUMENT]...

Examples:
  tidemark init -r /mnt/disk/repo
  tidemark capture -r /mnt/disk/repo app=/srv/app
  tidemark mount -r /mnt/disk/repo /backups
  cp /backups/daily/2019-07-18/app/file .
`

const aboutMore = `
An option may stand before or after its command's arguments; after "--" there
are only arguments. A value that begins with "-" is given as --option=VALUE.

Options win over environment variables (in brackets above), those over the
configuration file, which "tidemark help config" explains. Unless you name one,
it is, if it is there,
  %s

"tidemark COMMAND --help" explains a command.
`

// topics are what "tidemark help TOPIC" explains beside the commands.
var topics = map[string]string{"config": configManual}

func isTopic(name string) bool { return topics[name] != "" }

func writeTopic(w io.Writer, name string) { io.WriteString(w, topics[name]) }

// writeHelp writes the help on a command, or on the program if path is empty.
func (p *program) writeHelp(w io.Writer, app *cli.App, path []*cli.Command) {
	var b strings.Builder
	if len(path) == 0 {
		p.programHelp(&b, app)
	} else {
		commandHelp(&b, path)
	}
	fmt.Fprintf(&b, "\n%v\n", p.build)
	io.WriteString(w, b.String())
}

func (p *program) programHelp(b *strings.Builder, app *cli.App) {
	b.WriteString(aboutProgram)
	for _, group := range groups {
		var members []*cli.Command
		for _, c := range app.Commands {
			if c.Category == group && !c.Hidden {
				members = append(members, c)
			}
		}
		listCommands(b, group, members)
	}
	listFlags(b, sharedCategory, app.Flags)
	fmt.Fprintf(b, aboutMore, quoteName(p.defaultConfigFile()))
	b.WriteString("\nExit codes:\n")
	for _, e := range exitCodes {
		listItem(b, fmt.Sprintf("%3d", e.code), 7, e.means)
	}
}

func commandHelp(b *strings.Builder, path []*cli.Command) {
	c, name := path[len(path)-1], "tidemark "+commandName(path)
	fmt.Fprintf(b, "%s: %s\n\nUsage:\n", name, c.Usage)
	if len(c.Subcommands) > 0 {
		fmt.Fprintf(b, "  %s COMMAND [OPTION]... [ARGUMENT]...\n", name)
	} else {
		fmt.Fprintf(b, "  %s\n", strings.TrimSpace(name+" [OPTION]... "+c.ArgsUsage))
	}
	if c.Description != "" {
		fmt.Fprintf(b, "\n%s\n", strings.TrimSpace(c.Description))
	}
	listCommands(b, "Commands", c.Subcommands)
	listFlags(b, "", c.Flags)
	listFlags(b, sharedCategory, c.Flags)
}

// listCommands writes the names of commands and what each is for.
func listCommands(b *strings.Builder, title string, commands []*cli.Command) {
	if len(commands) == 0 {
		return
	}
	fmt.Fprintf(b, "\n%s:\n", title)
	for _, c := range commands {
		if !c.Hidden {
			listItem(b, c.Name, 14, c.Usage)
		}
	}
}

// listFlags writes the options of a category; "" is the command's own.
func listFlags(b *strings.Builder, category string, flags []cli.Flag) {
	title := category
	if category == "" {
		title = "Options"
	}
	for _, f := range flags {
		if cf, ok := f.(cli.CategorizableFlag); ok && cf.GetCategory() == category && cf.IsVisible() {
			if title != "" {
				fmt.Fprintf(b, "\n%s:\n", title)
				title = ""
			}
			names, usage := flagHelp(f)
			listItem(b, names, helpColumn, usage)
		}
	}
}

// flagHelp returns how an option is written, and what it does. The word in
// backquotes in its Usage stands for its value.
func flagHelp(f cli.Flag) (names, usage string) {
	d := f.(cli.DocGenerationFlag)
	value, usage := "VALUE", d.GetUsage()
	if before, rest, ok := strings.Cut(usage, "`"); ok {
		if word, after, ok := strings.Cut(rest, "`"); ok {
			value, usage = word, before+word+after
		}
	}
	var short, long []string
	for _, n := range f.Names() {
		if len(n) == 1 {
			short = append(short, "-"+n)
		} else {
			long = append(long, "--"+n)
		}
	}
	names = strings.Join(append(short, long...), ", ")
	if len(short) == 0 {
		names = "    " + names // below the long names of the others
	}
	if takesValue(f) {
		names += " " + value
		if def := d.GetDefaultText(); def != "" {
			usage += " (default: " + def + ")"
		}
	}
	return names, usage
}

// listItem writes an indented word and its explanation, which begins at a
// column and wraps.
func listItem(b *strings.Builder, word string, column int, text string) {
	line := "  " + word
	if len(line) >= column {
		b.WriteString(line + "\n")
		line = ""
	}
	line += strings.Repeat(" ", column-len(line)-1)
	for w := range strings.FieldsSeq(text) {
		if len(line)+1+len(w) > helpWidth {
			b.WriteString(line + "\n")
			line = strings.Repeat(" ", column-1)
		}
		line += " " + w
	}
	b.WriteString(line + "\n")
}
