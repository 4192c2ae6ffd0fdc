package daemon

import (
	"context"
	"time"

	"github.com/replproxy/replproxy/cluster"
	"github.com/replproxy/replproxy/cluster/tail"
	"github.com/replproxy/replproxy/fanout/walsource"
)

// feedInterval spaces the checks whether another fenced member has more WAL than this proxy.
const feedInterval = 500 * time.Millisecond

// newFeeder returns the source of the tail of a fenced timeline: the member that has most of it, so that a candidate
// is fed to whichever proxy it is attached. Neither of the two votes or reports any more. Before and after it has no
// stream to give.
func (p *parts) newFeeder() *walsource.MemberStream {
	return &walsource.MemberStream{
		On:     walsource.RungFenced,
		Choose: func(context.Context) (string, error) { return p.node.TailFrom(), nil },
		Open:   p.streamFrom, Logger: p.part("cluster"),
	}
}

// feeds lets receiver connect anew when a member begins to have more, and when everything has come.
func feeds(node *cluster.Node, feeder *walsource.MemberStream, receiver *walsource.Supply) func(context.Context) error {
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
			if feeding.Turn(streams, from, feeder.Chosen(), node.TailFrom()) {
				receiver.Redirect()
			}
		}
	}
}
