package admin

import (
	"slices"

	"github.com/prometheus/client_golang/prometheus"
)

// metric is one row of the table: a function of the snapshot that emits one value per label value.
type metric struct {
	name   string // replproxy_<package>_<noun>_<unit>[_total]
	help   string
	label  string   // "" = none
	values []string // every value the label can take: nothing that a client chooses
	kind   prometheus.ValueType
	read   func(s *Status, emit func(label string, v float64))
}

const (
	gauge   = prometheus.GaugeValue
	counter = prometheus.CounterValue
)

var (
	upstreamStates = []string{Disconnected, Connecting, Streaming}
	standbyStates  = []string{"startup", "catchup", "streaming", "stopping"}
	walStatuses    = []string{"reserved", "extended", "unreserved", "lost"}
	classes        = []string{"regular", "physical", "logical", "starting"}
)

// metrics is every metric of a proxy, rendered to docs/metrics.md.
var metrics = slices.Concat(verdictMetrics, proxyMetrics, tallyMetrics, labelledMetrics, quorumMetrics, linkMetrics,
	sharedSlotMetrics)

var proxyMetrics = []metric{
	{"replproxy_proxy_ready_state", "1 while /readyz answers 200.", "", nil, gauge,
		single(func(s *Status) float64 { return truth(s.Ready) })},
	{"replproxy_proxy_start_seconds", "When the process started, in seconds of the epoch.", "", nil, gauge,
		single(func(s *Status) float64 { return float64(s.StartedAt.Unix()) })},
	{"replproxy_proxy_warnings", "Warnings that /status shows now.", "", nil, gauge,
		single(func(s *Status) float64 { return float64(len(s.Warnings)) })},
	{"replproxy_log_dropped_lines_total", "Log lines that were dropped because the log's reader stood still.", "", nil,
		counter, single(func(s *Status) float64 { return float64(s.LogDropped) })},
	{"replproxy_config_generation_number", "1 at the start, one more with each reload of the configuration.",
		"", nil, gauge, single(func(s *Status) float64 { return float64(s.Config.Generation) })},
	{"replproxy_config_failed_state", "1 when the last reload found errors and changed nothing.", "", nil, gauge,
		single(func(s *Status) float64 { return truth(s.Config.LastError != "") })},
	{"replproxy_config_pending_keys", "Keys whose new value needs a restart.", "", nil, gauge,
		single(func(s *Status) float64 { return float64(len(s.Config.Pending)) })},
	{"replproxy_tls_certificate_end_seconds", "When the certificate that clients see ends, in seconds of the epoch.",
		"", nil, gauge,
		func(s *Status, emit func(string, float64)) {
			if !s.TLS.NotAfter.IsZero() {
				emit("", float64(s.TLS.NotAfter.Unix()))
			}
		}},
	{"replproxy_tls_failed_state", "1 while the TLS files have changed and cannot be used.", "", nil, gauge,
		single(func(s *Status) float64 { return truth(s.TLS.LastError != "") })},
	{"replproxy_auth_questions_total", "Times the primary was asked for a role (auth.query).", "", nil, counter,
		single(func(s *Status) float64 { return float64(s.Auth.Questions) })},
	{"replproxy_auth_failures_total", "Times it could not be asked, or gave no answer of use.", "", nil, counter,
		single(func(s *Status) float64 { return float64(s.Auth.Failures) })},
	{"replproxy_auth_failed_state", "1 while the last question has no answer, or auth.users_file cannot be used.",
		"", nil, gauge, single(func(s *Status) float64 { return truth(s.Auth.LastError+s.Auth.FileError != "") })},
	{"replproxy_realslot_idle_slots", "Slots of the primary that hold WAL there and that nobody advances.",
		"", nil, gauge, single(func(s *Status) float64 { n, _ := forgotten(s); return float64(n) })},
	{"replproxy_realslot_held_bytes", "WAL that the primary keeps for the one of them that is furthest behind.",
		"", nil, gauge, single(func(s *Status) float64 { _, held := forgotten(s); return float64(held) })},
	{"replproxy_proxy_sessions", "Client connections now, by class.", "class", classes, gauge,
		func(s *Status, emit func(string, float64)) {
			for i, n := range []int{s.Sessions.Regular, s.Sessions.Physical, s.Sessions.Logical, s.Sessions.StartingN} {
				emit(classes[i], float64(n))
			}
		}},
	{"replproxy_proxy_accepted_sessions_total", "Client connections accepted.", "", nil, counter,
		single(func(s *Status) float64 { return float64(s.Sessions.Accepted) })},
	{"replproxy_proxy_refused_sessions_total", "Client connections refused, by reason.", "reason", RefusalReasons(),
		counter,
		func(s *Status, emit func(string, float64)) {
			for _, r := range RefusalReasons() {
				emit(r, float64(s.Sessions.RefusedBy[r]))
			}
		}},
	{"replproxy_proxy_logins", "Log-ins of relayed sessions, by what they do.", "state",
		[]string{"running", "waiting"}, gauge,
		func(s *Status, emit func(string, float64)) {
			emit("running", float64(s.Sessions.LoggingIn))
			emit("waiting", float64(s.Sessions.Waiting))
		}},
	{"replproxy_walreceiver_connection_state", "1 for the state the upstream connection is in.",
		"state", upstreamStates, gauge,
		func(s *Status, emit func(string, float64)) {
			for _, state := range upstreamStates {
				emit(state, truth(s.Upstream.State == state))
			}
		}},
	{"replproxy_walreceiver_message_age_seconds", "Time since WAL or a keepalive came; absent before the first.",
		"", nil, gauge,
		func(s *Status, emit func(string, float64)) {
			if !s.Upstream.LastMessageAt.IsZero() {
				emit("", s.Now.Sub(s.Upstream.LastMessageAt).Seconds())
			}
		}},
	{"replproxy_walreceiver_reconnects_total", "Upstream connections that were lost.", "", nil, counter,
		single(func(s *Status) float64 { return float64(s.Upstream.Reconnects) })},
	{"replproxy_walreceiver_pings_total", "Replies that the upstream requested.", "", nil, counter,
		single(func(s *Status) float64 { return float64(s.Upstream.Pings) })},
	{"replproxy_walreceiver_reports_total", "Status updates sent to the upstream.", "", nil, counter,
		single(func(s *Status) float64 { return float64(s.Upstream.Reports) })},
	{"replproxy_walreceiver_shutdown_releases_total",
		"Reports beyond the rule that let an upstream shut down.", "", nil, counter,
		single(func(s *Status) float64 { return float64(s.Upstream.Releases) })},
	{"replproxy_walreceiver_lacking_bytes",
		"Alarm: acknowledged WAL that a new timeline lacks, which is therefore not followed.", "", nil, gauge,
		func(s *Status, emit func(string, float64)) {
			lacking := 0.0
			for _, l := range s.Upstream.Lacks() {
				lacking = max(lacking, float64(l.To-l.From))
			}
			emit("", lacking)
		}},
	{"replproxy_walreceiver_slot_held_bytes", "WAL that the primary keeps for this proxy's slot.", "", nil, gauge,
		single(func(s *Status) float64 { return float64(s.Upstream.SlotHeld) })},
	{"replproxy_walreceiver_slot_safe_bytes",
		"WAL that may still be written before the slot on the primary is lost; absent without a limit.", "", nil, gauge,
		func(s *Status, emit func(string, float64)) {
			if s.Upstream.SlotSafe != nil {
				emit("", float64(*s.Upstream.SlotSafe))
			}
		}},
	{"replproxy_walreceiver_gate_held_bytes", "WAL that the primary keeps for the slot of slots.rule_gate.", "", nil,
		gauge, single(func(s *Status) float64 { return float64(s.Upstream.GateHeld) })},
	{"replproxy_walreceiver_gate_used_state", "1 while the stream uses the slot of slots.rule_gate.", "", nil, gauge,
		single(func(s *Status) float64 { return truth(s.Upstream.GateState == "used") })},
	{"replproxy_walreceiver_gate_taken_total", "Times another session was ended to use that slot here.", "", nil,
		counter, single(func(s *Status) float64 { return float64(s.Upstream.GateTaken) })},
	{"replproxy_walreceiver_mirrors_missing_state", "1 while the upstream is reported to without mirrored slots.",
		"", nil, gauge, single(func(s *Status) float64 { return truth(s.Upstream.Mirrors == "missing") })},
	{"replproxy_walreceiver_slot_recreated_total", "Times the slot on the primary was made anew.", "", nil, counter,
		single(func(s *Status) float64 { return float64(s.Upstream.SlotRecreated) })},
	{"replproxy_walreceiver_slot_drops_total", "Times somebody else dropped a slot of ours on the primary.", "", nil,
		counter, single(func(s *Status) float64 { return float64(s.Upstream.SlotDrops) })},
	{"replproxy_walreceiver_reported_bytes", "Positions the upstream was told, as byte positions in WAL.",
		"position", []string{"write", "flush", "apply"}, gauge,
		func(s *Status, emit func(string, float64)) {
			emit("write", float64(s.Upstream.ReportedWrite))
			emit("flush", float64(s.Upstream.ReportedFlush))
			emit("apply", float64(s.Upstream.ReportedApply))
		}},
	{"replproxy_walstore_position_bytes", "Positions of the store, as byte positions in WAL.",
		"position", []string{"oldest", "received", "written", "flushed"}, gauge,
		func(s *Status, emit func(string, float64)) {
			emit("oldest", float64(s.Store.Oldest))
			emit("received", float64(s.Store.Received))
			emit("written", float64(s.Store.Written))
			emit("flushed", float64(s.Store.Flushed))
		}},
	{"replproxy_walstore_timeline_number", "Current timeline.", "", nil, gauge,
		single(func(s *Status) float64 { return float64(s.Store.Timeline) })},
	{"replproxy_walstore_paused_state", "1 while receiving waits for the disk.", "", nil, gauge,
		single(func(s *Status) float64 { return truth(s.Store.Paused) })},
	{"replproxy_walstore_disk_full_state", "1 while received WAL can't be written for lack of space.", "", nil, gauge,
		single(func(s *Status) float64 { return truth(s.Store.DiskFull) })},
	{"replproxy_walstore_repair_bytes", "Stored WAL that is owed and not received again yet.", "", nil, gauge,
		single(func(s *Status) float64 { return float64(max(s.Store.RepairTo, s.Store.Flushed) - s.Store.Flushed) })},
	{"replproxy_walstore_voted_bytes", "WAL that is kept for no other reason than that this store voted for it.",
		"", nil, gauge, single(func(s *Status) float64 { return float64(s.Store.VotedBytes) })},
	{"replproxy_walstore_volume_bytes", "The volume of data_dir.", "part", []string{"total", "free"}, gauge,
		func(s *Status, emit func(string, float64)) {
			emit("total", float64(s.Store.VolumeBytes))
			emit("free", float64(s.Store.FreeBytes))
		}},
	{"replproxy_backfill_active_state", "1 while old or damaged WAL is fetched.", "", nil, gauge,
		single(func(s *Status) float64 { return truth(s.Backfill.Active) })},
	{"replproxy_backfill_segments_total", "Segments fetched because the store lacked them.", "", nil, counter,
		single(func(s *Status) float64 { return float64(s.Backfill.Segments) })},
	{"replproxy_backfill_damaged_segments_total", "Stored segments found damaged.", "", nil, counter,
		single(func(s *Status) float64 { return float64(s.Backfill.Damaged) })},
	{"replproxy_backfill_failures_total", "Segments that could not be had anywhere.", "", nil, counter,
		single(func(s *Status) float64 { return float64(s.Backfill.Failed) })},
	{"replproxy_walsender_standbys", "Attached standbys, by state.", "state", standbyStates, gauge,
		func(s *Status, emit func(string, float64)) {
			for _, state := range standbyStates {
				n := 0
				for i := range s.Standbys {
					if s.Standbys[i].State == state {
						n++
					}
				}
				emit(state, float64(n))
			}
		}},
	{"replproxy_walsender_lag_bytes", "Received here, but not yet flushed by the standby furthest behind.",
		"", nil, gauge, single(maxLagBytes)},
	{"replproxy_walsender_covered_standbys", "Attached standbys that are held at what the rule covers.",
		"", nil, gauge, single(func(s *Status) float64 {
			n := 0
			for i := range s.Standbys {
				if s.Standbys[i].SendWhen != "" {
					n++
				}
			}
			return float64(n)
		})},
	{"replproxy_walsender_held_bytes", "Received here, but held back from them until the rule covers it.",
		"", nil, gauge, single(func(s *Status) float64 {
			held := int64(0)
			for i := range s.Standbys {
				held = max(held, s.Standbys[i].HeldBytes)
			}
			return float64(held)
		})},
	{"replproxy_walsender_lag_seconds", "Longest time from sending to a standby's report.",
		"position", []string{"write", "flush", "apply"}, gauge,
		func(s *Status, emit func(string, float64)) {
			emit("write", longest(s, func(b *Standby) *float64 { return b.WriteLag }))
			emit("flush", longest(s, func(b *Standby) *float64 { return b.FlushLag }))
			emit("apply", longest(s, func(b *Standby) *float64 { return b.ReplayLag }))
		}},
	{"replproxy_slot_slots", "Slots of this proxy.", "active", []string{"true", "false"}, gauge,
		func(s *Status, emit func(string, float64)) {
			active := 0
			for i := range s.Slots {
				if s.Slots[i].Active {
					active++
				}
			}
			emit("true", float64(active))
			emit("false", float64(len(s.Slots)-active))
		}},
	{"replproxy_slot_held_bytes", "WAL held by the slot furthest behind.", "", nil, gauge,
		single(func(s *Status) float64 {
			held := int64(0)
			for i := range s.Slots {
				held = max(held, s.Slots[i].HeldBytes)
			}
			return float64(held)
		})},
	{"replproxy_slot_status_slots", "Slots by wal_status.", "status", walStatuses, gauge,
		func(s *Status, emit func(string, float64)) {
			for _, status := range walStatuses {
				n := 0
				for i := range s.Slots {
					if s.Slots[i].Status == status {
						n++
					}
				}
				emit(status, float64(n))
			}
		}},
	{"replproxy_slot_lost_slots_total", "Slots whose WAL was given up.", "", nil, counter,
		single(func(s *Status) float64 { return float64(s.LostSlots) })},
	{"replproxy_slot_safe_bytes", "WAL that may still be written before the next slot is lost; absent without a limit.",
		"", nil, gauge,
		func(s *Status, emit func(string, float64)) {
			var least *int64
			for i := range s.Slots {
				if safe := s.Slots[i].Safe; safe != nil && (least == nil || *safe < *least) {
					least = safe
				}
			}
			if least != nil {
				emit("", float64(*least))
			}
		}},
	{"replproxy_feedback_left_out_values_total", "Feedback of standbys that the primary would have refused.",
		"", nil, counter, single(func(s *Status) float64 { return float64(s.Feedback.LeftOutTotal) })},
	{"replproxy_feedback_age_transactions", "Transactions that standbys hold back; absent while not known.",
		"column", []string{"xmin", "catalog_xmin"}, gauge,
		func(s *Status, emit func(string, float64)) {
			for name, x := range map[string]uint64{"xmin": s.Feedback.Xmin, "catalog_xmin": s.Feedback.CatalogXmin} {
				if next := s.Feedback.NextXID; x != 0 && next >= x {
					emit(name, float64(next-x))
				}
			}
		}},
}
