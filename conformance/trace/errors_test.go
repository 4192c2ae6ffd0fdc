package trace_test

import (
	"strings"
	"testing"

	"github.com/replproxy/replproxy/conformance/trace"
)

// walsenderErrors are the errors and notices that a walsender can give, by their source. That is the command language
// (facts B1 to B4), physical streaming (E1 to E7), and slots and log-in where those two name them.
func walsenderErrors() map[string][]string {
	return map[string][]string{
		"messages": {
			"08P01 | M extended query protocol not supported in a replication connection",
			"08P01 | M fastpath function calls not supported in a replication connection",
			"08P01 | M invalid frontend message type",
			"08P01 | M invalid message format",
			"08P01 | M insufficient data left in message",
		},
		"dispatch": {
			"0A000 | M cannot execute SQL commands in WAL sender for physical replication",
			"42601 | M syntax error",
			"42601 | M unterminated quoted string",
			"25P02 | M current transaction is aborted, commands ignored until end of transaction block",
			"25001 | M START_REPLICATION cannot run inside a transaction block",
			"25001 | M BASE_BACKUP cannot run inside a transaction block",
			"25001 | M TIMELINE_HISTORY cannot run inside a transaction block",
			"25001 | M UPLOAD_MANIFEST cannot run inside a transaction block",
			"55000 | M IDENTIFY_SYSTEM has not been run before START_REPLICATION",
			"57014 | M canceling statement due to user request",
			"57P01 | M terminating connection due to administrator command",
		},
		"words": {
			`42622 | M identifier "`,
			"42601 | M invalid timeline 0",
		},
		"options": {
			"42601 | M reserve_wal requires a Boolean value",
			"42601 | M failover requires a Boolean value",
			"42601 | M snapshot requires a parameter",
			"42601 | M conflicting or redundant options",
			"XX000 | M unrecognized option: no_such",
			"XX000 | M unrecognized option: two_phase",
			`22023 | M unrecognized value for CREATE_REPLICATION_SLOT option "snapshot"`,
			`42601 | M duplicate option "label"`,
			`42601 | M unrecognized base backup option: "no_such"`,
		},
		"slots": {
			`42602 | M replication slot name "" is too short`,
			`42602 | M replication slot name "a-b" contains invalid character`,
			`42710 | M replication slot "s" already exists`,
			"53400 | M all replication slots are in use",
			`42704 | M replication slot "s" does not exist`,
			`55006 | M replication slot "s" is active for PID`,
			`55000 | M can no longer access replication slot "s"`,
			"55000 | M cannot use a logical replication slot for physical replication",
			"55000 | M cannot use physical replication slot for logical decoding",
			"0A000 | M cannot use READ_REPLICATION_SLOT with a logical replication slot",
			"0A000 | M cannot use ALTER_REPLICATION_SLOT with a physical replication slot",
		},
		"logical decoding": {
			"55000 | M logical decoding requires a database connection",
			"55000 | M logical decoding requires wal_level >= logical",
			`55000 | M logical decoding requires "wal_level" >= "logical"`,
			"0A000 | M logical decoding cannot be used while in recovery",
			`55000 | M logical decoding on standby requires "wal_level" >= "logical" on the primary`,
			`58P01 | M could not access file "no_such_plugin"`,
			`42501 | M library "no_such_plugin" may not be used as an output plugin`,
			"XX000 | M CREATE_REPLICATION_SLOT ... (SNAPSHOT 'use') must be called inside a transaction",
			"XX000 | M CREATE_REPLICATION_SLOT ... (SNAPSHOT 'use') must be called in REPEATABLE READ isolation mode transaction",
			"XX000 | M CREATE_REPLICATION_SLOT ... (SNAPSHOT 'use') must be called in a read-only transaction",
			"XX000 | M CREATE_REPLICATION_SLOT ... (SNAPSHOT 'use') must be called before any query",
			"XX000 | M CREATE_REPLICATION_SLOT ... (SNAPSHOT 'export') must not be called inside a transaction",
			"XX000 | M CREATE_REPLICATION_SLOT ... USE_SNAPSHOT must be called inside a transaction",
			"XX000 | M CREATE_REPLICATION_SLOT ... EXPORT_SNAPSHOT must not be called inside a transaction",
		},
		"SHOW and TIMELINE_HISTORY": {
			`42704 | M unrecognized configuration parameter "no_such_setting"`,
			`58P01 | M could not open file "pg_wal/00000001.history": No such file or directory`,
		},
		"streaming": {
			"XX000 | M requested timeline 3 is not in this server's history",
			"XX000 | M requested starting point LSN on timeline 1 is not in this server's history | D This server's history forked from timeline 1 at LSN.",
			"XX000 | M requested starting point LSN is ahead of the WAL flush position of this server LSN",
			"58P01 | M requested WAL segment 000000010000000000000001 has already been removed",
			`08P01 | M invalid standby message type "f"`,
			`08P01 | M invalid standby message type "Q"`,
			"08P01 | M no data left in message",
		},
		"log-in": {
			"22023 | M invalid value for parameter \"replication\"",
			"28000 | M no PostgreSQL user name specified in startup packet",
			"28000 | M no pg_hba.conf entry for replication connection from host",
			"28000 | M pg_hba.conf rejects replication connection for host",
			"42501 | M must be superuser or replication role to start walsender",
			"42501 | M permission denied to start WAL sender | D Only roles with the REPLICATION attribute may start a WAL sender process.",
			"3D000 | M database \"no_such_database\" does not exist",
			"0A000 | M unsupported frontend protocol",
			"08P01 | M invalid startup packet layout: expected terminator as last byte",
			"53300 | M number of requested standby connections exceeds max_wal_senders (currently 5)",
			`53300 | M number of requested standby connections exceeds "max_wal_senders" (currently 5)`,
			"57P03 | M the database system is starting up",
		},
	}
}

// What PostgreSQL has a text for, but no client can be given by it, is not among them:
//
//   - 55000 "cannot execute new commands while WAL sender is in stopping mode": a walsender that streams is told that
//     a stop is near, and exits when its stream ends. One that does not stream is terminated (57P01). So none of them
//     comes to another command. The proxy says it of a command that had arrived before the stop (TestCommandDuringStop
//     in proxy/physical).
//   - 42622 "replication slot name ... is too long": a longer name was cut before, with the notice above.
//
// 57P03 "shutting down" and 53300 "sorry, too many clients already" are the server's to whoever connects.
func TestEveryErrorIsTraced(t *testing.T) {
	answers := map[string]bool{}
	for _, name := range subjects() {
		f, err := trace.Read(path(name))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range f.Exchanges {
			for _, step := range e.Steps {
				for _, lines := range step.Answers {
					for _, line := range lines {
						answers[line] = true
					}
				}
			}
		}
	}
	traced := func(text string) bool {
		for line := range answers {
			if strings.Contains(line+" | ", " | C "+text) {
				return true
			}
		}
		return false
	}
	for subject, texts := range walsenderErrors() {
		for _, text := range texts {
			if !traced(text) {
				t.Errorf("%s: no exchange has %s", subject, text)
			}
		}
	}
}
