package hostile

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"strings"
	"time"
)

// ports are the other ones: http, and the cluster's.
func ports() []attack {
	var all []attack
	http := func(name, want string, b ...string) {
		all = append(all, attack{name: "http: " + name, want: want, postgres: "-", play: func(p *peer) {
			p.form = speaksHTTP
			p.dial(p.w.http())
			for _, s := range b {
				p.send([]byte(s))
			}
		}})
	}
	const end = "Host: 127.0.0.1\r\n\r\n"
	http("garbage", "400 closed", "\x00\x01\x02\x03\r\n\r\n")
	http("a startup packet", "400 closed", string(parameters("user", "postgres"))+"\r\n\r\n")
	http("TLS", "400 closed", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n")
	http("header of 1 MB", "431 closed", "GET /status HTTP/1.1\r\nX: "+strings.Repeat("x", 1<<20))
	http("10,000 headers", "431 closed", "GET /status HTTP/1.1\r\n"+strings.Repeat("X: y\r\n", 10_000)+end)
	http("Content-Length and chunks", "501 closed", "POST /status HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked, identity\r\n"+end+"0\r\n\r\nGET /healthz HTTP/1.1\r\n"+end)
	http("two Content-Lengths", "400 closed", "POST /status HTTP/1.1\r\nContent-Length: 4\r\nContent-Length: 40\r\n"+end)
	http("negative Content-Length", "400 closed", "GET /status HTTP/1.1\r\nContent-Length: -1\r\n"+end)
	http("a body of 1 TB", "405", "POST /status HTTP/1.1\r\nContent-Length: 1000000000000\r\n"+end)
	http("DELETE", "405", "DELETE /status HTTP/1.1\r\n"+end)
	http("CONNECT", "405", "CONNECT 127.0.0.1:22 HTTP/1.1\r\n"+end)
	http("another site's name", "421", "GET /status HTTP/1.1\r\nHost: x\r\n\r\n")
	http("a path that climbs", "404", "GET /..%2f..%2f..%2fetc/passwd HTTP/1.1\r\n"+end)
	http("a NUL in a header", "400 closed", "GET /status HTTP/1.1\r\nX: \x00\r\n"+end)
	http("no host", "400 closed", "GET /status HTTP/1.1\r\n\r\n")
	http("profiles that are not served", "404", "GET /debug/pprof/heap HTTP/1.1\r\n"+end)
	http("100 requests at once", strings.Repeat("200 ", 100), strings.Repeat("GET /healthz HTTP/1.1\r\n"+end, 100))

	port := func(name string, play func(p *peer)) {
		all = append(all, attack{name: "cluster: " + name, want: "closed", postgres: "-", play: func(p *peer) {
			p.form = speaksBytes
			p.dial(p.w.cluster)
			play(p)
		}})
	}
	port("garbage", func(p *peer) { p.send([]byte("\xde\xad\xbe\xef\xde\xad\xbe\xef")) })
	port("memberlist in clear", func(p *peer) { p.send([]byte("\x06\x00\x00\x00\x04name")) })
	port("ClientHello of 16 MB", func(p *peer) { p.send([]byte("\x16\x03\x01\x40\x00\x01\xff\xff\xff"), make([]byte, 1<<17)) })
	port("half a record", func(p *peer) { p.send([]byte("\x16\x03\x01\x02\x00\x01")).half() })
	port("TLS 1.2", func(p *peer) {
		p.knock(&tls.Config{MaxVersion: tls.VersionTLS12, NextProtos: []string{"replproxy-link/1"}})
	})
	port("no certificate", func(p *peer) { p.knock(&tls.Config{NextProtos: []string{"replproxy-link/1"}}) })
	port("certificate of a stranger by a member's name", func(p *peer) { p.knock(p.stranger("replproxy-link/1")) })
	port("certificate of a stranger, to stream", func(p *peer) { p.knock(p.stranger("postgresql")) })
	port("a protocol of nobody", func(p *peer) { p.knock(&tls.Config{NextProtos: []string{"h2"}}) })

	all = append(all, attack{name: "cluster: packets of garbage", want: "", postgres: "-", play: func(p *peer) {
		conn, err := net.Dial("udp", p.w.cluster)
		if err != nil {
			p.fail("%w", err)
			return
		}
		defer conn.Close()
		for i := range 500 { // of all sizes, some in memberlist's own clear text
			b := make([]byte, 1+i*100)
			_, _ = rand.Read(b)
			if i%2 == 0 {
				b[0] = byte(i % 14)
			}
			_, _ = conn.Write(b)
		}
	}})
	return all
}

// knock begins TLS, which fails now or with the first byte to be read.
func (p *peer) knock(c *tls.Config) {
	if p.err != nil {
		return
	}
	c.InsecureSkipVerify = true
	conn := tls.Client(p.conn, c)
	if conn.HandshakeContext(p.ctx) == nil {
		p.use(conn)
	}
}

// stranger has a certificate of its own making in the name of a member.
func (p *peer) stranger(protocol string) *tls.Config {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		p.fail("%w", err)
		return &tls.Config{}
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: p.w.proxy.Name}, DNSNames: []string{p.w.proxy.Name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		p.fail("%w", err)
	}
	return &tls.Config{
		NextProtos:   []string{protocol},
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
	}
}
