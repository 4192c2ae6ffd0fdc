package relay

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
)

// The primary restarts and crashes under its proxy: it stops without waiting for anybody, standbys stay
// connected to the proxy meanwhile, and all go on when it is back.
func TestPrimaryRestartsAndCrashes(t *testing.T) {
	pgtest.ForSomeMajors(t, func(t *testing.T, in *pgtest.Install) {
		t.Parallel()
		s := scene.NewSite(t, in)
		standby := s.Standby(t, "standby", "")
		s.Verify(t, standby)
		session := scene.Attached(t, s.Proxy, "standby")[0].PID
		for _, stop := range []func(){
			func() { s.Primary.Stop(t, pgtest.Fast) },
			func() { s.Primary.Kill9(t) },
			func() { s.Primary.Stop(t, pgtest.Immediate) },
		} {
			load := scene.StartLoad(t, s.Primary)
			load.WaitCommits(t, 50)
			load.StopLoad(t)
			began := time.Now()
			stop()
			if took := time.Since(began); took > scene.WalSenderTimeout/2 {
				t.Errorf("the primary took %v to stop", took)
			}
			s.Primary.Start(t)
			s.Primary.Exec(t, "INSERT INTO load (pad) VALUES ('back')")
			s.Verify(t, standby)
		}
		if rows := scene.Attached(t, s.Proxy, "standby"); rows[0].PID != session {
			t.Errorf("the standby's session did not survive: %+v, was pid %d", rows, session)
		}
	}, 14, 15, 18)
}

// A hundred standbys come back at once, although the primary has five walsenders to give (R13), and
// leave the primary with one.
func TestHundredWalsendersReturn(t *testing.T) {
	in := pgtest.Usual(t)
	s := scene.NewSite(t, in, pgtest.Settings("max_wal_senders = 5"), pgtest.SCRAM("secret"))
	s.Primary.Exec(t, scene.LoadTable)
	s.Verify(t)
	start := scene.Status(t, s.Proxy).Store.Oldest
	const walsenders = 100
	began := time.Now()
	var all sync.WaitGroup
	failures := make(chan error, walsenders)
	ctx, cancel := context.WithTimeout(t.Context(), pgtest.ReplayTimeout)
	defer cancel()
	for range walsenders {
		all.Go(func() {
			if err := receiveSome(ctx, s.Proxy.Conninfo("replication=true"), start.String()); err != nil {
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
	s.Verify(t)
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
	s := scene.NewSite(t, in, pgtest.Settings("max_wal_senders = 5"), pgtest.SCRAM("secret"))
	standby := s.Standby(t, "standby", "")
	s.Verify(t, standby)
	const silent = 1000
	startup := []byte("\x00\x00\x00\x26\x00\x03\x00\x00user\x00postgres\x00replication\x00true\x00\x00")
	startup[3] = byte(len(startup))
	for range silent {
		conn := dial(t, fmt.Sprintf("127.0.0.1:%d", s.Proxy.Port))
		if _, err := conn.Write(startup); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	s.Primary.Exec(t, "SELECT pg_terminate_backend(pid) FROM pg_stat_replication")
	s.Primary.Exec(t, scene.LoadTable+"; INSERT INTO load (pad) VALUES ('x')")
	at := s.Primary.CurrentLSN(t)
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the proxy's stream", func() (bool, error) {
		return scene.Status(t, s.Proxy).Store.Flushed >= at, nil
	})
	took := time.Since(began)
	if took > scene.WalSenderTimeout/2 {
		t.Errorf("the walreceiver was away for %v", took)
	}
	standby.WaitReplay(t, at)
	pgtest.EqualData(t, s.Primary, standby)
	t.Logf("with %d unfinished log-ins (%+v) the walreceiver was back after %v", silent, scene.Status(t, s.Proxy).Sessions, took)
}
