package keys

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"filippo.io/age"
	"filippo.io/age/agessh"
	"filippo.io/age/armor"
	"filippo.io/age/plugin"
	"golang.org/x/crypto/ssh"
)

// A UI asks the person who uses the program, when an identity or a plugin
// needs that. A nil func means that nobody can be asked: what needs it fails.
type UI struct {
	// Secret asks for a passphrase or a PIN; what says for which thing.
	Secret func(what string) ([]byte, error)

	// Value asks for something that may be seen when it is typed.
	Value func(what string) (string, error)

	// Confirm asks a question and reports whether the answer was yes. no is
	// empty if there is nothing to choose.
	Confirm func(question, yes, no string) (bool, error)

	// Message shows a line, as "touch your token". It may be called while
	// another of these waits for an answer.
	Message func(text string)
}

func (ui UI) client() *plugin.ClientUI {
	c := new(plugin.ClientUI)
	if ui.Message != nil {
		c.DisplayMessage = func(name, message string) error {
			ui.Message("age-plugin-" + name + ": " + message)
			return nil
		}
		c.WaitTimer = func(name string) { ui.Message("waiting for age-plugin-" + name) }
	}
	c.RequestValue = func(name, prompt string, secret bool) (string, error) {
		what := "age-plugin-" + name + ": " + prompt
		if secret {
			b, err := ui.secret(what)
			return string(b), err
		}
		if ui.Value == nil {
			return "", errNobody
		}
		return ui.Value(what)
	}
	if ui.Confirm != nil {
		c.Confirm = func(name, prompt, yes, no string) (bool, error) {
			return ui.Confirm("age-plugin-"+name+": "+prompt, yes, no)
		}
	}
	return c
}

var errNobody = errors.New("nobody can be asked for it here")

func (ui UI) secret(what string) ([]byte, error) {
	if ui.Secret == nil {
		return nil, errNobody
	}
	return ui.Secret(what)
}

// A Recipient is whom a secret may be sealed to: an age or SSH public key, a
// plugin's, or a passphrase.
type Recipient struct {
	age  func() age.Recipient // holds a passphrase, perhaps
	text string
}

func newRecipient(r age.Recipient, text string) Recipient {
	return Recipient{func() age.Recipient { return r }, text}
}

// String returns the recipient as it was written, or "passphrase".
func (r Recipient) String() string { return r.text }

// ParseRecipient reads a recipient: age1…, age1pq1… (post-quantum),
// ssh-ed25519 …, ssh-rsa …, or that of a plugin. ui serves plugins.
func ParseRecipient(s string, ui UI) (Recipient, error) {
	var r age.Recipient
	var err error
	switch {
	case strings.HasPrefix(s, "age1pq1"):
		r, err = age.ParseHybridRecipient(s)
	case strings.HasPrefix(s, "age1") && strings.Count(s, "1") > 1:
		r, err = plugin.NewRecipient(s, ui.client())
	case strings.HasPrefix(s, "age1"):
		r, err = age.ParseX25519Recipient(s)
	case strings.HasPrefix(s, "ssh-"):
		r, err = agessh.ParseRecipient(s)
	case strings.HasPrefix(s, "AGE-"):
		return Recipient{}, errors.New("keys: recipient: this is an age identity, which is secret; give its recipient (age-keygen -y prints it)")
	default: // it is not repeated, for it may be secret
		return Recipient{}, errors.New("keys: recipient: want one that begins with age1, ssh-ed25519 or ssh-rsa")
	}
	if err != nil {
		return Recipient{}, fmt.Errorf("keys: recipient %.80q: %w", s, err)
	}
	return newRecipient(r, s), nil
}

// The work of scrypt, as powers of two, which is also its memory: 2^17 takes
// 128 MiB and half a second. Age's own default, 2^18, takes all the memory
// that a capture or a mount may use. The most that is accepted of a file, which
// whoever can write to the store may have made, takes 1 GiB.
const (
	scryptWork    = 17
	scryptMaxWork = 20
)

// PassphraseRecipient returns the recipient who knows the passphrase p.
// Sealing to it, and opening, takes about half a second, by age's scrypt.
func PassphraseRecipient(p []byte) (Recipient, error) { return passphraseRecipient(p, scryptWork) }

// passphraseRecipient is [PassphraseRecipient] with 2^logN of scrypt's work.
func passphraseRecipient(p []byte, logN int) (Recipient, error) {
	r, err := age.NewScryptRecipient(string(p))
	if err != nil {
		return Recipient{}, fmt.Errorf("keys: passphrase: %w", err)
	}
	r.SetWorkFactor(logN)
	return newRecipient(r, "passphrase"), nil
}

// An Identity opens what is sealed to its recipient. It cannot be printed.
type Identity struct{ age func() age.Identity }

func newIdentity(id age.Identity) Identity { return Identity{func() age.Identity { return id }} }

// Format writes a placeholder, whatever the verb.
func (Identity) Format(f fmt.State, _ rune) { io.WriteString(f, "keys.Identity(redacted)") }

// PassphraseIdentity returns the identity of who knows the passphrase p. It
// refuses files that ask for more than 2^20 of scrypt's work.
func PassphraseIdentity(p []byte) (Identity, error) {
	id, err := age.NewScryptIdentity(string(p))
	if err != nil {
		return Identity{}, fmt.Errorf("keys: passphrase: %w", err)
	}
	id.SetMaxWorkFactor(scryptMaxWork)
	return newIdentity(id), nil
}

// MaxIdentityFile bounds a file of identities, in bytes: thousands of them.
const MaxIdentityFile = 1 << 20

// ParseIdentities reads a file of identities: one a line as age-keygen writes
// them, those of plugins, the same sealed by age to a passphrase, or an
// OpenSSH private key. ui serves passphrases of such files, and plugins.
// Errors do not repeat what the file says.
func ParseIdentities(file []byte, ui UI) ([]Identity, error) {
	if len(file) > MaxIdentityFile {
		return nil, fmt.Errorf("keys: identity file: %d bytes, at most %d are read", len(file), MaxIdentityFile)
	}
	trimmed := bytes.TrimSpace(file)
	switch {
	case bytes.HasPrefix(trimmed, []byte(armor.Header)):
		plain, err := io.ReadAll(armor.NewReader(bytes.NewReader(trimmed)))
		if err != nil {
			return nil, fmt.Errorf("keys: identity file: %w", err)
		}
		return parseSealedIdentities(plain, ui)
	case bytes.HasPrefix(file, []byte("age-encryption.org/")):
		return parseSealedIdentities(file, ui)
	case bytes.HasPrefix(trimmed, []byte("-----BEGIN")):
		return parseSSH(file, ui)
	}
	return parseIdentityLines(file, ui)
}

func parseSealedIdentities(file []byte, ui UI) ([]Identity, error) {
	if !HasPassphrase(file) {
		return nil, errors.New("keys: identity file: it is sealed by age, but not to a passphrase; open it with age first")
	}
	p, err := ui.secret("the identity file")
	if err != nil {
		return nil, fmt.Errorf("keys: identity file: its passphrase: %w", err)
	}
	id, err := PassphraseIdentity(p)
	if err != nil {
		return nil, err
	}
	plain, err := decrypt("identity file", file, MaxIdentityFile, []age.Identity{id.age()}, ErrWrongKey)
	if err != nil {
		return nil, err
	}
	return parseIdentityLines(plain, ui)
}

func parseSSH(pem []byte, ui UI) ([]Identity, error) {
	id, err := agessh.ParseIdentity(pem)
	if sealed, ok := errors.AsType[*ssh.PassphraseMissingError](err); ok {
		if sealed.PublicKey == nil {
			return nil, errors.New("keys: SSH key: its old format hides the public key; convert it with ssh-keygen -p")
		}
		id, err = agessh.NewEncryptedSSHIdentity(sealed.PublicKey, pem, func() ([]byte, error) {
			return ui.secret("the SSH key " + ssh.FingerprintSHA256(sealed.PublicKey))
		})
	}
	if err != nil {
		return nil, fmt.Errorf("keys: SSH key: %w", err)
	}
	return []Identity{newIdentity(id)}, nil
}

func parseIdentityLines(file []byte, ui UI) ([]Identity, error) {
	var ids []Identity
	lines := bufio.NewScanner(bytes.NewReader(file))
	lines.Buffer(nil, MaxIdentityFile+1)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		if id, ok := parseIdentity(line); ok {
			ids = append(ids, Identity{id.id})
			continue
		}
		id, err := plugin.NewIdentity(line, ui.client())
		if err != nil {
			return nil, fmt.Errorf("keys: identity file: line %d: no age identity, and none of a plugin", n)
		}
		ids = append(ids, newIdentity(id))
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("keys: identity file: %w", err)
	}
	if len(ids) == 0 {
		return nil, errors.New("keys: identity file: it holds no identity")
	}
	return ids, nil
}

// Seal returns a key file: s, sealed to one recipient.
func (s *Secret) Seal(to Recipient) ([]byte, error) {
	file, err := encrypt(s.Encode(), to.age())
	if err != nil {
		return nil, fmt.Errorf("keys: sealing the secret to %s: %w", to, err)
	}
	if len(file) > MaxKeyFile {
		return nil, fmt.Errorf("keys: sealing the secret to %s: age made %d bytes, the format allows %d", to, len(file), MaxKeyFile)
	}
	return file, nil
}

// OpenSecret opens a key file. Its error wraps [ErrWrongKey] if none of the
// identities opens it, and is a [*FormatError] if the file is damaged.
func OpenSecret(file []byte, with []Identity) (*Secret, error) {
	if len(file) > MaxKeyFile {
		return nil, malformed("key file", "limit", "%d bytes, at most %d are allowed", len(file), MaxKeyFile)
	}
	ids := make([]age.Identity, len(with))
	for i, id := range with {
		ids[i] = id.age()
	}
	plain, err := decrypt("key file", file, MaxKeyFile, ids, ErrWrongKey)
	if err != nil {
		return nil, err
	}
	return ParseSecret(plain)
}

// HasPassphrase reports whether file is sealed by age to a passphrase.
func HasPassphrase(file []byte) bool {
	var probe probe
	_, _ = age.Decrypt(bytes.NewReader(file), &probe)
	return probe.passphrase
}

// A probe is an identity that opens nothing, and remembers whether it was
// asked to open something that is sealed to a passphrase.
type probe struct{ passphrase bool }

func (p *probe) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	for _, s := range stanzas {
		p.passphrase = p.passphrase || s.Type == "scrypt"
	}
	return nil, age.ErrIncorrectIdentity
}
