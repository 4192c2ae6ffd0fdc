package conformance

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/replproxy/replproxy/conformance/pgtest"
)

// walSenderTimeout is PostgreSQL's default of wal_sender_timeout: how long a primary waits for a walsender's
// standby that is silent, when it stops for example. authentication_timeout is the same.
const walSenderTimeout = time.Minute

// The primary restarts and crashes under its proxy: it stops without waiting for anybody, standbys stay
// connected to the proxy meanwhile, and all go on when it is back.
func TestPrimaryRestartsAndCrashes(t *testing.T) {
	pgtest.ForSomeMajors(t, func(t *testing.T, in *pgtest.Install) {
		t.Parallel()
		s := newSite(t, in)
		standby := s.standby(t, "standby", "")
		s.verify(t, standby)
		session := attached(t, s.proxy, "standby")[0].PID
		for _, stop := range []func(){
			func() { s.primary.Stop(t, pgtest.Fast) },
			func() { s.primary.Kill9(t) },
			func() { s.primary.Stop(t, pgtest.Immediate) },
		} {
			load := startLoad(t, s.primary)
			load.waitCommits(t, 50)
			load.stopLoad(t)
			began := time.Now()
			stop()
			if took := time.Since(began); took > walSenderTimeout/2 {
				t.Errorf("the primary took %v to stop", took)
			}
			s.primary.Start(t)
			s.primary.Exec(t, "INSERT INTO load (pad) VALUES ('back')")
			s.verify(t, standby)
		}
		if rows := attached(t, s.proxy, "standby"); rows[0].PID != session {
			t.Errorf("the standby's session did not survive: %+v, was pid %d", rows, session)
		}
	}, 14, 15, 18)
}

// A hundred standbys come back at once, although the primary has five walsenders to give (R13), and
// leave the primary with one.
func TestHundredWalsendersReturn(t *testing.T) {
	in := pgtest.Usual(t)
	s := newSite(t, in, pgtest.Settings("max_wal_senders = 5"), pgtest.SCRAM("secret"))
	s.primary.Exec(t, loadTable)
	s.verify(t)
	start := status(t, s.proxy).Store.Oldest
	const walsenders = 100
	began := time.Now()
	var all sync.WaitGroup
	failures := make(chan error, walsenders)
	ctx, cancel := context.WithTimeout(t.Context(), pgtest.ReplayTimeout)
	defer cancel()
	for range walsenders {
		all.Go(func() {
			if err := receiveSome(ctx, s.proxy.Conninfo("replication=true"), start.String()); err != nil {
				failures <- err
			}
		})
	}
	all.Wait()
	close(failures)
	for err := range failures {
		t.Error(err)
	}
	t.Logf("%d walsenders streamed within %v", walsenders, time.Since(began))
	s.verify(t)
}

// receiveSome is a walreceiver's first steps: log in, IDENTIFY_SYSTEM, START_REPLICATION, some WAL.
func receiveSome(ctx context.Context, conninfo, start string) error {
	conn, err := pgtest.Dial(ctx, conninfo)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := pgtest.QueryConn(ctx, conn, "IDENTIFY_SYSTEM"); err != nil {
		return err
	}
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.Conn().SetDeadline(deadline); err != nil {
			return err
		}
	}
	frontend := conn.Frontend()
	frontend.Send(&pgproto3.Query{String: "START_REPLICATION " + start + " TIMELINE 1"})
	if err := frontend.Flush(); err != nil {
		return err
	}
	for {
		message, err := frontend.Receive()
		if err != nil {
			return err
		}
		switch m := message.(type) {
		case *pgproto3.ErrorResponse:
			return fmt.Errorf("START_REPLICATION: %s %s", m.Code, m.Message)
		case *pgproto3.CopyData:
			if m.Data[0] == 'w' {
				return nil
			}
		}
	}
}

// A thousand clients that begin a walsender's log-in and never finish it do not keep the proxy from its
// own stream, nor a standby from its log-in (R13).
func TestUnfinishedLogins(t *testing.T) {
	in := pgtest.Usual(t)
	s := newSite(t, in, pgtest.Settings("max_wal_senders = 5"), pgtest.SCRAM("secret"))
	standby := s.standby(t, "standby", "")
	s.verify(t, standby)
	const silent = 1000
	startup := []byte("\x00\x00\x00\x26\x00\x03\x00\x00user\x00postgres\x00replication\x00true\x00\x00")
	startup[3] = byte(len(startup))
	for range silent {
		conn := dial(t, fmt.Sprintf("127.0.0.1:%d", s.proxy.Port))
		if _, err := conn.Write(startup); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	s.primary.Exec(t, "SELECT pg_terminate_backend(pid) FROM pg_stat_replication")
	s.primary.Exec(t, loadTable+"; INSERT INTO load (pad) VALUES ('x')")
	at := s.primary.CurrentLSN(t)
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the proxy's stream", func() (bool, error) {
		return status(t, s.proxy).Store.Flushed >= at, nil
	})
	took := time.Since(began)
	if took > walSenderTimeout/2 {
		t.Errorf("the walreceiver was away for %v", took)
	}
	standby.WaitReplay(t, at)
	pgtest.EqualData(t, s.primary, standby)
	t.Logf("with %d unfinished log-ins (%+v) the walreceiver was back after %v", silent, status(t, s.proxy).Sessions, took)
}
