package admin

import (
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/internal/histogram"
)

func tallied() Status {
	s := sample()
	s.Version, s.Commit = "v1", "abc"
	half, two := 0.5, 2.0
	s.Standbys = []Standby{
		{ApplicationName: "<b>x</b>", State: "catchup", LagBytes: 7, FlushLag: &two},
		{ApplicationName: "y", State: "streaming", LagBytes: 9, FlushLag: &half},
		{ApplicationName: "S1", Label: "s1", State: "streaming", Sent: 0x3000100, Replay: 0x3000000, ReplayLag: &two, ReplyTime: now.Add(-time.Second)},
	}
	s.Slots = append(s.Slots, Slot{Name: "temporary", Temporary: true, HeldBytes: 5, InactiveSince: now.Add(-time.Minute)},
		Slot{Name: "lost", Status: "lost"})
	far, near := int64(100), int64(10)
	s.Quorum.Voters = []QuorumVoter{
		{Name: "s1", Label: "s1", Standing: "catching up", Priority: 1, FlushBehind: &far, FlushSince: now.Add(-time.Hour)},
		{Name: "s1", Label: "s1", Standing: Counts, Priority: 1, FlushBehind: &near, FlushSince: now.Add(-time.Minute)},
		{Name: "s2", Label: "s2", Standing: "not attached anywhere", Priority: 1},
		{Name: "anybody", Standing: "not in the rule"},
	}
	var h histogram.Histogram
	h.Observe(20 * time.Microsecond)
	h.Observe(time.Hour)
	s.Tallies = &Tallies{
		Received: 11, Sent: 12, FromClients: 13, ToClients: 14, Proved: 15, FailedLogins: map[string]int64{"password": 3},
		Wait: h.Snapshot(), Standbys: []StandbyTally{{"s1", 16, h.Snapshot()}, {"other", 17, histogram.Snapshot{}}},
	}
	return s
}

// TestLabelledMetrics: what a name that an operator chose has is shown under it, and the worst of the others together.
func TestLabelledMetrics(t *testing.T) {
	_, body, _ := serve(t, tallied(), false)("/metrics")
	for _, want := range []string{
		`replproxy_standby_sessions{standby="other"} 2`, `replproxy_standby_sessions{standby="s1"} 1`,
		`replproxy_standby_flush_behind_bytes{standby="other"} 9`, `replproxy_standby_flush_lag_seconds{standby="other"} 2`,
		`replproxy_standby_sent_behind_bytes{standby="s1"} 256`, `replproxy_standby_replay_behind_bytes{standby="s1"} 512`,
		`replproxy_standby_reply_age_seconds{standby="s1"} 1`, `replproxy_standby_streaming_state{standby="s1"} 1`,
		`replproxy_voter_counting_state{voter="s1"} 1`, `replproxy_voter_counting_state{voter="s2"} 0`,
		`replproxy_voter_flush_behind_bytes{voter="s1"} 10`, `replproxy_voter_flush_behind_seconds{voter="s1"} 60`,
		`replproxy_slot_active_state{slot="s1"} 1`, `replproxy_slot_retained_bytes{slot="s2"} 900`,
		`replproxy_slot_remaining_bytes{slot="s1"} 0`, `replproxy_slot_lost_state{slot="lost"} 1`,
		`replproxy_slot_retained_bytes{slot="other"} 5`, `replproxy_slot_inactive_seconds{slot="other"} 60`,
		`replproxy_standby_sent_bytes_total{standby="s1"} 16`, `replproxy_walsender_sent_bytes_total 12`,
		`replproxy_proxy_relayed_bytes_total{direction="to_clients"} 14`, `replproxy_proxy_logins_total 15`,
		`replproxy_proxy_login_failures_total{reason="password"} 3`, `replproxy_proxy_login_failures_total{reason="other"} 0`,
		`replproxy_quorum_wait_seconds_bucket{le="1.6e-05"} 0`, `replproxy_quorum_wait_seconds_bucket{le="3.2e-05"} 1`,
		`replproxy_quorum_wait_seconds_bucket{le="+Inf"} 2`, `replproxy_standby_flush_seconds_count{standby="s1"} 2`,
		`replproxy_walstore_sync_seconds_count{file="position"} 0`,
	} {
		if !strings.Contains(body, "\n"+want+"\n") {
			t.Errorf("no %s", want)
		}
	}
	for _, no := range []string{`voter="other"`, `slot="temporary"`, "<b>", `="y"`, `replproxy_slot_remaining_bytes{slot="s2"}`} {
		if strings.Contains(body, no) {
			t.Errorf("%s is there", no)
		}
	}
	if !strings.Contains(body, `replproxy_build_info{commit="abc",go="go`) {
		t.Error("no build info")
	}
}
