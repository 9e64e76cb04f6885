package keys

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"filippo.io/age"
)

// encrypt returns plain as an age file for one recipient.
func encrypt(plain []byte, to age.Recipient) ([]byte, error) {
	var file bytes.Buffer
	w, err := age.Encrypt(&file, to)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(plain); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return file.Bytes(), nil
}

// decrypt opens an age file of at most limit bytes of plaintext. If no
// identity fits, its error wraps noMatch. If the file is not what age makes
// the error is a [*FormatError]. Any other says how an identity failed, as a
// plugin that is not installed does.
func decrypt(what string, file []byte, limit int, with []age.Identity, noMatch error) ([]byte, error) {
	if len(with) == 0 {
		return nil, fmt.Errorf("keys: %s: %w: none was given", what, noMatch)
	}
	r, err := age.Decrypt(bytes.NewReader(file), with...)
	if _, ok := errors.AsType[*age.NoIdentityMatchError](err); ok {
		return nil, fmt.Errorf("keys: %s: %w", what, noMatch)
	}
	if err != nil {
		if _, bad := age.ExtractHeader(bytes.NewReader(file)); bad != nil {
			return nil, malformed(what, "text", "not an age file: %v", bad)
		}
		return nil, fmt.Errorf("keys: %s: %w", what, err)
	}
	plain, err := io.ReadAll(io.LimitReader(r, int64(limit)+1))
	if err != nil {
		return nil, malformed(what, "seal", "it does not open: %v", err)
	}
	if len(plain) > limit {
		return nil, malformed(what, "limit", "it holds more than %d bytes", limit)
	}
	return plain, nil
}

func native(id age.Identity, text func() string, recipient age.Recipient) identity {
	return identity{func() age.Identity { return id }, text, recipient}
}

func generateIdentity(postQuantum bool) (identity, error) {
	if postQuantum {
		id, err := age.GenerateHybridIdentity()
		if err != nil {
			return identity{}, err
		}
		return native(id, id.String, id.Recipient()), nil
	}
	id, err := age.GenerateX25519Identity()
	if err != nil {
		return identity{}, err
	}
	return native(id, id.String, id.Recipient()), nil
}

// parseIdentity reads a native age identity in its one form, upper case.
func parseIdentity(s string) (identity, bool) {
	var parsed identity
	if strings.HasPrefix(s, "AGE-SECRET-KEY-PQ-1") {
		id, err := age.ParseHybridIdentity(s)
		if err != nil {
			return identity{}, false
		}
		parsed = native(id, id.String, id.Recipient())
	} else {
		id, err := age.ParseX25519Identity(s)
		if err != nil {
			return identity{}, false
		}
		parsed = native(id, id.String, id.Recipient())
	}
	return parsed, parsed.text() == s
}

// parseNative reads a native age recipient in its one form, lower case.
func parseNative(s string) (age.Recipient, bool) {
	if strings.HasPrefix(s, "age1pq1") {
		r, err := age.ParseHybridRecipient(s)
		return r, err == nil && r.String() == s
	}
	r, err := age.ParseX25519Recipient(s)
	return r, err == nil && r.String() == s
}
