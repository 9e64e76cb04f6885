package keys_test

import (
	"bytes"
	"crypto/ed25519"
	"strings"
	"testing"

	"tidemark/keys"
)

func TestCaptureKeyText(t *testing.T) {
	k, err := secret(t).CaptureOnly("web1", "web", keys.NewPrivateKey(pattern(0x77)))
	if err != nil {
		t.Fatal(err)
	}
	if got := k.Encode(); string(got) != fixedCaptureKey {
		t.Fatalf("Encode gives\n%s\nwant\n%s", got, fixedCaptureKey)
	}
	back, err := keys.ParseCaptureKey(k.Encode())
	if err != nil {
		t.Fatal(err)
	}
	if got := back.Encode(); string(got) != fixedCaptureKey {
		t.Errorf("ParseCaptureKey and Encode give\n%s\nwant\n%s", got, fixedCaptureKey)
	}
	s := secret(t)
	group := must(s.Group(7, "web"))
	switch {
	case back.Repository != s.Repository, back.Host != "web1", back.Recipient != fixedRecipient:
		t.Errorf("it reads back as of repository %s, host %s, recipient %s", back.Repository, back.Host, back.Recipient)
	case back.Group.Secret() != group.Secret(), back.Group.IndexID() != group.IndexID(), back.Group.Name != "web", back.Group.Epoch != 7:
		t.Errorf("it reads back with another group: %v", back.Group)
	case back.Chunking() != s.Chunking(), !back.Verify().Equal(s.Verify()):
		t.Error("it reads back with another chunking key or verifying key")
	case must(back.Names().Host("db")) != must(s.Names().Host("db")):
		t.Error("it seals names in another way")
	case !ed25519.Verify(back.Signing().Public(), []byte("x"), keys.NewPrivateKey(pattern(0x77)).Sign([]byte("x"))):
		t.Error("it has another signing key")
	}
}

// TestCaptureKeyRun makes a run with the capture-only key, and opens it with
// the secret: of the newest epoch and for the newest identity only.
func TestCaptureKeyRun(t *testing.T) {
	k, err := keys.ParseCaptureKey([]byte(fixedCaptureKey))
	if err != nil {
		t.Fatal(err)
	}
	run, err := k.NewRun(counter(1))
	if err != nil {
		t.Fatal(err)
	}
	got, err := secret(t).OpenRun(run.Sealed)
	if err != nil {
		t.Fatal(err)
	}
	if got.Encode() != run.Secret.Encode() || got.ID() != run.ID || got.Group != "web" || got.Epoch != 7 {
		t.Errorf("the run of a capture-only key opens as another: %v", got.ID())
	}
}

func TestCaptureOnlyRefuses(t *testing.T) {
	s := secret(t)
	sign := keys.NewPrivateKey(pattern(1))
	_, err := s.CaptureOnly("", "web", sign)
	wantReason(t, err, "length")
	_, err = s.CaptureOnly("web1", "..", sign)
	wantReason(t, err, "text")
	if _, err := s.CaptureOnly("web1", "web", keys.PrivateKey{}); err == nil {
		t.Error("CaptureOnly accepts no signing key")
	}
}

func TestParseCaptureKeyRefuses(t *testing.T) {
	line := func(n int) string { return strings.SplitAfter(fixedCaptureKey, "\n")[n] }
	upper := strings.ToUpper(fixedRecipient)
	testTextCases(t, fixedCaptureKey, []textCase{
		{"the title of a secret", "tidemark capture-only key 1", "tidemark secret 1", "magic"},
		{"a later version", "capture-only key 1", "capture-only key 10", "version"},
		{"a short id", "0001020304", "01020304", "length"},
		{"no host", "host web1", "host ", "length"},
		{"a long host", "host web1", "host " + strings.Repeat("x", 65), "length"},
		{"a host with a slash", "host web1", "host w/b1", "text"},
		{"epoch 0", "group 7", "group 0", "range"},
		{"no group name", " web\n", "\n", "length"},
		{"an empty group name", " web\n", " \n", "length"},
		{"a group called ..", " web\n", " ..\n", "text"},
		{"a short group secret", "group 7 2b", "group 7 ", "length"},
		{"an upper-case recipient", fixedRecipient, upper, "text"},
		{"an SSH recipient", fixedRecipient, "ssh-ed25519 AAAA", "text"},
		{"a plugin's recipient", fixedRecipient, "age1yubikey1qwt", "text"},
		{"an identity for a recipient", line(4), "recipient AGE-SECRET-KEY-19SNVQ03ETFAH765NZGNVA3S2QZ20ZVU66L3W6GF8035F98LY633SVTDAZZ\n", "text"},
		{"lines out of order", line(5) + line(6), line(6) + line(5), "text"},
		{"an upper-case key", "verify d7", "verify D7", "text"},
		{"a line after the end", line(8), line(8) + "\n", "trailing"},
		{"too much of it", line(8), line(8) + strings.Repeat("x", keys.MaxKeyFile), "limit"},
	}, func(b []byte) error {
		_, err := keys.ParseCaptureKey(b)
		return err
	})
}

func FuzzCaptureKey(f *testing.F) {
	f.Add([]byte(fixedCaptureKey))
	s := generate(f, true)
	f.Add(must(s.CaptureOnly("é è", "a b", s.HostKey(1, "é è"))).Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := keys.ParseCaptureKey(b)
		if err != nil {
			return
		}
		if got := k.Encode(); !bytes.Equal(got, b) {
			t.Fatalf("parsed %q, wrote back %q", b, got)
		}
	})
}
