package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"tidemark/catalog"
)

// What users get wrong, one test a kind: each says what to do about it in words
// that fit, ends with the code that the help documents, and loses nothing.

func TestWrongKey(t *testing.T) {
	s := newEmptySite(t)
	writeFile(t, s.dir+"/right", "correct horse\n")
	writeFile(t, s.dir+"/wrong", "battery staple\n")
	writeFile(t, s.dir+"/blank", "\n")
	s.newIdentity(t, "stranger")
	s = s.with(envIdentityFile + "=")
	s.ok(t, "init", "--passphrase-file", s.dir+"/right")
	source := s.sourceOf(t, "file", "text")
	s.ok(t, "capture", "--passphrase-file", s.dir+"/right", "app="+source)
	before := s.objects(t)

	for _, tt := range []struct {
		option, file string
		said         []string
	}{
		{"--passphrase-file", "/wrong", []string{s.repo + ": wrong passphrase", "try: tidemark key list"}},
		{"--passphrase-file", "/blank", []string{"/blank is empty"}},
		{"--passphrase-file", "/missing", []string{"/missing: no such file"}},
		{"--identity", "/stranger", []string{"no identity that was given opens any of its keys", "try: --identity FILE"}},
		{"--identity", "/right", []string{"/right"}},
		{"--identity", "/missing", []string{"/missing: no such file"}},
	} {
		s.refused(t, exitNoAccess, tt.said, tt.option, s.dir+tt.file, "ls")
	}
	// Nobody is there to be asked.
	s.through("setsid", "--wait").refused(t, exitNoAccess, []string{"there is no terminal to ask for it on", "try: --passphrase-file FILE or --identity FILE"}, "ls")
	// Whoever cannot read must not write either.
	s.refused(t, exitNoAccess, []string{"wrong passphrase"}, "capture", "--passphrase-file", s.dir+"/wrong", "app="+source)
	s.unharmed(t, before)
}

func TestNewerRepository(t *testing.T) {
	s := newSite(t)
	source := s.sourceOf(t, "file", "text")
	s.ok(t, "capture", "app="+source)
	about := s.repo + "/tidemark.json"
	today, err := os.ReadFile(about)
	must(t, err)
	later := bytes.Replace(today, []byte(`"format":1`), []byte(`"format":2`), 1)
	if bytes.Equal(later, today) {
		t.Fatalf("tidemark.json is %q", today)
	}
	must(t, os.WriteFile(about, later, 0o600))
	before := s.objects(t)
	for _, args := range [][]string{{"ls"}, {"points"}, {"capture", "app=" + source}, {"mount", t.TempDir()}, {"restore", "latest/app", s.dir + "/new"}, {"key", "list"}} {
		s.refused(t, exitNoAccess, []string{s.repo, "format 2", "try: a newer version of Tidemark"}, args...)
	}
	s.unharmed(t, before)
	must(t, os.WriteFile(about, today, 0o600))
	if got := s.ok(t, "cat", "latest/app/file"); got != "text" {
		t.Errorf("the file is %q", got)
	}
}

// TestUnknownFeature: a feature is needed by those who read, or who write.
func TestUnknownFeature(t *testing.T) {
	s := newSite(t)
	source := s.sourceOf(t, "file", "text")
	s.ok(t, "capture", "app="+source)
	said := []string{s.repo, `does not know origami ("folds, since version 3")`, "try: a newer version of Tidemark"}

	object := s.putFeature(t, catalog.Feature{Name: "origami", Needed: catalog.Writing, Text: "folds, since version 3"})
	before := s.objects(t)
	s.refused(t, exitNoAccess, said, "capture", "app="+source)
	s.refused(t, exitNoAccess, said, "key", "add", "--to", s.newIdentity(t, "more"), "more")
	s.unharmed(t, before)
	if got := s.ok(t, "cat", "latest/app/file"); got != "text" {
		t.Errorf("a feature for writers keeps a reader from it: %q", got)
	}

	must(t, os.Remove(object))
	s.putFeature(t, catalog.Feature{Name: "origami", Needed: catalog.Reading | catalog.Writing, Text: "folds, since version 3"})
	for _, args := range [][]string{{"ls"}, {"cat", "latest/app/file"}, {"mount", t.TempDir()}} {
		s.refused(t, exitNoAccess, said, args...)
	}
}

// putFeature puts a feature into the repository, and returns its file.
func (s *site) putFeature(t *testing.T, f catalog.Feature) string {
	t.Helper()
	b, err := os.ReadFile(s.repo + "/" + catalog.RepositoryObject)
	must(t, err)
	id, err := catalog.ParseRepository(b)
	must(t, err)
	object, b, err := f.Object(id)
	must(t, err)
	writeFile(t, s.repo+"/"+object, string(b))
	return s.repo + "/" + object
}

func TestNotARepository(t *testing.T) {
	s := newEmptySite(t)
	empty, file := t.TempDir(), s.dir+"/file"
	writeFile(t, file, "x")
	writeFile(t, s.dir+"/other/tidemark.json", "{}")
	for _, tt := range []struct {
		repo string
		code int
		said []string
	}{
		{empty, exitNoAccess, []string{"is not a Tidemark repository: there is no tidemark.json in it", "try: tidemark init -r " + empty}},
		{s.dir + "/other", exitNoAccess, []string{"not a Tidemark repository"}},
		{s.dir + "/missing", exitNoAccess, []string{"/missing: no such file", "try: tidemark init -r " + s.dir + "/missing", "look whether its disk is mounted"}},
		{file, exitNoAccess, []string{file}},
		{"s3://bucket/backup", exitUsage, []string{"keeps repositories in directories only", "try: -r DIRECTORY"}},
	} {
		for _, args := range [][]string{{"ls"}, {"capture", "app=" + empty}} {
			s.refused(t, tt.code, tt.said, append(args, "-r", tt.repo)...)
		}
	}
	s.with(envRepository+"=").refused(t, exitUsage, []string{"no repository was named", "-r REPO, or set TIDEMARK_REPOSITORY"}, "ls")
	if _, err := os.Lstat(s.dir + "/missing"); err == nil {
		t.Error("a repository that was missing was made")
	}

	s.ok(t, "init", "--to", s.newIdentity(t, "identity"))
	before := s.objects(t)
	s.refused(t, exitFailed, []string{s.repo + " is a repository already", "try: "}, "init", "--to", s.newIdentity(t, "second"))
	s.refused(t, exitFailed, []string{"is not empty", "try: "}, "init", "-r", s.dir, "--to", s.newIdentity(t, "third"))
	s.unharmed(t, before)
}

// TestCommandLine has what only the whole program shows; the rest is told in
// args_test.go and config_test.go.
func TestCommandLine(t *testing.T) {
	s := newEmptySite(t)
	s.refused(t, exitUsage, []string{`unknown command "captur"; did you mean "capture"?`}, "captur", "app=/srv")
	s.refused(t, exitUsage, []string{`unknown option "--tme"; did you mean "--time"?`, "try: tidemark capture --help"}, "capture", "--tme", "2019-07-18", "app=/srv")
	s.refused(t, exitUsage, []string{"there is nothing to capture", "NAME=DIRECTORY"}, "capture")
	s.refused(t, exitUsage, []string{"source app is not in the configuration", "try: NAME=DIRECTORY"}, "capture", "app")
	s.refused(t, exitUsage, []string{`source name ".hidden"`}, "capture", ".hidden=/srv")
	s.refused(t, exitUsage, []string{"soon is no time; write it as 2019-07-18"}, "capture", "--time", "soon", "app=/srv")
	s.refused(t, exitUsage, []string{"it needs PATH TARGET, and got only 1"}, "restore", "latest/app")
	s.refused(t, exitUsage, []string{"--inodes some: it is one of"}, "mount", "--inodes", "some", s.dir)

	s.configure(t, "repositroy: /srv\n")
	s.refused(t, exitUsage, []string{"box.yaml:", `"repositroy"`, `"repository"`, "try: tidemark help config"}, "ls")
	s.with(envConfig+"="+s.dir+"/missing.yaml").refused(t, exitUsage, []string{"/missing.yaml: no such file"}, "ls")
}

func TestNoSuchSource(t *testing.T) {
	s := newSite(t)
	good, file := s.sourceOf(t, "file", "text"), s.dir+"/file"
	writeFile(t, file, "x")
	s.refused(t, exitFailed, []string{"/missing: no such file"}, "capture", "app="+s.dir+"/missing")
	s.refused(t, exitFailed, []string{file + ": not a directory"}, "capture", "app="+file)
	// The others are captured all the same.
	s.refused(t, exitFailed, []string{"gone was not captured", "not captured: gone"}, "capture", "gone="+s.dir+"/missing", "good="+good)
	if got := s.ok(t, "ls", "latest"); got != "good\n" {
		t.Errorf("latest/ has %q", got)
	}
	if got := s.ok(t, "ls", "incomplete"); got != "" {
		t.Errorf("incomplete/ has %q", got)
	}
}

func TestNoSuchPath(t *testing.T) {
	s := newSite(t)
	s.ok(t, "capture", "app="+s.sourceOf(t, "directory/file", "text"))
	for _, tt := range []struct{ path, said string }{
		{"yearly", "there is no yearly in it"},
		{"daily/1999-01-01/app", "there is no 1999-01-01 in it"},
		{"latest/db", "there is no db in it"},
		{"latest/app/nowhere", "latest/app/nowhere is not in this point"},
		{"latest/app/directory/file/below", "not a directory"},
		{"hosts/nobody", "there is no nobody in it"},
		{"/srv/app/file", "is not in a mount of Tidemark"},
	} {
		for _, command := range []string{"ls", "cat"} {
			s.refused(t, exitFailed, []string{tt.said}, command, tt.path)
		}
		s.refused(t, exitFailed, []string{tt.said}, "restore", tt.path, s.dir+"/target")
	}
	s.refused(t, exitFailed, []string{"it is a directory", "try: tidemark ls latest/app/directory"}, "cat", "latest/app/directory")
	s.refused(t, exitFailed, []string{"above the points", "try: "}, "restore", "daily", s.dir+"/target")
	s.refused(t, exitFailed, []string{"has no host db", "try: tidemark ls hosts"}, "ls", "--host", "db")
	if _, err := os.Lstat(s.dir + "/target"); err == nil {
		t.Error("a restore of nothing made its target")
	}
}

// TestTwoCapturesAtOnce: of two that share what a machine remembers the second
// is refused while the first runs, which stays as whole as if it were alone.
func TestTwoCapturesAtOnce(t *testing.T) {
	s := newSite(t)
	var source string
	for i := range 1000 { // enough to be stopped in the midst of
		source = s.sourceOf(t, fmt.Sprintf("%d/%d", i%100, i), strings.Repeat(fmt.Sprint(i), 5000))
	}
	first := s.stopInside(t, "capture", "app="+source)
	before := s.objects(t)
	s.refused(t, exitFailed, []string{"another capture is running", s.dir + "/state-box", "wait until it is done"}, "capture", "app="+source)
	s.unharmed(t, before)
	// Another machine has nothing to do with that.
	other := s.on(t, "other")
	other.ok(t, "capture", "app="+source)
	first.resume(t)

	for _, m := range []*site{s, other} {
		target := m.dir + "/restored-" + m.host
		m.ok(t, "restore", "latest/app", target)
		silent(t, "diff", "-r", source, target)
	}
	s.ok(t, "capture", "app="+source)
}

// TestCaptureOnlyKey: it makes points of now, and reads nothing, even when it
// has lost what it remembers.
func TestCaptureOnlyKey(t *testing.T) {
	full := newSite(t)
	full.ok(t, "key", "capture-only", "web", "--output", full.dir+"/web.key")
	web := full.on(t, "web").with(envIdentityFile + "=" + full.dir + "/web.key")
	source := full.sourceOf(t, "file", "text")
	web.ok(t, "capture", "app="+source)
	must(t, os.RemoveAll(full.dir+"/state-web"))
	web.ok(t, "capture", "app="+source)

	before := full.objects(t)
	said := []string{"a capture-only key cannot read it", "try: the passphrase, or an identity"}
	for _, args := range [][]string{{"ls"}, {"points"}, {"cat", "latest/app/file"}, {"restore", "latest/app", full.dir + "/target"}, {"mount", t.TempDir()}, {"key", "add", "more"}} {
		web.refused(t, exitNoAccess, said, args...)
	}
	web.refused(t, exitNoAccess, []string{"--time needs the full key"}, "capture", "--time", "2019-07-18", "app="+source)
	web.refused(t, exitFailed, []string{"web.key: file exists"}, "key", "capture-only", "web", "--output", full.dir+"/web.key", "--identity", full.identity)
	full.unharmed(t, before)

	if got := full.ok(t, "cat", "hosts/web/latest/app/file"); got != "text" {
		t.Errorf("what it captured is %q", got)
	}
	if got := strings.Count(full.ok(t, "points", "--host", "web"), "\n"); got != 2 {
		t.Errorf("it made %d points, not 2", got)
	}
}

// TestSecretsStaySecret: neither the process list nor any message, nor any file
// that the program writes, has a passphrase or a secret key in it.
func TestSecretsStaySecret(t *testing.T) {
	needFUSE(t)
	s := newEmptySite(t)
	const passphrase = "correct-horse-battery-staple"
	writeFile(t, s.dir+"/passphrase", passphrase+"\n")
	recipient := s.newIdentity(t, "identity")
	key, err := os.ReadFile(s.identity)
	must(t, err)

	byPassphrase := s.with(envIdentityFile+"=", envPassphraseFile+"="+s.dir+"/passphrase")
	var said strings.Builder
	for _, run := range []result{
		byPassphrase.run(t, "init", "-v"),
		byPassphrase.run(t, "key", "add", "-v", "--to", recipient, "second"),
		s.run(t, "key", "capture-only", "-v", "web", "--output", s.dir+"/web.key"),
		s.run(t, "capture", "-v", "app="+s.sourceOf(t, "file", "text")),
		s.run(t, "ls", "-v", "latest/app"),
		s.with(envIdentityFile+"="+s.dir+"/web.key").run(t, "capture", "-v", "app="+s.dir+"/source"),
		s.with(envIdentityFile+"="+s.dir+"/web.key").run(t, "ls", "-v"),
	} {
		said.WriteString(run.out + run.err)
	}
	m := byPassphrase.mount(t, "-v")
	command(t, "cat", m.dir+"/hosts/web/latest/app/file")
	for _, name := range []string{"cmdline", "environ"} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", m.cmd.Process.Pid, name))
		must(t, err)
		if !bytes.Contains(text, []byte(s.dir)) {
			t.Fatalf("%s of the mount is %q: is this test blind?", name, text)
		}
		said.Write(text)
	}
	said.WriteString(m.said())

	webKey, err := os.ReadFile(s.dir + "/web.key")
	must(t, err)
	secrets := []string{passphrase, strings.TrimSpace(string(key))}
	for _, word := range strings.Fields(string(webKey)) {
		if len(word) > 40 { // the others are names
			secrets = append(secrets, word)
		}
	}
	if len(secrets) < 3 {
		t.Fatalf("a capture-only key is %q", webKey)
	}
	for _, dir := range []string{s.repo, s.dir + "/state-box"} {
		for name := range (&site{repo: dir}).objects(t) {
			text, err := os.ReadFile(dir + "/" + name)
			must(t, err)
			said.Write(text)
		}
	}
	for _, secret := range secrets {
		if i := strings.Index(said.String(), secret); i >= 0 {
			t.Errorf("%q is told: %.500q", secret, said.String()[i:])
		}
	}
}

// A stopped is a command that was stopped while it is at work.
type stopped struct {
	cmd    *exec.Cmd
	output bytes.Buffer
}

// stopInside starts a command, and stops it once it has locked the state of this machine.
func (s *site) stopInside(t *testing.T, args ...string) *stopped {
	t.Helper()
	c := &stopped{cmd: s.command(t, args...)}
	c.cmd.Stdout, c.cmd.Stderr = &c.output, &c.output
	must(t, c.cmd.Start())
	t.Cleanup(func() { _ = c.cmd.Process.Signal(syscall.SIGCONT) }) // a stopped process does not hear SIGTERM
	eventually(t, "the command has begun", func() bool {
		locks, err := filepath.Glob(s.dir + "/state-" + s.host + "/*/*/lock")
		must(t, err)
		return len(locks) > 0
	})
	must(t, c.cmd.Process.Signal(syscall.SIGSTOP))
	eventually(t, "it is stopped", func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c.cmd.Process.Pid))
		must(t, err)
		if strings.Contains(string(stat), ") Z ") {
			t.Fatalf("%q was done before it could be stopped", args)
		}
		return strings.Contains(string(stat), ") T ")
	})
	return c
}

// resume lets the command go on to its end, which must be a good one.
func (c *stopped) resume(t *testing.T) {
	t.Helper()
	must(t, c.cmd.Process.Signal(syscall.SIGCONT))
	if err := c.cmd.Wait(); err != nil {
		t.Fatalf("%q: %v\n%s", c.cmd.Args, err, &c.output)
	}
}

// sourceOf makes a directory to capture, with one file.
func (s *site) sourceOf(t *testing.T, name, text string) string {
	t.Helper()
	writeFile(t, s.dir+"/source/"+name, text)
	return s.dir + "/source"
}

// unharmed fails the test unless the repository has the objects that it had.
func (s *site) unharmed(t *testing.T, before map[string]int64) {
	t.Helper()
	if after := s.objects(t); !maps.Equal(before, after) {
		t.Errorf("the repository's objects are\n%v\nand were\n%v", after, before)
	}
}
