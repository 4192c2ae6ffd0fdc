package ledger

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/replproxy/replproxy/cluster/compare"
	"github.com/replproxy/replproxy/cluster/quorum"
	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// ErrRefused reports a State or a call that was not taken over; the ledger is as it was.
var ErrRefused = errors.New("refused")

// Options are fixed for the life of a ledger.
type Options struct {
	Node    string   // own name
	Boot    uint64   // see vote.State
	Key     uint64   // the same
	Run     uint64   // the same
	Members []string // all configured nodes, this one or not; none but this one: no cluster
	// Timeout is wal_sender_timeout: a member that says nothing for so long is silent. ≤ 0: never.
	Timeout time.Duration
	// Rule is this node's rule as it was made durable, Fenced this node's durable promise.
	Rule   vote.Rule
	Fenced lsn.TimelineID
	// Forgotten are members that an operator has removed, see [Ledger.Forget].
	Forgotten []string
}

// Counters count events that should not happen; they only rise.
type Counters struct {
	States     uint64 // refused: unknown member, outside the bounds, an unusable rule
	Reports    uint64 // for sessions that no State lists (any more)
	Violations uint64 // of an inequality that always holds: nothing was reported instead
}

// Ledger is the knowledge of one node. The zero Ledger is not usable.
type Ledger struct {
	o        Options
	members  map[string]*member
	all      []*member // the same: this proxy first, then by name
	sessions map[vote.Key]*session
	ordered  []*session                            // the same, as Views are ordered
	sharing  map[sessionName]map[vote.Key]*session // the same, by name: an ack is compared with those of its name only
	counters Counters
	before   quorum.Rule // the one before this node's rule, when that was taken unestablished
	safe     safe
	beyond   map[string]bool // standbys that have WAL which was given up, by folded name
	views    []View          // memory of evaluations, as is
	judged   RuleInUse       // the same
}

// member is a configured node.
type member struct {
	folded    string // its name, see vote.Fold
	state     vote.State
	rule      quorum.Rule  // of state.Rule
	heard     bool         // since this ledger began, and not forgotten after
	forgotten bool         // by an operator, and not heard since
	at        time.Time    // when it was heard last
	contested bool         // two live holders of its name: it has no votes (ruling R22)
	relapsed  bool         // it came with a boot number that was used before: it has none either
	version   int          // message version of what it says; 0: not known
	bytes     compare.Peer // how far its WAL is ours
}

// session is one of a member's sessions.
type session struct {
	vote.Session
	home     *member // whose it is
	named    bool    // a standby under the name of a member
	counted  bool    // this node's rule counts it
	report   vote.Report
	attached time.Time
	moved    time.Time // when a position moved last
	rose     rise      // what the newest report changed

	met map[uint64]lsn.LSN // own sessions: see proof.go
	// Of own sessions: when the newest Ack was said, and since when it is asked whether it lives, see Doubt.
	heard, doubted time.Time
}

// New makes the ledger of a node that has just started. An error is about Options: a name, too many members, a rule
// that does not parse. One goroutine at a time may call its methods.
func New(o Options) (*Ledger, error) {
	l := &Ledger{o: o, members: map[string]*member{}, sessions: map[vote.Key]*session{},
		sharing: map[sessionName]map[vote.Key]*session{}}
	for _, name := range append(slices.Clone(o.Members), o.Node) {
		if name == "" || len(name) > vote.MaxName {
			return nil, fmt.Errorf("%w: node name %q", ErrRefused, name)
		}
		l.members[name] = &member{state: vote.State{Node: name}, folded: vote.Fold(name)}
	}
	if len(l.members) > vote.MaxMembers {
		return nil, fmt.Errorf("%w: %d members, at most %d", ErrRefused, len(l.members), vote.MaxMembers)
	}
	d, err := Parse(o.Rule.RuleText)
	if err != nil {
		return nil, err
	}
	for _, name := range o.Forgotten {
		if m := l.members[name]; m != nil {
			m.forgotten = true
		}
	}
	if l.before, err = Parse(o.Rule.Before); err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(l.members)) {
		if name == o.Node {
			l.all = slices.Insert(l.all, 0, l.members[name])
		} else {
			l.all = append(l.all, l.members[name])
		}
	}
	own := l.own()
	own.heard, own.forgotten, own.rule = true, false, d
	own.state.Boot, own.state.Rule, own.state.Fenced = o.Boot, o.Rule, o.Fenced
	own.state.Key, own.state.Run = o.Key, o.Run
	return l, nil
}

func (l *Ledger) own() *member { return l.all[0] }

// Merge takes a member's State over if it is newer than what is known of that member. Sessions that it
// does not list have ended. An error leaves everything as it was; an old State is no error.
func (l *Ledger) Merge(now time.Time, s vote.State) error {
	m := l.members[s.Node]
	if m != nil && m != l.own() && m.heard && s.Boot == m.state.Boot && s.Seq == m.state.Seq {
		m.at = now // a sign of life, which was looked at when it was news
		return nil
	}
	err := l.acceptable(s)
	var d quorum.Rule
	if err == nil {
		d, err = Parse(s.Rule.RuleText)
	}
	if err != nil {
		l.counters.States++
		return err
	}
	m.at = now
	if m.heard && !s.Newer(m.state) {
		return nil
	}
	s.Fenced = max(s.Fenced, m.state.Fenced) // a promise is never taken back
	s.Sessions = slices.Clone(s.Sessions)
	m.state, m.rule, m.heard, m.forgotten = s, d, true, false
	l.replace(now, s)
	if own := l.own(); s.Rule.Same(own.state.Rule.RuleText) && s.Rule.Generation > own.state.Rule.Generation {
		own.state.Rule.Generation = s.Rule.Generation // the same rule, confirmed
		own.state.Seq++
	}
	return nil
}

func (l *Ledger) acceptable(s vote.State) error {
	switch {
	case s.Node == l.o.Node || l.members[s.Node] == nil:
		return fmt.Errorf("%w: a state of node %q, which is no other member", ErrRefused, s.Node)
	case len(s.Sessions) > vote.MaxSessions:
		return fmt.Errorf("%w: %d sessions at node %q", ErrRefused, len(s.Sessions), s.Node)
	}
	seen := map[uint64]bool{0: true}
	for _, x := range s.Sessions {
		switch {
		case seen[x.Incarnation]:
			return fmt.Errorf("%w: incarnation %d twice at node %q", ErrRefused, x.Incarnation, s.Node)
		case x.Node != s.Node, len(x.Name) > vote.MaxName, x.Name != vote.Fold(x.Name),
			x.Kind == vote.Store && x.Name != vote.Fold(s.Node), x.Kind > vote.Store:
			return fmt.Errorf("%w: session %q of kind %d at node %q", ErrRefused, x.Name, x.Kind, s.Node)
		}
		seen[x.Incarnation] = true
	}
	return nil
}

// Speaks says in which message version (cluster/link) a member's words come from now on. It begins to be compared anew.
// Unknown names are ignored.
func (l *Ledger) Speaks(node string, version int) {
	if m := l.members[node]; m != nil {
		m.version = version
		m.bytes.Begin()
	}
}

// Forget drops all that a member has said, its rule and its votes, and nothing waits for it any more, on an operator's
// word that it is gone (ruling R5). What it says from now on counts again.
func (l *Ledger) Forget(node string) error {
	if node == l.o.Node || l.members[node] == nil {
		return fmt.Errorf("%w: %q is no other member", ErrRefused, node)
	}
	m := l.members[node]
	*m = member{state: vote.State{Node: node}, folded: m.folded, forgotten: true, version: m.version}
	for k := range l.sessions {
		if k.Node == node {
			l.leave(k)
		}
	}
	return nil
}

// Recall waits again for a member that was forgotten and has not been heard since. Any other name is ignored.
func (l *Ledger) Recall(node string) {
	if m := l.members[node]; m != nil && node != l.o.Node {
		m.forgotten = false
	}
}

// Forgotten returns the members that an operator has removed and that have not been heard since, by name.
func (l *Ledger) Forgotten() (names []string) {
	for _, name := range l.names()[1:] {
		if l.members[name].forgotten {
			names = append(names, name)
		}
	}
	return names
}

// Contest says whether two live holders of a member's name were seen; this node's name can be contested too.
func (l *Ledger) Contest(node string, contested bool) {
	if m := l.members[node]; m != nil {
		m.contested = contested
	}
}

// Relapse marks a member that came with a boot number of another start, or clears that. Its messages are ignored, and
// nothing that is known of it counts.
func (l *Ledger) Relapse(node string, relapsed bool) {
	if m := l.members[node]; m != nil {
		m.relapsed = relapsed
	}
}

// Reboot gives this node another boot number, which the caller has made durable.
func (l *Ledger) Reboot(boot uint64) {
	own := l.own()
	own.state.Boot = boot
	own.state.Seq++
}

// Counters returns the counts since this ledger was made.
func (l *Ledger) Counters() Counters { return l.counters }
