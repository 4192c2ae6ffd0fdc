package physical

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/handshake"
	"github.com/replproxy/replproxy/internal/wire"
	"github.com/replproxy/replproxy/proxy/admin"
	"github.com/replproxy/replproxy/proxy/console"
)

// TestConsoleLongMessage: a message that is too long is an error, and the session goes on; one beyond reason ends it.
func TestConsoleLongMessage(t *testing.T) {
	query := func(size int) []byte {
		return wire.AppendFrame(nil, 'Q', append([]byte("SELECT 1"+strings.Repeat(" ", size)), 0))
	}
	for _, c := range []struct {
		size    int
		errors  int
		answers int
		end     error
	}{
		{100, 0, 2, errOver}, {console.MaxMessage, 1, 1, errOver}, {maxSkipped, 0, 0, errClientGone},
	} {
		conn := &saidConn{in: bytes.NewReader(append(append(query(c.size), query(0)...), 'X', 0, 0, 0, 4))}
		s := &session{
			h: &Handler{}, req: &handshake.Request{Conn: conn}, server: noSession{}, client: newClient(conn),
			parameters: map[string]string{"server_version": "18.1"},
			console: func(c console.Client) *console.Session {
				return console.New(func() *console.Snapshot { return &console.Snapshot{Status: &admin.Status{}} }, c)
			},
		}
		if err := s.converse(t.Context()); !errors.Is(err, c.end) {
			t.Errorf("%d bytes: %v", c.size, err)
		}
		told := conn.out.String()
		failed, answered := strings.Count(told, "C54000"), strings.Count(told, "SELECT 1")
		if failed != c.errors || answered != c.answers {
			t.Errorf("%d bytes: %d errors and %d answers", c.size, failed, answered)
		}
	}
}
