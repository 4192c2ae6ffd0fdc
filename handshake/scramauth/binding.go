package scramauth

import (
	"crypto"
	_ "crypto/sha256" // the hashes that certificates are signed with
	_ "crypto/sha512"
	"crypto/x509"
)

// bindingType is the only channel binding that PostgreSQL knows.
const bindingType = "tls-server-end-point"

// EndPoint is the channel binding data tls-server-end-point of a certificate in DER: its hash by the hash
// of its signature, or by SHA-256 where that is MD5 or SHA-1 (RFC 5929). nil for a certificate whose
// signature has no hash of its own (Ed25519), for which no binding is defined, and for no certificate.
func EndPoint(der []byte) []byte {
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil
	}
	var hash crypto.Hash
	switch c.SignatureAlgorithm {
	case x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1,
		x509.SHA256WithRSA, x509.DSAWithSHA256, x509.ECDSAWithSHA256, x509.SHA256WithRSAPSS:
		hash = crypto.SHA256
	case x509.SHA384WithRSA, x509.ECDSAWithSHA384, x509.SHA384WithRSAPSS:
		hash = crypto.SHA384
	case x509.SHA512WithRSA, x509.ECDSAWithSHA512, x509.SHA512WithRSAPSS:
		hash = crypto.SHA512
	default:
		return nil
	}
	h := hash.New()
	h.Write(der)
	return h.Sum(nil)
}
