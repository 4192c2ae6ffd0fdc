package identity

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/replproxy/replproxy/internal/durable"
	"github.com/replproxy/replproxy/internal/keyfile"
)

const (
	keyFile   = "node.key"
	keyPrefix = "ed25519:"
	pemType   = "PRIVATE KEY" // PKCS #8
)

// Node is this proxy: its name and key pair.
type Node struct {
	Name string
	key  ed25519.PrivateKey
	cert tls.Certificate
}

// Open reads the key pair in dir, or makes it and the directory when there is none. The file is
// synced before Open returns, since other proxies are configured with its public half.
func Open(dir, name string) (*Node, error) {
	if err := ValidName(name); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, keyFile)
	b, err := keyfile.ReadSecret(path)
	if errors.Is(err, fs.ErrNotExist) {
		b, err = create(dir, path)
	}
	if err != nil {
		return nil, fmt.Errorf("node key %s: %w", path, err)
	}
	block, _ := pem.Decode(b)
	if block == nil || block.Type != pemType {
		return nil, fmt.Errorf("node key %s: not a PEM file with a %s", path, pemType)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("node key %s: %w", path, err)
	}
	key, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("node key %s: not an Ed25519 key", path)
	}
	cert, err := selfSigned(name, key)
	if err != nil {
		return nil, fmt.Errorf("node key %s: %w", path, err)
	}
	return &Node{Name: name, key: key, cert: cert}, nil
}

// Exists reports whether dir has a key file, readable or not. An error is the file system's: it is not known.
func Exists(dir string) (bool, error) {
	_, err := os.Lstat(filepath.Join(dir, keyFile))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Line returns the entry for cluster.members of the other proxies: the name and the public key.
func (n *Node) Line() string {
	return n.Name + " " + FormatKey(n.key.Public().(ed25519.PublicKey))
}

// Fingerprint tells keys apart.
func (n *Node) Fingerprint() uint64 {
	sum := sha256.Sum256(n.key.Public().(ed25519.PublicKey))
	return binary.BigEndian.Uint64(sum[:])
}

// FormatKey renders a public key as cluster.members has it.
func FormatKey(k ed25519.PublicKey) string { return keyPrefix + base64.StdEncoding.EncodeToString(k) }

// parseKey reads a key as FormatKey writes it; any other text is an error, which quotes it.
func parseKey(s string) (ed25519.PublicKey, error) {
	rest, ok := strings.CutPrefix(s, keyPrefix)
	if !ok {
		return nil, fmt.Errorf("public key %q does not begin with %q", s, keyPrefix)
	}
	b, err := base64.StdEncoding.Strict().DecodeString(rest)
	if err != nil || len(b) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("public key %q is not %d bytes in base64", s, ed25519.PublicKeySize)
	}
	return b, nil
}

// create makes a new key at path, durably, and returns its PEM: a crash leaves none or a whole one. dir is made where
// it is missing.
func create(dir, path string) ([]byte, error) {
	if err := durable.MakeDir(dir); err != nil {
		return nil, err
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	b := pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: der})
	return b, durable.WriteFile(durable.OS{}, path, b)
}

// ReadSecret reads a file that an administrator made, by the rules of a private key: one that others may read is an
// error, as one that is missing.
func ReadSecret(path string) ([]byte, error) {
	b, err := keyfile.ReadShared(path)
	if errors.Is(err, fs.ErrPermission) {
		err = fmt.Errorf("%w; under systemd give it as a credential: see packaging/replproxy.service", err)
	}
	if err != nil {
		return nil, fmt.Errorf("file %q was not read: %w", path, err)
	}
	return b, nil
}

// selfSigned wraps the key into a certificate, because TLS wants one. Nobody looks at anything in it but the key and
// the name, so its dates are wide enough for any clock.
func selfSigned(name string, key ed25519.PrivateKey) (tls.Certificate, error) {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Unix(0, 0),
		NotAfter:     time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
