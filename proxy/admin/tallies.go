package admin

import (
	"runtime"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/replproxy/replproxy/internal/histogram"
)

// Tallies holds counts that /metrics shows and the document does not. Standbys, voters and slots stand under labels. A
// label is a name that a rule has, or a slot that outlives its session. All others share [Others], so that clients
// cannot make labels.
type Tallies struct {
	Received               uint64 // bytes of WAL from the upstream
	Sent                   uint64 // bytes of WAL to standbys and members
	FromClients, ToClients int64  // bytes that were relayed
	Proved                 int64  // log-ins that succeeded
	FailedLogins           map[string]int64
	Wait                   histogram.Snapshot // from the arrival of WAL to the report that it is flushed
	Sync, PositionSync     histogram.Snapshot
	Standbys               []StandbyTally
}

// StandbyTally has the counts of the standbys of one label.
type StandbyTally struct {
	Label string
	Sent  uint64
	Flush histogram.Snapshot // from what could be sent to the report that it is flushed
}

// Others is the label of standbys, voters and slots that have none of their own.
const Others = "other"

// labelled stands in the list of a label's values for names that an operator chose.
const labelled = "names of the rule and of lasting slots"

var (
	names        = []string{labelled, Others}
	directions   = []string{"from_clients", "to_clients"}
	loginReasons = []string{"password", "authorization", "other"}
)

// tallies returns the zero Tallies where there are none.
func (s *Status) tallies() *Tallies {
	if s.Tallies == nil {
		return &Tallies{}
	}
	return s.Tallies
}

// timing is a row of the table of histograms.
type timing struct {
	name, help string
	label      string
	values     []string
	read       func(t *Tallies, emit func(label string, h *histogram.Snapshot))
}

// timings is every histogram of a proxy, rendered to docs/metrics.md.
var timings = []timing{
	{"replproxy_quorum_wait_seconds", "Time from the arrival of WAL until the upstream was told that it is flushed, " +
		"which the rule has to cover before. A sample while more than 256 messages wait.", "", nil,
		func(t *Tallies, emit func(string, *histogram.Snapshot)) { emit("", &t.Wait) }},
	{"replproxy_walstore_sync_seconds", "Time that an fsync took: of WAL, and of the durable position beside it.",
		"file", []string{"wal", "position"}, func(t *Tallies, emit func(string, *histogram.Snapshot)) {
			emit("wal", &t.Sync)
			emit("position", &t.PositionSync)
		}},
	{"replproxy_standby_flush_seconds", "Time from the arrival of WAL until a streaming standby said that it has " +
		"flushed it: of the newest WAL of each of its reports.", "standby", names,
		func(t *Tallies, emit func(string, *histogram.Snapshot)) {
			for i := range t.Standbys {
				emit(t.Standbys[i].Label, &t.Standbys[i].Flush)
			}
		}},
}

// tallyMetrics are rows of [metrics].
var tallyMetrics = []metric{
	{"replproxy_walreceiver_received_bytes_total", "WAL that came from the upstream.", "", nil, counter,
		single(func(s *Status) float64 { return float64(s.tallies().Received) })},
	{"replproxy_walsender_sent_bytes_total", "WAL that was sent to standbys and members.", "", nil, counter,
		single(func(s *Status) float64 { return float64(s.tallies().Sent) })},
	{"replproxy_proxy_relayed_bytes_total", "Bytes of relayed sessions.", "direction", directions, counter,
		func(s *Status, emit func(string, float64)) {
			emit("from_clients", float64(s.tallies().FromClients))
			emit("to_clients", float64(s.tallies().ToClients))
		}},
	{"replproxy_proxy_logins_total", "Log-ins that succeeded.", "", nil, counter,
		single(func(s *Status) float64 { return float64(s.tallies().Proved) })},
	{"replproxy_proxy_login_failures_total", "Log-ins that failed for who the client is: a wrong password (28P01), " +
		"no right to come in (28000), another error.", "reason", loginReasons, counter,
		func(s *Status, emit func(string, float64)) {
			for _, r := range loginReasons {
				emit(r, float64(s.tallies().FailedLogins[r]))
			}
		}},
	{"replproxy_standby_sent_bytes_total", "WAL that was sent to a standby.", "standby", names, counter,
		func(s *Status, emit func(string, float64)) {
			for _, t := range s.tallies().Standbys {
				emit(t.Label, float64(t.Sent))
			}
		}},
}

// build describes replproxy_build_info, whose labels are what it says.
func build() *prometheus.Desc {
	return prometheus.NewDesc("replproxy_build_info", buildHelp, []string{"version", "commit", "go"}, nil)
}

const buildHelp = "Always 1. Its labels say which program this is."

func buildInfo(d *prometheus.Desc, s *Status) prometheus.Metric {
	return prometheus.MustNewConstMetric(d, gauge, 1, s.Version, s.Commit, runtime.Version())
}
