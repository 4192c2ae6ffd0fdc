package demo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/replproxy/replproxy/cmd/replproxy/show"
	"github.com/replproxy/replproxy/proxy/admin"
)

// MinQuorumDuration is the shortest load in which voters can be cut off, watched, and let go on.
const MinQuorumDuration = 10 * time.Second

// Voters are cut off for cutLength; without an end, once in every cutPeriod.
const (
	cutLength = 6 * time.Second
	cutPeriod = 20 * time.Second
)

// cut is the time in which all proxies but the first are stopped, and with them the way to their standbys.
type cut struct {
	on      bool
	looks   int           // since it began
	frozen  int           // transactions that were there at its second look
	longest time.Duration // that a commit was seen waiting
	resumed bool          // commits went on afterwards
}

// ErrReleased is the one thing that must not happen to a quorum.
var ErrReleased = errors.New("a commit was released while the voters were cut off")

func quorumProxies() []string { return []string{"proxy_a", "proxy_b", "proxy_c"} }

// rule returns the proxies': a majority of the standbys.
func (d *demo) rule() string {
	names := make([]string, len(d.standbys))
	for i, s := range d.standbys {
		names[i] = s.name
	}
	return fmt.Sprintf("ANY %d (%s)", len(names)/2+1, strings.Join(names, ", "))
}

// configureCluster gives each proxy a key, and a file that names all of them and the rule.
func (d *demo) configureCluster(ctx context.Context) (string, error) {
	var members, addresses []string
	for _, p := range d.proxies {
		job := "identity-" + p.name
		err := d.run(ctx, job, d.path("replproxy"), "identity", "--name", p.name, "--data-dir", d.path(p.name+"-data"),
			"--upstream", d.upstream())
		if err != nil {
			return "", err
		}
		line, err := os.ReadFile(d.path(job + ".log"))
		if err != nil {
			return "", err
		}
		members = append(members, strconv.Quote(strings.TrimSpace(string(line))))
		addresses = append(addresses, fmt.Sprintf("127.0.0.1:%d", p.clusterPort))
	}
	key := strings.Repeat("A", 43) + "=\n" // 32 bytes in base64; this gossip does not leave the machine
	if err := d.write("gossip.key", key); err != nil {
		return "", err
	}
	for i, p := range d.proxies {
		text := fmt.Sprintf("synchronous_standby_names: %q\n"+
			"cluster:\n  bind: %q\n  join: [%s]\n  key_file: %q\n  members: [%s]\n",
			d.rule(), addresses[i], strings.Join(quoteAll(addresses), ", "),
			d.path("gossip.key"), strings.Join(members, ", "))
		if err := d.write(p.name+".yml", text); err != nil {
			return "", err
		}
	}
	return "their rule: " + d.rule(), nil
}

func quoteAll(texts []string) (all []string) {
	for _, s := range texts {
		all = append(all, strconv.Quote(s))
	}
	return all
}

// write makes a file that only the account can read.
func (d *demo) write(name, text string) error {
	if err := os.WriteFile(d.path(name), []byte(text), 0o600); err != nil {
		return err
	}
	return d.who.own(d.path(name))
}

// waitForQuorum makes the primary wait, once the first proxy could let it go on.
func (d *demo) waitForQuorum(ctx context.Context) (string, error) {
	d.atEnd(func() error { d.letGoOn(); return nil }) // or the proxies could not end
	err := await(ctx, startLimit, d.proxies[0].process, func(ctx context.Context) error {
		st, err := d.status(ctx, d.proxies[0])
		if err != nil {
			return err
		}
		for _, l := range st.Quorum.Levels {
			if !l.Satisfiable {
				return errors.New(l.Why)
			}
		}
		if len(st.Quorum.Levels) == 0 {
			return errNotYet
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	names := fmt.Sprintf("ANY 1 (%s)", strings.Join(quorumProxies(), ", "))
	if _, err := d.query(ctx, d.primaryPort, "ALTER SYSTEM SET synchronous_standby_names = '"+names+"'"); err != nil {
		return "", err
	}
	_, err = d.query(ctx, d.primaryPort, "SELECT pg_reload_conf()")
	return "for " + names, err
}

// cutNow reports whether the voters are to be cut off at a time of a load of some length, 0 for endless.
func cutNow(elapsed, length time.Duration) bool {
	from, to := cutPeriod/3, cutPeriod/3+cutLength
	if length > 0 {
		from = length * 3 / 10
		to = min(from+cutLength, length*8/10)
	} else {
		elapsed %= cutPeriod
	}
	return elapsed >= from && elapsed < to
}

// letGoOn ends the cut.
func (d *demo) letGoOn() {
	for _, p := range d.proxies[1:] {
		if p.process != nil {
			p.Signal(syscall.SIGCONT)
		}
	}
	d.cut.on = false
}

// turn begins or ends the cut when it is time for that.
func (d *demo) turn() {
	switch on := cutNow(time.Since(d.tally.began), d.o.Duration); {
	case on && !d.cut.on:
		d.cut.on, d.cut.looks = true, 0
		for _, p := range d.proxies[1:] {
			p.Signal(syscall.SIGSTOP)
		}
	case !on && d.cut.on:
		d.letGoOn()
	}
}

// waiting asks the primary how many commits wait, for how many seconds at most, and how many have returned. Those that
// wait are not in pgbench's history yet.
const waiting = "SELECT count(*), coalesce(extract(epoch FROM max(clock_timestamp() - state_change)), 0), " +
	"(SELECT count(*) FROM pgbench_history) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"

// tickQuorum cuts voters off or not, looks at the commits, and draws.
func (d *demo) tickQuorum(ctx context.Context, st *admin.Status, tps string) error {
	cutOff := d.cut.on // while st was made
	d.turn()
	rows, err := d.query(ctx, d.primaryPort, waiting)
	if err != nil {
		return err
	}
	var waits, done int
	var seconds float64
	if _, err := fmt.Sscan(strings.Join(rows[0], " "), &waits, &seconds, &done); err != nil {
		return fmt.Errorf("read how many commits wait: %w", err)
	}
	if err := d.cut.look(cutOff && d.cut.on, waits, done, time.Duration(seconds*float64(time.Second))); err != nil {
		return err
	}
	state := "all voters are there"
	if cutOff {
		state = "CUT OFF: " + strings.Join(quorumProxies()[1:], ", ")
	}
	commits := "no commit waits"
	if waits > 0 {
		commits = fmt.Sprintf("%s waiting, the longest for %.1f s", counted(waits, "commit"), seconds)
	}
	if !d.o.Redraw {
		d.say("  %5.1f s  %4s tps  %s  %s%s\n", time.Since(d.tally.began).Seconds(), tps, state, commits, behind(st))
		return nil
	}
	d.drawQuorum(st, tps, state, commits)
	return nil
}

// look compares the number of commits with that at the second look of a cut: acknowledgements that were under way have
// arrived by then. on: the cut goes on; done are the commits, of which some wait, longest the longest. More commits
// amid a cut are [ErrReleased].
func (c *cut) look(on bool, waits, done int, longest time.Duration) error {
	if !on {
		c.resumed = c.resumed || c.longest > 0 && done > c.frozen
		return nil
	}
	c.looks++
	switch {
	case c.looks <= 2:
		c.frozen = done
	case done != c.frozen:
		return fmt.Errorf("%w: %d more", ErrReleased, done-c.frozen)
	}
	if waits > 0 {
		c.longest = max(c.longest, longest)
	}
	return nil
}

// behind says how far the rule's flush position lags the first proxy's own; "" where it does not.
func behind(st *admin.Status) string {
	for _, l := range st.Quorum.Levels {
		if l.Position == "flush" && l.Behind != nil && *l.Behind > 0 {
			return fmt.Sprintf(" | covered %s, %s behind", show.Position(l.Quorum), show.Bytes(*l.Behind))
		}
	}
	return ""
}

func (d *demo) drawQuorum(st *admin.Status, tps, state, commits string) {
	var b strings.Builder
	fmt.Fprintf(&b, "\x1b[H\x1b[2Jreplproxy demo --quorum   %s\n\n", time.Since(d.tally.began).Round(time.Second))
	fmt.Fprintf(&b, "pgbench   through port %d: %s tps\nvoters    %s\ncommits   %s\n",
		d.proxies[0].port, tps, state, commits)
	show.Quorum(&b, &st.Quorum, st.Now)
	fmt.Fprintf(&b, "\nlook:  http://%s/\n", d.proxies[0].httpAddress())
	d.say("%s", b.String())
}

// waited returns an error unless commits were seen to wait: that is the point of this demo.
func (d *demo) waited() error {
	if d.cut.longest == 0 || !d.cut.resumed {
		if d.stopped() {
			return nil // it was not given the time
		}
		return errors.New("no commit was seen waiting for the voters, and going on after that")
	}
	return nil
}
