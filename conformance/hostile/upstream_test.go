package hostile

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/proxy/admin"
)

const (
	lanes = 4 // proxies that are lied to beside each other: mostly they wait

	// mostMemory bounds the memory of a proxy at any time: its tail of WAL is 64 MB of it.
	mostMemory = 400 << 20

	// patience is the time within which the proxy must name the fault, and follow again.
	patience = 2 * time.Minute // an upstream that is refused is asked again every half a minute
)

// TestHostileUpstream lets the primary say other things than it does. Each time the proxy must name the fault (or go
// on, where there is none), and be as before when the lies are over. Its store then equals the primary's WAL, and so
// does its standby.
func TestHostileUpstream(t *testing.T) {
	in := pgtest.Need(t, 15)
	primary := in.Primary(t, pgtest.Settings("wal_keep_size = 2GB", "max_wal_size = 2GB"))
	primary.Exec(t, "CREATE TABLE told (at timestamptz, pad text)")
	stop := write(t, primary)
	all := slices.Concat(logInLies(), commandLies(), streamLies())
	names := map[string]bool{}
	for _, l := range all {
		if names[l.name] {
			t.Errorf("two cases are named %q", l.name)
		}
		names[l.name] = true
	}
	t.Logf("%d cases", len(all))
	stages := make([]*stage, lanes)
	for i := range stages {
		stages[i] = newStage(t, primary, i)
	}
	var done sync.WaitGroup
	for i, s := range stages {
		done.Go(func() {
			for n := i; n < len(all); n += lanes {
				t.Run(all[n].name, func(t *testing.T) { s.try(t, all[n]) })
			}
		})
	}
	done.Wait()
	stop()
	for _, s := range stages {
		// A standby that took WAL whose records do not check goes on to believe its walreceiver's position and ends
		// the walreceiver when it reads that WAL again. So it may never be sent the right bytes. A restart forgets the
		// position.
		s.standby.Stop(t, pgtest.Immediate)
		s.standby.Start(t)
		pgtest.WaitCaughtUp(t, primary, s.standby)
		pgtest.EqualData(t, primary, s.standby)
	}
}

// write keeps WAL coming until it is stopped, a page with nearly each commit.
func write(t *testing.T, primary *pgtest.Server) (stop func()) {
	t.Helper()
	conn := primary.Connect(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		for ctx.Err() == nil {
			sql := "INSERT INTO told SELECT now(), string_agg(md5(random()::text), '') FROM generate_series(1, 200)"
			if _, err := pgtest.QueryConn(context.WithoutCancel(ctx), conn, sql); err != nil {
				done <- err
				return
			}
			select {
			case <-time.After(20 * time.Millisecond):
			case <-ctx.Done():
			}
		}
		done <- nil
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("write: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// stage is a proxy whose way to the primary is edited, and a standby behind it.
type stage struct {
	primary *pgtest.Server
	way     *forwarder
	proxy   *pgtest.Proxy
	standby *pgtest.Server
}

func newStage(t *testing.T, primary *pgtest.Server, number int) *stage {
	t.Helper()
	s := &stage{primary: primary, way: startForwarder(t, primary.Port)}
	s.proxy = pgtest.StartProxy(t, pgtest.ProxyOptions{
		Name:     fmt.Sprintf("proxy_%d", number),
		Upstream: s.way.conninfo(),
	})
	so := pgtest.StandbyOptions{From: primary, PrimaryConninfo: s.proxy.Conninfo()}
	s.standby = primary.Install.Standby(t, so, pgtest.Name(fmt.Sprintf("standby_%d", number)))
	return s
}

func (s *stage) try(t *testing.T, l lie) {
	said, switched := len(s.proxy.Log()), time.Time{}
	defer func() {
		if t.Failed() {
			t.Logf("the proxy said: %.4000s", s.proxy.Log()[said:])
		}
		s.way.set(nil)
	}()
	s.way.set(l.edit())
	if l.want == "" {
		s.follows(t)
	} else {
		pgtest.WaitFor(t, patience, fmt.Sprintf("%q in the proxy's log", l.want), func() (bool, error) {
			if !s.proxy.Running() {
				return false, fmt.Errorf("the proxy has ended: %.2000s", s.since(said))
			}
			if l.segment && time.Since(switched) > time.Second {
				s.primary.Exec(t, "SELECT pg_switch_wal()")
				switched = time.Now()
			}
			return s.way.told() && strings.Contains(s.since(said), l.want), nil
		})
	}
	if most := s.peak(t); float64(most) > allowed(mostMemory) {
		t.Errorf("the proxy took %d MB", most>>20)
	}
	s.way.set(nil)
	// It would come back by itself, but after a refusal that is for an operator not at once.
	s.proxy.Kill9(t)
	s.proxy.Start(t)
	s.follows(t)
	dir := filepath.Join(s.proxy.DataDir, "wal")
	if n := pgtest.EqualSegments(t, s.primary.SegSize(t), s.flushed(t), dir, s.primary.WALDir()); n == 0 {
		t.Error("nothing of the store could be compared")
	}
	if _, err := os.Stat(filepath.Join(s.proxy.DataDir, "diverged")); err == nil {
		t.Error("WAL was moved aside")
	}
}

// since returns the log since a position, without the lines about connections that a case cuts at its beginning.
func (s *stage) since(said int) string {
	var lines []string
	for line := range strings.Lines(s.proxy.Log()[said:]) {
		if !strings.Contains(line, `closed the connection unexpectedly: EOF"`) {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}

// follows waits until the proxy has what the primary has written by now.
func (s *stage) follows(t *testing.T) {
	t.Helper()
	at := s.primary.CurrentLSN(t)
	pgtest.WaitFor(t, patience, "the proxy to flush "+at.String(), func() (bool, error) {
		return s.flushed(t) >= at, nil
	})
}

func (s *stage) flushed(t *testing.T) lsn.LSN {
	t.Helper()
	var st admin.Status
	s.proxy.Status(t, &st)
	return st.Store.Flushed
}

// peak is the most memory that the process ever had.
func (s *stage) peak(t *testing.T) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.proxy.PID()))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(rest), " kB"))
			if err != nil {
				t.Fatal(err)
			}
			return kb << 10
		}
	}
	t.Fatal("no VmHWM")
	return 0
}
