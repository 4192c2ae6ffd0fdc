package upstream

import (
	"crypto/x509"
	"os"
	"path/filepath"
)

// systemFiles lists the files in which systems keep the authorities that they trust, the first that is there counts:
// Debian, Fedora, SUSE, Alpine and the BSDs.
var systemFiles = []string{
	"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem",
	"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", "/etc/ssl/cert.pem",
}

// systemRoots reads the certificates that sslrootcert=system trusts, from OpenSSL's places, SSL_CERT_FILE and
// SSL_CERT_DIR first. The library would read it once per process. Without any file the library's answer stands.
func systemRoots() (*x509.CertPool, error) {
	files, dirs := systemFiles, filepath.SplitList(os.Getenv("SSL_CERT_DIR"))
	if f := os.Getenv("SSL_CERT_FILE"); f != "" {
		files = []string{f}
	}
	roots, found := x509.NewCertPool(), false
	for _, f := range files {
		if content, err := os.ReadFile(f); err == nil && roots.AppendCertsFromPEM(content) {
			found = true
			break
		}
	}
	for _, d := range dirs {
		entries, _ := os.ReadDir(d)
		for _, e := range entries {
			content, err := os.ReadFile(filepath.Join(d, e.Name()))
			found = err == nil && roots.AppendCertsFromPEM(content) || found
		}
	}
	if !found {
		return x509.SystemCertPool()
	}
	return roots, nil
}
