package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/urfave/cli/v2"
)

// sharedCategory marks the options that every command has.
const sharedCategory = "Options of every command"

const helpOption = "help"

// The environment variables that stand in for options.
const (
	envRepository     = "TIDEMARK_REPOSITORY"
	envConfig         = "TIDEMARK_CONFIG"
	envPassphraseFile = "TIDEMARK_PASSPHRASE_FILE"
	envIdentityFile   = "TIDEMARK_IDENTITY_FILE"
)

// sharedFlags returns the options that every command has. They are new each
// time, since cli/v2 keeps state in them; and they know no EnvVars, since
// cli/v2 would read the real environment: [program.settings] does that.
func sharedFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "repository", Aliases: []string{"r"}, Category: sharedCategory,
			Usage: "use the repository `REPO`, a directory [$" + envRepository + "]"},
		&cli.StringFlag{Name: "config", Category: sharedCategory,
			Usage: "read the configuration `FILE` [$" + envConfig + "]"},
		&cli.StringFlag{Name: "passphrase-file", Category: sharedCategory,
			Usage: "read the passphrase from `FILE` instead of asking for it [$" + envPassphraseFile + "]"},
		&cli.StringSliceFlag{Name: "identity", Category: sharedCategory, KeepSpace: true,
			Usage: "open the repository with the age or SSH identity in `FILE`; may be repeated [$" + envIdentityFile + "]"},
		&cli.BoolFlag{Name: "json", Category: sharedCategory,
			Usage: "print results as JSON, one object a line"},
		&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Category: sharedCategory,
			Usage: "print only results, warnings and errors"},
		&cli.BoolFlag{Name: "verbose", Aliases: []string{"v"}, Category: sharedCategory,
			Usage: "say more of what is done"},
		&cli.BoolFlag{Name: helpOption, Aliases: []string{"h"}, Category: sharedCategory,
			Usage: "print this help"},
	}
}

// settings is what a command runs with: its shared options, the environment
// and the configuration file, merged. An option wins over the environment, the
// environment over the file, and the file over the default.
type settings struct {
	p *program

	config     config // the file alone; what it shares with the fields below is merged there
	configFile string // where it is, or would be

	repositoryName string   // "" if none was named; see repository
	passphraseFile string   // "" if none
	identityFiles  []string // in the order given

	host     string         // this machine's name in the repository
	zone     *time.Location // of times that are shown or read
	stateDir string         // for what this machine may lose at the cost of time

	json, quiet, verbose bool

	// log is for packages that handle what they log. It writes to standard
	// error: warnings and errors if quiet, else notices, else all.
	log *slog.Logger
}

// action makes the Action of a command that needs settings.
func (p *program) action(do func(*cli.Context, *settings) error) cli.ActionFunc {
	return func(c *cli.Context) error {
		s, err := p.settings(c)
		if err != nil {
			return err
		}
		return do(c, s)
	}
}

// settings merges what the user said of the shared options.
func (p *program) settings(c *cli.Context) (*settings, error) {
	if err := refuseEmpty(c); err != nil {
		return nil, err
	}
	s := &settings{p: p, json: c.Bool("json"), quiet: c.Bool("quiet"), verbose: c.Bool("verbose")}
	named := cmp.Or(c.String("config"), p.getenv(envConfig))
	s.configFile = cmp.Or(named, p.defaultConfigFile())
	var err error
	if s.config, err = loadConfig(s.configFile, named != ""); err != nil {
		return nil, err
	}
	s.repositoryName = cmp.Or(c.String("repository"), p.getenv(envRepository), string(s.config.Repository))
	s.passphraseFile = cmp.Or(c.String("passphrase-file"), p.getenv(envPassphraseFile), string(s.config.PassphraseFile))
	s.identityFiles = c.StringSlice("identity")
	if f := p.getenv(envIdentityFile); len(s.identityFiles) == 0 && f != "" {
		s.identityFiles = []string{f}
	}
	if len(s.identityFiles) == 0 {
		for _, f := range s.config.IdentityFiles {
			s.identityFiles = append(s.identityFiles, string(f))
		}
	}
	if s.host = s.config.Host; s.host == "" {
		if s.host, err = p.hostname(); err != nil {
			return nil, hint{fmt.Errorf("this machine's name: %w", err), "set \"host:\" in " + s.configFile}
		}
	}
	s.zone = cmp.Or(s.config.TimeZone.Location, p.zone)
	if s.stateDir, err = p.stateDir(s.config); err != nil {
		return nil, err
	}
	s.log = p.logger(s.quiet, s.verbose)
	return s, nil
}

// refuseEmpty refuses options given as "": a script's variable was not set,
// and what the environment or the file says is not what the user meant.
func refuseEmpty(c *cli.Context) error {
	for _, name := range []string{"repository", "config", "passphrase-file"} {
		if c.IsSet(name) && c.String(name) == "" {
			return usageError("", "--%s is empty", name)
		}
	}
	for _, file := range c.StringSlice("identity") {
		if file == "" {
			return usageError("", "--identity is empty")
		}
	}
	return nil
}

// repository returns the name of the repository, or an error that says how to
// give one.
func (s *settings) repository() (string, error) {
	if s.repositoryName == "" {
		return "", coded{exitUsage, hint{errors.New("no repository was named"),
			"-r REPO, or set " + envRepository + ", or write \"repository:\" in " + s.configFile}}
	}
	return s.repositoryName, nil
}

// note tells the user something that is neither a result nor a warning.
func (s *settings) note(format string, args ...any) {
	if !s.quiet {
		fmt.Fprintln(s.p.messages, cleanText(fmt.Sprintf(format, args...)))
	}
}

// defaultConfigFile is where the configuration is if nobody says otherwise, or
// "" for a user without a home.
func (p *program) defaultConfigFile() string {
	if p.uid == 0 {
		return "/etc/tidemark/config.yaml"
	}
	return p.userFile("XDG_CONFIG_HOME", ".config", "tidemark/config.yaml")
}

// stateDir is the directory for local state: the configured one, or by default
// one that survives a restart.
func (p *program) stateDir(c config) (string, error) {
	if c.StateDir != "" {
		return string(c.StateDir), nil
	}
	if p.uid == 0 {
		return "/var/lib/tidemark", nil
	}
	if dir := p.userFile("XDG_STATE_HOME", ".local/state", "tidemark"); dir != "" {
		return dir, nil
	}
	return "", hint{errors.New("local state: there is no home directory"), "set HOME, or \"state-dir:\" in a configuration file"}
}

// userFile returns name below the directory that the variable xdg names, or
// below its default in the home directory; "" without either. A relative
// directory is ignored, as the XDG Base Directory Specification says.
func (p *program) userFile(xdg, inHome, name string) string {
	if dir := p.getenv(xdg); filepath.IsAbs(dir) {
		return filepath.Join(dir, name)
	}
	if home := p.getenv("HOME"); filepath.IsAbs(home) {
		return filepath.Join(home, inHome, name)
	}
	return ""
}

// logger returns the logger for packages. On a terminal it leaves out the time.
func (p *program) logger(quiet, verbose bool) *slog.Logger {
	opts := &slog.HandlerOptions{Level: slog.LevelInfo}
	switch {
	case quiet:
		opts.Level = slog.LevelWarn
	case verbose:
		opts.Level = slog.LevelDebug
	}
	if p.stderrWidth != nil {
		opts.ReplaceAttr = func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}
	}
	return slog.New(slog.NewTextHandler(p.messages, opts))
}

// loadConfig reads the configuration in file. One that is missing is an error
// only if the user named it.
func loadConfig(file string, named bool) (config, error) {
	if file == "" {
		return config{}, nil
	}
	data, err := readLimited(file, maxConfigBytes)
	switch {
	case !named && errors.Is(err, os.ErrNotExist):
		return config{}, nil
	case err != nil:
		return config{}, coded{exitUsage, fmt.Errorf("configuration: %w", err)}
	}
	c, err := parseConfig(file, data)
	if err != nil {
		return config{}, coded{exitUsage, hint{err, "tidemark help config"}}
	}
	return c, nil
}

// readLimited reads a file of at most limit bytes.
func readLimited(file string, limit int64) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%s is larger than %s", quoteName(file), formatBytes(limit))
	}
	return data, err
}
