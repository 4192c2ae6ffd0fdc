package bench

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// profile has the CPU time of a profile, by leg and by kind.
type profile struct {
	total time.Duration
	cells map[string]map[string]time.Duration // leg, kind
}

// part names stacks by a function in them. The first part of a list that fits counts.
type part struct{ name, functions string }

// profileLegs tell whose work a stack is. What is within another part comes before it.
var profileLegs = []part{
	{"report", `walreceiver\.\(\*reporter\)\.(report|send|offer|finish)\b`},
	{"ledger and decision", `cluster\.\(\*Node\)|walreceiver\.\(\*(reporter|Receiver)\)`},
	{"disk: write", `walstore\.\(\*Store\)\.writeStep`},
	{"disk: sync", `walstore\.\(\*Store\)\.syncStep`},
	{"disk: mark", `walstore\.\(\*Store\)\.markStep`},
	{"stream: read and publish", `walreceiver\.\(\*(inbound|Session|Stream)\)`},
	{"standby: send", `walsender\.\(\*Sender\)\.stream`},
	{"standby: read replies", `walsender\.\(\*Sender\)\.repl`},
	{"between goroutines", `runtime\.(mcall|park_m|goexit0|gopreempt_m|goschedImpl)$|walstore\.\(\*Store\)\.stage`},
	{"runtime's own threads", `runtime\.(mstart|sysmon|gcBgMarkWorker|bgsweep|bgscavenge|systemstack)`},
}

// systemCalls tell which one a stack ends with, by the function that makes it.
var systemCalls = []part{
	{"read", `^syscall\.read$|[rR]ecvmsg`},
	{"write, writev", `^(syscall|.*unix)\.write$|\.writev$|[sS]endmsg|[sS]endfile`},
	{"pwrite", `\.[pP]write`},
	{"fdatasync", `\.F(data)?sync$`},
	{"poll", `unix\.[pP]?[pP]oll$`},
	{"epoll", `EpollWait$|runtime\.netpollBreak$`},
	{"other system calls", ``},
}

// others classify a stack that ends without a system call, by the function at its end.
var others = []part{
	{"futex", `^runtime\.futex$`},
	{"epoll", `^runtime\.(netpoll|write1)`},
	{"usleep, yield", `^runtime\.(usleep|osyield|procyield)`},
	{"clock", `^time\.|^runtime\.(nanotime|walltime|vdso)`},
	{"scheduler and runtime", `^(internal/)?runtime[./]`},
	{"our code", `/replproxy/`},
	{"libraries", ``},
}

// compiled returns the patterns of a list.
func compiled(parts []part) (all []*regexp.Regexp) {
	for _, p := range parts {
		all = append(all, regexp.MustCompile(p.functions))
	}
	return all
}

// nameOf returns the first part that fits one of the functions; "": none.
func nameOf(parts []part, functions []string) string {
	for i, p := range compiled(parts) {
		if slices.ContainsFunc(functions, p.MatchString) {
			return parts[i].name
		}
	}
	return ""
}

// kindOf returns the kind of work at the end of a stack.
func kindOf(stack []string) string {
	const wrappers = 7 // functions between the system call's own and what it is for
	if strings.HasSuffix(stack[0], "Syscall6") {
		return nameOf(systemCalls, stack[:min(wrappers, len(stack))])
	}
	return nameOf(others, stack[:1])
}

// profileOf reads the output of `go tool pprof -traces`.
func profileOf(text string) profile {
	p := profile{cells: map[string]map[string]time.Duration{}}
	_, text, _ = strings.Cut(text, "-+-") // behind the head
	for _, block := range strings.Split(text, "-----------+-") {
		var spent time.Duration
		var stack []string
		for _, l := range strings.Split(strings.TrimLeft(block, "-\n"), "\n") {
			f := strings.Fields(l)
			if len(f) > 1 && len(stack) == 0 {
				if d, err := time.ParseDuration(f[0]); err == nil {
					spent, f = d, f[1:]
				}
			}
			if len(f) > 0 && strings.Trim(f[0], "-+") != "" {
				stack = append(stack, strings.TrimSuffix(f[0], " (inline)"))
			}
		}
		if spent == 0 || len(stack) == 0 {
			continue
		}
		leg := nameOf(profileLegs, stack)
		if leg == "" {
			leg = "everything else"
		}
		kind := kindOf(stack)
		if p.cells[leg] == nil {
			p.cells[leg] = map[string]time.Duration{}
		}
		p.cells[leg][kind] += spent
		p.total += spent
	}
	return p
}

// takeProfile profiles the proxy for some seconds. It is called beside what loads the proxy.
func (g *gateway) takeProfile(seconds int) profile {
	code, body, err := g.proxy.Get(g.t.Context(), "/debug/pprof/profile?seconds="+strconv.Itoa(seconds))
	if err != nil || code != 200 {
		g.t.Errorf("profile the proxy: %d, %v", code, err)
		return profile{}
	}
	return readProfile(g.t, g.t.TempDir(), body)
}

func readProfile(t testing.TB, dir string, body []byte) profile {
	path := filepath.Join(dir, "cpu.pprof")
	if err := os.WriteFile(path, body, 0o600); err != nil {
		t.Errorf("profile the proxy: %v", err)
		return profile{}
	}
	out, err := exec.Command("go", "tool", "pprof", "-traces", path).Output()
	if err != nil {
		t.Errorf("go tool pprof: %v", err)
	}
	return profileOf(string(out))
}
