package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// replayTime bounds how long a target may take to get the WAL of the others' rounds.
const replayTime = 2 * time.Minute

// target is one way to the primary that is measured.
type target struct {
	name   string
	port   int           // where clients connect
	pid    int           // of the first of its processes; 0: it has none of its own
	stream string        // the application_name by which it follows the primary itself; "": it does not
	proxy  *pgtest.Proxy // nil: it is no replproxy
	tls    bool          // whether clients come over TLS
}

// conninfo returns how a client reaches the target.
func (t *target) conninfo() string {
	mode := "disable"
	if t.tls {
		mode = "require"
	}
	return fmt.Sprintf("host=127.0.0.1 port=%d user=postgres dbname=postgres sslmode=%s", t.port, mode)
}

// arena is one primary and all that is measured in front of it. While one target is measured the others stand still.
type arena struct {
	t       testing.TB
	in      *pgtest.Install
	primary *pgtest.Server
	dir     string
	targets []*target
}

// newArena starts a primary and, in this order, targets by their names: those of start.
func newArena(t testing.TB, names ...string) *arena {
	a := &arena{t: t, in: pgtest.Need(t, 15)}
	a.primary = a.in.Primary(t, pgtest.Fsync(), pgtest.HBA(
		"host all proven 127.0.0.1/32 scram-sha-256",
		"host all all 127.0.0.1/32 trust", "host replication all 127.0.0.1/32 trust"), pgtest.Settings(
		"max_connections = 400", "max_wal_senders = 300", "wal_keep_size = 32GB", "max_wal_size = 64GB",
		"min_wal_size = 2GB", "checkpoint_timeout = 1h", "shared_buffers = 256MB", "autovacuum = off",
		"wal_sender_timeout = 0", "wal_receiver_timeout = 0"))
	a.dir = a.in.TempDir(t)
	a.primary.Exec(t, "CREATE TABLE commits (id bigserial PRIMARY KEY, pad text)")
	a.primary.Exec(t, "CREATE TABLE filler (id bigint, pad text)")
	a.primary.Exec(t, "CREATE USER proven PASSWORD '"+provenPassword+"'; GRANT pg_read_all_data TO proven")
	if err := os.WriteFile(filepath.Join(a.dir, "commit.sql"), []byte(commitScript), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		a.targets = append(a.targets, a.start(name))
	}
	t.Cleanup(func() {
		for _, x := range a.targets {
			signalTree(x.pid, syscall.SIGCONT)
		}
	})
	return a
}

// provenPassword is that of user proven, who logs in by SCRAM.
const provenPassword = "secret"

// alone lets one target run, none for nil, and stops all others, so that what they do of themselves does not count. It
// returns when the target has all WAL that there is.
func (a *arena) alone(t *target) {
	a.t.Helper()
	for _, x := range a.targets {
		sig := syscall.SIGSTOP
		if t != nil && x.name == t.name {
			sig = syscall.SIGCONT
		}
		signalTree(x.pid, sig)
	}
	if t == nil || t.stream == "" {
		return
	}
	at := a.primary.CurrentLSN(a.t)
	pgtest.WaitFor(a.t, replayTime, t.name+" to have "+at.String(), func() (bool, error) {
		for _, r := range pgtest.PgStatReplication(a.t, a.primary) {
			if have, err := lsn.Parse(r.Flush); r.ApplicationName == t.stream && err == nil && have >= at {
				return true, nil
			}
		}
		return false, nil
	})
}

// measure runs f while only one target runs, and adds what it returns, with the CPU time that was used meanwhile.
func (a *arena) measure(r *results, name string, t *target, f func(stop func() usage) figures) {
	a.alone(t)
	before := usageOf(a.primary.PID(), t.pid)
	var used usage
	got := f(func() usage {
		used = usageOf(a.primary.PID(), t.pid).since(before)
		return used
	})
	if used.when.IsZero() {
		used = usageOf(a.primary.PID(), t.pid).since(before)
	}
	got[othersColumn] = 100 * used.others()
	fmt.Fprintf(os.Stderr, "%s %s, %s: %v\n", time.Now().Format(time.TimeOnly), name, t.name, got)
	r.add(name, t.name, got)
}

// inTurn returns the targets in another order for each round.
func (a *arena) inTurn(round int) []*target {
	k := round % len(a.targets)
	return slices.Concat(a.targets[k:], a.targets[:k])
}

// rounds returns how often each case is measured: REPLPROXY_BENCH_ROUNDS.
func rounds() int {
	if n, err := strconv.Atoi(os.Getenv("REPLPROXY_BENCH_ROUNDS")); err == nil && n > 0 {
		return n
	}
	return 5
}

// scale shrinks the run: REPLPROXY_BENCH_MB is the WAL that a catch-up reads (default 1024).
func scale() int {
	if n, err := strconv.Atoi(os.Getenv("REPLPROXY_BENCH_MB")); err == nil && n > 0 {
		return n
	}
	return 1024
}

// seconds returns how long a measurement takes: less in a run that is shrunk.
func seconds(whole int) int {
	if scale() < 1024 {
		return min(whole, 3)
	}
	return whole
}

// pause waits while others work.
func pause(d time.Duration) { <-time.After(d) }

// fill writes so many MiB of WAL by inserting rows of half a kB, and returns where whole segments of it begin and its
// end.
func (a *arena) fill(mib int) (start, end lsn.LSN) {
	a.primary.Exec(a.t, "SELECT pg_switch_wal()")
	start = lsn.SegSize(lsn.DefaultSegSize).Floor(a.primary.CurrentLSN(a.t))
	for end = start; end < start+lsn.LSN(mib)<<20; end = a.primary.CurrentLSN(a.t) {
		a.primary.Exec(a.t, "INSERT INTO filler SELECT g, repeat(md5(g::text), 15) FROM generate_series(1, 25000) g")
	}
	a.primary.Exec(a.t, "TRUNCATE filler")
	a.primary.Exec(a.t, "SELECT pg_switch_wal()")
	return start, start + lsn.LSN(mib)<<20
}
