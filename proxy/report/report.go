package report

import (
	"github.com/replproxy/replproxy/cluster/loss"
	"github.com/replproxy/replproxy/fanout"
	"github.com/replproxy/replproxy/fanout/realslot"
	"github.com/replproxy/replproxy/fanout/walreceiver"
	"github.com/replproxy/replproxy/proxy/admin"
	"github.com/replproxy/replproxy/proxy/report/verdict"
)

// Status makes the document of /status, which has every warning that holds, out of one snapshot.
func Status(x *Snapshot) admin.Status {
	c := x.Config
	s := admin.Status{
		Name: c.Name, ReadyWhen: c.ReadyWhen, Events: append([]admin.Event{}, x.Events...),
		Version: x.Version, Commit: x.Commit, StartedAt: x.Started, Now: x.Now,
		Stopping: x.Stopping, Listen: x.Listen, LogDropped: int64(x.LogDropped),
		Upstream: upstreamStatus(x.Stream, x.Own), Quorum: quorumStatus(x.Votes, x.Stream.Reported),
		Store: storeStatus(x), Config: x.InForce, Backfill: backfillStatus(x.Backfill),
		Sources:  sourcesStatus(x.Sources, x.Stream.State == walreceiver.Streaming),
		Standbys: []admin.Standby{}, Slots: []admin.Slot{},
		Sessions: sessionCounts(x.Counts, x.Sessions),
		Auth:     authStatus(x.Auth), TLS: tlsStatus(x.TLS), SSL: sslRows(x.Stream.SSL, x.Sessions),
		Limits: admin.Limits{
			KeepSize: int64(c.WAL.KeepSize), MinFree: c.WAL.MinFree.Of(x.Volume.Total),
			MaxConnections: c.Limits.MaxConnections, MaxPerAddress: c.Limits.MaxConnectionsPerAddress,
			MaxLogins:             c.Limits.MaxLogins,
			MaxUpstreamWalsenders: c.Auth.MaxUpstreamWalsenders,
			WalReceiverTimeout:    c.Upstream.ReceiverTimeout.Seconds(),
		},
		Cluster:  clusterStatus(x.Cluster),
		Feedback: feedbackStatus(x.Feedback), LostSlots: x.LostSlots,
		Accepted: x.Accepted, Aside: x.Aside, GivenUp: givenUpStatus(x.Votes.GivenUp),
		HeldBack: loss.HeldBack(x.Votes.Newcomer, x.Votes.Unheard),
	}
	s.Upstream.LastMessageAt, s.Upstream.Higher, s.Upstream.Hosts = x.LastMessage, x.Higher, x.Servers
	s.Upstream.DownSince = utc(x.Down)
	if x.Stream.State != walreceiver.Streaming {
		s.Upstream.Errors = hostErrors(x.Stream.LastError, x.Past.Errors, x.Now)
	}
	for _, l := range s.Upstream.Lacks() {
		l.Restart = l.Lost && x.Aside != nil && x.Aside.Timeline == l.Of
	}
	comparePeers(s.Cluster, x.Votes.Bytes)
	standings(&s.Quorum, peersOf(&s), s.Now)
	for _, b := range x.Standbys {
		s.Standbys = append(s.Standbys, standbyStatus(b, x.Store.Received))
	}
	for _, row := range x.Slots {
		one := slotStatus(row.SlotRow, x.Store.Received)
		one.KeptBy, one.Unconfirmed = sharers(row, c.Name)
		s.Slots = append(s.Slots, one)
	}
	s.Tallies = talliesStatus(x)
	labelVoters(s.Quorum.Voters, x.Votes)
	s.Idle = idleStatus(x.Idle, x.Slots, s.Cluster)
	drops := dropsOf(x.Stream.Status, x.Own, x.Drops)
	for _, d := range drops {
		s.Upstream.SlotDrops += d.N
	}
	s.Quorum.Violations += uint64(x.Stream.InvariantViolations)
	ruleGateStatus(&s.Upstream, x.Stream.Status, x.RuleGate)
	warn(&s, x, drops)
	return s
}

// warn adds the warnings, the worst first, and the verdict, which rests on them.
func warn(s *admin.Status, x *Snapshot, drops map[string]realslot.Drops) {
	c, satisfiable := x.Config, x.Votes.Levels[1].Satisfiable
	var w warnings
	w.add(stops, goneWarnings(&s.Upstream, s.Accepted, x.Aside != nil)...)
	if s.Upstream.Stopped == "" && s.Upstream.Lack == nil { // those have warnings of their own
		w.add(stops, followsWarnings(x.Stream.Status, s.Upstream.Reasons(), x.LastMessage, s.Now)...)
	}
	w.add(loses, slotWarnings(x.Slots)...)
	w.add(loses, memberWarnings(s)...)
	w.add(loses, strangersWarnings(x.Votes.Strangers)...)
	w.add(loses, sharedSlotWarnings(s)...)
	w.add(loses, repairWarnings(x.Store.Repair, x.Store.Held, s.Upstream.LastError)...)
	w.add(stops, streamWarnings(&s.Upstream)...)
	w.add(stops, primaryWarnings(x.Servers, x.Down, s.Now)...)
	w.add(loses, strandedWarnings(x.Stranded)...)
	w.add(setUp, refusedWarnings(s.Config)...)
	w.add(setUp, tlsWarnings(x.TLS, s.Now)...)
	w.add(setUp, authWarnings(s.Auth)...)
	w.add(setUp, ExposureWarnings(c, x.Profiles)...)
	w.add(stops, diskWarnings(s)...)
	w.add(stops, yieldWarnings(x.YieldsTo)...)
	w.add(loses, votedWarnings(s, c.WAL)...)
	w.add(setUp, mirrorsWarnings(x.Stream.Mirrors)...)
	w.add(loses, droppedWarnings(drops, s.Now)...)
	w.add(loses, ownSlotWarnings(x.Stream.Status, x.Own)...)
	w.add(loses, leftWarnings(x.Left, s.Slots)...)
	w.add(loses, acceptedWarnings(s.Accepted)...)
	w.add(loses, asideWarnings(s.Aside, s.Upstream.Lacks())...)
	w.add(loses, keepWarnings(s.Aside, s.GivenUp, &s.Store, s.Upstream.Lacks())...)
	w.add(loses, givenUpWarnings(s.GivenUp)...)
	w.add(stops, heldBackWarnings(s.HeldBack, x.Votes.Unheard)...)
	w.add(loses, lateWarnings(x.Stream.Late)...)
	w.add(loses, standbyWarnings(c, s, x.Stream.Ruled)...)
	w.add(stops, quorumWarnings(x.Votes, peersOf(s), s.Now, s.Now.Sub(x.Started))...)
	w.add(stops, laggingWarnings(&s.Quorum, peersOf(s), s.Now)...)
	if x.Withheld {
		w.add(stops, withheldWarnings(s.Upstream.Member)...)
	} else {
		w.add(loses, awayWarnings(&s.Quorum, s.Now.Sub(x.Started))...)
	}
	w.add(stops, oldPrimaryWarnings(s.Upstream.Higher, s.Upstream.Endpoint)...)
	w.add(stops, ruleWarnings(&s.Upstream, x.Stream.Ruled, s)...)
	w.add(stops, unfollowedWarnings(s)...)
	w.add(loses, ruleGateWarnings(&s.Upstream, x.Stream.Status, satisfiable)...)
	w.add(loses, strangerWarnings(&s.Upstream, x.RuleGate, c.Name, s.Cluster)...)
	w.add(setUp, x.Advice...)
	s.Warnings = w.worstFirst()
	s.Verdict = verdict.Judge(s, verdict.Graded{Stops: w[stops], Loses: w[loses], SetUp: w[setUp]}, x.Past)
}

func feedbackStatus(f fanout.FeedbackStatus) admin.Feedback {
	return admin.Feedback{
		Settled: f.Settled, Xmin: uint64(f.Xmin), XminOf: f.XminOf, CatalogXmin: uint64(f.CatalogXmin),
		CatalogXminOf: f.CatalogXminOf, NextXID: uint64(f.NextXID), LeftOut: f.LeftOut, Capped: f.Capped,
		LeftOutTotal: f.LeftOutTotal,
	}
}
