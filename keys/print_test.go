package keys_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"tidemark/keys"
)

// TestNothingPrints prints all that holds a secret in every way there is,
// also as somebody else's field, and looks for the secret.
func TestNothingPrints(t *testing.T) {
	secretText := strings.NewReplacer("2222", "1111", "3333", "1111", "4444", "1111", "5555", "1111", "6666", "1111").Replace(fixedSecret)
	s := must(keys.ParseSecret([]byte(secretText)))
	capture := must(s.CaptureOnly("web1", "web", keys.NewPrivateKey(pattern(0x11))))
	run := must(s.NewRun(bytes.NewReader(bytes.Repeat([]byte{0x11}, 32)), "web"))
	run.Sealed = nil // public
	group := capture.Group
	groupSecret := group.Secret()
	x := must(keys.ParseIdentities([]byte(strings.Fields(fixedSecret)[6]), keys.UI{}))
	pass := must(keys.PassphraseIdentity([]byte("correct horse")))
	to := must(keys.PassphraseRecipient([]byte("correct horse")))
	marks := []string{
		"1111111111", "17 17 17", "17,17,17", "0x11, 0x11", "0x11,0x11", "0o21", "021, 021", "\x11\x11", `\x11\x11`, `\u0011\u0011`, "10001 10001", "EREREREREREREREREREREQ", "EREREREREREREREREREREREREREREREREREREREREREQ", "U+0011", "SECRET-KEY", "correct horse",
		fmt.Sprintf("%x", groupSecret[:8]), fmt.Sprint(groupSecret[:4])[1:], fmt.Sprintf("%#v", groupSecret[:4])[8:],
	}
	type holder struct {
		Shown  any
		hidden any
	}
	for name, v := range map[string]any{
		"Secret":          *s,
		"*Secret":         s,
		"CaptureKey":      *capture,
		"*CaptureKey":     capture,
		"RunSecret":       run.Secret,
		"*RunSecret":      &run.Secret,
		"Run":             *run,
		"*Run":            run,
		"Group":           group,
		"*Group":          &group,
		"Names":           s.Names(),
		"Names value":     *s.Names(),
		"records key":     s.Records(),
		"index key":       group.IndexKey(),
		"signing key":     s.Signing(),
		"host key":        s.HostKey(1, "web1"),
		"identities":      x,
		"passphrase":      pass,
		"a passphrase to": to,
	} {
		for _, wrapped := range []any{v, &v, []any{v}, map[string]any{"k": v}, holder{v, v}, &holder{v, v}, struct{ hidden any }{v}} {
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o", "%b", "%U", "%c"} {
				wantSilent(t, name+" with "+verb, fmt.Sprintf(verb, wrapped), marks)
			}
			wantSilent(t, name+" by Sprint", fmt.Sprint(wrapped), marks)
			b, _ := json.Marshal(wrapped) // an error prints nothing, which is fine
			wantSilent(t, name+" as JSON", string(b), marks)
			var out strings.Builder
			slog.New(slog.NewTextHandler(&out, nil)).Info("x", "v", wrapped)
			slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "v", wrapped)
			wantSilent(t, name+" by slog", out.String(), marks)
		}
	}
	if got := fmt.Sprintf("%v %v", s, group); got != `keys.Secret(redacted) keys.Group("web", epoch 7, redacted)` {
		t.Errorf("a secret and a group print as %s", got)
	}
}

func wantSilent(t *testing.T, what, printed string, marks []string) {
	t.Helper()
	for _, mark := range marks {
		if strings.Contains(strings.ToLower(printed), strings.ToLower(mark)) {
			t.Errorf("%s shows %q: %.300s", what, mark, printed)
		}
	}
}
