package daemon

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/replproxy/replproxy/fanout/walsource"
	"github.com/replproxy/replproxy/handshake/upstream"
	"github.com/replproxy/replproxy/proxy"
	"github.com/replproxy/replproxy/proxy/admin"
	"github.com/replproxy/replproxy/proxy/config"
	"github.com/replproxy/replproxy/proxy/relay"
)

// errOldPrimary is why a relayed session is refused by upstream.leave_old_primary.
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

// higherStatus is the server that shows the followed one to be an old primary.
func higherStatus(r *walsource.Supply) *admin.Higher {
	h, known := r.Higher()
	if !known {
		return nil
	}
	return &admin.Higher{Host: h.Host, Timeline: h.Timeline}
}

// oldPrimaryWarnings say that there is another primary than the one that is followed.
func oldPrimaryWarnings(h *admin.Higher, followed string) []string {
	if h == nil {
		return nil
	}
	return []string{fmt.Sprintf("%s is on timeline %s: %s, which is followed, is an old primary, and what is written "+
		"there will be lost; stop it (upstream.leave_old_primary)", h.Host, h.Timeline, followed)}
}
