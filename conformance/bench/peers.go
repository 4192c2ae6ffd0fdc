package bench

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/internal/child"
)

// Names of targets.
const (
	direct    = "direct"             // the primary itself
	cascade   = "cascade"            // a cascading standby
	haproxy   = "HAProxy"            // in TCP mode
	pgbouncer = "PgBouncer"          // in session mode; Debian's relays no replication
	ours      = "replproxy"          // this code, wal.report: flushed
	elsewhere = "data_dir in memory" // the same, which shares no disk with the primary
	written   = "written"            // the same with wal.report: written
	relayLoop = "plain relay"        // the limit of a relay
	writer    = "plain writer"       // the limit of who sends live WAL
)

// haproxyFile is HAProxy's configuration, with as many threads as it likes (its default).
const haproxyFile = `global
  maxconn 4000
defaults
  mode tcp
  timeout connect 5s
  timeout client 1h
  timeout server 1h
listen pg
  bind 127.0.0.1:%d
  server p 127.0.0.1:%d
`

// start starts a target.
func (a *arena) start(name string) *target {
	port := a.primary.Port
	switch name {
	case direct:
		return &target{name: name, port: port}
	case cascade:
		from := pgtest.StandbyOptions{From: a.primary}
		s := a.in.Standby(a.t, from, pgtest.Name(cascade), pgtest.Fsync(), pgtest.Settings("max_connections = 400",
			"max_wal_senders = 300", "wal_keep_size = 32GB", "shared_buffers = 256MB",
			"wal_sender_timeout = 0", "wal_receiver_timeout = 0"))
		return &target{name: name, port: s.Port, pid: s.PID(), stream: cascade}
	case haproxy:
		listen := pgtest.FreePort(a.t)
		config := a.file("haproxy.cfg", fmt.Sprintf(haproxyFile, listen, port))
		return a.program(name, listen, find("haproxy"), "-db", "-f", config)
	case pgbouncer:
		return a.startPgBouncer()
	case ours, written:
		p := pgtest.StartProxy(a.t, pgtest.ProxyOptions{
			Name: name, Upstream: a.primary.Conninfo("dbname=postgres"), Config: proxyConfig(name, ""),
		})
		return &target{name: name, port: p.Port, pid: p.PID(), stream: name, proxy: p}
	case elsewhere:
		dir, err := os.MkdirTemp("/dev/shm", "bench")
		if err != nil {
			a.t.Fatal(err)
		}
		a.t.Cleanup(func() { _ = os.RemoveAll(dir) })
		a.in.Give(a.t, dir)
		p := pgtest.StartProxy(a.t, pgtest.ProxyOptions{
			Name: "elsewhere", Upstream: a.primary.Conninfo("dbname=postgres"), Config: proxyConfig(name, ""),
			DataDir: filepath.Join(dir, "data"),
		})
		return &target{name: name, port: p.Port, pid: p.PID(), stream: "elsewhere", proxy: p}
	case relayLoop:
		listen := pgtest.FreePort(a.t)
		return a.self(name, listen, fmt.Sprint("relay ", listen, " ", port))
	case writer:
		listen := pgtest.FreePort(a.t)
		x := a.self(name, listen, fmt.Sprint("live ", listen, " ", port))
		x.stream = plainStream
		return x
	}
	a.t.Fatalf("there is no target %q", name)
	return nil
}

// proxyConfig returns the file of a measured proxy by its name: with room for all who are simulated, and with a rule.
func proxyConfig(name, rule string) string {
	report := "flushed"
	if name == written {
		report = "written"
	}
	return "limits: {max_connections: 10000, max_connections_per_address: 10000, max_logins: 1000}\n" +
		"wal: {report: " + report + "}\nsynchronous_standby_names: '" + rule + "'\n"
}

// find returns the path of a server, which may lie where only root looks.
func find(name string) string {
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	return "/usr/sbin/" + name
}

// file writes a file that the servers' user may read.
func (a *arena) file(name, content string) string {
	path := filepath.Join(a.dir, name)
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		a.t.Fatal(err)
	}
	return path
}

func (a *arena) startPgBouncer() *target {
	listen := pgtest.FreePort(a.t)
	users := a.file("users.txt", fmt.Sprintf("%q %q\n%q %q\n", "postgres", "", "proven", provenPassword))
	hba := a.file("hba.conf", "host all proven 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\n")
	config := a.file("pgbouncer.ini", strings.Join([]string{
		"[databases]", fmt.Sprintf("* = host=127.0.0.1 port=%d", a.primary.Port),
		"[pgbouncer]", "listen_addr = 127.0.0.1", fmt.Sprintf("listen_port = %d", listen), "unix_socket_dir =",
		"auth_type = hba", "auth_hba_file = " + hba, "auth_file = " + users, "pool_mode = session",
		"max_client_conn = 4000", "default_pool_size = 300", "log_connections = 0", "log_disconnections = 0",
		"ignore_startup_parameters = extra_float_digits",
	}, "\n")+"\n")
	return a.program(pgbouncer, listen, find("pgbouncer"), "-q", config)
}

// program starts a server that is not PostgreSQL, as the servers' user, and waits until it lets clients in.
func (a *arena) program(name string, port int, path string, args ...string) *target {
	return a.run(name, port, a.in.Tool(a.t, a.dir, path, args...))
}

// self starts this program again, as one of the limits.
func (a *arena) self(name string, port int, what string) *target {
	path, err := os.Executable()
	if err != nil {
		a.t.Fatal(err)
	}
	cmd := exec.Command(path)
	cmd.Env = append(os.Environ(), childEnv+"="+what)
	cmd.SysProcAttr = &syscall.SysProcAttr{}
	return a.run(name, port, cmd)
}

func (a *arena) run(name string, port int, cmd *exec.Cmd) *target {
	log := filepath.Join(a.dir, strings.ReplaceAll(name, " ", "-")+".log")
	p, err := child.Start(cmd, log, nil, nil)
	if err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(func() {
		p.Signal(syscall.SIGCONT)
		p.Stop(syscall.SIGTERM, time.Second)
	})
	x := &target{name: name, port: port, pid: p.PID()}
	pgtest.WaitFor(a.t, time.Minute, name+" to let a client in", func() (bool, error) {
		if !p.Alive() {
			text, _ := os.ReadFile(log)
			return false, fmt.Errorf("%s has ended: %w\n%s", name, p.Err(), text)
		}
		c, err := pgtest.Dial(a.t.Context(), x.conninfo())
		if err != nil {
			return false, nil
		}
		return true, c.Close(a.t.Context())
	})
	return x
}
