package relay

import (
	"context"
	"net"
)

// Upstream is a connection to a server on which nothing has been sent yet. Whoever gets it closes it.
type Upstream struct {
	// Conn is the bare *net.TCPConn or *net.UnixConn when there is no TLS, so that the kernel can
	// copy; a *tls.Conn otherwise.
	Conn net.Conn
	TLS  bool
	// ChannelBinding is libpq's channel_binding, for log-ins that are made here; "" is prefer.
	ChannelBinding string
	// Name is the endpoint for people, such as db1:5432.
	Name string
	// Cancel sends a CancelRequest, as it came, to this very endpoint and waits until the server
	// closes. nil when the endpoint cannot be dialled apart.
	Cancel func(ctx context.Context, raw []byte) error
}
