package proxy_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/handshake"
	"github.com/replproxy/replproxy/proxy"
	"github.com/replproxy/replproxy/proxy/relay"
)

// refusedFor returns the number of connections that were refused for a reason.
func (w *world) refusedFor(why proxy.Reason) int64 { return w.Counts().RefusedBy[why] }

// TestWalsendersAreCountedApart: a crowd of applications locks no standby out, nor the other way round.
func TestWalsendersAreCountedApart(t *testing.T) {
	w := start(t, proxy.Options{Upstream: scripted(t, greeting), Limits: proxy.Limits{MaxConnections: 1},
		Physical: handler(func(_ context.Context, r *handshake.Request, s *proxy.Session) error {
			s.SetState(proxy.StateActive)
			_, err := r.Conn.Read(make([]byte, 1))
			return err
		})})
	dial(t, w.tcp(), hello).expect('Z')
	standby := startup(v30, "user", "u", "replication", "1")
	dial(t, w.tcp(), standby)
	pgtest.WaitFor(t, patience, "two sessions", func() (bool, error) { return len(w.Sessions()) == 2, nil })
	for _, packet := range [][]byte{hello, standby} {
		dial(t, w.tcp(), packet).expectError(pgerror.TooManyConnections)
	}
	if n := w.refusedFor(proxy.ReasonConnections); n != 2 {
		t.Errorf("%d refusals counted", n)
	}
	w.SetLimits(proxy.Limits{MaxConnections: 2})
	dial(t, w.tcp(), hello).expect('Z')
}

// TestLoginsInAll: unauthenticated clients hold no more connections to the primary than limits.max_logins,
// whatever their number; the others wait, and each gets its turn.
func TestLoginsInAll(t *testing.T) {
	const limit, crowd = 3, 30
	s := pgtest.Need(t, 15).Primary(t, pgtest.SCRAM("secret"))
	w := start(t, proxy.Options{Upstream: tcpTo(s), Limits: proxy.Limits{MaxLogins: limit}})
	for range crowd {
		dial(t, w.tcp(), startup(v30, "user", "postgres", "database", "postgres"))
	}
	pgtest.WaitFor(t, patience, "the crowd", func() (bool, error) {
		l := w.Counts().Logins
		if l.Running > limit {
			return false, fmt.Errorf("%d log-ins run", l.Running)
		}
		return l.Waiting >= crowd-limit, nil
	})
	count := "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND client_addr IS NOT NULL"
	if rows, err := pgtest.Query(t.Context(), s.SocketConninfo(), count); err != nil || rows[0][0] > "3" {
		t.Errorf("the primary has %v connections over TCP: %v", rows, err)
	}
	// Somebody honest from elsewhere waits for one turn, which those who say nothing lose after a moment.
	began := time.Now()
	rows, err := pgtest.Query(t.Context(), w.conninfo("host="+w.host, "password=secret"), "SELECT 1")
	if err != nil || rows[0][0] != "1" {
		t.Fatalf("%v, %v", rows, err)
	}
	t.Logf("served after %v", time.Since(began).Round(time.Millisecond))
}

// TestLoginIsRevoked: who thinks about a question while others wait is told so.
func TestLoginIsRevoked(t *testing.T) {
	s := pgtest.Need(t, 15).Primary(t, pgtest.SCRAM("secret"))
	w := start(t, proxy.Options{Upstream: tcpTo(s), Limits: proxy.Limits{MaxLogins: 1}})
	packet := startup(v30, "user", "postgres", "database", "postgres")
	silent := dial(t, w.tcp(), packet)
	silent.expect('R')
	waits := dial(t, w.tcp(), packet)
	e := silent.expectError(pgerror.QueryCanceled)
	if e.Message != "canceling authentication due to timeout" || e.Detail == "" {
		t.Errorf("%+v", e)
	}
	waits.expect('R')
}

// TestLoginTurnNeverComes: the wait is bounded by authentication_timeout, here behind one that is still dialling.
func TestLoginTurnNeverComes(t *testing.T) {
	blocked := proxy.DialerFunc(func(ctx context.Context, _ time.Duration) (*relay.Upstream, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	})
	w := start(t, proxy.Options{Upstream: blocked, Limits: proxy.Limits{MaxLogins: 1}, AuthenticationTimeout: time.Second})
	dial(t, w.tcp(), hello)
	pgtest.WaitFor(t, patience, "a log-in", func() (bool, error) { return w.Counts().Logins.Running == 1, nil })
	e := dial(t, w.tcp(), hello).expectError(pgerror.TooManyConnections)
	if e.Message != "sorry, too many clients already" || w.refusedFor(proxy.ReasonLogins) != 1 {
		t.Errorf("%+v, %v", e, w.Counts())
	}
}

// TestKnownPassesStrangers: whoever logged in before waits for one or two of those who say nothing, not for each
// address of theirs.
func TestKnownPassesStrangers(t *testing.T) {
	const strangers = 10
	s := pgtest.Need(t, 15).Primary(t, pgtest.SCRAM("secret"))
	w := start(t, proxy.Options{Upstream: tcpTo(s), Limits: proxy.Limits{MaxLogins: 1}})
	logIn := func() {
		if _, err := pgtest.Query(t.Context(), w.conninfo("password=secret"), "SELECT 1"); err != nil {
			t.Fatal(err)
		}
	}
	logIn()
	for i := range strangers {
		dialFrom(t, fmt.Sprintf("127.0.1.%d", i+1), w.tcp(), startup(v30, "user", "postgres"))
	}
	pgtest.WaitFor(t, patience, "the strangers", func() (bool, error) { return w.Counts().Logins.Waiting == strangers-1, nil })
	logIn()
	if n := w.Counts().Logins.Waiting; n < strangers-4 {
		t.Errorf("only %d of %d strangers wait still", n, strangers)
	}
}

// TestSilentLogInsGiveWay: clients that say nothing behind their startup packet keep nobody out who logs in, and who
// has logged in is never ended for others.
func TestSilentLogInsGiveWay(t *testing.T) {
	const limit = 4
	s := pgtest.Need(t, 15).Primary(t, pgtest.SCRAM("secret"))
	w := start(t, proxy.Options{Upstream: tcpTo(s), Limits: proxy.Limits{MaxConnections: limit}})
	packet := startup(v30, "user", "postgres", "database", "postgres")
	var silent []*client
	for _, from := range []string{"127.0.1.2", "127.0.1.1", "127.0.1.1", "127.0.1.1"} {
		c := dialFrom(t, from, w.tcp(), packet)
		c.expect('R')
		silent = append(silent, c)
	}
	logIn := func() error {
		c, err := pgconn.Connect(t.Context(), w.conninfo("password=secret"))
		if err == nil {
			t.Cleanup(func() { c.Close(context.Background()) })
		}
		return err
	}
	if err := logIn(); err != nil {
		t.Fatal(err)
	}
	if e := silent[1].expectError(pgerror.TooManyConnections); e.Detail == "" {
		t.Errorf("%+v", e)
	}
	for range limit - 1 {
		if err := logIn(); err != nil {
			t.Fatal(err)
		}
	}
	silent[0].expectError(pgerror.TooManyConnections)
	if err := logIn(); sqlState(err) != "53300" || len(w.Sessions()) != limit {
		t.Errorf("%v, %d sessions", err, len(w.Sessions()))
	}
	if n := w.refusedFor(proxy.ReasonCrowded); n != limit {
		t.Errorf("%d refusals counted", n)
	}
}
