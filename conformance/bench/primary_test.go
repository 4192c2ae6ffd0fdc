package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// alone is the pseudo target of a primary without standbys.
const alone = "no standbys"

// pin binds all threads of processes to one CPU; cpu < 0: to any.
func pin(cpu int, pids ...int) {
	var set unix.CPUSet
	for i := range runtime.NumCPU() {
		if cpu < 0 || i == cpu {
			set.Set(i)
		}
	}
	for _, pid := range pids {
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
		for _, t := range tasks {
			tid, _ := strconv.Atoi(filepath.Base(t))
			_ = unix.SchedSetaffinity(tid, &set) // it may have ended
		}
	}
}

// pidsOf returns the processes of a tree.
func pidsOf(root int) (pids []int) {
	for _, m := range treeOf(processes(), root) {
		pids = append(pids, m.pid)
	}
	return pids
}

// BenchmarkPrimary: the transactions that are left to the primary with 4 and 16 standbys. It has one CPU for itself and
// pgbench, targets and sinks have the other, as if on two machines. Their disk they share, but for the proxy whose
// data_dir is in memory.
func BenchmarkPrimary(b *testing.B) {
	if runtime.NumCPU() < 2 {
		b.Fatal("it takes two CPUs")
	}
	a := newArena(b, direct, cascade, haproxy, ours, elsewhere)
	a.in.RunTool(b, a.dir, "pgbench", "-i", "-s", "10", "-q", "-h", "127.0.0.1", "-p", strconv.Itoa(a.primary.Port), "-U", "postgres", "postgres")
	b.Cleanup(func() { pin(-1, os.Getpid()) })
	r := newResults("The primary's transactions, pgbench -N", "standbys", column{perSecond, true}, column{name: sendersIn}, column{name: targetIn})
	length := seconds(4)
	for round := range rounds() {
		for _, n := range []int{4, 16} {
			for _, t := range append(a.inTurn(round), &target{name: alone, port: a.primary.Port}) {
				a.measure(r, strconv.Itoa(n), t, func(stop func() usage) figures {
					c := &crowd{}
					if t.name != alone {
						c = a.gather(t.conninfo(), n, lsn.SegSize(lsn.DefaultSegSize).Floor(a.primary.CurrentLSN(b)))
					}
					defer c.part()
					pin(0, pidsOf(a.primary.PID())...)
					pin(1, append(pidsOf(t.pid), os.Getpid())...)
					defer pin(-1, append(pidsOf(a.primary.PID()), os.Getpid())...)
					before := usageOf(a.primary.PID(), t.pid)
					tps := a.pinnedPgbench(length)
					u := usageOf(a.primary.PID(), t.pid).since(before)
					stop()
					f := figures{perSecond: tps, sendersIn: 100 * u.senders.Seconds() / u.seconds()}
					if t.pid != 0 {
						f[targetIn] = 100 * u.other.Seconds() / u.seconds()
					}
					return f
				})
			}
		}
	}
	r.print()
}

// pinnedPgbench runs pgbench on the primary's CPU and returns its transactions per second.
func (a *arena) pinnedPgbench(length int) float64 {
	out := a.in.RunTool(a.t, a.dir, "/usr/bin/taskset", "-c", "0", "/usr/lib/postgresql/15/bin/pgbench", "-n", "-N", "-M", "prepared",
		"-c", "4", "-j", "1", "-T", strconv.Itoa(length), "-h", "127.0.0.1", "-p", strconv.Itoa(a.primary.Port), "-U", "postgres", "postgres")
	m := tpsLine.FindStringSubmatch(out)
	if m == nil {
		a.t.Fatalf("no tps in %q", out)
	}
	v, _ := strconv.ParseFloat(m[1], 64)
	return v
}
