// Command tidemark keeps points in time of directories in an encrypted
// repository, and shows each of them as a read-only directory.
//
// This package is wiring: what a command wires up is tested without it. One
// command is one file, and [commands] lists them all.
//
//	main ──▶ run ──▶ parseArgs ──▶ cli.App ──▶ a command's Action
//	                 (args.go)                  │
//	          settings: flag > environment > config > default
//	          secrets:  passphrase and identities, from files or a terminal
//	          output:   results on stdout; messages and progress on stderr
//	          report ◀── error: one sentence, one hint, one exit code
//
// Nothing below main reads the process's own environment, streams or clock,
// nor ends the process: all of it comes in a [process], so that a test runs
// the whole program as a function.
package main

import (
	"context"
	"os"
	"os/signal"
	"runtime/debug"
	"sync"
	"syscall"
	"time"
	_ "time/tzdata" // views need time zones on a machine that has none installed

	"github.com/urfave/cli/v2"
	"golang.org/x/term"
)

// version is the release's name, set by its build with
// -ldflags "-X main.version=v1.2.3". Without it the module's version stands.
var version string

func main() {
	os.Exit(runProcess(commands))
}

// runProcess runs the table of commands in this process, and returns its exit
// code.
func runProcess(table commandTable) int {
	ctx, stop := untilSignal(context.Background())
	defer stop()
	info, _ := debug.ReadBuildInfo()
	return run(ctx, process{
		args:        os.Args[1:],
		getenv:      os.Getenv,
		uid:         os.Getuid(),
		stdin:       os.Stdin,
		stdout:      os.Stdout,
		stderr:      os.Stderr,
		stdoutTerm:  term.IsTerminal(int(os.Stdout.Fd())),
		stderrWidth: terminalWidth(os.Stderr),
		openTTY:     func() (*os.File, error) { return os.OpenFile("/dev/tty", os.O_RDWR, 0) },
		now:         time.Now,
		zone:        time.Local,
		hostname:    os.Hostname,
		build:       readBuild(info, version),
	}, table)
}

// untilSignal returns a context that ends with the first SIGINT or SIGTERM. By
// then, signals mean again what they meant before, so that a second one ends a
// process that does not obey the first. (signal.NotifyContext ends the context
// first, and a second signal that is quick is lost.)
func untilSignal(parent context.Context) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancel(parent)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	var wg sync.WaitGroup
	wg.Go(func() {
		select {
		case <-signals:
		case <-ctx.Done():
		}
		signal.Stop(signals)
		cancel()
	})
	return ctx, func() {
		cancel()
		wg.Wait()
	}
}

// terminalWidth returns a function that tells the present width of the
// terminal that f is, in columns, or nil if f is none that can redraw a line.
func terminalWidth(f *os.File) func() int {
	if t := os.Getenv("TERM"); t == "" || t == "dumb" || !term.IsTerminal(int(f.Fd())) {
		return nil
	}
	return func() int {
		width, _, err := term.GetSize(int(f.Fd()))
		if err != nil || width <= 0 {
			return defaultWidth
		}
		return width
	}
}

// A commandTable makes the commands of a program.
type commandTable func(*program) []*cli.Command
