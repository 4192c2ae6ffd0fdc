package backfill

import (
	"context"
	"errors"
	"io"
	"strconv"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/handshake/upstream"
)

// rival runs before each of the log-ins that Primary makes.
type rival struct {
	*upstream.Config
	before func(replication bool)
}

func (r rival) Connect(ctx context.Context, params map[string]string) (*upstream.Session, error) {
	r.before(params["replication"] != "")
	return r.Config.Connect(ctx, params)
}

// TestLastWalsenderIsLeft is ruling R25, also when somebody else is quicker. Two walsenders are free when we ask, and
// another client takes one of them before our log-in. Ours is given back.
func TestLastWalsenderIsLeft(t *testing.T) {
	in := pgtest.Need(t, 15)
	primary := in.Primary(t, pgtest.Settings("max_wal_senders = 2"), pgtest.InitArgs("--wal-segsize=1"))
	up, err := upstream.Parse(primary.Conninfo())
	if err != nil {
		t.Fatal(err)
	}
	at := primary.CurrentLSN(t)
	system, err := strconv.ParseUint(primary.Scalar(t, "SELECT system_identifier FROM pg_control_system()"), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	primary.Exec(t, "SELECT pg_switch_wal()")
	id := walstore.Identity{System: lsn.SystemID(system), SegSize: lsn.MinSegSize, ServerMajor: 15}
	run := Run{Timeline: 1, Start: id.SegSize.Floor(at), End: id.SegSize.Floor(at) + lsn.LSN(id.SegSize)}
	free := func(n string) {
		t.Helper()
		pgtest.WaitFor(t, time.Minute, n+" walsenders in use", func() (bool, error) {
			return primary.Scalar(t, "SELECT count(*) FROM pg_stat_replication") == n, nil
		})
	}

	p := &Primary{Upstream: up, Name: "backfill"}
	wal, err := p.Open(t.Context(), id, run)
	if err != nil {
		t.Fatalf("two are free: %v", err)
	}
	if n, err := io.Copy(io.Discard, wal); n != int64(id.SegSize) || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	if err := wal.Close(); err != nil {
		t.Error(err)
	}
	free("0")

	var quicker *upstream.Session
	p.Upstream = rival{up, func(replication bool) {
		if !replication || quicker != nil {
			return
		}
		if quicker, err = up.Connect(t.Context(), map[string]string{"replication": "true"}); err != nil {
			t.Fatal(err)
		}
	}}
	if _, err := p.Open(t.Context(), id, run); !errors.Is(err, errBusy) {
		t.Errorf("somebody else was quicker: %v", err)
	}
	defer quicker.Close()
	free("1")
	if _, err := p.Open(t.Context(), id, run); !errors.Is(err, errBusy) {
		t.Errorf("one is free: %v", err)
	}
	free("1")
}

// TestYieldsToTheWalreceiver: a backfill ends at the next segment when the stream has lost its connection.
func TestYieldsToTheWalreceiver(t *testing.T) {
	asked := 0
	w := &stream{at: 4 * seg, end: 8 * seg, segment: lsn.MinSegSize, ready: func() bool { asked++; return false }}
	if _, err := w.Read(make([]byte, 10)); !errors.Is(err, errNotConnected) || asked != 1 {
		t.Errorf("asked %d times: %v", asked, err)
	}
}
