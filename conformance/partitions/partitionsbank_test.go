package partitions

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/replproxy/replproxy/conformance/pgtest"
)

const (
	accounts = 100
	opening  = 1000 // balance of each account

	bankTables = "CREATE TABLE accounts (id int PRIMARY KEY, balance int NOT NULL); " +
		"CREATE TABLE transfers (teller text, n int, payer int, payee int, amount int, PRIMARY KEY (teller, n))"
)

// bank transfers money between accounts of one server, by tellers of different levels of
// synchronous_commit, and knows, outside the database, which transfers were acknowledged.
type bank struct {
	cancel  context.CancelFunc
	tellers []*teller
	all     sync.WaitGroup
}

// teller is one session at a time.
type teller struct {
	name, level, conninfo string
	rng                   *rand.Rand
	// applied is asked before and after a transfer at remote_apply: who shows it.
	applied func(teller string) func(n int) error

	mu    sync.Mutex
	acked []int
	last  error // why a transfer's fate is unknown
	bad   error
}

// openBank begins to transfer on a server, with two tellers a level. Their names begin with name.
func openBank(t *testing.T, server *pgtest.Server, name string, levels []string, seed uint64,
	applied func(teller string) func(n int) error) *bank {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	b := &bank{cancel: cancel}
	for i, level := range slices.Concat(levels, levels) {
		w := &teller{
			name: fmt.Sprintf("%s_%s_%d", name, level, i), level: level, rng: rand.New(rand.NewPCG(seed, uint64(i))),
			conninfo: server.SocketConninfo("options=-csynchronous_commit=" + level), applied: applied,
		}
		b.tellers = append(b.tellers, w)
		b.all.Go(func() { w.run(ctx) })
	}
	t.Cleanup(b.close)
	return b
}

// run transfers until ctx ends. A transfer that fails is of unknown fate, and never tried again.
func (w *teller) run(ctx context.Context) {
	var conn *pgconn.PgConn
	for n := 1; ctx.Err() == nil; n++ {
		var err error
		if conn == nil {
			conn, err = pgtest.Dial(ctx, w.conninfo)
		}
		if err == nil {
			err = w.transfer(ctx, conn, n)
		}
		if err == nil {
			continue
		}
		w.mu.Lock()
		w.last = err
		w.mu.Unlock()
		if conn != nil {
			hangUp(conn)
			conn = nil
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	if conn != nil {
		hangUp(conn)
	}
}

// hangUp closes a connection whose server may be dead, and waits for the library's goroutines.
func hangUp(conn *pgconn.PgConn) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_ = conn.Close(ctx)
	select {
	case <-conn.CleanupDone():
	case <-ctx.Done():
	}
}

func (w *teller) transfer(ctx context.Context, conn *pgconn.PgConn, n int) error {
	payer, payee, amount := w.rng.IntN(accounts), w.rng.IntN(accounts-1), w.rng.IntN(50)
	if payee >= payer {
		payee++
	}
	low, change := payer, -amount // the lower account first, or two tellers could wait for each other
	if payee < payer {
		low, change = payee, amount
	}
	var seen func(int) error
	if w.level == "remote_apply" && n%5 == 0 {
		seen = w.applied(w.name)
	}
	const move = "UPDATE accounts SET balance = balance + %d WHERE id = %d;"
	_, err := pgtest.QueryConn(ctx, conn, fmt.Sprintf(move+move+"INSERT INTO transfers VALUES ('%s', %d, %d, %d, %d)",
		change, low, -change, payer+payee-low, w.name, n, payer, payee, amount))
	if err != nil {
		return err
	}
	w.mu.Lock()
	w.acked = append(w.acked, n)
	w.mu.Unlock()
	if seen != nil {
		if err := seen(n); err != nil {
			w.mu.Lock()
			w.bad = err
			w.mu.Unlock()
		}
	}
	return nil
}

func (w *teller) count() (n int, last error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.acked), w.last
}

// counts are the transfers that were acknowledged so far, by teller.
func (b *bank) counts() (all []int, sum int) {
	for _, w := range b.tellers {
		n, _ := w.count()
		all, sum = append(all, n), sum+n
	}
	return all, sum
}

// waitProgress waits until each teller has n more transfers acknowledged.
func (b *bank) waitProgress(t *testing.T, n int) {
	t.Helper()
	before, _ := b.counts()
	defer func() {
		if t.Failed() {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			rows, err := pgtest.Query(ctx, b.tellers[0].conninfo, "SELECT pid, wait_event, pg_blocking_pids(pid), query "+
				"FROM pg_stat_activity WHERE backend_type = 'client backend' AND state <> 'idle'")
			t.Logf("sessions: %v, %v", rows, err)
		}
	}()
	for i, w := range b.tellers {
		defer func() {
			if now, last := w.count(); t.Failed() {
				t.Logf("teller %s: %d transfers, then %d; last error: %v", w.name, before[i], now, last)
			}
		}()
		pgtest.WaitFor(t, time.Minute, "transfers of teller "+w.name, func() (bool, error) {
			now, _ := w.count()
			return now >= before[i]+n, nil
		})
	}
}

// close ends all sessions; transfers that wait end unacknowledged.
func (b *bank) close() {
	b.cancel()
	b.all.Wait()
}

// verify finds every acknowledged transfer on a server, and all the money. Call it after close.
func (b *bank) verify(t *testing.T, server *pgtest.Server) {
	t.Helper()
	for _, w := range b.tellers {
		if lost := w.lost(t, server); len(lost) > 0 {
			t.Errorf("LOST on %s: %d of the %d transfers acknowledged to %s: %s",
				server.Name, len(lost), len(w.acked), w.name, strings.Join(lost, " "))
		}
		if w.bad != nil {
			t.Errorf("%s: %v", w.name, w.bad)
		}
	}
	verifyMoney(t, server)
}

// lost are the numbers of acknowledged transfers that a server does not have.
func (w *teller) lost(t *testing.T, server *pgtest.Server) (lost []string) {
	t.Helper()
	rows := server.SQL(t, "SELECT n FROM transfers WHERE teller = '"+w.name+"' ORDER BY n")
	have := map[string]bool{}
	for _, row := range rows {
		have[row[0]] = true
	}
	for _, n := range w.acked {
		if !have[strconv.Itoa(n)] {
			lost = append(lost, strconv.Itoa(n))
		}
	}
	return lost
}

// verifyMoney: each account has what the transfers say, so the sum has not changed.
func verifyMoney(t *testing.T, server *pgtest.Server) {
	t.Helper()
	row := server.QueryRow(t, fmt.Sprintf("SELECT sum(balance), count(*) FILTER (WHERE balance <> %d + "+
		"(SELECT coalesce(sum(CASE payee WHEN id THEN amount ELSE -amount END), 0) FROM transfers WHERE id IN (payer, payee))) "+
		"FROM accounts", opening))
	if row[0] != strconv.Itoa(accounts*opening) || row[1] != "0" {
		t.Errorf("%s: the accounts sum up to %s, want %d; %s of them differ from their transfers",
			server.Name, row[0], accounts*opening, row[1])
	}
}
