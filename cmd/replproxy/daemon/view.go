package daemon

import (
	"fmt"
	"net"
	"slices"
	"sync/atomic"
	"time"

	"github.com/replproxy/replproxy/cmd/replproxy/preflight"
	"github.com/replproxy/replproxy/fanout"
	"github.com/replproxy/replproxy/fanout/realslot"
	"github.com/replproxy/replproxy/fanout/slot"
	"github.com/replproxy/replproxy/fanout/walreceiver"
	"github.com/replproxy/replproxy/fanout/walsource"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/handshake"
	"github.com/replproxy/replproxy/proxy"
	"github.com/replproxy/replproxy/proxy/admin"
	"github.com/replproxy/replproxy/proxy/config"
)

// view is a running proxy as the status document wants it. It asks the parts only for copies, so any
// goroutine may use it.
type view struct {
	*parts
	stopping atomic.Bool
}

// Status is one snapshot; see [admin.Source].
func (v *view) Status() admin.Status {
	set := v.settings.state.Load()
	c, positions := set.config, v.store.Positions()
	told, votes, own := v.receiver.Status(), v.node.Status(), v.own.Status()
	secure := v.tls.Status()
	total, free, err := preflight.Volume(c.DataDir)
	if err != nil {
		total, free = 0, 0 // absent from the document
	}
	s := admin.Status{
		Name: c.Name, Version: v.Version, Commit: v.Commit, StartedAt: v.started, Now: time.Now(),
		Stopping: v.stopping.Load(), Listen: v.doors.addresses(), LogDropped: int64(v.queue.Dropped()),
		Upstream: upstreamStatus(told, own), Quorum: quorumStatus(votes, told.Reported),
		Store: admin.Store{
			Dir: c.DataDir, Timeline: positions.Timeline, Oldest: positions.Oldest, Received: positions.Received,
			Written: positions.Written, Flushed: positions.Flushed, Paused: v.store.Paused(),
			DiskFull: v.store.Full(), VolumeBytes: total, FreeBytes: free,
		},
		Config:   set.status,
		Backfill: backfillStatus(v.filler.Status()),
		Standbys: []admin.Standby{}, Slots: []admin.Slot{},
		Sessions: v.sessions(),
		Auth:     authStatus(v.verifier),
		TLS:      tlsStatus(secure), SSL: sslRows(told.SSL, v.server.Sessions()),
		Limits: admin.Limits{
			KeepSize: int64(c.WAL.KeepSize), MinFree: c.WAL.MinFree.Of(total),
			MaxConnections: c.Limits.MaxConnections, MaxPerAddress: c.Limits.MaxConnectionsPerAddress,
			MaxLogins:             c.Limits.MaxLogins,
			MaxUpstreamWalsenders: c.Auth.MaxUpstreamWalsenders,
			WalReceiverTimeout:    c.Upstream.ReceiverTimeout.Seconds(),
		},
		Cluster: v.members.status(),
	}
	s.Upstream.Hosts = v.upstream.Servers()
	s.Upstream.LastMessageAt = v.members.heardFromSource(told.Member, s.Upstream.LastMessageAt)
	comparePeers(s.Cluster, votes.Bytes)
	if id, ok := v.store.Identity(); ok {
		s.Store.System, s.Store.SegSize = id.System.String(), int64(id.SegSize)
	}
	for _, b := range v.hub.Standbys() {
		s.Standbys = append(s.Standbys, standbyStatus(b, positions.Received))
	}
	rows := v.hub.Slots()
	for _, row := range rows {
		one := slotStatus(row, positions.Received)
		if one.Owner != "" && v.members != nil {
			one.KeptBy, one.Unconfirmed = v.members.slots.KeptBy(row.Name), v.members.slots.Unconfirmed(row.Name)
			if v.hub.KeepsWAL(row.Info) {
				one.KeptBy = append(one.KeptBy, c.Name)
				slices.Sort(one.KeptBy)
			}
		}
		s.Slots = append(s.Slots, one)
	}
	s.Idle = idleStatus(v.keeper.Idle(), rows, s.Cluster)
	if at := v.hub.VotedFrom(); at != lsn.Invalid {
		s.Store.VotedFrom, s.Store.VotedBytes = max(at, s.Store.Oldest), v.hub.VotedBytes(positions.Flushed)
	}
	s.Feedback, s.LostSlots = v.feedback(), v.hub.LostSlots()
	var warned warnings
	warned.add(loses, slotWarnings(rows)...)
	warned.add(loses, memberWarnings(&s)...)
	warned.add(loses, sharedSlotWarnings(&s)...)
	if r, ok := v.store.Repairing(); ok {
		s.Store.RepairTo = r.To
		warned.add(loses, repairWarnings(r, s.Upstream.LastError)...)
	}
	warned.add(stops, streamWarnings(&s.Upstream)...)
	down, _ := v.receiver.DownSince()
	warned.add(stops, primaryWarnings(v.upstream.Servers(), down, s.Now)...)
	warned.add(loses, strandedWarnings(v.hub.Stranded())...)
	warned.add(setUp, tlsWarnings(secure, s.Now)...)
	warned.add(setUp, authWarnings(s.Auth)...)
	warned.add(setUp, exposureWarnings(c, v.Profiles)...)
	warned.add(stops, diskWarnings(&s)...)
	warned.add(loses, votedWarnings(&s, c.WAL)...)
	warned.add(setUp, mirrorsWarnings(told.Mirrors)...)
	drops := dropsOf(told.Status, own, v.keeper.Drops())
	for _, d := range drops {
		s.Upstream.SlotDrops += d.N
	}
	warned.add(loses, droppedWarnings(drops, s.Now)...)
	warned.add(loses, ownSlotWarnings(told.Status, own)...)
	warned.add(loses, leftWarnings(v.hub.LeftSlots(), s.Slots)...)
	s.Quorum.Violations += uint64(told.InvariantViolations)
	word := acceptance{dir: c.DataDir, log: v.log}
	if l := s.Upstream.Lack; l != nil && l.Lost {
		l.Restart = word.waitsForRestart()
	}
	s.Accepted = word.unused()
	warned.add(loses, acceptedWarnings(s.Accepted)...)
	s.GivenUp = givenUpStatus(votes.GivenUp)
	warned.add(loses, givenUpWarnings(s.GivenUp)...)
	warned.add(loses, standbyWarnings(c, &s, told.Ruled)...)
	warned.add(stops, quorumWarnings(votes, time.Since(v.started))...)
	s.Upstream.Higher = higherStatus(v.receiver)
	warned.add(stops, oldPrimaryWarnings(s.Upstream.Higher, s.Upstream.Endpoint)...)
	warned.add(stops, ruleWarnings(&s.Upstream, told.Ruled)...)
	gateStatus(&s.Upstream, told.Status, v.ruled)
	warned.add(loses, gateWarnings(&s.Upstream, told.Status, votes.Levels[1].Satisfiable)...)
	warned.add(loses, strangerWarnings(&s.Upstream, v.ruled, c.Name, s.Cluster)...)
	warned.add(setUp, v.advisor.Warnings()...)
	s.Warnings = warned.worstFirst()
	return s
}

func upstreamStatus(r walsource.Status, own realslot.ProxySlotStatus) admin.Upstream {
	u := admin.Upstream{
		Member: r.Member,
		State:  string(r.State), Since: r.Since, LastMessageAt: r.LastMessage, ServerVersion: r.ServerVersion,
		Slot: r.Slot, SlotState: string(r.SlotState), ReportedWrite: r.Reported.Write, ReportedFlush: r.Reported.Flush,
		ReportedApply: r.Reported.Apply, Reconnects: int64(r.Reconnects), LastError: r.LastError,
		Promised: r.Promised, Pings: int64(r.Pings), Reports: int64(r.Reports), LetGo: int64(r.LetGo),
		SlotRecreated: own.Recreated, Mirrors: string(r.Mirrors), RefusedSince: r.RefusedSince,
	}
	if l := r.Lack; l != nil {
		u.Lack = &admin.Lack{Timeline: l.Timeline, From: l.From, To: l.To, Lost: l.Lost, Of: l.Of, By: l.By}
	}
	if r.Stop != nil {
		u.Stopped, u.StoppedSince, u.Foreign = r.Stop.Why, r.Stop.Since, r.Stop.Foreign
	}
	slotOnPrimary(&u, r.Status, own)
	if r.Endpoint.Host != "" {
		u.Endpoint = r.Endpoint.String()
	}
	return u
}

func (v *view) sessions() admin.Sessions {
	counts := v.server.Counts()
	s := admin.Sessions{
		StartingN: counts.Starting, Accepted: counts.Accepted, Refused: counts.Refused, RefusedBy: map[string]int64{},
		LoginFailures: counts.Failures,
		LoggingIn:     counts.Logins.Running + counts.Logins.Answered, Waiting: counts.Logins.Waiting,
	}
	for i, reason := range proxy.Reasons() {
		s.RefusedBy[reason] = counts.RefusedBy[i]
	}
	for _, info := range v.server.Sessions() {
		switch info.Class {
		case handshake.Regular:
			s.Regular++
		case handshake.PhysicalWalsender:
			s.Physical++
		case handshake.LogicalWalsender:
			s.Logical++
		}
	}
	return s
}

func standbyStatus(b fanout.Standby, received lsn.LSN) admin.Standby {
	s := admin.Standby{
		PID: b.PID, User: b.User, ApplicationName: b.ApplicationName, ClientAddr: hostOf(b.ClientAddr),
		BackendStart: b.BackendStart, State: b.State.String(),
		Sent: b.Sent, Write: b.Write, Flush: b.Flush, Replay: b.Apply,
		WriteLag: seconds(b.WriteLag), FlushLag: seconds(b.FlushLag), ReplayLag: seconds(b.ApplyLag),
		ReplyTime: b.LastReply, SyncState: b.SyncState, SyncPriority: b.SyncPriority,
		Timeline: b.Timeline, Slot: b.Slot,
		Xmin: uint64(b.Feedback.Xmin), CatalogXmin: uint64(b.Feedback.CatalogXmin),
	}
	has := b.Flush
	if has == lsn.Invalid {
		has = b.Sent // pg_receivewal without --synchronous never reports a flush
	}
	if has != lsn.Invalid && received > has {
		s.LagBytes = int64(received - has)
	}
	if b.Bounded {
		s.SendWhen, s.Covered = config.SendCovered, b.Covered
		if at := max(b.Covered, b.Sent); received > at {
			s.HeldBytes = int64(received - at)
		}
	}
	return s
}

func slotStatus(row fanout.SlotRow, received lsn.LSN) admin.Slot {
	s := admin.Slot{
		Name: row.Name, Type: "physical", Temporary: row.Temporary, Active: row.ActivePID != 0,
		ActivePID: row.ActivePID, Restart: row.Restart, Status: string(row.Status), Reason: string(row.Lost),
		InactiveSince: row.Inactive, Xmin: uint64(row.Xmin), CatalogXmin: uint64(row.CatalogXmin),
		Real: string(row.Real), Owner: row.Owner,
	}
	if row.SafeKnown {
		s.Safe = &row.Safe
	}
	if row.Lost == slot.NotLost && row.Restart != lsn.Invalid && received > row.Restart {
		s.HeldBytes = int64(received - row.Restart)
	}
	return s
}

// idleStatus says which of the primary's idle slots are looked after here, or by a member that is heard: a member that
// does not stream from the primary keeps its own slot there all the same (ruling R7).
func idleStatus(idle []realslot.Idle, rows []fanout.SlotRow, c *admin.Cluster) []admin.Idle {
	own := map[string]string{}
	if c != nil {
		for _, p := range c.Peers {
			if !p.Heard.IsZero() {
				own[config.DefaultSlot(p.Name)] = p.Name
			}
		}
	}
	all := []admin.Idle{}
	for _, i := range idle {
		s := admin.Idle{Name: i.Name, Type: i.Type, Restart: i.Restart, HeldBytes: i.HeldBytes,
			Status: i.WALStatus, Member: own[i.Name]}
		if at := slices.IndexFunc(rows, func(r fanout.SlotRow) bool { return r.Name == i.Name }); at >= 0 {
			s.Real = string(rows[at].Real)
		}
		all = append(all, s)
	}
	return all
}

func (v *view) feedback() admin.Feedback {
	f := v.hub.FeedbackStatus()
	return admin.Feedback{
		Settled: f.Settled, Xmin: uint64(f.Xmin), XminOf: f.XminOf, CatalogXmin: uint64(f.CatalogXmin),
		CatalogXminOf: f.CatalogXminOf, NextXID: uint64(f.NextXID), LeftOut: f.LeftOut, Capped: f.Capped,
		LeftOutTotal: f.LeftOutTotal,
	}
}

// slotWarnings name the slots whose standbys need an operator.
func slotWarnings(rows []fanout.SlotRow) (all []string) {
	for _, r := range rows {
		if r.Lost != slot.NotLost {
			all = append(all, fmt.Sprintf("slot %s is lost (%s): stop its standby, drop it and create it again; "+
				"its standby goes on only if the WAL it needs is still in the store or in its archive", r.Name, r.Lost))
		}
		if r.Status == slot.Extended && r.ActivePID == 0 && !r.Foreign {
			all = append(all, fmt.Sprintf("slot %s is not used and keeps WAL beyond wal.keep_size: "+
				"if its standby is gone for good, drop it", r.Name))
		}
	}
	return all
}

// mirrorsWarnings tell that the wait for mirrors was given up (R18).
func mirrorsWarnings(m walreceiver.MirrorState) []string {
	if m != walreceiver.MirrorsMissing {
		return nil
	}
	return []string{"slots are not mirrored on the upstream, which is reported to all the same: " +
		"standbys that need their slots there (slots.mirror) may miss WAL after a failover; see the log for why, " +
		"and max_replication_slots there"}
}

// seconds is a lag for the document; a negative one is not known.
func seconds(d time.Duration) *float64 {
	if d < 0 {
		return nil
	}
	s := d.Seconds()
	return &s
}

// hostOf is an address without its port; "" for a unix socket.
func hostOf(addr string) string {
	host, _, err := net.SplitHostPort(addr)
	switch {
	case err == nil:
		return host
	case addr == "[local]":
		return ""
	}
	return addr
}
