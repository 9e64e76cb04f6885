package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"tidemark/catalog"
	"tidemark/keys"
)

func keyCommand(p *program) *cli.Command {
	return &cli.Command{
		Name:     "key",
		Category: groupSetup,
		Usage:    "add, list and remove what opens the repository",
		Description: `A repository opens with any of its keys: passphrases, age identities, SSH keys,
hardware tokens by age plugins. All of them give the same: everything. A
capture-only key is another thing: it adds points, and reads none.

Examples:
  tidemark key list -r /mnt/backup
  tidemark key add -r /mnt/backup --to "$(cat ~/.ssh/id_ed25519.pub)" laptop`,
		Subcommands: []*cli.Command{
			{
				Name:      "add",
				Usage:     "make one more passphrase or public key open the repository",
				ArgsUsage: "NAME",
				Description: `NAME is what the key is called in "key list": small letters, digits and ._-

Examples:
  tidemark key add office
  tidemark key add --to age1… safe
  tidemark key add --new-passphrase-file /root/second office`,
				Flags: []cli.Flag{
					&cli.StringFlag{Name: "to", Usage: "seal it to the age or SSH public key `RECIPIENT` instead of a passphrase"},
					&cli.StringFlag{Name: "new-passphrase-file", Usage: "read the new passphrase from `FILE` instead of asking for it"},
				},
				Action: p.action(addKey),
			},
			{
				Name:      "remove",
				Usage:     "remove a key",
				ArgsUsage: "KEY",
				Description: `KEY is a key as "key list" shows it, such as office-1. Whoever has used it may
have kept what it opens: that is not taken back. The last key cannot be removed.

Examples:
  tidemark key remove office-1`,
				Action: p.action(removeKey),
			},
			{
				Name:  "list",
				Usage: "list the keys",
				Description: `Needs no key itself.

Examples:
  tidemark key list
  tidemark key list --json`,
				Action: p.action(listKeys),
			},
			{
				Name:      "capture-only",
				Usage:     "make a key that adds points and reads none",
				ArgsUsage: "HOST",
				Description: `Enrols HOST, and writes its key to --output, or to standard output. Give the
file to "tidemark capture" on that host, as --identity. Hosts share stored
data only within a group, which is by default the host alone.

Examples:
  tidemark key capture-only web --output web.key
  tidemark capture -r /mnt/backup --identity web.key app=/srv/app`,
				Flags: []cli.Flag{
					&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "write the key to the new file `FILE`, readable by you only"},
					&cli.StringFlag{Name: "group", Usage: "put the host in the trust group `NAME`, if it is new"},
				},
				Action: p.action(captureOnlyKey),
			},
		},
	}
}

func addKey(c *cli.Context, s *settings) error {
	if err := wantArgs(c, 1, 1); err != nil {
		return err
	}
	label := c.Args().First()
	if _, err := catalog.ParseObjectName(keyObject(label, 1)); err != nil {
		return usageError("key add", "%s cannot be a key's name: 1 to 64 of a-z, 0-9, dot, dash and underscore", quoteName(label))
	}
	r, err := s.openRepository(c.Context, catalog.Writing)
	if err != nil {
		return err
	}
	defer r.close()
	to, err := newRecipient(c, s, r.name)
	if err != nil {
		return err
	}
	sealed, err := r.secret.Seal(to)
	if err != nil {
		return err
	}
	files, err := r.readKeys(c.Context)
	if err != nil {
		return err
	}
	n := uint64(1)
	for _, f := range files {
		if f.label == label {
			n = max(n, f.number+1)
		}
	}
	if err := r.put(c.Context, keyObject(label, n), sealed); err != nil {
		return err
	}
	s.note("Added key %s-%d.", label, n)
	return nil
}

func keyObject(label string, n uint64) string {
	return catalog.ObjectName{Area: catalog.KeyArea, Label: label, Number: n}.String()
}

// newRecipient returns whom a new key is sealed to.
func newRecipient(c *cli.Context, s *settings, name string) (keys.Recipient, error) {
	if text := c.String("to"); text != "" {
		to, err := keys.ParseRecipient(text, keys.UI{})
		if err != nil {
			return keys.Recipient{}, usageError("key add", "--to: %v", err)
		}
		return to, nil
	}
	// The passphrase file of the settings opens the repository; this is another.
	other := *s
	other.passphraseFile = c.String("new-passphrase-file")
	typed, err := other.newPassphrase(c.Context, name)
	if err != nil {
		return keys.Recipient{}, err
	}
	return keys.PassphraseRecipient([]byte(typed.reveal()))
}

func removeKey(c *cli.Context, s *settings) error {
	if err := wantArgs(c, 1, 1); err != nil {
		return err
	}
	r, err := s.openStore(c.Context, catalog.Writing)
	if err != nil {
		return err
	}
	defer r.close()
	files, err := r.readKeys(c.Context)
	if err != nil {
		return err
	}
	name := c.Args().First()
	for _, f := range files {
		if f.name() != name {
			continue
		}
		if len(files) == 1 {
			return hint{fmt.Errorf("%s is the only key: without it nothing in the repository could be read", quoteName(name)), "tidemark key add NAME, first"}
		}
		if err := r.store.Delete(c.Context, f.object); err != nil {
			return fmt.Errorf("remove key %s: %w", quoteName(name), err)
		}
		s.note("Removed key %s.", name)
		return nil
	}
	return hint{fmt.Errorf("there is no key %s", quoteName(name)), "tidemark key list"}
}

// name returns what the key is called by people.
func (k keyFile) name() string { return fmt.Sprintf("%s-%d", k.label, k.number) }

func listKeys(c *cli.Context, s *settings) error {
	if err := wantArgs(c, 0, 0); err != nil {
		return err
	}
	r, err := s.openStore(c.Context, catalog.Reading)
	if err != nil {
		return err
	}
	defer r.close()
	files, err := r.readKeys(c.Context)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(s.p.out, 0, 0, 2, ' ', 0)
	for _, f := range files {
		kind := "public key"
		if keys.HasPassphrase(f.data) {
			kind = "passphrase"
		}
		if s.json {
			err = s.p.printJSON(struct {
				Key   string    `json:"key"`
				Kind  string    `json:"kind"`
				Added time.Time `json:"added"`
			}{f.name(), kind, f.stored.UTC()})
		} else {
			_, err = fmt.Fprintf(w, "%s\t%s\t%s\n", f.name(), kind, f.stored.In(s.zone).Format(time.DateTime))
		}
		if err != nil {
			return err
		}
	}
	return w.Flush()
}

func captureOnlyKey(c *cli.Context, s *settings) error {
	if err := wantArgs(c, 1, 1); err != nil {
		return err
	}
	host := c.Args().First()
	if err := keys.ValidName(host); err != nil {
		return usageError("key capture-only", "%v", err)
	}
	r, err := s.openRepository(c.Context, catalog.Writing)
	if err != nil {
		return err
	}
	defer r.close()
	file := c.String("output")
	if file == "" {
		key, err := r.captureKey(c.Context, host, c.String("group"))
		if err == nil {
			_, err = s.p.out.Write(key.Encode())
		}
		return err
	}
	// The file first: a key that cannot be written down must not be enrolled.
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("capture-only key: %w", err)
	}
	key, err := r.captureKey(c.Context, host, c.String("group"))
	if err == nil {
		_, err = f.Write(key.Encode())
	}
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		_ = os.Remove(file)
		return fmt.Errorf("capture-only key: %w", err)
	}
	s.note("Wrote %s. On %s: tidemark capture --identity %s NAME=DIRECTORY", quoteName(file), quoteName(host), quoteName(file))
	return nil
}

// captureKey makes a capture-only key for host with a signing key that the
// secret does not derive: losing the host's key loses no other's.
func (r *repository) captureKey(ctx context.Context, host, group string) (*keys.CaptureKey, error) {
	hosts, notices, err := r.hosts(ctx)
	if err != nil {
		return nil, err
	}
	r.say(notices)
	n := uint32(1)
	if group == "" {
		group = host
	}
	for _, h := range hosts {
		if h.Name == host {
			n, group = h.Enrolments+1, h.Group
		}
	}
	var seed [32]byte
	if _, err := io.ReadFull(rand.Reader, seed[:]); err != nil {
		return nil, err
	}
	signing := keys.NewPrivateKey(seed)
	if err := r.enrolKey(ctx, host, group, n, signing); err != nil {
		return nil, err
	}
	return r.secret.CaptureOnly(host, group, signing)
}
