package scramauth

import (
	"crypto"
	_ "crypto/sha256" // the hashes that certificates are signed with
	_ "crypto/sha512"
	"crypto/subtle"
	"crypto/x509"
	"encoding/base64"
	"strings"

	"github.com/replproxy/replproxy/grammar/pgerror"
)

// bindingType is the only channel binding that PostgreSQL knows.
const bindingType = "tls-server-end-point"

// EndPoint returns the channel binding data tls-server-end-point of a certificate in DER. That is its hash by the hash
// of its signature, or by SHA-256 where that is MD5 or SHA-1 (RFC 5929). It is nil for no certificate, and for one
// whose signature has no hash of its own (Ed25519): no binding is defined for that.
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

// bindingFlag reads the flag of the gs2 header. The error is PostgreSQL's, for a flag that does not go with the
// mechanism or says that this server has no channel binding when it has.
func (s *Server) bindingFlag(a *attrs) error {
	s.flag = a.next()
	switch s.flag {
	case 'n', 'y':
		if s.plus {
			return malformed("The client selected SCRAM-SHA-256-PLUS, but the SCRAM message does not " +
				"include channel binding data.")
		}
		if s.flag == 'y' && s.endPoint != nil {
			return pgerror.Fatal(pgerror.InvalidAuthorization, "SCRAM channel binding negotiation error").
				WithDetail("The client supports SCRAM channel binding but thinks the server does not.  " +
					"However, this server does support channel binding.")
		}
		a.skip()
	case 'p':
		if !s.plus {
			return malformed("The client selected SCRAM-SHA-256 without channel binding, but the SCRAM " +
				"message includes channel binding data.")
		}
		name, more, _ := strings.Cut(a.rest, ",")
		if len(name) < 2 || name[1] != '=' {
			return malformed(`Expected character "=" for attribute "%c".`, 'p')
		}
		if name[2:] != bindingType {
			return pgerror.Fatal(pgerror.ProtocolViolation,
				"unsupported SCRAM channel-binding type \"%s\"", sanitizeText(name[2:]))
		}
		if len(name) == len(a.rest) {
			return malformed(`Unexpected attribute "%s" in client-first-message.`, sanitize(0))
		}
		a.rest = "," + more
	default:
		return malformed(`Unexpected channel-binding flag "%s".`, sanitize(s.flag))
	}
	return nil
}

// judgeBinding returns PostgreSQL's error for a channel binding, in base64, that is not the one of this connection. It
// takes the same time for each.
func (s *Server) judgeBinding(given string) error {
	if !s.plus {
		if given != base64.StdEncoding.EncodeToString([]byte{s.flag, ',', ','}) {
			return pgerror.Fatal(pgerror.ProtocolViolation,
				"unexpected SCRAM channel-binding attribute in client-final-message")
		}
		return nil
	}
	want := base64.StdEncoding.EncodeToString(append([]byte("p="+bindingType+",,"), s.endPoint...))
	if subtle.ConstantTimeCompare([]byte(want), []byte(given)) != 1 {
		return pgerror.Fatal(pgerror.InvalidAuthorization, "SCRAM channel binding check failed")
	}
	return nil
}
