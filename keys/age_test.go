package keys_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"filippo.io/age"
	"filippo.io/age/armor"
	"filippo.io/age/plugin"
	"golang.org/x/crypto/ssh"

	"tidemark/keys"
)

// pluginName is the plugin that this test binary is when it is called by its
// name.
const pluginName = "tidetest"

func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "age-plugin-"+pluginName {
		os.Exit(runPlugin())
	}
	os.Exit(m.Run())
}

// runPlugin is an age plugin. Its recipients are X25519 keys under another
// name; its identities are text, and it asks for a PIN before it opens.
func runPlugin() int {
	p := must(plugin.New(pluginName))
	p.HandleRecipient(func(data []byte) (age.Recipient, error) {
		return age.ParseX25519Recipient(string(data))
	})
	p.HandleIdentity(func(data []byte) (age.Identity, error) {
		id, err := age.ParseX25519Identity(string(data))
		return pinIdentity{p, id}, err
	})
	return p.Main()
}

type pinIdentity struct {
	p  *plugin.Plugin
	id age.Identity
}

func (i pinIdentity) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	if err := i.p.DisplayMessage("touch it"); err != nil {
		return nil, err
	}
	if pin, err := i.p.RequestValue("PIN", true); err != nil || pin != "1234" {
		return nil, errors.New("wrong PIN")
	}
	if name, err := i.p.RequestValue("name", false); err != nil || name != "ada" {
		return nil, errors.New("wrong name")
	}
	if yes, err := i.p.Confirm("open it?", "yes", "no"); err != nil || !yes {
		return nil, errors.New("not confirmed")
	}
	return i.id.Unwrap(stanzas)
}

// pluginUI answers what the plugin asks.
func pluginUI(log *[]string) keys.UI {
	answer := func(what string) { *log = append(*log, what) }
	return keys.UI{
		Secret:  func(what string) ([]byte, error) { answer(what); return []byte("1234"), nil },
		Value:   func(what string) (string, error) { answer(what); return "ada", nil },
		Confirm: func(question, yes, no string) (bool, error) { answer(question); return true, nil },
		Message: func(text string) { answer(text) },
	}
}

// TestKeyFiles seals a secret to every sort of recipient, and opens it with
// its identity and with no other.
func TestKeyFiles(t *testing.T) {
	dir := t.TempDir()
	if err := os.Symlink(must(os.Executable()), filepath.Join(dir, "age-plugin-"+pluginName)); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	x, pq := must(age.GenerateX25519Identity()), must(age.GenerateHybridIdentity())
	open, locked := newSSHKey(""), lockedSSHKey()
	var asked []string
	sorts := []struct{ name, recipient, identity string }{
		{"X25519", x.Recipient().String(), "# a comment\n\n" + x.String() + "\r\n"},
		{"post-quantum", pq.Recipient().String(), pq.String()},
		{"SSH", open.public, open.private},
		{"SSH with a passphrase", locked.public, locked.private},
		{"plugin", plugin.EncodeRecipient(pluginName, []byte(x.Recipient().String())), plugin.EncodeIdentity(pluginName, []byte(x.String()))},
		{"passphrase", "", ""},
	}
	ui := pluginUI(&asked)
	ui.Secret = func(what string) ([]byte, error) {
		asked = append(asked, what)
		if strings.HasPrefix(what, "the SSH key") {
			return []byte("open sesame"), nil
		}
		return []byte("1234"), nil
	}
	s := secret(t)
	files, identities := make([][]byte, len(sorts)), make([][]keys.Identity, len(sorts))
	for i, sort := range sorts {
		to, err := keys.FastPassphraseRecipient([]byte("correct horse"))
		identities[i] = []keys.Identity{must(keys.PassphraseIdentity([]byte("correct horse")))}
		if sort.recipient != "" {
			to, err = keys.ParseRecipient(sort.recipient, ui)
			if got := to.String(); got != sort.recipient {
				t.Errorf("%s: the recipient %s prints as %s", sort.name, sort.recipient, got)
			}
			identities[i] = must(keys.ParseIdentities([]byte(sort.identity), ui))
		}
		if err != nil {
			t.Fatalf("%s: %v", sort.name, err)
		}
		if files[i], err = s.Seal(to); err != nil {
			t.Fatalf("%s: %v", sort.name, err)
		}
		if got := keys.HasPassphrase(files[i]); got != (sort.recipient == "") {
			t.Errorf("%s: HasPassphrase = %t", sort.name, got)
		}
	}
	for i, sort := range sorts {
		for j, other := range sorts {
			got, err := keys.OpenSecret(files[i], identities[j])
			same := i == j || sort.name+other.name == "pluginX25519" || sort.name+other.name == "X25519plugin"
			switch {
			case same && (err != nil || string(got.Encode()) != fixedSecret):
				t.Errorf("a file sealed to %s does not open with %s: %v", sort.name, other.name, err)
			case !same && !errors.Is(err, keys.ErrWrongKey):
				t.Errorf("a file sealed to %s, opened with %s: %v; want ErrWrongKey", sort.name, other.name, err)
			}
		}
	}
	for _, want := range []string{"touch it", "age-plugin-tidetest: PIN", "age-plugin-tidetest: name", "open it?", "the SSH key SHA256:"} {
		if !strings.Contains(strings.Join(asked, "\n"), want) {
			t.Errorf("nobody was told or asked %q, but %q", want, asked)
		}
	}
	if _, err := keys.OpenSecret(files[0], nil); !errors.Is(err, keys.ErrWrongKey) {
		t.Errorf("OpenSecret with no identity: %v", err)
	}
	all := append(append([]keys.Identity{}, identities[5]...), identities[0]...)
	if _, err := keys.OpenSecret(files[0], all); err != nil {
		t.Errorf("OpenSecret with a passphrase and the right identity: %v", err)
	}
}

// TestNobodyToAsk: without a UI what needs one fails, with a word about it.
func TestNobodyToAsk(t *testing.T) {
	locked := lockedSSHKey()
	file := must(secret(t).Seal(must(keys.ParseRecipient(locked.public, keys.UI{}))))
	ids := must(keys.ParseIdentities([]byte(locked.private), keys.UI{}))
	if _, err := keys.OpenSecret(file, ids); err == nil || !strings.Contains(err.Error(), "nobody can be asked") {
		t.Errorf("OpenSecret with a locked SSH key and no UI: %v", err)
	}
	missing := must(keys.ParseIdentities([]byte(plugin.EncodeIdentity("missing", nil)), keys.UI{}))
	if _, err := keys.OpenSecret(file, missing); err == nil || errors.Is(err, keys.ErrWrongKey) {
		t.Errorf("OpenSecret with a plugin that is not installed: %v", err)
	}
}

func TestSealedIdentityFile(t *testing.T) {
	x := must(age.GenerateX25519Identity())
	file := must(secret(t).Seal(must(keys.ParseRecipient(x.Recipient().String(), keys.UI{}))))
	r := must(age.NewScryptRecipient("pass"))
	r.SetWorkFactor(10)
	var sealed bytes.Buffer
	w := must(age.Encrypt(&sealed, r))
	fmt.Fprintf(w, "# created by somebody\n%s\n", x)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	var armored bytes.Buffer
	a := armor.NewWriter(&armored)
	must(a.Write(sealed.Bytes()))
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	ui := func(answer string) keys.UI {
		return keys.UI{Secret: func(what string) ([]byte, error) { return []byte(answer), nil }}
	}
	for _, b := range [][]byte{sealed.Bytes(), armored.Bytes()} {
		ids, err := keys.ParseIdentities(b, ui("pass"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := keys.OpenSecret(file, ids); err != nil {
			t.Error(err)
		}
		if _, err := keys.ParseIdentities(b, ui("wrong")); !errors.Is(err, keys.ErrWrongKey) {
			t.Errorf("a wrong passphrase: %v, want ErrWrongKey", err)
		}
		if _, err := keys.ParseIdentities(b, keys.UI{}); err == nil {
			t.Error("a sealed identity file opens without its passphrase")
		}
	}
	if _, err := keys.ParseIdentities(file, ui("pass")); err == nil || !strings.Contains(err.Error(), "not to a passphrase") {
		t.Errorf("an identity file sealed to a recipient: %v", err)
	}
}

func TestParseIdentitiesRefuses(t *testing.T) {
	x := must(age.GenerateX25519Identity())
	for name, file := range map[string]string{
		"empty":                    "",
		"only a comment":           "# hello\n",
		"a recipient":              x.Recipient().String(),
		"a typing error":           x.String()[:20] + "Q" + x.String()[21:],
		"lower case":               strings.ToLower(x.String()),
		"too long":                 strings.Repeat("#\n", keys.MaxIdentityFile),
		"an SSH key cut short":     "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n",
		"another key":              string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")})),
		"a sealed file cut short":  "age-encryption.org/v1\n",
		"an armored file cut":      armor.Header + "\n",
		"two on a line":            x.String() + " " + x.String(),
		"one that is damaged last": x.String() + "\nAGE-SECRET-KEY-1\n",
	} {
		_, err := keys.ParseIdentities([]byte(file), keys.UI{})
		if err == nil {
			t.Errorf("%s: ParseIdentities accepts it", name)
		} else if strings.Contains(strings.ToUpper(err.Error()), x.String()[16:40]) {
			t.Errorf("%s: the error repeats the key: %v", name, err)
		}
	}
}

func TestParseRecipientRefuses(t *testing.T) {
	x := must(age.GenerateX25519Identity())
	for _, s := range []string{"", "age1", x.Recipient().String() + "q", "ssh-dss AAAA", "ssh-ed25519 AAAA", "github:ada", x.String(), " " + x.String(), "age1pq1qqqq"} {
		_, err := keys.ParseRecipient(s, keys.UI{})
		if err == nil {
			t.Errorf("ParseRecipient(%q) accepts it", s)
		} else if strings.Contains(err.Error(), x.String()) {
			t.Errorf("the error repeats an identity: %v", err)
		}
	}
	for _, sort := range []func([]byte) error{
		func(p []byte) error { _, err := keys.PassphraseRecipient(p); return err },
		func(p []byte) error { _, err := keys.PassphraseIdentity(p); return err },
	} {
		if sort(nil) == nil {
			t.Error("an empty passphrase is accepted")
		}
	}
}

func TestOpenSecretRefuses(t *testing.T) {
	x := must(age.GenerateX25519Identity())
	ids := must(keys.ParseIdentities([]byte(x.String()), keys.UI{}))
	file := must(secret(t).Seal(must(keys.ParseRecipient(x.Recipient().String(), keys.UI{}))))
	for _, tt := range []struct {
		name   string
		file   []byte
		reason string
	}{
		{"empty", nil, "text"},
		{"too long", make([]byte, keys.MaxKeyFile+1), "limit"},
		{"not age", []byte("hello"), "text"},
		{"an endless header", []byte("age-encryption.org/v1\n" + strings.Repeat("-> X a\n\n", 8000)), "text"},
		{"cut", file[:len(file)-1], "seal"},
		{"a byte more", append(bytes.Clone(file), 0), "seal"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := keys.OpenSecret(tt.file, ids)
			wantReason(t, err, tt.reason)
		})
	}
	for i := range file {
		file[i] ^= 1 << (i % 8)
		if _, err := keys.OpenSecret(file, ids); err == nil {
			t.Errorf("bit %d of byte %d can be flipped", i%8, i)
		}
		file[i] ^= 1 << (i % 8)
	}
}

// TestScryptWorkIsBounded: a forged file cannot make a reader work for hours.
func TestScryptWorkIsBounded(t *testing.T) {
	file := must(secret(t).Seal(must(keys.FastPassphraseRecipient([]byte("p")))))
	forged := bytes.Replace(file, []byte(" 10\n"), []byte(" 30\n"), 1)
	if bytes.Equal(forged, file) {
		t.Fatal("the work factor is not where it was thought to be")
	}
	_, err := keys.OpenSecret(forged, []keys.Identity{must(keys.PassphraseIdentity([]byte("p")))})
	if err == nil || !strings.Contains(err.Error(), "work factor") {
		t.Errorf("OpenSecret of a file that asks for 2^30 of work: %v", err)
	}
}

// TestAgeOpensKeyFile opens a key file with the age command.
func TestAgeOpensKeyFile(t *testing.T) {
	if _, err := exec.LookPath("age"); err != nil {
		t.Skip("no age command: apt-get install age")
	}
	x := must(age.GenerateX25519Identity())
	file := must(secret(t).Seal(must(keys.ParseRecipient(x.Recipient().String(), keys.UI{}))))
	identity := filepath.Join(t.TempDir(), "identity")
	if err := os.WriteFile(identity, []byte(x.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "age", "-d", "-i", identity)
	cmd.Stdin = bytes.NewReader(file)
	out, err := cmd.Output()
	if err != nil || string(out) != fixedSecret {
		t.Errorf("age -d gives %d bytes, %v", len(out), err)
	}
}

// An sshKey is an SSH key pair, as in an authorized_keys file and as in a
// private key file.
type sshKey struct{ public, private string }

// lockedSSHKey is made once: locking it takes seconds.
var lockedSSHKey = sync.OnceValue(func() sshKey { return newSSHKey("open sesame") })

func newSSHKey(passphrase string) sshKey {
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{9}, ed25519.SeedSize))
	block := must(ssh.MarshalPrivateKey(key, "test"))
	if passphrase != "" {
		key = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{8}, ed25519.SeedSize))
		block = must(ssh.MarshalPrivateKeyWithPassphrase(key, "test", []byte(passphrase)))
	}
	authorized := ssh.MarshalAuthorizedKey(must(ssh.NewPublicKey(key.Public())))
	return sshKey{strings.TrimSpace(string(authorized)), string(pem.EncodeToMemory(block))}
}
