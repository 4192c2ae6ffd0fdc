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

// RenamedError reports a peer with the key of a member, which goes by another name. It is an [ErrStranger].
type RenamedError struct{ Member, Name string }

func (e RenamedError) Error() string {
	return fmt.Sprintf("the key of cluster member %q comes under the name %q: give all proxies the same "+
		"cluster.members, and restart each", e.Member, e.Name)
}

// Unwrap returns [ErrStranger].
func (e RenamedError) Unwrap() error { return ErrStranger }

// Refused reports whether err says that the other end takes this node for no member.
func Refused(err error) bool {
	return err != nil && strings.Contains(err.Error(), "remote error: tls: bad certificate")
}

// Peer returns the name of the member at the other end of a connection, by its key. The error of any other is
// [ErrStranger]. So is that of one which says another name than its key has here: what it says would count under the
// wrong one. A proxy of an older release says no name.
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
	if said := cert.Subject.CommonName; said != "" && said != name {
		return "", RenamedError{name, said}
	}
	return name, nil
}
