package scene

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/replproxy/replproxy/grammar/copyboth"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/internal/wire"
)

// Meter stands between a receiver of WAL and a server and passes on everything. It counts the keepalives of the one,
// the status updates of the other, and the bytes of WAL that a connection had brought before.
type Meter struct {
	Port                       int
	Keepalives, Replies, Again atomic.Int64
}

// StartMeter listens in front of a server's port until the test ends.
func StartMeter(t *testing.T, port int) *Meter {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := &Meter{Port: l.Addr().(*net.TCPAddr).Port}
	var all sync.WaitGroup
	var mu sync.Mutex
	var conns []net.Conn
	open := func(c net.Conn) { mu.Lock(); defer mu.Unlock(); conns = append(conns, c) }
	all.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
			if err != nil {
				client.Close()
				continue
			}
			open(client)
			open(server)
			all.Go(func() { defer client.Close(); m.pass(client, server, 'k', &m.Keepalives) })
			all.Go(func() {
				defer server.Close()
				if startup(server, client) == nil {
					m.pass(server, client, 'r', &m.Replies)
				}
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for _, c := range conns {
			c.Close()
		}
		mu.Unlock()
		all.Wait()
	})
	return m
}

// Conninfo returns a connection string for the server behind the meter, by way of the meter.
func (m *Meter) Conninfo() string {
	return fmt.Sprintf("host=127.0.0.1 port=%d user=postgres dbname=postgres sslmode=disable", m.Port)
}

// startup passes the one packet that is no frame.
func startup(to io.Writer, from io.Reader) error {
	size := make([]byte, 4)
	if _, err := io.ReadFull(from, size); err != nil {
		return err
	}
	if _, err := to.Write(size); err != nil {
		return err
	}
	_, err := io.CopyN(to, from, int64(binary.BigEndian.Uint32(size))-4)
	return err
}

// pass copies frames and counts those of CopyData that begin with tag, until either side ends.
func (m *Meter) pass(to io.Writer, from io.Reader, tag byte, count *atomic.Int64) {
	const most = 1 << 20 // a message of WAL is an eighth of that
	r := wire.NewReader(from, 64<<10)
	var had lsn.LSN
	for {
		h, err := r.Next()
		if err != nil {
			return
		}
		body, err := r.Body(h.Size, most)
		if err != nil {
			return
		}
		if h.Type == 'd' && len(body) > 0 && body[0] == tag {
			count.Add(1)
		}
		if wal, err := copyboth.DecodeXLogData(body); err == nil && h.Type == 'd' && tag == 'k' {
			end := wal.Start + lsn.LSN(len(wal.Data))
			if wal.Start < had {
				m.Again.Add(int64(min(had, end) - wal.Start))
			}
			had = max(had, end)
		}
		if _, err := to.Write(wire.AppendFrame(nil, h.Type, body)); err != nil {
			return
		}
	}
}
