package sharing

import (
	"context"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/replproxy/replproxy/fanout/slot"
	"github.com/replproxy/replproxy/fanout/slot/shared"
)

const (
	// protocolPrefix and a message version are an ALPN name under which members talk about slots.
	protocolPrefix = "replproxy-slots/"
	// tellInterval spaces the messages that say how far slots have moved. WAL that the other members keep is that much
	// older.
	tellInterval = time.Second
	// resyncInterval repeats everything, should a mistake of ours ever lose something.
	resyncInterval = 30 * time.Second
	// askTimeout bounds a session's wait for members: far below a standby's patience, far above the answer time of a
	// busy member.
	askTimeout = 3 * time.Second
	// lookInterval spaces the checks whether a member can be reached.
	lookInterval = 250 * time.Millisecond
	// DefaultIntroduction bounds how long after the start a claim waits for members that were not reached yet, because
	// the state on this one's disk may be old. A link is up within a second.
	DefaultIntroduction = 5 * time.Second
	// tries bounds how often a claim is made anew because somebody knew more.
	tries = 5
)

// Members are the other proxies of the cluster, and how to reach them. Methods may be called from any
// goroutine; all but Open return at once.
type Members interface {
	Names() []string          // as configured, without this one
	Up(member string) bool    // it can be dialled, as far as is known
	Hears(member string) bool // it was heard within seconds: it lives
	// Open connects for one of protocols, best first, and says for which.
	Open(ctx context.Context, member string, protocols ...string) (conn net.Conn, protocol string, err error)
	// Forgotten are gone for good, as an operator says, until they are heard.
	Forgotten() []string
}

// Protocols returns the ALPN names under which members talk about slots, best first: one per message version.
func Protocols() (names []string) {
	for v := byte(shared.Newest); v >= shared.Oldest; v-- {
		names = append(names, protocolPrefix+strconv.Itoa(int(v)))
	}
	return names
}

// versionOf returns the message version of one of Protocols.
func versionOf(protocol string) byte {
	return shared.Newest - byte(slices.Index(Protocols(), protocol))
}

// Options of New. Everything but Introduction is required.
type Options struct {
	Slots   *slot.Table // with Options.Node
	Members Members
	// Keeps reports whether this proxy keeps the WAL of a slot.
	Keeps func(slot.Info) bool
	// Wanted is called when a session of another member wants a slot from which a session here streams. The other
	// session has that application_name and backend pid. If the one here may have been left by the same standby it is
	// asked whether it lives, and doubted is true until that is known. It must not block. nil: never.
	Wanted func(slot, application string, pid int32) (doubted bool)
	// Heard is called after something was taken over. It must not block.
	Heard        func()
	Introduction time.Duration // 0: DefaultIntroduction
	Logger       *slog.Logger
}

// Sharing is this member among the others. Methods may be called from any goroutine. Make it with [New].
type Sharing struct {
	o       Options
	members map[string]*member // fixed
	names   []string
	began   time.Time
}

// New starts nothing.
func New(o Options) *Sharing {
	if o.Introduction <= 0 {
		o.Introduction = DefaultIntroduction
	}
	s := &Sharing{
		o: o, members: map[string]*member{}, names: slices.Sorted(slices.Values(o.Members.Names())), began: time.Now(),
	}
	for _, name := range s.names {
		s.members[name] = newMember(name)
	}
	o.Slots.SetConfirmed(s.confirmed)
	return s
}

// Run tells the members each change until ctx ends, and returns the cause once nobody is told any more. A member that
// cannot be told is logged and told again.
func (s *Sharing) Run(ctx context.Context) error {
	var all sync.WaitGroup
	defer all.Wait()
	for _, m := range s.members {
		all.Go(func() { s.keep(ctx, m) })
	}
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-s.o.Slots.Changed():
		}
		for _, m := range s.members {
			m.nudge.Wake()
		}
	}
}

// keep tells one member, again and again.
func (s *Sharing) keep(ctx context.Context, m *member) {
	defer m.close()
	tick := time.NewTicker(lookInterval)
	defer tick.Stop()
	nudged := true
	for {
		if s.o.Members.Up(m.name) && m.due(time.Now(), nudged) {
			err := s.tell(ctx, m)
			if m.failed(time.Now(), err) && ctx.Err() == nil {
				s.o.Logger.Warn("cannot share slots with a member", "member", m.name, "err", err)
			}
		}
		select {
		case <-ctx.Done():
			if s.o.Members.Up(m.name) { // where sessions got to, for whoever takes them over
				_ = s.tell(context.WithoutCancel(ctx), m)
			}
			return
		case <-tick.C:
			nudged = false
		case <-m.nudge:
			nudged = true
		}
	}
}

// reached reports whether a member is worth waiting for: it can be dialled, and is heard or answered last time.
func (s *Sharing) reached(m *member) bool {
	return s.o.Members.Up(m.name) && (s.o.Members.Hears(m.name) || m.problem() == "")
}

// introduced waits until every member was reached since the start, or long enough.
func (s *Sharing) introduced(ctx context.Context) {
	tick := time.NewTicker(lookInterval / 5)
	defer tick.Stop()
	for time.Since(s.began) < s.o.Introduction && ctx.Err() == nil {
		gone := s.o.Members.Forgotten()
		if !slices.ContainsFunc(s.names, func(name string) bool {
			return !s.members[name].met() && !slices.Contains(gone, name)
		}) {
			return
		}
		<-tick.C
	}
}

// tell sends m the states that it has not confirmed yet, or all of them when a resync is due. It waits for the answer.
func (s *Sharing) tell(ctx context.Context, m *member) error {
	all := m.wantsAll(time.Now())
	entries := m.unconfirmed(s.entries(), all)
	if len(entries) == 0 && !all {
		return nil
	}
	return s.say(ctx, m, shared.Message{All: all, Entries: entries})
}

// say tells a member, and takes over what it answers.
func (s *Sharing) say(ctx context.Context, m *member, msg shared.Message) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	answer, err := m.call(ctx, s.o.Members, msg)
	if err != nil {
		return err
	}
	m.told(time.Now(), msg)
	s.heard(m, answer)
	return nil
}

// entries returns everything that is shared, as it is told.
func (s *Sharing) entries() []shared.Entry {
	keeps := map[string]bool{}
	for _, i := range s.o.Slots.List() {
		keeps[i.Name] = !i.Temporary && s.o.Keeps(i)
	}
	var all []shared.Entry
	for _, st := range s.o.Slots.Shared() {
		all = append(all, shared.Entry{State: st, Keeps: keeps[st.Name]})
	}
	return all
}

// heard takes over a member's states.
func (s *Sharing) heard(m *member, msg shared.Message) {
	m.heard(msg)
	took, dropped := false, false
	for _, e := range msg.Entries {
		if e.Generation == 0 {
			continue
		}
		switch now, met := s.o.Slots.Meet(e.State); met {
		case shared.Took:
			took, dropped = true, dropped || now.Dropped
		case shared.Yielded:
			took = true
			s.o.Logger.Warn("a session ends: its slot is in use at another member", "slot", e.Name, "member", now.Owner)
		case shared.Claimed:
			if e.Owner != now.Owner || e.Dropped {
				s.o.Logger.Warn("a slot that is in use here was used or dropped elsewhere meanwhile: it stays",
					"slot", e.Name, "member", e.Owner, "dropped", e.Dropped)
			}
		}
	}
	if took {
		s.o.Heard()
	}
	if dropped { // or a crash, and nobody to ask, would bring the slot back after everybody had confirmed
		if err := s.o.Slots.Persist(); err != nil {
			s.o.Logger.Error("cannot save that slots were dropped, retrying", "err", err)
		}
	}
}

// each calls f for all members at once and waits.
func (s *Sharing) each(f func(*member)) {
	var all sync.WaitGroup
	for _, m := range s.members {
		all.Go(func() { f(m) })
	}
	all.Wait()
}
