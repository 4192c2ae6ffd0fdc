package scramauth

import (
	"errors"
	"testing"

	"github.com/replproxy/replproxy/grammar/pgerror"
)

func FuzzParseVerifier(f *testing.F) {
	f.Add(verifierOf(f, "x", []byte("0123456789abcdef"), 4096).text())
	f.Add("SCRAM-SHA-256$1:AA==$:")
	f.Fuzz(func(t *testing.T, text string) {
		v, err := ParseVerifier(text)
		if err != nil {
			return
		}
		if again, err := ParseVerifier(v.text()); err != nil || again.text() != v.text() || v.Iterations < 1 || len(v.Salt) == 0 {
			t.Fatalf("%q", text)
		}
	})
}

// judged: whatever a client sends, it gets a FATAL of PostgreSQL's, an answer, or is told that its proof is
// wrong; a right proof can't be guessed.
func judged(t *testing.T, s *Server, body []byte) (goesOn bool) {
	answer, done, err := s.Step(body)
	var e *pgerror.Error
	switch {
	case done:
		t.Fatal("let in")
	case errors.Is(err, ErrProof):
	case err != nil && (!errors.As(err, &e) || !e.IsFatal() || answer != nil):
		t.Fatalf("%q, %v", answer, err)
	}
	return err == nil
}

func FuzzClientFirst(f *testing.F) {
	for _, message := range []string{"n,,n=,r=abc", "y,,n=,r=abc", "p=tls-server-end-point,,n=,r=abc", "n,a=x,n=,r=abc", "n,,m=x,n=,r=,"} {
		f.Add(initialResponse(Mechanism, message), true)
		f.Add(initialResponse(MechanismPlus, message), true)
	}
	f.Fuzz(func(t *testing.T, body []byte, tls bool) {
		var endPoint []byte
		if tls {
			endPoint = []byte("hash")
		}
		s := NewServer(Mock(nil, "x", 1), false, endPoint, Nonce([]byte("server")))
		if judged(t, s, body) {
			judged(t, s, []byte("c=biws,r=abcc2VydmVy,p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="))
		}
	})
}

func FuzzClientFinal(f *testing.F) {
	for _, message := range []string{"c=biws,r=abcc2VydmVy,p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "c=biws,r=abc,x=y,p=", "c=,r=,p=,"} {
		f.Add([]byte(message))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		s := NewServer(Mock(nil, "x", 1), false, nil, Nonce([]byte("server")))
		if !judged(t, s, initialResponse(Mechanism, "n,,n=,r=abc")) {
			t.Fatal("first message")
		}
		judged(t, s, body)
	})
}

// A hostile primary: two messages of any content never convince a client.
func FuzzServerMessages(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x0br=Y2xpZW50c,s=c2FsdA==,i=4096"), []byte("\x00\x00\x00\x0cv=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="))
	f.Add([]byte("\x00\x00\x00\x0b"), []byte("\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, first, final []byte) {
		c := NewClient(Keys{}, Leg{TLS: true, EndPoint: []byte("hash")}, Nonce([]byte("client")))
		if _, _, err := c.Step([]byte("\x00\x00\x00\x0aSCRAM-SHA-256-PLUS\x00SCRAM-SHA-256\x00\x00")); err != nil {
			t.Fatal(err)
		}
		for _, body := range [][]byte{first, final, {0, 0, 0, 0}} {
			answer, ok, err := c.Step(body)
			if ok {
				t.Fatal("convinced")
			}
			if len(answer) > maxServerMessage+256 {
				t.Fatalf("an answer of %d bytes", len(answer))
			}
			if err != nil {
				return
			}
		}
	})
}
