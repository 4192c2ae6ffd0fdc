package physical_test

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/replproxy/replproxy/conformance/pgtest"
)

// commands are run in this order in one session, each on the primary itself and through the proxy.
// They must be answered alike, to the letter. The virtual slots and the primary's have equal states.
var commands = []string{
	`IDENTIFY_SYSTEM`,
	`IDENTIFY_SYSTEM;`,
	`identify_system`,
	``,
	`;`,
	`SELECT 1`,
	`IDENTIFY_SYSTEM SELECT`,
	`TIMELINE_HISTORY 0`,
	`TIMELINE_HISTORY 1`,
	`TIMELINE_HISTORY 17`,
	`SHOW wal_segment_size`,
	`SHOW DateStyle`,
	`SHOW datestyle`,
	`SHOW no_such_setting`,
	`READ_REPLICATION_SLOT nobody`,
	`CREATE_REPLICATION_SLOT here PHYSICAL`,
	`CREATE_REPLICATION_SLOT here PHYSICAL`,
	`READ_REPLICATION_SLOT here`,
	`CREATE_REPLICATION_SLOT HeRe2 PHYSICAL RESERVE_WAL`,
	`READ_REPLICATION_SLOT "here2"`,
	`CREATE_REPLICATION_SLOT "Here3" PHYSICAL`,
	`CREATE_REPLICATION_SLOT "" PHYSICAL`,
	`CREATE_REPLICATION_SLOT "a-b" PHYSICAL (RESERVE_WAL)`,
	`CREATE_REPLICATION_SLOT abcdefghij_abcdefghij_abcdefghij_abcdefghij_abcdefghij_abcdefghij_abc PHYSICAL`,
	`READ_REPLICATION_SLOT abcdefghij_abcdefghij_abcdefghij_abcdefghij_abcdefghij_abcdefghij_abc`,
	`DROP_REPLICATION_SLOT abcdefghij_abcdefghij_abcdefghij_abcdefghij_abcdefghij_abcdefghij_abc`,
	`CREATE_REPLICATION_SLOT passing TEMPORARY PHYSICAL (RESERVE_WAL true)`,
	`READ_REPLICATION_SLOT passing`,
	`DROP_REPLICATION_SLOT nobody`, // and with the error goes the temporary slot
	`READ_REPLICATION_SLOT passing`,
	`CREATE_REPLICATION_SLOT passing TEMPORARY PHYSICAL`,
	`DROP_REPLICATION_SLOT passing`,
	`CREATE_REPLICATION_SLOT passing TEMPORARY PHYSICAL`,
	`SHOW no_such_setting`, // an error of the primary's costs it too
	`READ_REPLICATION_SLOT passing`,
	`DROP_REPLICATION_SLOT nobody WAIT`,
	`DROP_REPLICATION_SLOT here2 WAIT`,
	`CREATE_REPLICATION_SLOT x PHYSICAL (SNAPSHOT 'use')`,
	`CREATE_REPLICATION_SLOT x PHYSICAL (NO_SUCH)`,
	`CREATE_REPLICATION_SLOT x LOGICAL test_decoding`,
	`CREATE_REPLICATION_SLOT x LOGICAL`,
	`START_REPLICATION SLOT nobody PHYSICAL 0/0`,
	`START_REPLICATION SLOT "" PHYSICAL 0/0`,
	`START_REPLICATION SLOT here LOGICAL 0/0`,
	`START_REPLICATION 0/0 TIMELINE 0`,
	`START_REPLICATION 0/0 TIMELINE 7`,
	`START_REPLICATION 0/0 garbage`,
	`ALTER_REPLICATION_SLOT here (FAILOVER)`,
	`BASE_BACKUP (no_such_option)`,
	`BASE_BACKUP LABEL 'old form'`,
	`DROP_REPLICATION_SLOT here`,
	`UPLOAD_MANIFEST`,
	`SHOW wal_level`, // which is no part of a manifest
}

func TestCommandsAreAnsweredAsByPostgreSQL(t *testing.T) {
	pgtest.ForEachMajor(t, func(t *testing.T, in *pgtest.Install) {
		primary := in.Primary(t, pgtest.SCRAM("secret"))
		w := newWorld(t, primary, worldOptions{})
		direct, through := connect(t, primary.Conninfo()), connect(t, w.conninfo())
		for _, c := range commands {
			want := withoutCopyData(normal(direct.query(c)))
			got := withoutCopyData(normal(through.query(c)))
			if got != want {
				t.Errorf("%s\nprimary: %s\n  proxy: %s", c, indent(want), indent(got))
			}
		}
		// What they agree on is what the facts say.
		if got := connect(t, w.conninfo()).query("SELECT 1"); !strings.Contains(got, "0A000") || !strings.HasSuffix(got, "Z I") {
			t.Errorf("SQL on a physical walsender: %s", got)
		}
	})
}

// Before 15 a stream from a standby needs IDENTIFY_SYSTEM first (trap K40; a primary knows its
// timeline by itself).
func TestStartBeforeIdentifySystem(t *testing.T) {
	in := pgtest.Need(t, 14)
	primary := in.Primary(t)
	standby := in.Standby(t, pgtest.StandbyOptions{From: primary})
	pgtest.WaitCaughtUp(t, primary, standby)
	for _, server := range []*pgtest.Server{primary, standby} {
		w := newWorld(t, server, worldOptions{})
		at := primary.CurrentLSN(t).String()
		direct, through := connect(t, server.Conninfo()), connect(t, w.conninfo())
		want, got := direct.query("START_REPLICATION "+at), through.query("START_REPLICATION "+at)
		if got != want || strings.Contains(want, "55000") != (server == standby) {
			t.Errorf("%s\nprimary: %s\n  proxy: %s", server.Name, indent(want), indent(got))
		}
	}
}

// An unaligned start is allowed, the end of COPY has two completions, what comes late is ignored.
func TestStreamingIsBegunAndEndedAsByPostgreSQL(t *testing.T) {
	primary := pgtest.Need(t, 15).Primary(t, pgtest.SCRAM("secret"))
	w := newWorld(t, primary, worldOptions{})
	for _, end := range [][]pgproto3.FrontendMessage{
		{&pgproto3.CopyDone{}},
		{&pgproto3.CopyDone{}, &pgproto3.Query{String: "IDENTIFY_SYSTEM"}},
	} {
		var outcomes []string
		for _, conninfo := range []string{primary.Conninfo(), w.conninfo()} {
			s := connect(t, conninfo)
			at := primary.CurrentLSN(t)
			out := s.query("START_REPLICATION " + at.String())
			s.send(end...)
			for range end {
				out += "\n" + withoutCopyData(s.transcript())
			}
			outcomes = append(outcomes, normal(out))
		}
		if outcomes[0] != outcomes[1] {
			t.Errorf("primary: %s\n  proxy: %s", indent(outcomes[0]), indent(outcomes[1]))
		}
	}
}

func TestStartAheadOfTheServer(t *testing.T) {
	primary := pgtest.Need(t, 15).Primary(t, pgtest.SCRAM("secret"))
	w := newWorld(t, primary, worldOptions{})
	var outcomes []string
	for _, conninfo := range []string{primary.Conninfo(), w.conninfo()} {
		s := connect(t, conninfo)
		out := s.query("START_REPLICATION F/0")
		if strings.Contains(out, "W ") { // PostgreSQL has begun COPY before it looks
			out = s.transcript()
		}
		outcomes = append(outcomes, normal(out)+"\n"+normal(s.query("IDENTIFY_SYSTEM")))
	}
	if outcomes[0] != outcomes[1] {
		t.Errorf("primary: %s\n  proxy: %s", indent(outcomes[0]), indent(outcomes[1]))
	}
}

func TestSlotInUse(t *testing.T) {
	primary := pgtest.Need(t, 15).Primary(t, pgtest.SCRAM("secret"))
	w := newWorld(t, primary, worldOptions{})
	var outcomes []string
	for _, conninfo := range []string{primary.Conninfo(), w.conninfo()} {
		holder, other := connect(t, conninfo), connect(t, conninfo)
		out := holder.query("CREATE_REPLICATION_SLOT s PHYSICAL")
		out += holder.query("START_REPLICATION SLOT s " + primary.CurrentLSN(t).String())
		start := "START_REPLICATION SLOT s " + primary.CurrentLSN(t).String()
		for _, c := range []string{start, "DROP_REPLICATION_SLOT s", "READ_REPLICATION_SLOT s"} {
			out += "\n" + other.query(c)
		}
		other.send(&pgproto3.Query{String: "DROP_REPLICATION_SLOT s WAIT"})
		holder.send(&pgproto3.CopyDone{})
		out += "\n" + withoutCopyData(holder.transcript()) + "\n" + other.transcript()
		outcomes = append(outcomes, normal(out))
	}
	if outcomes[0] != outcomes[1] {
		t.Errorf("primary: %s\n  proxy: %s", indent(outcomes[0]), indent(outcomes[1]))
	}
}

// Everything that is no simple query (facts B1), against the primary itself.
func TestOtherMessagesAreAnsweredAsByPostgreSQL(t *testing.T) {
	primary := pgtest.Need(t, 15).Primary(t, pgtest.SCRAM("secret"))
	w := newWorld(t, primary, worldOptions{})
	for name, play := range map[string]func(s *script) string{
		"extended query skips until sync": func(s *script) string {
			s.send(&pgproto3.Parse{Query: "IDENTIFY_SYSTEM"}, &pgproto3.Bind{}, &pgproto3.Query{String: "IDENTIFY_SYSTEM"},
				&pgproto3.Sync{})
			return s.transcript()
		},
		"describe": func(s *script) string {
			s.send(&pgproto3.Describe{ObjectType: 'S'}, &pgproto3.Sync{}, &pgproto3.Query{String: "IDENTIFY_SYSTEM"})
			return s.transcript() + s.transcript()
		},
		"close and execute": func(s *script) string {
			s.send(&pgproto3.Close{ObjectType: 'S'}, &pgproto3.Execute{}, &pgproto3.Sync{})
			return s.transcript()
		},
		"function call": func(s *script) string {
			s.send(&pgproto3.FunctionCall{Function: 1})
			return s.transcript()
		},
		"flush and sync": func(s *script) string {
			s.send(&pgproto3.Flush{}, &pgproto3.Sync{})
			return s.transcript()
		},
		"stray copy messages": func(s *script) string {
			s.send(&pgproto3.CopyData{Data: make([]byte, 100_000)}, &pgproto3.CopyDone{}, &pgproto3.CopyFail{},
				&pgproto3.Query{String: "IDENTIFY_SYSTEM"})
			return s.transcript()
		},
		"unknown type": func(s *script) string {
			s.raw('!', 0, 0, 0, 4)
			return s.transcript()
		},
		"password out of turn": func(s *script) string {
			s.raw('p', 0, 0, 0, 6, 'x', 0)
			return s.transcript()
		},
		"query without terminator": func(s *script) string {
			s.raw('Q', 0, 0, 0, 7, 'a', 'b', 'c')
			return s.transcript()
		},
		"query with more behind it": func(s *script) string {
			s.raw('Q', 0, 0, 0, 8, 'a', 0, 'c', 0)
			return s.transcript()
		},
		"sync with a body": func(s *script) string {
			s.raw('S', 0, 0, 0, 5, 'a')
			return s.transcript()
		},
		"terminate": func(s *script) string {
			s.send(&pgproto3.Query{String: "IDENTIFY_SYSTEM"}, &pgproto3.Terminate{})
			return s.transcript() + s.transcript()
		},
		"impossible length": func(s *script) string {
			s.raw('Q', 0, 0, 0, 3)
			return s.transcript()
		},
	} {
		t.Run(name, func(t *testing.T) {
			want := normal(play(connect(t, primary.Conninfo())))
			got := normal(play(connect(t, w.conninfo())))
			if got != want {
				t.Errorf("primary: %s\n  proxy: %s", indent(want), indent(got))
			}
		})
	}
}

func withoutCopyData(transcript string) string {
	var kept []string
	for _, l := range strings.Split(transcript, "\n") {
		if !strings.HasPrefix(l, "d ") {
			kept = append(kept, l)
		}
	}
	return strings.Join(kept, "\n")
}

func indent(s string) string { return strings.ReplaceAll(s, "\n", "\n         ") }
