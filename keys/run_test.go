package keys_test

import (
	"bytes"
	"errors"
	"testing"

	"filippo.io/age"

	"tidemark/keys"
)

func runSecret() keys.RunSecret {
	return keys.RunSecret{Key: keys.NewKey(pattern(0x77)), Epoch: 7, Group: "web"}
}

func TestRunSecret(t *testing.T) {
	b := runSecret().Encode()
	want := append(bytes.Repeat([]byte{0x77}, 32), 7, 0, 0, 0, 3, 'w', 'e', 'b')
	want = append(want, make([]byte, 61)...)
	if !bytes.Equal(b[:], want) {
		t.Errorf("Encode gives %x, want %x", b, want)
	}
	got, err := keys.ParseRunSecret(b[:])
	if err != nil || got.Encode() != b || got.Epoch != 7 || got.Group != "web" {
		t.Errorf("ParseRunSecret gives %q in epoch %d, %v", got.Group, got.Epoch, err)
	}
}

func TestParseRunSecretRefuses(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(b []byte) []byte
		reason string
	}{
		{"a byte less", func(b []byte) []byte { return b[:100] }, "truncated"},
		{"a byte more", func(b []byte) []byte { return append(b, 0) }, "trailing"},
		{"nothing", func(b []byte) []byte { return nil }, "truncated"},
		{"epoch 0", func(b []byte) []byte { b[32] = 0; return b }, "range"},
		{"no group", func(b []byte) []byte { b[36] = 0; return b }, "length"},
		{"a group of 65 bytes", func(b []byte) []byte { b[36] = 65; return b }, "length"},
		{"a byte after the group", func(b []byte) []byte { b[100] = 1; return b }, "padding"},
		{"a shorter group", func(b []byte) []byte { b[36] = 2; return b }, "padding"},
		{"a longer group", func(b []byte) []byte { b[36] = 4; return b }, "text"},
		{"a group with a slash", func(b []byte) []byte { b[37] = '/'; return b }, "text"},
		{"a group that is not UTF-8", func(b []byte) []byte { b[37] = 0xff; return b }, "text"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := runSecret().Encode()
			_, err := keys.ParseRunSecret(tt.change(b[:]))
			wantReason(t, err, tt.reason)
		})
	}
}

func TestNewRun(t *testing.T) {
	for _, postQuantum := range []bool{false, true} {
		s := generate(t, postQuantum)
		run, err := s.NewRun(counter(5), "web")
		if err != nil {
			t.Fatal(err)
		}
		if run.ID != run.Secret.ID() || run.Secret.Group != "web" || run.Secret.Epoch != 1 {
			t.Errorf("the run is %s, of group %q in epoch %d", run.ID, run.Secret.Group, run.Secret.Epoch)
		}
		if len(run.Sealed) > keys.MaxSealedRun {
			t.Errorf("a sealed run secret has %d bytes", len(run.Sealed))
		}
		got, err := s.OpenRun(run.Sealed)
		if err != nil || got.Encode() != run.Secret.Encode() {
			t.Errorf("OpenRun (post-quantum %t): %v", postQuantum, err)
		}
		if _, err := secret(t).OpenRun(run.Sealed); !errors.Is(err, keys.ErrNotForUs) {
			t.Errorf("another repository's secret: %v, want ErrNotForUs", err)
		}
	}
	if _, err := secret(t).NewRun(bytes.NewReader(nil), "web"); err == nil {
		t.Error("NewRun makes a key without random bytes")
	}
	_, err := secret(t).NewRun(counter(1), "a/b")
	wantReason(t, err, "text")
}

func TestOpenRunRefuses(t *testing.T) {
	s := secret(t)
	to := must(age.ParseX25519Recipient(fixedRecipient))
	seal := func(plain []byte) []byte {
		var b bytes.Buffer
		w := must(age.Encrypt(&b, to))
		must(w.Write(plain))
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	good := runSecret().Encode()
	sealed := seal(good[:])
	payload := bytes.Clone(sealed)
	payload[len(payload)-1] ^= 1
	for _, tt := range []struct {
		name   string
		sealed []byte
		reason string
	}{
		{"empty", nil, "text"},
		{"not age", []byte("age-encryption.org/v2\n"), "text"},
		{"cut", sealed[:len(sealed)-1], "seal"},
		{"cut to the header", sealed[:150], "text"},
		{"a flipped bit in what is sealed", payload, "seal"},
		{"a flipped bit in the header's MAC", bytes.Replace(sealed, []byte("--- "), []byte("--- A"), 1), "text"},
		{"too long", append(bytes.Clone(sealed), make([]byte, keys.MaxSealedRun)...), "limit"},
		{"bytes after it", append(bytes.Clone(sealed), 0), "seal"},
		{"a byte more in it", seal(append(good[:101:101], 0)), "limit"},
		{"a byte less in it", seal(good[:100]), "truncated"},
		{"a bomb", seal(make([]byte, 2000)), "limit"},
		{"epoch 0 in it", seal(make([]byte, 101)), "range"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := s.OpenRun(tt.sealed)
			wantReason(t, err, tt.reason)
		})
	}
}

// TestOpenRunEveryBit flips each bit of a sealed run: none can be, unseen.
func TestOpenRunEveryBit(t *testing.T) {
	s := secret(t)
	run := must(s.NewRun(counter(1), "web"))
	for i := range run.Sealed {
		run.Sealed[i] ^= 1 << (i % 8)
		if _, err := s.OpenRun(run.Sealed); err == nil {
			t.Errorf("bit %d of byte %d can be flipped", i%8, i)
		}
		run.Sealed[i] ^= 1 << (i % 8)
	}
}

func TestParseIDs(t *testing.T) {
	const text = "000102030405060708090a0b0c0d0e0f"
	run, err := keys.ParseRunID(text)
	if err != nil || run.String() != text {
		t.Errorf("ParseRunID(%s) = %s, %v", text, run, err)
	}
	repo, err := keys.ParseRepositoryID(text)
	if err != nil || repo.String() != text {
		t.Errorf("ParseRepositoryID(%s) = %s, %v", text, repo, err)
	}
	for bad, reason := range map[string]string{
		"": "length", text[1:]: "length", text + "0": "length",
		"000102030405060708090A0b0c0d0e0f": "text",
		"000102030405060708090g0b0c0d0e0f": "text",
	} {
		_, err := keys.ParseRunID(bad)
		wantReason(t, err, reason)
		_, err = keys.ParseRepositoryID(bad)
		wantReason(t, err, reason)
	}
	if other := (keys.RunID{15: 0xff}); run.Compare(run) != 0 || run.Compare(other) != 1 || other.Compare(run) != -1 {
		t.Error("Compare does not order ids by their bytes")
	}
}

func FuzzRunSecret(f *testing.F) {
	good := runSecret().Encode()
	f.Add(good[:])
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := keys.ParseRunSecret(b)
		if err != nil {
			return
		}
		if got := r.Encode(); !bytes.Equal(got[:], b) {
			t.Fatalf("parsed %x, wrote back %x", b, got)
		}
	})
}

func BenchmarkOpenRun(b *testing.B) {
	s := secret(b)
	run := must(s.NewRun(counter(1), "web"))
	for b.Loop() {
		must(s.OpenRun(run.Sealed))
	}
}
