package pgtest

import (
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// StopMode is PostgreSQL's way to stop, by the signal that asks for it.
type StopMode syscall.Signal

// The modes of pg_ctl stop.
const (
	Smart     = StopMode(syscall.SIGTERM)
	Fast      = StopMode(syscall.SIGINT)
	Immediate = StopMode(syscall.SIGQUIT)
)

// Stop stops the server and waits for its end. A fast stop of a primary waits for its walsenders.
func (s *Server) Stop(t testing.TB, mode StopMode) {
	t.Helper()
	if !s.Running() {
		t.Fatalf("%s does not run", s.Name)
	}
	s.proc.Signal(syscall.Signal(mode))
	if !s.proc.Wait(stopTimeout) {
		t.Fatalf("%s did not stop within %v", s.Name, stopTimeout)
	}
}

// Kill9 kills all processes of the server at once and waits until they are gone.
func (s *Server) Kill9(t testing.TB) {
	t.Helper()
	if !s.Running() {
		t.Fatalf("%s does not run", s.Name)
	}
	s.proc.kill9()
}

// Restart stops the server (fast) and starts it again.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	s.Stop(t, Fast)
	s.Start(t)
}

// Promote makes a standby a primary and waits until it is one.
func (s *Server) Promote(t testing.TB) {
	t.Helper()
	if got := s.Scalar(t, "SELECT pg_promote(true, 60)"); got != "t" {
		t.Fatalf("%s was not promoted", s.Name)
	}
}

// end stops the server at the end of its test: quick, and it leaves nothing behind.
func (s *Server) end() {
	if s.Running() {
		s.proc.Signal(syscall.SIGQUIT)
		if !s.proc.Wait(stopTimeout) {
			s.proc.kill9()
		}
	}
	s.removeSharedMemory()
}

// removeSharedMemory removes the System V segment of a server that was killed. Its id is the second
// number in the seventh line of postmaster.pid, a file that a clean stop removes.
func (s *Server) removeSharedMemory() {
	lines := s.pidFile()
	if len(lines) < 7 {
		return
	}
	if fields := strings.Fields(lines[6]); len(fields) == 2 {
		if id, err := strconv.Atoi(fields[1]); err == nil {
			_, _ = unix.SysvShmCtl(id, unix.IPC_RMID, nil)
		}
	}
}
