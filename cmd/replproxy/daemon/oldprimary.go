package daemon

import (
	"context"
	"errors"
	"time"

	"github.com/replproxy/replproxy/fanout/slot"
	"github.com/replproxy/replproxy/fanout/walreceiver"
	"github.com/replproxy/replproxy/handshake/upstream"
	"github.com/replproxy/replproxy/internal/tcpopt"
	"github.com/replproxy/replproxy/proxy"
	"github.com/replproxy/replproxy/proxy/config"
	"github.com/replproxy/replproxy/proxy/relay"
)

// errOldPrimary refuses a relayed session while upstream.leave_old_primary forbids the followed primary.
var errOldPrimary = errors.New("the primary that is followed is an old one, a server on a higher timeline is there")

// newPrimaryOnly is a dialer for relayed sessions, which an old primary gets no more where the operator says so.
func (p *parts) newPrimaryOnly(d proxy.Dialer) proxy.Dialer {
	return proxy.DialerFunc(func(ctx context.Context, wait time.Duration) (*relay.Upstream, error) {
		if _, old := p.receiver.Higher(); old && p.settings.now().Upstream.LeaveOld != config.LeaveWarn {
			return nil, errOldPrimary
		}
		return d.Dial(ctx, wait)
	})
}

// oldPrimary is told that the server at e, which is followed, is an old primary.
func (p *parts) oldPrimary(e upstream.Endpoint) {
	if p.settings.now().Upstream.LeaveOld != config.LeaveEnd {
		return
	}
	p.receiver.LeaveOldPrimary()
	n := p.server.EndRelayed(e.String())
	p.log.Warn("the old primary is left, and sessions that were relayed to it are ended", "upstream", e.String(),
		"sessions", n)
}

// primaryServer returns the names by which the primary would appear as a standby. It returns the zero value while no
// stream runs, because the settings that were read last may be those of another server that was tried.
func (p *parts) primaryServer() (of slot.Primary) {
	at, _, _, following := p.following()
	r := p.receiver.Status()
	if !following || r.State != walreceiver.Streaming || r.Settings["in_hot_standby"] == "on" {
		return of
	}
	return slot.Primary{
		Slot: r.Settings["primary_slot_name"], Name: r.Settings["cluster_name"], Host: tcpopt.Host(at.Addr),
	}
}
