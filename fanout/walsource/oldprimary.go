package walsource

import (
	"context"
	"errors"
	"time"

	"github.com/replproxy/replproxy/fanout/walreceiver"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/handshake/upstream"
	"github.com/replproxy/replproxy/internal/deadline"
)

// lookHigher spaces the looks at the hosts that are not streamed from. Each costs a log-in at each of them. For this
// long at most a relayed session may write to an old primary before that is said.
const lookHigher = 2 * time.Second

// Higher is a server that the next election would prefer to the one that is streamed from, which therefore is an old
// primary.
type Higher struct {
	Host     string // endpoint, as in the log
	Timeline lsn.TimelineID
}

// Leaving names the treatment of an old primary: upstream.leave_old_primary.
type Leaving string

// Values of Leaving. Any other is LeaveRefuseNew.
const (
	LeaveWarn      Leaving = "warn"       // it is said
	LeaveRefuseNew Leaving = "refuse_new" // and no session is relayed to it any more
	LeaveEnd       Leaving = "end"        // and it is left, and sessions that are relayed to it are ended
)

// Refuses reports whether a new session is not to be relayed to the server that is streamed from. old: it is an old
// primary.
func (l Leaving) Refuses(old bool) bool { return old && l != LeaveWarn }

// Ends reports whether that server is to be left, and sessions that are relayed to it are to be ended.
func (l Leaving) Ends(old bool) bool { return old && l == LeaveEnd }

var (
	// errLeft: the operator wants an old primary left as soon as another one is there.
	errLeft = errors.New("a server on a higher timeline is there: the old primary is left")
	// errOldPrimary refuses a relayed session while upstream.leave_old_primary forbids the followed primary.
	errOldPrimary = errors.New("the primary that is followed is an old one, a server on a higher timeline is there")
)

// Relayable returns why no new session is to be relayed to the server that is streamed from; nil: it may be. Any
// goroutine may ask.
func (r *Supply) Relayable() error {
	if _, old := r.Higher(); r.o.Leaving().Refuses(old) {
		return errOldPrimary
	}
	return nil
}

// leave ends the stream from the server at e, which is an old primary, so that a new election is held, and the sessions
// that are relayed to it. It does so only where the operator says so.
func (r *Supply) leave(e upstream.Endpoint) {
	if !r.o.Leaving().Ends(true) {
		return
	}
	r.o.Upstream.UnsetCurrent() // no client is sent there any more
	r.anew(errLeft)
	n := r.o.EndRelayed(e)
	r.log.Warn("the old primary is left, and sessions that were relayed to it are ended", "upstream", e.String(),
		"sessions", n)
}

// Higher returns the server that shows the one that is streamed from to be an old primary; false: none does. Any
// goroutine may ask.
func (r *Supply) Higher() (h Higher, known bool) {
	if p := r.higher.Load(); p != nil {
		return *p, true
	}
	return Higher{}, false
}

// lookForHigher looks at the other hosts while s streams from the server srv, until ctx ends.
func (r *Supply) lookForHigher(ctx context.Context, s Conn, srv server) {
	defer r.higher.Store(nil)
	if r.o.Upstream.Servers() == 1 || srv.inRecovery() {
		return
	}
	for deadline.Sleep(ctx, lookHigher) == nil {
		found := r.preferred(ctx, s.Endpoint(), srv)
		switch was := r.higher.Swap(found); {
		case ctx.Err() != nil:
		case found != nil && (was == nil || *was != *found):
			r.log.Warn("a server on a higher timeline is there: the one that is followed is an old primary, and "+
				"sessions that are relayed to it write into the past", "host", found.Host, "timeline", found.Timeline,
				"followed", s.Endpoint().String(), "followed_timeline", srv.timeline)
		case found == nil && was != nil:
			r.log.Info("the server on a higher timeline is gone", "host", was.Host, "timeline", was.Timeline)
		}
		if found != nil {
			r.leave(s.Endpoint())
		}
	}
}

// preferred returns a server among the other hosts that an election would choose now before srv, to which we are
// connected at e; nil: there is none. One that lacks WAL which is known is none.
func (r *Supply) preferred(ctx context.Context, e upstream.Endpoint, srv server) (found *Higher) {
	sessions, _ := r.o.Upstream.ConnectOthers(ctx, e, r.params(), electionPatience)
	b := r.grounds()
	for _, other := range sessions {
		c := r.ask(ctx, walreceiver.Over(other), b.known)
		other.Close()
		if c.err != nil || c.srv.inRecovery() || c.srv.virtual || c.srv.timeline <= srv.timeline || b.judge(c) != nil {
			continue
		}
		if found == nil || c.srv.timeline > found.Timeline {
			found = &Higher{Host: c.host, Timeline: c.srv.timeline}
		}
	}
	return found
}
