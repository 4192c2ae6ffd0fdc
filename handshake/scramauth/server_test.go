package scramauth

import (
	"bytes"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/grammar/pgerror"
)

// keysOf derives the keys of RFC 5802 from a password.
func keysOf(t testing.TB, password string, salt []byte, count int) (client, server Key) {
	t.Helper()
	salted, err := pbkdf2.Key(sha256.New, password, salt, count, 32)
	if err != nil {
		t.Fatal(err)
	}
	derive := func(name string) (k Key) {
		h := hmac.New(sha256.New, salted)
		h.Write([]byte(name))
		copy(k[:], h.Sum(nil))
		return k
	}
	return derive("Client Key"), derive("Server Key")
}

func verifierOf(t testing.TB, password string, salt []byte, count int) Verifier {
	client, server := keysOf(t, password, salt, count)
	return Verifier{Iterations: count, Salt: salt, StoredKey: sha256.Sum256(client[:]), ServerKey: server}
}

// text returns the verifier as PostgreSQL stores it.
func (v Verifier) text() string {
	b := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", v.Iterations, b(v.Salt), b(v.StoredKey[:]), b(v.ServerKey[:]))
}

func initialResponse(mechanism, message string) []byte {
	b := append([]byte(mechanism), 0)
	return append(binary.BigEndian.AppendUint32(b, uint32(len(message))), message...)
}

// The example of RFC 7677.
func TestServerByTheBook(t *testing.T) {
	salt, _ := base64.StdEncoding.DecodeString("W22ZaJ0SNY7soEsUEjb6gQ==")
	const nonceC, nonceS = "rOprNGfwEbeRWgbNEkqO", "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
	s := NewServer(verifierOf(t, "pencil", salt, 4096), false, nil, nonceS)
	answer, done, err := s.Step(initialResponse(Mechanism, "n,,n=user,r="+nonceC))
	if err != nil || done || string(answer) != "r="+nonceC+nonceS+",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096" {
		t.Fatalf("%q, %v, %v", answer, done, err)
	}
	answer, done, err = s.Step([]byte("c=biws,r=" + nonceC + nonceS + ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="))
	if err != nil || !done || string(answer) != "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=" {
		t.Fatalf("%q, %v, %v", answer, done, err)
	}
	if client, _ := keysOf(t, "pencil", salt, 4096); s.ClientKey() != client {
		t.Error("the proof gave another ClientKey away")
	}
}

// exchange lets a Client log in at a Server.
func exchange(s *Server, c *Client) error {
	body := append([]byte{0, 0, 0, kindSASL}, s.Offer()...)
	for {
		answer, ok, err := c.Step(body)
		if ok || err != nil {
			return err
		}
		if answer == nil {
			body = []byte{0, 0, 0, kindOk}
			continue
		}
		data, done, err := s.Step(answer)
		if err != nil {
			return err
		}
		kind := byte(kindSASLContinue)
		if done {
			kind = kindSASLFinal
		}
		body = append([]byte{0, 0, 0, kind}, data...)
	}
}

func TestClientAndServerMeet(t *testing.T) {
	salt := []byte("0123456789abcdef")
	v := verifierOf(t, "secret", salt, 10)
	client, server := keysOf(t, "secret", salt, 10)
	keys, certificate, other := Keys{client, server}, []byte("certificate"), []byte("another")
	var wrong Key
	for _, tc := range []struct {
		name         string
		keys         Keys
		tls          bool
		saw, is      []byte
		doomed       bool
		want         error
		code         pgerror.Code
		wantsBinding bool
		binding      string
	}{
		{name: "in clear", keys: keys},
		{name: "bound to the channel", keys: keys, tls: true, saw: certificate, is: certificate, wantsBinding: true},
		{name: "no binding is defined", keys: keys, tls: true},
		{name: "a server that does not offer it", keys: keys, tls: true, is: certificate},
		{name: "bound, which is required", keys: keys, tls: true, saw: certificate, is: certificate, wantsBinding: true, binding: "require"},
		{name: "required and not offered", keys: keys, tls: true, is: certificate, binding: "require", want: ErrBinding},
		{name: "required in clear", keys: keys, binding: "require", want: ErrBinding},
		{name: "not wanted", keys: keys, tls: true, saw: certificate, is: certificate, binding: "disable"},
		{name: "two certificates", keys: keys, tls: true, saw: certificate, is: other, code: "28000"},
		{name: "wrong ClientKey", keys: Keys{wrong, server}, want: ErrProof},
		{name: "doomed", keys: keys, doomed: true, want: ErrProof},
		{name: "impostor", keys: Keys{client, wrong}, want: ErrSignature},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := NewServer(v, tc.doomed, tc.saw, Nonce([]byte("server")))
			c := NewClient(tc.keys, Leg{TLS: tc.tls, EndPoint: tc.is, Binding: tc.binding}, Nonce([]byte("client")))
			err := exchange(s, c)
			var e *pgerror.Error
			if errors.As(err, &e) && e.Code != tc.code || e == nil && !errors.Is(err, tc.want) || e == nil && tc.code != "" {
				t.Fatalf("error %v", err)
			}
			if err == nil && (s.ClientKey() != client || s.plus != tc.wantsBinding) {
				t.Errorf("key %v, bound %v", s.ClientKey() == client, s.plus)
			}
		})
	}
}

// A client that thinks the server knows no binding, while it does: somebody took the offer away.
func TestDowngrade(t *testing.T) {
	s := NewServer(Verifier{Iterations: 1, Salt: []byte("salt")}, true, []byte("hash"), "n")
	_, _, err := s.Step(initialResponse(Mechanism, "y,,n=,r=abc"))
	var e *pgerror.Error
	if !errors.As(err, &e) || e.Code != "28000" || e.Message != "SCRAM channel binding negotiation error" {
		t.Fatal(err)
	}
}

func TestMockLooksReal(t *testing.T) {
	a, b := Mock([]byte("secret"), "alice", 4096), Mock([]byte("secret"), "alice", 4096)
	if !bytes.Equal(a.Salt, b.Salt) || len(a.Salt) != saltSize || bytes.Equal(a.Salt, Mock([]byte("secret"), "bob", 4096).Salt) ||
		bytes.Equal(a.Salt, Mock([]byte("other"), "alice", 4096).Salt) {
		t.Error("salts")
	}
	// All zero StoredKey: no ClientKey hashes to it, and the exchange is doomed beside that.
	s := NewServer(a, true, nil, Nonce(make([]byte, NonceSize)))
	c := NewClient(Keys{}, Leg{}, Nonce([]byte("x")))
	if err := exchange(s, c); !errors.Is(err, ErrProof) {
		t.Fatal(err)
	}
}

func TestParseVerifier(t *testing.T) {
	v := verifierOf(t, "x", []byte("0123456789abcdef"), 4096)
	got, err := ParseVerifier(v.text())
	if err != nil || got.text() != v.text() {
		t.Fatalf("%v, %v", got, err)
	}
	good := v.text()
	for _, bad := range []string{
		"", "md5aaf15f1ab8a4bba55dcbc69fb8ae0cba", "plain", good + "x", good[:len(good)-1], good[1:],
		strings.Replace(good, "4096", "0", 1), strings.Replace(good, "4096", "-1", 1), strings.Replace(good, "4096", "", 1),
		strings.Replace(good, "4096", "99999999999", 1), strings.Replace(good, "$4096:", "$4096", 1), good + "$",
		strings.Replace(good, "4096:", "4096:!", 1), strings.ToLower(good), good + strings.Repeat("A", MaxVerifier),
	} {
		if _, err := ParseVerifier(bad); !errors.Is(err, ErrVerifier) || strings.Contains(err.Error(), "$") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// No formatter shows a key.
func TestKeysAreNotShown(t *testing.T) {
	v := verifierOf(t, "x", []byte("0123456789abcdef"), 1)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		text := fmt.Sprintf(verb, v)
		if strings.Contains(text, fmt.Sprint(v.StoredKey[0], " ", v.StoredKey[1])) || !strings.Contains(text, "********") {
			t.Errorf("%s: %s", verb, text)
		}
	}
}

// What a primary may send instead of the messages that are due.
func TestClientRefuses(t *testing.T) {
	keys := Keys{}
	r := func(kind byte, text string) []byte { return append([]byte{0, 0, 0, kind}, text...) }
	offer := r(kindSASL, "SCRAM-SHA-256\x00\x00")
	first := "r=Y2xpZW50c,s=c2FsdA==,i=4096"
	for name, tc := range map[string]struct {
		steps [][]byte
		want  error
	}{
		"nothing asked":        {[][]byte{r(kindOk, "")}, ErrUnasked},
		"password":             {[][]byte{r(3, "")}, ErrMethod},
		"md5":                  {[][]byte{r(5, "salt")}, ErrMethod},
		"gss":                  {[][]byte{r(7, "")}, ErrMethod},
		"other mechanisms":     {[][]byte{r(kindSASL, "OAUTHBEARER\x00\x00")}, ErrMethod},
		"plus in clear only":   {[][]byte{r(kindSASL, "SCRAM-SHA-256-PLUS\x00\x00")}, ErrMethod},
		"short":                {[][]byte{{0, 0}}, ErrServer},
		"ok before the proof":  {[][]byte{offer, r(kindOk, "")}, ErrSignature},
		"ok without signature": {[][]byte{offer, r(kindSASLContinue, first), r(kindOk, "")}, ErrSignature},
		"asked twice":          {[][]byte{offer, offer}, ErrServer},
		"foreign nonce":        {[][]byte{offer, r(kindSASLContinue, "r=abcdef,s=c2FsdA==,i=1")}, ErrServer},
		"our nonce only":       {[][]byte{offer, r(kindSASLContinue, "r=Y2xpZW50,s=c2FsdA==,i=1")}, ErrServer},
		"nonce not printable":  {[][]byte{offer, r(kindSASLContinue, "r=Y2xpZW50\x01,s=c2FsdA==,i=1")}, ErrServer},
		"no salt":              {[][]byte{offer, r(kindSASLContinue, "r=Y2xpZW50c,s=,i=1")}, ErrServer},
		"no count":             {[][]byte{offer, r(kindSASLContinue, "r=Y2xpZW50c,s=c2FsdA==,i=0")}, ErrServer},
		"huge count":           {[][]byte{offer, r(kindSASLContinue, "r=Y2xpZW50c,s=c2FsdA==,i=99999999999")}, ErrServer},
		"extension":            {[][]byte{offer, r(kindSASLContinue, "m=x,"+first)}, ErrServer},
		"long":                 {[][]byte{offer, r(kindSASLContinue, first+strings.Repeat("x", maxServerMessage))}, ErrServer},
		"error":                {[][]byte{offer, r(kindSASLContinue, first), r(kindSASLFinal, "e=other-error")}, ErrServer},
		"signature of another": {[][]byte{offer, r(kindSASLContinue, first), r(kindSASLFinal, "v="+base64.StdEncoding.EncodeToString(make([]byte, 32)))}, ErrSignature},
		"final before first":   {[][]byte{offer, r(kindSASLFinal, "v=")}, ErrServer},
	} {
		t.Run(name, func(t *testing.T) {
			c := NewClient(keys, Leg{}, Nonce([]byte("client")))
			for i, body := range tc.steps {
				_, ok, err := c.Step(body)
				if last := i == len(tc.steps)-1; ok || (err != nil) != last || last && !errors.Is(err, tc.want) {
					t.Fatalf("step %d: %v, %v", i, ok, err)
				}
			}
		})
	}
}

// A count that would keep a client with a password busy for hours costs nothing here.
func TestIterationsCostNothing(t *testing.T) {
	c := NewClient(Keys{}, Leg{}, Nonce([]byte("client")))
	_, _, _ = c.Step([]byte("\x00\x00\x00\x0aSCRAM-SHA-256\x00\x00"))
	answer, _, err := c.Step([]byte("\x00\x00\x00\x0br=Y2xpZW50c,s=c2FsdA==,i=2147483647"))
	if err != nil || !bytes.HasPrefix(answer, []byte("c=biws,r=Y2xpZW50c,p=")) {
		t.Fatalf("%q, %v", answer, err)
	}
}
