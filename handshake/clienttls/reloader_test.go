package clienttls

import (
	"crypto/tls"
	"crypto/x509/pkix"
	"errors"
	"log/slog"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/handshake"
)

func settings(t *testing.T, c *pgtest.Certificate) Settings {
	cert, key := c.Files(t)
	return Settings{Mode: Allow, CertFile: cert, KeyFile: key, ClientCert: Optional, ClientName: CN}
}

func overwrite(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestFilesThatChange: a new pair is used from the next connection on, a bad one never, and what was
// handed out before stays as it was.
func TestFilesThatChange(t *testing.T) {
	a := pgtest.NewAuthority(t, "test")
	first, second := a.Issue(t, pkix.Name{CommonName: "first"}), a.Issue(t, pkix.Name{CommonName: "second of them"})
	s := settings(t, first)
	var log strings.Builder
	k, err := New(s, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	subject := func() string { return k.Config().Certificates[0].Leaf.Subject.CommonName }
	before := k.Config()
	if subject() != "first" || k.Config() != before || log.Len() > 0 {
		t.Fatalf("%s, log %s", subject(), &log)
	}
	overwrite(t, s.CertFile, second.CertPEM) // the key does not fit yet
	for range 2 {
		if subject() != "first" {
			t.Error("half a pair is in use")
		}
	}
	if n := strings.Count(log.String(), "stay in use"); n != 1 {
		t.Errorf("%d complaints:\n%s", n, &log)
	}
	if st := k.Status(); !strings.Contains(st.LastError, s.KeyFile) || st.Subject != "CN=first" {
		t.Errorf("status %+v", st)
	}
	overwrite(t, s.KeyFile, second.KeyPEM)
	if subject() != "second of them" || k.Status().LastError != "" || !strings.Contains(log.String(), "are in use") {
		t.Errorf("%s: %+v\n%s", subject(), k.Status(), &log)
	}
	if before.Certificates[0].Leaf.Subject.CommonName != "first" {
		t.Error("a configuration that was handed out has changed")
	}
	if err := os.Chmod(s.KeyFile, 0o644); err != nil {
		t.Fatal(err)
	}
	if subject() != "second of them" || !strings.Contains(k.Status().LastError, "group or world access") {
		t.Errorf("a key that others may read: %+v", k.Status())
	}
	var file *FileError
	if err := k.Set(s); !errors.As(err, &file) || file.Key != "key_file" || subject() != "second of them" {
		t.Errorf("set again: %v", err)
	}
	if err := os.Remove(s.CertFile); err != nil {
		t.Fatal(err)
	}
	if subject() != "second of them" {
		t.Error("no certificate any more")
	}
	if err := k.Set(Settings{Mode: Off}); err != nil || k.Config() != nil || k.Status() != (Status{Mode: Off}) {
		t.Errorf("off: %v, %+v", err, k.Status())
	}
}

func TestBadFiles(t *testing.T) {
	a := pgtest.NewAuthority(t, "test")
	good := settings(t, a.Issue(t, pkix.Name{CommonName: "x"}))
	other := settings(t, a.Issue(t, pkix.Name{CommonName: "y"}))
	empty := t.TempDir() + "/empty"
	overwrite(t, empty, nil)
	for name, tc := range map[string]struct {
		change func(*Settings)
		key    string
	}{
		"no certificate":   {func(s *Settings) { s.CertFile = empty + "x" }, "cert_file"},
		"no key":           {func(s *Settings) { s.KeyFile = empty + "x" }, "key_file"},
		"another's key":    {func(s *Settings) { s.KeyFile = other.KeyFile }, "key_file"},
		"empty key":        {func(s *Settings) { s.KeyFile = empty }, "key_file"},
		"no authorities":   {func(s *Settings) { s.ClientCAFile = empty + "x" }, "client_ca_file"},
		"empty authority":  {func(s *Settings) { s.ClientCAFile = empty }, "client_ca_file"},
		"key as authority": {func(s *Settings) { s.ClientCAFile = s.KeyFile }, "client_ca_file"},
	} {
		s := good
		tc.change(&s)
		var file *FileError
		k, err := New(s, slog.New(slog.DiscardHandler))
		if !errors.As(err, &file) || file.Key != tc.key {
			t.Errorf("%s: %v", name, err)
		}
		if s.Mode = Off; k.Set(s) != nil {
			t.Errorf("%s: looked at without TLS", name)
		}
	}
	good.ClientCAFile = a.File
	if _, err := New(good, slog.New(slog.DiscardHandler)); err != nil {
		t.Error(err)
	}
}

// admitted runs a real handshake and judges a request over it.
func admitted(t *testing.T, s Settings, client *tls.Config, rule [2]string, r *handshake.Request) *pgerror.Error {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	k, err := New(s, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	r.Conn = server
	if client != nil {
		done := make(chan error, 1)
		go func() { done <- tls.Client(c, client).Handshake() }()
		secure := tls.Server(server, k.Config())
		if err := secure.Handshake(); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		r.Conn = secure
	}
	return k.Admit(r, rule[0], rule[1])
}

func TestAdmit(t *testing.T) {
	a := pgtest.NewAuthority(t, "test")
	base := settings(t, a.Issue(t, pkix.Name{CommonName: "proxy"}))
	base.ClientCAFile = a.File
	full := a.Issue(t, pkix.Name{CommonName: "app", Organization: []string{"Ähre, Inc."}, Country: []string{"DE"}})
	without := &tls.Config{InsecureSkipVerify: true}
	with := &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{full.Pair}}
	const dn = `CN=app,O=Ähre\, Inc.,C=DE`
	const noCert, wrong = "connection requires a valid client certificate", `certificate authentication failed for user "%s"`
	plain := `no pg_hba.conf entry for host "127.0.0.1", user "app", database "d", no encryption`
	for name, tc := range map[string]struct {
		mode, clientcert, clientname, user string
		class                              handshake.Class
		client                             *tls.Config
		want                               string
	}{
		"allow, plain":                {mode: Allow},
		"allow, TLS":                  {mode: Allow, client: without},
		"require, TLS":                {mode: Require, client: without},
		"require, plain":              {mode: Require, want: plain},
		"require, logical":            {mode: Require, class: handshake.LogicalWalsender, want: plain},
		"require, cancel":             {mode: Require, class: handshake.Cancel},
		"require, physical":           {mode: Require, class: handshake.PhysicalWalsender, want: `no pg_hba.conf entry for replication connection from host "127.0.0.1", user "app", no encryption`},
		"verify-ca":                   {mode: Require, clientcert: VerifyCA, client: with, user: "anybody"},
		"verify-ca, none":             {mode: Require, clientcert: VerifyCA, client: without, want: noCert},
		"verify-ca, cancel, none":     {mode: Require, clientcert: VerifyCA, client: without, class: handshake.Cancel},
		"verify-full, none":           {mode: Require, clientcert: VerifyFull, client: without, want: noCert},
		"verify-full":                 {mode: Require, clientcert: VerifyFull, client: with},
		"verify-full, another":        {mode: Require, clientcert: VerifyFull, client: with, user: "App", want: strings.ReplaceAll(wrong, "%s", "App")},
		"verify-full, dn":             {mode: Require, clientcert: VerifyFull, clientname: DN, client: with, user: dn},
		"verify-full, dn, the cn":     {mode: Require, clientcert: VerifyFull, clientname: DN, client: with, want: strings.ReplaceAll(wrong, "%s", "app")},
		"verify-full, plain, require": {mode: Require, clientcert: VerifyFull, want: plain},
	} {
		t.Run(name, func(t *testing.T) {
			s := base
			s.Mode = tc.mode
			if tc.clientcert != "" {
				s.ClientCert = tc.clientcert
			}
			if tc.clientname != "" {
				s.ClientName = tc.clientname
			}
			if tc.user == "" {
				tc.user = "app"
			}
			if tc.class == 0 {
				tc.class = handshake.Regular
			}
			e := admitted(t, s, tc.client, [2]string{}, &handshake.Request{Class: tc.class,
				Params: handshake.Params{{Name: "user", Value: tc.user}, {Name: "database", Value: "d"}}})
			got := ""
			if e != nil {
				got = e.Message
				if e.Code != pgerror.InvalidAuthorization || !e.IsFatal() {
					t.Errorf("%v", e)
				}
			}
			if got != tc.want {
				t.Errorf("%q, want %q", got, tc.want)
			}
			if tc.clientcert == "" {
				return
			}
			// An access rule's own requirement holds instead of the settings, weaker or stronger.
			for _, other := range []string{Optional, VerifyCA, VerifyFull} {
				s.ClientCert, s.ClientName = other, DN
				e := admitted(t, s, tc.client, [2]string{tc.clientcert, tc.clientname}, &handshake.Request{Class: tc.class,
					Params: handshake.Params{{Name: "user", Value: tc.user}, {Name: "database", Value: "d"}}})
				if got = ""; e != nil {
					got = e.Message
				}
				if got != tc.want {
					t.Errorf("by a rule, tls.clientcert %s: %q, want %q", other, got, tc.want)
				}
			}
		})
	}
}

// The certificate of a stranger ends the handshake, required or not.
func TestStrangersCertificate(t *testing.T) {
	a, stranger := pgtest.NewAuthority(t, "test"), pgtest.NewAuthority(t, "stranger")
	s := settings(t, a.Issue(t, pkix.Name{CommonName: "proxy"}))
	s.ClientCAFile = a.File
	k, err := New(s, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	client, server := net.Pipe()
	defer client.Close()
	defer server.Close()
	pair := stranger.Issue(t, pkix.Name{CommonName: "app"}).Pair
	config := &tls.Config{InsecureSkipVerify: true,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }}
	go func() {
		c := tls.Client(client, config)
		_ = c.Handshake()
		_, _ = c.Read(make([]byte, 1))
	}()
	if err := tls.Server(server, k.Config()).Handshake(); err == nil || !strings.Contains(err.Error(), "unknown authority") {
		t.Errorf("%v", err)
	}
}
