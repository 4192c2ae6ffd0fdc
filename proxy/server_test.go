package proxy_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/handshake"
	"github.com/replproxy/replproxy/internal/wire"
	"github.com/replproxy/replproxy/proxy"
	"github.com/replproxy/replproxy/proxy/relay"
)

var hello = startup(v30, "user", "u")

// handler is a function as a physical handler.
type handler func(context.Context, *handshake.Request, *proxy.Session) error

func (h handler) ServeWalsender(ctx context.Context, r *handshake.Request, s *proxy.Session) error {
	return h(ctx, r, s)
}

func TestTooManyConnections(t *testing.T) {
	w := start(t, proxy.Options{Upstream: scripted(t, greeting), Limits: proxy.Limits{MaxConnections: 1}})
	first := dial(t, w.tcp(), hello)
	first.expect('Z')
	e := dial(t, w.tcp(), hello).expectError(pgerror.TooManyConnections)
	if e.Message != "sorry, too many clients already" {
		t.Errorf("message %q", e.Message)
	}
	first.Close()
	pgtest.WaitFor(t, patience, "the place", func() (bool, error) { return len(w.Sessions()) == 0, nil })
	dial(t, w.tcp(), hello).expect('Z')
}

// A flood of silent connections pushes out its own oldest members and nobody who speaks.
func TestSilentConnectionsLockNobodyOut(t *testing.T) {
	w := start(t, proxy.Options{Upstream: scripted(t, greeting), MaxStarting: 3})
	var silent []*client
	for range 10 {
		silent = append(silent, dial(t, w.tcp(), nil))
	}
	dial(t, w.tcp(), hello).expect('Z')
	for _, c := range silent[:7] {
		c.expectEnd()
	}
	if n := w.Counts().Starting; n > 3 {
		t.Errorf("%d connections are starting", n)
	}
}

func TestSilentConnectionTimesOut(t *testing.T) {
	w := start(t, proxy.Options{Upstream: scripted(t, greeting), AuthenticationTimeout: 50 * time.Millisecond})
	dial(t, w.tcp(), hello[:5]).expectEnd()
	if !strings.Contains(w.log.String(), handshake.ErrTimeout.Error()) {
		t.Error("the log does not say why")
	}
}

func TestPanicStaysInItsSession(t *testing.T) {
	w := start(t, proxy.Options{Upstream: scripted(t, greeting),
		Physical: handler(func(context.Context, *handshake.Request, *proxy.Session) error { panic("ouch") })})
	dial(t, w.tcp(), startup(v30, "user", "u", "replication", "true")).expectEnd()
	dial(t, w.tcp(), hello).expect('Z')
	pgtest.WaitFor(t, patience, "the log", func() (bool, error) {
		return strings.Contains(w.log.String(), "panic=ouch") && strings.Contains(w.log.String(), "server_test.go"), nil
	})
	if len(w.Sessions()) != 1 {
		t.Errorf("sessions %+v", w.Sessions())
	}
}

func TestPhysicalHandler(t *testing.T) {
	seen := make(chan proxy.SessionInfo, 1)
	w := start(t, proxy.Options{Upstream: scripted(t, greeting), Node: 5,
		Physical: handler(func(_ context.Context, r *handshake.Request, s *proxy.Session) error {
			s.SetState(proxy.StateStreaming)
			s.SetState(proxy.StateActive) // never back
			s.SetUpstream(&relay.Upstream{Name: "db1"})
			seen <- s.Info()
			return proxy.Tell(pgerror.New(pgerror.UndefinedObject, "no slot for %s", r.ApplicationName()))
		})})
	packet := startup(v30, "user", "u", "database", "replication", "replication", "1", "application_name", "s1")
	if e := dial(t, w.tcp(), packet).expectError(pgerror.UndefinedObject); e.Message != "no slot for s1" {
		t.Errorf("error %+v", e)
	}
	info := <-seen
	if info.Class != handshake.PhysicalWalsender || info.Database != "" || info.ApplicationName != "s1" ||
		info.State != proxy.StateStreaming || info.Upstream != "db1" || info.PID>>24 != 5 || info.PID&0xffffff <= 1<<22 {
		t.Errorf("session %+v", info)
	}
	none := start(t, proxy.Options{Upstream: scripted(t, greeting)})
	dial(t, none.tcp(), packet).expectError(pgerror.FeatureNotSupported)
}

func TestPrimaryThatDoesNotAnswer(t *testing.T) {
	silent := make(chan struct{})
	defer close(silent)
	const short = time.Second // for what is to be silent; the others must not be taken for that on a busy machine
	ask := wire.AppendFrame(nil, 'R', []byte{0, 0, 0, 3})
	for _, tc := range []struct {
		name   string
		dialer proxy.Dialer
		limit  time.Duration // of the log-in
		code   pgerror.Code
		detail string
	}{
		{"dial times out", proxy.DialerFunc(func(ctx context.Context, _ time.Duration) (*relay.Upstream, error) {
			if d, ok := ctx.Deadline(); !ok || time.Until(d) > 10*time.Second {
				t.Error("the dial is not bounded")
			}
			return nil, &net.OpError{Op: "dial", Err: context.DeadlineExceeded}
		}), short, "57P03", "The connection attempt timed out."},
		{"refused", dialTo("tcp", "127.0.0.1:1"), patience, "57P03",
			"The connection was refused: the server is not running there, or does not listen."},
		{"closes at once", scripted(t, func(c net.Conn) { _, _ = readPacket(c) }), patience, "57P03",
			"The primary closed the connection before the log-in was complete."},
		{"nonsense", scripted(t, func(c net.Conn) { _, _ = c.Write([]byte("HTTP/1.1 400 Bad Request")) }), patience, "57P03",
			"The primary sent a message with an impossible length."},
		{"client owes an answer", scripted(t, func(c net.Conn) { _, _ = c.Write(ask); <-silent }), short, "57014", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := start(t, proxy.Options{Upstream: tc.dialer, AuthenticationTimeout: tc.limit})
			if e := dial(t, w.tcp(), hello).expectError(tc.code); e.Detail != tc.detail {
				t.Errorf("error %+v", e)
			}
		})
	}
}

// failingListener fails a few times before its listener works.
type failingListener struct {
	net.Listener
	failures atomic.Int32
}

func (l *failingListener) Accept() (net.Conn, error) {
	if l.failures.Add(-1) >= 0 {
		return nil, &net.OpError{Op: "accept", Err: syscall.EMFILE}
	}
	return l.Listener.Accept()
}

func TestAcceptSurvivesWantOfDescriptors(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	failing := &failingListener{Listener: l}
	failing.failures.Store(3)
	w := start(t, proxy.Options{Upstream: scripted(t, greeting), Listeners: []net.Listener{failing}})
	dial(t, l.Addr().String(), hello).expect('Z')
	if n := strings.Count(w.log.String(), "cannot accept connections"); n != 3 {
		t.Errorf("%d warnings", n)
	}
}

func TestLostListenerEndsTheServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := start(t, proxy.Options{Upstream: scripted(t, greeting), Listeners: []net.Listener{l}})
	c := dial(t, w.tcp(), hello)
	c.expect('Z')
	c.Close()
	l.Close()
	pgtest.WaitFor(t, patience, "the other listener's end", func() (bool, error) {
		c, err := net.Dial("tcp", w.tcp())
		if err == nil {
			c.Close()
		}
		return err != nil, nil
	})
	if err := w.stop(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("run: %v", err)
	}
	w.stop = func() error { return nil }
}

func TestOptions(t *testing.T) {
	for name, o := range map[string]proxy.Options{
		"no listeners": {Upstream: dialTo("tcp", "")},
		"no upstream":  {Listeners: make([]net.Listener, 1)},
		"node":         {Listeners: make([]net.Listener, 1), Upstream: dialTo("tcp", ""), Node: 200},
	} {
		if s, err := proxy.New(o); err == nil {
			t.Errorf("%s: made %v", name, s)
		}
	}
}
