package authwatch

import (
	"bytes"
	"crypto/tls"
	"net"

	"github.com/replproxy/replproxy/grammar/pgerror"
)

// plusSuffix ends the name of every SASL mechanism that binds to the TLS channel.
const plusSuffix = "-PLUS"

// withoutPlus takes the channel-binding mechanisms out of an AuthenticationSASL body: libpq refuses
// a server that offers one over a connection in clear (facts A7). A body of another shape is
// returned as it is, for the client to judge.
func withoutPlus(body []byte) []byte {
	if !bytes.Contains(body, []byte(plusSuffix+"\x00")) {
		return body
	}
	out := append(make([]byte, 0, len(body)), body[:4]...)
	rest := body[4:]
	for len(rest) > 0 && rest[0] != 0 {
		end := bytes.IndexByte(rest, 0)
		if end < 0 {
			return body
		}
		if name := rest[:end]; !bytes.HasSuffix(name, []byte(plusSuffix)) {
			out = append(out, rest[:end+1]...)
		}
		rest = rest[end+1:]
	}
	return append(out, rest...)
}

// SameCertificate reports whether a client that was shown a certificate (DER, nil without TLS) would see the same one
// at the server behind upstream. Its channel binding covers that and nothing else.
func SameCertificate(shown []byte, upstream net.Conn) bool {
	secure, ok := upstream.(*tls.Conn)
	if !ok || len(shown) == 0 {
		return false
	}
	chain := secure.ConnectionState().PeerCertificates
	return len(chain) > 0 && bytes.Equal(shown, chain[0].Raw)
}

// refuseBinding refuses a SASLInitialResponse that cannot succeed when both legs speak TLS: the
// binding covers the certificate that the client saw, the proxy's. A client with
// channel_binding=disable sends the flag n and passes.
func refuseBinding(answer []byte) error {
	mechanism, _, found := bytes.Cut(answer, []byte{0})
	if !found || !bytes.HasSuffix(mechanism, []byte(plusSuffix)) {
		return nil
	}
	return pgerror.Fatal(pgerror.InvalidAuthorization,
		"channel binding cannot pass through replproxy when both legs use TLS").
		WithDetail("The client bound its proof to replproxy's certificate, the primary expects its own.").
		WithHint("Use channel_binding=disable in the client, give replproxy the primary's own certificate, " +
			"or use sslmode=disable in upstream.conninfo where the network to the primary is safe.")
}
