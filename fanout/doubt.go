package fanout

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/replproxy/replproxy/fanout/slot"
	"github.com/replproxy/replproxy/fanout/walsender"
	"github.com/replproxy/replproxy/grammar/pgerror"
)

// A standby that comes back over a new connection may have left its session before behind one that is silently dead,
// and that one holds its vote (ruling R6) and its slot. So when a session of a name begins to stream, here or at
// another member, or wants a slot that an older one of its name holds, the older ones are asked whether they live, and
// end when they say nothing (walsender.Sender.Doubt, docs/adr/0076).

const (
	// maxEndings is how many sessions of one name are ended so within wal_sender_timeout: a standby that comes back
	// twice leaves no more, and two living servers of one name do not end each other in turn.
	maxEndings = 2
	// endingsWithin is that time where wal_sender_timeout is disabled: PostgreSQL's default.
	endingsWithin = time.Minute
	// startSlack is how much longer than walsender.DoubtPatience a START waits for its slot: until the session that
	// held it is gone, at another member too.
	startSlack = 1500 * time.Millisecond
	// startPoll is how often it looks whether the slot is free.
	startPoll = 100 * time.Millisecond
)

// endings are the sessions that were ended lately, by name.
type endings struct {
	mu sync.Mutex
	at map[string][]time.Time
}

// allow reports whether one more may end now, and counts it.
func (e *endings) allow(name string, within time.Duration, now time.Time) bool {
	if within <= 0 {
		within = endingsWithin
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for of, times := range e.at { // those that matter no more
		if now.Sub(times[len(times)-1]) >= within {
			delete(e.at, of)
		}
	}
	times := e.at[name]
	if len(times) == maxEndings {
		if now.Sub(times[0]) < within {
			return false
		}
		times = times[1:]
	}
	if e.at == nil {
		e.at = map[string][]time.Time{}
	}
	e.at[name] = append(times, now)
	return true
}

// sameName compares names as PostgreSQL does with synchronous_standby_names.
func sameName(a, b string) bool { return a != "" && strings.EqualFold(a, b) }

// doubt asks a session whether its standby has left it for one with the backend pid by, 0 for one of another member.
func (h *Hub) doubt(s *session, by int32) (doubted bool) {
	within := s.who.WalSenderTimeout
	since, silent, doubted := s.sender.Doubt(by, func() bool {
		return h.endings.allow(strings.ToLower(s.who.ApplicationName), within, time.Now())
	})
	if doubted && s.voter != nil {
		s.voter.Doubted(since, silent, hostOf(s.who.ClientAddr))
	}
	return doubted
}

// beganHere asks the older sessions of the name under which one has begun to stream. Where no rule counts the name,
// several living ones are usual (pg_basebackup, pg_receivewal), and nobody waits for one that is left behind.
func (h *Hub) beganHere(younger *session) {
	if younger.voter == nil || !younger.voter.Counts() {
		return
	}
	for _, s := range h.registry.sessions() {
		if s != younger && sameName(s.who.ApplicationName, younger.who.ApplicationName) {
			h.doubt(s, younger.who.PID)
		}
	}
}

// BeganElsewhere is to be called when sessions with these names of a rule have begun at another member.
func (h *Hub) BeganElsewhere(names []string) {
	for _, s := range h.registry.sessions() {
		for _, name := range names {
			if sameName(s.who.ApplicationName, name) {
				h.doubt(s, 0)
			}
		}
	}
}

// Wanted reports whether the session that streams from a slot may have been left by its standby, whose younger session
// wants the slot: it has the name, and the backend pid by. It is asked then whether it lives.
func (h *Hub) Wanted(slotName, name string, by int32) (doubted bool) {
	for _, s := range h.registry.sessions() {
		if s.slot == slotName && sameName(s.who.ApplicationName, name) {
			return h.doubt(s, by)
		}
	}
	return false
}

// takeSlotLeft is takeSlot, and waits while the session that has the slot may have been left by the same standby.
func (h *Hub) takeSlotLeft(ctx context.Context, name string, who SessionInfo) (*slot.Guard, error) {
	tick := time.NewTicker(startPoll)
	defer tick.Stop()
	for until := time.Now().Add(walsender.DoubtPatience + startSlack); ; {
		guard, err := h.takeSlot(ctx, name, who)
		refusal := (*pgerror.Error)(nil)
		if err == nil || !errors.As(err, &refusal) || refusal.Code != pgerror.ObjectInUse || !time.Now().Before(until) {
			return guard, err
		}
		if !errors.Is(err, slot.ErrDoubted) && !h.Wanted(name, who.ApplicationName, who.PID) {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-tick.C:
		}
	}
}
