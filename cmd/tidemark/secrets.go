package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

const (
	// maxPassphraseBytes bounds a passphrase. A file that is longer is
	// something else, given by mistake.
	maxPassphraseBytes = 4 << 10

	// maxIdentityBytes bounds an identity file: a thousand of the longest keys.
	maxIdentityBytes = 1 << 20

	// passphraseTries is how often two typings of a new passphrase may differ.
	passphraseTries = 3
)

// A secret is a passphrase. It cannot be printed: Format answers for every fmt
// verb, and MarshalText for JSON and for loggers.
type secret struct{ text string }

// Format implements fmt.Formatter.
func (secret) Format(f fmt.State, _ rune) { io.WriteString(f, "(secret)") }

// MarshalText implements encoding.TextMarshaler.
func (secret) MarshalText() ([]byte, error) { return []byte("(secret)"), nil }

// reveal returns the passphrase, for what opens or seals with it.
func (s secret) reveal() string { return s.text }

// errNoTerminal means that there is nobody to ask for a passphrase.
var errNoTerminal = errors.New("there is no terminal to ask for it on")

// passphrase returns the passphrase that opens what, a repository's name: from
// the passphrase file if there is one, else asked for on the terminal. A
// command asks only after the identities, if any were given, did not do.
func (s *settings) passphrase(ctx context.Context, what string) (secret, error) {
	if s.passphraseFile != "" {
		return s.readPassphraseFile()
	}
	var typed string
	err := s.p.atTerminal(ctx, func(t *term.Terminal) (err error) {
		typed, err = t.ReadPassword("Passphrase for " + quoteName(what) + ": ")
		return err
	})
	return checkPassphrase(what, typed, err)
}

// newPassphrase returns the passphrase that what shall open with: from the
// passphrase file if there is one, else typed twice on the terminal.
func (s *settings) newPassphrase(ctx context.Context, what string) (secret, error) {
	if s.passphraseFile != "" {
		return s.readPassphraseFile()
	}
	var typed string
	err := s.p.atTerminal(ctx, func(t *term.Terminal) (err error) {
		for try := range passphraseTries {
			if try > 0 {
				fmt.Fprintln(t, "The two differ. Once more.")
			}
			if typed, err = t.ReadPassword("New passphrase for " + quoteName(what) + ": "); err != nil || typed == "" {
				return err
			}
			again, err := t.ReadPassword("The same again: ")
			if err != nil || again == typed {
				return err
			}
		}
		return errors.New("the two differed each time")
	})
	return checkPassphrase(what, typed, err)
}

// checkPassphrase makes the result of asking for a passphrase.
func checkPassphrase(what, typed string, err error) (secret, error) {
	if err == nil && typed == "" {
		err = errors.New("it is empty")
	}
	switch {
	case errors.Is(err, errNoTerminal):
		return secret{}, coded{exitNoAccess, hint{fmt.Errorf("passphrase for %s: %w", quoteName(what), err),
			"--passphrase-file FILE or --identity FILE, or set " + envPassphraseFile + " or " + envIdentityFile}}
	case errors.Is(err, context.Canceled):
		return secret{}, coded{exitInterrupted, err}
	case err != nil:
		return secret{}, coded{exitNoAccess, fmt.Errorf("passphrase for %s: %w", quoteName(what), err)}
	}
	return secret{typed}, nil
}

// readPassphraseFile reads the passphrase file. The newline that an editor or
// echo puts at its end is not part of the passphrase.
func (s *settings) readPassphraseFile() (secret, error) {
	data, err := s.readSecretFile("passphrase file", s.passphraseFile, maxPassphraseBytes)
	if err != nil {
		return secret{}, err
	}
	text := strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	if text == "" {
		return secret{}, coded{exitNoAccess, fmt.Errorf("passphrase file %s is empty", quoteName(s.passphraseFile))}
	}
	return secret{text}, nil
}

// An identity is the content of an identity file, not yet parsed.
type identity struct {
	file string
	data []byte // secret; never printed
}

// Format implements fmt.Formatter.
func (i identity) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "identity %s (secret)", quoteName(i.file))
}

// identities reads the identity files that the user named, in order; none if
// none were named.
func (s *settings) identities() ([]identity, error) {
	ids := make([]identity, 0, len(s.identityFiles))
	for _, file := range s.identityFiles {
		data, err := s.readSecretFile("identity file", file, maxIdentityBytes)
		if err != nil {
			return nil, err
		}
		ids = append(ids, identity{file, data})
	}
	return ids, nil
}

// readSecretFile reads a file that holds a secret, and warns if everybody on
// this machine can.
func (s *settings) readSecretFile(kind, file string, limit int64) ([]byte, error) {
	if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o004 != 0 {
		s.p.warn("%s %s can be read by every user; chmod 600 it", kind, quoteName(file))
	}
	data, err := readLimited(file, limit)
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		err = fmt.Errorf("%s: %w", quoteName(file), pe.Err)
	}
	if err != nil {
		return nil, coded{exitNoAccess, fmt.Errorf("%s: %w", kind, err)}
	}
	return data, nil
}

// atTerminal lets talk use the terminal of the user, without echo, and puts it
// back as it was whatever happens: talk's end, its panic, a signal, or ^C,
// which arrives as a key. It returns an error that wraps context.Canceled for
// the last two.
func (p *program) atTerminal(ctx context.Context, talk func(*term.Terminal) error) (err error) {
	tty, err := p.openTTY()
	if err != nil {
		return errNoTerminal
	}
	defer tty.Close()
	var before *term.State
	if err := onDescriptor(tty, func(fd int) (err error) { before, err = term.MakeRaw(fd); return }); err != nil {
		return fmt.Errorf("%w (%v)", errNoTerminal, err)
	}
	defer func() {
		if err != nil {
			io.WriteString(tty, "\r\n") // leave the line of the prompt
		}
		err = errors.Join(err, onDescriptor(tty, func(fd int) error { return term.Restore(fd, before) }))
	}()
	stop := context.AfterFunc(ctx, func() { tty.SetReadDeadline(time.Unix(1, 0)) }) // wakes the read
	defer stop()

	switch err := talk(term.NewTerminal(tty, "")); {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, io.EOF): // ^C, or ^D on an empty line
		return context.Canceled
	default:
		return err
	}
}

// onDescriptor calls f with the descriptor of a file, without the side effect
// of Fd: a file whose descriptor was handed out no longer obeys deadlines.
func onDescriptor(file *os.File, f func(fd int) error) error {
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	controlErr := raw.Control(func(fd uintptr) { err = f(int(fd)) })
	return errors.Join(controlErr, err)
}
