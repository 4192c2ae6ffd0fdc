package authwatch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/grammar/pgerror"
)

func request(kind uint32, rest string) []byte {
	return append(binary.BigEndian.AppendUint32(nil, kind), rest...)
}

func code(err error) pgerror.Code {
	var e *pgerror.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

func TestAuthenticationOkNeedsAProof(t *testing.T) {
	for _, tc := range []struct {
		name  string
		legs  Legs
		kinds []uint32 // asked and answered before AuthenticationOk
		want  pgerror.Code
	}{
		{name: "nothing asked", want: pgerror.InvalidAuthorization},
		{name: "TLS on both legs proves nothing", legs: Legs{ClientTLS: true, UpstreamTLS: true},
			want: pgerror.InvalidAuthorization},
		{name: "trusted by a rule", legs: Legs{Trusted: true}},
		{name: "cleartext", kinds: []uint32{kindCleartext}},
		{name: "md5", kinds: []uint32{kindMD5}},
		{name: "GSS", kinds: []uint32{kindGSS, kindGSSContinue}},
		{name: "SSPI", kinds: []uint32{kindSSPI, kindGSSContinue}},
		{name: "SCRAM", kinds: []uint32{kindSASL, kindSASLContinue}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := New(tc.legs)
			for _, k := range tc.kinds {
				if s, _, err := w.FromUpstream('R', request(k, "xxxx")); s != Ask || err != nil {
					t.Fatalf("kind %d: step %v, %v", k, s, err)
				}
				if err := w.FromClient('p', []byte("answer\x00")); err != nil {
					t.Fatalf("kind %d: answer refused: %v", k, err)
				}
			}
			s, _, err := w.FromUpstream('R', request(kindOk, ""))
			if code(err) != tc.want || (err == nil) != (s == Authenticated) {
				t.Fatalf("AuthenticationOk: step %v, %v; want code %q", s, err, tc.want)
			}
		})
	}
}

// TestUnprovenHint: the rule that the hint names matches this client.
func TestUnprovenHint(t *testing.T) {
	for _, tc := range []struct {
		physical bool
		rule     string
	}{{true, "host replication all 127.0.0.1/32 trust"}, {false, "host all all 127.0.0.1/32 trust"}} {
		_, _, err := New(Legs{Physical: tc.physical}).FromUpstream('R', request(kindOk, ""))
		if e := pgerror.From(err); !strings.Contains(e.Hint, tc.rule) || !strings.Contains(e.Hint, "nobody is let in whom none of them matches") {
			t.Errorf("%v: %s", tc.physical, e.Hint)
		}
	}
}

// A question that nobody answered is no proof, nor is an answer to a question nobody put.
func TestQuestionAloneIsNoProof(t *testing.T) {
	w := New(Legs{})
	if err := w.FromClient('p', []byte("x\x00")); code(err) != pgerror.ProtocolViolation {
		t.Fatalf("answer before any question: %v", err)
	}
	if _, _, err := w.FromUpstream('R', request(kindMD5, "salt")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := w.FromUpstream('R', request(kindOk, "")); code(err) != pgerror.InvalidAuthorization {
		t.Fatalf("AuthenticationOk after an unanswered question: %v", err)
	}
}

func TestUnknownMethodIsNoProof(t *testing.T) {
	w := New(Legs{})
	if s, _, err := w.FromUpstream('R', request(6, "")); s != Pass || err != nil {
		t.Fatalf("step %v, %v", s, err)
	}
	if err := w.FromClient('p', nil); code(err) != pgerror.ProtocolViolation {
		t.Fatalf("answer to an unknown method: %v", err)
	}
}

func TestSessionDataBeforeAuthenticationOk(t *testing.T) {
	for _, typ := range []byte{'S', 'K', 'Z', 'T', 'D', 0} {
		if s, _, err := New(Legs{Trusted: true}).FromUpstream(typ, []byte("I")); s != Refused || err == nil {
			t.Errorf("%q before AuthenticationOk: step %v, %v", typ, s, err)
		}
	}
	if _, _, err := New(Legs{}).FromUpstream('R', []byte{0, 0}); code(err) != pgerror.ProtocolViolation {
		t.Errorf("short request: %v", err)
	}
	if err := New(Legs{}).FromClient('Q', nil); code(err) != pgerror.ProtocolViolation {
		t.Errorf("Query during log-in: %v", err)
	}
}

func TestPlusIsTakenOutForAClientInClear(t *testing.T) {
	const plus, plain = "SCRAM-SHA-256-PLUS\x00", "SCRAM-SHA-256\x00"
	for _, tc := range []struct {
		legs     Legs
		in, want string
	}{
		{Legs{UpstreamTLS: true}, plus + plain + "\x00", plain + "\x00"},
		{Legs{UpstreamTLS: true}, plain + plus + "\x00", plain + "\x00"},
		{Legs{UpstreamTLS: true}, plain + "OAUTHBEARER\x00\x00", plain + "OAUTHBEARER\x00\x00"},
		{Legs{UpstreamTLS: true, ClientTLS: true}, plus + plain + "\x00", plus + plain + "\x00"},
	} {
		_, got, err := New(tc.legs).FromUpstream('R', request(kindSASL, tc.in))
		if err != nil || !bytes.Equal(got, request(kindSASL, tc.want)) {
			t.Errorf("%+v %q: %q, %v", tc.legs, tc.in, got, err)
		}
	}
}

func TestBindingOverTwoTLSLegsIsRefusedInWords(t *testing.T) {
	w := New(Legs{ClientTLS: true, UpstreamTLS: true})
	if _, _, err := w.FromUpstream('R', request(kindSASL, "SCRAM-SHA-256-PLUS\x00\x00")); err != nil {
		t.Fatal(err)
	}
	err := w.FromClient('p', []byte("SCRAM-SHA-256-PLUS\x00\x00\x00\x00\x04p=tl"))
	if code(err) != pgerror.InvalidAuthorization || !strings.Contains(err.Error(), "channel binding") {
		t.Fatalf("bound answer: %v", err)
	}
	if err := w.FromClient('p', []byte("SCRAM-SHA-256\x00\x00\x00\x00\x04n,,n")); err != nil {
		t.Fatalf("unbound answer: %v", err)
	}
	for _, legs := range []Legs{{ClientTLS: true, UpstreamTLS: true, SameCertificate: true}, {ClientTLS: true}} {
		w := New(legs)
		_, got, err := w.FromUpstream('R', request(kindSASL, "SCRAM-SHA-256-PLUS\x00\x00"))
		if err != nil || !bytes.Contains(got, []byte("-PLUS")) {
			t.Fatalf("%+v: %q, %v", legs, got, err)
		}
		if err := w.FromClient('p', []byte("SCRAM-SHA-256-PLUS\x00\x00\x00\x00\x04p=tl")); err != nil {
			t.Errorf("%+v: %v", legs, err)
		}
	}
}

func FuzzFromUpstream(f *testing.F) {
	f.Add(byte('R'), request(kindSASL, "SCRAM-SHA-256-PLUS\x00SCRAM-SHA-256\x00\x00"))
	f.Add(byte('R'), request(kindSASL, "A-PLUS"))
	f.Add(byte('R'), request(kindOk, ""))
	f.Fuzz(func(t *testing.T, typ byte, body []byte) {
		step, out, err := New(Legs{}).FromUpstream(typ, body)
		if len(out) > len(body) {
			t.Fatalf("%d bytes became %d", len(body), len(out))
		}
		if err == nil && (step == Authenticated || step == Ready) {
			t.Fatalf("%q %q: let in without a proof", typ, body)
		}
	})
}
