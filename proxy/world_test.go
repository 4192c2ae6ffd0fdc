package proxy_test

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/handshake/access"
	"github.com/replproxy/replproxy/proxy"
	"github.com/replproxy/replproxy/proxy/relay"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// world is a server under test: in this process, on a TCP port and a unix socket.
type world struct {
	*proxy.Server
	host string // folder of the unix socket
	port int
	log  *syncBuffer
	stop func() error // ends Run, once, and returns what it returned
}

// start serves with o; its listeners and logger are made here.
func start(t *testing.T, o proxy.Options) *world {
	t.Helper()
	w := &world{host: t.TempDir(), log: &syncBuffer{}}
	listeners, err := proxy.Listen(t.Context(), []string{"127.0.0.1:0", "unix:" + w.host})
	if err != nil {
		t.Fatal(err)
	}
	w.port = listeners[0].Addr().(*net.TCPAddr).Port
	o.Listeners = append(listeners, o.Listeners...)
	switch {
	case o.Access != nil:
	case o.Roles != nil:
		o.Access = verifyAll(t)
	default:
		o.Access = rules(t, pgtest.TrustLoopback()...)
	}
	o.Logger = slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	w.Server, err = proxy.New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	<-w.Ready()
	w.stop = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() {
		if err := w.stop(); err != nil {
			t.Errorf("run: %v", err)
		}
		if t.Failed() {
			t.Log(w.log.String())
		}
	})
	return w
}

// rules is access for all listeners.
func rules(t *testing.T, lines ...string) *access.Current {
	t.Helper()
	parsed, err := access.Parse(lines)
	if err != nil {
		t.Fatal(err)
	}
	k := &access.Current{}
	k.Set(access.Set{Default: access.Policy{Rules: parsed}})
	return k
}

// tcp is an address to dial; conninfo is libpq's.
func (w *world) tcp() string { return "127.0.0.1:" + strconv.Itoa(w.port) }

func (w *world) conninfo(extra ...string) string {
	base := "host=127.0.0.1 sslmode=disable user=postgres dbname=postgres port=" + strconv.Itoa(w.port)
	return strings.Join(append([]string{base}, extra...), " ")
}

// dialTo dials one address; cancels go there too.
func dialTo(network, addr string) proxy.Dialer {
	return proxy.DialerFunc(func(ctx context.Context, _ time.Duration) (*relay.Upstream, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &relay.Upstream{Conn: c, Name: addr}, nil
	})
}

func tcpTo(s *pgtest.Server) proxy.Dialer {
	return dialTo("tcp", "127.0.0.1:"+strconv.Itoa(s.Port))
}

func unixTo(s *pgtest.Server) proxy.Dialer {
	return dialTo("unix", filepath.Join(s.SocketDir, ".s.PGSQL."+strconv.Itoa(s.Port)))
}

// syncBuffer is a log that may be read while it is written.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
