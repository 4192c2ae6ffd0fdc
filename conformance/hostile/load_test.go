package hostile

import (
	"bufio"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// bench is pgbench through the proxy. Its load is below the power of the machine: the test asks whether honest clients
// are served, not who gets the processors that the attackers use too.
type bench struct {
	cmd     *exec.Cmd
	seconds chan float64  // transactions of each second that has passed
	ended   chan struct{} // closed when it has
	why     string        // valid then
}

// startBench runs pgbench with that many transactions per second.
func (w *world) startBench(t *testing.T, rate int) *bench {
	t.Helper()
	b := &bench{seconds: make(chan float64, 1<<16), ended: make(chan struct{})}
	b.cmd = w.in.Tool(t, w.in.TempDir(t), "pgbench", "-n", "-c", "4", "-P", "1", "-T", "86400", "-R", strconv.Itoa(rate),
		"-h", "127.0.0.1", "-p", strconv.Itoa(w.proxy.Port), "-U", "postgres", "postgres")
	b.cmd.Env = append(b.cmd.Env, "PGPASSWORD="+password)
	out, err := b.cmd.StderrPipe()
	if err == nil {
		err = b.cmd.Start()
	}
	if err != nil {
		t.Fatalf("start pgbench: %v", err)
	}
	go func() {
		defer close(b.ended)
		var other []string
		last := 0.0
		for sc := bufio.NewScanner(out); sc.Scan(); {
			f := strings.Fields(sc.Text()) // progress: 1.0 s, 1234.5 tps, lat …
			if len(f) < 5 || f[0] != "progress:" {
				other = append(other, sc.Text())
				continue
			}
			at, err1 := strconv.ParseFloat(f[1], 64)
			tps, err2 := strconv.ParseFloat(f[3], 64)
			if err1 != nil || err2 != nil {
				other = append(other, sc.Text())
				continue
			}
			b.seconds <- tps * (at - last)
			last = at
		}
		b.why = fmt.Sprintf("%v: %s", b.cmd.Wait(), strings.Join(other, "\n"))
	}()
	t.Cleanup(func() {
		_ = b.cmd.Process.Kill()
		<-b.ended
	})
	return b
}

// second waits for the end of the next second and gives its transactions.
func (b *bench) second(t *testing.T) float64 {
	t.Helper()
	select {
	case n := <-b.seconds:
		return n
	case <-b.ended:
		t.Fatalf("pgbench ended: %s", b.why)
	case <-time.After(time.Minute):
		t.Fatal("pgbench is stuck")
	}
	return 0
}

// skip drops the seconds that have passed already.
func (b *bench) skip() {
	for len(b.seconds) > 0 {
		<-b.seconds
	}
}

func (b *bench) stop(t *testing.T) {
	t.Helper()
	select {
	case <-b.ended:
		t.Fatalf("pgbench ended before it was asked to: %s", b.why)
	default:
	}
	_ = b.cmd.Process.Kill()
	<-b.ended
}

// window counts the work of honest clients in some time.
type window struct {
	seconds      float64
	transactions float64
	wal          float64 // bytes that the standbys have flushed, in all
	slowest      float64 // of the one that flushed least
}

func (w window) String() string {
	return fmt.Sprintf("%.0f tps and %.2f MB/s of WAL to the standbys", w.transactions/w.seconds, w.wal/w.seconds/(1<<20))
}

func (w *window) add(b window) {
	w.seconds += b.seconds
	w.transactions += b.transactions
	w.wal += b.wal
	w.slowest += b.slowest
}

// measure is a window of that many seconds.
func (w *world) measure(t *testing.T, b *bench, seconds int) (m window) {
	t.Helper()
	b.skip()
	b.second(t)
	before, began := w.flushed(t), time.Now()
	for range seconds {
		m.transactions += b.second(t)
	}
	after := w.flushed(t)
	m.seconds = time.Since(began).Seconds()
	m.slowest = -1
	for name, at := range after {
		got := float64(at - before[name])
		m.wal += got
		if m.slowest < 0 || got < m.slowest {
			m.slowest = got
		}
	}
	return m
}

// flushed returns the flush position of each standby, by name.
func (w *world) flushed(t *testing.T) map[string]lsn.LSN {
	t.Helper()
	at := map[string]lsn.LSN{}
	pgtest.WaitFor(t, time.Minute, "all standbys in the status", func() (bool, error) {
		clear(at)
		for _, row := range w.status(t).Standbys {
			if strings.HasPrefix(row.ApplicationName, "standby_") {
				at[row.ApplicationName] = row.Flush
			}
		}
		return len(at) == standbys, nil
	})
	return at
}
