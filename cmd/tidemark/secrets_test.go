package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// askPassphrase is a command that prints the passphrase, and what it prints as.
func askPassphrase(create bool) commandTable {
	return oneCommand(func(c *cli.Context, s *settings) error {
		ask := s.passphrase
		if create {
			ask = s.newPassphrase
		}
		got, err := ask(c.Context, "/srv/re po")
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(s.p.out, "%s %v", got.reveal(), got)
		return err
	})
}

func TestPassphraseFile(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct {
		name, text string
		code       int
		want       string // of standard output, or in the error
	}{
		{"plain", "horse", exitOK, "horse (secret)"},
		{"with a newline", "horse\n", exitOK, "horse (secret)"},
		{"with a newline from Windows", "horse\r\n", exitOK, "horse (secret)"},
		{"one newline only goes", " horse \n\n", exitOK, " horse \n (secret)"},
		{"empty", "\n", exitNoAccess, "is empty"},
		{"too long", strings.Repeat("x", maxPassphraseBytes+1), exitNoAccess, "is larger than 4.0 KiB"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(dir, "pass")
			writeFile(t, file, tt.text)
			for _, create := range []bool{false, true} {
				got := runTable(t, testProcess(t), askPassphrase(create), "do", "--passphrase-file", file)
				if got.code != tt.code || tt.code == exitOK && (got.out != tt.want || got.err != "") || !strings.Contains(got.out+got.err, tt.want) {
					t.Errorf("%+v, want code %d, %q", got, tt.code, tt.want)
				}
			}
		})
	}
	for file, want := range map[string]string{
		filepath.Join(dir, "none"): "tidemark: passphrase file: " + dir + "/none: no such file or directory\n",
		dir:                        "tidemark: passphrase file: " + dir + ": is a directory\n",
	} {
		if got := runTable(t, testProcess(t), askPassphrase(false), "do", "--passphrase-file", file); got.code != exitNoAccess || got.err != want {
			t.Errorf("%+v, want %q", got, want)
		}
	}
}

func TestSecretFileForAll(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pass")
	writeFile(t, file, "horse\n")
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	got := runTable(t, testProcess(t), askPassphrase(false), "do", "--passphrase-file", file)
	want := "tidemark: warning: passphrase file " + file + " can be read by every user; chmod 600 it\n"
	if got.code != exitOK || got.out != "horse (secret)" || got.err != want {
		t.Errorf("%+v, want %q", got, want)
	}
}

func TestIdentities(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, dir+"/a", "KEY-A\n")
	writeFile(t, dir+"/b", "KEY-B\n")
	show := oneCommand(func(_ *cli.Context, s *settings) error {
		ids, err := s.identities()
		if err != nil {
			return err
		}
		for _, id := range ids {
			fmt.Fprintf(s.p.out, "%q %v %+v\n", id.data, id, []any{id})
		}
		return nil
	})
	got := runTable(t, testProcess(t), show, "do", "--identity", dir+"/b", "--identity", dir+"/a")
	want := fmt.Sprintf("\"KEY-B\\n\" identity %[1]s/b (secret) [identity %[1]s/b (secret)]\n\"KEY-A\\n\" identity %[1]s/a (secret) [identity %[1]s/a (secret)]\n", dir)
	if got.code != exitOK || got.out != want {
		t.Errorf("%+v\nwant %q", got, want)
	}
	if got := runTable(t, testProcess(t), show, "do"); got.code != exitOK || got.out != "" {
		t.Errorf("none: %+v", got)
	}
	if got := runTable(t, testProcess(t), show, "do", "--identity", dir+"/c"); got.code != exitNoAccess || !strings.Contains(got.err, "identity file: "+dir+"/c: no such file") {
		t.Errorf("missing: %+v", got)
	}
	if err := os.Truncate(dir+"/a", maxIdentityBytes+1); err != nil {
		t.Fatal(err)
	}
	if got := runTable(t, testProcess(t), show, "do", "--identity", dir+"/a"); got.code != exitNoAccess || !strings.Contains(got.err, "is larger than 1.0 MiB") {
		t.Errorf("too large: %+v", got)
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	s := secret{"horse"}
	data, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var logged bytes.Buffer
	slog.New(slog.NewTextHandler(&logged, nil)).Info("got", "passphrase", s, "in", []any{s})
	for _, text := range []string{fmt.Sprint(s), fmt.Sprintf("%+v %#v %q %s %x", s, s, s, s, s), fmt.Sprint([]any{&s}), fmt.Sprintf("%d", s), string(data), logged.String()} {
		if strings.Contains(text, "horse") || strings.Contains(text, fmt.Sprintf("%x", "horse")) {
			t.Errorf("printed as %s", text)
		}
	}
}

func TestPassphraseWithoutTerminal(t *testing.T) {
	for _, open := range []func() (*os.File, error){
		func() (*os.File, error) { return nil, unix.ENXIO },
		func() (*os.File, error) { return os.Open(os.DevNull) },
	} {
		given := testProcess(t)
		given.openTTY = open
		got := runTable(t, given, askPassphrase(false), "do")
		if got.code != exitNoAccess || !strings.HasPrefix(got.err, "tidemark: passphrase for '/srv/re po': there is no terminal to ask for it on") ||
			!strings.HasSuffix(got.err, "\n  try: --passphrase-file FILE or --identity FILE, or set TIDEMARK_PASSPHRASE_FILE or TIDEMARK_IDENTITY_FILE\n") {
			t.Errorf("%+v", got)
		}
	}
}

// openPTY returns the two ends of a new pseudo-terminal, and the name of the
// one that a program has.
func openPTY(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatalf("this test needs pseudo-terminals: %v", err)
	}
	t.Cleanup(func() { master.Close() })
	var n int
	err = onDescriptor(master, func(fd int) (err error) {
		if err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err == nil {
			n, err = unix.IoctlGetInt(fd, unix.TIOCGPTN)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { slave.Close() })
	return master, slave
}

// modes returns how the terminal is set.
func modes(t *testing.T, tty *os.File) unix.Termios {
	t.Helper()
	var modes *unix.Termios
	if err := onDescriptor(tty, func(fd int) (err error) { modes, err = unix.IoctlGetTermios(fd, unix.TCGETS); return }); err != nil {
		t.Fatal(err)
	}
	return *modes
}

// readUntil reads what appears on a terminal until it ends with want.
func readUntil(t *testing.T, master io.Reader, want string) string {
	t.Helper()
	var seen []byte
	for !strings.HasSuffix(string(seen), want) {
		var b [1]byte
		if _, err := master.Read(b[:]); err != nil {
			t.Fatalf("after %q: %v", seen, err)
		}
		seen = append(seen, b[0])
	}
	return string(seen)
}

// A dialogue is what appears on the terminal, and what the user then types.
type dialogue []struct{ shown, typed string }

func TestPassphrasePrompt(t *testing.T) {
	const once = "Passphrase for '/srv/re po': "
	const fresh, again = "New passphrase for '/srv/re po': ", "The same again: "
	for _, tt := range []struct {
		name   string
		create bool
		say    dialogue
		code   int
		want   string
	}{
		{"typed", false, dialogue{{once, "horse\r"}}, exitOK, "horse (secret)"},
		{"corrected", false, dialogue{{once, "hors\x7fse\r"}}, exitOK, "horse (secret)"},
		{"not ASCII", false, dialogue{{once, "pferd–äöü\r"}}, exitOK, "pferd–äöü (secret)"},
		{"empty", false, dialogue{{once, "\r"}}, exitNoAccess, "tidemark: passphrase for '/srv/re po': it is empty\n"},
		{"^C", false, dialogue{{once, "hor\x03"}}, exitInterrupted, "tidemark: interrupted\n"},
		{"^D", false, dialogue{{once, "\x04"}}, exitInterrupted, "tidemark: interrupted\n"},
		{"twice", true, dialogue{{fresh, "horse\r"}, {again, "horse\r"}}, exitOK, "horse (secret)"},
		{"twice, differing once", true, dialogue{{fresh, "horse\r"}, {again, "house\r"}, {"The two differ. Once more.\r\n" + fresh, "cow\r"}, {again, "cow\r"}},
			exitOK, "cow (secret)"},
		{"twice, differing always", true, dialogue{{fresh, "1\r"}, {again, "2\r"}, {fresh, "1\r"}, {again, "2\r"}, {fresh, "1\r"}, {again, "2\r"}},
			exitNoAccess, "tidemark: passphrase for '/srv/re po': the two differed each time\n"},
		{"twice, empty", true, dialogue{{fresh, "\r"}}, exitNoAccess, "tidemark: passphrase for '/srv/re po': it is empty\n"},
		{"twice, pasted in one", true, dialogue{{fresh, "horse\rhorse\r"}}, exitOK, "horse (secret)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			master, slave := openPTY(t)
			before := modes(t, slave)
			given := testProcess(t)
			given.openTTY = func() (*os.File, error) { return os.OpenFile(slave.Name(), os.O_RDWR|unix.O_NOCTTY, 0) }
			done := make(chan result, 1)
			go func() { done <- runTable(t, given, askPassphrase(tt.create), "do") }()
			for _, turn := range tt.say {
				shown := readUntil(t, master, turn.shown)
				for _, word := range []string{"horse", "house", "cow", "pferd"} {
					if strings.Contains(shown, word) {
						t.Errorf("the terminal shows %q", shown)
					}
				}
				if _, err := io.WriteString(master, turn.typed); err != nil {
					t.Fatal(err)
				}
			}
			got := <-done
			if got.code != tt.code || got.out+got.err != tt.want {
				t.Errorf("%+v; want code %d, %q", got, tt.code, tt.want)
			}
			if after := modes(t, slave); after != before {
				t.Errorf("the terminal is left as %+v, was %+v", after, before)
			}
		})
	}
}

// TestPromptObeysSignals: a signal, which ends the context, ends the prompt.
func TestPromptObeysSignals(t *testing.T) {
	master, slave := openPTY(t)
	before := modes(t, slave)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	p := &program{process: testProcess(t)}
	p.openTTY = func() (*os.File, error) { return os.OpenFile(slave.Name(), os.O_RDWR|unix.O_NOCTTY, 0) }
	done := make(chan error, 1)
	go func() {
		done <- p.atTerminal(ctx, func(tm *term.Terminal) error {
			_, err := tm.ReadPassword("Passphrase: ")
			return err
		})
	}()
	readUntil(t, master, "Passphrase: ")
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want context.Canceled", err)
	}
	if after := modes(t, slave); after != before {
		t.Errorf("the terminal is left as %+v, was %+v", after, before)
	}
}
