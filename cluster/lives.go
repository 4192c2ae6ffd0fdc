package cluster

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/replproxy/replproxy/cluster/link"
	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/internal/nudge"
)

// ErrKnown ends a node that knows of no earlier life while another member does (Options.New): what it promised is
// forgotten, and so it must not vote under that name.
var ErrKnown = errors.New("this node is new, and its name is not")

// lives holds the starts of other members that this node knows, durably, and their answers about its own. A boot number
// is never one that was used before, whatever the clock says (ADR 0071). Guarded by Node.mu. Make it with newLives.
type lives struct {
	of      map[string]*past
	answers map[string]vote.Life // of each other member that has said what it knows of this node
	told    []byte               // the item as it is in the outbox
	saved   []byte               // the file
	wanted  nudge.Chan           // an answer has come
}

// past is the newest life of another member, with Boot 0 when it was forgotten.
type past struct {
	vote.Life
	speaks    bool      // what is heard of the name now is this life
	contested bool      // two hold the name
	heard     time.Time // when this life was heard last
}

func newLives(known []vote.Life, members []string) lives {
	l := lives{of: map[string]*past{}, answers: map[string]vote.Life{}, wanted: nudge.New()}
	for _, x := range known {
		if slices.Contains(members, x.Node) {
			l.of[x.Node] = &past{Life: x}
		}
	}
	return l
}

// lifeOf returns the start of its node that a State names.
func lifeOf(s vote.State) vote.Life {
	return vote.Life{Node: s.Node, Key: s.Key, Boot: s.Boot, Run: s.Run}
}

// relapse returns an error if a life can't follow the one that is known; nil if it is that one or a newer one.
func (l *lives) relapse(x vote.Life) error {
	p := l.of[x.Node]
	if p == nil || x.Boot > p.Boot || x.Boot == p.Boot && (x.Run == p.Run || x.Run == 0 || p.Run == 0) {
		return nil
	}
	return fmt.Errorf("boot %d of member %s after %d: its data_dir is an old copy, or was lost", x.Boot, x.Node, p.Boot)
}

// note takes over a life that speaks, and reports whether that is news.
func (l *lives) note(now time.Time, x vote.Life) (news bool) {
	p := l.of[x.Node]
	if p == nil {
		p = &past{}
		l.of[x.Node] = p
	}
	news = p.Life != x
	*p = past{Life: x, speaks: true, heard: now}
	return news
}

// connected notes that the name is heard anew. Whose life that is, its State says.
func (l *lives) connected(name string) {
	if p := l.of[name]; p != nil {
		p.speaks, p.contested = false, false
	}
}

func (l *lives) seen(now time.Time, name string) {
	if p := l.of[name]; p != nil && p.speaks {
		p.heard = now
	}
}

func (l *lives) contest(name string) {
	if p := l.of[name]; p != nil {
		p.contested = true
	}
}

// forget lets a member come back with any boot number, on the operator's word. That its name was used stays known.
func (l *lives) forget(name string) {
	if p := l.of[name]; p != nil {
		p.Boot, p.Run = 0, 0
	}
}

// run returns the run of a member that speaks; 0: not known.
func (l *lives) run(name string) uint64 {
	if p := l.of[name]; p != nil && p.speaks {
		return p.Run
	}
	return 0
}

// known returns all lives, by name, with whether they are heard.
func (l *lives) known(now time.Time, timeout time.Duration) []vote.Life {
	var all []vote.Life
	for _, p := range l.of {
		x := p.Life
		x.Lives = p.contested || p.speaks || !p.heard.IsZero() && now.Sub(p.heard) < timeout
		all = append(all, x)
	}
	slices.SortFunc(all, func(a, b vote.Life) int { return strings.Compare(a.Node, b.Node) })
	return all
}

// startCheck is the result of comparing this node's start with the starts that the other members know.
type startCheck struct {
	refused string // by a member that knows the name of a node that is new
	clash   string // a member hears another life of this node
	boot    uint64 // it has to take this number; 0: it has one that nobody knows of another life
}

// check judges own by the answers of other members. isNew: this node knows of no earlier life of its own. It is pure.
func (l *lives) check(own vote.Life, isNew bool) (r startCheck) {
	for name, x := range l.answers {
		switch {
		case x.Node == "" || x.Run == own.Run && x.Run != 0:
		case isNew && (x.Key != own.Key || x.Boot >= own.Boot):
			r.refused = name
		case x.Boot >= own.Boot && x.Lives:
			r.clash = name
		case x.Boot >= own.Boot:
			r.boot = max(r.boot, x.Boot+1)
		}
	}
	return r
}

// unproven reports whether a node has to wait for another member's answer.
func unproven(o Options) bool { return o.New && len(o.Members) > 0 }

// life returns the life of this node. The caller holds mu.
func (n *Node) life() vote.Life { return lifeOf(n.ledger.State()) }

// hearLives takes over a member's knowledge of this node's lives. The caller holds mu.
func (n *Node) hearLives(peer string, all vote.Lives) {
	i := slices.IndexFunc(all, func(x vote.Life) bool { return x.Node == n.o.Name })
	if i < 0 {
		n.answer(peer, vote.Life{})
	} else {
		n.answer(peer, all[i])
	}
}

// answer takes a member's answer: the life of this node that it knows. The zero Life: it knows none, or can't say. The
// caller holds mu.
func (n *Node) answer(peer string, x vote.Life) {
	if was, said := n.lives.answers[peer]; said && was == x {
		return
	}
	n.lives.answers[peer] = x
	n.lives.wanted.Wake()
}

// answered acts on the others' answers. A new node is let in, or ends. A node whose boot number was used takes a
// higher one, unless the life that has it is still heard (ruling R22). A node whose start could not be remembered is
// let in as soon as it is. Where an operator has said of every other member that it is gone there is nobody to answer,
// and the node is let in. It blocks for the disk.
func (n *Node) answered() error {
	n.mu.Lock()
	r := n.lives.check(n.life(), n.fresh)
	all := true // have answered, or are gone
	for _, name := range n.o.Members {
		_, said := n.lives.answers[name]
		all = all && (said || slices.Contains(n.ledger.Forgotten(), name))
	}
	enters := n.unproven && (!n.fresh || all || len(n.lives.answers) > 0)
	fresh := n.fresh
	n.mu.Unlock()
	switch {
	case r.refused != "":
		return fmt.Errorf("%w: member %s knows a proxy %s; is the volume of data_dir mounted? A new store needs a new "+
			"name, because the old one may have promised not to vote (docs/runbook.md, A new store)",
			ErrKnown, r.refused, n.o.Name)
	case r.clash != "":
		n.log.Warn("another proxy with this name and key is heard, and counts instead of this one: stop one of them",
			"member", r.clash)
	case r.boot != 0:
		n.log.Warn("the boot number was used before, as data_dir is an old copy: this node takes a higher one",
			"boot", r.boot)
		err := n.change(func(x *record) error { x.Boot = r.boot; return nil }, func() { n.ledger.Reboot(r.boot) })
		if err == nil {
			n.noteFences() // which go by the boot number
			n.lives.wanted.Wake()
		}
		return err
	}
	if enters {
		if err := n.change(func(*record) error { return nil }, n.enter); err != nil {
			return err
		}
		n.noteFences()
	}
	if !fresh || !all {
		return nil
	}
	if n.o.Proven != nil {
		if err := n.o.Proven(); err != nil {
			return err
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.fresh = false
	return nil
}

// enter lets a node that was unproven vote and report. The caller holds mu.
func (n *Node) enter() {
	n.unproven = false
	for _, x := range n.ledger.Reports() {
		n.publishReport(x)
	}
	n.touch()
}

// publishLives tells the others what this node knows of their starts, when that has changed. The caller holds mu.
func (n *Node) publishLives(now time.Time) {
	if n.o.Outbox == nil {
		return
	}
	b, err := vote.AppendLives(nil, n.lives.known(now, cmp.Or(n.o.Timeout, link.Recovery)))
	if err != nil {
		n.mu.After(func() { n.log.Error("cannot tell the other members", "err", err) })
		return
	}
	if !bytes.Equal(b, n.lives.told) {
		n.lives.told = b
		n.put(link.ID{Kind: itemLives}, func(to []byte) ([]byte, int, error) { return append(to, b...), -1, nil })
	}
}

// rememberLives saves the others' lives, durably, when they have changed; after an error the next call tries again. The
// caller holds saving, not mu.
func (n *Node) rememberLives() error {
	n.mu.Lock()
	b := encodeLives(n.lives.known(time.Time{}, 0))
	n.mu.Unlock()
	if bytes.Equal(b, n.lives.saved) {
		return nil
	}
	err := memory(n.o.Dir).write(livesFile, b)
	if err == nil {
		n.lives.saved = b
	}
	return err
}
