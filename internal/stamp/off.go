//go:build !stamps || !linux

package stamp

import (
	"io"
	"net"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// On reports whether the program was built with the tag stamps. Without it nothing here does anything.
const On = false

// At notes that a step has reached a position.
func At(Step, lsn.LSN) {}

// Told notes that the upstream was told a position, and which goroutine did it.
func Told(lsn.LSN) {}

// Take writes the stamps since the last call.
func Take(io.Writer) error { return nil }

// Who tells the sessions of standbys apart.
type Who struct{}

// NewWho returns a value for a session that begins. Here all are the same.
func NewWho() Who { return Who{} }

// At notes that a step has reached a position for a standby.
func (Who) At(Step, lsn.LSN) {}

// Arrival holds when bytes came over a connection.
type Arrival struct{}

// NewArrival returns one for a new connection.
func NewArrival() Arrival { return Arrival{} }

// Read reads from the connection.
func (Arrival) Read(conn net.Conn, p []byte) (int, error) { return conn.Read(p) }

// Reader returns a reader from the connection.
func (Arrival) Reader(conn net.Conn) io.Reader { return conn }

// At notes when the last bytes up to position at became readable, and when the last read has read them.
func (Arrival) At(readable, read Step, w Who, at lsn.LSN) {}
