package hostile

import (
	"crypto/x509/pkix"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/proxy/admin"
)

const (
	password = "correct-horse"
	standbys = 10
)

// world has the clients and standbys of the attacked proxy.
type world struct {
	in       *pgtest.Install
	primary  *pgtest.Server
	proxy    *pgtest.Proxy
	cluster  string // host:port of the cluster's port
	standbys []*pgtest.Server
}

// newWorld starts a primary that asks everybody for a password, a proxy with every port that one can have, and
// standbys.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{in: pgtest.Need(t, 15)}
	w.primary = w.in.Primary(t, pgtest.SCRAM(password), pgtest.Settings("wal_keep_size = 2GB", "max_wal_size = 2GB"))
	a := pgtest.NewAuthority(t, "authority")
	cert := a.Issue(t, pkix.Name{CommonName: "proxy"}, "127.0.0.1")
	w.proxy = pgtest.StartProxy(t, pgtest.ProxyOptions{
		Upstream: w.primary.Conninfo(), Password: password, Config: "{}\n", Socket: true, Stopped: true,
	})
	w.cluster = fmt.Sprintf("127.0.0.1:%d", pgtest.FreePort(t))
	absent := pgtest.StartProxy(t, pgtest.ProxyOptions{Name: "absent", Upstream: w.primary.Conninfo(), Stopped: true})
	cluster := pgtest.Cluster(t, []string{w.cluster, "127.0.0.1:1"}, w.proxy, absent)
	w.proxy.Configure(t, fmt.Sprintf("tls: {mode: allow, cert_file: %s, key_file: %s}\n%s",
		cert.CertFile, cert.KeyFile, cluster[0]))
	w.proxy.StartNoWait(t)
	pgtest.WaitFor(t, time.Minute, "the proxy to wait for the absent member", func() (bool, error) {
		_, body, err := w.proxy.Get(t.Context(), "/readyz")
		return err == nil && strings.Contains(string(body), "from absent"), nil
	})
	w.proxy.Program(t, "forget", "absent", "--data-dir", w.proxy.DataDir)
	w.proxy.WaitReady(t)
	for i := range standbys {
		so := pgtest.StandbyOptions{From: w.primary, PrimaryConninfo: w.proxy.Conninfo()}
		w.standbys = append(w.standbys, w.in.Standby(t, so, pgtest.Name(fmt.Sprintf("standby_%d", i)), pgtest.Stopped()))
	}
	for _, s := range w.standbys {
		s.StartNoWait(t)
	}
	w.attached(t)
	return w
}

func (w *world) status(t *testing.T) (st admin.Status) {
	t.Helper()
	w.proxy.Status(t, &st)
	return st
}

// attached waits until the standbys stream, and nobody else.
func (w *world) attached(t *testing.T) {
	t.Helper()
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the standbys alone to stream", func() (bool, error) {
		var names []string
		for _, row := range w.status(t).Standbys {
			if row.State == "streaming" {
				names = append(names, row.ApplicationName)
			}
		}
		slices.Sort(names)
		return len(names) == standbys && len(slices.Compact(names)) == standbys &&
			strings.HasPrefix(names[0], "standby_"), nil
	})
}

// verify checks the state as after each scenario of conformance. Nobody may write meanwhile.
func (w *world) verify(t *testing.T) {
	t.Helper()
	at := w.primary.CurrentLSN(t)
	for _, s := range w.standbys {
		s.WaitReplay(t, at)
		pgtest.EqualData(t, w.primary, s)
	}
	w.verifyStore(t, w.proxy)
}

func (w *world) verifyStore(t *testing.T, proxy *pgtest.Proxy) {
	t.Helper()
	if rows := pgtest.WaitStreaming(t, w.primary, 1); rows[0].ApplicationName != proxy.Name {
		t.Errorf("the primary's one walsender is not the proxy's: %v", rows[0])
	}
	at := w.primary.CurrentLSN(t)
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the proxy to flush "+at.String(), func() (bool, error) {
		var st admin.Status
		proxy.Status(t, &st)
		return st.Store.Flushed >= at, nil
	})
	dir := filepath.Join(proxy.DataDir, "wal")
	if n := pgtest.EqualSegments(t, w.primary.SegSize(t), at, dir, w.primary.WALDir()); n == 0 {
		t.Errorf("%s has no segment in common with the primary", dir)
	}
}

// size has the figures of the proxy's process.
type size struct{ goroutines, descriptors, resident float64 }

func (w *world) size(t *testing.T) (s size) {
	t.Helper()
	code, body, err := w.proxy.Get(t.Context(), "/metrics")
	if err != nil || code != 200 {
		t.Fatalf("metrics: %d %v", code, err)
	}
	if s, err = sizeOf(body); err != nil {
		t.Fatal(err)
	}
	return s
}

// sizeOf reads it from a page of metrics.
func sizeOf(metrics []byte) (s size, err error) {
	into := map[string]*float64{
		"go_goroutines": &s.goroutines, "process_open_fds": &s.descriptors, "process_resident_memory_bytes": &s.resident,
	}
	for line := range strings.Lines(string(metrics)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if v := into[name]; v != nil {
			if *v, err = strconv.ParseFloat(value, 64); err != nil {
				return s, fmt.Errorf("metrics: %q: %w", line, err)
			}
		}
	}
	if s.goroutines == 0 || s.descriptors == 0 || s.resident == 0 {
		return s, fmt.Errorf("metrics do not tell the size: %+v", s)
	}
	return s, nil
}

func (s size) String() string {
	return fmt.Sprintf("%.0f goroutines, %.0f descriptors, %.0f MB resident", s.goroutines, s.descriptors, s.resident/(1<<20))
}

// Slack of what is left behind: sessions of pgbench and of the standbys come and go, and Go gives memory back
// when it likes.
const (
	slackGoroutines  = 20
	slackDescriptors = 20
	slackResident    = 200 << 20
)

// sizeBack waits until the proxy is about as large as before.
func (w *world) sizeBack(t *testing.T, before size) (now size) {
	t.Helper()
	pgtest.WaitFor(t, 2*time.Minute, "the proxy to be as small as before: "+before.String(), func() (bool, error) {
		now = w.size(t)
		return now.goroutines <= before.goroutines+slackGoroutines &&
			now.descriptors <= before.descriptors+slackDescriptors &&
			now.resident <= before.resident+allowed(slackResident), nil
	})
	return now
}

// allowed is so much memory, and more for a proxy that is built with the race detector.
func allowed(bytes float64) float64 {
	if os.Getenv("REPLPROXY_RACE") != "" {
		return 8 * bytes
	}
	return bytes
}

// leftovers are slots and sessions that nobody made who is still there.
func (w *world) leftovers(t *testing.T) {
	t.Helper()
	pgtest.WaitFor(t, time.Minute, "all slots of hostile sessions to be gone", func() (bool, error) {
		return len(w.status(t).Slots) == 0, nil
	})
	pgtest.WaitFor(t, time.Minute, "nothing that hostile sessions asked for to hold back vacuum", func() (bool, error) {
		held := w.primary.Scalar(t, "SELECT (SELECT count(*) FROM pg_stat_replication WHERE backend_xmin IS NOT NULL) + "+
			"(SELECT count(*) FROM pg_replication_slots WHERE xmin IS NOT NULL OR catalog_xmin IS NOT NULL)")
		return held == "0", nil
	})
	log := w.proxy.Log()
	for _, bad := range []string{"panic", "DATA RACE", "invariant"} {
		if i := strings.Index(log, bad); i >= 0 {
			t.Errorf("the proxy's log has %q: %.2000s", bad, log[i:])
		}
	}
	if b, _ := json.Marshal(w.status(t).Warnings); strings.Contains(string(b), "invariant") {
		t.Errorf("warnings: %s", b)
	}
}

// socket is the path of the proxy's unix socket.
func (w *world) socket() string {
	return filepath.Join(w.proxy.SocketDir, fmt.Sprintf(".s.PGSQL.%d", w.proxy.Port))
}

// http is the address of its http port.
func (w *world) http() string { return fmt.Sprintf("127.0.0.1:%d", w.proxy.HTTPPort) }

// initBench makes pgbench's tables.
func (w *world) initBench(t *testing.T) {
	t.Helper()
	cmd := w.in.Tool(t, w.in.TempDir(t), "pgbench", "-i", "-q", "-h", "127.0.0.1", "-p", strconv.Itoa(w.primary.Port),
		"-U", "postgres", "postgres")
	cmd.Env = append(cmd.Env, "PGPASSWORD="+password)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("pgbench -i: %v\n%s", err, out)
	}
}
