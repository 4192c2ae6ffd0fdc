package pgtest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Bounds on a server's start and stop: generous, because two cores may run many of them at once.
const (
	startTimeout = 90 * time.Second
	stopTimeout  = 4 * time.Minute
)

// StopMode is PostgreSQL's way to stop, by the signal that asks for it.
type StopMode syscall.Signal

// The modes of pg_ctl stop.
const (
	Smart     = StopMode(syscall.SIGTERM)
	Fast      = StopMode(syscall.SIGINT)
	Immediate = StopMode(syscall.SIGQUIT)
)

// Server is one PostgreSQL server, running or not, that ends with its test.
type Server struct {
	Name      string
	Install   *Install
	Dir       string // data directory
	SocketDir string // folder of its unix socket
	Port      int    // of 127.0.0.1 (or of its host) and of the unix socket
	Password  string // of user postgres; "" without SCRAM

	host     *Host // nil: this process's network
	settings []string
	logPath  string
	proc     *process // nil: never started
}

// Primary makes a server with a fresh cluster and starts it.
func (in *Install) Primary(t testing.TB, opts ...Option) *Server {
	t.Helper()
	o := collect("primary", opts)
	s := in.newServer(t, o)
	if err := in.newDataDir(s.Dir, o.initArgs); err != nil {
		t.Fatalf("make %s: %v", s.Name, err)
	}
	s.configure(t, hbaFile(o.hba))
	s.Password = o.password
	if o.password != "" {
		s.setPassword(t, o)
	}
	s.startAs(t, o)
	return s
}

func (in *Install) newServer(t testing.TB, o serverOptions) *Server {
	t.Helper()
	dir := in.TempDir(t)
	s := &Server{
		Name:      o.name,
		Install:   in,
		Dir:       filepath.Join(dir, "data"),
		SocketDir: dir,
		Port:      o.port,
		host:      o.host,
		settings:  o.settings,
		logPath:   filepath.Join(dir, "log"),
	}
	if s.Port == 0 {
		s.Port = FreePort(t)
	}
	t.Cleanup(func() {
		s.end()
		showLog(t, fmt.Sprintf("%s (%s, port %d)", s.Name, in.Version, s.Port), s.logPath)
	})
	return s
}

// setPassword runs the server once, reachable by its unix socket only through trust, to set it.
func (s *Server) setPassword(t testing.TB, o serverOptions) {
	t.Helper()
	s.Start(t)
	ctx, cancel := context.WithTimeout(t.Context(), queryTimeout)
	defer cancel()
	sql := "SET synchronous_commit = local; SET password_encryption = 'scram-sha-256'; " +
		"ALTER ROLE postgres PASSWORD '" + o.password + "'"
	if _, err := Query(ctx, s.SocketConninfo(), sql); err != nil {
		t.Fatalf("set password: %v", err)
	}
	if o.stopped {
		s.Stop(t, Fast)
	}
}

func (s *Server) startAs(t testing.TB, o serverOptions) {
	t.Helper()
	switch {
	case o.stopped || s.Running():
	case o.noWait:
		s.StartNoWait(t)
	default:
		s.Start(t)
	}
}

// configure writes the harness's settings into a data directory; nil hba leaves pg_hba.conf alone.
func (s *Server) configure(t testing.TB, hba []byte) {
	t.Helper()
	who := s.Install.who
	const include = "\ninclude 'pgtest.conf'\n"
	main := filepath.Join(s.Dir, "postgresql.conf")
	text, err := os.ReadFile(main)
	if err == nil && !strings.Contains(string(text), include) {
		err = writeFile(main, append(text, include...), who)
	}
	if err == nil {
		err = writeFile(filepath.Join(s.Dir, "pgtest.conf"), s.confFile(), who)
	}
	if err == nil && hba != nil {
		err = writeFile(filepath.Join(s.Dir, "pg_hba.conf"), hba, who)
	}
	if err != nil {
		t.Fatalf("configure %s: %v", s.Name, err)
	}
}

// Set adds lines of postgresql.conf; they hold from the next start or Reload on.
func (s *Server) Set(t testing.TB, lines ...string) {
	t.Helper()
	s.settings = append(s.settings, lines...)
	s.configure(t, nil)
}

// Reload makes a running server read its configuration again.
func (s *Server) Reload() { s.proc.Signal(syscall.SIGHUP) }

// Start starts a stopped server and waits until it accepts connections.
func (s *Server) Start(t testing.TB) {
	t.Helper()
	s.StartNoWait(t)
	s.WaitReady(t)
}

// WaitReady waits until a server that was started accepts connections.
func (s *Server) WaitReady(t testing.TB) {
	t.Helper()
	WaitFor(t, startTimeout, s.Name+" to accept connections", func() (bool, error) {
		if !s.proc.Alive() {
			return false, fmt.Errorf("%s has ended: %w", s.Name, s.proc.Err())
		}
		return s.status() == "ready", nil
	})
}

// StartNoWait starts a stopped server and does not wait for it.
func (s *Server) StartNoWait(t testing.TB) {
	t.Helper()
	if s.Running() {
		t.Fatalf("%s runs already", s.Name)
	}
	cmd := exec.Command(filepath.Join(s.Install.Bin, "postgres"), "-D", s.Dir)
	// SIGQUIT is an immediate shutdown, after which PostgreSQL leaves no shared memory behind.
	s.Install.who.prepare(cmd, s.SocketDir, syscall.SIGQUIT)
	s.host.furnish(cmd)
	err := s.host.run(func() (err error) {
		s.proc, err = startProcess(cmd, s.logPath, nil)
		return err
	})
	if err != nil {
		t.Fatalf("start %s: %v", s.Name, err)
	}
}

// status returns the last line of postmaster.pid: "starting", "ready", "standby" (not yet consistent) or "stopping";
// "" without one or when it is of an earlier postmaster.
func (s *Server) status() string {
	lines := s.pidFile()
	if len(lines) < 8 || lines[0] != strconv.Itoa(s.proc.PID()) {
		return ""
	}
	return strings.TrimSpace(lines[7])
}

func (s *Server) pidFile() []string {
	text, err := os.ReadFile(filepath.Join(s.Dir, "postmaster.pid"))
	if err != nil {
		return nil
	}
	return strings.Split(string(text), "\n")
}

// Running reports whether the server's process runs.
func (s *Server) Running() bool { return s.proc != nil && s.proc.Alive() }

// PID returns the postmaster's process id.
func (s *Server) PID() int { return s.proc.PID() }

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

// Log returns what the server has logged so far.
func (s *Server) Log() string {
	text, err := os.ReadFile(s.logPath)
	if err != nil {
		return ""
	}
	return string(text)
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

// Conninfo returns a libpq connection string for the server over TCP; extra is appended, and later
// keywords win.
func (s *Server) Conninfo(extra ...string) string {
	return conninfo(s.host.address(), s.Port, s.Password, extra)
}

// near returns the conninfo by which the test itself reaches the server.
func (s *Server) near(extra ...string) string {
	if s.host != nil {
		return s.SocketConninfo(extra...)
	}
	return s.Conninfo(extra...)
}

// SocketConninfo returns a connection string for the unix socket, where everybody is trusted.
func (s *Server) SocketConninfo(extra ...string) string {
	return conninfo(s.SocketDir, s.Port, "", extra)
}

func conninfo(host string, port int, password string, extra []string) string {
	words := []string{
		"host=" + host, fmt.Sprintf("port=%d", port), "user=postgres", "dbname=postgres", "sslmode=disable",
	}
	if password != "" {
		words = append(words, "password="+password)
	}
	return strings.Join(append(words, extra...), " ")
}
