package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"
)

// childVariable makes the test binary a program with the childCommands, for
// what only a process of its own can show: signals, and a terminal.
const childVariable = "TIDEMARK_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		os.Exit(runProcess(childCommands))
	}
	code := m.Run()
	if err := shipped.remove(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func childCommands(p *program) []*cli.Command {
	ready := func() error {
		fmt.Fprintln(p.out, "ready")
		return p.out.Flush()
	}
	return []*cli.Command{
		{Name: "wait", Action: func(c *cli.Context) error {
			if err := ready(); err != nil {
				return err
			}
			<-c.Context.Done()
			return fmt.Errorf("wait: %w", c.Context.Err())
		}},
		{Name: "serve", Action: func(c *cli.Context) error { // for a service, a signal is the end it waits for
			if err := ready(); err != nil {
				return err
			}
			<-c.Context.Done()
			return nil
		}},
		{Name: "hang", Action: func(c *cli.Context) error {
			if err := ready(); err != nil {
				return err
			}
			<-c.Context.Done()
			if err := ready(); err != nil {
				return err
			}
			select {}
		}},
		{Name: "ask", Action: p.action(func(c *cli.Context, s *settings) error {
			if err := ready(); err != nil {
				return err
			}
			got, err := s.passphrase(c.Context, "repo")
			fmt.Fprint(p.out, got.reveal())
			return err
		})},
		{Name: "about", Action: p.action(func(_ *cli.Context, s *settings) error {
			fmt.Fprintln(p.out, p.stdoutTerm, p.stderrWidth != nil && p.stderrWidth() == 132, s.zone)
			return nil
		})},
	}
}

// child returns a command that runs the test binary as a program. It is killed
// when the test ends.
func child(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe, args...)
	cmd.Env = append(os.Environ(), childVariable+"=1", "HOME="+t.TempDir(), "XDG_CONFIG_HOME=", envConfig+"=", "TERM=xterm", "TZ=Asia/Tokyo",
		"GORACE=atexit_sleep_ms=0") // the race detector else sleeps a second
	return cmd
}

func TestSignals(t *testing.T) {
	for _, tt := range []struct {
		command string
		signal  syscall.Signal
		code    int
		text    string
	}{
		{"wait", syscall.SIGINT, exitInterrupted, "tidemark: interrupted\n"},
		{"wait", syscall.SIGTERM, exitInterrupted, "tidemark: interrupted\n"},
		{"serve", syscall.SIGTERM, exitOK, ""},
	} {
		t.Run(tt.command+" "+tt.signal.String(), func(t *testing.T) {
			cmd := child(t, tt.command)
			var msg bytes.Buffer
			cmd.Stderr = &msg
			out := start(t, cmd)
			readLine(t, out)
			if err := cmd.Process.Signal(tt.signal); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait() // the exit code says it
			if got := cmd.ProcessState.ExitCode(); got != tt.code || msg.String() != tt.text {
				t.Errorf("code %d, %q; want %d, %q", got, msg.String(), tt.code, tt.text)
			}
		})
	}
}

// TestSecondSignalKills: what does not obey the first can still be stopped.
func TestSecondSignalKills(t *testing.T) {
	cmd := child(t, "hang")
	out := start(t, cmd)
	for range 2 {
		readLine(t, out)
		if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
	}
	_ = cmd.Wait()
	if status := cmd.ProcessState.Sys().(syscall.WaitStatus); !status.Signaled() || status.Signal() != syscall.SIGINT {
		t.Errorf("it ended with %v", cmd.ProcessState)
	}
}

// TestControllingTerminal: the passphrase is asked for on /dev/tty, even if all
// streams go elsewhere, and a signal leaves the terminal as it was.
func TestControllingTerminal(t *testing.T) {
	for _, tt := range []struct {
		name   string
		act    func(*exec.Cmd, *os.File) error
		code   int
		out    string
		errout string
	}{
		{"typed", func(_ *exec.Cmd, master *os.File) error {
			_, err := io.WriteString(master, "horse\r")
			return err
		}, exitOK, "horse", ""},
		{"SIGTERM", func(cmd *exec.Cmd, _ *os.File) error { return cmd.Process.Signal(syscall.SIGTERM) }, exitInterrupted, "", "tidemark: interrupted\n"},
		{"^C", func(_ *exec.Cmd, master *os.File) error {
			_, err := io.WriteString(master, "\x03")
			return err
		}, exitInterrupted, "", "tidemark: interrupted\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			master, slave := openPTY(t)
			before := modes(t, slave)
			cmd := child(t, "ask")
			cmd.ExtraFiles = []*os.File{slave} // descriptor 3
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 3}
			var msg bytes.Buffer
			cmd.Stderr = &msg
			out := start(t, cmd)
			readLine(t, out)
			readUntil(t, master, "Passphrase for repo: ")
			if err := tt.act(cmd, master); err != nil {
				t.Fatal(err)
			}
			rest, err := io.ReadAll(out)
			if err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait()
			if got := cmd.ProcessState.ExitCode(); got != tt.code || string(rest) != tt.out || msg.String() != tt.errout {
				t.Errorf("code %d, %q, %q; want %d, %q, %q", got, rest, msg.String(), tt.code, tt.out, tt.errout)
			}
			if after := modes(t, slave); after != before {
				t.Errorf("the terminal is left as %+v, was %+v", after, before)
			}
		})
	}
}

// TestStandardStreams: what the process finds out about its streams.
func TestStandardStreams(t *testing.T) {
	master, slave := openPTY(t)
	if err := onDescriptor(slave, func(fd int) error {
		return unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 132})
	}); err != nil {
		t.Fatal(err)
	}
	cmd := child(t, "about")
	cmd.Stdout, cmd.Stderr = slave, slave
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	if got := readUntil(t, master, "\n"); strings.TrimSpace(got) != "true true Asia/Tokyo" {
		t.Errorf("on a terminal: %q", got)
	}
	for _, setting := range []string{"TERM=dumb", "TERM="} {
		cmd := child(t, "about")
		cmd.Env = append(cmd.Env, setting)
		cmd.Stderr = slave
		if out, err := cmd.Output(); err != nil || string(out) != "false false Asia/Tokyo\n" {
			t.Errorf("%s: %q, %v", setting, out, err)
		}
	}
}

func start(t *testing.T, cmd *exec.Cmd) *bufio.Reader {
	t.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return bufio.NewReader(out)
}

func readLine(t *testing.T, r *bufio.Reader) {
	t.Helper()
	if line, err := r.ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("read %q, %v", line, err)
	}
}
