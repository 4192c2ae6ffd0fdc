package bench

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// clockTick is the unit of /proc/PID/stat on Linux: USER_HZ is 100 everywhere Go runs.
const clockTick = 10 * time.Millisecond

// member is one process of a tree.
type member struct {
	pid, parent  int
	self, reaped time.Duration // CPU of its own, and of children that it waited for
}

// readMember reads /proc/PID/stat. It fails when that has ended.
func readMember(pid int) (member, bool) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return member{}, false
	}
	// The command may hold blanks and parentheses; the fields begin after the last one.
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(f) < 15 {
		return member{}, false
	}
	ticks := func(i int) time.Duration {
		n, _ := strconv.ParseInt(f[i], 10, 64)
		return time.Duration(n) * clockTick
	}
	parent, _ := strconv.Atoi(f[1])
	return member{pid, parent, ticks(11) + ticks(12), ticks(13) + ticks(14)}, true
}

// processes returns all processes of the machine.
func processes() map[int]member {
	all := map[int]member{}
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			if m, ok := readMember(pid); ok {
				all[pid] = m
			}
		}
	}
	return all
}

// treeOf returns a process and all below it; none for 0.
func treeOf(all map[int]member, root int) (tree []member) {
	m, ok := all[root]
	if root == 0 || !ok {
		return nil
	}
	tree = append(tree, m)
	for _, x := range all {
		if x.parent == root {
			tree = append(tree, treeOf(all, x.pid)...)
		}
	}
	return tree
}

// signalTree sends a signal to a process and to all below it.
func signalTree(root int, sig syscall.Signal) {
	for _, m := range treeOf(processes(), root) {
		_ = syscall.Kill(m.pid, sig)
	}
}

// isWalsender reports whether a process of PostgreSQL serves a standby.
func isWalsender(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	title := b[:min(len(b), 80)]
	return err == nil && bytes.HasPrefix(title, []byte("postgres: ")) && bytes.Contains(title, []byte("walsender"))
}

// usage holds the CPU time that was used up to a moment.
type usage struct {
	when                    time.Time
	primary, senders, other time.Duration // of the primary's tree, its walsenders among it, the target's tree
	machine, ours           time.Duration // of everybody, of this process's tree
}

// usageOf reads the CPU time of the primary and of a target, by their processes.
func usageOf(primary, other int) usage {
	all := processes()
	u := usage{when: time.Now()}
	for _, m := range treeOf(all, primary) {
		u.primary += m.self + m.reaped
		if isWalsender(m.pid) {
			u.senders += m.self
		}
	}
	for _, m := range treeOf(all, other) {
		u.other += m.self + m.reaped
	}
	for _, m := range treeOf(all, os.Getpid()) {
		u.ours += m.self + m.reaped
	}
	b, _ := os.ReadFile("/proc/stat")
	line, _, _ := strings.Cut(string(b), "\n")
	for i, v := range strings.Fields(line) {
		if i == 0 || i == 4 || i == 5 || i > 8 { // its name, idle, iowait, guests
			continue
		}
		n, _ := strconv.ParseInt(v, 10, 64)
		u.machine += time.Duration(n) * clockTick
	}
	return u
}

// since returns the CPU time that was used after an earlier moment.
func (u usage) since(v usage) usage {
	return usage{
		primary: u.primary - v.primary, senders: u.senders - v.senders, other: u.other - v.other,
		machine: u.machine - v.machine, ours: u.ours - v.ours, when: time.Time{}.Add(u.when.Sub(v.when)),
	}
}

// seconds returns how long a difference took.
func (u usage) seconds() float64 { return u.when.Sub(time.Time{}).Seconds() }

// others returns the share of the machine that processes outside of this run used.
func (u usage) others() float64 {
	return max(0, (u.machine-u.ours).Seconds()/u.seconds()/float64(runtime.NumCPU()))
}

// residentOf returns the resident memory of a process in bytes.
func residentOf(pid int) int64 {
	b, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	for l := range strings.Lines(string(b)) {
		if kB, ok := strings.CutPrefix(l, "VmRSS:"); ok {
			n, _ := strconv.ParseInt(strings.Fields(kB)[0], 10, 64)
			return n << 10
		}
	}
	return 0
}
