package cluster

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/replproxy/replproxy/cluster/ledger"
	"github.com/replproxy/replproxy/cluster/link"
	"github.com/replproxy/replproxy/cluster/loss"
	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/internal/afterlock"
	"github.com/replproxy/replproxy/internal/nudge"
)

// Options of New. Name and Store are required.
type Options struct {
	Name  string        // node name, under which this node's store votes
	Rule  vote.RuleText // the rule as configured
	Store Store
	// Dir is the directory for boot number, fence and rule; "" remembers nothing, for tests.
	Dir string
	// History is that of the store; nil: every timeline is taken for an heir of those with lower numbers.
	History func() lsn.History
	Members []string // the other proxies; none: no cluster
	// Key returns a member's key in words without blanks. A member that comes with another key is another member,
	// which no operator has removed. nil: members are known by their names alone.
	Key    func(member string) string
	Outbox *link.Outbox // what the others are told; nil without a cluster
	// LossHeard is called when a member has told of WAL that was given up. It must not block long; nil: nobody cares.
	LossHeard func()
	Details   func() Details // for member statuses; may take this node's lock. nil: no standbys, no beginning
	// Began is told the names of a rule under which sessions have begun at another member; it must not block. nil:
	// nobody.
	Began   func(names []string)
	Timeout time.Duration // silence after which a member's rule and FIRST are treated apart: wal_sender_timeout
	Logger  *slog.Logger  // nil: discards
	OwnKey  uint64        // a fingerprint of the node's key; 0: it has none
	// New: this node knows of no earlier life. Until a member has answered that it knows of none either it has no vote
	// and reports nothing; one that does ends [Node.Run] with [ErrKnown].
	New bool
	// Proven is told, again after an error, that no member knows the name of a node that is New; nil: nobody.
	Proven func() error
	// Newcomer: this node may have forgotten which WAL was given up, see [Node.Newcomer]. Informed is told, again after
	// an error, that it knows; nil: nobody.
	Newcomer bool
	Informed func() error
}

// Node is this proxy in the quorum. Methods may be called from any goroutine and never block for long. Make it with
// [New].
type Node struct {
	o       Options
	log     *slog.Logger
	changed nudge.Chan
	toSave  nudge.Chan // this node's rule covers its beginning, which is to be remembered

	save   func([]byte) error // makes it durable
	saving sync.Mutex         // held over I/O; taken before mu; rule and fence change under both
	saved  []byte             // what the disk has
	// forgotten has the names as the disk has them; under saving.
	forgotten   []string
	savedLosses []byte // the same of losses

	mu      afterlock.Mutex // never held over I/O
	report  func()          // see OnReport
	ledger  *ledger.Ledger
	own     uint64 // incarnation of this node's store; 0: not attached yet
	full    bool   // told that there are too many sessions
	stale   bool   // the ledger has heard something since last
	behind  bool   // a report since last was passed over: its positions are right, its voters' are older
	last    ledger.Evaluation
	at      Positions // the store's, with which last was made
	waiting waits
	// published is Seq + 1 of the newest State in the outbox; early are reports of sessions that no State
	// has listed yet.
	published uint64
	early     map[vote.Key]vote.Report
	lives     lives
	fresh     bool // Options.New
	// unproven: this node neither votes nor reports, as no member has said yet that it does not know it, or its start
	// is not durable.
	unproven bool
	statuses memberStatuses
	asking   asking
	telling  sync.Mutex // held while this node's member status is made and told; before mu
	names    names
	// establishing is true until it is durable that the rule covers its beginning. Until then nothing is reportable
	// beyond that beginning, or beyond the positions of the rule before. A node that came back with another rule would
	// otherwise not know which rule commits rest on (ruling R9).
	establishing bool
	before       lsn.Progress // what that one covers; of last
	// coming is a rule that is being made durable. What is reportable beyond its beginning would rest on the one
	// before, and nobody would know.
	coming vote.Rule

	told string // why the rule could not be satisfied at the last look

	states    atomic.Pointer[states] // see recentStates
	withdrawn bool                   // this node's store does not vote, see Withdraw
	until     int                    // see RetainUntil
	retained  atomic.Pointer[retained]
	covered   highestCovered
	coverage  coverage
	began     time.Time
	fences    fences       // what this node has promised; the ledger knows what of it concerns the store's system
	fenced    lsn.SystemID // the system for which the ledger knows
	losses    loss.Set     // WAL that was given up
	kept      loss.Set     // what the disk has of it
	aside     uint64       // ID of the loss whose WAL the store has until the next start; 0: none
	beyond    []string     // of losses: who has some of it, as far as the ledger knows
	newcomer  newcomer
	shown     shown
	late      lateMembers // members whose word was lacking when the store left a timeline
}

// New makes a node from what it remembers, and makes what it remembers durable. It starts nothing.
// Where the volume is full the node neither votes nor reports until it is durable, see [Node.Run].
func New(o Options) (*Node, error) { return open(o, memory(o.Dir).save) }

func open(o Options, save func([]byte) error) (*Node, error) {
	if o.Name == "" || o.Store == nil {
		return nil, errors.New("cluster: no name or no store")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	r, err := recall(o, memory(o.Dir), save)
	if err != nil {
		return nil, fmt.Errorf("cluster: %w", err)
	}
	losses, err := memory(o.Dir).losses()
	if err != nil {
		return nil, fmt.Errorf("cluster: %w", err)
	}
	known, err := memory(o.Dir).lives()
	if errors.Is(err, errDamaged) {
		o.Logger.Error("what was known of other members' starts is not known", "err", err)
	} else if err != nil {
		return nil, fmt.Errorf("cluster: %w", err)
	}
	late, err := memory(o.Dir).late()
	if err != nil { // also of a later release: the list serves a warning, and is no reason not to start
		o.Logger.Warn("which members were not heard before a timeline was left is not known: none", "err", err)
	}
	n := &Node{
		o: o, log: o.Logger, changed: nudge.New(), toSave: nudge.New(),
		save: save, saved: r.saved, forgotten: r.ledger.Forgotten(), ledger: r.ledger, stale: true, waiting: waits{},
		early: map[vote.Key]vote.Report{}, lives: newLives(known, o.Members),
		fresh: o.New, unproven: r.silent,
		establishing: unestablished(r.ledger.State().Rule), began: time.Now(), names: newNames(),
		asking: newAsking(), coverage: newCoverage(), losses: losses, kept: losses, fences: r.fences,
		fenced: o.Store.Positions().System, late: late,
	}
	n.newcomer.waits = o.Newcomer && len(o.Members) > 0
	n.tellBeyond(o.Store.Positions())
	n.publishLives(n.began)
	if n.fresh || n.unproven {
		n.lives.wanted.Wake() // who would answer may be forgotten, or nobody has to
	}
	return n, nil
}

// Changed has room for one token and gets it when Reportable may have changed.
func (n *Node) Changed() <-chan struct{} { return n.changed }

// Reportable returns the largest positions that may be reported upstream: what every rule in use covers. Without a
// rule they are the largest LSN for write and flush, and 0 for apply (ruling R24). ruled reports whether a rule is in
// use here or at a member. Positions can be withheld without one as well.
func (n *Node) Reportable() (p lsn.Progress, ruled bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	l := n.evaluate(time.Now())
	p = n.reportable(l)
	if n.coverage.wanted && n.coverage.Note(n.at.System, n.at.Timeline, l.Ruled, p) {
		n.coverage.moved.Wake()
	}
	return p, l.Ruled
}

// evaluate gives the limits for the store's present timeline. Nothing of another one is ever given: a
// position that a rule covered there says nothing about this history. What it returns is overwritten by the next call.
// The caller holds mu.
func (n *Node) evaluate(now time.Time) ledger.Evaluation {
	p := n.o.Store.Positions()
	n.ownVote(now, p)
	n.compare(p)
	n.heedFence(p)
	if len(n.losses) > 0 && (p.System != n.at.System || p.Timeline != n.at.Timeline) {
		n.tellBeyond(p)
	}
	if n.stale || p.System != n.at.System || p.Timeline != n.at.Timeline {
		n.ledger.Evaluate(&n.last, now, p.System, p.Timeline)
		n.stale, n.behind = false, false
		if l := n.last; l.Ruled {
			n.covered.note(p.Timeline, l.Progress)
		}
		if n.establishing {
			n.before = n.ledger.Before(now, p.System, p.Timeline)
		}
		if n.ledger.Establish(n.last, p.Timeline, p.Received) {
			n.toSave.Wake()
		}
	}
	n.at = p
	return n.last
}

// ownVote attaches this node's store once it has a system, and reports it. The caller holds mu.
func (n *Node) ownVote(now time.Time, p Positions) {
	if n.ledger.SetHistory(p.HistoryHash, p.FirstWAL) {
		n.stale = true
		n.publish()
	}
	if n.own == 0 && p.System != 0 {
		n.own = rand.Uint64() | 1
		if err := n.ledger.Attach(now, n.own, vote.Store, n.o.Name, p.System); err != nil {
			n.mu.After(func() { n.log.Error("this proxy's store has no vote", "err", err) })
		}
		n.publish()
	}
	if n.own == 0 {
		return
	}
	_, streams := n.o.Store.Streams()
	r, news := n.ledger.Ack(now, ledger.Ack{
		Incarnation: n.own, Timeline: p.Timeline, Received: p.Received,
		Progress: lsn.Progress{Write: p.Written, Flush: p.Flushed}, Streaming: streams && !n.withdrawn,
		Bytes: n.nameBytes(p),
	})
	if news {
		n.publishReport(r)
		n.stale = n.stale || n.last.Ruled && !n.passesOver(p, n.own)
	}
}

// moved makes whoever reports look again because of a report. Without a rule in use none changes the positions; a
// change of the rules is told by touch. The caller holds mu.
func (n *Node) moved() {
	if n.matters() {
		n.touch()
	}
}

// matters reports whether a report can change the positions. The caller holds mu.
func (n *Node) matters() bool { return n.stale || n.last.Ruled }

// Withdraw stops this store's vote, or starts it again. A store votes no more while its only free space is taken by
// WAL that may be nowhere but in stores that voted for it (ruling R4).
func (n *Node) Withdraw(withdrawn bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.withdrawn = withdrawn
	n.ownVote(time.Now(), n.o.Store.Positions())
	n.touch()
}

// Withdrawn reports whether this node's store has withdrawn its vote.
func (n *Node) Withdrawn() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.withdrawn
}

// touch makes whoever reports look again, here and elsewhere. The caller holds mu.
func (n *Node) touch() {
	n.noteNews()
	n.changed.Wake()
}

// noteNews does that, but for the report to the upstream. The caller holds mu.
func (n *Node) noteNews() {
	n.stale = true
	n.publish()
	if n.coverage.wanted {
		n.coverage.moved.Wake()
	}
}
