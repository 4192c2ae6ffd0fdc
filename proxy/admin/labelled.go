package admin

import (
	"cmp"
	"time"
)

// most collects one value for each label, the highest one.
type most map[string]float64

func (m most) add(label string, v float64) {
	label = cmp.Or(label, Others)
	if old, ok := m[label]; !ok || v > old {
		m[label] = v
	}
}

func (m most) emit(emit func(string, float64)) {
	for label, v := range m {
		emit(label, v)
	}
}

// perStandby emits the highest value of the standbys of each label; those without one are left out.
func perStandby(value func(b *Standby, s *Status) (v float64, known bool)) func(*Status, func(string, float64)) {
	return func(s *Status, emit func(string, float64)) {
		all := most{}
		for i := range s.Standbys {
			if v, known := value(&s.Standbys[i], s); known {
				all.add(s.Standbys[i].Label, v)
			}
		}
		all.emit(emit)
	}
}

// perVoter emits a value for each voter of the rule: of its session that counts, if it has one.
func perVoter(value func(v *QuorumVoter, now time.Time) (float64, bool)) func(*Status, func(string, float64)) {
	return func(s *Status, emit func(string, float64)) {
		all, counts := most{}, map[string]bool{}
		for pass := range 2 {
			for i := range s.Quorum.Voters {
				v := &s.Quorum.Voters[i]
				label := cmp.Or(v.Label, Others)
				ours := v.Label != "" || v.Priority > 0
				if !ours || (pass == 0) != (v.Standing == Counts) || pass == 1 && counts[label] {
					continue
				}
				counts[label] = counts[label] || pass == 0
				if value, known := value(v, s.Now); known {
					all.add(label, value)
				}
			}
		}
		all.emit(emit)
	}
}

// perSlot emits the highest value of the slots of each label: temporary ones have none of their own.
func perSlot(value func(l *Slot, s *Status) (float64, bool)) func(*Status, func(string, float64)) {
	return func(s *Status, emit func(string, float64)) {
		all := most{}
		for i := range s.Slots {
			l, label := &s.Slots[i], s.Slots[i].Name
			if l.Temporary {
				label = Others
			}
			if v, known := value(l, s); known {
				all.add(label, v)
			}
		}
		all.emit(emit)
	}
}

// labelledMetrics are rows of [metrics].
var labelledMetrics = []metric{
	{"replproxy_standby_sessions", "Attached sessions of a standby.", "standby", names, gauge,
		func(s *Status, emit func(string, float64)) {
			n := map[string]float64{}
			for i := range s.Standbys {
				n[cmp.Or(s.Standbys[i].Label, Others)]++
			}
			most(n).emit(emit)
		}},
	{"replproxy_standby_streaming_state", "1 while a standby has caught up and streams.",
		"standby", names, gauge,
		perStandby(func(b *Standby, _ *Status) (float64, bool) { return truth(b.State == "streaming"), true })},
	{"replproxy_standby_sent_behind_bytes", "Received here, but not yet sent to it.", "standby", names, gauge,
		perStandby(func(b *Standby, s *Status) (float64, bool) {
			return float64(max(s.Store.Received, b.Sent) - b.Sent), b.Sent != 0
		})},
	{"replproxy_standby_flush_behind_bytes", "Received here, but not yet flushed by it.",
		"standby", names, gauge,
		perStandby(func(b *Standby, _ *Status) (float64, bool) { return float64(b.LagBytes), true })},
	{"replproxy_standby_replay_behind_bytes", "Received here, but not yet replayed by it.",
		"standby", names, gauge,
		perStandby(func(b *Standby, s *Status) (float64, bool) {
			return float64(max(s.Store.Received, b.Replay) - b.Replay), b.Replay != 0
		})},
	{"replproxy_standby_flush_lag_seconds", "flush_lag of pg_stat_replication; absent while it is not known.",
		"standby", names, gauge, perStandby(func(b *Standby, _ *Status) (float64, bool) { return value(b.FlushLag) })},
	{"replproxy_standby_replay_lag_seconds", "replay_lag of pg_stat_replication; absent while it is not known.",
		"standby", names, gauge, perStandby(func(b *Standby, _ *Status) (float64, bool) { return value(b.ReplayLag) })},
	{"replproxy_standby_reply_age_seconds", "Time since its last report; absent before the first.",
		"standby", names, gauge, perStandby(func(b *Standby, s *Status) (float64, bool) {
			return s.Now.Sub(b.ReplyTime).Seconds(), !b.ReplyTime.IsZero()
		})},
	{"replproxy_voter_counting_state", "1 while a voter of the rule counts, at whichever proxy.",
		"voter", names, gauge,
		perVoter(func(v *QuorumVoter, _ time.Time) (float64, bool) { return truth(v.Standing == Counts), true })},
	{"replproxy_voter_flush_behind_bytes", "Received here, but not yet flushed by it; absent without a report.",
		"voter", names, gauge, perVoter(func(v *QuorumVoter, _ time.Time) (float64, bool) {
			if v.FlushBehind == nil {
				return 0, false
			}
			return float64(*v.FlushBehind), true
		})},
	{"replproxy_voter_flush_behind_seconds", "For how long it has flushed nothing that was received then.",
		"voter", names, gauge, perVoter(func(v *QuorumVoter, now time.Time) (float64, bool) {
			if v.FlushSince.IsZero() {
				return 0, true
			}
			return now.Sub(v.FlushSince).Seconds(), true
		})},
	{"replproxy_slot_active_state", "1 while a session uses a slot.", "slot", names, gauge,
		perSlot(func(l *Slot, _ *Status) (float64, bool) { return truth(l.Active), true })},
	{"replproxy_slot_inactive_seconds", "Time since the last session of a slot ended; absent while one uses it.",
		"slot", names, gauge, perSlot(func(l *Slot, s *Status) (float64, bool) {
			elsewhere := l.Owner != "" && l.Owner != s.Name // which tells of it
			return s.Now.Sub(l.InactiveSince).Seconds(), !l.Active && !elsewhere && !l.InactiveSince.IsZero()
		})},
	{"replproxy_slot_retained_bytes", "WAL that a slot holds here.", "slot", names, gauge,
		perSlot(func(l *Slot, _ *Status) (float64, bool) { return float64(l.HeldBytes), true })},
	{"replproxy_slot_remaining_bytes", "WAL that may still be written before a slot is lost; absent without a limit.",
		"slot", names, gauge, perSlotLeast(func(l *Slot) *int64 { return l.Safe })},
	{"replproxy_slot_lost_state", "1 for a slot whose WAL was given up.", "slot", names, gauge,
		perSlot(func(l *Slot, _ *Status) (float64, bool) { return truth(l.Status == "lost"), true })},
}

// perSlotLeast emits the lowest value of the slots of each label.
func perSlotLeast(of func(*Slot) *int64) func(*Status, func(string, float64)) {
	negative := perSlot(func(l *Slot, _ *Status) (float64, bool) {
		if v := of(l); v != nil {
			return -float64(*v), true
		}
		return 0, false
	})
	return func(s *Status, emit func(string, float64)) {
		negative(s, func(label string, v float64) { emit(label, 0-v) })
	}
}

func value(v *float64) (float64, bool) {
	if v == nil {
		return 0, false
	}
	return *v, true
}
