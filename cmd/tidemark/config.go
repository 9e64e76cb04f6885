package main

import (
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// maxConfigBytes bounds a configuration file. It is read whole.
const maxConfigBytes = 1 << 20

// configManual is a configuration with every key and its explanation, for
// "tidemark help config" and as a file to begin with.
//
//go:embed config.example.yaml
var configManual string

// A config is the configuration file: YAML, strictly decoded. A key that is not
// here, a key given twice and a value of another kind are errors. A key that is
// left out, or has no value, has its default. Names of files are absolute: a
// service's working directory is nobody's guess.
//
// Users read the same in config.example.yaml.
type config struct {
	// Repository is the repository to use when neither -r nor
	// TIDEMARK_REPOSITORY names one: a directory. No default.
	Repository repositoryName `yaml:"repository"`

	// PassphraseFile holds the passphrase that opens the repository, alone on
	// one line. By default the passphrase is asked for on the terminal.
	PassphraseFile absPath `yaml:"passphrase-file"`

	// IdentityFiles hold age or SSH identities that open the repository. They
	// are tried before a passphrase.
	IdentityFiles []absPath `yaml:"identity-files"`

	// Host is this machine's name in the repository. Default: its host name.
	Host string `yaml:"host"`

	// TimeZone is the zone of the times that are shown, and in which days and
	// hours begin: "Europe/Berlin", "UTC". Default: this machine's.
	TimeZone zone `yaml:"time-zone"`

	// StateDir is the directory of what this machine may lose at the cost of
	// time. Default: /var/lib/tidemark for root, $XDG_STATE_HOME/tidemark
	// (~/.local/state/tidemark) for others.
	StateDir absPath `yaml:"state-dir"`

	// Sources are what is captured here, by name.
	Sources map[sourceName]source `yaml:"sources"`

	// Mount configures the mount.
	Mount mountConfig `yaml:"mount"`
}

// A source is a named thing to capture. [newSource] makes one with its
// defaults.
type source struct {
	// Path is the directory. Required.
	Path absPath `yaml:"path"`

	// Exclude are patterns of what below Path to leave out.
	Exclude []string `yaml:"exclude"`

	// OneFilesystem leaves out what other filesystems are mounted below Path.
	// Default true.
	OneFilesystem bool `yaml:"one-filesystem"`

	// ChunkMean is the mean size of the pieces that files are split into, in
	// bytes: 256KiB, or 64KiB for files that change by pages, such as
	// databases. Default 256KiB.
	ChunkMean chunkMean `yaml:"chunk-mean"`
}

// newSource returns the source of a directory, with the defaults of all else.
func newSource(path string) source {
	s := source{Path: absPath(path)}
	s.setDefaults()
	return s
}

func (s *source) setDefaults() {
	s.OneFilesystem = true
	s.ChunkMean = 256 << 10
}

func (s *source) check() error {
	if s.Path == "" {
		return errors.New("its path is missing")
	}
	return nil
}

// mountConfig configures the mount.
type mountConfig struct {
	// Memory bounds the whole process, caches included, in bytes.
	// Default 256MiB.
	Memory size `yaml:"memory"`

	// Host is whose points stand at the top. Default: this machine's if the
	// repository knows it, else the only host's.
	Host string `yaml:"host"`

	// AllowOther lets other users in, each to what the permissions allow.
	// Default false: only who mounted it.
	AllowOther bool `yaml:"allow-other"`

	// Inodes says which equal things share an inode number: "files" of one
	// path in different points; "shared" for directories too; "unique" for
	// nothing. Default "files".
	Inodes inodes `yaml:"inodes"`
}

// parseConfig decodes the configuration in data. Its errors begin with file and
// the line; there may be several, one a line.
func parseConfig(file string, data []byte) (config, error) {
	var c config
	if err := decodeYAML(file, data, &c); err != nil {
		return config{}, err
	}
	return c, nil
}

// sourceNames returns the names of the configured sources in order.
func (c *config) sourceNames() []string {
	names := make([]string, 0, len(c.Sources))
	for _, name := range slices.Sorted(maps.Keys(c.Sources)) {
		names = append(names, string(name))
	}
	return names
}

// The types below check one value each, as it is decoded.

// A sourceName names a source: 1 to 64 of the characters A-Z a-z 0-9 . _ -,
// not beginning with a point or a dash. It is a name in the mount and a word on
// the command line, and is neither hidden in the one nor an option in the other.
type sourceName string

// maxSourceName is in bytes. Sealed and padded, a name must fit a segment of an
// object's name.
const maxSourceName = 64

var sourceNameForm = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]*$`)

// checkSourceName reports what is wrong with name as the name of a source.
func checkSourceName(name string) error {
	if len(name) > maxSourceName {
		return fmt.Errorf("source name %q has %d characters; %d is the most", name, len(name), maxSourceName)
	}
	if !sourceNameForm.MatchString(name) {
		return fmt.Errorf("source name %q: use letters, digits, \".\", \"_\" and \"-\", the first a letter, a digit or \"_\"", name)
	}
	return nil
}

func (n *sourceName) UnmarshalText(text []byte) error {
	*n = sourceName(text)
	return checkSourceName(string(text))
}

// An absPath is an absolute path.
type absPath string

func (p *absPath) UnmarshalText(text []byte) error {
	if !filepath.IsAbs(string(text)) {
		return fmt.Errorf("%q is not an absolute path; begin it with /", text)
	}
	*p = absPath(text)
	return nil
}

// A repositoryName is an absolute path, or has a scheme.
type repositoryName string

func (n *repositoryName) UnmarshalText(text []byte) error {
	if !filepath.IsAbs(string(text)) && !strings.Contains(string(text), "://") {
		return fmt.Errorf("%q is not an absolute path; begin it with /", text)
	}
	*n = repositoryName(text)
	return nil
}

// A zone is a time zone. The zero zone has a nil Location.
type zone struct{ *time.Location }

func (z *zone) UnmarshalText(text []byte) (err error) {
	if z.Location, err = time.LoadLocation(string(text)); err != nil || len(text) == 0 {
		return fmt.Errorf("unknown time zone %q; write a name such as Europe/Berlin or UTC", text)
	}
	return nil
}

// A chunkMean is 64 or 256 KiB, in bytes.
type chunkMean int64

func (m *chunkMean) UnmarshalText(text []byte) error {
	n, err := parseSize(string(text))
	if err != nil || n != 64<<10 && n != 256<<10 {
		return fmt.Errorf("%q is neither 256KiB nor 64KiB", text)
	}
	*m = chunkMean(n)
	return nil
}

// A size is a number of bytes.
type size int64

func (s *size) UnmarshalText(text []byte) error {
	n, err := parseSize(string(text))
	*s = size(n)
	return err
}

// inodes is a policy for inode numbers. "" means the default.
type inodes string

const (
	inodesFiles  inodes = "files"
	inodesShared inodes = "shared"
	inodesUnique inodes = "unique"
)

func (i *inodes) UnmarshalText(text []byte) error {
	known := []inodes{inodesFiles, inodesShared, inodesUnique}
	if *i = inodes(text); !slices.Contains(known, *i) {
		return fmt.Errorf("%q is none of files, shared, unique", text)
	}
	return nil
}
