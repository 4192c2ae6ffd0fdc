package show

import (
	"bytes"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/proxy/admin"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func golden(t *testing.T, name string, s *admin.Status) {
	t.Helper()
	var b bytes.Buffer
	Status(&b, s)
	path := "testdata/" + name + ".txt"
	if *update {
		if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want, _ := os.ReadFile(path); !bytes.Equal(want, b.Bytes()) {
		t.Errorf("%s:\n--- got\n%s--- want\n%s", name, b.Bytes(), want)
	}
}

var now = time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)

func TestStatusGolden(t *testing.T) {
	fast, slow := 0.0012, 3.25
	golden(t, "streaming", &admin.Status{
		Name: "proxy_a", Version: "v1", StartedAt: now.Add(-3 * time.Hour), Now: now, Ready: true,
		Verdict: admin.Verdict{Text: "DEGRADED 3s: s2 is away → start standby s2", Runbook: "https://x/#commits-wait"},
		Upstream: admin.Upstream{State: admin.Streaming, Endpoint: "db1:5432", Since: now.Add(-time.Minute), ServerVersion: "15.18",
			Slot: "replproxy_proxy_a", ReportedWrite: 0x5000100, ReportedFlush: 0x5000000, LastError: "old"},
		Store: admin.Store{Timeline: 2, Oldest: 0x1000000, Received: 0x5000200, Written: 0x5000100, Flushed: 0x5000000,
			VolumeBytes: 100 << 30, FreeBytes: 20 << 30},
		Standbys: []admin.Standby{
			{ApplicationName: "s1", ClientAddr: "10.0.0.5", State: "streaming", Sent: 0x5000200, Write: 0x5000200, Flush: 0x5000200,
				Replay: 0x5000100, WriteLag: &fast, FlushLag: &fast, ReplayLag: &slow, Slot: "s1"},
			{ApplicationName: "report_1", ClientAddr: "10.0.0.6", State: "streaming", Sent: 0x5000100, Write: 0x5000100, Flush: 0x5000100,
				Replay: 0x5000100, LagBytes: 256, SendWhen: "covered", Covered: 0x5000100, HeldBytes: 256},
			{ApplicationName: "evil\x1b[2J\n", State: "catchup", Sent: 0x2000000, LagBytes: 48 << 20},
		},
		Slots: []admin.Slot{{Name: "s1", Type: "physical", Active: true, ActivePID: 4194305, Restart: 0x5000200, Status: "reserved"},
			{Name: "tmp", Type: "physical", Temporary: true, HeldBytes: 1 << 40, Status: "lost"}},
		Sessions: admin.Sessions{Regular: 3, Physical: 2, Logical: 1, Accepted: 9, Refused: 1},
		Idle: []admin.Idle{{Name: "replproxy_proxy_b", Type: "physical", Restart: 0x5000200, Member: "proxy_b"},
			{Name: "replproxy_proxy_c", Type: "physical", Restart: 0x5000200, Absent: "proxy_c"}, {Name: "s1", Type: "physical", Restart: 0x5000200, Status: "reserved", Real: "mirrored"},
			{Name: "forgotten", Type: "logical", Restart: 0x100, HeldBytes: 5 << 30, Status: "extended"}},
		Config: admin.Config{Generation: 3, LoadedAt: now.Add(-time.Minute),
			Pending:   []admin.Pending{{Key: "listen", Running: ":6543", New: ":6544"}, {Key: "http", Running: ":6580"}},
			LastError: "x.yml:3:4: nam: unknown key\n    3 | nam: x"},
		Cluster: &admin.Cluster{Refused: 2, Clashes: 1, Peers: []admin.Peer{
			{Name: "proxy_b", Addr: "10.0.0.2:7946", Sending: true, Heard: now.Add(-time.Second), LastHeard: now.Add(-time.Second)},
			{Name: "proxy_c", LastError: "connection refused"},
		}},
		Warnings: []string{"something to\nchange"},
		Quorum: admin.Quorum{Rule: "ANY 2 (s1, s2)", Spread: "ANY 2 (*)", Zones: []admin.QuorumZone{
			{Name: "east", Wanted: true, Candidates: 1, Write: 0x5000200, Flush: 0x5000100, Behind: bytesOf(256), Since: now.Add(-time.Minute)},
			{Name: "west", Wanted: true},
		}, Others: []admin.QuorumRule{{Rule: "ANY 2 (s1, s2, s3)", Spread: "ANY 1 (*)", Proxies: []string{"proxy_b", "proxy_c"}}}, Awaited: []string{"proxy_b"}, Forgotten: []string{"proxy_c"}, Levels: []admin.QuorumLevel{
			{Position: "write", Commit: "remote_write", Quorum: 0x5000200, Reported: 0x5000100, Satisfiable: true},
			{Position: "flush", Commit: "on", Quorum: 0x5000100, Reported: 0x5000000, Behind: bytesOf(256), Since: now.Add(-time.Minute),
				Satisfiable: true},
			{Position: "apply", Commit: "remote_apply", Since: now.Add(-time.Hour), Why: "too few report apply"},
		}, Voters: []admin.QuorumVoter{
			{Name: "s1", Kind: "standby", Node: "proxy_a", Standing: admin.Counts, State: "quorum", Priority: 1, Write: 0x5000200,
				Flush: 0x5000100, FlushBehind: bytesOf(256), FlushSince: now.Add(-time.Minute)},
			{Name: "s2", Standing: "not attached anywhere", State: "async", Priority: 1},
		}},
	})
	golden(t, "starting", &admin.Status{
		Name: "proxy_a", Version: "v1", StartedAt: now, Now: now, NotReady: "no WAL has arrived yet",
		Upstream: admin.Upstream{State: admin.Disconnected, Errors: []admin.HostError{{Host: "db1:5432", Error: "connection refused", Since: now}}},
		Config: admin.Config{Generation: 2, LoadedAt: now, LastError: "synchronous_standby_names: no", Refused: []admin.Refused{
			{Key: "synchronous_standby_names", Running: "ANY 2 (s1, s2)", Why: "no"}}},
		Store: admin.Store{Paused: true},
	})
}

// TestErrorOfHosts: where several hosts fail each has a line, once. Elsewhere in the document it is referred to.
func TestErrorOfHosts(t *testing.T) {
	one := admin.HostError{Host: "db1:5432", Error: "FATAL:  no", Since: now.Add(-117 * time.Second)}
	two := admin.HostError{Host: "db2:5432", Error: "it is a standby", Since: now.Add(-time.Hour)}
	s := &admin.Status{Now: now, Upstream: admin.Upstream{State: admin.Disconnected, Errors: []admin.HostError{one, two}}}
	s.NotReady, s.Warnings = "no WAL has arrived yet: "+s.Upstream.Reasons(), []string{"no WAL since 1: " + s.Upstream.Reasons()}
	var b bytes.Buffer
	Status(&b, s)
	for _, want := range []string{
		"not ready: no WAL has arrived yet: see upstream, up", "warning  no WAL since 1: see upstream\n",
		"          db1:5432: FATAL:  no, for 1m57s\n          db2:5432: it is a standby, for 1h0m0s\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("want %q in\n%s", want, b.String())
		}
	}
	s.Upstream.Errors = s.Upstream.Errors[:1]
	s.NotReady, s.Warnings = "no WAL has arrived yet: "+s.Upstream.Reasons(), nil
	b.Reset()
	if Status(&b, s); !strings.Contains(b.String(), "not ready: no WAL has arrived yet: db1:5432: FATAL:  no") {
		t.Errorf("one host:\n%s", b.String())
	}
}

func TestBytes(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1 kB", 1536: "1.5 kB", 20 << 20: "20 MB", 1 << 62: "4096 PB"} {
		if got := Bytes(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}

func bytesOf(n int64) *int64 { return &n }

// TestLeg: the encryption of the stream is said to be the member's where a member is streamed from.
func TestLeg(t *testing.T) {
	for member, want := range map[string]string{"": "tls       primary: TLSv1.3 X, -\n", "proxy_b": "tls       member proxy_b: TLSv1.3 X, -\n"} {
		var b bytes.Buffer
		Status(&b, &admin.Status{Upstream: admin.Upstream{Member: member}, SSL: []admin.SSL{{Version: "TLSv1.3", Cipher: "X"}}})
		if !bytes.Contains(b.Bytes(), []byte(want)) {
			t.Errorf("from %q: want %q in\n%s", member, want, b.Bytes())
		}
	}
}
