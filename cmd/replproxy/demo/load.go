package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/replproxy/replproxy/cmd/replproxy/show"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/proxy/admin"
)

const (
	// endless is the load's length when only the user ends it.
	endless = 24 * time.Hour
	// redrawInterval is the pace of the live table.
	redrawInterval = time.Second
	// askLimit bounds one round of questions for the table.
	askLimit = 5 * time.Second
	// maxStatus bounds the proxy's answer: a handful of standbys take a few kB.
	maxStatus = 4 << 20
)

// tally holds the summary's figures: the extremes over the whole load.
type tally struct {
	began, ended   time.Time
	walFrom, walTo lsn.LSN
	walsenders     int // most seen at once on the primary
	lagBytes       map[string]int64
	lagSeconds     map[string]float64
}

// load runs pgbench through the proxy and shows what happens until the time is over or Stop.
func (d *demo) load(ctx context.Context) error {
	length := d.o.Duration
	if length <= 0 {
		length = endless
	}
	d.tally = tally{began: time.Now(), lagBytes: map[string]int64{}, lagSeconds: map[string]float64{}}
	var err error
	if d.tally.walFrom, err = d.walPosition(ctx); err != nil {
		return err
	}
	bench, err := d.spawn("pgbench", syscall.SIGKILL, filepath.Join(d.bin, "pgbench"), "-n", "-P", "1",
		"-c", strconv.Itoa(d.o.Clients), "-j", "2", "-T", strconv.Itoa(max(1, int(length.Seconds()))),
		"-h", "127.0.0.1", "-p", strconv.Itoa(d.proxies[0].port), "-U", superuser, "postgres")
	if err != nil {
		return err
	}
	tick := time.NewTicker(redrawInterval)
	defer tick.Stop()
	defer d.letGoOn()
	stop := d.o.Stop
	for {
		select {
		case <-bench.Done():
			d.tally.ended = time.Now()
			if bench.Err() != nil && stop != nil {
				return bench.failure()
			}
			d.tally.walTo, err = d.walPosition(ctx)
			return err
		case <-stop:
			stop = nil
			d.letGoOn()
			bench.Stop(syscall.SIGINT, killAfter)
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
			if err := d.tick(ctx, bench); err != nil {
				return err
			}
		}
	}
}

// senders selects the walsenders that send WAL: a standby's log-in is checked by the primary (R25), has a walsender
// there meanwhile, and gives it up before it streams.
const senders = "SELECT application_name, state FROM pg_stat_replication WHERE state <> 'startup'"

// tick asks the proxy and the primary and draws once.
func (d *demo) tick(ctx context.Context, bench *process) error {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	for _, p := range d.processes() {
		if !p.Alive() {
			return p.failure()
		}
	}
	st, err := d.status(ctx, d.proxies[0])
	if err != nil {
		return err
	}
	rows, err := d.query(ctx, d.primaryPort, senders)
	if err != nil {
		return err
	}
	d.tally.walsenders = max(d.tally.walsenders, len(rows))
	for _, b := range st.Standbys {
		d.tally.lagBytes[b.ApplicationName] = max(d.tally.lagBytes[b.ApplicationName], b.LagBytes)
		if b.ReplayLag != nil {
			d.tally.lagSeconds[b.ApplicationName] = max(d.tally.lagSeconds[b.ApplicationName], *b.ReplayLag)
		}
	}
	tps := lastProgress(bench.log)
	if d.o.Quorum {
		return d.tickQuorum(ctx, st, tps)
	}
	if d.o.Redraw {
		d.draw(st, rows, tps)
	} else {
		d.line(st, rows, tps)
	}
	return nil
}

func (d *demo) processes() []*process {
	all := []*process{d.primary}
	for _, p := range d.proxies {
		all = append(all, p.process)
	}
	for _, s := range d.standbys {
		all = append(all, s.process)
	}
	return all
}

func (d *demo) status(ctx context.Context, p *proxy) (*admin.Status, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.httpAddress()+"/status", nil)
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask the proxy for its status: %w", err)
	}
	defer res.Body.Close()
	var st admin.Status
	if err := json.NewDecoder(io.LimitReader(res.Body, maxStatus)).Decode(&st); err != nil {
		return nil, fmt.Errorf("read the proxy's status: %w", err)
	}
	return &st, nil
}

// draw replaces the picture on a terminal.
func (d *demo) draw(st *admin.Status, senders [][]string, tps string) {
	var b strings.Builder
	b.WriteString("\x1b[H\x1b[2J")
	elapsed := time.Since(d.tally.began).Round(time.Second)
	if d.o.Duration > 0 {
		fmt.Fprintf(&b, "replproxy demo   %s of %s\n\n", elapsed, d.o.Duration)
	} else {
		fmt.Fprintf(&b, "replproxy demo   %s, Ctrl-C ends it\n\n", elapsed)
	}
	fmt.Fprintf(&b, "pgbench     through port %d: %s tps\n", d.proxies[0].port, tps)
	fmt.Fprintf(&b, "primary     port %d, %s\n", d.primaryPort, describeSenders(senders))
	fmt.Fprintf(&b, "replproxy   port %d, received %s, flushed %s\n\n", d.proxies[0].port,
		show.Position(st.Store.Received), show.Position(st.Store.Flushed))
	show.Standbys(&b, st.Standbys)
	fmt.Fprintf(&b, "\nlook:  http://%s/\ntry:   PGPASSWORD=%s psql -h 127.0.0.1 -p %d -U %s postgres\n",
		d.proxies[0].httpAddress(), d.password, d.proxies[0].port, superuser)
	d.say("%s", b.String())
}

// line prints one line per second for logs and pipes.
func (d *demo) line(st *admin.Status, senders [][]string, tps string) {
	parts := []string{fmt.Sprintf("%5.1f s  %s tps  %s  received %s", time.Since(d.tally.began).Seconds(), tps,
		describeSenders(senders), show.Position(st.Store.Received))}
	for _, b := range st.Standbys {
		parts = append(parts, fmt.Sprintf("%s %s %s",
			show.Clean(b.ApplicationName), show.Bytes(b.LagBytes), show.Lag(b.ReplayLag)))
	}
	d.say("  %s\n", strings.Join(parts, " | "))
}

// describeSenders renders the primary's pg_stat_replication: one walsender, whatever the number of standbys.
func describeSenders(rows [][]string) string {
	names := make([]string, len(rows))
	for i, r := range rows {
		names[i] = show.Clean(r[0] + " " + r[1])
	}
	return fmt.Sprintf("%s (%s)", counted(len(rows), "walsender"), strings.Join(names, ", "))
}

var progress = regexp.MustCompile(`progress: [0-9.]+ s, ([0-9.]+) tps`)

// lastProgress returns the newest tps of pgbench's log, "-" before the first.
func lastProgress(log string) string {
	b, err := os.ReadFile(log)
	if err != nil {
		return "-"
	}
	all := progress.FindAllSubmatch(b[max(0, len(b)-logTail):], -1)
	if len(all) == 0 {
		return "-"
	}
	tps, _, _ := strings.Cut(string(all[len(all)-1][1]), ".")
	return tps
}

// walPosition asks the primary for the end of its WAL.
func (d *demo) walPosition(ctx context.Context) (lsn.LSN, error) {
	rows, err := d.query(ctx, d.primaryPort, "SELECT pg_current_wal_lsn()")
	if err != nil {
		return 0, err
	}
	return lsn.Parse(rows[0][0])
}
