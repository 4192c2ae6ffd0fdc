package daemon

import (
	"context"
	"net"
	"time"

	"github.com/replproxy/replproxy/cluster/puller"
	"github.com/replproxy/replproxy/fanout/backfill"
	"github.com/replproxy/replproxy/fanout/walreceiver"
	"github.com/replproxy/replproxy/fanout/walsource"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/handshake/upstream"
	"github.com/replproxy/replproxy/proxy/config"
)

// newViaCluster returns the source of a stream from the member that the puller chooses.
func (p *parts) newViaCluster() *walsource.MemberStream {
	return &walsource.MemberStream{
		On: walsource.RungChosen, Open: p.streamFrom, Logger: p.part("cluster"),
		Choose: func(ctx context.Context) (string, error) {
			choice, err := p.members.puller.Wait(ctx)
			return choice.Member, err
		},
	}
}

// streamFrom opens a stream from a member, and blocks until that has let it in, or ctx ends.
func (p *parts) streamFrom(ctx context.Context, member string, params map[string]string) (walsource.Conn, error) {
	return p.members.stream(ctx, p.upstream, member, params)
}

// sourceOf describes this proxy's way to the primary.
func sourceOf(r *walsource.Supply) (s puller.Source) {
	if _, system, t, ok := r.Following(); ok {
		s.Connected, s.System, s.Timeline = true, system, t
	}
	s.Silence, s.Unanswered = r.Silence()
	s.Stuck = r.Stuck()
	return s
}

// covers returns the end of the received WAL that the rule lets this proxy report as flushed. It asks the rule, and not
// the disk, which Stuck is about.
func (p *parts) covers() lsn.LSN {
	reportable, _ := p.node.Reportable()
	return min(reportable.Flush, p.store.Positions().Received)
}

// receiverTimeout returns upstream.receiver_timeout as the walreceiver takes it.
func receiverTimeout(c *config.Config) time.Duration {
	if c.Upstream.ReceiverTimeout <= 0 {
		return -1
	}
	return c.Upstream.ReceiverTimeout
}

// hears reports whether a member says that it hears the primary; none does without a cluster.
func (m *membership) hears(member string) bool { return m != nil && m.puller.Hears(member) }

// behind reports whether a member reports less to the primary than this proxy could; false without a cluster.
func (m *membership) behind(member string) bool {
	return m != nil && member != "" && m.puller.Behind(member)
}

// stream opens a connection to the member for a stream.
func (m *membership) stream(ctx context.Context, up *upstream.Config, member string, params map[string]string,
) (walsource.Conn, error) {
	s, err := m.connect(ctx, up, member, params)
	if err != nil {
		return nil, err
	}
	return walreceiver.Over(s), nil
}

// connect logs in at the walsender of a member that is up.
func (m *membership) connect(ctx context.Context, up *upstream.Config, member string, params map[string]string,
) (*upstream.Session, error) {
	through := up.Through(member, func(ctx context.Context) (net.Conn, error) {
		conn, _, err := m.link.Open(ctx, member, puller.Protocol)
		return conn, err
	})
	return through.Connect(ctx, params)
}

// segments returns the source of segments that members have, for the store of the proxy called name.
func (m *membership) segments(up *upstream.Config, name string) *backfill.Members {
	return &backfill.Members{
		All: m.others(name), Live: func() []string { return m.live(name) },
		SameWAL: func(member string) bool { return m.node.SameWAL(member) },
		Connect: func(ctx context.Context, member string, params map[string]string) (*upstream.Session, error) {
			return m.connect(ctx, up, member, params)
		},
	}
}
