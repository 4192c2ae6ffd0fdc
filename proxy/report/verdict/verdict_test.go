package verdict

import (
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/docs"
	"github.com/replproxy/replproxy/proxy/admin"
)

var now = time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)

func ago(d time.Duration) time.Time { return now.Add(-d) }

func behind(n int64) *int64 { return &n }

// sample is a proxy of a cluster that is well: the rule counts s1 here, s2 at proxy_b and s3 at proxy_c.
func sample() *admin.Status {
	heard := ago(time.Second)
	return &admin.Status{
		Name: "proxy_a", StartedAt: ago(3 * time.Hour), Now: now, Listen: []string{":6543"},
		Upstream: admin.Upstream{
			State: admin.Streaming, Endpoint: "db1:5432", Since: ago(2 * time.Hour), LastMessageAt: ago(time.Second), Hosts: 1,
		},
		Store: admin.Store{Dir: "/data", VolumeBytes: 100 << 30, FreeBytes: 50 << 30, Received: 0x5000100, Written: 0x5000000},
		Standbys: []admin.Standby{{ApplicationName: "s1", State: "streaming", LagBytes: 2048},
			{ApplicationName: "report", State: "streaming"}},
		Limits: admin.Limits{MinFree: 1 << 30, WalReceiverTimeout: 60},
		Quorum: admin.Quorum{
			Rule:   "ANY 2 (s1, s2, s3)",
			Levels: []admin.QuorumLevel{{Position: "write", Satisfiable: true}, {Position: "flush", Satisfiable: true}},
			Voters: []admin.QuorumVoter{voter("s1", "proxy_a"), voter("s2", "proxy_b"), voter("s3", "proxy_c")},
		},
		Cluster: &admin.Cluster{Peers: []admin.Peer{
			{Name: "proxy_b", Heard: heard, LastHeard: heard}, {Name: "proxy_c", Heard: heard, LastHeard: heard},
		}},
	}
}

func voter(name, node string) admin.QuorumVoter {
	return admin.QuorumVoter{Name: name, Kind: "standby", Node: node, Standing: admin.Counts, Priority: 1}
}

func away(name string) admin.QuorumVoter {
	return admin.QuorumVoter{Name: name, Standing: "not attached anywhere", Priority: 1}
}

// silence lets a member be unheard for so long, and its standby with it.
func silence(s *admin.Status, node string, d time.Duration) {
	for i := range s.Cluster.Peers {
		if p := &s.Cluster.Peers[i]; p.Name == node {
			p.Heard, p.LastHeard = time.Time{}, ago(d)
		}
	}
	for i := range s.Quorum.Voters {
		if v := &s.Quorum.Voters[i]; v.Node == node {
			v.Standing = "at " + node + ", which is not heard"
		}
	}
}

// unsatisfied lets commits wait for so long; 0: none waits yet.
func unsatisfied(s *admin.Status, g *Graded, d time.Duration, why string) {
	s.Quorum.Levels[1] = admin.QuorumLevel{Position: "flush", Why: why}
	if d > 0 {
		s.Quorum.Levels[1].Since, s.Quorum.Levels[1].Behind = ago(d), behind(4096)
	}
	g.Stops = append(g.Stops, admin.CommitsWait+why)
}

type scene struct {
	name   string
	change func(*admin.Status, *Graded, *Past)
	state  string
	text   string
	page   string
}

func check(t *testing.T, scenes []scene) {
	t.Helper()
	for _, c := range scenes {
		s, g, p := sample(), Graded{}, Past{}
		c.change(s, &g, &p)
		v := Judge(s, g, p)
		if v.State != c.state || v.Text != c.text {
			t.Errorf("%s: %s\n got %s\nwant %s", c.name, v.State, v.Text, c.text)
		}
		want := ""
		if c.page != "" {
			want = docs.RunbookURL + "#" + c.page
		}
		if v.Runbook != want || c.page != "" && !docs.HasSection(c.page) {
			t.Errorf("%s: %s, want %q, a section of the runbook", c.name, v.Runbook, want)
		}
		if v.Since.IsZero() || (v.Cause == "") != (v.State == admin.VerdictOK) || strings.ContainsAny(v.Text, "\n") {
			t.Errorf("%s: %+v", c.name, v)
		}
	}
}

func TestWell(t *testing.T) {
	check(t, []scene{
		{"well", func(*admin.Status, *Graded, *Past) {}, "ok",
			"OK 0s: ANY 2 (s1, s2, s3) has s1, s2 and s3; 2 standbys are attached, at most 2 kB behind (s1)", ""},
		{"for long", func(_ *admin.Status, _ *Graded, p *Past) { p.State, p.Since = "ok", ago(26*time.Hour) }, "ok",
			"OK 1d02h: ANY 2 (s1, s2, s3) has s1, s2 and s3; 2 standbys are attached, at most 2 kB behind (s1)", ""},
		{"advice comes last", func(s *admin.Status, g *Graded, _ *Past) {
			s.Quorum, s.Standbys, g.SetUp = admin.Quorum{}, nil, []string{"a key that others may read"}
		}, "ok", "OK 0s: no standby is attached → read 1 warning about how it is set up", ""},
		{"a reconnect", func(s *admin.Status, _ *Graded, _ *Past) {
			s.Upstream.State, s.Upstream.Since, s.Upstream.DownSince = admin.Connecting, ago(2*time.Second), ago(2*time.Second)
			s.Quorum, s.Standbys = admin.Quorum{}, s.Standbys[1:]
		}, "ok", "OK 0s: 1 standby is attached, none is behind", ""},
	})
}

func TestStopped(t *testing.T) {
	check(t, []scene{
		{"being stopped", func(s *admin.Status, g *Graded, _ *Past) {
			s.Stopping = true
			unsatisfied(s, g, time.Minute, "x")
		}, "stopped", "STOPPED 0s: this proxy is being stopped, in order → nothing, or start it again once it has ended", "planned-work"},
		{"primary dead", func(s *admin.Status, g *Graded, _ *Past) {
			s.Upstream.State, s.Upstream.DownSince = admin.Disconnected, ago(90*time.Second)
			s.Upstream.Errors = []admin.HostError{{Host: "db1:5432", Error: "connection refused"}}
			g.Stops = []string{"the server of upstream.conninfo does not answer, since 11:58:30: docs/failover.md"}
		}, "stopped", `STOPPED 1m30s: the primary, db1:5432, does not answer: connection refused ` +
			`→ start it; if it is gone for good, promote by docs/failover.md`, "the-upstream-is-not-followed"},
		{"no primary of several", func(s *admin.Status, _ *Graded, _ *Past) {
			s.Upstream.State, s.Upstream.DownSince, s.Upstream.Hosts = admin.Disconnected, ago(2*time.Hour+3*time.Minute), 2
			s.Upstream.Errors = []admin.HostError{{Host: "db1:5432", Error: "timeout"}, {Host: "db2:5432", Error: "it is a standby"}}
		}, "stopped", "STOPPED 2h03m: no host of upstream.conninfo is a primary: db1:5432: timeout and db2:5432: it is a standby → " +
			"start it; if it is gone for good, promote by docs/failover.md",
			"the-upstream-is-not-followed"},
		{"the primary has lost WAL", func(s *admin.Status, g *Graded, _ *Past) {
			s.Upstream.State, s.Upstream.RefusedSince = admin.Disconnected, ago(time.Minute)
			s.Upstream.Lack = &admin.Lack{Timeline: 1, From: 0x5000000, To: 0x5000100, Lost: true}
			unsatisfied(s, g, time.Minute, "x")
		}, "stopped", "STOPPED 1m00s: the primary (db1:5432) has lost WAL from 0/5000000 to 0/5000100 of timeline 1 and is not followed " +
			"→ stop it and promote a server that has that WAL, or give it up: replproxy accept-timeline 1", "the-primary-has-lost-wal"},
		{"that is given up", func(s *admin.Status, _ *Graded, _ *Past) {
			s.Upstream.State = admin.Disconnected
			s.Upstream.Lack = &admin.Lack{Timeline: 1, To: 0x5000100, Lost: true, Restart: true}
		}, "stopped", "STOPPED 0s: the primary (db1:5432) has lost WAL up to 0/5000100 of timeline 1 and is not followed " +
			"→ restart this proxy: that WAL is given up, and set aside at its start", "the-primary-has-lost-wal"},
		{"a promoted server lacks WAL", func(s *admin.Status, _ *Graded, _ *Past) {
			s.Upstream.State, s.Upstream.RefusedSince = admin.Disconnected, ago(time.Minute)
			s.Upstream.Lack = &admin.Lack{Timeline: 2, From: 0x5000000, To: 0x5000100, Of: 1}
		}, "stopped", "STOPPED 1m00s: db1:5432 is not followed: its timeline 2 lacks WAL from 0/5000000 to 0/5000100 " +
			"→ promote a server that has that WAL, or give it up: replproxy accept-timeline 2", "the-upstream-is-not-followed"},
		{"that is accepted", func(s *admin.Status, g *Graded, _ *Past) {
			s.Upstream.State, s.Upstream.RefusedSince = admin.Disconnected, ago(time.Minute)
			s.Upstream.Lack = &admin.Lack{Timeline: 2, From: 0x5000000, To: 0x5000100, Of: 1}
			s.Accepted = &admin.Accepted{Timeline: 2}
			g.Stops = []string{"the server on timeline 2 is not followed yet: that it lacks WAL is accepted, and …"}
		}, "stopped", "STOPPED 1m00s: db1:5432 is not followed: its timeline 2 lacks WAL from 0/5000000 to 0/5000100 " +
			"→ wait half a minute: that it lacks WAL is accepted, and this proxy looks at it again", "the-upstream-is-not-followed"},
		{"other WAL is given up", func(s *admin.Status, g *Graded, _ *Past) {
			s.Upstream.State, s.Upstream.RefusedSince = admin.Disconnected, ago(time.Minute)
			s.Upstream.Lack = &admin.Lack{Timeline: 2, From: 0x5000000, To: 0x5000100, Of: 1}
			g.Stops = []string{"…; it can be given up once this proxy has been restarted, which …"}
		}, "stopped", "STOPPED 1m00s: db1:5432 is not followed: its timeline 2 lacks WAL from 0/5000000 to 0/5000100 " +
			"→ promote a server that has that WAL; it can be given up once this proxy has been restarted", "the-upstream-is-not-followed"},
		{"that is given up elsewhere", func(s *admin.Status, g *Graded, _ *Past) {
			s.Upstream.State, s.Upstream.RefusedSince = admin.Disconnected, ago(time.Minute)
			s.Upstream.Lack = &admin.Lack{Timeline: 1, To: 0x5000100, Lost: true}
			g.Stops = []string{"…, and proxy_a has given that WAL up: give it up here too, by …"}
		}, "stopped", "STOPPED 1m00s: the primary (db1:5432) has lost WAL up to 0/5000100 of timeline 1 and is not followed " +
			"→ give it up here too: replproxy accept-timeline 1, or stop that primary for good and promote a server that has that WAL",
			"the-primary-has-lost-wal"},
		{"who lost WAL is down", func(s *admin.Status, g *Graded, _ *Past) {
			s.Upstream.State, s.Upstream.DownSince = admin.Disconnected, ago(time.Minute)
			s.Upstream.LostBy = &admin.LostBy{Host: "db1:5432", Timeline: 1, From: 0x5000000, To: 0x5000100}
			g.Stops = []string{"db1:5432, which does not answer now, has lost WAL from …"}
		}, "stopped", "STOPPED 0s: db1:5432 has lost WAL from 0/5000000 to 0/5000100 of timeline 1, and does not answer now " +
			"→ do not start it again: promote a server that has that WAL", "the-primary-has-lost-wal"},
		{"for good", func(s *admin.Status, _ *Graded, _ *Past) {
			s.Upstream.Stopped, s.Upstream.StoppedSince = "WAL differs from what is stored; HINT: x", ago(time.Minute)
		}, "stopped", "STOPPED 1m00s: no more WAL comes from db1:5432: WAL differs from what is stored → somebody has to decide: see the runbook",
			"the-upstream-is-not-followed"},
		{"disk full", func(s *admin.Status, _ *Graded, _ *Past) {
			s.Store.DiskFull, s.Store.Paused = true, true
			s.Slots = []admin.Slot{{Name: "s9", HeldBytes: 3 << 30}, {Name: "s1", Active: true, HeldBytes: 4 << 30}}
		}, "stopped", "STOPPED 0s: the volume of data_dir is full and receiving has stopped (256 B wait in memory) " +
			"→ make room on /data, or drop slot s9, which nobody uses and which holds 3 GB", "the-disk"},
	})
}

func TestBlind(t *testing.T) {
	check(t, []scene{
		{"starting", func(s *admin.Status, _ *Graded, _ *Past) {
			s.StartedAt, s.Upstream = ago(2*time.Second), admin.Upstream{State: admin.Connecting, Endpoint: "db1:5432"}
		}, "blind", "BLIND 2s: no WAL has come from db1:5432 yet → see that the primary runs and lets this proxy in: replproxy check",
			"the-upstream-is-not-followed"},
		{"no stream", func(s *admin.Status, g *Graded, _ *Past) {
			s.Upstream.State, s.Upstream.Since, s.Upstream.LastMessageAt = admin.Disconnected, ago(12*time.Second), ago(12*time.Second)
			s.Upstream.Errors = []admin.HostError{{Error: "FATAL:  no pg_hba.conf entry"}}
			unsatisfied(s, g, time.Minute, "x")
		}, "blind", "BLIND 12s: no WAL comes from db1:5432: FATAL:  no pg_hba.conf entry → see that the primary runs and lets this proxy in: " +
			"replproxy check", "the-upstream-is-not-followed"},
		{"silent", func(s *admin.Status, _ *Graded, _ *Past) { s.Upstream.LastMessageAt = ago(45 * time.Second) }, "blind",
			"BLIND 45s: nothing was heard from db1:5432 for 45s → see that the primary runs and lets this proxy in: replproxy check",
			"the-upstream-is-not-followed"},
		{"a member that gets none", func(s *admin.Status, g *Graded, _ *Past) {
			s.Upstream.Member, s.Upstream.LastMessageAt = "proxy_b", ago(10*time.Second)
			g.Stops = []string{admin.NoWAL + "11:59:50: member proxy_b, which is streamed from, gets none"}
		}, "blind", "BLIND 10s: member proxy_b, which is streamed from, gets no WAL → see replproxy status of proxy_b",
			"the-upstream-is-not-followed"},
		{"not heard yet", func(s *admin.Status, g *Graded, _ *Past) {
			s.StartedAt = ago(4 * time.Second)
			g.Stops = []string{admin.NotHeardYet + "4s after the start: proxy_b, proxy_c; commits may wait for no other reason"}
			unsatisfied(s, g, time.Second, "x")
		}, "blind", "BLIND 4s: this proxy has just started and has not heard proxy_b, proxy_c yet → wait 15 s", "commits-wait"},
		{"a new data_dir", func(s *admin.Status, _ *Graded, _ *Past) { s.HeldBack = "proxy_b has yet to say" }, "blind",
			"BLIND 0s: no standby is served: proxy_b has yet to say → start the members that are named", "the-cluster"},
	})
}

func TestSpan(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 1499 * time.Millisecond: "1s", 117 * time.Second: "1m57s", 2*time.Hour + 3*time.Minute: "2h03m",
		76 * time.Hour: "3d04h",
	} {
		if got := span(d); got != want {
			t.Errorf("%s: %s, want %s", d, got, want)
		}
	}
}
