package crash

import (
	"fmt"
	"io/fs"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"crypto/x509/pkix"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// monthsTime bounds how long an ordinary run wears the proxy; REPLPROXY_SOAK prolongs it.
const monthsTime = 15 * time.Second

// use measures a proxy while nobody does anything.
type use struct {
	goroutines, descriptors, heap float64
	files                         int // of data_dir, those of pg_wal's kind aside: their number is bounded by keep_size
	segments                      int
}

// TestMonths plays months of a proxy's life, one thing after the other as fast as it goes. Sessions come and leave or
// break off, slots are made and dropped, standbys and archivers stop. There are reloads, new certificates, segments
// and timelines. When all is quiet again memory, goroutines, descriptors and files are what they were. `make soak
// WHAT=months` does that for DURATION.
func TestMonths(t *testing.T) {
	m := newMonths(t)
	for range 3 { // what is made once has been made
		m.round(t)
	}
	before := m.use(t)
	began, last := time.Now(), max(monthsTime, scene.SoakTime(t))
	for time.Since(began) < last {
		m.round(t)
	}
	var after use
	pgtest.WaitFor(t, 2*time.Minute, "the proxy to take what it took", func() (bool, error) {
		after = m.use(t)
		return after.goroutines <= before.goroutines && after.descriptors <= before.descriptors, nil
	})
	// A history file for each timeline stays, and a heap is not the same twice.
	if after.files > before.files+int(m.timeline-m.begun) || after.segments > m.mostSegments() {
		t.Errorf("files: %+v, they were %+v, after %d timelines", after, before, m.timeline-m.begun)
	}
	if after.heap > 1.25*before.heap+4<<20 {
		t.Errorf("the heap has %.1f MB, it had %.1f", after.heap/1e6, before.heap/1e6)
	}
	t.Logf("soak: %d rounds, %d timelines: goroutines %.0f, then %.0f; descriptors %.0f, then %.0f; heap %.1f MB, then %.1f; "+
		"files %d, then %d; segments %d, then %d", m.rounds, m.timeline, before.goroutines, after.goroutines,
		before.descriptors, after.descriptors, before.heap/1e6, after.heap/1e6, before.files, after.files,
		before.segments, after.segments)
}

// months is a site that is worn.
type months struct {
	*scene.Site
	authority *pgtest.Authority
	shown     *pgtest.Certificate
	standby   *pgtest.Server
	rounds    int
	begun     lsn.TimelineID
	timeline  lsn.TimelineID
}

func newMonths(t *testing.T) *months {
	t.Helper()
	in := pgtest.Usual(t)
	m := &months{authority: pgtest.NewAuthority(t, "months"), timeline: 1}
	m.shown = m.authority.Issue(t, pkix.Name{CommonName: "proxy"}, "127.0.0.1")
	primary := in.Primary(t, pgtest.InitArgs("--wal-segsize=1"), pgtest.Settings("max_wal_size = 32MB", "min_wal_size = 2MB"))
	m.Site = &scene.Site{In: in, Primary: primary, Proxy: pgtest.StartProxy(t, pgtest.ProxyOptions{
		Upstream: primary.Conninfo(), Config: m.file(), Args: []string{"--pprof"},
	})}
	m.standby = m.Standby(t, "s1", "", pgtest.Settings("wal_retrieve_retry_interval = 100ms"))
	pgtest.WaitCaughtUp(t, primary, m.standby)
	return m
}

// file is another configuration in each round.
func (m *months) file() string {
	return fmt.Sprintf("wal: {keep_size: %dMB}\ntls: {mode: allow, cert_file: %s, key_file: %s}\n"+
		"standbys: {\"r%d\": {send_when: covered}}\nlog_level: %s\n",
		16+m.rounds%2, m.shown.CertFile, m.shown.KeyFile, m.rounds, []string{"info", "warn"}[m.rounds%2])
}

// mostSegments bounds the files of WAL: those that keep_size leaves, are made ahead or not yet removed, and sidecars.
func (m *months) mostSegments() int { return 2 * (17 + 10) }

// round is a month.
func (m *months) round(t *testing.T) {
	t.Helper()
	m.rounds++
	for i := range 10 {
		word := "sslmode=require"
		if i%2 == 0 {
			word = "sslmode=disable"
		}
		conn := pgtest.Connect(t, m.Proxy.Conninfo(word))
		if i%3 == 0 {
			_ = conn.Conn().Close() // without a word
		} else {
			_ = conn.Close(t.Context())
		}
		if _, err := pgtest.Query(t.Context(), m.Proxy.Conninfo("user=nobody"+strconv.Itoa(i)), "SELECT 1"); err == nil {
			t.Fatal("a role that does not exist got in")
		}
	}
	slot := fmt.Sprintf("m%d", m.rounds)
	m.CreateSlot(t, slot)
	scene.Command(t, m.Proxy, "CREATE_REPLICATION_SLOT temp TEMPORARY PHYSICAL")
	scene.WriteWAL(t, m.Primary, 4)
	files := m.In.TempDir(t)
	m.In.RunTool(t, files, "pg_receivewal", "-D", files, "-d", m.Proxy.Conninfo(), "--no-loop", "--slot", slot,
		"--endpos", m.Primary.CurrentLSN(t).String())
	scene.Command(t, m.Proxy, "DROP_REPLICATION_SLOT "+slot)
	switch m.rounds % 4 {
	case 0:
		m.standby.Restart(t)
	case 1:
		m.authority.Replace(t, m.shown, m.authority.Issue(t, pkix.Name{CommonName: "proxy"}, "127.0.0.1"))
	case 2:
		m.newTimeline(t)
	}
	scene.Reload(t, m.Proxy, m.file())
	m.Primary.Exec(t, "CHECKPOINT")
	pgtest.WaitCaughtUp(t, m.Primary, m.standby)
}

// newTimeline lets the primary come back as one that was promoted.
func (m *months) newTimeline(t *testing.T) {
	t.Helper()
	m.Primary.Stop(t, pgtest.Fast)
	m.Primary.MakeStandby(t, pgtest.StandbyOptions{PrimaryConninfo: "host=127.0.0.1 port=1 user=nobody"})
	m.Primary.Start(t)
	m.Primary.Promote(t)
	m.timeline++
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the proxy to follow", func() (bool, error) {
		return scene.Status(t, m.Proxy).Store.Timeline == m.timeline, nil
	})
}

// use looks at the proxy after its garbage was collected, and only its standby is attached.
func (m *months) use(t *testing.T) (u use) {
	t.Helper()
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "nobody but the standby to be attached", func() (bool, error) {
		st := scene.Status(t, m.Proxy)
		return st.Sessions.Physical == 1 && st.Sessions.Regular == 0 && st.Sessions.StartingN == 0, nil
	})
	if code, _, err := m.Proxy.Get(t.Context(), "/debug/pprof/heap?gc=1"); err != nil || code != http.StatusOK {
		t.Fatalf("collect garbage: %d, %v", code, err)
	}
	_, text, err := m.Proxy.Get(t.Context(), "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	metric := func(name string) float64 {
		_, rest, found := strings.Cut("\n"+string(text), "\n"+name+" ")
		value, _, _ := strings.Cut(rest, "\n")
		n, err := strconv.ParseFloat(value, 64)
		if err != nil || !found {
			t.Fatalf("no metric %s: %v", name, err)
		}
		return n
	}
	u.goroutines, u.descriptors = metric("go_goroutines"), metric("process_open_fds")
	u.heap = metric("go_memstats_heap_inuse_bytes")
	err = filepath.WalkDir(m.Proxy.DataDir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil || d.IsDir():
		case filepath.Base(filepath.Dir(path)) == "wal" && !strings.HasSuffix(path, ".history"):
			u.segments++
		default:
			u.files++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return u
}
