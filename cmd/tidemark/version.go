package main

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/urfave/cli/v2"
)

// A build says which program this is.
type build struct {
	Version  string `json:"version"`            // "v1.2.3", or "development"
	Revision string `json:"revision,omitempty"` // of the source
	Modified bool   `json:"modified,omitempty"` // the source was not as committed
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// readBuild makes a build of what the linker left in the binary, of which
// either may be missing; a release's name wins over the module's version.
func readBuild(info *debug.BuildInfo, release string) build {
	b := build{Version: release, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if info != nil {
		if v := info.Main.Version; v != "(devel)" {
			b.Version = cmp.Or(b.Version, v)
		}
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				b.Revision = s.Value
			case "vcs.modified":
				b.Modified = s.Value == "true"
			}
		}
	}
	b.Version = cmp.Or(b.Version, "development")
	return b
}

// String returns the build in a line.
func (b build) String() string {
	source := ""
	if b.Revision != "" {
		source = fmt.Sprintf(" from %.12s", b.Revision)
		if b.Modified {
			source += " with changes"
		}
	}
	return fmt.Sprintf("tidemark %s%s, %s, %s", b.Version, source, b.Go, b.Platform)
}

func versionCommand(p *program) *cli.Command {
	return &cli.Command{
		Name:     "version",
		Category: groupProgram,
		Usage:    "print which Tidemark this is",
		Description: `Prints the version, the source it was built from, the Go it was built with
and the platform. "tidemark --version" does the same.

Examples:
  tidemark version
  tidemark version --json`,
		Action: func(c *cli.Context) error {
			if err := wantArgs(c, 0, 0); err != nil {
				return err
			}
			if c.Bool("json") {
				return p.printJSON(p.build)
			}
			fmt.Fprintln(p.out, p.build)
			return nil
		},
	}
}
