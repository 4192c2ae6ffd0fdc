package crl

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

const (
	// maxFile bounds a file of lists: those of large authorities have some megabytes.
	maxFile = 64 << 20
	// maxFiles bounds the files of a directory.
	maxFiles = 1000
)

// Source names the lists: a file of PEM blocks, a directory of such files, or both. The zero value has none.
type Source struct{ File, Dir string }

// Set reports whether there is a file or a directory.
func (s Source) Set() bool { return s.File != "" || s.Dir != "" }

// The reasons for which a certificate is refused, in OpenSSL's words.
var (
	ErrRevoked  = errors.New("certificate revoked")
	ErrNoList   = errors.New("unable to get certificate CRL")
	ErrExpired  = errors.New("CRL has expired")
	ErrNotYet   = errors.New("CRL is not yet valid")
	errNoBlocks = errors.New("no certificate revocation list in it")
)

// Read reads all lists. It fails when the file cannot be read or has none; a directory may be empty.
func (s Source) Read() (all []*x509.RevocationList, err error) {
	if s.File != "" {
		if all, err = readFile(s.File); err == nil && len(all) == 0 {
			err = errNoBlocks
		}
		if err != nil {
			return nil, fmt.Errorf("could not load certificate revocation list file %q: %w", s.File, err)
		}
	}
	if s.Dir == "" {
		return all, nil
	}
	entries, err := os.ReadDir(s.Dir)
	if err == nil && len(entries) > maxFiles {
		err = fmt.Errorf("more than %d files", maxFiles)
	}
	for _, e := range entries {
		if err != nil {
			break
		}
		var more []*x509.RevocationList
		path := filepath.Join(s.Dir, e.Name())
		if info, bad := os.Stat(path); bad != nil || !info.Mode().IsRegular() {
			continue // a link to nowhere: a list was removed
		}
		more, err = readFile(path)
		all = append(all, more...)
	}
	if err != nil {
		return nil, fmt.Errorf("could not load certificate revocation list directory %q: %w", s.Dir, err)
	}
	return all, nil
}

func readFile(path string) (all []*x509.RevocationList, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	rest, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(rest) > maxFile {
		err = &fs.PathError{Op: "read", Path: path, Err: errors.New("the file is too large")}
	}
	for err == nil {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return all, nil
		}
		if block.Type == "X509 CRL" {
			var list *x509.RevocationList
			list, err = x509.ParseRevocationList(block.Bytes)
			all = append(all, list)
		}
	}
	return nil, err
}

// Check reads the lists and reports why none of the verified chains is good, nil when one is. Without a file or
// directory all are.
func (s Source) Check(chains [][]*x509.Certificate, now time.Time) error {
	if !s.Set() {
		return nil
	}
	lists, err := s.Read()
	if err != nil {
		return err
	}
	err = ErrNoList
	for _, chain := range chains {
		if err = check(lists, chain, now); err == nil {
			return nil
		}
	}
	return err
}

func check(lists []*x509.RevocationList, chain []*x509.Certificate, now time.Time) error {
	for i, c := range chain {
		if err := one(lists, c, chain[min(i+1, len(chain)-1)], now); err != nil {
			return fmt.Errorf("certificate %q: %w", c.Subject, err)
		}
	}
	return nil
}

// one looks for the issuer's list that is in force; of several any may revoke.
func one(lists []*x509.RevocationList, c, issuer *x509.Certificate, now time.Time) error {
	err := ErrNoList
	for _, l := range lists {
		if string(l.RawIssuer) != string(issuer.RawSubject) || l.CheckSignatureFrom(issuer) != nil {
			continue
		}
		for _, r := range l.RevokedCertificateEntries {
			if r.SerialNumber.Cmp(c.SerialNumber) == 0 {
				return ErrRevoked
			}
		}
		switch {
		case now.Before(l.ThisUpdate):
			if err != nil {
				err = ErrNotYet
			}
		case !l.NextUpdate.IsZero() && now.After(l.NextUpdate):
			if err != nil {
				err = ErrExpired
			}
		default:
			err = nil
		}
	}
	return err
}
