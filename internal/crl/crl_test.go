package crl

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"
)

var now = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

// authority signs certificates and lists.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func issue(t *testing.T, name string, serial int64, by *authority) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCRLSign | x509.KeyUsageCertSign, SubjectKeyId: []byte(name)}
	a := &authority{cert: c, key: key}
	if by == nil {
		by = a
	}
	der, err := x509.CreateCertificate(rand.Reader, c, by.cert, &key.PublicKey, by.key)
	if err == nil {
		a.cert, err = x509.ParseCertificate(der)
	}
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (a *authority) list(t *testing.T, from, to time.Duration, serials ...int64) []byte {
	t.Helper()
	l := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: now.Add(from), NextUpdate: now.Add(to)}
	for _, s := range serials {
		l.RevokedCertificateEntries = append(l.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: big.NewInt(s), RevocationTime: now})
	}
	der, err := x509.CreateRevocationList(rand.Reader, l, a.cert, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})
}

func TestCheck(t *testing.T) {
	root := issue(t, "root", 1, nil)
	inner := issue(t, "inner", 2, root)
	leaf := issue(t, "leaf", 3, inner)
	stranger := issue(t, "inner", 9, nil) // of the same name
	chain := [][]*x509.Certificate{{leaf.cert, inner.cert, root.cert}}
	const h = time.Hour
	fine := root.list(t, -h, h)
	for _, tc := range []struct {
		name  string
		lists [][]byte
		want  error
	}{
		{"all there", [][]byte{fine, inner.list(t, -h, h, 4)}, nil},
		{"the leaf is revoked", [][]byte{fine, inner.list(t, -h, h, 4, 3)}, ErrRevoked},
		{"the authority between is revoked", [][]byte{root.list(t, -h, h, 2), inner.list(t, -h, h)}, ErrRevoked},
		{"no list of the issuer", [][]byte{fine}, ErrNoList},
		{"no list of the root", [][]byte{inner.list(t, -h, h)}, ErrNoList},
		{"an old list", [][]byte{fine, inner.list(t, -2*h, -h)}, ErrExpired},
		{"an old list and a new one", [][]byte{fine, inner.list(t, -2*h, -h), inner.list(t, -h, h)}, nil},
		{"a new list and an old one", [][]byte{fine, inner.list(t, -h, h), inner.list(t, -2*h, -h)}, nil},
		{"a list to come", [][]byte{fine, inner.list(t, h, 2*h)}, ErrNotYet},
		{"revoked by an old list", [][]byte{fine, inner.list(t, -h, h), inner.list(t, -2*h, -h, 3)}, ErrRevoked},
		{"a list that somebody else has signed", [][]byte{fine, stranger.list(t, -h, h)}, ErrNoList},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			var whole []byte
			for i, l := range tc.lists {
				whole = append(whole, l...)
				if err := os.WriteFile(filepath.Join(dir, string(rune('a'+i))+".r0"), l, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			file := filepath.Join(t.TempDir(), "crl")
			if err := os.WriteFile(file, whole, 0o600); err != nil {
				t.Fatal(err)
			}
			for _, s := range []Source{{File: file}, {Dir: dir}, {File: file, Dir: dir}} {
				if err := s.Check(chain, now); !errors.Is(err, tc.want) {
					t.Errorf("%+v: %v", s, err)
				}
			}
		})
	}
	if err := (Source{}).Check(chain, now); err != nil {
		t.Errorf("no lists are wanted: %v", err)
	}
	for _, s := range []Source{{File: filepath.Join(t.TempDir(), "absent")}, {Dir: filepath.Join(t.TempDir(), "absent")}} {
		if s.Check(chain, now) == nil {
			t.Errorf("%+v: what cannot be read revokes nothing", s)
		}
	}
}
