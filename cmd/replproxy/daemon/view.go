package daemon

import (
	"sync/atomic"
	"time"

	"github.com/replproxy/replproxy/cmd/replproxy/preflight"
	"github.com/replproxy/replproxy/proxy/admin"
	"github.com/replproxy/replproxy/proxy/report"
	"github.com/replproxy/replproxy/proxy/report/verdict"
)

// view is a running proxy as the status document wants it. It asks the parts only for copies, so any
// goroutine may use it.
type view struct {
	*parts
	stopping atomic.Bool
	past     atomic.Pointer[verdict.Past]  // of the verdict, never nil
	events   atomic.Pointer[[]admin.Event] // the newest first, never nil
}

func newView(p *parts) *view {
	v := &view{parts: p}
	v.past.Store(&verdict.Past{})
	v.events.Store(&[]admin.Event{})
	return v
}

// Status returns one snapshot as a document; see [admin.Source].
func (v *view) Status() admin.Status {
	x := v.snapshot()
	return report.Status(&x)
}

// snapshot asks every part.
func (v *view) snapshot() report.Snapshot {
	set := v.settings.state.Load()
	c := set.config
	x := report.Snapshot{
		Config: c, InForce: set.status, Version: v.Version, Commit: v.Commit, Profiles: v.Profiles,
		Started: v.started, Stopping: v.stopping.Load(), Listen: v.listeners.addresses(),
		Past: *v.past.Load(), Events: *v.events.Load(), LogDropped: v.queue.Dropped(), Advice: v.advisor.Warnings(),
		Store: v.stored(), Backfill: v.filler.Status(), Sources: v.sources.Status(),
		Stream: v.receiver.Status(), Servers: v.upstream.Servers(), Votes: v.node.Status(),
		Own: v.own.Status(), Drops: v.maintainer.Drops(), Idle: v.maintainer.Idle(),
		Standbys: v.hub.Standbys(), Stranded: v.hub.Stranded(), YieldsTo: v.hub.Yielding(),
		Slots: v.shared(), LostSlots: v.hub.LostSlots(),
		Tallies: v.hub.Tallies(), Syncs: v.store.SyncTimes(),
		Left: v.hub.LeftSlots(), Feedback: v.hub.FeedbackStatus(),
		Sessions: v.server.Sessions(), Counts: v.server.Counts(), TLS: v.tls.Status(),
		Cluster: v.members.status(),
	}
	total, free, err := preflight.Volume(c.DataDir)
	if err == nil {
		x.Volume = report.Volume{Total: total, Free: free}
	}
	x.LastMessage = x.Stream.LastMessage
	if v.members != nil {
		x.LastMessage = v.members.puller.HeardAt(x.Stream.Member, x.LastMessage)
		x.Withheld = v.members.behind(x.Stream.Member)
	}
	x.Down, _ = v.receiver.DownSince()
	if h, known := v.receiver.Higher(); known {
		x.Higher = &admin.Higher{Host: h.Host, Timeline: h.Timeline}
	}
	if v.ruleGate != nil {
		ruleGate := v.ruleGate.Status()
		x.RuleGate = &ruleGate
	}
	if v.verifier != nil {
		auth := v.verifier.Status()
		x.Auth = &auth
	}
	word := wordFiles{dir: c.DataDir, log: v.log}
	x.Accepted, x.Aside = word.unused(), word.waitsForRestart()
	x.Now = time.Now()
	return x
}

// stored asks the store, and the hub for how much of it is kept for votes.
func (v *view) stored() report.Store {
	s := report.Store{
		Positions: v.store.Positions(), Paused: v.store.Paused(), Full: v.store.Full(), VotedFrom: v.hub.VotedFrom(),
	}
	s.Identity, _ = v.store.Identity()
	s.VotedBytes = v.hub.VotedBytes(s.Flushed)
	if r, ok := v.store.Repairing(); ok {
		s.Repair, s.Held = &r, v.store.HeldOwed()
	}
	return s
}

// shared asks for the slots, and in a cluster for who has them.
func (v *view) shared() (all []report.SharedSlot) {
	for _, row := range v.hub.Slots() {
		s := report.SharedSlot{SlotRow: row, Kept: v.hub.KeepsWAL(row.Info)}
		if v.members != nil {
			s.KeptBy, s.Unconfirmed = v.members.slots.KeptBy(row.Name), v.members.slots.Unconfirmed(row.Name)
		}
		all = append(all, s)
	}
	return all
}
