package hostile

import (
	"crypto/tls"
	"fmt"
	"strings"
)

const (
	sslRequest = "\x04\xd2\x16\x2f"
	gssRequest = "\x04\xd2\x16\x30"
)

func sends(b ...[]byte) func(*peer) { return func(p *peer) { p.dial().send(b...) } }

// startups are first packets.
func startups() []attack {
	of := func(name, want string, b ...[]byte) attack { return attack{name: name, want: want, play: sends(b...)} }
	return []attack{
		{name: "nothing at all", want: "closed", play: func(p *peer) { p.dial().half() }},
		{name: "three bytes of a length", want: "closed", play: func(p *peer) { p.dial().send([]byte("\x00\x00\x00")).half() }},
		of("length of 0", "closed", []byte("\x00\x00\x00\x00")),
		of("length that ends within itself", "closed", []byte("\x00\x00\x00\x03")),
		of("length without a code", "closed", []byte("\x00\x00\x00\x04")),
		of("length of -1", "closed", []byte("\xff\xff\xff\xff")),
		of("length of 2 GB", "closed", []byte("\x7f\xff\xff\xff"+v3)),
		of("length of 10001 bytes", "closed", startup(v3+strings.Repeat("x", 10_001))),
		of("packet of 9 kB of parameters", "asked", parameters("user", "postgres", "application_name", strings.Repeat("x", 9000))),
		{ // in the frames of 2.0
			name: "protocol 2.0", want: "closed",
			play: func(p *peer) { p.form = speaksBytes; p.dial().send(startup("\x00\x02\x00\x00user\x00x\x00\x00")) },
		},
		of("protocol 4.0", "0A000 closed", startup("\x00\x04\x00\x00user\x00x\x00\x00")),
		of("protocol 3.9999", "negotiate asked", startup("\x00\x03\x27\x0fuser\x00postgres\x00\x00")),
		of("a thousand protocol options", "negotiate asked", parameters(options(700)...)),
		of("no user", "28000 closed", parameters("database", "postgres")),
		of("empty packet", "28000 closed", startup(v3+"\x00")),
		of("no terminator", "08P01 closed", startup(v3+"user\x00postgres\x00")),
		of("name without a value", "08P01 closed", startup(v3+"user\x00postgres\x00database")),
		of("bytes behind the terminator", "08P01 closed", startup(v3+"user\x00postgres\x00\x00rest")),
		of("replication=perhaps", "22023 closed", parameters("user", "postgres", "replication", "perhaps")),
		of("user twice", "asked", parameters("user", "nobody", "user", "postgres")),
		of("user of 9 kB", "asked", parameters("user", strings.Repeat("u", 9000))),
		of("user that is no UTF-8", "asked", parameters("user", "\xff\xfe\x80", "replication", "true")),
		of("database with a path", "asked", parameters("user", "postgres", "database", "../../../etc/passwd")),
		of("HTTP", "closed", []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n")),
		of("SSH", "closed", []byte("SSH-2.0-OpenSSH_9.2\r\n")),
		{
			name: "SSLRequest twice", want: "closed", postgres: "-",
			play: func(p *peer) {
				p.form = speaksBytes
				p.dial().send(startup(sslRequest)).byteIs('S')
				p.send(startup(sslRequest))
			},
		},
		{
			name: "clear text behind SSLRequest", want: "08P01 closed", postgres: "-",
			play: func(p *peer) {
				p.dial().send(append(startup(sslRequest), parameters("user", "postgres")...)).byteIs('S')
				p.secure()
			},
		},
		{
			name: "GSSENCRequest, then garbage", want: "closed", postgres: "-",
			play: func(p *peer) {
				p.dial().send(startup(gssRequest)).byteIs('N')
				p.send([]byte("\x60\x82\x02\xff\x06")).half()
			},
		},
		{
			name: "GSSENCRequest twice", want: "0A000 closed", postgres: "-",
			play: func(p *peer) { p.dial().send(startup(gssRequest)).byteIs('N'); p.send(startup(gssRequest)) },
		},
		{
			name: "TLS: SSLRequest within", want: "0A000 closed", postgres: "-",
			play: func(p *peer) {
				p.dial().send(startup(sslRequest)).byteIs('S')
				p.secure()
				p.send(startup(sslRequest))
			},
		},
		{
			name: "TLS: packet of 2 GB within", want: "closed", postgres: "-",
			play: func(p *peer) {
				p.dial().send(startup(sslRequest)).byteIs('S')
				p.secure()
				p.send([]byte("\x7f\xff\xff\xff" + v3))
			},
		},
		{
			name: "TLS: ClientHello of 16 MB", want: "closed", postgres: "-",
			play: func(p *peer) {
				p.form = speaksBytes
				p.dial().send(startup(sslRequest)).byteIs('S')
				p.send([]byte("\x16\x03\x01\x40\x00\x01\xff\xff\xff"), make([]byte, 1<<18))
			},
		},
		{
			name: "TLS: alerts for a ClientHello", want: "closed", postgres: "-",
			play: func(p *peer) {
				p.form = speaksBytes
				p.dial().send(startup(sslRequest)).byteIs('S')
				p.send([]byte(strings.Repeat("\x15\x03\x01\x00\x02\x01\x00", 100)))
			},
		},
		{
			name: "direct TLS without ALPN", want: "closed", postgres: "-",
			play: func(p *peer) { p.form = speaksBytes; p.dial().directly() },
		},
		{
			name: "direct TLS for HTTP", want: "closed", postgres: "-",
			play: func(p *peer) { p.form = speaksBytes; p.dial().directly("h2", "http/1.1") },
		},
		of("cancel request cut short", "closed", startup("\x04\xd2\x16\x2e\x00\x00\x00\x01")),
		of("cancel request with a key of 9 kB", "closed", cancelRequest(1, make([]byte, 9000))),
		of("cancel request of nobody", "closed", cancelRequest(1, []byte("\xde\xad\xbe\xef"))),
		of("cancel request with bytes behind", "closed", cancelRequest(1, []byte("\xde\xad\xbe\xef")), query("SELECT 1")),
		{
			name: "cancel key replayed after its session", want: "closed",
			play: func(p *peer) {
				p.logIn().send(frame('X', ""))
				pid, key := p.pid, p.key
				p.dial().send(cancelRequest(pid, key))
			},
		},
		{
			name: "unix socket: SSLRequest, GSSENCRequest, garbage", want: "closed", postgres: "-",
			play: func(p *peer) {
				p.dial(p.w.socket()).send(startup(sslRequest)).byteIs('N')
				p.send(startup(gssRequest)).byteIs('N')
				p.send([]byte("\x00\x00\x00\x01"))
			},
		},
		{
			name: "unix socket: superuser without a password", want: "asked", postgres: "-",
			play: func(p *peer) { p.dial(p.w.socket()).send(parameters("user", "postgres", "replication", "true")) },
		},
	}
}

// directly begins TLS without asking. It is to fail, which a client may see only when it reads.
func (p *peer) directly(protocols ...string) { p.knock(&tls.Config{NextProtos: protocols}) }

func options(n int) (all []string) {
	all = []string{"user", "postgres"}
	for i := range n {
		all = append(all, fmt.Sprintf("_pq_.%d", i), "")
	}
	return all
}
