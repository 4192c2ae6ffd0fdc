package pgtest

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/replproxy/replproxy/internal/child"
)

// logTail is the part of a log that a failed test shows: enough for the end of a crash report.
const logTail = 8 << 10

// dataRace begins a report of the race detector.
const dataRace = "WARNING: DATA RACE"

// boring are log lines of which a proxy's every log-in makes dozens.
var boring = regexp.MustCompile(`(?m)^.* (STATEMENT:  |received replication command: )SHOW .*\n`)

// process is a running program whose output goes to files.
type process struct{ *child.Process }

// startProcess starts a program that writes to logPath, and its errors to stderr unless that is nil.
func startProcess(cmd *exec.Cmd, logPath string, stderr *os.File) (*process, error) {
	p, err := child.Start(cmd, logPath, stderr, nil)
	return &process{p}, err
}

// kill9 kills the process and its children at once, as a crash of the machine would, and returns when
// all are gone. PostgreSQL's children leave the process group, so they are looked up.
func (p *process) kill9() {
	p.Signal(syscall.SIGSTOP) // a backend that is forked now would be missed, and hold the shared memory
	for range 1000 {
		if state := procState(p.PID()); state == 'T' || state == 'Z' || state == 0 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	children := childrenOf(p.PID())
	p.Signal(syscall.SIGKILL)
	for _, pid := range children {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	<-p.Done()
	for _, pid := range children {
		waitGone(pid)
	}
}

func waitGone(pid int) {
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for range 1000 { // an orphan is reaped by init at once; the bound is for an init that does not
		state := procState(pid)
		if state == 0 || state == 'Z' {
			return
		}
		<-ticker.C
	}
}

func childrenOf(parent int) []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var children []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if fields := procStat(pid); len(fields) > 1 && fields[1] == strconv.Itoa(parent) {
			children = append(children, pid)
		}
	}
	return children
}

func procState(pid int) byte {
	if fields := procStat(pid); len(fields) > 0 {
		return fields[0][0]
	}
	return 0
}

// procStat returns the fields of /proc/<pid>/stat after the command name: state, parent, …
func procStat(pid int) []string {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return nil
	}
	return strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
}

// showLog puts the end of a log file into the output of a test that failed.
func showLog(t testing.TB, name, path string) {
	if !t.Failed() {
		return
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return // it was never started
	}
	if err != nil {
		t.Logf("log of %s: %v", name, err)
		return
	}
	text = boring.ReplaceAll(text, nil)
	for _, bad := range []string{dataRace, "\npanic: ", "\nfatal error: "} {
		if at := bytes.Index(text, []byte(bad)); at >= 0 && at < len(text)-logTail {
			from := text[at:min(len(text), at+logTail)]
			t.Logf("log of %s, from its first %q on:\n%s", name, strings.TrimSpace(bad), from)
		}
	}
	if len(text) > logTail {
		text = text[len(text)-logTail:]
	}
	t.Logf("log of %s, its end:\n%s", name, text)
}
