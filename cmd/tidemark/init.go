package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"tidemark/catalog"
	"tidemark/keys"
	"tidemark/store"
)

func initCommand(p *program) *cli.Command {
	return &cli.Command{
		Name:     "init",
		Category: groupSetup,
		Usage:    "make a new repository",
		Description: `Makes a repository in the directory that -r names, which is made if it is
missing and must be empty if it is not, and a key that opens it: by default a
passphrase, which is asked for or read from --passphrase-file.

Whoever loses all keys has lost the repository. Keep one on paper, away from
this machine; "tidemark key add" makes more.

Examples:
  tidemark init -r /mnt/backup
  tidemark init -r /mnt/backup --passphrase-file /root/passphrase
  tidemark init -r /mnt/backup --to age1…`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "to", Usage: "seal the first key to the age or SSH public key `RECIPIENT` instead of a passphrase"},
			&cli.BoolFlag{Name: "post-quantum", Usage: "seal contents so that no quantum computer will open them; needs age 1.3 to read without Tidemark"},
		},
		Action: p.action(initRepository),
	}
}

func initRepository(c *cli.Context, s *settings) error {
	if err := wantArgs(c, 0, 0); err != nil {
		return err
	}
	name, err := s.repository()
	if err != nil {
		return err
	}
	if strings.Contains(name, "://") {
		return coded{exitUsage, fmt.Errorf("repository %s: this version keeps repositories in directories only", quoteName(name))}
	}
	if err := store.CreateDir(name); err != nil {
		return fmt.Errorf("make repository %s: %w", quoteName(name), err)
	}
	dir, err := store.OpenDir(name)
	if err != nil {
		return fmt.Errorf("make repository %s: %w", quoteName(name), err)
	}
	defer dir.Close()
	r := &repository{s: s, name: name, store: dir}
	if err := mustBeEmpty(c, r); err != nil {
		return err
	}
	to, kind, err := firstRecipient(c, s, name)
	if err != nil {
		return err
	}
	secret, err := keys.Generate(rand.Reader, c.Bool("post-quantum"))
	if err != nil {
		return err
	}
	sealed, err := secret.Seal(to)
	if err != nil {
		return err
	}
	key := catalog.ObjectName{Area: catalog.KeyArea, Label: kind, Number: 1}.String()
	if err := r.put(c.Context, key, sealed); err != nil {
		return err
	}
	// This makes it a repository, so it comes last.
	if err := r.put(c.Context, catalog.RepositoryObject, catalog.EncodeRepository(secret.Repository)); err != nil {
		return err
	}
	if s.json {
		return s.p.printJSON(struct {
			Repository string `json:"repository"`
			ID         string `json:"id"`
			Key        string `json:"key"`
		}{name, secret.Repository.String(), key})
	}
	s.note("Made repository %s. Whoever loses its keys loses what is in it: keep one away from this machine.", quoteName(name))
	s.note("Next: tidemark capture -r %s NAME=DIRECTORY", quoteName(name))
	return nil
}

// mustBeEmpty refuses a directory that has something in it.
func mustBeEmpty(c *cli.Context, r *repository) error {
	_, err := r.store.Stat(c.Context, catalog.RepositoryObject)
	if err == nil {
		return hint{fmt.Errorf("%s is a repository already", quoteName(r.name)), "tidemark capture -r " + quoteName(r.name) + " NAME=DIRECTORY"}
	}
	if !errors.Is(err, store.ErrNotExist) {
		return err
	}
	entries, err := os.ReadDir(r.name)
	if err != nil {
		return fmt.Errorf("make repository %s: %w", quoteName(r.name), err)
	}
	for _, e := range entries {
		if e.Name() != "lost+found" { // of a disk that is just for this
			return hint{fmt.Errorf("%s is not empty", quoteName(r.name)), "an empty directory, or one that does not exist yet"}
		}
	}
	return nil
}

// firstRecipient returns whom the first key is sealed to, and what it is called.
func firstRecipient(c *cli.Context, s *settings, name string) (keys.Recipient, string, error) {
	if text := c.String("to"); text != "" {
		to, err := keys.ParseRecipient(text, keys.UI{})
		if err != nil {
			return keys.Recipient{}, "", usageError("init", "--to: %v", err)
		}
		return to, "identity", nil
	}
	typed, err := s.newPassphrase(c.Context, name)
	if err != nil {
		return keys.Recipient{}, "", err
	}
	to, err := keys.PassphraseRecipient([]byte(typed.reveal()))
	return to, "passphrase", err
}
