package physical_test

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/fanout/walreceiver"
)

// R13: a hundred standbys come back at once to a primary with five walsenders. All get in, and none
// of them ever sees that there are only five.
func TestHundredStandbysReturnAtOnce(t *testing.T) {
	const standbys = 100
	primary := pgtest.Need(t, 15).Primary(t, pgtest.SCRAM("secret"), pgtest.Settings("max_wal_senders = 5"))
	w := newWorld(t, primary, worldOptions{})
	at := primary.CurrentLSN(t).String()
	began := time.Now()
	sessions := make([]*script, standbys)
	var wg sync.WaitGroup
	for i := range sessions {
		wg.Go(func() {
			s, err := tryConnect(t, w.conninfo(), fmt.Sprintf("application_name=standby%d", i))
			if err != nil {
				t.Errorf("standby %d: %v", i, err)
				return
			}
			sessions[i] = s
			for _, c := range []string{"SHOW data_directory_mode", "IDENTIFY_SYSTEM", "START_REPLICATION " + at} {
				if out := s.query(c); strings.Contains(out, "E ERROR") || strings.Contains(out, "E FATAL") {
					t.Errorf("standby %d: %s: %s", i, c, out)
				}
			}
		})
	}
	wg.Wait()
	t.Logf("all in after %v", time.Since(began))
	if t.Failed() {
		return
	}
	pgtest.WaitFor(t, readTimeout, "all to be attached", func() (bool, error) {
		return len(w.hub.Standbys()) == standbys, nil
	})
	pgtest.WaitStreaming(t, primary, 1)
	pgtest.WaitFor(t, readTimeout, "the gate to be free", func() (bool, error) {
		s := w.gate.Status()
		return s.Running == 0 && s.Waiting == 0, nil
	})
	primary.Exec(t, "CREATE TABLE arrives AS SELECT 1")
	end := primary.CurrentLSN(t)
	for i, s := range sessions {
		if !strings.HasPrefix(s.copyDataUntil(end), "ok") {
			t.Fatalf("standby %d did not get the WAL up to %s", i, end)
		}
	}
}

// R13: a thousand walsender start-ups that never answer. The walreceiver, which starts in their midst,
// streams as if they were not there.
func TestSilentStartupsDoNotDelayTheWalreceiver(t *testing.T) {
	const silent = 1000
	primary := pgtest.Need(t, 15).Primary(t, pgtest.SCRAM("secret"), pgtest.Settings("max_wal_senders = 2"))
	w := newWorld(t, primary, worldOptions{noReceiver: true})
	conns := make([]net.Conn, silent)
	for i := range conns {
		conns[i] = startup(t, w.addr.String())
	}
	pgtest.WaitFor(t, readTimeout, "all to wait at the gate", func() (bool, error) {
		s := w.gate.Status() // while this takes more than answerDue the first are shown out
		return s.Running == 1 && s.Waiting > silent/2, nil
	})
	began := time.Now()
	w.startReceiver()
	w.waitStreaming(t)
	took := time.Since(began)
	t.Logf("the walreceiver streams after %v", took)
	if took > readTimeout/2 { // what those at the gate are given is far more: answerDue each
		t.Errorf("the walreceiver streams after %v", took)
	}
	if n := w.receiver.Status().Reconnects; n != 0 {
		t.Errorf("%d attempts of the walreceiver failed: %s", n, w.receiver.Status().LastError)
	}
	if n := strings.Count(primary.Log(), "exceeds max_wal_senders"); n != 0 {
		t.Errorf("the primary was full %d times", n)
	}
	if s := w.receiver.Status(); s.State != walreceiver.Streaming {
		t.Errorf("state %s", s.State)
	}
	for _, c := range conns {
		c.Close()
	}
	pgtest.WaitFor(t, readTimeout, "the gate to be free", func() (bool, error) {
		s := w.gate.Status()
		return s.Running == 0 && s.Waiting == 0, nil
	})
}

// A standby that was here before returns among silent walsenders of many addresses: it waits for one or two of them.
func TestKnownStandbyPassesStrangers(t *testing.T) {
	const strangers = 10
	primary := pgtest.Need(t, 15).Primary(t, pgtest.SCRAM("secret"))
	w := newWorld(t, primary, worldOptions{maxLogins: 1})
	logIn := func() {
		s, err := tryConnect(t, w.conninfo())
		must(t, err)
		s.send(&pgproto3.Terminate{})
	}
	logIn()
	from := net.Dialer{}
	for i := range strangers {
		from.LocalAddr = &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(i+1))}
		conn, err := from.Dial("tcp", w.addr.String())
		must(t, err)
		defer conn.Close()
		sayHello(t, conn)
	}
	pgtest.WaitFor(t, readTimeout, "the strangers", func() (bool, error) { return w.gate.Status().Waiting >= strangers-1, nil })
	logIn()
	if n := w.gate.Status().Waiting; n < strangers-4 {
		t.Errorf("only %d of %d strangers wait still", n, strangers)
	}
}

// What the walreceiver needs most it has when it loses its connection while others log in.
func TestWalreceiverReturnsBeforeOthers(t *testing.T) {
	primary := pgtest.Need(t, 15).Primary(t, pgtest.SCRAM("secret"), pgtest.Settings("max_wal_senders = 2"))
	w := newWorld(t, primary, worldOptions{})
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if s, err := tryConnect(t, w.conninfo()); err == nil {
					s.send(&pgproto3.Terminate{})
				}
			}
		})
	}
	for i := 1; i <= 5; i++ {
		primary.Exec(t, "SELECT pg_terminate_backend(pid) FROM pg_stat_replication WHERE application_name = 'proxy_a'")
		pgtest.WaitFor(t, readTimeout, "the walreceiver to return", func() (bool, error) {
			s := w.receiver.Status()
			return s.Reconnects >= i && s.State == walreceiver.Streaming, nil
		})
	}
	close(stop)
	wg.Wait()
	if s := w.receiver.Status(); s.Reconnects > 15 {
		t.Errorf("%d attempts for 5 losses: %s", s.Reconnects, s.LastError)
	}
}

// Ruling R31: a refusal that has nothing to do with our own log-ins is passed on as the primary says it, at once. That
// holds also while the walreceiver is refused.
func TestRefusalThatIsNotOurs(t *testing.T) {
	t.Parallel()
	for _, max := range []string{"0", "1"} {
		primary := pgtest.Need(t, 15).Primary(t, pgtest.SCRAM("secret"), pgtest.Settings("max_wal_senders = "+max, "wal_level = replica"))
		if max == "1" {
			other, err := tryConnect(t, primary.Conninfo()) // somebody else's
			must(t, err)
			defer other.send(&pgproto3.Terminate{})
		}
		_, err := tryConnect(t, primary.Conninfo())
		direct := fmt.Sprint(err)
		direct = direct[strings.Index(direct, "FATAL"):]
		w := newWorld(t, primary, worldOptions{noReceiver: true})
		w.startReceiver()
		pgtest.WaitFor(t, readTimeout, "the walreceiver to be refused", func() (bool, error) {
			return w.receiver.Status().LastError != "", nil
		})
		began := time.Now()
		_, err = tryConnect(t, w.conninfo())
		if err == nil || !strings.Contains(err.Error(), direct) {
			t.Errorf("max_wal_senders %s: %v, direct: %s", max, err, direct)
		}
		if took := time.Since(began); took > readTimeout/2 { // it was a minute
			t.Errorf("max_wal_senders %s: after %s", max, took)
		}
	}
}

// A walsender's client that leaves while it waits for its turn leaves the queue, also behind bytes that it sent ahead.
// One that may have left goes after those that are there.
func TestGoneWalsendersLeaveTheQueue(t *testing.T) {
	t.Parallel()
	primary := pgtest.Need(t, 15).Primary(t, pgtest.SCRAM("secret"))
	w := newWorld(t, primary, worldOptions{maxLogins: 1})
	holder := startup(t, w.addr.String())
	defer holder.Close()
	waiting := func(n int) {
		t.Helper()
		pgtest.WaitFor(t, readTimeout, fmt.Sprint(n, " to wait"), func() (bool, error) {
			s := w.gate.Status()
			return s.Running == 1 && s.Waiting == n, nil
		})
	}
	waiting(0)
	for _, ahead := range []string{"", "p\x00\x00\x00\x07pw\x00"} {
		for _, reset := range []bool{false, true} {
			if ahead != "" && !reset {
				continue // it may have said its last
			}
			c := startup(t, w.addr.String())
			waiting(1)
			_, err := c.Write([]byte(ahead))
			must(t, err)
			if reset {
				must(t, c.(*net.TCPConn).SetLinger(0))
			}
			c.Close()
			waiting(0)
		}
	}
}
