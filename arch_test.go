// Package tidemark_test keeps the house in order: which package may import
// which, who may touch each library, and what belongs to main alone. It reads
// the sources, whatever their build tags, and needs none of them to compile.
package tidemark_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
)

// module is the import path of the directory that this file is in.
const module = "tidemark"

// belowViews is what those packages may import that arrange, write or check
// whole trees.
var belowViews = []string{"catalog", "chunk", "fetch", "keys", "pack", "store"}

// house is the table of docs/design.md, section 3. Change both together.
var house = plan{
	// Each package, and those of ours that it may import. Packages below cmd
	// wire the others, and may import them all.
	packages: map[string][]string{
		".":                  nil, // this test
		"chunk":              nil,
		"keys":               nil,
		"store":              nil,
		"store/storetest":    {"store"},
		"pack":               {"chunk", "keys"},
		"catalog":            {"chunk", "keys", "pack"},
		"fetch":              {"chunk", "keys", "pack", "store"},
		"fusefs":             belowViews,
		"restore":            belowViews,
		"capture":            append([]string{"capture/walk"}, belowViews...),
		"capture/walk":       nil,
		"cmd/tidemark":       nil,
		"packaging/leftover": nil,
		"packaging/testlog":  nil,
	},
	// Each library, and the packages that may import it, with those below
	// them; "" is every package.
	libraries: map[string][]string{
		"filippo.io/age":                    {"keys"},
		"github.com/bmatcuk/doublestar/v4":  {"capture"},
		"github.com/dgraph-io/ristretto/v2": {"fetch"},
		"github.com/hanwen/go-fuse/v2":      {"fusefs"},
		"github.com/klauspost/compress":     {"pack"},
		"github.com/minio/minio-go/v7":      {"store/s3"},
		"github.com/mistifyio/go-zfs/v3":    {"capture/zfs"},
		"github.com/urfave/cli/v2":          {"cmd"},
		"go.yaml.in/yaml/v3":                {"cmd"},
		"golang.org/x/crypto":               {"keys"},
		"golang.org/x/sync":                 {""},
		"golang.org/x/sys":                  {""},
		"golang.org/x/term":                 {"cmd"},
	},
}

// mainOnly is what only package main and what is below cmd may use, and what
// the others do instead.
var mainOnly = map[string]string{
	"context.Background": "take the caller's context",
	"context.TODO":       "take the caller's context",
	"os.Getenv":          "take it in the Config",
	"os.LookupEnv":       "take it in the Config",
	"time.Now":           "take a clock",
	"time.Since":         "take a clock",
	"time.Until":         "take a clock",
	"time.Sleep":         "wait for what is waited for, with a context",
}

// drawers are names that say nothing of what is in a package.
var drawers = []string{"common", "helpers", "internal", "misc", "util", "utils"}

func TestArchitecture(t *testing.T) {
	for _, complaint := range house.check(os.DirFS(".")) {
		t.Error(complaint)
	}
}

// TestArchitectureSees breaks every rule once. Code that keeps them is beside
// it, and is not complained of.
func TestArchitectureSees(t *testing.T) {
	source := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	fsys := fstest.MapFS{
		"leaf/leaf.go":       source("package leaf\nimport \"tidemark/top\""),
		"leaf/leaf_test.go":  source("package leaf_test\nimport (\"tidemark/leaf\"; \"tidemark/other\"; \"example.org/lib\")"),
		"leaf/above_test.go": source("package leaf_test\nimport \"tidemark/top\""),
		"middle/m.go":        source("package middle\nimport (\"tidemark/leaf\"; \"fmt\"; \"example.org/lib/sub\")"),
		"other/o.go":         source("package other\nimport (_ \"example.org/lib\"; \"example.org/library\")"),
		"top/t.go":           source("package top\nimport (clock \"time\"; . \"os\")\nvar now = clock.Now\nfunc init() {}"),
		"top/t_test.go":      source("package top\nimport \"time\"\nvar start = time.Now()\nfunc init() {}"),
		"cmd/p/main.go":      source("package main\nimport (\"context\"; \"tidemark/top\")\nvar ctx = context.TODO()"),
		"top/toptest/t.go":   source("package toptest\nimport (\"tidemark/top\"; \"time\")\nvar start = time.Now()"),
		"top/suite_test.go":  source("package top_test\nimport \"tidemark/top/toptest\""),
		"util/u.go":          source("package util"),
		"top/testdata/x.go":  source("package broken {"),
		"top/.hidden/x.go":   source("package broken {"),
	}
	p := plan{
		packages: map[string][]string{
			"leaf": nil, "middle": {"leaf"}, "other": nil, "top": {"middle"}, "top/toptest": {"top"},
			"cmd/p": nil, "gone": {"never"},
		},
		libraries: map[string][]string{"example.org/lib": {"middle"}},
	}
	want := []string{
		"gone: may import never, which is not in the table",
		"gone: no such package: take it out of the table",
		"leaf/above_test.go: imports tidemark/top, which is above leaf",
		"leaf/leaf.go: imports tidemark/top, which leaf may not",
		"other/o.go: imports example.org/lib, which only middle may",
		"other/o.go: imports example.org/library: add it to the table",
		"top/t.go:2:23: imports os by a dot, which hides where names come from",
		"top/t.go:3:11: uses time.Now: take a clock",
		"top/t.go:4:6: has an init function: let main call it by name",
		"util: a name that says nothing of what is in it",
		"util: unknown package: add it to the table",
	}
	if got := p.check(fsys); !slices.Equal(got, want) {
		t.Errorf("check says\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// A plan says what may import what.
type plan struct {
	packages  map[string][]string
	libraries map[string][]string
}

// check returns, sorted, what in fsys is not as p has it.
func (p plan) check(fsys fs.FS) []string {
	found := map[string]bool{}
	var complaints []string
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := path.Base(name)
		if d.IsDir() && name != "." && (base == "testdata" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_")) {
			return fs.SkipDir // as the go command does
		}
		if d.IsDir() || path.Ext(name) != ".go" {
			return nil
		}
		found[path.Dir(name)] = true
		said, err := p.checkFile(fsys, name)
		complaints = append(complaints, said...)
		return err
	})
	if err != nil {
		complaints = append(complaints, err.Error())
	}
	for pkg := range found {
		complaints = append(complaints, p.checkPackage(pkg)...)
	}
	for pkg, others := range p.packages {
		if !found[pkg] {
			complaints = append(complaints, pkg+": no such package: take it out of the table")
		}
		for _, other := range others {
			if _, known := p.packages[other]; !known {
				complaints = append(complaints, pkg+": may import "+other+", which is not in the table")
			}
		}
	}
	slices.Sort(complaints)
	return complaints
}

func (p plan) checkPackage(pkg string) (complaints []string) {
	if _, known := p.packages[pkg]; !known {
		complaints = append(complaints, pkg+": unknown package: add it to the table")
	}
	for element := range strings.SplitSeq(pkg, "/") {
		if slices.Contains(drawers, element) {
			complaints = append(complaints, pkg+": a name that says nothing of what is in it")
		}
	}
	return complaints
}

func (p plan) checkFile(fsys fs.FS, name string) (complaints []string, err error) {
	text, err := fs.ReadFile(fsys, name)
	if err != nil {
		return nil, err
	}
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, name, text, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	pkg, isTest := path.Dir(name), strings.HasSuffix(name, "_test.go")
	for _, spec := range file.Imports {
		imported := importPath(spec)
		if objection := p.objection(pkg, imported, isTest); objection != "" {
			complaints = append(complaints, fmt.Sprintf("%s: imports %s%s", name, imported, objection))
		}
	}
	isTest = isTest || strings.HasSuffix(pkg, "test") // storetest, as the standard library names its own
	if !isTest && file.Name.Name != "main" && !within(pkg, "cmd") {
		for at, said := range mainsBusiness(file) {
			complaints = append(complaints, fmt.Sprintf("%s: %s", fset.Position(at), said))
		}
	}
	return complaints, nil
}

// objection says what speaks against an import of the package called imported
// by pkg, or nothing. A test may import what its package may not, for it needs
// real things to work on: any library of the table, and any package that is
// not above its own. (A conformance suite below it, as store/storetest, is not.)
func (p plan) objection(pkg, imported string, isTest bool) string {
	if ours, ok := strings.CutPrefix(imported, module+"/"); ok {
		switch {
		case within(pkg, "cmd"), slices.Contains(p.packages[pkg], ours):
			return ""
		case !isTest:
			return ", which " + pkg + " may not"
		case !within(ours, pkg) && p.reaches(ours, pkg):
			return ", which is above " + pkg
		}
		return ""
	}
	if first, _, _ := strings.Cut(imported, "/"); !strings.Contains(first, ".") {
		return "" // the standard library
	}
	for library, users := range p.libraries {
		if !within(imported, library) {
			continue
		}
		if isTest || slices.ContainsFunc(users, func(user string) bool { return within(pkg, user) }) {
			return ""
		}
		return ", which only " + strings.Join(users, ", ") + " may"
	}
	return ": add it to the table"
}

// reaches says whether from may import to, itself or through others. (A circle
// in the table would not end, and could not be compiled either.)
func (p plan) reaches(from, to string) bool {
	return slices.ContainsFunc(p.packages[from], func(next string) bool {
		return next == to || p.reaches(next, to)
	})
}

// within says whether the slash-separated name is dir or below it.
func within(name, dir string) bool {
	return dir == "" || name == dir || strings.HasPrefix(name, dir+"/")
}

// mainsBusiness returns what in file belongs to package main alone.
func mainsBusiness(file *ast.File) map[token.Pos]string {
	found := map[token.Pos]string{}
	imports := map[string]string{} // name in this file to import path
	for _, spec := range file.Imports {
		imported := importPath(spec)
		name := path.Base(imported)
		if spec.Name != nil {
			name = spec.Name.Name
		}
		if name == "." {
			found[spec.Pos()] = "imports " + imported + " by a dot, which hides where names come from"
		}
		imports[name] = imported
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			if n.Recv == nil && n.Name.Name == "init" {
				found[n.Name.Pos()] = "has an init function: let main call it by name"
			}
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok {
				name := imports[x.Name] + "." + n.Sel.Name
				if instead, ok := mainOnly[name]; ok {
					found[n.Pos()] = "uses " + name + ": " + instead
				}
			}
		}
		return true
	})
	return found
}

// importPath returns what spec imports. The parser has seen that it is a string.
func importPath(spec *ast.ImportSpec) string {
	imported, _ := strconv.Unquote(spec.Path.Value)
	return imported
}
