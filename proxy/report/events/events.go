package events

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/proxy/admin"
	"github.com/replproxy/replproxy/proxy/config"
)

// Most bounds the events that are kept: a night with trouble has some dozens, and the page gets them each second.
const Most = 100

// Add returns the events so far with those between two documents before them. before is nil at the start.
func Add(all []admin.Event, before, now *admin.Status) []admin.Event {
	more := Between(before, now)
	if len(more) == 0 {
		return all
	}
	slices.Reverse(more)
	all = slices.Concat(more, all)
	return all[:min(len(all), Most)]
}

// turn collects the events between two documents.
type turn struct {
	before, now *admin.Status
	all         []admin.Event
}

func (t *turn) add(kind, of, format string, values ...any) {
	t.all = append(t.all, admin.Event{At: t.now.Now.UTC(), Kind: kind, Of: of, Text: fmt.Sprintf(format, values...)})
}

// Between returns the events that one document shows beside the one before, in the order in which they are told.
func Between(before, now *admin.Status) []admin.Event {
	t := &turn{before: before, now: now}
	if before == nil {
		t.add("start", now.Name, "this proxy has started, version %s", now.Version)
		return t.all
	}
	t.stream()
	t.rule()
	t.members()
	t.standbys()
	t.slots()
	if before.Verdict.State != now.Verdict.State {
		t.add("verdict", now.Verdict.State, "%s", now.Verdict.Text)
	}
	if now.Stopping && !before.Stopping {
		t.add("stop", now.Name, "this proxy is being stopped, in order")
	}
	return t.all
}

// stream tells of timelines, and from where WAL comes.
func (t *turn) stream() {
	was, is := &t.before.Upstream, &t.now.Upstream
	if a, b := t.before.Store.Timeline, t.now.Store.Timeline; a != 0 && b != a {
		t.add("failover", is.Endpoint, "timeline %s follows timeline %s, from %s", b, a, server(is))
	}
	streamed, streams := was.State == admin.Streaming, is.State == admin.Streaming
	switch {
	case streamed && !streams:
		why := cmp.Or(is.Reasons(), is.Stopped, "connecting anew")
		t.add("stream ended", was.Endpoint, "the stream from %s has ended: %s", server(was), why)
	case streams && (was.Member != is.Member || was.Endpoint != is.Endpoint) && was.Endpoint != "":
		t.add("source changed", cmp.Or(is.Member, is.Endpoint), "WAL comes from %s; before from %s", server(is),
			server(was))
	case streams && !streamed:
		t.add("stream began", is.Endpoint, "WAL comes from %s", server(is))
	}
}

// server returns the name of the member or server that WAL comes from.
func server(u *admin.Upstream) string {
	if u.Member != "" {
		return "member " + u.Member
	}
	return cmp.Or(u.Endpoint, "the upstream")
}

// rule tells of the rule and of reloads.
func (t *turn) rule() {
	was, is := &t.before.Quorum, &t.now.Quorum
	if was.Rule != is.Rule || was.Spread != is.Spread {
		t.add("rule", "", "the rule is %s; it was %s", ruleText(is), ruleText(was))
	}
	if c := &t.now.Config; c.Generation != t.before.Config.Generation {
		t.add("reload", c.File, "the configuration was read anew, generation %d", c.Generation)
	}
}

func ruleText(q *admin.Quorum) string {
	text := cmp.Or(q.Rule, "empty")
	if q.Spread != "" {
		text += " with zones " + q.Spread
	}
	return text
}

// members tells of other proxies that fall silent or are heard again.
func (t *turn) members() {
	if t.before.Cluster == nil || t.now.Cluster == nil {
		return
	}
	for _, p := range t.now.Cluster.Peers {
		i := slices.IndexFunc(t.before.Cluster.Peers, func(q admin.Peer) bool { return q.Name == p.Name })
		switch {
		case i < 0 || t.before.Cluster.Peers[i].Heard.IsZero() == p.Heard.IsZero():
		case p.Heard.IsZero():
			t.add("member silent", p.Name, "%s is not heard any more: %s", p.Name,
				cmp.Or(p.LastError, "no reason is known"))
		default:
			t.add("member heard", p.Name, "%s is heard", p.Name)
		}
	}
}

// standbys tells of standbys that attach and leave, by session.
func (t *turn) standbys() {
	was, is := byPID(t.before.Standbys), byPID(t.now.Standbys)
	for _, b := range t.before.Standbys {
		if _, there := is[b.PID]; !there {
			t.add("detach", b.ApplicationName, "%s has left; it was %s, %s behind", standby(&b), b.State,
				config.Size(b.LagBytes).Short())
		}
	}
	for _, b := range t.now.Standbys {
		if _, there := was[b.PID]; !there {
			slot := ""
			if b.Slot != "" {
				slot = ", slot " + b.Slot
			}
			t.add("attach", b.ApplicationName, "%s has attached%s", standby(&b), slot)
		}
	}
}

func byPID(all []admin.Standby) map[int32]struct{} {
	pids := make(map[int32]struct{}, len(all))
	for i := range all {
		pids[all[i].PID] = struct{}{}
	}
	return pids
}

func standby(b *admin.Standby) string {
	return fmt.Sprintf("standby %s at %s", cmp.Or(b.ApplicationName, "without a name"),
		cmp.Or(b.ClientAddr, "this machine"))
}

// slots tells of slots that are made, dropped or lost.
func (t *turn) slots() {
	find := func(all []admin.Slot, name string) *admin.Slot {
		i := slices.IndexFunc(all, func(s admin.Slot) bool { return s.Name == name && !s.Temporary })
		if i < 0 {
			return nil
		}
		return &all[i]
	}
	for _, s := range t.now.Slots {
		switch was := find(t.before.Slots, s.Name); {
		case s.Temporary:
		case was == nil:
			t.add("slot made", s.Name, "slot %s is there, from %s", s.Name, position(s.Restart))
		case was.Reason == "" && s.Reason != "":
			t.add("slot lost", s.Name, "slot %s is lost (%s): its standby may need to be made anew", s.Name, s.Reason)
		}
	}
	for _, s := range t.before.Slots {
		if !s.Temporary && find(t.now.Slots, s.Name) == nil {
			t.add("slot dropped", s.Name, "slot %s is dropped", s.Name)
		}
	}
}

func position(at lsn.LSN) string {
	if at == lsn.Invalid {
		return "no position"
	}
	return at.String()
}
