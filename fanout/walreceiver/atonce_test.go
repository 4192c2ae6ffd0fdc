package walreceiver

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/handshake/upstream"
)

// pair returns both ends of a TCP connection.
func pair(t testing.TB) (here, there net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if here, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if there, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { here.Close(); there.Close() })
	return here, there
}

// mute is a rule that wakes nobody: only who brings news knows of it.
type mute struct{ *rule }

func (mute) Changed() <-chan struct{} { return nil }

func (m mute) set(g given) {
	m.mu.Lock()
	m.now = g
	m.mu.Unlock()
}

// reporting is a Receiver whose stream copies, with a rule that wakes nobody.
func reporting(t testing.TB, conn net.Conn, m *promises) (*Receiver, *reporter, mute) {
	t.Helper()
	q := mute{newRule(upTo(1))}
	rp := newTestReporter(m, q)
	rp.conn = Over(&upstream.Session{Conn: conn})
	r := &Receiver{}
	r.reporting.Store(rp)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- rp.run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	pgtest.WaitFor(t, time.Minute, "the first report", func() (bool, error) { return rp.live.reported().Flush == 1, nil })
	return r, rp, q
}

// TestReportAtOnce: who calls has reported when the call returns, without garbage; nobody else has to run for it.
func TestReportAtOnce(t *testing.T) {
	here, there := pair(t)
	go io.Copy(io.Discard, there)
	r, rp, q := reporting(t, here, new(promises))
	position := lsn.LSN(1)
	n := testing.AllocsPerRun(1000, func() {
		position += 8
		q.set(upTo(position))
		r.ReportNow()
		if got := rp.live.reported().Flush; got != position {
			t.Fatalf("reported %s of %s", got, position)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
	reports := rp.live.totals.reports.Load()
	if r.ReportNow(); rp.live.totals.reports.Load() != reports {
		t.Error("what is not news was reported")
	}
}

// TestReportAtOnceWaitsForNothing: what waits for a disk, a socket or the reporter is left to the reporter.
func TestReportAtOnceWaitsForNothing(t *testing.T) {
	t.Run("the disk", func(t *testing.T) {
		here, there := pair(t)
		go io.Copy(io.Discard, there)
		m := new(promises)
		r, rp, q := reporting(t, here, m)
		if err := rp.promise.narrow(); err != nil || rp.promise.bound != 1 { // as after a pause
			t.Fatal(err)
		}
		rp.mu.Lock()
		q.set(upTo(2))
		rp.mu.Unlock()
		if rp.atOnce(time.Now()) {
			t.Error("the promise needs an fsync, and the caller has done it")
		}
		if got := rp.live.reported().Flush; got != 1 {
			t.Errorf("%s was reported before it was promised", got)
		}
		r.ReportNow()
		pgtest.WaitFor(t, time.Minute, "the reporter", func() (bool, error) { return rp.live.reported().Flush == 2, nil })
		if rp.promise.bound != walstore.PromisedAll {
			t.Errorf("promised %s", rp.promise.bound)
		}
	})
	t.Run("the socket", func(t *testing.T) {
		here, there := pair(t)
		r, rp, q := reporting(t, here, new(promises))
		fill(t, here)
		q.set(upTo(2))
		began := time.Now()
		if rp.atOnce(time.Now()) || time.Since(began) > rp.writeFor/2 {
			t.Errorf("waited %s for a socket that is full", time.Since(began))
		}
		if got := rp.live.reported().Flush; got != 1 {
			t.Errorf("%s is said to be reported, and is not", got)
		}
		if rp.atOnce(time.Now()) {
			t.Error("another report overtakes the one that is left")
		}
		go io.Copy(io.Discard, there)
		r.ReportNow()
		pgtest.WaitFor(t, time.Minute, "the reporter", func() (bool, error) { return rp.live.reported().Flush == 2, nil })
	})
	t.Run("the reporter", func(t *testing.T) {
		here, there := pair(t)
		go io.Copy(io.Discard, there)
		r, rp, q := reporting(t, here, new(promises))
		rp.mu.Lock()
		q.set(upTo(2))
		r.ReportNow()
		rp.mu.Unlock()
		pgtest.WaitFor(t, time.Minute, "the reporter", func() (bool, error) { return rp.live.reported().Flush == 2, nil })
	})
	t.Run("no stream", func(t *testing.T) {
		new(Receiver).ReportNow()
		r := &Receiver{}
		r.reporting.Store(newTestReporter(new(promises), newRule(upTo(2)))) // over, or about to begin
		if r.ReportNow(); r.reporting.Load().live.reported().Flush != 0 {
			t.Error("reported, and nobody copies")
		}
	})
}

// fill writes until a socket takes no more.
func fill(t *testing.T, conn net.Conn) {
	t.Helper()
	block := make([]byte, 64<<10)
	for {
		if err := conn.SetWriteDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write(block); err != nil {
			break
		}
	}
	raw, err := conn.(*net.TCPConn).SyscallConn() // the last few bytes, for which nobody who waits is woken
	if err == nil {
		err = raw.Control(func(fd uintptr) {
			for n := 1; n > 0; {
				n, _ = unix.Write(int(fd), block[:1])
			}
		})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestRestOfAReport: what the socket has not taken comes first, whoever writes next, and whole.
func TestRestOfAReport(t *testing.T) {
	for _, next := range []string{"Finish", "Leave"} {
		here, there := pair(t)
		c := Over(&upstream.Session{Conn: here})
		if all, err := c.Offer([]byte("report"), time.Minute); !all || err != nil {
			t.Fatalf("%v, %v", all, err)
		}
		c.rest = c.buf[3:] // as if the socket had taken no more of it
		want := "d\x00\x00\x00\x0areport" + "\x00\x0areport"
		if next == "Finish" {
			if err := c.Finish(time.Minute); err != nil {
				t.Fatal(err)
			}
		} else {
			go c.Leave()
			want += "c\x00\x00\x00\x04X\x00\x00\x00\x04"
		}
		got := make([]byte, len(want))
		if _, err := io.ReadFull(there, got); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", next, got, err)
		}
		there.Close()
	}
}

// TestReportsOfMany: many report at once, and the reporter beside them. The newest position is told, none goes back, and
// no two messages mix.
func TestReportsOfMany(t *testing.T) {
	here, there := pair(t)
	r, rp, q := reporting(t, here, new(promises))
	var told []lsn.LSN
	read := make(chan error, 1)
	const last = 4000
	go func() {
		var frame [5 + 34]byte
		for {
			if _, err := io.ReadFull(there, frame[:]); err != nil {
				read <- err
				return
			}
			at := lsn.LSN(0)
			for _, b := range frame[5+1 : 5+1+8] {
				at = at<<8 | lsn.LSN(b)
			}
			if told = append(told, at); frame[0] != 'd' || frame[5] != 'r' || at == last {
				read <- nil
				return
			}
		}
	}()
	var many sync.WaitGroup
	var next sync.Mutex
	position := lsn.LSN(1)
	for range 8 {
		many.Go(func() {
			for {
				next.Lock()
				if position == last {
					next.Unlock()
					return
				}
				position++
				q.set(upTo(position))
				next.Unlock()
				r.ReportNow()
				if rp.live.totals.reports.Load()%7 == 0 {
					rp.live.wake()
				}
			}
		})
	}
	many.Wait()
	if err := <-read; err != nil {
		t.Fatal(err)
	}
	for i := 1; i < len(told); i++ {
		if told[i] < told[i-1] || told[i] > last {
			t.Fatalf("%s after %s", told[i], told[i-1])
		}
	}
}

// BenchmarkReportAtOnce is the way from a quorum that moved to the written report on one goroutine; see
// BenchmarkReport.
func BenchmarkReportAtOnce(b *testing.B) {
	for _, by := range []string{"caller", "reporter"} {
		b.Run(by, func(b *testing.B) {
			here, there := pair(b)
			r, rp, q := reporting(b, here, new(promises))
			buf := make([]byte, 64)
			if _, err := io.ReadAtLeast(there, buf, 39); err != nil {
				b.Fatal(err)
			}
			for i := 0; b.Loop(); i++ {
				q.set(upTo(lsn.LSN(2 + i)))
				if by == "caller" {
					r.ReportNow()
				} else {
					rp.live.wake()
				}
				if _, err := io.ReadAtLeast(there, buf, 39); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
