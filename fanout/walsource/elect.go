package walsource

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/replproxy/replproxy/fanout/walreceiver"
	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
)

// electionPatience bounds the wait for the other hosts once one has answered: enough for a log-in across
// an ocean, little against what a failover takes.
const electionPatience = time.Second

// interviewPatience bounds the wait for the position of a server that has logged us in: it is busy, or
// its disk stands still.
const interviewPatience = 5 * time.Second

// candidate is a server that would do by its role, and what it says of itself.
type candidate struct {
	host string // endpoint, as in the log
	srv  server // system, timeline, xlogpos and history are known
	err  error  // it could not say so, or is left out for what it did before
}

// grounds hold the facts by which candidates are judged.
type grounds struct {
	have     walstore.Positions
	identity walstore.Identity // zero: nothing adopted
	history  func(lsn.TimelineID) (lsn.History, bool)
	known    knowledge             // before the candidates were asked
	accepted func(*LackError) bool // a server may lack that
}

// elect picks the server to follow: of those that continue what is stored the one on the highest
// timeline, the earlier one of equals. It picks none where servers of equal rank contradict each other
// (ruling R3). refused says for each of the others that will never do why; -1 is none.
func elect(b grounds, all []candidate) (best int, refused []error) {
	best = -1
	refused = make([]error, len(all))
	for i, c := range all {
		if refused[i] = b.judge(c); refused[i] != nil {
			continue
		}
		if best < 0 || c.srv.timeline > all[best].srv.timeline {
			best = i
		}
	}
	if best < 0 {
		return best, refused
	}
	for i, c := range all {
		if refused[i] != nil || i == best {
			continue
		}
		if err := contradiction(all[best], c); err != nil {
			refused[best], refused[i] = err, err
		}
	}
	if refused[best] != nil {
		best = -1
	}
	return best, refused
}

// judge returns the reason for which c can't be followed, whoever else is there; nil: it can.
func (b grounds) judge(c candidate) error {
	if c.err != nil {
		return c.err
	}
	if b.identity.System != 0 && b.identity.System != c.srv.system {
		return checkIdentity(b.identity, c.srv)
	}
	if stored, ok := b.history(c.srv.timeline); ok && c.srv.timeline > 1 {
		if err := sameWay(stored, c.srv.history); err != nil {
			return err
		}
	}
	srv := c.srv
	srv.seg = lsn.MinSegSize // of no importance here
	if _, err := planStart(b.have, srv, resumption{}); err != nil {
		return err
	}
	if b.accepted(b.known.lack(srv)) {
		return nil
	}
	return b.known.judge(b.have, srv)
}

// contradiction returns an error if two servers that would both do are not of one cluster: of two systems, or promoted
// to one timeline from different positions. nil: they are.
func contradiction(a, b candidate) error {
	switch {
	case a.srv.system != b.srv.system:
		return pgerror.New(pgerror.ObjectNotInPrerequisite,
			"%s and %s are different database systems: %s and %s", a.host, b.host, a.srv.system, b.srv.system)
	case a.srv.timeline == b.srv.timeline && sameWay(a.srv.history, b.srv.history) != nil:
		return pgerror.New(pgerror.ObjectNotInPrerequisite,
			"%s and %s were both promoted to timeline %s, from different positions", a.host, b.host, a.srv.timeline).
			WithDetail("It begins at %s and at %s.", a.srv.history.Begin(), b.srv.history.Begin()).
			WithHint("They are never chosen between: stop the one that is not the primary.")
	}
	return nil
}

// find connects to the server to follow: to the only one, or to the one that is elected.
func (r *Supply) find(ctx context.Context) (Conn, error) {
	params := r.params()
	if r.o.Upstream.Servers() == 1 {
		s, err := r.o.Upstream.Connect(ctx, params)
		if err != nil {
			return nil, err
		}
		return walreceiver.Over(s), nil
	}
	sessions, err := r.o.Upstream.ConnectAll(ctx, params, electionPatience)
	if len(sessions) == 0 {
		return nil, err
	}
	all, asked := make([]candidate, len(sessions)), make([]Conn, len(sessions))
	b := r.grounds()
	var asking sync.WaitGroup
	for i, s := range sessions {
		asked[i] = walreceiver.Over(s)
		asking.Go(func() { all[i] = r.interview(ctx, asked[i], b.known) })
	}
	asking.Wait()
	best, refused := r.choose(ctx, b, all, asked)
	if best < 0 {
		clear(r.avoid) // nothing else is left: they get another chance
		r.o.Store.Release(lsn.Invalid)
	} else {
		r.o.Store.Release(r.heed(all[best].srv))
	}
	for i, s := range sessions {
		if i != best {
			s.Close()
		}
		if refused[i] == nil {
			delete(r.refusals, all[i].host)
			continue
		}
		r.refusedFor(refused[i])
		r.lostWAL(all[i].srv, refused[i])
		refusal := hostRefused(all[i].host, refused[i])
		r.logRefusal(all[i].host, refusal)
		err = besideOthers(refusal, err)
	}
	if best < 0 {
		return nil, errPermanent{err}
	}
	return asked[best], nil
}

// hostRefused says which of several hosts is refused.
func hostRefused(host string, why error) error {
	return fmt.Errorf("upstream host %s is refused: %w", host, why)
}

// besideOthers returns a refusal together with what came of the other hosts; nil: nothing.
func besideOthers(refusal, others error) error {
	if others == nil {
		return refusal
	}
	return fmt.Errorf("%w; %w", refusal, others)
}

// params returns those of the log-in as a walreceiver.
func (r *Supply) params() map[string]string {
	return map[string]string{"replication": "true", "application_name": r.o.Name}
}

func (r *Supply) grounds() grounds {
	id, _ := r.o.Store.Identity()
	return grounds{
		have: r.o.Store.Positions(), identity: id, history: r.storedHistory,
		known: r.knowledge(), accepted: r.accepted,
	}
}

// storedHistory returns the history of t that the store has; false: it has none.
func (r *Supply) storedHistory(t lsn.TimelineID) (lsn.History, bool) {
	content, err := r.o.Store.HistoryFile(t)
	if err != nil {
		return lsn.History{}, false
	}
	h, err := lsn.ParseHistory(t, content)
	return h, err == nil
}

// interview asks a server what the election needs to know. A server that logs us in and then stands still
// holds up a failover for interviewPatience at most. It only reads what it shares with other interviews.
func (r *Supply) interview(ctx context.Context, s Conn, k knowledge) candidate {
	c := r.ask(ctx, s, k)
	if c.err == nil {
		r.heed(c.srv) // others are still asked: until one is chosen nothing leaves here that this one lacks
	}
	return c
}

func (r *Supply) ask(ctx context.Context, s Conn, k knowledge) candidate {
	ctx, cancel := context.WithTimeout(ctx, interviewPatience)
	defer cancel()
	c := candidate{host: s.Endpoint().String(), srv: newServer(s)}
	if c.err = r.askWhere(ctx, s, &c.srv, k); c.err != nil {
		return c
	}
	c.srv.history = lsn.History{Timeline: c.srv.timeline}
	if c.srv.timeline > 1 {
		var content []byte
		if content, c.err = fetchHistory(ctx, s, c.srv.timeline); c.err == nil {
			c.srv.history, c.err = lsn.ParseHistory(c.srv.timeline, content)
		}
	}
	if c.err == nil {
		c.err = r.avoid[c.host]
	}
	return c
}

// logRefusal says once that a host is refused, and again when the reason changes by more than its positions.
func (r *Supply) logRefusal(host string, err error) {
	text := pgerror.Describe(err)
	reason := lsn.WithoutPositions(text)
	if r.refusals[host] == reason {
		return
	}
	r.refusals[host] = reason
	r.log.Error("upstream host refused", "host", host, "err", text)
}
