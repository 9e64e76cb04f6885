package catalog_test

import (
	"errors"
	"strings"
	"testing"

	"tidemark/catalog"
	"tidemark/keys"
	"tidemark/pack"
)

const repositoryText = `{"format":1,"repository":"` + runText + `"}` + "\n"

func TestRepository(t *testing.T) {
	id, err := keys.ParseRepositoryID(runText)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(catalog.EncodeRepository(id)); got != repositoryText {
		t.Errorf("EncodeRepository = %q, want %q", got, repositoryText)
	}
	if got, err := catalog.ParseRepository([]byte(repositoryText)); err != nil || got != id {
		t.Errorf("ParseRepository = %v, %v; want %v", got, err, id)
	}
}

func TestParseRepositoryRefuses(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		reason     pack.Reason
	}{
		{"nothing", "", pack.ReasonText},
		{"another file", "#!/bin/sh\n", pack.ReasonText},
		{"null", "null", pack.ReasonText},
		{"an array", "[1]", pack.ReasonText},
		{"an empty object", "{}", pack.ReasonText},
		{"no line feed", strings.TrimSpace(repositoryText), pack.ReasonText},
		{"a line feed too many", repositoryText + "\n", pack.ReasonText},
		{"a space", strings.Replace(repositoryText, ":", ": ", 1), pack.ReasonText},
		{"another field", strings.Replace(repositoryText, "}", `,"x":1}`, 1), pack.ReasonText},
		{"format 0", strings.Replace(repositoryText, "1", "0", 1), pack.ReasonText},
		{"format -1", strings.Replace(repositoryText, "1", "-1", 1), pack.ReasonText},
		{"a format in quotes", strings.Replace(repositoryText, "1", `"2"`, 1), pack.ReasonText},
		{"an upper-case id", strings.Replace(repositoryText, "aabb", "AABB", 1), pack.ReasonText},
		{"a short id", strings.Replace(repositoryText, "aabb", "aab", 1), pack.ReasonText},
		{"an id that is a number", `{"format":1,"repository":5}` + "\n", pack.ReasonText},
		{"too long", repositoryText + strings.Repeat(" ", catalog.MaxRepositoryLen), pack.ReasonLimit},
		{"format 2", strings.Replace(repositoryText, "1", "2", 1), pack.ReasonVersion},
		{"format 2 and all else different", `{ "kind": [], "format": 2 }`, pack.ReasonVersion},
		{"a format past all integers", `{"format":99999999999999999999999}`, pack.ReasonVersion},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := catalog.ParseRepository([]byte(tt.text))
			wantReason(t, err, tt.reason)
			if errors.Is(err, catalog.ErrNotRepository) == errors.Is(err, pack.ErrTooOld) {
				t.Errorf("%v: want ErrNotRepository or ErrTooOld, and not both", err)
			}
		})
	}
}

func FuzzParseRepository(f *testing.F) {
	f.Add([]byte(repositoryText))
	f.Add([]byte(`{"format":2}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		id, err := catalog.ParseRepository(b)
		if err != nil {
			return
		}
		if got := catalog.EncodeRepository(id); string(got) != string(b) {
			t.Fatalf("parsed %q, wrote back %q", b, got)
		}
	})
}
