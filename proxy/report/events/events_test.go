package events

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/proxy/admin"
)

// sample is a proxy that streams, with two standbys.
func sample() admin.Status {
	heard := time.Unix(1e9, 0)
	return admin.Status{
		Name: "proxy_a", Version: "v1", Now: heard, Upstream: admin.Upstream{State: admin.Streaming, Endpoint: "db1:5432"},
		Store: admin.Store{Timeline: 1}, Quorum: admin.Quorum{Rule: "ANY 1 (s1, s2)"},
		Verdict:  admin.Verdict{State: admin.VerdictOK, Text: "OK 3s: …"},
		Standbys: []admin.Standby{{PID: 1, ApplicationName: "s1", State: "streaming", ClientAddr: "10.0.0.5"}, {PID: 2, ApplicationName: "s2"}},
		Slots:    []admin.Slot{{Name: "s1", Restart: 0x1000000}},
		Cluster:  &admin.Cluster{Peers: []admin.Peer{{Name: "proxy_b", Heard: heard}}},
	}
}

func TestBetween(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*admin.Status)
		want   string
	}{
		"nothing":           {func(*admin.Status) {}, ""},
		"positions move on": {func(s *admin.Status) { s.Store.Received, s.Standbys[0].LagBytes, s.Verdict.Text = 7, 7, "OK 4s: …" }, ""},
		"a standby leaves": {func(s *admin.Status) { s.Standbys = s.Standbys[1:] },
			"detach s1: standby s1 at 10.0.0.5 has left; it was streaming, 0 B behind"},
		"one comes back": {func(s *admin.Status) { s.Standbys[0].PID, s.Standbys[0].Slot = 3, "s1" },
			"detach s1: standby s1 at 10.0.0.5 has left; it was streaming, 0 B behind|attach s1: standby s1 at 10.0.0.5 has attached, slot s1"},
		"the stream ends": {func(s *admin.Status) {
			s.Upstream.State, s.Upstream.Errors = admin.Disconnected, []admin.HostError{{Host: "db1:5432", Error: "connection refused"}}
			s.Verdict = admin.Verdict{State: admin.VerdictStopped, Text: "STOPPED 5s: …"}
		}, "stream ended db1:5432: the stream from db1:5432 has ended: db1:5432: connection refused|verdict stopped: STOPPED 5s: …"},
		"a failover": {func(s *admin.Status) { s.Store.Timeline, s.Upstream.Endpoint = 2, "db2:5432" },
			"failover db2:5432: timeline 2 follows timeline 1, from db2:5432|" +
				"source changed db2:5432: WAL comes from db2:5432; before from db1:5432"},
		"another puller": {func(s *admin.Status) { s.Upstream.Member = "proxy_b" },
			"source changed proxy_b: WAL comes from member proxy_b; before from db1:5432"},
		"a rule": {func(s *admin.Status) { s.Quorum.Rule, s.Quorum.Spread, s.Config.Generation = "", "ANY 1 (*)", 2 },
			"rule : the rule is empty with zones ANY 1 (*); it was ANY 1 (s1, s2)|reload : the configuration was read anew, generation 2"},
		"a member": {func(s *admin.Status) {
			s.Cluster = &admin.Cluster{Peers: []admin.Peer{{Name: "proxy_b", LastError: "timeout"}}}
		},
			"member silent proxy_b: proxy_b is not heard any more: timeout"},
		"slots": {func(s *admin.Status) {
			s.Slots = []admin.Slot{{Name: "s1", Reason: "wal_removed"}, {Name: "s3"}, {Name: "backup", Temporary: true}}
		}, "slot lost s1: slot s1 is lost (wal_removed): its standby may need to be made anew|slot made s3: slot s3 is there, from no position"},
		"a slot is dropped": {func(s *admin.Status) { s.Slots = nil }, "slot dropped s1: slot s1 is dropped"},
		"a stop":            {func(s *admin.Status) { s.Stopping = true }, "stop proxy_a: this proxy is being stopped, in order"},
	} {
		before, now := sample(), sample()
		now.Standbys = slices.Clone(now.Standbys)
		c.change(&now)
		var got []string
		for _, e := range Between(&before, &now) {
			got = append(got, fmt.Sprintf("%s %s: %s", e.Kind, e.Of, e.Text))
		}
		if all := strings.Join(got, "|"); all != c.want {
			t.Errorf("%s:\n got %s\nwant %s", name, all, c.want)
		}
	}
	silent, heard := sample(), sample()
	silent.Cluster, silent.Upstream.State, silent.Upstream.Endpoint = &admin.Cluster{Peers: []admin.Peer{{Name: "proxy_b"}}}, admin.Connecting, ""
	if all := Between(&silent, &heard); len(all) != 2 || all[0].Kind != "stream began" || all[1].Text != "proxy_b is heard" {
		t.Errorf("%+v", all)
	}
}

// TestMost: the newest events come first, and the oldest make room.
func TestMost(t *testing.T) {
	s := sample()
	all := Add(nil, nil, &s)
	if len(all) != 1 || all[0].Kind != "start" || all[0].Text != "this proxy has started, version v1" {
		t.Fatalf("%+v", all)
	}
	before := sample()
	for i := range int32(2 * Most) {
		now := sample()
		now.Standbys = []admin.Standby{{PID: 10 + i}}
		if all = Add(all, &before, &now); len(all) > Most {
			t.Fatalf("%d events", len(all))
		}
		before = now
	}
	if len(all) != Most || all[0].Kind != "attach" || all[1].Kind != "detach" {
		t.Errorf("%d events: %+v", len(all), all[:2])
	}
}
