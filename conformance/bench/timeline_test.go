package bench

import (
	"fmt"
	"testing"
	"time"
)

// BenchmarkTimeline: where the time and the CPU of a commit go that waits for ANY 1 of three sinks behind one proxy.
// The whole run writes docs/timeline.svg and the tables of docs/performance.md, a shrunk one prints them.
func BenchmarkTimeline(b *testing.B) {
	seconds := 8
	if scale() < 1024 {
		seconds = 2
	}
	g := newGateway(b)
	lines := make([]line, len(commitClients))
	g.run("stamps")
	for i, clients := range commitClients {
		lines[i] = g.follow(clients, seconds)
	}
	g.run("")
	for i, clients := range commitClients {
		g.spend(&lines[i], seconds)
		if lines[i].commits == 0 {
			b.Errorf("%d clients: no commit was followed", clients)
		}
	}
	if b.Failed() {
		return
	}
	fmt.Print("\n" + tables(lines))
	if seconds == 8 {
		publish(b, timelinePart, tables(lines), picture(lines))
	}
}

// follow runs pgbench and follows its commits.
func (g *gateway) follow(clients, seconds int) line {
	g.stamps()
	runPgbench(g.t, g.in, g.primary, g.dir, clients, 1) // the first seconds say nothing
	from := g.primary.CurrentLSN(g.t)
	g.stamps()
	g.primary.Exec(g.t, "INSERT INTO commits (pad) VALUES ('begins')") // who reads notes arrivals from now on
	begin := g.primary.CurrentLSN(g.t)
	s := runPgbench(g.t, g.in, g.primary, g.dir, clients, seconds)
	records := g.stamps()
	all := passages(records, g.commits(max(from, begin), g.primary.CurrentLSN(g.t)))
	l := lineOf(clients, sinks, all)
	l.client = s
	g.t.Logf("%d clients: %d stamps, %d of %d commits are complete", clients, len(records), l.commits, len(all))
	return l
}

// spend measures the CPU time of a transaction, then profiles the proxy under the same load.
func (g *gateway) spend(l *line, seconds int) {
	runPgbench(g.t, g.in, g.primary, g.dir, l.clients, 1)
	before := g.cpu()
	l.without = runPgbench(g.t, g.in, g.primary, g.dir, l.clients, seconds)
	l.cpu = (g.cpu() - before) / time.Duration(l.without.n)
	profiled := make(chan profile, 1)
	go func() { profiled <- g.takeProfile(seconds) }()
	runPgbench(g.t, g.in, g.primary, g.dir, l.clients, seconds+1)
	l.profile = <-profiled
}
