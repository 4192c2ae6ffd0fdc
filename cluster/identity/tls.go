package identity

import (
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrStranger reports a peer that is no member, or another one than was meant.
var ErrStranger = errors.New("peer is not the cluster member it should be")

// Server returns the TLS configuration that accepts members only and speaks one of protocols (ALPN).
func Server(n *Node, m *Members, protocols ...string) *tls.Config {
	c := config(n, protocols)
	c.ClientAuth = tls.RequireAnyClientCert
	c.VerifyConnection = func(cs tls.ConnectionState) error {
		_, err := m.Peer(cs)
		return err
	}
	return c
}

// Client returns the TLS configuration that connects to the member called name; "" for any member, when only an
// address is known. Of several protocols the server chooses one.
func Client(n *Node, m *Members, name string, protocols ...string) *tls.Config {
	c := config(n, protocols)
	// The usual verification asks for an authority and host names; VerifyConnection compares the key.
	c.InsecureSkipVerify = true
	c.VerifyConnection = func(cs tls.ConnectionState) error {
		peer, err := m.Peer(cs)
		switch {
		case err != nil:
			return err
		case name != "" && peer != name:
			return fmt.Errorf("%w: %q answered for %q", ErrStranger, peer, name)
		case !slices.Contains(protocols, cs.NegotiatedProtocol):
			return fmt.Errorf("%w: it does not speak %s", ErrStranger, strings.Join(protocols, " or "))
		}
		return nil
	}
	return c
}

func config(n *Node, protocols []string) *tls.Config {
	return &tls.Config{
		Certificates: []tls.Certificate{n.cert}, MinVersion: tls.VersionTLS13, NextProtos: protocols,
		SessionTicketsDisabled: true, // a resumed session would not show its certificate's key anew
	}
}

// Peer returns the name of the member at the other end of a connection, by its key. The error of any other is
// [ErrStranger].
func (m *Members) Peer(cs tls.ConnectionState) (string, error) {
	if len(cs.PeerCertificates) != 1 {
		return "", fmt.Errorf("%w: %d certificates", ErrStranger, len(cs.PeerCertificates))
	}
	cert := cs.PeerCertificates[0]
	key, ok := cert.PublicKey.(ed25519.PublicKey)
	if !ok || cert.PublicKeyAlgorithm != x509.Ed25519 {
		return "", fmt.Errorf("%w: its key is not Ed25519", ErrStranger)
	}
	name, ok := m.owner(key)
	if !ok {
		return "", fmt.Errorf("%w: unknown key %s", ErrStranger, FormatKey(key))
	}
	return name, nil
}
