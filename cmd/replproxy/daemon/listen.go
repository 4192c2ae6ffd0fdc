package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/replproxy/replproxy/internal/tcpopt"
	"github.com/replproxy/replproxy/proxy"
	"github.com/replproxy/replproxy/proxy/config"
)

// listeners are the sockets that the proxy listens on. Those who serve them close them.
type listeners struct {
	clients []net.Listener
	http    net.Listener // nil: none
}

// openListeners binds every address. On error nothing stays open.
func openListeners(ctx context.Context, c *config.Config) (*listeners, error) {
	clients, err := proxy.Listen(ctx, c.Listen)
	if err != nil {
		return nil, err
	}
	s := &listeners{clients: clients}
	if c.HTTP != "" {
		if s.http, err = tcpopt.Listen(ctx, tcpopt.Network(c.HTTP), c.HTTP); err != nil {
			return nil, errors.Join(fmt.Errorf("listen for http: %w", err), s.close())
		}
	}
	return s, nil
}

// listenCluster listens for members: at one TCP port, and at UDP with the same address. 0.0.0.0 and [::] are of one
// family each, as in listen; of a name its first address, since members are told one.
func listenCluster(ctx context.Context, address string) (net.Listener, net.PacketConn, error) {
	network := tcpopt.Network(address)
	tcp, err := tcpopt.Listen(ctx, network, address)
	if err != nil {
		return nil, nil, fmt.Errorf("cluster.bind: %w", err)
	}
	var l net.ListenConfig
	udp, err := l.ListenPacket(ctx, strings.Replace(network, "tcp", "udp", 1), tcp.Addr().String())
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("cluster.bind: %w", err), tcp.Close())
	}
	return tcp, udp, nil
}

// addresses returns the addresses for clients, as the configuration writes them.
func (s *listeners) addresses() []string {
	all := make([]string, len(s.clients))
	for i, l := range s.clients {
		all[i] = l.Addr().String()
		if l.Addr().Network() == "unix" {
			all[i] = "unix:" + all[i]
		}
	}
	return all
}

func (s *listeners) close() error {
	var errs []error
	for _, l := range s.clients {
		errs = append(errs, l.Close())
	}
	if s.http != nil {
		errs = append(errs, s.http.Close())
	}
	return errors.Join(errs...)
}
