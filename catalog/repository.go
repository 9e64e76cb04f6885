package catalog

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/big"

	"tidemark/keys"
	"tidemark/pack"
)

// RepositoryObject is the name of the object that makes a repository of what
// lies beside it.
const RepositoryObject = string(RepositoryArea)

const (
	// MaxRepositoryLen bounds tidemark.json, in bytes, so that a later
	// version's can be recognized: docs/format.md, section 19.
	MaxRepositoryLen = 4 << 10

	formatNumber = 1 // the format of docs/format.md
)

// ErrNotRepository means that there is no repository: no tidemark.json, or one
// that is something else.
var ErrNotRepository = errors.New("not a Tidemark repository")

// EncodeRepository returns the content of tidemark.json.
func EncodeRepository(id keys.RepositoryID) []byte {
	return fmt.Appendf(nil, `{"format":%d,"repository":"%s"}`+"\n", formatNumber, id)
}

// ParseRepository reads what [EncodeRepository] writes, and nothing else. The
// error wraps [pack.ErrTooOld] if the format number is larger than that of
// this program, and is else ErrNotRepository; both wrap a [*pack.DamageError]
// that gives the reason.
func ParseRepository(b []byte) (keys.RepositoryID, error) {
	if len(b) > MaxRepositoryLen {
		return keys.RepositoryID{}, notRepository(pack.ReasonLimit, "%d bytes, at most %d are allowed", len(b), MaxRepositoryLen)
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(b, &fields); err != nil {
		return keys.RepositoryID{}, notRepository(pack.ReasonText, "not a JSON object: %v", err)
	}
	if newer(fields["format"]) {
		return keys.RepositoryID{}, fmt.Errorf("catalog: opening the repository: %w",
			damage(RepositoryObject, pack.ReasonVersion, "format %s, this program knows format %d", fields["format"], formatNumber))
	}
	var text string
	if err := json.Unmarshal(fields["repository"], &text); err != nil {
		return keys.RepositoryID{}, notRepository(pack.ReasonText, "it names no repository")
	}
	id, err := keys.ParseRepositoryID(text)
	if err != nil {
		return keys.RepositoryID{}, notRepository(pack.ReasonText, "%v", err)
	}
	if string(EncodeRepository(id)) != string(b) {
		return keys.RepositoryID{}, notRepository(pack.ReasonText, "it is not exactly as docs/format.md has it")
	}
	return id, nil
}

// newer reports whether a format number is larger than ours, however large.
func newer(format json.RawMessage) bool {
	number, ok := new(big.Int).SetString(string(format), 10)
	return ok && number.Cmp(big.NewInt(formatNumber)) > 0
}

func notRepository(reason pack.Reason, format string, args ...any) error {
	return fmt.Errorf("catalog: %w: %w", ErrNotRepository, damage(RepositoryObject, reason, format, args...))
}
