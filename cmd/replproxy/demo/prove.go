package demo

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/replproxy/replproxy/cmd/replproxy/show"
)

// catchUpLimit bounds the wait for standbys to replay the rest after the load.
const catchUpLimit = time.Minute

// tables lists the tables that pgbench writes to.
var tables = []string{"pgbench_accounts", "pgbench_branches", "pgbench_tellers", "pgbench_history"}

// fingerprint returns SQL that sums up a table, whatever the order of its rows.
func fingerprint(table string) string {
	return "SELECT count(*) || ' rows, sum ' || coalesce(sum(hashtextextended(x::text, 0)::numeric), 0) " +
		"FROM " + table + " x"
}

// ErrNotEqual is the one thing that must not happen.
var ErrNotEqual = errors.New("a standby differs from the primary")

// introduce prints the servers and proxies that run, before the load.
func (d *demo) introduce() {
	d.say("\npgbench runs through port %d, the same port that the standbys stream from.\n"+
		"  PGPASSWORD=%s psql -h 127.0.0.1 -p %d -U %s postgres\n  status page  http://%s/\n\n",
		d.proxies[0].port, d.password, d.proxies[0].port, superuser, d.proxies[0].httpAddress())
}

// prove waits until every standby has replayed everything, compares, and sums up.
func (d *demo) prove(ctx context.Context) error {
	end, err := d.walPosition(ctx)
	if err != nil {
		return err
	}
	d.say("\n")
	began := time.Now()
	for _, s := range d.standbys {
		err := await(ctx, catchUpLimit, s.process, func(ctx context.Context) error {
			rows, err := d.query(ctx, s.port,
				fmt.Sprintf("SELECT pg_last_wal_replay_lsn() >= '%s', pg_last_wal_replay_lsn()", end))
			if err == nil && rows[0][0] != "t" {
				err = fmt.Errorf("replayed %s of %s", rows[0][1], end)
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("wait for %s to catch up: %w", s.name, err)
		}
	}
	caughtUp := time.Since(began)
	for _, table := range tables {
		if err := d.compare(ctx, table); err != nil {
			return err
		}
	}
	// Each transaction of pgbench adds one row to this table, which was empty before.
	rows, err := d.query(ctx, d.primaryPort, "SELECT count(*) FROM pgbench_history")
	if err != nil {
		return err
	}
	d.summary(rows[0][0], caughtUp)
	return d.oneWalsender()
}

// compare holds one table of every standby against the primary's.
func (d *demo) compare(ctx context.Context, table string) error {
	want, err := d.query(ctx, d.primaryPort, fingerprint(table))
	if err != nil {
		return err
	}
	for _, s := range d.standbys {
		have, err := d.query(ctx, s.port, fingerprint(table))
		if err != nil {
			return err
		}
		if have[0][0] != want[0][0] {
			return fmt.Errorf("%w: %s of %s has %s, the primary's %s",
				ErrNotEqual, table, s.name, have[0][0], want[0][0])
		}
	}
	return nil
}

func (d *demo) summary(transactions string, caughtUp time.Duration) {
	t := d.tally
	took := t.ended.Sub(t.began)
	d.say("Summary\n")
	d.say("  load        %s transactions in %.0f s through port %d\n", transactions, took.Seconds(), d.proxies[0].port)
	by := "the proxy"
	if d.o.Quorum {
		by = "each proxy, so that any of them can report"
	}
	d.say("  WAL         %s, sent once by the primary to %s, for %s\n",
		rate(int64(t.walTo-t.walFrom), took), by, counted(len(d.standbys), "standby"))
	if d.o.Quorum {
		d.say("  quorum      %s: while voters were cut off no commit returned, the longest wait was %.1f s,\n"+
			"              and commits went on by themselves: %v\n", d.rule(), d.cut.longest.Seconds(), d.cut.resumed)
	}
	d.say("  walsenders  %d on the primary with %s attached\n", t.walsenders, counted(len(d.standbys), "standby"))
	for _, s := range d.standbys {
		lag := t.lagSeconds[s.name]
		d.say("  %s   equal to the primary; furthest behind: %s, %s\n",
			s.name, show.Bytes(t.lagBytes[s.name]), show.Lag(&lag))
	}
	d.say("  caught up   %.1f s after the load ended\n", caughtUp.Seconds())
	d.say("\nNext, in front of your own primary:\n%s\n", strings.Join([]string{
		`  replproxy check --upstream "host=db1 user=replproxy"                      what would be in the way`,
		`  replproxy run   --upstream "host=db1 user=replproxy" --data-dir ./replproxy-data`,
		`  then point host and port of a standby's primary_conninfo to it, and look at: replproxy status`,
	}, "\n"))
}

// counted returns a number with its noun.
func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// oneWalsender returns an error unless the primary has one walsender: that is the point of it all.
func (d *demo) oneWalsender() error {
	if d.o.Quorum {
		return d.waited()
	}
	if d.tally.walsenders > 1 {
		return fmt.Errorf("the primary had %d walsenders at once, expected one", d.tally.walsenders)
	}
	return nil
}
