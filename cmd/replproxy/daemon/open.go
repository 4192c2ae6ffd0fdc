package daemon

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/replproxy/replproxy/cluster"
	"github.com/replproxy/replproxy/cluster/ledger"
	"github.com/replproxy/replproxy/cluster/link"
	"github.com/replproxy/replproxy/cluster/newstore"
	"github.com/replproxy/replproxy/cluster/puller"
	"github.com/replproxy/replproxy/fanout"
	"github.com/replproxy/replproxy/fanout/realslot"
	"github.com/replproxy/replproxy/fanout/sharing"
	"github.com/replproxy/replproxy/fanout/slot"
	"github.com/replproxy/replproxy/fanout/walreceiver"
	"github.com/replproxy/replproxy/fanout/walsource"
	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/handshake/upstream"
	"github.com/replproxy/replproxy/internal/tcpopt"
	"github.com/replproxy/replproxy/proxy/config"
	"github.com/replproxy/replproxy/proxy/physical"
)

// openStore opens the parts that lie on the disk, and reads and repairs as a start does: it may take minutes. ctx ends
// that.
func (p *parts) openStore(ctx context.Context, c *config.Config) (err error) {
	if err := refuseKeyless(c); err != nil {
		return err
	}
	if err := prepareDataDir(c); err != nil {
		return err
	}
	if p.fresh, err = openNewStore(c, p.NewStore, p.log); err != nil {
		return openFailed(c, err)
	}
	aside, done := wordFiles{dir: c.DataDir, log: p.log}.setAside()
	p.store, err = walstore.Open(ctx, walstore.Options{
		Dir: c.DataDir, KeepSize: int64(c.WAL.KeepSize), Logger: p.part("walstore"), SetAside: aside,
		Short: func() bool { left, known := p.room(); return known && left < 0 },
	})
	if err != nil {
		return openFailed(c, err)
	}
	if err := done(); err != nil {
		return err
	}
	p.moved = p.store.Watch(walstore.MovedTimeline) // the rest is told by OnMoved
	p.slots, err = slot.Open(filepath.Join(c.DataDir, "slots"), slot.Options{Node: clusterNode(c)})
	if err != nil {
		return fmt.Errorf("open slots: %w", err)
	}
	return nil
}

// openCluster makes the node that counts votes, alone or with other members.
func (p *parts) openCluster(_ context.Context, c *config.Config) (err error) {
	p.members, err = newMembership(c, puller.Options{
		System:  func() lsn.SystemID { id, _ := p.store.Identity(); return id.System },
		Streams: func() (string, bool) { return p.receiver.Streams() },
		Source: func() puller.Source {
			s := sourceOf(p.receiver)
			s.Covers = p.covers()
			return s
		},
		Changed: func() { p.receiver.Redirect() },
		Logger:  p.part("cluster"),
	})
	if err != nil {
		return err
	}
	var outbox *link.Outbox
	var key uint64
	if p.members != nil {
		outbox, key = p.members.outbox, p.members.self.Fingerprint()
	}
	p.node, err = cluster.New(cluster.Options{
		Name: c.Name, Dir: clusterDir(c.DataDir), Members: p.members.others(c.Name), Key: p.members.key, Outbox: outbox,
		Timeout: cluster.MemberTimeout, Rule: ruleText(c), Logger: p.part("cluster"),
		Began:   func(names []string) { p.hub.BeganElsewhere(names) },
		Details: func() cluster.Details { return details(p.store, p.hub, p.receiver, p.Version) },
		History: p.store.History, LossHeard: p.lossHeard,
		Store:  &ownStore{store: p.store, watch: p.moved, streams: p.streams},
		OwnKey: key, New: p.fresh.asks(newstore.Members),
		Proven:   func() error { return p.fresh.answered(newstore.Members) },
		Newcomer: p.fresh.asks(newstore.Losses),
		Informed: func() error { return p.fresh.answered(newstore.Losses) },
	})
	if errors.Is(err, ledger.ErrRefused) {
		return UnusableError{fmt.Errorf("unusable configuration\n%w", c.At(config.RuleKey, err))}
	}
	if err != nil {
		return err
	}
	if err := p.keepWAL(c.DataDir); err != nil {
		return err
	}
	p.node.RetainUntil(c.WAL.RetainUntil)
	if p.members != nil {
		p.members.slots = sharing.New(sharing.Options{
			Slots: p.slots, Members: &slotMembers{p.members, p.node}, Logger: p.part("slots"),
			Keeps: func(i slot.Info) bool { return p.hub.KeepsWAL(i) }, Heard: func() { p.hub.SlotsHeard() },
			Wanted: func(slot, name string, pid int32) bool { return p.hub.Wanted(slot, name, pid) },
		})
	}
	return nil
}

// openSlots makes the slots on the primary and the hub, which serves the standbys by those of the proxy.
func (p *parts) openSlots(_ context.Context, c *config.Config) error {
	p.openSources(c)
	p.ruleGate = p.newRuleGate(c)
	p.fresh.holder = func() int32 { return realslot.Holder(p.upstream, c.SlotName()) }
	p.own = realslot.NewProxySlot(realslot.ProxySlotOptions{
		Upstream: p.upstream, Slot: c.SlotName(), MayUse: p.fresh.mayUse, Logger: p.part("slots"),
		Flushed:      func() lsn.LSN { return p.store.Positions().Flushed },
		FeedbackSent: func() bool { return p.receiver.Status().FeedbackSent }, Following: p.following,
		Horizon: func() (realslot.Horizon, bool) {
			h, settled := p.hub.Horizon()
			return realslot.Horizon(h), settled
		},
		HorizonChanged: func() <-chan struct{} { return p.hub.HorizonChanged() },
		Streams:        p.streams,
		RuleGate:       p.ruleGate,
		RuleGated:      func() bool { return p.receiver.RuleGated() },
		Borne:          func() { p.receiver.FeedbackDue() },
		Withdrawn:      func() bool { return p.node.Withdrawn() }, Paused: p.store.Paused,
	})
	p.maintainer = realslot.New(realslot.Options{
		Upstream: p.upstream, Following: p.following, ProxySlot: c.SlotName(),
		RuleGate: c.Slots.RuleGate, Slots: p.slots,
		Policy: realslot.Policy(c.Slots.Adopted), Mirror: realslot.Mirror(c.Slots.Mirror),
		Store:   func() (oldest, flushed lsn.LSN) { at := p.store.Positions(); return at.Oldest, at.Flushed },
		Settled: func() bool { _, settled := p.hub.Feedback(); return settled },
		Own:     p.own, ProxySlotLost: func() { p.receiver.SlotLost() },
		Settings: func(changed map[string]string) {
			p.receiver.Changed(changed)
			p.hub.SetSenderTimeout(p.receiver.Status().SenderTimeout())
		},
		Logger: p.part("slots"),
	})
	var others fanout.Members
	var backsUp func(context.Context, string) bool
	if p.members != nil {
		others, backsUp = p.members.slots, p.node.BacksUp
	}
	p.hub = fanout.New(fanout.Options{
		Primary: p.maintainer, NextXID: p.maintainer.NextXID, Members: others,
		Store: p.store, Fill: p.filler, Slots: p.slots, AutoCreateSlots: c.Slots.AutoCreate,
		Voter:  func(name string) fanout.Voter { return p.node.Session(name) },
		Named:  p.node.Named,
		Losses: losses{p.node}, VotedFrom: p.node.VotedFrom,
		Rule: p.node, Covered: c.CoversAny(), BacksUp: backsUp,
		KeepPromoted: c.Slots.Promoted == "keep",
		PrimaryServer: func() slot.Primary {
			at, settings, streams := p.receiver.Followed()
			return slot.PrimaryBy(streams, settings, tcpopt.Host(at.Addr))
		},
		Limits: slotLimits(c), FeedbackSettle: c.Feedback.Settle, FeedbackMaxAge: uint64(c.Feedback.MaxAge),
		Logger: p.part("hub"),
	})
	return nil
}

// openStream makes the walreceiver, which pulls WAL from the primary or from a member that has it.
func (p *parts) openStream(_ context.Context, c *config.Config) (err error) {
	p.gate = physical.NewGate(c.Auth.MaxUpstreamWalsenders)
	p.receiver, err = walsource.New(walsource.Options{
		Options: walreceiver.Options{
			Slot: c.SlotName(), MayUse: p.fresh.mayUse, EarlierSlot: p.fresh.name.earlier,
			HeldSlot: p.own, RuleGate: p.ruleGate, Quorum: p.node, Feedback: p.hub.UpstreamFeedback(),
			Written: func() bool { return p.settings.now().WAL.Report == config.ReportWritten },
			Mirrors: p.maintainer, Timeout: receiverTimeout(c), Logger: p.part("walreceiver"),
		},
		Upstream: p.upstream, Name: c.Name, Store: p.store, Logins: p.gate,
		Via: p.sources, Hears: p.members.hears, Final: p.node.Final,
		Primary: realslot.Finder{Upstream: p.upstream}, Restore: p.restore,
		Accept: wordFiles{c.DataDir, p.log}, GiveUp: p.giveUp, GaveUp: p.gaveUp, Others: p.node.Known, Ask: p.node.Ask,
		Unshown:    p.node.Unshown,
		Keep:       func() error { return p.keepWAL(c.DataDir) },
		Leaving:    func() walsource.Leaving { return walsource.Leaving(p.settings.now().Upstream.LeaveOld) },
		EndRelayed: func(e upstream.Endpoint) int { return p.server.EndRelayed(e.String()) },
		Begins:     p.node.Begins, Leaves: p.node.LeaveTimeline,
		EndSessions: p.hub.EndSessions,
		Shared:      c.Upstream.Pulls(),
	})
	if err != nil {
		return err
	}
	p.node.OnReport(p.receiver.Reporter())
	p.store.OnMoved(p.node.StoreMoved)
	return nil
}
