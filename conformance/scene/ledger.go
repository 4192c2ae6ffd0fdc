package scene

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/replproxy/replproxy/conformance/pgtest"
)

const (
	ledgerTable = "CREATE TABLE ledger (worker text, n bigint, at timestamptz, pad text, PRIMARY KEY (worker, n))"

	// ledgerDelay lies between two commits of a worker, so that half an hour's rows can be compared.
	ledgerDelay = 5 * time.Millisecond
	// ledgerTimeout bounds one statement: a server that is paused or down for a moment is waited for.
	ledgerTimeout = time.Minute
)

// Ledger writes numbered rows through whatever happens to its server, and knows which of them were
// acknowledged. A worker is one connection at a time.
type Ledger struct {
	cancel  context.CancelFunc
	workers []*ledgerWorker
	all     sync.WaitGroup
	pausing sync.RWMutex // held for writing while paused
}

type ledgerWorker struct {
	name, conninfo string
	paused         atomic.Bool

	mu     sync.Mutex
	acked  int64
	others []string // numbers whose fate is unknown
	last   error
}

// StartLedger begins to write, with a worker for each conninfo, by its name.
func StartLedger(t *testing.T, primary *pgtest.Server, conninfos map[string]string) *Ledger {
	t.Helper()
	primary.Exec(t, ledgerTable)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	l := &Ledger{cancel: cancel}
	for name, conninfo := range conninfos {
		w := &ledgerWorker{name: name, conninfo: conninfo}
		l.workers = append(l.workers, w)
		l.all.Go(func() { w.run(ctx, &l.pausing) })
	}
	t.Cleanup(func() { cancel(); l.all.Wait() })
	return l
}

// Pause lets every worker end its connection, and returns what lets them go on. It blocks for the statements under way.
func (l *Ledger) Pause() (resume func()) {
	for _, w := range l.workers {
		w.paused.Store(true)
	}
	l.pausing.Lock()
	return func() {
		for _, w := range l.workers {
			w.paused.Store(false)
		}
		l.pausing.Unlock()
	}
}

// run writes until ctx ends. It holds pausing for reading while it has a connection.
func (w *ledgerWorker) run(ctx context.Context, pausing *sync.RWMutex) {
	pausing.RLock()
	defer pausing.RUnlock()
	var conn *pgconn.PgConn
	for n := 1; ctx.Err() == nil; n++ {
		if w.paused.Load() {
			if conn != nil {
				end, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
				_ = conn.Close(end)
				cancel()
				conn = nil
			}
			pausing.RUnlock()
			pausing.RLock()
		}
		statement, cancel := context.WithTimeout(context.WithoutCancel(ctx), ledgerTimeout)
		var err error
		if conn == nil {
			conn, err = pgtest.Dial(statement, w.conninfo)
		}
		if err == nil {
			_, err = pgtest.QueryConn(statement, conn, w.insert(n))
		}
		w.note(n, err)
		if err != nil && conn != nil {
			_ = conn.Close(statement)
			conn = nil
		}
		cancel()
		select {
		case <-time.After(ledgerDelay):
		case <-ctx.Done():
		}
	}
	if conn != nil {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = conn.Close(end)
	}
}

// insert returns SQL that inserts row n: small, now and then large enough to span WAL pages, random so that TOAST does
// not compress it away.
func (w *ledgerWorker) insert(n int) string {
	md5s := 5
	if n%50 == 0 {
		md5s = 1500
	}
	return fmt.Sprintf("INSERT INTO ledger SELECT '%s', %d, now(), string_agg(md5(random()::text), '') "+
		"FROM generate_series(1, %d)", w.name, n, md5s)
}

func (w *ledgerWorker) note(n int, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil {
		w.acked++
		return
	}
	w.others, w.last = append(w.others, fmt.Sprint(n)), err
}

func (w *ledgerWorker) count() (acked int64, last error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.acked, w.last
}

// WaitProgress waits until each worker has committed n more rows.
func (l *Ledger) WaitProgress(t *testing.T, n int64) {
	t.Helper()
	for _, w := range l.workers {
		begin, _ := w.count()
		var last error
		defer func() {
			if t.Failed() {
				t.Logf("worker %s, last error: %v", w.name, last)
			}
		}()
		pgtest.WaitFor(t, ledgerTimeout+30*time.Second, "worker "+w.name, func() (bool, error) {
			var now int64
			now, last = w.count()
			return now >= begin+n, nil
		})
	}
}

// Stop ends the writing and returns how many rows were acknowledged.
func (l *Ledger) Stop() (acked int64) {
	l.cancel()
	l.all.Wait()
	for _, w := range l.workers {
		n, _ := w.count()
		acked += n
	}
	return acked
}

// Verify finds every acknowledged row in a server. Call it after stop.
func (l *Ledger) Verify(t *testing.T, server *pgtest.Server) {
	t.Helper()
	for _, w := range l.workers {
		sql := "SELECT count(*) FROM ledger WHERE worker = '" + w.name + "'"
		if len(w.others) > 0 {
			sql += " AND n NOT IN (" + strings.Join(w.others, ", ") + ")"
		}
		if got := server.Scalar(t, sql); got != fmt.Sprint(w.acked) {
			t.Errorf("%s has %s rows of the %d that were acknowledged to worker %s", server.Name, got, w.acked, w.name)
		}
	}
}
