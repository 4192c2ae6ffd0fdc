package metrics

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
)

const (
	// scrapeInterval lets a rate have several samples within rateInterval, which stands for Grafana's.
	scrapeInterval = "250ms"
	rateInterval   = "5s"
	// answered bounds the wait until each query has data: Prometheus has to see a rate first.
	answered = 2 * time.Minute
)

// target is one query of the dashboard.
type target struct{ panel, expr string }

// targets are all queries of the dashboard, as Grafana sends them when all proxies are looked at.
func targets(t *testing.T) (all []target) {
	t.Helper()
	var dashboard struct {
		Panels []struct {
			Title   string
			Type    string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal([]byte(read(t, "grafana.json")), &dashboard); err != nil {
		t.Fatal(err)
	}
	for _, p := range dashboard.Panels {
		for _, q := range p.Targets {
			expr := strings.NewReplacer("$instance", ".*", "$__rate_interval", rateInterval).Replace(q.Expr)
			all = append(all, target{p.Title, expr})
		}
		if p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("the panel %q asks nothing", p.Title)
		}
	}
	if len(all) < 30 {
		t.Fatalf("%d queries: the search is broken", len(all))
	}
	return all
}

// TestDashboard: with a proxy that a primary, a quorum and a standby use, promtool takes the metrics, and each query of
// the dashboard has data.
func TestDashboard(t *testing.T) {
	in := pgtest.Usual(t)
	primary := in.Primary(t)
	primary.SQL(t, "CREATE TABLE t (x int)")
	proxy := pgtest.StartProxy(t, pgtest.ProxyOptions{
		Upstream: primary.Conninfo(), Name: "proxy_a",
		Config: "synchronous_standby_names: ANY 1 (s1)\nwal: {max_slot_wal_keep_size: 1GB}\n",
		Access: pgtest.TrustLoopback(),
	})
	proxy.SQL(t, "SELECT pg_create_physical_replication_slot('s1', true)", "replication=database")
	in.Standby(t, pgtest.StandbyOptions{
		From: primary, PrimaryConninfo: proxy.Conninfo("application_name=s1"), SlotName: "s1",
	}, pgtest.Name("s1"), pgtest.Settings("hot_standby_feedback = on"))
	ask := prometheus(t, in, proxy)
	open := targets(t)
	pgtest.WaitFor(t, answered, "data for the dashboard", func() (bool, error) {
		proxy.SQL(t, "INSERT INTO t SELECT generate_series(1, 10)")
		open = slices.DeleteFunc(open, func(q target) bool { return ask(t, q.expr) })
		return len(open) == 0 || t.Context().Err() != nil, nil
	})
	for _, q := range open {
		t.Errorf("%s: no data from %s", q.panel, q.expr)
	}
	_, body, err := proxy.Get(t.Context(), "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := promtool(t, string(body), "check", "metrics"); err != nil {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
}

// prometheus runs Prometheus, which scrapes proxy, until the end of the test. It returns a question: whether a query has
// data, a number in it.
func prometheus(t *testing.T, in *pgtest.Install, proxy *pgtest.Proxy) func(t *testing.T, expr string) bool {
	t.Helper()
	dir, port := filepath.Dir(proxy.DataDir), pgtest.FreePort(t)
	proxy.WriteFile(t, filepath.Join(dir, "prometheus.yml"), fmt.Sprintf("global: {scrape_interval: %s}\n"+
		"scrape_configs:\n  - job_name: replproxy\n    static_configs: [{targets: ['127.0.0.1:%d']}]\n",
		scrapeInterval, proxy.HTTPPort))
	address := fmt.Sprintf("127.0.0.1:%d", port)
	cmd := in.Tool(t, dir, pgtest.Prometheus(t, "prometheus"), "--config.file=prometheus.yml",
		"--storage.tsdb.path=prometheus", "--web.listen-address="+address, "--log.level=warn")
	said, err := os.Create(filepath.Join(t.TempDir(), "prometheus"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Cancel()
		_ = cmd.Wait()
		text, _ := os.ReadFile(said.Name())
		said.Close()
		t.Logf("prometheus:\n%s", text)
	})
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	return func(t *testing.T, expr string) bool {
		var answer struct {
			Status, Error string
			Data          struct{ Result []struct{ Value [2]any } }
		}
		ctx, cancel := context.WithTimeout(t.Context(), answered)
		defer cancel()
		at := "http://" + address + "/api/v1/query?query=" + url.QueryEscape(expr)
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			return false // it is starting
		}
		defer resp.Body.Close()
		if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
			return false
		}
		if answer.Status == "error" {
			t.Fatalf("%s: %s", expr, answer.Error)
		}
		for _, r := range answer.Data.Result {
			if r.Value[1] != "NaN" {
				return true
			}
		}
		return false
	}
}
