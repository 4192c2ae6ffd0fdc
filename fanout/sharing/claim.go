package sharing

import (
	"context"
	"errors"
	"sync"

	"github.com/replproxy/replproxy/fanout/slot"
	"github.com/replproxy/replproxy/fanout/slot/shared"
	"github.com/replproxy/replproxy/grammar/pgerror"
)

// Ask learns the other members' states of a slot.
func (s *Sharing) Ask(ctx context.Context, name string) {
	s.introduced(ctx)
	s.each(func(m *member) {
		if s.reached(m) {
			msg := shared.Message{Entries: []shared.Entry{{State: shared.State{Name: name}}}}
			_ = s.say(ctx, m, msg) // who can't be asked is no reason to wait
		}
	})
}

// Told says now what is known of a slot, and waits, for a bounded time, until the members that can be reached
// have confirmed it.
func (s *Sharing) Told(ctx context.Context, name string) {
	known := s.o.Slots.Known(name)
	if known.Generation == 0 {
		return
	}
	s.each(func(m *member) {
		if s.reached(m) {
			_ = s.say(ctx, m, shared.Message{Entries: []shared.Entry{{State: known}}}) // or by Run
		}
	})
}

// Claim asks the other members whether session pid may have its wish for a slot, and returns the claim to
// which they agree. Pass it to Create, Adopt, Acquire, Drop or Retract of slot.Table. A session that attaches gives its
// application_name. Errors are PostgreSQL's; slot.ErrDoubted is the cause of one that may soon be over. It waits for
// members, at most askTimeout for each of a few tries.
func (s *Sharing) Claim(ctx context.Context, w shared.Wish, name, application string, pid int32) (shared.State, error) {
	s.introduced(ctx)
	var said shared.State
	for range tries {
		claim, have, err := s.o.Slots.Propose(w, name, pid)
		if err != nil {
			return claim, err
		}
		outcome, whose, doubted := s.offer(ctx, w, shared.Entry{State: claim, For: application}, have)
		if outcome == shared.Won {
			return claim, nil
		}
		s.o.Slots.Retract(claim)
		switch {
		case ctx.Err() != nil:
			return claim, context.Cause(ctx)
		case outcome == shared.Refused && w == shared.Create:
			return claim, slot.ErrExists(name)
		case outcome == shared.Refused && doubted:
			return claim, inUse(name, whose).WithCause(slot.ErrDoubted)
		case outcome == shared.Refused:
			return claim, inUse(name, whose)
		}
		said = whose
	}
	return shared.State{}, inUse(name, said)
}

// inUse returns 55006, and says where.
func inUse(name string, s shared.State) *pgerror.Error {
	err := slot.ErrActive(name, s.ActivePID)
	if s.Owner != "" {
		err = err.WithDetail("The slot is in use at member %s of the cluster.", s.Owner)
	}
	return err
}

// offer asks all members at once. doubted: a session that is in the way is asked whether it lives.
func (s *Sharing) offer(ctx context.Context, w shared.Wish, claim shared.Entry, have shared.State) (
	_ shared.Outcome, whose shared.State, doubted bool,
) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	tally := shared.NewTally(w, have)
	var mu sync.Mutex
	s.each(func(m *member) {
		err := errDown
		var answer shared.Message
		if s.reached(m) {
			answer, err = m.call(ctx, s.o.Members, shared.Message{Wish: w, Entries: []shared.Entry{claim}})
		}
		mu.Lock()
		defer mu.Unlock()
		if err != nil || len(answer.Entries) != 1 || answer.Entries[0].Name != claim.Name {
			tally.Silent(m.name, s.o.Members.Hears(m.name))
			return
		}
		e := answer.Entries[0]
		tally.Answer(m.name, e.Why, e.State)
		doubted = doubted || e.Why == shared.Busy && e.Doubted
		if e.Why == shared.Behind || e.Why == shared.Exists {
			s.o.Slots.Meet(e.State)
		}
	})
	outcome, whose := tally.Outcome()
	return outcome, whose, doubted
}

var errDown = errors.New("this member is not up")
