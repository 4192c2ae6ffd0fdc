package daemon

import (
	"context"
	"io"
	"net"
	"time"

	"github.com/replproxy/replproxy/cluster/puller"
	"github.com/replproxy/replproxy/fanout/backfill"
	"github.com/replproxy/replproxy/fanout/walreceiver"
	"github.com/replproxy/replproxy/fanout/walsource"
	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/handshake/upstream"
	"github.com/replproxy/replproxy/proxy/config"
)

// viaCluster is the puller as the walreceiver sees it.
type viaCluster struct {
	up      *upstream.Config
	members *membership
}

// Rung makes it a [walsource.Source].
func (v *viaCluster) Rung() walsource.Rung { return walsource.RungChosen }

// Segments returns none: they come from any member.
func (v *viaCluster) Segments(bool) backfill.Source { return nil }

// Stream logs in at the member that is to be streamed from.
func (v *viaCluster) Stream(ctx context.Context, params map[string]string) (walsource.Conn, error) {
	choice, err := v.members.puller.Wait(ctx)
	if err != nil || choice.Primary() {
		return nil, err
	}
	return v.members.stream(ctx, v.up, choice.Member, params)
}

// sourceOf describes this proxy's way to the primary.
func sourceOf(r *walsource.Supply) (s puller.Source) {
	if _, system, t, ok := r.Following(); ok {
		s.Connected, s.System, s.Timeline = true, system, t
	}
	s.Silence, s.Unanswered = r.Silence()
	return s
}

// receiverTimeout is upstream.receiver_timeout as the walreceiver takes it.
func receiverTimeout(c *config.Config) time.Duration {
	if c.Upstream.ReceiverTimeout <= 0 {
		return -1
	}
	return c.Upstream.ReceiverTimeout
}

// heardFromSource returns the time at which something last came from the primary. at is that of the last message on the
// stream. A member that streams from the primary sends keepalives whether it hears the primary or not. If it says that
// the primary is silent, the start of the silence is returned. A nil m returns at.
func (m *membership) heardFromSource(member string, at time.Time) time.Time {
	if m == nil || member == "" || at.IsZero() {
		return at
	}
	if since, silent := m.puller.Silent(member); silent && since.Before(at) {
		return since
	}
	return at
}

// stream is connect for a stream.
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

// memberSource has missing or damaged WAL sent by whichever member still has it.
type memberSource struct {
	up      *upstream.Config
	members *membership
	name    string
}

// Rung makes it a [walsource.Source].
func (m *memberSource) Rung() walsource.Rung { return walsource.RungMember }

// Stream opens none: whom to stream from is chosen.
func (m *memberSource) Stream(context.Context, map[string]string) (walsource.Conn, error) {
	return nil, nil
}

// Segments returns m for WAL that is older than the store.
func (m *memberSource) Segments(ahead bool) backfill.Source {
	if ahead {
		return nil
	}
	return m
}

// String names the source in messages.
func (m *memberSource) String() string { return "members" }

// Open takes the first member that begins to send. Only when each member of the cluster says so has none got the WAL.
func (m *memberSource) Open(ctx context.Context, id walstore.Identity, r backfill.Run) (io.ReadCloser, error) {
	var answers backfill.Answers
	for _, peer := range m.members.gossip.Live() {
		if peer.Name == m.name || !m.members.node.SameWAL(peer.Name) {
			continue
		}
		s, failed := m.members.connect(ctx, m.up, peer.Name, map[string]string{"replication": "true"})
		if failed == nil {
			var stream io.ReadCloser
			if stream, failed = backfill.Stream(ctx, s, id, r); failed == nil {
				return stream, nil
			}
			_ = s.Close()
		}
		answers.Refused(peer.Name, failed)
	}
	return nil, answers.Err(m.members.others(m.name))
}
