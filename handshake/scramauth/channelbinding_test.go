package scramauth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"math/big"
	"testing"
)

func TestEndPoint(t *testing.T) {
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ec, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	for algorithm, tc := range map[x509.SignatureAlgorithm]struct {
		key crypto.Signer
		sum func([]byte) []byte
	}{
		x509.SHA256WithRSA:    {r, sum256},
		x509.SHA384WithRSA:    {r, sum384},
		x509.SHA512WithRSA:    {r, sum512},
		x509.SHA512WithRSAPSS: {r, sum512},
		x509.ECDSAWithSHA256:  {ec, sum256},
		x509.ECDSAWithSHA384:  {ec, sum384},
		x509.PureEd25519:      {ed, nil},
	} {
		template := &x509.Certificate{SerialNumber: big.NewInt(1), SignatureAlgorithm: algorithm}
		der, err := x509.CreateCertificate(rand.Reader, template, template, tc.key.Public(), tc.key)
		if err != nil {
			t.Fatal(algorithm, err)
		}
		got := EndPoint(der)
		if tc.sum == nil && got != nil || tc.sum != nil && string(got) != string(tc.sum(der)) {
			t.Errorf("%s: %x", algorithm, got)
		}
	}
	if EndPoint(nil) != nil || EndPoint([]byte("x")) != nil {
		t.Error("a binding to nothing")
	}
}

func sum256(b []byte) []byte { s := sha256.Sum256(b); return s[:] }
func sum384(b []byte) []byte { s := sha512.Sum384(b); return s[:] }
func sum512(b []byte) []byte { s := sha512.Sum512(b); return s[:] }
