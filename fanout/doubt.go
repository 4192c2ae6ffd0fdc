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

// A standby that comes back over a new connection may have left its earlier session behind, on a connection that is
// silently dead. That session holds its vote (ruling R6) and its slot. Older sessions of a name are therefore asked
// whether they live, and end when they say nothing (walsender.Sender.Doubt, docs/adr/0076). They are asked when a
// session of the name begins to stream, here or at another member, or wants a slot that an older one holds.

const (
	// maxEndings bounds the sessions of one name that are ended so within wal_sender_timeout. A standby that comes back
	// twice leaves no more. Two living servers of one name do not end each other in turn.
	maxEndings = 2
	// endingsWithin is that time where wal_sender_timeout is disabled: PostgreSQL's default.
	endingsWithin = time.Minute
	// startSlack is added to walsender.DoubtPatience while a START waits for its slot: until the session that held it
	// is gone, at another member too.
	startSlack = 1500 * time.Millisecond
	// startPoll spaces its looks whether the slot is free.
	startPoll = 100 * time.Millisecond
)

// endings are the sessions that were ended lately, by name.
type endings struct {
	mu sync.Mutex
	at map[string][]time.Time
}

// allow reports whether one more session of name may end now, and counts it: maxEndings may within that time. A within
// of 0 is endingsWithin.
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

// sameName reports whether names are the same, as PostgreSQL compares with synchronous_standby_names, without case. ""
// is nobody's.
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

// BeganElsewhere notes that sessions with these names of a rule have begun at another member.
func (h *Hub) BeganElsewhere(names []string) {
	for _, s := range h.registry.sessions() {
		for _, name := range names {
			if sameName(s.who.ApplicationName, name) {
				h.doubt(s, 0)
			}
		}
	}
}

// Wanted asks the session that streams from a slot whether it lives, if it may have been left by its standby. A younger
// session of that standby wants the slot: it has the name, and the backend pid by. Wanted reports whether the older
// session is doubted.
func (h *Hub) Wanted(slotName, name string, by int32) (doubted bool) {
	for _, s := range h.registry.sessions() {
		if s.slot == slotName && sameName(s.who.ApplicationName, name) {
			return h.doubt(s, by)
		}
	}
	return false
}

// takeSlotLeft takes the slot, and waits while the session that has it may have been left by the same standby.
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
