package keys_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"

	"tidemark/keys"
)

func TestSecretText(t *testing.T) {
	if got := secret(t).Encode(); string(got) != fixedSecret {
		t.Errorf("Encode gives\n%s\nwant\n%s", got, fixedSecret)
	}
	for _, postQuantum := range []bool{false, true} {
		s := generate(t, postQuantum)
		back, err := keys.ParseSecret(s.Encode())
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(back.Encode(), s.Encode()) || back.Repository != s.Repository {
			t.Errorf("a generated secret (post-quantum %t) does not survive Encode and ParseSecret", postQuantum)
		}
	}
}

func TestParseSecretRefuses(t *testing.T) {
	line := func(n int) string { return strings.SplitAfter(fixedSecret, "\n")[n] }
	testTextCases(t, fixedSecret, []textCase{
		{"another title", "tidemark secret 1", "tidemark public 1", "magic"},
		{"a later version", "tidemark secret 1", "tidemark secret 2", "version"},
		{"an upper-case id", "090a0b", "090A0b", "text"},
		{"a short id", "0001020304", "01020304", "length"},
		{"no identity", line(2) + line(3), "", "text"},
		{"a lower-case identity", line(2), strings.ToLower(line(2)), "text"},
		{"an identity with a typing error", "19SNVQ", "19SNVP", "text"},
		{"an SSH key for an identity", line(2), "identity ssh-ed25519 AAAA\n", "text"},
		{"a key of 31 bytes", "names 11", "names ", "length"},
		{"a key that is not hex", "names 11", "names 1g", "text"},
		{"an upper-case key", "records 22", "records 2A", "text"},
		{"lines out of order", line(4) + line(5), line(5) + line(4), "text"},
		{"a line twice", line(4), line(4) + line(4), "text"},
		{"a line missing", line(6), "", "text"},
		{"two spaces", "names 11", "names  11", "length"},
		{"a carriage return", "groups 1 ", "groups 1\r ", "text"},
		{"no epoch", line(8) + line(9), "", "truncated"},
		{"an epoch with a zero before it", "groups 7", "groups 07", "text"},
		{"an epoch with a sign", "groups 7", "groups +7", "text"},
		{"epoch 0", "groups 1 ", "groups 0 ", "range"},
		{"an epoch of 33 bits", "groups 7 ", "groups 4294967296 ", "range"},
		{"an epoch of 65 bits", "groups 7 ", "groups 18446744073709551616 ", "text"},
		{"epochs that fall", "groups 1 ", "groups 9 ", "order"},
		{"an epoch twice", "groups 1 ", "groups 7 ", "duplicate"},
		{"an epoch without a key", line(9), "groups 7\n", "length"},
		{"a line after the end", line(9), line(9) + "x\n", "trailing"},
		{"an empty line after the end", line(9), line(9) + "\n", "trailing"},
		{"too much of it", line(9), line(9) + strings.Repeat("x", keys.MaxKeyFile), "limit"},
	}, func(b []byte) error {
		_, err := keys.ParseSecret(b)
		return err
	})
}

// TestDerived compares what is derived from a known secret with what another
// program computed, Python's hmac and cryptography.
func TestDerived(t *testing.T) {
	s := secret(t)
	group, err := s.Group(7, "web")
	if err != nil {
		t.Fatal(err)
	}
	groupSecret, indexID := group.Secret(), group.IndexID()
	hostKey := s.HostKey(2, "web1")
	run := keys.RunSecret{Key: keys.NewKey(pattern(0x77)), Epoch: 7, Group: "web"}
	for _, tt := range []struct{ name, got, want string }{
		{"group secret", hex.EncodeToString(groupSecret[:]), "2b7aa50a1900ed8febc39ef259add8457463b7d6e6ddd8ccc8a3f1ebdc1384c0"},
		{"index id", hex.EncodeToString(indexID[:]), "59aeee5cd3370db1c0162eed643e55f4"},
		{"host's public key", hex.EncodeToString(hostKey.Public()), "49ad15c58ac63d7af9142654b126dba401575bc8dbff253d09b1953e6dbc87b6"},
		{"repository's public key", hex.EncodeToString(s.Verify()), "d759793bbc13a2819a827c76adb6fba8a49aee007f49f2d0992d99b825ad2c48"},
		{"run id", run.ID().String(), "dbe2cd31e8f55ea787fbb125c02a9c20"},
		{"recipient", s.Recipient(), fixedRecipient},
	} {
		if tt.got != tt.want {
			t.Errorf("%s is %s, want %s", tt.name, tt.got, tt.want)
		}
	}
	if got := s.Chunking(); got != pattern(0x33) {
		t.Errorf("chunking key is %x", got)
	}
}

func TestKeysDiffer(t *testing.T) {
	s := secret(t)
	seen := map[string]string{}
	add := func(what string, b []byte) {
		if other, ok := seen[string(b)]; ok {
			t.Errorf("%s equals %s", what, other)
		}
		seen[string(b)] = what
	}
	for _, epoch := range s.Epochs() {
		for _, name := range []string{"web", "web2", "db"} {
			g := must(s.Group(epoch, name))
			secret, id := g.Secret(), g.IndexID()
			add("a group's secret", secret[:])
			add("a group's index id", id[:])
		}
	}
	for n := range uint32(3) {
		add("a host key", s.HostKey(n, "web").Public())
		add("a host key", s.HostKey(n, "db").Public())
	}
	add("the repository's key", s.Verify())
}

func TestGroupOfUnknownEpoch(t *testing.T) {
	s := secret(t)
	if _, err := s.Group(8, "web"); !errors.Is(err, keys.ErrNotForUs) {
		t.Errorf("Group(8) = %v, want ErrNotForUs", err)
	}
	_, err := s.Group(7, "a/b")
	wantReason(t, err, "text")
}

func TestRotate(t *testing.T) {
	old := secret(t)
	oldRun := must(old.NewRun(counter(9), "web"))
	s, err := old.Rotate(counter(3), true)
	if err != nil {
		t.Fatal(err)
	}
	if s.Epoch() != 8 || !slices.Equal(s.Epochs(), []uint32{1, 7, 8}) || old.Epoch() != 7 {
		t.Errorf("epochs are %v after Rotate of %v", s.Epochs(), old.Epochs())
	}
	if !s.Better(old) || old.Better(s) || s.Better(s) {
		t.Error("Better does not prefer the rotated secret")
	}
	run := must(s.NewRun(counter(7), "web"))
	if run.Secret.Epoch != 8 {
		t.Errorf("a new run has epoch %d, want 8", run.Secret.Epoch)
	}
	if _, err := old.OpenRun(run.Sealed); !errors.Is(err, keys.ErrNotForUs) {
		t.Errorf("the old secret opens a new run: %v", err)
	}
	for _, r := range []*keys.Run{run, oldRun} {
		if got, err := s.OpenRun(r.Sealed); err != nil || got.ID() != r.ID {
			t.Errorf("the rotated secret does not open run %s: %v", r.ID, err)
		}
	}
	back, err := keys.ParseSecret(s.Encode())
	if err != nil || !bytes.Equal(back.Encode(), s.Encode()) {
		t.Errorf("a rotated secret does not survive Encode and ParseSecret: %v", err)
	}
}

func TestRotateInLastEpoch(t *testing.T) {
	s, err := keys.ParseSecret([]byte(strings.Replace(fixedSecret, "groups 7", "groups 4294967295", 1)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Rotate(counter(1), false); err == nil {
		t.Error("Rotate goes on from the last epoch")
	}
}

func TestBetterByIdentities(t *testing.T) {
	one, err := keys.ParseSecret([]byte(strings.Replace(fixedSecret, strings.SplitAfter(fixedSecret, "\n")[3], "", 1)))
	if err != nil {
		t.Fatal(err)
	}
	if two := secret(t); !two.Better(one) || one.Better(two) {
		t.Error("Better does not prefer the secret with more identities")
	}
}

func FuzzSecret(f *testing.F) {
	f.Add([]byte(fixedSecret))
	f.Add(generate(f, false).Encode())
	f.Add(generate(f, true).Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := keys.ParseSecret(b)
		if err != nil {
			return
		}
		if got := s.Encode(); !bytes.Equal(got, b) {
			t.Fatalf("parsed %q, wrote back %q", b, got)
		}
	})
}
