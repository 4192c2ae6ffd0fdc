package identity

import (
	"crypto/tls"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func open(t *testing.T, name string) *Node {
	t.Helper()
	n, err := Open(filepath.Join(t.TempDir(), "cluster"), name)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func members(t *testing.T, nodes ...*Node) *Members {
	t.Helper()
	var lines []string
	for _, n := range nodes {
		lines = append(lines, n.Line())
	}
	m, err := ParseMembers(lines)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestOpenKeepsTheKey(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "cluster")
	first, err := Open(dir, "proxy_a")
	if err != nil {
		t.Fatal(err)
	}
	again, err := Open(dir, "proxy_a")
	if err != nil {
		t.Fatal(err)
	}
	if first.Line() != again.Line() {
		t.Errorf("the key changed: %s, %s", first.Line(), again.Line())
	}
	st, err := os.Stat(filepath.Join(dir, keyFile))
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	if err := os.Chmod(filepath.Join(dir, keyFile), 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, "proxy_a"); err == nil || !strings.Contains(err.Error(), "group or world access") {
		t.Errorf("a key that others may read: %v", err)
	}
}

func TestOpenRefusesGarbage(t *testing.T) {
	for _, content := range []string{"", "x", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, keyFile), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(dir, "proxy_a"); err == nil {
			t.Errorf("%q was taken for a key", content)
		}
	}
}

func TestParseMembers(t *testing.T) {
	a, b := open(t, "proxy_a"), open(t, "proxy_b")
	for _, tt := range []struct{ line, want string }{
		{"proxy_c", "want a name and a public key"},
		{"proxy-c " + FormatKey(make([]byte, 32)), "plain lower-case identifier"},
		{"9c " + FormatKey(make([]byte, 32)), "plain lower-case identifier"},
		{"proxy_c ssh-ed25519:AAAA", "does not begin"},
		{"proxy_c ed25519:AAAA", "is not 32 bytes"},
		{"proxy_c " + strings.Fields(a.Line())[1], "the same public key"},
		{strings.Repeat("x", 64) + " " + FormatKey(make([]byte, 32)), "longer than 63"},
	} {
		if _, err := ParseMembers([]string{a.Line(), tt.line}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: %v, want %q", tt.line, err, tt.want)
		}
	}
	m := members(t, b, a)
	if got := m.Names(); len(got) != 2 || got[0] != "proxy_a" || got[1] != "proxy_b" {
		t.Errorf("names %v", got)
	}
	for _, tt := range []struct {
		node *Node
		want string
	}{
		{a, ""},
		{open(t, "proxy_a"), "another public key"},
		{open(t, "proxy_z"), "no cluster member"},
		{&Node{Name: "proxy_x", key: a.key}, `that of cluster member "proxy_a"`},
	} {
		err := m.Check(tt.node)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.node.Name, err, tt.want)
		}
	}
}

// shake makes a TLS connection between two nodes, each with its own list.
func shake(t *testing.T, client, server *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	type result struct {
		state tls.ConnectionState
		err   error
	}
	done := make(chan result, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			done <- result{err: err}
			return
		}
		defer conn.Close()
		s := tls.Server(conn, server)
		err = s.Handshake()
		done <- result{s.ConnectionState(), err}
	}()
	raw, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	clientErr := tls.Client(raw, client).Handshake()
	if clientErr != nil {
		raw.Close()
	}
	r := <-done
	return r.state, errors.Join(clientErr, r.err)
}

// older is a member that speaks TLS 1.2 at most.
func older(n *Node, protocol string) *tls.Config {
	return &tls.Config{
		Certificates: []tls.Certificate{n.cert}, MaxVersion: tls.VersionTLS12, InsecureSkipVerify: true, NextProtos: []string{protocol},
		ClientAuth: tls.RequireAnyClientCert,
	}
}

// twice is a member that shows another's certificate behind its own.
func twice(n, other *Node, protocol string) *tls.Config {
	cert := n.cert
	cert.Certificate = [][]byte{n.cert.Certificate[0], other.cert.Certificate[0]}
	return &tls.Config{Certificates: []tls.Certificate{cert}, InsecureSkipVerify: true, NextProtos: []string{protocol}}
}

func TestHandshake(t *testing.T) {
	a, b, c := open(t, "proxy_a"), open(t, "proxy_b"), open(t, "proxy_c")
	impostor := open(t, "proxy_a")
	all, ab := members(t, a, b, c), members(t, a, b)
	const proto, other = "acks/1", "gossip/1"
	for name, tt := range map[string]struct {
		client, server *tls.Config
		want           string // peer that the server sees, or "" for refusal
	}{
		"member":                {Client(a, all, "proxy_b", proto), Server(b, all, other, proto), "proxy_a"},
		"any member":            {Client(a, all, "", proto), Server(c, all, proto), "proxy_a"},
		"another member":        {Client(a, all, "proxy_b", proto), Server(c, all, proto), ""},
		"stranger dials":        {Client(impostor, all, "proxy_b", proto), Server(b, all, proto), ""},
		"stranger answers":      {Client(b, all, "proxy_a", proto), Server(impostor, all, proto), ""},
		"unknown to the server": {Client(c, all, "proxy_b", proto), Server(b, ab, proto), ""},
		"unknown to the client": {Client(a, ab, "", proto), Server(c, all, proto), ""},
		"other protocol":        {Client(a, all, "proxy_b", proto), Server(b, all, other), ""},
		"older client":          {older(a, proto), Server(b, all, proto), ""},
		"older server":          {Client(a, all, "proxy_b", proto), older(b, proto), ""},
		"two certificates":      {twice(a, b, proto), Server(b, all, proto), ""},
		"another's certificate": {&tls.Config{InsecureSkipVerify: true, NextProtos: []string{proto}, Certificates: []tls.Certificate{
			{Certificate: b.cert.Certificate, PrivateKey: a.cert.PrivateKey}}}, Server(c, all, proto), ""},
		"no certificate": {&tls.Config{InsecureSkipVerify: true, NextProtos: []string{proto}},
			Server(b, all, proto), ""},
	} {
		t.Run(name, func(t *testing.T) {
			state, err := shake(t, tt.client, tt.server)
			if (err == nil) != (tt.want != "") {
				t.Fatalf("error %v", err)
			}
			if err != nil {
				return
			}
			if peer, err := all.Peer(state); err != nil || peer != tt.want {
				t.Errorf("peer %q, %v", peer, err)
			}
		})
	}
}
