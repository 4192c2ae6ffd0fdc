package puller

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/replproxy/replproxy/cluster/link"
	"github.com/replproxy/replproxy/grammar/lsn"
)

const (
	// Protocol is the ALPN name under which members serve WAL to each other: PostgreSQL's protocol.
	Protocol = "replproxy-wal/1"
	// itemPulls is the kind of the item that tells whether this member pulls.
	itemPulls byte = 3
	// deafAfter is the silence after which a stream from the primary is taken for dead. It is twice the time after
	// which it is called silent: the primary was asked for a reply, and in connections of their own.
	deafAfter = 8 * time.Second
	// lookInterval is the interval between decisions.
	lookInterval = 250 * time.Millisecond
)

// Options of New. Everything is required.
type Options struct {
	Node string
	// Follow says whether another member may be followed; without it the choice is the primary, and the
	// others are told.
	Follow bool
	Heard  func() []link.PeerStatus
	// OtherWAL reports whether a member has other WAL than this one: it is as good as silent.
	OtherWAL func(member string) bool
	Outbox   *link.Outbox
	// System returns the system of this store; 0: it has none yet.
	System func() lsn.SystemID
	// Streams reports whether WAL comes in, and from which member; "" is the primary.
	Streams func() (member string, ok bool)
	// Source returns the state of this member's stream from the primary.
	Source func() Source
	// Changed is called when the choice is another one. It must not block.
	Changed func()
	Logger  *slog.Logger
}

// Puller keeps the choice. Its methods may be called from any goroutine. Make it with [New].
type Puller struct {
	o Options

	mu     sync.Mutex
	core   *Core
	choice Choice
	since  time.Time
	heard  map[string]says      // what the others say
	left   map[string]time.Time // since when they do not say that they pull
	said   says                 // what they were told
	known  chan struct{}        // closed when there is a choice; made when there is none
}

// New makes a Puller without a choice. It starts nothing.
func New(o Options) *Puller {
	now := time.Now()
	p := &Puller{o: o, core: NewCore(o.Node, now), since: now, heard: map[string]says{},
		left: map[string]time.Time{}, known: make(chan struct{})}
	if !o.Follow {
		p.core.choice = Choice{Known: true}
		p.choice = p.core.choice
		close(p.known)
	}
	return p
}

// Run decides, again and again, until ctx ends, and returns the cause. Without Options.Follow it keeps to the primary.
func (p *Puller) Run(ctx context.Context) error {
	tick := time.NewTicker(lookInterval)
	defer tick.Stop()
	for {
		p.look(time.Now())
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

func (p *Puller) look(now time.Time) {
	heard := p.o.Heard()
	system := p.o.System()
	from, streaming := p.o.Streams()
	source := p.o.Source()
	p.mu.Lock()
	defer p.mu.Unlock()
	streaming = streaming && from == p.choice.Member // or it is about to end
	v := View{
		System: system, Streaming: streaming, Reaches: source.Connected, Silent: source.Silence > 0,
		Unanswered: source.Unanswered, Stuck: source.Stuck, Covers: source.Covers,
	}
	if !p.o.Follow {
		heard = nil
	}
	for _, h := range heard {
		s := p.heard[h.Name]
		v.Peers = append(v.Peers, Peer{
			Name: h.Name, Live: !h.Heard.IsZero() && !p.o.OtherWAL(h.Name),
			Pulls: s.pulls, Silent: !s.silent.IsZero(), Stuck: s.stuck, LetsGo: s.letsGo,
			Deaf:    !s.silent.IsZero() && now.Sub(s.silent) >= deafAfter,
			Reaches: s.connected && s.system == source.System && s.timeline == source.Timeline,
			Tells:   s.tells, Covers: s.covers,
		})
	}
	if next := p.core.Step(now, v); next != p.choice {
		p.choose(now, next)
		streaming = false
	}
	mine := says{
		pulls: p.core.Pulls(streaming), letsGo: p.core.LetsGo(now),
		connected: source.Connected, system: source.System, timeline: source.Timeline, stuck: p.core.Stuck(now),
	}
	if p.o.Follow && source.Connected {
		mine.tells, mine.covers = true, source.Covers
	}
	if source.Silence > 0 {
		mine.silent = now.Add(-source.Silence)
	}
	p.tell(now, mine)
}

// choose publishes the choice. The caller holds mu.
func (p *Puller) choose(now time.Time, next Choice) {
	was := p.choice
	p.choice, p.since = next, now
	switch {
	case next.Known && !was.Known:
		close(p.known)
	case !next.Known:
		p.known = make(chan struct{})
	}
	p.o.Logger.Info("WAL is streamed from elsewhere", "from", next.String(), "before", was.String())
	p.o.Changed()
}

// tell says to the others whether to follow us, and how we stand to the primary. The caller holds mu.
func (p *Puller) tell(now time.Time, mine says) {
	if p.said.same(mine) {
		return
	}
	err := p.o.Outbox.PutLonger(link.ID{Kind: itemPulls}, func(b []byte) ([]byte, int, error) {
		return mine.append(b, now), olderSize, nil
	})
	if err != nil {
		p.o.Logger.Error("cannot tell the other members", "err", err)
		return
	}
	p.said = mine
}

// Wait gives the choice, as soon as there is one.
func (p *Puller) Wait(ctx context.Context) (Choice, error) {
	for {
		p.mu.Lock()
		choice, known := p.choice, p.known
		p.mu.Unlock()
		if choice.Known {
			return choice, nil
		}
		select {
		case <-known:
		case <-ctx.Done():
			return choice, context.Cause(ctx)
		}
	}
}

// Status returns the choice, and since when.
func (p *Puller) Status() (Choice, time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.choice, p.since
}

// String returns the choice in a log.
func (c Choice) String() string {
	switch {
	case !c.Known:
		return "nobody yet"
	case c.Member == "":
		return "the primary"
	}
	return "member " + c.Member
}

// Sink takes the items of Puller and leaves the others to rest.
func (p *Puller) Sink(rest link.Sink) link.Sink { return sink{rest, p} }

type sink struct {
	link.Sink
	p *Puller
}

func (s sink) Item(peer string, version int, id link.ID, payload []byte) error {
	if id.Kind != itemPulls {
		return s.Sink.Item(peer, version, id, payload)
	}
	said, err := read(payload, version, time.Now())
	if err != nil || id.Num != 0 {
		return fmt.Errorf("invalid message of kind %d from member %s", id.Kind, peer)
	}
	s.p.hear(peer, said)
	return nil
}

func (s sink) Gone(peer string, id link.ID) {
	if id.Kind == itemPulls {
		s.p.hear(peer, says{})
		return
	}
	s.Sink.Gone(peer, id)
}

// Conflict forgets the word of a member whose name two hold: neither of them is followed.
func (s sink) Conflict(peer string) {
	s.p.hear(peer, says{})
	s.Sink.Conflict(peer)
}

func (p *Puller) hear(peer string, said says) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if was := p.heard[peer]; was.pulls && !said.pulls || p.left[peer].IsZero() {
		p.left[peer] = time.Now()
	}
	p.heard[peer] = said
}

// Silent returns the time since which nothing comes to a member from the primary, as it says; false: something does, or
// it has not said anything. What a relay says by itself is no sign of life of its source.
func (p *Puller) Silent(member string) (since time.Time, silent bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch s, said := p.heard[member]; {
	case !said:
		return since, false
	case !s.pulls:
		return p.left[member], true
	default:
		return s.silent, !s.silent.IsZero()
	}
}

// Hears reports whether a member says that it streams from the primary and hears it. It is false of one that has said
// nothing.
func (p *Puller) Hears(member string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	s, said := p.heard[member]
	return said && s.pulls && s.silent.IsZero()
}

// Behind reports whether a member that streams from the primary has not reached for some seconds what this one covers.
// Commits that wait for its reports wait until another member takes over.
func (p *Puller) Behind(member string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.heard[member].pulls && p.core.Behind(time.Now(), member)
}

// HeardAt returns the time at which something last came from the primary. at is that of the last message on a stream
// from member, "" is the primary. A member that streams from the primary sends keepalives whether it hears the primary
// or not. If it says that the primary is silent, the start of the silence is returned.
func (p *Puller) HeardAt(member string, at time.Time) time.Time {
	if member == "" || at.IsZero() {
		return at
	}
	if since, silent := p.Silent(member); silent && since.Before(at) {
		return since
	}
	return at
}
