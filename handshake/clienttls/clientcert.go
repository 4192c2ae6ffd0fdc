package clienttls

import (
	"crypto/tls"
	"net"
	"strconv"

	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/handshake"
)

// Admit judges a request by the connection it came over. It returns nil, or a FATAL 28000 as pg_hba.conf would give
// with hostssl, clientcert and clientname. clientCert and clientName come from an access rule and override the
// settings unless they are "". Cancel requests and unix sockets pass.
func (k *Reloader) Admit(r *handshake.Request, clientCert, clientName string) *pgerror.Error {
	k.mu.Lock()
	s := k.set
	k.mu.Unlock()
	if clientCert != "" {
		s.ClientCert, s.ClientName = clientCert, CN
		if clientName != "" {
			s.ClientName = clientName
		}
	}
	return s.admit(r)
}

func (s Settings) admit(r *handshake.Request) *pgerror.Error {
	if r.Class == handshake.Cancel || r.Conn.RemoteAddr().Network() == "unix" {
		return nil
	}
	secure, ok := r.Conn.(*tls.Conn)
	switch {
	case !ok && s.Mode == Require:
		return noEntry(r)
	case !ok || s.ClientCert != VerifyCA && s.ClientCert != VerifyFull:
		return nil
	}
	chains := secure.ConnectionState().VerifiedChains
	if len(chains) == 0 {
		return pgerror.Fatal(pgerror.InvalidAuthorization, "connection requires a valid client certificate").
			WithHint("replproxy wants a certificate (clientcert %s). libpq takes sslcert and sslkey.", s.ClientCert)
	}
	if s.ClientCert == VerifyFull {
		name := handshake.CN(chains[0][0])
		if s.ClientName == DN {
			name = handshake.DN(chains[0][0])
		}
		if name != r.User() {
			return pgerror.Fatal(pgerror.InvalidAuthorization,
				"certificate authentication failed for user \"%s\"", r.User()).WithCause(mismatch{s.ClientName, name})
		}
	}
	return nil
}

// noEntry returns PostgreSQL's refusal when only hostssl lines match.
func noEntry(r *handshake.Request) *pgerror.Error {
	host, _, err := net.SplitHostPort(r.Conn.RemoteAddr().String())
	if err != nil {
		host = r.Conn.RemoteAddr().String()
	}
	e := pgerror.Fatal(pgerror.InvalidAuthorization,
		"no pg_hba.conf entry for host \"%s\", user \"%s\", database \"%s\", no encryption",
		host, r.User(), r.Database())
	if r.Class == handshake.PhysicalWalsender {
		e = pgerror.Fatal(pgerror.InvalidAuthorization,
			"no pg_hba.conf entry for replication connection from host \"%s\", user \"%s\", no encryption",
			host, r.User())
	}
	return e.WithHint("replproxy has tls.mode: require. Use sslmode=require or stronger.")
}

// mismatch tells the log which name of a certificate is not the user's.
type mismatch struct{ what, name string }

func (m mismatch) Error() string {
	return "provided user name and authenticated user name do not match: the certificate's " + m.what +
		" is " + strconv.Quote(m.name)
}
