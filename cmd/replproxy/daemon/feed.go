package daemon

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/replproxy/replproxy/cluster"
	"github.com/replproxy/replproxy/cluster/tail"
	"github.com/replproxy/replproxy/fanout/backfill"
	"github.com/replproxy/replproxy/fanout/walsource"
	"github.com/replproxy/replproxy/handshake/upstream"
)

// feedInterval spaces the checks whether another fenced member has more WAL than this proxy.
const feedInterval = 500 * time.Millisecond

// feeder streams the tail of a fenced timeline from the member that has most of it, so that a candidate is
// fed to whichever proxy it is attached. Neither of the two votes or reports any more. Before and after it has no
// stream to give.
type feeder struct {
	up      *upstream.Config
	members *membership
	node    *cluster.Node
	log     *slog.Logger

	mu   sync.Mutex
	from string // member that was connected to last
}

// Rung makes it a [walsource.Source].
func (f *feeder) Rung() walsource.Rung { return walsource.RungFenced }

// Segments returns none: a tail comes as a stream.
func (f *feeder) Segments(bool) backfill.Source { return nil }

// Stream takes the tail. A member that can't be reached is no reason to miss a primary that can.
func (f *feeder) Stream(ctx context.Context, params map[string]string) (walsource.Conn, error) {
	from := f.node.TailFrom()
	f.mu.Lock()
	f.from = from
	f.mu.Unlock()
	if from != "" {
		s, err := f.members.stream(ctx, f.up, from, params)
		if err == nil {
			f.log.Info("taking the tail of a fenced timeline from a member", "member", from)
			return s, nil
		}
		f.log.Warn("cannot take the tail of a fenced timeline from a member", "member", from, "err", err)
	}
	return nil, nil
}

// run lets receiver connect anew when a member begins to have more, and when everything has come.
func (f *feeder) run(receiver *walsource.Supply) func(context.Context) error {
	return func(ctx context.Context) error {
		tick := time.NewTicker(feedInterval)
		defer tick.Stop()
		var feeding tail.Feeding
		for {
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-tick.C:
			}
			from, streams := receiver.Streams()
			f.mu.Lock()
			feeder := f.from
			f.mu.Unlock()
			if feeding.Turn(streams, from, feeder, f.node.TailFrom()) {
				receiver.Redirect()
			}
		}
	}
}
