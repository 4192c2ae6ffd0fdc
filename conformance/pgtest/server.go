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
)

// Bounds on a server's start and stop: generous, because two cores may run many of them at once.
const (
	startTimeout = 90 * time.Second
	stopTimeout  = 4 * time.Minute
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

// Log returns the server's log so far.
func (s *Server) Log() string {
	text, err := os.ReadFile(s.logPath)
	if err != nil {
		return ""
	}
	return string(text)
}
