package proxy

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"time"

	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/handshake"
	"github.com/replproxy/replproxy/proxy/relay"
)

// dialTimeout bounds the way to the primary, all its hosts included, the wait for one apart. Most drivers give up on a
// connection after 10 to 30 seconds; they should hear from us before.
const dialTimeout = 10 * time.Second

// route sends a session to the room that serves its class.
func (s *Server) route(ctx context.Context, req *handshake.Request, session *Session, log *slog.Logger) error {
	if req.Class != handshake.PhysicalWalsender {
		return s.relay(ctx, req, session, log)
	}
	if s.o.Physical == nil {
		return Tell(pgerror.Fatal(pgerror.FeatureNotSupported, "physical replication is not served here"))
	}
	err := s.o.Physical.ServeWalsender(ctx, req, session)
	if err != nil {
		return fmt.Errorf("serve walsender: %w", err)
	}
	return nil
}

// relay joins the client to the primary.
func (s *Server) relay(ctx context.Context, req *handshake.Request, session *Session, log *slog.Logger) error {
	up, err := s.dial(ctx)
	if err != nil {
		log.Warn("cannot connect to the primary", "err", err)
		return Tell(relay.Unreachable(err))
	}
	session.SetUpstream(up.Name)
	var withdraw func()
	defer func() {
		if withdraw != nil {
			withdraw()
		}
	}()
	_, clientTLS := req.Conn.(*tls.Conn)
	return relay.Run(ctx, relay.Options{
		Client: req.Conn, ClientTLS: clientTLS, Upstream: up, Startup: req.Raw, Engine: s.engine,
		Trusted:      s.o.Trust != nil && s.o.Trust(req.Conn.RemoteAddr(), up.Conn.RemoteAddr(), req.Params),
		LoginTimeout: s.o.AuthenticationTimeout,
		OnKey: func(pid uint32, key []byte) {
			send := sendCancel(up.Cancel)
			if send == nil {
				send = s.cancelAtPrimary
			}
			withdraw = s.cancels.add(pid, key, send)
		},
		OnReady:    func() { session.SetState(StateActive) },
		FromClient: &session.FromClient, ToClient: &session.ToClient,
	})
}

func (s *Server) dial(ctx context.Context) (*relay.Upstream, error) {
	ctx, stop := context.WithTimeout(ctx, dialTimeout+s.o.ConnectWait())
	defer stop()
	return s.o.Upstream.Dial(ctx)
}
