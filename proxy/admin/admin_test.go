package admin

import (
	"context"
	"encoding/json"
	"flag"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

var update = flag.Bool("update", false, "rewrite docs/metrics.md and docs/status.md")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type fixed Status

func (f *fixed) Status() Status { return Status(*f) }

var now = time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)

func sample() Status {
	lag := 0.25
	return Status{
		Name: "proxy_a", Version: "test", StartedAt: now.Add(-time.Hour), Now: now, Listen: []string{":6543"},
		TLS: TLS{Mode: "allow", NotAfter: now.Add(time.Hour)},
		Upstream: Upstream{State: Streaming, Endpoint: "db1:5432", LastMessageAt: now.Add(-time.Second),
			ReportedWrite: 0x3000100, ReportedFlush: 0x3000000, Reconnects: 2,
			SlotSafe: new(int64), Lack: &Lack{Timeline: 2, From: 5, To: 7}},
		Store:    Store{Timeline: 1, Oldest: 0x1000000, Received: 0x3000200, Written: 0x3000100, Flushed: 0x3000000},
		Standbys: []Standby{{ApplicationName: "<b>s1</b>", State: "streaming", FlushLag: &lag, LagBytes: 512}, {State: "catchup"}},
		Slots: []Slot{
			{Name: "s1", Active: true, HeldBytes: 100, Status: "reserved", Safe: new(int64)}, {Name: "s2", HeldBytes: 900},
		},
		Quorum: Quorum{Rule: "ANY 2 (s1, s2)", Levels: []QuorumLevel{
			{Position: "write", Quorum: 0x3000100, Behind: bytesOf(256), Since: now.Add(-time.Minute), Satisfiable: true},
			{Position: "flush", Satisfiable: true}, {Position: "apply", Why: "too few"},
		}, Voters: []QuorumVoter{{Name: "s1", Standing: Counts, Priority: 1}, {Name: "s2", Standing: "absent", Priority: 1}, {Name: "s3"}}},
		Cluster:  &Cluster{Peers: []Peer{{Name: "b", Sending: true}, {Name: "c"}}, Refused: 3, Garbled: 2, Clashes: 1},
		Feedback: Feedback{Settled: true, Xmin: 700, XminOf: "s1", NextXID: 735},
		Sessions: Sessions{Regular: 3, Physical: 2, Accepted: 9},
		Limits:   Limits{WalReceiverTimeout: 60},
	}
}

func serve(t *testing.T, st Status, profiles bool) func(path string) (int, string, http.Header) {
	t.Helper()
	f := fixed(st)
	s := New(Options{Source: &f, Profiles: profiles, Logger: slog.New(slog.DiscardHandler)})
	return func(path string) (int, string, http.Header) {
		method := http.MethodGet
		if m, rest, ok := strings.Cut(path, " "); ok {
			method, path = m, rest
		}
		w := httptest.NewRecorder()
		s.http.Handler.ServeHTTP(w, httptest.NewRequest(method, "http://127.0.0.1"+path, nil))
		return w.Code, w.Body.String(), w.Header()
	}
}

func TestEndpoints(t *testing.T) {
	get := serve(t, sample(), false)
	for path, want := range map[string]struct {
		code int
		has  string
	}{
		"/healthz":               {200, "ok"},
		"/readyz":                {200, "ready"},
		"/status":                {200, `"received_lsn": "0/3000200"`},
		"/metrics":               {200, `replproxy_walstore_position_bytes{position="flushed"} 5.0331648e+07`},
		"/":                      {200, "page.js"},
		"/page.js":               {200, "fetch("},
		"/page.css":              {200, ":root"},
		"/elsewhere":             {404, ""},
		"/debug/pprof/":          {404, ""},
		"POST /status":           {405, ""},
		"DELETE /":               {405, ""},
		"HEAD /readyz":           {200, ""},
		"/debug/pprof/cmdline":   {404, ""},
		"/../../../../etc/hosts": {307, ""},
	} {
		code, body, header := get(path)
		if code != want.code || !strings.Contains(body, want.has) {
			t.Errorf("%s: %d, want %d with %q; body %.300s", path, code, want.code, want.has, body)
		}
		if header.Get("Content-Security-Policy") == "" || header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: headers %v", path, header)
		}
	}
	if code, _, _ := serve(t, sample(), true)("/debug/pprof/"); code != 200 {
		t.Errorf("asked-for profiles: %d", code)
	}
	if code, _, _ := serve(t, sample(), true)("/debug/pprof/cmdline"); code != 404 {
		t.Errorf("the command line is served: %d", code)
	}
}

// TestStatusSurvivesJSON: what "replproxy status" decodes is what was served.
func TestStatusSurvivesJSON(t *testing.T) {
	_, body, _ := serve(t, sample(), false)("/status")
	var got Status
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	want := sample()
	want.Ready = true
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestReadiness(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Status)
		want   string // "" = ready
	}{
		{"fresh message", func(*Status) {}, ""},
		{"just within half", func(s *Status) { s.Upstream.LastMessageAt = now.Add(-31 * time.Second) }, ""},
		{"half passed", func(s *Status) {
			s.Upstream.LastMessageAt, s.Upstream.State, s.Upstream.LastError = now.Add(-33*time.Second), Disconnected, "refused"
		}, "nothing from the upstream for 33s (limit 30s), it is disconnected: refused"},
		{"never", func(s *Status) { s.Upstream = Upstream{State: Connecting} }, "no WAL has arrived yet: the upstream is connecting"},
		{"never, failed", func(s *Status) { s.Upstream = Upstream{LastError: "no such host"} }, "no WAL has arrived yet: no such host"},
		{"stopped for a while", func(s *Status) {
			s.Upstream.Stopped, s.Upstream.StoppedSince = "WAL differs", now.Add(-31*time.Second)
		}, ""},
		{"stopped for good", func(s *Status) {
			s.Upstream.Stopped, s.Upstream.StoppedSince = "WAL differs", now.Add(-33*time.Second)
		}, "no more WAL comes from the upstream: WAL differs"},
		{"another system", func(s *Status) {
			s.Upstream.Stopped, s.Upstream.StoppedSince, s.Upstream.Foreign = "another system", now, true
		}, "no more WAL comes from the upstream: another system"},
		{"the only host is refused", func(s *Status) {
			s.Upstream.RefusedSince, s.Upstream.Hosts, s.Upstream.LastError = now, 1, "has lost WAL"
		}, "no WAL is taken from the upstream: has lost WAL"},
		{"one of two is refused", func(s *Status) { s.Upstream.RefusedSince, s.Upstream.Hosts = now.Add(-9*time.Second), 2 }, ""},
		{"that for longer", func(s *Status) {
			s.Upstream.RefusedSince, s.Upstream.Hosts, s.Upstream.Stopped = now.Add(-11*time.Second), 2, "WAL differs"
			s.Upstream.StoppedSince = now
		}, "no WAL is taken from the upstream: WAL differs"},
		{"a new data_dir", func(s *Status) { s.HeldBack = "b has yet to say" }, "standbys are not served yet: b has yet to say"},
		{"commits wait, and the stream is asked for", func(s *Status) {
			s.Verdict.State, s.Quorum.Levels[1].Satisfiable = VerdictWaits, false
		}, ""},
		{"the rule is asked for, and covered", func(s *Status) { s.ReadyWhen = "rule" }, ""},
		{"it cannot be covered", func(s *Status) {
			s.ReadyWhen, s.Verdict.Why, s.Quorum.Levels[1].Satisfiable = "rule", "ANY 2 (s1, s2) has s1", false
		}, "commits wait: ANY 2 (s1, s2) has s1"},
		{"a voter stands still", func(s *Status) {
			s.ReadyWhen, s.Verdict = "rule", Verdict{State: VerdictWaits, Why: "s2 is 4 kB behind"}
		}, "commits wait: s2 is 4 kB behind"},
		{"without a rule", func(s *Status) { s.ReadyWhen, s.Quorum = "rule", Quorum{} }, ""},
		{"stopping", func(s *Status) { s.Stopping = true }, "stopping"},
		{"not listening", func(s *Status) { s.Listen = nil }, "not listening yet"},
	} {
		s := sample()
		c.change(&s)
		ok, reason := Readiness(&s)
		if ok != (c.want == "") || reason != c.want {
			t.Errorf("%s: %v, %q; want %q", c.name, ok, reason, c.want)
		}
		if code, body, _ := serve(t, s, false)("/readyz"); (code == 200) != ok || !ok && !strings.Contains(body, c.want) {
			t.Errorf("%s: /readyz %d %q", c.name, code, body)
		}
	}
}

// TestQuorumMetrics: what an alert is made of.
func TestQuorumMetrics(t *testing.T) {
	_, body, _ := serve(t, sample(), false)("/metrics")
	for _, want := range []string{
		`replproxy_quorum_position_bytes{position="write"} 5.0331904e+07`, `replproxy_quorum_behind_bytes{position="write"} 256`,
		`replproxy_quorum_waiting_seconds{position="write"} 60`, `replproxy_quorum_waiting_seconds{position="flush"} 0`,
		`replproxy_quorum_satisfiable_state{position="apply"} 0`, `replproxy_quorum_satisfiable_state{position="flush"} 1`,
		`replproxy_quorum_voters{standing="counting"} 1`, `replproxy_quorum_voters{standing="missing"} 1`,
	} {
		if !strings.Contains(body, want+"\n") {
			t.Errorf("no %s", want)
		}
	}
}

// TestMetricsAreBounded: every label value served is in the table.
func TestMetricsAreBounded(t *testing.T) {
	_, body, _ := serve(t, tallied(), false)("/metrics")
	if strings.Contains(body, "b&gt;") || strings.Contains(body, "<b>") || strings.Contains(body, `"temporary"`) {
		t.Error("a name that a client chose is in the metrics")
	}
	for _, m := range metrics {
		if !strings.HasPrefix(m.name, "replproxy_") || strings.HasSuffix(m.name, "_total") != (m.kind == counter) {
			t.Errorf("%s: name and type disagree", m.name)
		}
		if !strings.Contains(body, "\n"+m.name) {
			t.Errorf("%s is not served", m.name)
		}
		m.read(&Status{}, func(label string, _ float64) {
			known := m.label == "" && label == ""
			for _, v := range m.values {
				known = known || v == label
			}
			if !known {
				t.Errorf("%s: label %q is not in its list", m.name, label)
			}
		})
	}
}

// TestPagesAreCurrent holds the generated documents.
func TestPagesAreCurrent(t *testing.T) {
	for name, page := range map[string]string{"metrics.md": MetricsPage(), "status.md": StatusPage()} {
		path := "../../docs/" + name
		if *update {
			if err := os.WriteFile(path, []byte(page), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if have, err := os.ReadFile(path); err != nil || string(have) != page {
			t.Errorf("%s is stale (%v): go test ./proxy/admin -update", path, err)
		}
	}
}

// TestEveryFieldIsDescribed: docs/status.md has no empty cell.
func TestEveryFieldIsDescribed(t *testing.T) {
	for _, line := range strings.Split(StatusPage(), "\n") {
		if strings.HasSuffix(line, "|  |") || strings.Contains(line, "``") {
			t.Errorf("not described: %s", line)
		}
	}
}

// TestRun serves over a socket, bounds headers, and leaves nothing behind.
func TestRun(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := fixed(sample())
	s := New(Options{Listener: l, Source: &f, Logger: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	base := "http://" + l.Addr().String()
	res, err := client.Get(base + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, res.Body)
	res.Body.Close()
	req, _ := http.NewRequest(http.MethodGet, base+"/healthz", nil)
	req.Header.Set("X-Long", strings.Repeat("x", 2*maxHeader))
	if res, err := client.Do(req); err != nil {
		t.Errorf("long header: %v", err)
	} else {
		res.Body.Close()
		if res.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("long header: %d", res.StatusCode)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
	if _, err := client.Get(base + "/healthz"); err == nil {
		t.Error("still serving after the end")
	}
}

func TestRunReportsABrokenListener(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	f := fixed(sample())
	if err := New(Options{Listener: l, Source: &f, Logger: slog.New(slog.DiscardHandler)}).Run(t.Context()); err == nil {
		t.Error("a closed listener was served")
	}
}

func bytesOf(n int64) *int64 { return &n }
