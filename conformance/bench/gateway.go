package bench

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/internal/stamp"
)

// sinks is the number of standbys of a gateway.
const sinks = 3

// commitScript is a transaction of the measured commits.
const commitScript = "INSERT INTO commits (pad) VALUES ('a row of no great length, as applications write them');\n"

// gateway is a primary whose commits wait for one proxy, which waits for ANY 1 of three sinks.
type gateway struct {
	t       testing.TB
	in      *pgtest.Install
	primary *pgtest.Server
	proxy   *pgtest.Proxy
	dir     string
	data    string // of the proxy; "": it has not run

	running sync.WaitGroup
	streams []*sink
}

// newGateway starts a primary and the proxy, stopped.
func newGateway(t testing.TB) *gateway {
	g := &gateway{t: t, in: pgtest.Need(t, 15)}
	g.primary = g.in.Primary(t, pgtest.Settings("max_wal_size = 8GB", "checkpoint_timeout = 1h", "wal_keep_size = 4GB",
		"shared_buffers = 128MB", "autovacuum = off"), pgtest.Fsync())
	g.primary.Exec(t, "CREATE TABLE commits (id bigserial PRIMARY KEY, pad text)")
	g.dir = g.in.TempDir(t)
	if err := os.WriteFile(filepath.Join(g.dir, "commit.sql"), []byte(commitScript), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.part)
	return g
}

// run starts a proxy with a build tag, attaches the sinks to it and makes the primary wait for it. A proxy that ran
// before is stopped.
func (g *gateway) run(tag string) {
	g.attach(pgtest.ProxyOptions{Name: "one", DataDir: g.data, Tag: tag, Args: []string{"--pprof"}})
	g.data = g.proxy.DataDir
}

// attach starts a proxy, in whose file o.Config follows the rule, attaches the sinks to it and makes the primary wait
// for it. A proxy that ran before is stopped.
func (g *gateway) attach(o pgtest.ProxyOptions) {
	g.part()
	o.Upstream, o.Config = g.primary.Conninfo(), "synchronous_standby_names: 'ANY 1 (s1, s2, s3)'\n"+o.Config
	g.proxy = pgtest.StartProxy(g.t, o)
	pgtest.WaitStreaming(g.t, g.primary, 1)
	start := lsn.SegSize(lsn.DefaultSegSize).Floor(g.primary.CurrentLSN(g.t))
	conninfo := g.proxy.Conninfo("user=postgres", "dbname=postgres")
	for i := range sinks {
		s, err := connectSink(g.t.Context(), conninfo, fmt.Sprintf("s%d", i+1), start)
		if err != nil {
			g.t.Fatalf("connect a sink: %v", err)
		}
		g.streams = append(g.streams, s)
		g.running.Go(func() { _ = s.run() }) // it ends with the connection: who waits for it, waits for commits
	}
	pgtest.WaitFor(g.t, time.Minute, "the proxy to count three standbys", func() (bool, error) {
		_, body, err := g.proxy.Get(g.t.Context(), "/status")
		text := strings.ReplaceAll(string(body), `": "`, `":"`)
		return err == nil && strings.Count(text, `"standing":"counts"`) >= sinks, nil
	})
	g.primary.WaitsFor(g.t, o.Name)
}

// part ends the sinks and the proxy, for which nobody waits then.
func (g *gateway) part() {
	if g.proxy == nil {
		return
	}
	if g.proxy.Running() {
		g.primary.WaitsFor(g.t, "")
	}
	for _, s := range g.streams {
		s.close()
	}
	g.streams = nil
	g.running.Wait()
	if g.proxy.Running() {
		g.proxy.Terminate(g.t)
	}
	g.proxy = nil
}

// stamps returns the stamps of the proxy since it was asked last. The first answer is empty.
func (g *gateway) stamps() []stamp.Record {
	code, body, err := g.proxy.Get(g.t.Context(), "/debug/stamps")
	if err != nil || code != 200 {
		g.t.Fatalf("ask for stamps: %d, %v", code, err)
	}
	all, lost, err := stamp.ReadAll(bytes.NewReader(body))
	if err != nil || lost > 0 {
		g.t.Fatalf("%d stamps found no room, %v", lost, err)
	}
	return all
}

// commitLine finds in pg_waldump's output the size of a commit's record, and where it begins.
var commitLine = regexp.MustCompile(`len \(rec/tot\): +\d+/ *(\d+), tx: .*lsn: ([0-9A-F]+/[0-9A-F]+), .*desc: COMMIT `)

// commits returns the ends of the commit records in [from, to) of the primary's WAL.
func (g *gateway) commits(from, to lsn.LSN) (all []lsn.LSN) {
	out := g.in.RunTool(g.t, g.dir, "pg_waldump", "-p", filepath.Join(g.primary.Dir, "pg_wal"), "-r", "Transaction",
		"-s", from.String(), "-e", to.String())
	for _, m := range commitLine.FindAllStringSubmatch(out, -1) {
		size, err1 := strconv.Atoi(m[1])
		at, err2 := lsn.Parse(m[2])
		if err1 != nil || err2 != nil {
			g.t.Fatalf("output of pg_waldump: %q", m[0])
		}
		all = append(all, recordEnd(at, size))
	}
	return all
}

// recordEnd returns the end of a record of so many bytes that begins at a position.
func recordEnd(at lsn.LSN, size int) lsn.LSN {
	left := lsn.LSN(size)
	for {
		room := at.PageStart() + lsn.PageSize - at
		if left <= room {
			return (at + left + 7) &^ 7
		}
		left -= room
		if at += room; lsn.SegSize(lsn.DefaultSegSize).IsStart(at) {
			at += 40 // the long header of a segment's first page
		} else {
			at += 24
		}
	}
}

// cpu returns the time that the proxy's threads have run.
func (g *gateway) cpu() time.Duration {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", g.proxy.PID()))
	if err != nil || len(tasks) == 0 {
		g.t.Fatalf("the proxy's threads: %v", err)
	}
	var sum time.Duration
	for _, path := range tasks {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		ns, _ := strconv.ParseInt(strings.Fields(string(b))[0], 10, 64)
		sum += time.Duration(ns)
	}
	return sum
}
