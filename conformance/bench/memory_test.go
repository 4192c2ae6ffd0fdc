package bench

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// idleStandbys are those of BenchmarkMemory.
const idleStandbys = 1000

// memory holds the sizes of a proxy, in bytes, and its goroutines.
type memory struct {
	resident, heap, live, stacks int64 // heap: with what is not collected yet
	goroutines                   int
}

var (
	heapLine      = regexp.MustCompile(`(?m)^# HeapInuse = (\d+)`)
	liveLine      = regexp.MustCompile(`(?m)^# HeapAlloc = (\d+)`)
	stackLine     = regexp.MustCompile(`(?m)^# Stack = (\d+) /`)
	goroutineLine = regexp.MustCompile(`goroutine profile: total (\d+)`)
)

// memoryOf asks a proxy that runs with --pprof.
func memoryOf(t testing.TB, p *pgtest.Proxy) (m memory) {
	m.resident = residentOf(p.PID())
	number := func(path string, re *regexp.Regexp) int64 {
		code, body, err := p.Get(t.Context(), path)
		found := re.FindSubmatch(body)
		if err != nil || code != 200 || found == nil {
			t.Fatalf("GET %s: %d, %v", path, code, err)
		}
		n, _ := strconv.ParseInt(string(found[1]), 10, 64)
		return n
	}
	m.heap = number("/debug/pprof/heap?debug=1", heapLine)
	m.live = number("/debug/pprof/heap?debug=1&gc=1", liveLine)
	m.stacks = number("/debug/pprof/heap?debug=1", stackLine)
	m.goroutines = int(number("/debug/pprof/goroutine?debug=1", goroutineLine))
	return m
}

// BenchmarkMemory: a proxy's memory as it starts, with idle standbys, which answer keepalives, and after a catch-up.
func BenchmarkMemory(b *testing.B) {
	a := newArena(b)
	a.primary.Set(b, "wal_sender_timeout = 4s") // so that there are keepalives
	a.primary.Reload()
	t := a.startProfiled(ours)
	n := idleStandbys
	if scale() < 1024 {
		n /= 5
	}
	var out strings.Builder
	heading(&out, "", "resident", "heap", "live heap", "stacks", "goroutines")
	kB := func(n int64) string { return fmt.Sprintf("%.0f", float64(n)/1024) }
	note := func(when string) memory {
		m := memoryOf(b, t.proxy)
		row(&out, when, kB(m.resident), kB(m.heap), kB(m.live), kB(m.stacks), strconv.Itoa(m.goroutines))
		return m
	}
	started := note("started")
	c := a.gather(t.conninfo(), n, lsn.SegSize(lsn.DefaultSegSize).Floor(a.primary.CurrentLSN(b)))
	pause(time.Duration(seconds(20)) * time.Second) // keepalives come and go
	idle := note(fmt.Sprintf("%d idle standbys", n))
	c.part()
	pgtest.WaitFor(b, time.Minute, "the sessions to end", func() (bool, error) {
		return memoryOf(b, t.proxy).goroutines < started.goroutines+n/10, nil
	})
	note("after they have left")
	start, end := a.fill(scale())
	a.alone(t)
	a.receive(t.conninfo(), 16, start, min(end, start+256<<20))
	note("after a catch-up by 16")
	pause(time.Duration(seconds(20)) * time.Second)
	note("at rest after it")
	each := func(f func(memory) int64) string {
		return fmt.Sprintf("%.1f", float64(f(idle)-f(started))/1024/float64(n))
	}
	row(&out, "each idle standby", each(func(m memory) int64 { return m.resident }), each(func(m memory) int64 { return m.heap }),
		each(func(m memory) int64 { return m.live }), each(func(m memory) int64 { return m.stacks }),
		fmt.Sprintf("%.1f", float64(idle.goroutines-started.goroutines)/float64(n)))
	fmt.Printf("\nMemory of one proxy, kB\n\n%s\nThe heap of %d idle standbys\n\n%s", out.String(), n, a.heapOf(n))
}

// TestIdleStandbyIsSmall: what one that has nothing to do holds of a proxy is a bounded part of a MB.
func TestIdleStandbyIsSmall(t *testing.T) {
	const standbys, most = 100, 36 << 10 // bytes of heap: 25 kB, and 48 with the buffers of before
	a := newArena(t)
	x := a.startProfiled(ours)
	a.fill(16) // the store has its blocks in memory then
	a.alone(x)
	before := memoryOf(t, x.proxy)
	c := a.gather(x.conninfo(), standbys, lsn.SegSize(lsn.DefaultSegSize).Floor(a.primary.CurrentLSN(t)))
	defer c.part()
	pgtest.WaitFor(t, time.Minute, "the log-ins to be forgotten", func() (bool, error) {
		m := memoryOf(t, x.proxy)
		each := (m.live - before.live) / standbys
		t.Logf("%d bytes of heap each, stacks %d", each, (m.stacks-before.stacks)/standbys)
		return m.goroutines >= before.goroutines+standbys && each <= most, nil
	})
}

// startProfiled starts a proxy that tells of its memory.
func (a *arena) startProfiled(name string, env ...string) *target {
	p := pgtest.StartProxy(a.t, pgtest.ProxyOptions{
		Name: name, Upstream: a.primary.Conninfo("dbname=postgres"), Config: proxyConfig(name, ""),
		Args: []string{"--pprof"}, Env: env,
	})
	t := &target{name: name, port: p.Port, pid: p.PID(), stream: name, proxy: p}
	a.targets = append(a.targets, t)
	return t
}

// heapOf returns the profile of the heap that n idle standbys take, of a proxy that notes each 4 kB.
func (a *arena) heapOf(n int) string {
	t := a.startProfiled("profiled", "GODEBUG=memprofilerate=4096")
	a.alone(t)
	dir := a.t.TempDir()
	take := func(name string) string {
		code, body, err := t.proxy.Get(a.t.Context(), "/debug/pprof/heap?gc=1")
		path := filepath.Join(dir, name)
		if err == nil {
			err = os.WriteFile(path, body, 0o600)
		}
		if err != nil || code != 200 {
			a.t.Fatalf("profile the proxy: %d, %v", code, err)
		}
		return path
	}
	before := take("before")
	c := a.gather(t.conninfo(), n, lsn.SegSize(lsn.DefaultSegSize).Floor(a.primary.CurrentLSN(a.t)))
	defer c.part()
	pause(time.Duration(seconds(5)) * time.Second)
	after := take("after")
	out, err := exec.Command("go", "tool", "pprof", "-top", "-nodecount=30", "-sample_index=inuse_space", "-base", before, after).Output()
	if err != nil {
		a.t.Errorf("go tool pprof: %v", err)
	}
	return string(out)
}
