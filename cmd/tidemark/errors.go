package main

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// Exit codes. A script may rest on them: a code keeps its meaning.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitPartial     = 3
	exitNoAccess    = 4
	exitDiffer      = 5
	exitInterrupted = 130 // 128 + SIGINT, as shells have it; SIGTERM too
)

// exitCodes says what each code means, for the program's help.
var exitCodes = []struct {
	code  int
	means string
}{
	{exitOK, "done"},
	{exitFailed, "failed; standard error says what, on what, and why"},
	{exitUsage, "not started: the command line or the configuration is wrong"},
	{exitPartial, "done, but not whole: some files could not be read or written, and are named"},
	{exitNoAccess, "the repository or the key cannot be used: not a repository, a wrong passphrase, made by a newer version"},
	{exitDiffer, "the two differ (\"diff --exit-code\" only: without it a difference is no failure)"},
	{exitInterrupted, "interrupted by a signal; what was finished till then stays"},
}

// A coded is an error that ends the program with a code other than
// exitFailed. Of several, the outermost counts.
type coded struct {
	code int
	err  error
}

func (c coded) Error() string { return c.err.Error() }
func (c coded) Unwrap() error { return c.err }

// A hint is an error with what the user can do about it: a command, or a short
// sentence without a full stop. It is printed on a line of its own, so the
// error's text does not contain it.
type hint struct {
	err  error
	text string
}

func (h hint) Error() string { return h.err.Error() }
func (h hint) Unwrap() error { return h.err }

// usageError is an error of the command line: exit code 2, with the command's
// help as its hint. The command is named without "tidemark": "key add", or ""
// if there is none.
func usageError(command, format string, args ...any) error {
	err, help := fmt.Errorf(format, args...), "tidemark --help"
	if command != "" {
		err, help = fmt.Errorf("%s: %w", command, err), "tidemark "+command+" --help"
	}
	return coded{exitUsage, hint{err, help}}
}

// report prints err, the one place that does, and returns its exit code.
func (p *program) report(ctx context.Context, err error) int {
	code := exitCode(ctx, err)
	switch {
	case err == nil, errors.Is(err, errDiffer):
		return code
	case code == exitInterrupted && errors.Is(err, context.Canceled):
		io.WriteString(p.messages, "tidemark: interrupted\n")
		return code
	}
	text := "tidemark: " + cleanText(err.Error()) + "\n"
	if h, ok := errors.AsType[hint](err); ok {
		text += "  try: " + cleanText(h.text) + "\n"
	}
	io.WriteString(p.messages, text)
	return code
}

// exitCode returns the exit code that err means. Whatever fails after a signal
// counts as interrupted: it is most likely how the signal was obeyed.
func exitCode(ctx context.Context, err error) int {
	if err == nil {
		return exitOK
	}
	if ctx.Err() != nil {
		return exitInterrupted
	}
	if c, ok := errors.AsType[coded](err); ok {
		return c.code
	}
	return exitFailed
}
