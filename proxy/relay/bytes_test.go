package relay

import (
	"bytes"
	"io"
	"net"
)

// memory is a connection that gives what it was made of and then ends.
type memory struct {
	net.Conn
	io.Reader
}

func (m memory) Read(b []byte) (int, error) { return m.Reader.Read(b) }

func bytesConn(b []byte) net.Conn { return memory{Reader: bytes.NewReader(b)} }
