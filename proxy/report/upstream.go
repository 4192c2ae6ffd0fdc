package report

import (
	"fmt"
	"slices"
	"time"

	"github.com/replproxy/replproxy/fanout"
	"github.com/replproxy/replproxy/fanout/realslot"
	"github.com/replproxy/replproxy/fanout/walreceiver"
	"github.com/replproxy/replproxy/fanout/walsource"
	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/proxy/admin"
	"github.com/replproxy/replproxy/proxy/config"
)

func upstreamStatus(r walsource.Status, own realslot.ProxySlotStatus) admin.Upstream {
	u := admin.Upstream{
		Member: r.Member, ServerVersion: r.ServerVersion,
		State: string(r.State), Since: stateSince(r.Status), LastMessageAt: r.LastMessage,
		Slot: r.Slot, SlotState: string(r.SlotState), ReportedWrite: r.Reported.Write, ReportedFlush: r.Reported.Flush,
		ReportedApply: r.Reported.Apply, Reconnects: int64(r.Reconnects), LastError: r.LastError,
		Promised: r.Promised, Pings: int64(r.Pings), Reports: int64(r.Reports), Releases: int64(r.ShutdownReleases),
		SlotRecreated: own.Recreated, Mirrors: string(r.Mirrors), RefusedSince: r.RefusedSince,
	}
	if r.Ruled {
		u.ReportFollows = config.ReportFlushed
	}
	if r.Ruled && r.Written {
		u.ReportFollows = config.ReportWritten
	}
	for _, l := range slices.Backward(r.Lacks) {
		lack := admin.Lack{Timeline: l.Timeline, From: l.From, To: l.To, Lost: l.Lost, Of: l.Of, By: l.By}
		if u.Lack == nil {
			u.Lack = &lack
		} else {
			u.OtherLacks = append(u.OtherLacks, lack)
		}
	}
	if l := r.LostBy; l != nil {
		u.LostBy = &admin.LostBy{Host: l.Endpoint, Timeline: l.Timeline, From: l.From, To: l.To}
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

// What the primary's slot follows; see [admin.Upstream].
const (
	followsFlushed  = "flushed"
	followsReported = "reported"
)

// slotOnPrimary shows how much WAL the primary keeps for this proxy (ruling R8). It is the primary's figure when the
// slot is held by SQL, otherwise it is computed from the rule's positions.
func slotOnPrimary(u *admin.Upstream, r walreceiver.Status, own realslot.ProxySlotStatus) {
	switch {
	case r.Slot == "":
	case r.SlotApart && own.Known:
		u.SlotFollows = followsFlushed
		u.SlotRestart, u.SlotHeld, u.SlotStatus, u.SlotSafe = own.Restart, own.HeldBytes, own.State, own.Safe
		u.SlotXmin, u.SlotCatalog = uint64(own.Horizon.Xmin), uint64(own.Horizon.CatalogXmin)
		sinceLook(u, r.UpstreamEnd)
	case r.Ruled && !r.SlotApart:
		u.SlotFollows, u.SlotRestart = followsReported, max(r.SlotLSN, r.Reported.Flush)
		if u.SlotRestart == lsn.Invalid || r.UpstreamEnd <= u.SlotRestart {
			return
		}
		u.SlotHeld = int64(r.UpstreamEnd - u.SlotRestart)
		if limit, err := config.ParseSize(r.Settings["max_slot_wal_keep_size"]); err == nil && limit >= 0 {
			safe := int64(limit) - u.SlotHeld
			u.SlotSafe = &safe
		}
	}
}

// sinceLook adds the WAL that the primary has written since it was asked: while it stops or starts it answers nothing
// by SQL, and the stream tells (ruling R38).
func sinceLook(u *admin.Upstream, end lsn.LSN) {
	if u.SlotRestart == lsn.Invalid || end <= u.SlotRestart {
		return
	}
	more := int64(end-u.SlotRestart) - u.SlotHeld
	if more <= 0 {
		return
	}
	u.SlotHeld += more
	if u.SlotSafe != nil {
		safe := *u.SlotSafe - more
		u.SlotSafe = &safe
	}
}

// streamWarnings tell of a stream that trying again does not bring back. WAL that the server has lost is told of by
// ruleWarnings.
func streamWarnings(u *admin.Upstream) []string {
	lost := func(l *admin.Lack) bool { return l.Lost }
	if u.Stopped == "" || slices.ContainsFunc(u.Lacks(), lost) && !u.Foreign {
		return nil
	}
	return []string{"the stream from the upstream has stopped for good: " + u.Stopped}
}

// primaryGone delays the warning that there is no primary: it may be restarted.
const primaryGone = 5 * time.Second

// primaryWarnings tell that no server is a primary, since when; zero: one is, or that is not known.
func primaryWarnings(servers int, since, now time.Time) []string {
	switch {
	case since.IsZero() || now.Sub(since) < primaryGone:
		return nil
	case servers == 1:
		return []string{fmt.Sprintf("the server of upstream.conninfo does not answer, since %s: docs/failover.md",
			since.UTC().Format(time.TimeOnly))}
	}
	return []string{fmt.Sprintf("no host of upstream.conninfo is a primary, since %s: docs/failover.md",
		since.UTC().Format(time.TimeOnly))}
}

// strandedWarnings name standbys that ask for a timeline that was left, for ever.
func strandedWarnings(all []fanout.Stranded) (w []string) {
	for _, s := range all {
		if s.GivenUp {
			w = append(w, fmt.Sprintf("standby %s has WAL up to %s, which was given up, and of which timeline %s "+
				"lacks what is beyond %s: it does not come back before it is made anew by pg_basebackup",
				s.ApplicationName, s.Has, s.Next, s.Fork))
			continue
		}
		w = append(w, fmt.Sprintf("standby %s has WAL up to %s, of which timeline %s lacks what is beyond %s: "+
			"it does not come back before pg_rewind, or made anew", s.ApplicationName, s.Has, s.Next, s.Fork))
	}
	return w
}

// lossWarning returns a warning about a primary that has lost WAL. by has given that WAL up already; "": nobody has.
func lossWarning(l *admin.Lack, by string) string {
	switch {
	case l.Restart && l.From == lsn.Invalid:
		return fmt.Sprintf("the primary has lost WAL up to %s of timeline %s and is not followed yet: "+
			"the loss is accepted: restart this proxy, it then sets its WAL aside", l.To, l.Timeline)
	case l.Restart:
		return fmt.Sprintf("the primary has lost WAL from %s to %s of timeline %s and is not followed yet: "+
			"the loss is accepted: restart this proxy, it then sets its WAL aside", l.From, l.To, l.Timeline)
	case by != "":
		return fmt.Sprintf("the primary has lost WAL up to %s of timeline %s and is not followed, and %s has given "+
			"that WAL up: give it up here too, by replproxy accept-timeline %s, or stop that primary for good and "+
			"promote a server that has that WAL", l.To, l.Timeline, by, l.Timeline)
	case l.From == lsn.Invalid:
		return fmt.Sprintf("the primary has lost WAL up to %s of timeline %s, nobody knows from where on, "+
			"and is not followed: stop it and promote a server that has that WAL, "+
			"or give it up by replproxy accept-timeline %s", l.To, l.Timeline, l.Timeline)
	}
	return fmt.Sprintf("the primary has lost WAL from %s to %s of timeline %s and is not followed: "+
		"stop it and promote a server that has that WAL, or give it up by replproxy accept-timeline %s",
		l.From, l.To, l.Timeline, l.Timeline)
}

// lackWarning returns the warning that a server is refused for l. s has the operator's words, and the WAL that was
// given up here or elsewhere: the advice holds after them.
func lackWarning(u *admin.Upstream, l *admin.Lack, s *admin.Status) string {
	switch {
	case l.Lost && !l.Restart && u.State == string(walreceiver.Streaming) && u.Member == "":
		// From another server: to give that WAL up would be wrong.
		return fmt.Sprintf("another server of upstream.conninfo has lost WAL from %s to %s of timeline %s "+
			"and is not followed: stop it, and make it anew as a standby", l.From, l.To, l.Timeline)
	case covers(s.Accepted, l):
		return fmt.Sprintf("the server on timeline %s is not followed yet: that it lacks WAL is accepted, "+
			"and this proxy looks at it again within half a minute", l.Timeline)
	case s.Aside != nil && !l.Restart: // no other word is taken now
		return fmt.Sprintf("the server on timeline %s lacks WAL of timeline %s and is not followed: promote a "+
			"server that has it; it can be given up once this proxy has been restarted, which sets aside what was "+
			"given up before", l.Timeline, l.Of)
	case l.Lost:
		return lossWarning(l, givenUpBy(l, s.GivenUp))
	case l.To == walstore.PromisedAll:
		return fmt.Sprintf("timeline %s lacks WAL of timeline %s that may be acknowledged, "+
			"nobody knows how far, and is not followed: promote a server that has it, "+
			"or give it up by replproxy accept-timeline %s (after a crash all that was stored counts as acknowledged)",
			l.Timeline, l.Of, l.Timeline)
	case l.From == lsn.Invalid:
		return fmt.Sprintf("timeline %s lacks acknowledged WAL of timeline %s and is not followed: "+
			"promote a server that has it, or give it up by replproxy accept-timeline %s "+
			"(after a crash all that was stored counts as acknowledged)", l.Timeline, l.Of, l.Timeline)
	}
	return fmt.Sprintf("timeline %s lacks acknowledged WAL from %s to %s and is not followed: "+
		"promote a server that has it, or give it up by replproxy accept-timeline %s "+
		"(after a crash all that was stored counts as acknowledged)", l.Timeline, l.From, l.To, l.Timeline)
}

// ruleWarnings returns warnings about what a rule costs the primary, and about WAL that was acknowledged under it.
// ruled: a rule is in use. s has the operator's words.
func ruleWarnings(u *admin.Upstream, ruled bool, s *admin.Status) (all []string) {
	for _, l := range u.Lacks() {
		all = append(all, lackWarning(u, l, s))
	}
	if ruled && u.SlotFollows == followsReported && u.State == admin.Streaming { // else nobody has tried
		all = append(all, fmt.Sprintf("slot %s follows the rule, because it cannot be advanced by SQL: "+
			"while the rule is not satisfied the primary keeps all WAL, %s now; let the role log in for SQL",
			u.Slot, short(u.SlotHeld)))
	}
	if u.SlotSafe != nil && *u.SlotSafe < u.SlotHeld {
		all = append(all, fmt.Sprintf("slot %s holds %s of WAL on the primary and will be lost after %s more "+
			"(max_slot_wal_keep_size)", u.Slot, short(u.SlotHeld), short(max(*u.SlotSafe, 0))))
	}
	return all
}

// oldPrimaryWarnings say that there is another primary than the one that is followed; none for nil.
func oldPrimaryWarnings(h *admin.Higher, followed string) []string {
	if h == nil {
		return nil
	}
	return []string{fmt.Sprintf("%s is on timeline %s: %s, which is followed, is an old primary, and what is written "+
		"there will be lost; stop it (upstream.leave_old_primary)", h.Host, h.Timeline, followed)}
}
