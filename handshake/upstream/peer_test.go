package upstream

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"io"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/replproxy/replproxy/internal/wire"
)

// peer listens and runs script on each connection; the test ends when all scripts have.
func peer(t *testing.T, script func(net.Conn)) (port int) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer c.Close()
				c.SetDeadline(time.Now().Add(20 * time.Second))
				script(c)
			})
		}
	})
	t.Cleanup(func() {
		ln.Close()
		all.Wait()
	})
	return ln.Addr().(*net.TCPAddr).Port
}

func conninfoFor(port int, extra string) string {
	return fmt.Sprintf("host=127.0.0.1 port=%d user=u dbname=d %s", port, extra)
}

// readStartup reads one packet of the startup phase.
func readStartup(c net.Conn) []byte {
	var size [4]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		return nil
	}
	body := make([]byte, binary.BigEndian.Uint32(size[:])-4)
	if _, err := io.ReadFull(c, body); err != nil {
		return nil
	}
	return body
}

// welcome is everything from AuthenticationOk to ReadyForQuery.
func welcome(status map[string]string) []byte {
	b := wire.AppendFrame(nil, 'R', make([]byte, 4))
	for name, value := range status {
		b = wire.AppendFrame(b, 'S', []byte(name+"\x00"+value+"\x00"))
	}
	b = wire.AppendFrame(b, 'K', []byte{0, 0, 0, 7, 1, 2, 3, 4})
	return wire.AppendFrame(b, 'Z', []byte{'I'})
}

func refusal(severity, code, message string) []byte {
	return wire.AppendFrame(nil, 'E', []byte("S"+severity+"\x00V"+severity+"\x00C"+code+"\x00M"+message+"\x00\x00"))
}

// selfSigned is a server (or client) certificate for 127.0.0.1.
func selfSigned(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// sslRequest takes an SSLRequest off c and answers it.
func sslRequest(c net.Conn, answer string) bool {
	if !bytes.Equal(readStartup(c), []byte{0x04, 0xd2, 0x16, 0x2f}) {
		return false
	}
	_, err := io.WriteString(c, answer)
	return err == nil
}
