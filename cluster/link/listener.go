package link

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/replproxy/replproxy/cluster/identity"
	"github.com/replproxy/replproxy/internal/crowd"
	"github.com/replproxy/replproxy/internal/descriptors"
)

const (
	// handshakeTimeout bounds how long a connection may be without having proved its name.
	handshakeTimeout = 5 * time.Second
	// maxHandshakes bounds connections that have not proved their name. An honest one does within a few round trips;
	// beyond it one is closed (pendingHandshakes), so that silent ones lock no member out.
	maxHandshakes = 32
)

// Listener is the one TCP port of a cluster: it lets members in and hands each connection to the protocol that it asked
// for. But for Handle, its methods may be called from any goroutine. Make it with [NewListener].
type Listener struct {
	listener net.Listener
	node     *identity.Node
	members  *identity.Members
	log      *slog.Logger
	handlers map[string]func(ctx context.Context, peer string, conn net.Conn)
	served   []string // the keys of handlers, in the order of Handle
	refused  atomic.Uint64
	renamed  func(identity.RenamedError) // told of each member that came under another name; nil: nobody

	linesMu sync.Mutex
	lines   crowd.Quota // of log lines that anybody who reaches the port can cause
}

// NewListener makes a Listener that serves l once it runs.
func NewListener(l net.Listener, node *identity.Node, members *identity.Members, log *slog.Logger) *Listener {
	return &Listener{
		listener: l, node: node, members: members, log: log,
		handlers: map[string]func(context.Context, string, net.Conn){},
	}
}

// Handle registers the handler of a protocol, before Run. Of several that a member offers the one that was named first
// is taken. The handler owns the connection, and returns soon after its context ended.
func (d *Listener) Handle(protocol string, h func(ctx context.Context, peer string, conn net.Conn)) {
	d.served = append(d.served, protocol)
	d.handlers[protocol] = h
}

// Addr returns the listening address.
func (d *Listener) Addr() net.Addr { return d.listener.Addr() }

// Refused counts the connections that were not let in.
func (d *Listener) Refused() uint64 { return d.refused.Load() }

// Run accepts until ctx ends, and returns the cause after the last handler has returned. Another error is the
// listener's, which it closes in any case. Call it once.
func (d *Listener) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	listener := descriptors.Patient(d.listener, d.log)
	defer context.AfterFunc(ctx, func() { _ = listener.Close() })()
	config := identity.Server(d.node, d.members, d.served...)
	var pending pendingHandshakes
	for {
		raw, err := listener.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return fmt.Errorf("accept on %s: %w", d.Addr(), err)
		}
		leave := pending.enter(raw)
		wg.Go(func() { d.serve(ctx, raw, config, leave) })
	}
}

// warn logs a connection that was not let in, a bounded number of times.
func (d *Listener) warn(raw net.Conn, attrs ...any) {
	d.refused.Add(1)
	d.linesMu.Lock()
	dropped, ok := d.lines.Admit(time.Now())
	d.linesMu.Unlock()
	if ok {
		d.log.Warn("refused a connection to the cluster port",
			append([]any{"from", raw.RemoteAddr(), "lines_dropped", dropped}, attrs...)...)
	}
}

func (d *Listener) serve(ctx context.Context, raw net.Conn, config *tls.Config, leave func(proved bool)) {
	defer raw.Close()
	conn := tls.Server(raw, config)
	hctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	err := conn.HandshakeContext(hctx)
	cancel()
	leave(err == nil)
	if err != nil {
		if ctx.Err() == nil && !saidNothing(err) {
			d.warn(raw, "err", err)
		}
		var other identity.RenamedError
		if errors.As(err, &other) && d.renamed != nil {
			d.renamed(other)
		}
		return
	}
	state := conn.ConnectionState()
	peer, err := d.members.Peer(state)
	handle := d.handlers[state.NegotiatedProtocol]
	if err != nil || handle == nil {
		d.warn(raw, "member", peer, "protocol", state.NegotiatedProtocol, "err", err)
		return
	}
	handle(ctx, peer, conn)
}

// saidNothing reports whether a peer left before it began, by FIN or by RST, as health checks do: nobody was refused.
func saidNothing(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) }

// sleep waits, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
