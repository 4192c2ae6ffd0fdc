package handshake

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"net"
	"strings"
)

// SSL is the encryption of one connection, as a row of pg_stat_ssl.
type SSL struct {
	Version string // TLSv1.2 or TLSv1.3
	Cipher  string // IANA's name
	Bits    int    // of the cipher's key
	PeerDN  string // subject of the certificate that the other side showed, "" for none
}

// SSLOf describes a connection whose handshake is over; nil in clear.
func SSLOf(conn net.Conn) *SSL {
	secure, ok := conn.(*tls.Conn)
	if !ok {
		return nil
	}
	st := secure.ConnectionState()
	s := &SSL{Version: "TLSv1.2", Cipher: tls.CipherSuiteName(st.CipherSuite), Bits: 256}
	if st.Version == tls.VersionTLS13 {
		s.Version = "TLSv1.3"
	}
	if strings.Contains(s.Cipher, "AES_128") {
		s.Bits = 128
	}
	if len(st.PeerCertificates) > 0 {
		s.PeerDN = DN(st.PeerCertificates[0])
	}
	return s
}

// DN returns a certificate's subject as PostgreSQL compares it with clientname=DN: in the form of RFC 2253.
func DN(c *x509.Certificate) string { return subjectOf(c).String() }

// CN returns the first common name of a certificate's subject, "" for none.
func CN(c *x509.Certificate) string {
	for _, rdn := range subjectOf(c) {
		for _, a := range rdn {
			if name, ok := a.Value.(string); ok && a.Type.Equal(commonName) {
				return name
			}
		}
	}
	return ""
}

// subjectOf keeps the order and repetitions that pkix.Name loses.
func subjectOf(c *x509.Certificate) (subject pkix.RDNSequence) {
	if _, err := asn1.Unmarshal(c.RawSubject, &subject); err != nil {
		return nil
	}
	return subject
}

// commonName is id-at-commonName of X.520.
var commonName = asn1.ObjectIdentifier{2, 5, 4, 3}
