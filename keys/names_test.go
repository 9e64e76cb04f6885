package keys_test

import (
	"encoding/base32"
	"strings"
	"testing"

	"tidemark/keys"
)

// Segments that another program computed from the names key of fixedSecret.
const (
	web1Segment    = "fhoirhimllg6qypwjt3iyjxlgolzatqpem52amgxwrs7etgadoty6wucicinen3vtdaybfig6nh7o"                                                                                                        // host web1
	donneesSegment = "a6q2m6xlaohcajao4eeaaka62xbxrwxud4eaohptxhevt6fk44vu3afgrqw4itn4pzeju7ezbrcb6"                                                                                                        // source données of web1
	longSegment    = "fat3zswhqtv4r2xqb3pnkocm5xcyef7imgdhfqdarxswotkggxqdot7j7gn4pohngfftebkgpgmc3ioaqvdbsrkl3s754p3pdi2e6u3s5pg76xymyomumlbjqwhhzsfjs7424klgdm4xxtpx6qkiexdsqllvbjqznewfvawtiyj52uuorquq" // host x…, 64 bytes
)

func TestNames(t *testing.T) {
	n := secret(t).Names()
	for _, tt := range []struct{ host, source, want string }{
		{"web1", "", web1Segment},
		{"web1", "données", donneesSegment},
		{strings.Repeat("x", 64), "", longSegment},
	} {
		var segment, back string
		var err error
		if tt.source == "" {
			segment = must(n.Host(tt.host))
			back, err = n.OpenHost(tt.want)
		} else {
			segment = must(n.Source(tt.host, tt.source))
			back, err = n.OpenSource(tt.host, tt.want)
		}
		if segment != tt.want {
			t.Errorf("%q %q is sealed as %s, want %s", tt.host, tt.source, segment, tt.want)
		}
		if want := tt.host; err != nil || back != want && back != tt.source {
			t.Errorf("%s opens as %q, %v", tt.want, back, err)
		}
	}
}

func TestNamesOfEveryLength(t *testing.T) {
	n := secret(t).Names()
	for size := 1; size <= keys.MaxName; size++ {
		name := strings.Repeat("n", size)
		segment := must(n.Host(name))
		if got, err := n.OpenHost(segment); got != name || err != nil {
			t.Errorf("a host of %d bytes opens as %q, %v", size, got, err)
		}
		if len(segment) > 200 {
			t.Errorf("a host of %d bytes has a segment of %d, the format allows 200", size, len(segment))
		}
		source := must(n.Source("web1", name))
		if got, err := n.OpenSource("web1", source); got != name || err != nil {
			t.Errorf("a source of %d bytes opens as %q, %v", size, got, err)
		}
		if source == segment {
			t.Errorf("the host and the source %q have one segment", name)
		}
	}
}

func TestValidName(t *testing.T) {
	for _, name := range []string{"a", "web 1", "é", "日本", "...", "-", strings.Repeat("é", 32)} {
		if err := keys.ValidName(name); err != nil {
			t.Errorf("ValidName(%q) = %v", name, err)
		}
	}
	n := secret(t).Names()
	for name, reason := range map[string]string{
		"": "length", strings.Repeat("x", 65): "length", strings.Repeat("é", 33): "length",
		".": "text", "..": "text", "a/b": "text", "/": "text", "a\nb": "text", "a\x00": "text",
		"\x7f": "text", "\u0085": "text", "\xff": "text", "a\xc3": "text",
	} {
		wantReason(t, keys.ValidName(name), reason)
		for _, seal := range []func() (string, error){
			func() (string, error) { return n.Host(name) },
			func() (string, error) { return n.Source("web1", name) },
			func() (string, error) { return n.Source(name, "app") },
			func() (string, error) { return n.OpenSource(name, donneesSegment) },
		} {
			_, err := seal()
			wantReason(t, err, reason)
		}
	}
}

func TestOpenNameRefuses(t *testing.T) {
	n := secret(t).Names()
	coding := base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)
	raw := must(coding.DecodeString(web1Segment))
	for _, tt := range []struct{ name, segment, reason string }{
		{"empty", "", "length"},
		{"upper case", strings.ToUpper(web1Segment), "text"},
		{"padded", web1Segment + "===", "text"},
		{"a line feed in it", web1Segment[:8] + "\n" + web1Segment[8:], "text"},
		{"another last character of equal meaning", web1Segment[:len(web1Segment)-1] + "p", "text"},
		{"cut to the tag", coding.EncodeToString(raw[:16]), "length"},
		{"cut by a byte", coding.EncodeToString(raw[:47]), "length"},
		{"longer by a byte", coding.EncodeToString(append(raw[:48:48], 0)), "length"},
		{"longer by 32 bytes", coding.EncodeToString(append(raw[:48:48], make([]byte, 32)...)), "seal"},
		{"far too long", strings.Repeat("a", 1<<20), "length"},
		{"a source", donneesSegment, "seal"},
		{"of another repository", must(generate(t, false).Names().Host("web1")), "seal"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := n.OpenHost(tt.segment)
			wantReason(t, err, tt.reason)
		})
	}
	_, err := n.OpenSource("db", donneesSegment)
	wantReason(t, err, "seal")
	_, err = n.OpenSource("web1", web1Segment)
	wantReason(t, err, "seal")
	for i := range raw {
		for bit := range 8 {
			raw[i] ^= 1 << bit
			if _, err := n.OpenHost(coding.EncodeToString(raw)); err == nil {
				t.Errorf("bit %d of byte %d can be flipped", bit, i)
			}
			raw[i] ^= 1 << bit
		}
	}
}

func FuzzOpenName(f *testing.F) {
	n := secret(f).Names()
	f.Add(web1Segment)
	f.Add(donneesSegment)
	f.Add(longSegment)
	f.Add(must(n.Host("a")))
	f.Fuzz(func(t *testing.T, segment string) {
		if host, err := n.OpenHost(segment); err == nil {
			if back := must(n.Host(host)); back != segment {
				t.Fatalf("%q opens as host %q, which is %q", segment, host, back)
			}
		}
		if source, err := n.OpenSource("web1", segment); err == nil {
			if back := must(n.Source("web1", source)); back != segment {
				t.Fatalf("%q opens as source %q, which is %q", segment, source, back)
			}
		}
	})
}
