package tidemark_test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"tidemark/catalog"
	"tidemark/keys"
	"tidemark/pack"
)

// The rescue program, and Debian's Python: another may come first in PATH.
const (
	rescueProgram = "docs/rescue.py"
	python        = "/usr/bin/python3"
)

// The rescue program is a part of the format's documentation: to be read in
// half an hour, every line doing one ordinary thing.
const (
	maxRescueLines = 220 // of code: neither empty nor comment nor docstring
	maxRescueWidth = 110 // columns
)

func TestRescueProgramIsShort(t *testing.T) {
	text, err := os.ReadFile(rescueProgram)
	if err != nil {
		t.Fatal(err)
	}
	code, docs := 0, regexp.MustCompile(`(?s)""".*?"""`).ReplaceAllString(string(text), "")
	for line := range strings.Lines(docs) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "#") {
			code++
		}
		if strings.Contains(line, ";") {
			t.Errorf("a line with a semicolon: %s", line)
		}
	}
	if code > maxRescueLines {
		t.Errorf("%s has %d lines of code, more than %d", rescueProgram, code, maxRescueLines)
	}
	for line := range strings.Lines(string(text)) {
		if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > maxRescueWidth {
			t.Errorf("a line of %d columns: %s", n, line)
		}
	}
	undocumented := regexp.MustCompile(`(?m)^ *(def|class) [^\n]*:\n *[^" ]`)
	for _, found := range undocumented.FindAllString(string(text), -1) {
		if !strings.Contains(found, "__init__") {
			t.Errorf("without a docstring: %s", found)
		}
	}
}

// runPython runs a Python program and returns what it prints.
func runPython(t *testing.T, arguments ...string) (stdout, stderr string, code int) {
	t.Helper()
	return run(t, exec.CommandContext(t.Context(), python, append([]string{"-B"}, arguments...)...))
}

func run(t *testing.T, cmd *exec.Cmd) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if failed, ok := errors.AsType[*exec.ExitError](err); ok {
		return out.String(), errs.String(), failed.ExitCode()
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.String(), errs.String(), 0
}

// TestRescueReadsVectors: the decoders of the rescue program find in every
// vector to be accepted what this program finds, and refuse what they check.
// What the rescue program has no use for, testdata/readvectors.py reads in
// their place.
func TestRescueReadsVectors(t *testing.T) {
	stdout, stderr, code := runPython(t, "testdata/readvectors.py", rescueProgram, vectorDir)
	if code != 0 {
		t.Fatalf("it failed: %s", stderr)
	}
	said := map[string]string{}
	for text := range strings.Lines(stdout) {
		name, what, _ := strings.Cut(strings.TrimSuffix(text, "\n"), " ")
		said[name] = what
	}
	read, refused := 0, 0
	for _, path := range vectorFiles(t) {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		v, want, err := parseVector(filepath.Base(path), b)
		if err != nil {
			t.Fatal(err)
		}
		got, ok := strings.CutPrefix(said[v.name], accepted+" ")
		switch {
		case v.expect == accepted:
			read++
			if !ok || !sameJSON(t, got, want) {
				t.Errorf("%s: holds\n%s\nfor the rescue program\n%s", v.name, want, said[v.name])
			}
		case rescueChecks(v):
			refused++
			if ok {
				t.Errorf("%s: the rescue program accepts it: %s", v.name, v.comment)
			}
		}
	}
	t.Logf("the rescue program read %d vectors, and refused %d as it has to", read, refused)
}

// rescueChecks reports whether a vector to be refused is wrong in what the
// rescue program checks: frames, seals, signatures, ids and extensions.
func rescueChecks(v *vector) bool {
	frame := regexp.MustCompile(`^(feature|enrolment|pack-data)-bad-(magic|kind|version|reserved|repository|name)$`)
	switch pack.Reason(v.expect) {
	case pack.ReasonSeal, pack.ReasonID, pack.ReasonExtension:
		return true
	case pack.ReasonSignature:
		return v.name != "mark-pin-bad-signer" // it is in what a mark says
	}
	return frame.MatchString(v.name)
}

func sameJSON(t *testing.T, a, b string) bool {
	t.Helper()
	decode := func(text string) (v any) {
		d := json.NewDecoder(strings.NewReader(text))
		d.UseNumber()
		if err := d.Decode(&v); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		return v
	}
	return reflect.DeepEqual(decode(a), decode(b))
}

// A rescued repository is one made by the program, and what opens it.
type rescued struct {
	dir      string
	identity string // a file
	source   string // the directory that was captured
	point    string // its object's name
}

// TestRescue restores what the program captured: a tree with every kind of
// node and awkward names.
func TestRescue(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("making devices, owners and privileged attributes takes root")
	}
	home := t.TempDir()
	r := &rescued{dir: home + "/repository", identity: home + "/identity", source: home + "/source"}
	plantTree(t, r.source)
	if err := os.WriteFile(r.identity, []byte(vectorIdentity+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	program := newProgram(t, home)
	program("init", "-r", r.dir, "--to", vectorRecipient)
	program("capture", "-r", r.dir, "--identity", r.identity, "everything="+r.source)
	r.list(t)
	t.Run("whole", r.testWhole)
	t.Run("paths", r.testPaths)
	t.Run("damaged records", r.testDamagedRecords)
	t.Run("damaged packs", r.testDamagedPacks)
	t.Run("forged point", r.testForgedPoint)
}

// newProgram builds the program, and returns what runs it.
func newProgram(t *testing.T, home string) func(arguments ...string) {
	t.Helper()
	path, config := home+"/tidemark", home+"/config.yaml"
	if err := os.WriteFile(config, []byte("state-dir: "+home+"/state\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-o", path, "./cmd/tidemark")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return func(arguments ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), path, append(arguments, "--config", config)...)
		cmd.Env = []string{"HOME=" + home, "PATH=" + os.Getenv("PATH")}
		if stdout, stderr, code := run(t, cmd); code != 0 {
			t.Fatalf("%v ends with %d: %s%s", arguments, code, stdout, stderr)
		}
	}
}

// list lists the only point.
func (r *rescued) list(t *testing.T) {
	t.Helper()
	stdout, stderr, code := runPython(t, rescueProgram, r.dir, r.identity)
	if code != 0 || stderr != "" ||
		!regexp.MustCompile(`^points/\S+ '.+' 'everything' \d{8}T\d{6}Z complete\n$`).MatchString(stdout) {
		t.Fatalf("list ends with %d and says %q, %q", code, stdout, stderr)
	}
	r.point, _, _ = strings.Cut(stdout, " ")
}

// restore restores the point, or a path in it, to a new target.
func (r *rescued) restore(t *testing.T, path ...string) (target, stderr string, code int) {
	t.Helper()
	target = t.TempDir() + "/target"
	arguments := append([]string{rescueProgram, r.dir, r.identity, "restore", r.point}, path...)
	_, stderr, code = runPython(t, append(arguments, target)...)
	return target, stderr, code
}

// testWhole finds every file as it was. Nothing but Python and age is run.
func (r *rescued) testWhole(t *testing.T) {
	log, target := t.TempDir()+"/log", t.TempDir()+"/target"
	cmd := exec.CommandContext(t.Context(), "strace", "-f", "-e", "trace=execve", "-e", "signal=none", "-o", log,
		python, "-B", rescueProgram, r.dir, r.identity, "restore", r.point, target)
	if stdout, stderr, code := run(t, cmd); code != 0 || stdout+stderr != "" {
		t.Fatalf("restore ends with %d and says %q, %q", code, stdout, stderr)
	}
	compareTrees(t, r.source, target)
	executed, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	ran := map[string]bool{}
	for _, m := range regexp.MustCompile(`execve\("([^"]*)",.* = 0`).FindAllSubmatch(executed, -1) {
		ran[filepath.Base(string(m[1]))] = true
	}
	if !ran["python3"] || !ran["age"] || len(ran) != 2 {
		t.Errorf("it runs %v, want python3 and age", ran)
	}
	if bytes.Contains(executed, []byte("AGE-SECRET-KEY")) {
		t.Error("an identity is among the arguments of a program")
	}
}

func (r *rescued) testPaths(t *testing.T) {
	for _, path := range []string{"/directory/of/files/", "sparse", "symlink", "bytes \xff\n", "device"} {
		target, stderr, code := r.restore(t, path)
		if code != 0 {
			t.Errorf("restoring %q ends with %d: %s", path, code, stderr)
			continue
		}
		compareTrees(t, filepath.Join(r.source, path), target)
	}
	for _, path := range []string{"directory/nothing", "sparse/nothing", "symlink/..", ".."} {
		target, stderr, code := r.restore(t, path)
		if _, err := os.Lstat(target); code == 0 || !strings.Contains(stderr, "no such path") || err == nil {
			t.Errorf("restoring %q ends with %d and says %q", path, code, stderr)
		}
	}
}

// objects returns the names of the objects below an area.
func (r *rescued) objects(t *testing.T, area string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(r.dir, area), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			name, _ := filepath.Rel(r.dir, path)
			names = append(names, name)
		}
		return err
	})
	if err != nil || len(names) == 0 {
		t.Fatalf("%d objects in %s: %v", len(names), area, err)
	}
	return names
}

// damaged calls check while an object is changed.
func (r *rescued) damaged(t *testing.T, name string, change func(b []byte) []byte, check func()) {
	t.Helper()
	path := filepath.Join(r.dir, name)
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write := func(b []byte) {
		if err := errors.Join(os.Remove(path), os.WriteFile(path, b, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	write(change(bytes.Clone(old)))
	check()
	write(old)
}

// flipped changes the last bit of the byte at an offset.
func flipped(at int) func(b []byte) []byte {
	return func(b []byte) []byte {
		b[at] ^= 1
		return b
	}
}

func halved(b []byte) []byte { return b[:len(b)/2] }

// testDamagedRecords damages the point and what says whose it is. Neither is
// listed or restored, and each is named.
func (r *rescued) testDamagedRecords(t *testing.T) {
	type damage struct {
		what   string
		change func(b []byte) []byte
	}
	for _, name := range slices.Concat(r.objects(t, "points"), r.objects(t, "hosts")) {
		damages := []damage{
			{"its kind", flipped(kindAt)},
			{"its name", flipped(nameAt + len(name) - 1)},
			{"its seal", func(b []byte) []byte { return flipped(len(b) - 1)(b) }},
			{"its length", halved},
		}
		if name == r.point {
			damages = append(damages, damage{"its run's key", flipped(nameAt + len(name) + 150)})
		}
		for _, d := range damages {
			r.damaged(t, name, d.change, func() {
				if stdout, stderr, code := runPython(t, rescueProgram, r.dir, r.identity); code == 0 || stdout != "" || !strings.Contains(stderr, name) {
					t.Errorf("damaged is %s, of %s: list ends with %d and says %q, %q", d.what, name, code, stdout, stderr)
				}
			})
		}
		r.damaged(t, name, damages[2].change, func() {
			target, stderr, code := r.restore(t)
			if _, err := os.Lstat(target); code == 0 || !strings.Contains(stderr, name) || err == nil {
				t.Errorf("damaged is %s: restore ends with %d and says %s", name, code, stderr)
			}
		})
	}
}

// testDamagedPacks damages packs: they are named, and no file is restored that
// is not as it was.
func (r *rescued) testDamagedPacks(t *testing.T) {
	packs := r.objects(t, "packs")
	for i, name := range packs {
		another, err := os.ReadFile(filepath.Join(r.dir, packs[(i+1)%len(packs)]))
		if err != nil {
			t.Fatal(err)
		}
		for what, change := range map[string]func(b []byte) []byte{
			"its run's key":                   flipped(nameAt + len(name) + 150),
			"its first block":                 flipped(nameAt + len(name) + 500),
			"all of it: it is another object": func([]byte) []byte { return another },
		} {
			r.damaged(t, name, change, func() {
				target, stderr, code := r.restore(t)
				if code == 0 || !strings.Contains(stderr, name) {
					t.Errorf("damaged is %s, of %s: restore ends with %d and says %s", what, name, code, stderr)
				}
				r.checkContents(t, target)
			})
		}
	}
	if _, stderr, code := r.restore(t); code != 0 {
		t.Errorf("all is as it was, and restore ends with %d: %s", code, stderr)
	}
}

// checkContents checks that every file that there is has the bytes of the
// source's.
func (r *rescued) checkContents(t *testing.T, target string) {
	t.Helper()
	err := filepath.WalkDir(target, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		rel, _ := filepath.Rel(target, path)
		a, err := os.ReadFile(path)
		b, err2 := os.ReadFile(filepath.Join(r.source, rel))
		if !bytes.Equal(a, b) {
			t.Errorf("%s is restored with other bytes", rel)
		}
		return errors.Join(err, err2)
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

// TestRescueAsks opens a repository with a passphrase, for which age asks on
// the terminal.
func TestRescueAsks(t *testing.T) {
	home := t.TempDir()
	passphrase := home + "/passphrase"
	if err := errors.Join(os.Mkdir(home+"/source", 0o755), os.WriteFile(passphrase, []byte("open sesame\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	program := newProgram(t, home)
	program("init", "-r", home+"/repository", "--passphrase-file", passphrase)
	program("capture", "-r", home+"/repository", "--passphrase-file", passphrase, "everything="+home+"/source")
	master, slave := openTerminal(t)
	cmd := exec.CommandContext(t.Context(), python, "-B", rescueProgram, home+"/repository", "-")
	cmd.Stdin = slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
	if _, err := master.WriteString("open sesame\n"); err != nil { // it waits there until it is asked for
		t.Fatal(err)
	}
	if stdout, stderr, code := run(t, cmd); code != 0 || !strings.Contains(stdout, " 'everything' ") {
		t.Errorf("list ends with %d and says %q, %q", code, stdout, stderr)
	}
}

// openTerminal returns the two ends of a pseudo-terminal.
func openTerminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	fd := int(master.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { slave.Close() })
	return master, slave
}

// recipient returns whom the repository's runs are sealed to.
func (r *rescued) recipient(t *testing.T) string {
	t.Helper()
	file := filepath.Join(r.dir, r.objects(t, "keys")[0])
	text, err := exec.CommandContext(t.Context(), "age", "-d", "-i", r.identity, file).Output()
	if err != nil {
		t.Fatal(err)
	}
	secret, err := keys.ParseSecret(text)
	if err != nil {
		t.Fatal(err)
	}
	return secret.Recipient()
}

// testForgedPoint adds a point, and then an enrolment, by somebody who knows
// the repository's recipient and no key: they are named, and not shown. The
// good point is.
func (r *rescued) testForgedPoint(t *testing.T) {
	w := newVectorWorld(t)
	text, err := os.ReadFile(filepath.Join(r.dir, catalog.RepositoryObject))
	if err != nil {
		t.Fatal(err)
	}
	id, err := catalog.ParseRepository(text)
	if err != nil {
		t.Fatal(err)
	}
	run := &keys.Run{Secret: keys.RunSecret{Key: keys.NewKey([32]byte{1}), Epoch: 1, Group: "forgers"}}
	run.ID = run.Secret.ID()
	secret := run.Secret.Encode()
	seal := exec.CommandContext(t.Context(), "age", "-r", r.recipient(t))
	seal.Stdin = bytes.NewReader(secret[:])
	if run.Sealed, err = seal.Output(); err != nil {
		t.Fatal(err)
	}
	name := r.point[:len(r.point)-len(run.ID.String())] + run.ID.String()
	signed := pack.SignBody(pack.Point, id, name, w.point().Encode(), keys.NewPrivateKey([32]byte{2}))
	object, err := pack.SealRecord(counter("forged"), pack.Point, id, name, pack.RunKey(run), signed)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(r.dir, name)
	if err := os.WriteFile(path, object, 0o644); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(path)
	stdout, stderr, code := runPython(t, rescueProgram, r.dir, r.identity)
	if code == 0 || !strings.HasPrefix(stdout, r.point+" ") || strings.Count(stdout, "\n") != 1 || !strings.Contains(stderr, name+": signature") {
		t.Errorf("list ends with %d and says %q, %q", code, stdout, stderr)
	}
	enrolment := filepath.Join(r.dir, "hosts", strings.Split(name, "/")[1], "ffffffff")
	if err := os.WriteFile(enrolment, object, 0o644); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(enrolment)
	stdout, stderr, code = runPython(t, rescueProgram, r.dir, r.identity)
	if code == 0 || !strings.HasPrefix(stdout, r.point+" ") || !strings.Contains(stderr, "ffffffff") {
		t.Errorf("beside a forged enrolment: list ends with %d and says %q, %q", code, stdout, stderr)
	}
	forged := *r
	forged.point = name
	if target, stderr, code := forged.restore(t); code == 0 || !strings.Contains(stderr, name+": signature") {
		t.Errorf("restoring the forged point ends with %d and says %q (%s)", code, stderr, target)
	}
}

// plant writes a repository with one point, whose only page below the root is
// made of rows, right or wrong. It returns the repository and an identity.
func (w *vectorWorld) plant(t *testing.T, page *splitted, totals catalog.Totals) *rescued {
	t.Helper()
	home := t.TempDir()
	r := &rescued{dir: home + "/repository", identity: home + "/identity"}
	put := func(name string, b []byte) {
		path := filepath.Join(r.dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, b, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(r.identity, []byte(vectorIdentity+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	seal := exec.CommandContext(t.Context(), "age", "-r", vectorRecipient)
	seal.Stdin = strings.NewReader(vectorSecret)
	key, err := seal.Output()
	if err != nil {
		t.Fatal(err)
	}
	put("keys/identity-1.age", key)
	put("tidemark.json", w.get("tidemark.json").body)
	enrolment := w.get("enrolment")
	put(enrolment.object, enrolment.body)

	b := w.builder(pack.TreePack, 1)
	body := page.join()
	id := w.pieceID(body)
	block, err := b.AddBlock(pack.Raw, body, uint32(len(body)), []pack.Piece{{ID: id, Len: uint32(len(body))}})
	if err != nil {
		t.Fatal(err)
	}
	name, object, err := b.Finish()
	if err != nil {
		t.Fatal(err)
	}
	put(name, object)
	p := w.firstPoint()
	child := catalog.Ref{ID: id, Place: pack.Place{Block: block, Len: uint32(len(body))}}
	p.Root = w.root(&catalog.Row{Node: catalog.Node{Type: catalog.Dir, Mode: 0o755, Below: totals, Child: child}})
	r.point = w.pointObject(catalog.PointArea, p)
	put(r.point, w.seal(w.sealing("point"), r.point, p.Encode()))
	return r
}

// TestRescueStaysInside: whatever names a tree has, nothing is written outside
// the target.
func TestRescueStaysInside(t *testing.T) {
	w := newVectorWorld(t)
	w.vectors()
	outside := t.TempDir()
	good := splitPage(w.get("page-as-its-row-says").body)
	named := func(name string) *splitted {
		p := *good
		p.rows = slices.Clone(good.rows)
		p.rows[1] = string([]byte{byte(len(name))}) + name + p.rows[1][2:]
		return &p
	}
	link := splitPage(w.dirPage(catalog.Row{Node: catalog.Node{Name: "b", Type: catalog.Symlink, Target: outside + "/made"}}))
	twice := named("b")
	twice.rows, twice.hints = slices.Insert(twice.rows, 1, link.rows[0]), slices.Insert(twice.hints, 1, link.hints[0])
	twice.places = slices.Insert(twice.places, 1, nil)
	for what, page := range map[string]*splitted{
		"a name of two dots":       named(".."),
		"a path":                   named("../made"),
		"an absolute path":         named(outside + "/made"),
		"a path below another row": named("a/made"),
		"an empty name":            named(""),
		"a symlink and a file":     twice,
	} {
		r := w.plant(t, page, catalog.Totals{Names: uint64(len(page.rows)), Files: 3, Bytes: 3})
		target, stderr, code := r.restore(t)
		if code == 0 || stderr == "" {
			t.Errorf("%s: restore ends with %d and says %q", what, code, stderr)
		}
		for _, place := range []string{filepath.Dir(target), outside} {
			entries, err := os.ReadDir(place)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				if e.Name() != "target" {
					t.Errorf("%s: restoring it made %s", what, filepath.Join(place, e.Name()))
				}
			}
		}
	}
	r := w.plant(t, good, catalog.Totals{Names: 3, Files: 3, Bytes: 3})
	if _, stderr, code := r.restore(t); code != 0 {
		t.Errorf("a good tree: restore ends with %d: %s", code, stderr)
	}
}

// compareTrees compares two trees by all that a restore brings back.
func compareTrees(t *testing.T, a, b string) {
	t.Helper()
	want, got := describeTree(t, a), describeTree(t, b)
	for path, d := range want {
		if got[path] != d {
			t.Errorf("%q:\n%s\nwant\n%s", path, got[path], d)
		}
		delete(got, path)
	}
	for path := range got {
		t.Errorf("%q is too much", path)
	}
}

// describeTree returns for each path below root all that there is to say.
func describeTree(t *testing.T, root string) map[string]string {
	t.Helper()
	tree := map[string]string{}
	first := map[uint64]string{} // path by inode number of what has several names
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		tree[rel], err = describe(path, rel, first)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func describe(path, rel string, first map[uint64]string) (string, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return "", err
	}
	d := fmt.Sprintf("mode %o, owner %d:%d, mtime %d.%09d, device %x", st.Mode, st.Uid, st.Gid, st.Mtim.Sec, st.Mtim.Nsec, st.Rdev)
	if st.Mode&unix.S_IFMT != unix.S_IFDIR && st.Nlink > 1 && rel != "." {
		if _, known := first[st.Ino]; !known {
			first[st.Ino] = rel
		}
		d += fmt.Sprintf(", one of %d with %q", st.Nlink, first[st.Ino])
	}
	attributes, err := xattrsOf(path)
	if err != nil {
		return "", err
	}
	d += attributes
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFLNK:
		target, err := os.Readlink(path)
		return d + fmt.Sprintf(", target %q", target), err
	case unix.S_IFREG:
		b, err := os.ReadFile(path)
		holes, err2 := holesOf(path)
		if len(holes) > 0 { // until it is on disk, its number of blocks is an estimate
			err2 = errors.Join(err2, syncFile(path), unix.Lstat(path, &st))
		}
		return d + fmt.Sprintf(", %d bytes %x, %d blocks, holes %d", st.Size, sha256.Sum256(b), st.Blocks, holes), errors.Join(err, err2)
	}
	return d, nil
}

func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func xattrsOf(path string) (string, error) {
	names := make([]byte, 64<<10)
	n, err := unix.Llistxattr(path, names)
	if err != nil {
		return "", err
	}
	var all []string
	for name := range strings.SplitSeq(strings.TrimSuffix(string(names[:n]), "\x00"), "\x00") {
		if name == "" {
			continue
		}
		value := make([]byte, 64<<10)
		n, err := unix.Lgetxattr(path, name, value)
		if err != nil {
			return "", err
		}
		all = append(all, fmt.Sprintf(", %s=%x", name, value[:n]))
	}
	slices.Sort(all)
	return strings.Join(all, ""), nil
}

// holesOf returns where the holes of a file begin and end.
func holesOf(path string) (holes []int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	for at := int64(0); err == nil && at < info.Size(); {
		var begin, end int64
		if begin, err = unix.Seek(int(f.Fd()), at, unix.SEEK_HOLE); err != nil || begin == info.Size() {
			break
		}
		if end, err = unix.Seek(int(f.Fd()), begin, unix.SEEK_DATA); errors.Is(err, unix.ENXIO) {
			end, err = info.Size(), nil
		}
		holes = append(holes, begin, end)
		at = end
	}
	return holes, err
}

// plantTree makes a directory with every kind of node and awkward names.
func plantTree(t *testing.T, dir string) {
	t.Helper()
	p := &planter{t, dir}
	p.do(os.Mkdir(dir, 0o700))
	for _, d := range []string{"directory/of/files", "many", "empty"} {
		p.do(os.MkdirAll(p.path(d), 0o755))
	}
	p.file("empty/file", 0)
	for _, n := range []int{1, 512, 513, 4096, 65_536, 300_001, 3_000_000} {
		p.file(fmt.Sprint("directory/of/files/", n), n)
	}
	for i := range 700 {
		p.file(fmt.Sprintf("many/%03d", i), i)
	}
	for _, name := range []string{" ", "-rf", "a\nb", "bytes \xff\n", `quote"'\`, "%s", strings.Repeat("n", 255)} {
		p.file(name, 10)
	}
	p.sparse("sparse", 5<<20, 0, 4096, 12_288, 100, 200_000, 70_000, 3<<20, 65_536)
	p.sparse("only a hole", 1<<20)
	p.sparse("pieces", 4<<20, 0, 1, 300_000, 1, 600_000, 1, 900_000, 1, 1_200_000, 1, 1_500_000, 1, 1_800_000, 1)
	p.do(os.WriteFile(p.path("allocated zeros"), make([]byte, 200_000), 0o644))
	p.do(os.Symlink("of\xff/nothing", p.path("symlink")))
	p.do(os.Symlink("/etc/passwd", p.path("symlink to a file")))
	p.do(os.Link(p.path("sparse"), p.path("sparse again")))
	p.do(os.Link(p.path("sparse"), p.path("directory/sparse too")))
	p.do(unix.Mkfifo(p.path("fifo"), 0o620))
	p.do(os.Link(p.path("fifo"), p.path("fifo again")))
	p.do(os.Link(p.path("symlink"), p.path("symlink again")))
	p.do(unix.Mknod(p.path("socket"), unix.S_IFSOCK|0o777, 0))
	p.do(unix.Mknod(p.path("device"), unix.S_IFCHR|0o640, int(unix.Mkdev(1, 3))))
	p.do(unix.Mknod(p.path("block device"), unix.S_IFBLK|0o600, int(unix.Mkdev(259, 70_000))))
	p.metadata()
}

// A planter fills a directory.
type planter struct {
	t   *testing.T
	dir string
}

func (p *planter) path(name string) string { return p.dir + "/" + name }

func (p *planter) do(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

// file makes a file of n bytes that nothing compresses.
func (p *planter) file(name string, n int) {
	p.t.Helper()
	p.do(os.WriteFile(p.path(name), counterBytes(name, n), 0o644))
}

// sparse makes a file of holes, but for data: offset, length …
func (p *planter) sparse(name string, size int64, data ...int64) {
	p.t.Helper()
	f, err := os.Create(p.path(name))
	p.do(err)
	w := bufio.NewWriter(nil)
	for i := 0; i < len(data); i += 2 {
		_, err := f.Seek(data[i], 0)
		p.do(err)
		w.Reset(f)
		_, err = w.Write(counterBytes(fmt.Sprint(name, i), int(data[i+1])))
		p.do(errors.Join(err, w.Flush()))
	}
	p.do(errors.Join(f.Truncate(size), f.Close()))
}

func (p *planter) metadata() {
	p.do(os.Chown(p.path("fifo"), 1234, 4_000_000_000))
	p.do(os.Lchown(p.path("symlink"), 7, 8))
	p.do(unix.Chmod(p.path("many/001"), 0o6755))
	p.do(unix.Chmod(p.path("empty"), 0o1777))
	p.do(unix.Chmod(p.path("many/002"), 0))
	for _, x := range []struct{ name, attribute, value string }{
		{"many/003", "user.one", "value"}, {"many/003", "user.empty", ""}, {"many", "user.of a directory", "\x00\xff"},
		{"many/004", "security.capability", "\x01\x00\x00\x02\x00\x04" + strings.Repeat("\x00", 14)},
		{"many/005", "system.posix_acl_access", acl}, {"directory", "system.posix_acl_default", acl},
		{"symlink", "trusted.of a symlink", "yes"},
	} {
		p.do(unix.Lsetxattr(p.path(x.name), x.attribute, []byte(x.value), 0))
	}
	for name, at := range map[string]unix.Timespec{
		"many/006": {Sec: -1, Nsec: 999_999_999}, "many/007": {Sec: 5_000_000_000, Nsec: 1}, "symlink": {Sec: 1, Nsec: 2},
		"many": {Sec: -1_500_000_000, Nsec: 123_456_789}, "sparse": {Sec: 0, Nsec: 5}, "": {Sec: 1_234_567_890, Nsec: 123_456_789},
	} {
		p.do(unix.UtimesNanoAt(unix.AT_FDCWD, p.path(name), []unix.Timespec{at, at}, unix.AT_SYMLINK_NOFOLLOW))
	}
}

// acl is a POSIX ACL as Linux gives it: that of user 1000, beside the usual.
const acl = "\x02\x00\x00\x00" +
	"\x01\x00\x07\x00\xff\xff\xff\xff" + "\x02\x00\x05\x00\xe8\x03\x00\x00" + "\x04\x00\x05\x00\xff\xff\xff\xff" +
	"\x10\x00\x05\x00\xff\xff\xff\xff" + "\x20\x00\x01\x00\xff\xff\xff\xff"
