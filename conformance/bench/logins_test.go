package bench

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// Columns of log-ins.
const (
	lastStreams  = "the last one streams after, s"
	targetPerLog = "CPU of the target each, ms"
)

// BenchmarkLogins: standbys that come back at once: log-in, IDENTIFY_SYSTEM, START_REPLICATION, the first message.
func BenchmarkLogins(b *testing.B) {
	a := newArena(b, direct, haproxy, ours)
	a.primary.Exec(b, "ALTER USER proven REPLICATION")
	r := newResults("Standbys that log in at once", "log-in, standbys", column{lastStreams, true}, column{name: targetPerLog})
	for round := range rounds() {
		for _, user := range []string{"postgres", "proven"} {
			for _, n := range []int{16, 64} {
				for _, t := range a.inTurn(round) {
					conninfo := strings.Replace(t.conninfo(), "user=postgres", "user="+user+" password="+provenPassword, 1)
					name := map[string]string{"postgres": "trust", "proven": "SCRAM"}[user]
					a.measure(r, fmt.Sprintf("%s, %d", name, n), t, func(stop func() usage) figures {
						took := a.comeBack(conninfo, n)
						u, f := stop(), figures{lastStreams: took.Seconds()}
						if t.pid != 0 {
							f[targetPerLog] = u.other.Seconds() * 1000 / float64(n)
						}
						return f
					})
				}
			}
		}
	}
	r.print()
}

// comeBack has n standbys log in at once and returns the time until the last one got a message of its stream.
func (a *arena) comeBack(conninfo string, n int) time.Duration {
	ctx, cancel := context.WithTimeout(a.t.Context(), time.Minute)
	defer cancel()
	at := lsn.SegSize(lsn.DefaultSegSize).Floor(a.primary.CurrentLSN(a.t))
	all := make([]*receiver, n)
	var coming errgroup.Group
	began := time.Now()
	for i := range all {
		coming.Go(func() error {
			r, err := connectReceiver(ctx, conninfo, "bench_"+strconv.Itoa(i), at)
			if err != nil {
				return err
			}
			all[i] = r
			for tag := byte(0); tag == 0 && err == nil; {
				tag, _, err = r.next()
			}
			return err
		})
	}
	err := coming.Wait()
	took := time.Since(began)
	for _, r := range all {
		if r != nil {
			r.close()
		}
	}
	if err != nil {
		a.t.Fatalf("log in: %v", err)
	}
	return took
}
