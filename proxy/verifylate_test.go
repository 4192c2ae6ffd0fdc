package proxy

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/handshake"
	"github.com/replproxy/replproxy/handshake/roles"
	"github.com/replproxy/replproxy/handshake/scramauth"
	"github.com/replproxy/replproxy/internal/wire"
)

// nobody knows no role.
type nobody struct{}

func (nobody) Find(context.Context, string) roles.Found { return roles.Found{Certain: true} }
func (nobody) Mock(string) scramauth.Verifier           { return scramauth.Verifier{Iterations: 4096} }
func (nobody) Suspect(string)                           {}

// lateConn sets the deadline of an ended context as late as a scheduler may: once somebody has taken the deadlines
// away, or after lateWait.
type lateConn struct {
	net.Conn
	once    sync.Once
	begun   chan struct{} // closed when the deadline is to be set
	cleared chan struct{}
	set     chan struct{} // closed when it is set
}

const lateWait = 100 * time.Millisecond

func (c *lateConn) SetDeadline(at time.Time) error {
	switch {
	case at.IsZero():
		c.once.Do(func() { close(c.cleared) })
	case at.Before(time.Unix(2, 0)):
		close(c.begun)
		defer close(c.set)
		select {
		case <-c.cleared:
		case <-time.After(lateWait):
		}
	}
	return c.Conn.SetDeadline(at)
}

// TestLateDeadline: a client whose log-in is ended is told why, however late the deadline that ends it is set.
func TestLateDeadline(t *testing.T) {
	server, client := net.Pipe()
	defer server.Close()
	defer client.Close()
	late := &lateConn{Conn: server, begun: make(chan struct{}), cleared: make(chan struct{}), set: make(chan struct{})}
	s := &Server{o: Options{
		AuthenticationTimeout: time.Minute, Roles: nobody{}, NewestMinor: func() uint16 { return 0 },
	}}
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		frames := wire.NewReader(client, 4096)
		if h, err := frames.Next(); err == nil { // AuthenticationSASL
			_ = frames.Discard(h.Size)
		}
		cancel(errShutdown())
		<-late.begun
		_, _ = client.Write(wire.AppendFrame(nil, 'p', []byte("no SCRAM"))) // which ends the log-in by itself
	}()
	params := handshake.Params{{Name: "user", Value: "alice"}}
	_, err := s.verify(ctx, &handshake.Request{Conn: late, Params: params})
	if err == nil {
		t.Fatal("verified")
	}
	<-late.set
	go func() { _, _ = client.Read(make([]byte, 1)) }()
	if _, err := late.Write([]byte{'E'}); err != nil {
		t.Errorf("what the client is told (%v) does not go out: %v", pgerror.Describe(err), err)
	}
}
