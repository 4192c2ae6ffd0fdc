package pgtest

import (
	"fmt"
	"strings"
)

// Option changes how a server is made.
type Option func(*serverOptions)

type serverOptions struct {
	name     string
	settings []string
	initArgs []string
	hba      []string
	password string
	stopped  bool
	noWait   bool
	host     *Host
	port     int // 0: a free one
}

// Name gives a server its name: in logs and, as cluster_name, what a standby's walreceiver calls
// itself. The default is "primary" or "standby".
func Name(name string) Option { return func(o *serverOptions) { o.name = name } }

// Settings adds lines of postgresql.conf, as "wal_level = logical". They win over the harness's own,
// and ALTER SYSTEM wins over both.
func Settings(lines ...string) Option {
	return func(o *serverOptions) { o.settings = append(o.settings, lines...) }
}

// InitArgs adds arguments of initdb, as "--wal-segsize=1" or "--data-checksums".
func InitArgs(args ...string) Option {
	return func(o *serverOptions) { o.initArgs = append(o.initArgs, args...) }
}

// HBA replaces the lines of pg_hba.conf (default: trust for everybody from this machine) except the
// first one, which always trusts the unix socket: the harness needs a way in.
func HBA(lines ...string) Option { return func(o *serverOptions) { o.hba = lines } }

// SCRAM makes the server ask for scram-sha-256 over TCP; password is the one of user postgres, and
// Conninfo has it.
func SCRAM(password string) Option {
	return func(o *serverOptions) {
		o.password = password
		o.hba = []string{
			"host all all all scram-sha-256",
			"host replication all all scram-sha-256",
		}
	}
}

// Fsync turns fsync on. It is off by default: tests kill processes, not the machine.
func Fsync() Option { return Settings("fsync = on") }

// Stopped makes the server, but leaves its start to the test.
func Stopped() Option { return func(o *serverOptions) { o.stopped = true } }

// NoWait starts the server without waiting until it accepts connections: for a standby whose
// upstream is away.
func NoWait() Option { return func(o *serverOptions) { o.noWait = true } }

// On puts the server on a host of a network. The test talks to it by its unix socket.
func On(h *Host) Option { return func(o *serverOptions) { o.host = h } }

// Port gives the server a port that its host has for it.
func Port(port int) Option { return func(o *serverOptions) { o.port = port } }

func collect(defaultName string, opts []Option) serverOptions {
	o := serverOptions{name: defaultName}
	for _, opt := range opts {
		opt(&o)
	}
	return o
}

func hbaFile(lines []string) []byte {
	if lines == nil {
		lines = []string{
			"host all all all trust",
			"host replication all all trust",
		}
	}
	always := []string{"local all all trust", "local replication all trust"}
	return []byte(strings.Join(append(always, lines...), "\n") + "\n")
}

// confFile returns the settings of every server of the harness: small, quick, talkative about replication and quiet
// otherwise. standby is primary_conninfo and primary_slot_name.
func (s *Server) confFile() []byte {
	lines := []string{
		fmt.Sprintf("listen_addresses = '%s'", s.host.address()),
		fmt.Sprintf("port = %d", s.Port),
		fmt.Sprintf("unix_socket_directories = '%s'", s.SocketDir),
		fmt.Sprintf("cluster_name = '%s'", s.Name),
		"fsync = off",
		"shared_buffers = 16MB",
		"max_wal_size = 256MB",
		"autovacuum = off", // or an idle primary would write WAL when it likes
		"jit = off",
		"max_wal_senders = 10",
		"max_replication_slots = 10",
		"max_connections = 60",
		"wal_retrieve_retry_interval = 200ms",
		"wal_receiver_status_interval = 1s",
		"log_replication_commands = on",
		"log_line_prefix = '%m [%p] %b %a '",
		"log_timezone = UTC",
		"timezone = UTC",
	}
	lines = append(lines, s.settings...)
	return []byte(strings.Join(lines, "\n") + "\n")
}
