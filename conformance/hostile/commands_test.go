package hostile

import (
	"fmt"
	"strings"
)

// commands are sent, instead of good ones, by a client that has logged in as a physical walsender. All but those that
// say otherwise leave the session in order, and that is tried.
func commands() []attack {
	var all []attack
	add := func(name, want string, b ...[]byte) *attack {
		all = append(all, attack{name: "command: " + name, want: want, play: func(p *peer) { p.logIn("replication=true").send(b...) }})
		return &all[len(all)-1]
	}
	// then the session is good for a next command.
	then := func(name, want string, b ...[]byte) *attack {
		return add(name, want+" ready", append(b, query("IDENTIFY_SYSTEM"))...)
	}
	many := func(s string, n int) string { return strings.Repeat(s, n) }
	start := func(rest string) []byte { return query("START_REPLICATION " + rest) }

	add("unknown message type", "08P01 closed", frame('!', "x"))
	add("password behind the log-in", "08P01 closed", frame('p', "secret\x00"))
	add("startup packet behind the log-in", "08P01 closed", parameters("user", "postgres"))
	add("length of -1", "closed", header('Q', 0xffffffff))
	add("length of 3", "closed", header('Q', 3))
	add("query of 2 GB", "closed", header('Q', 0x7fffffff), []byte("IDENTIFY_SYSTEM"))
	add("query of 2 MB", "closed", query("SHOW "+many("x", 2<<20))).postgres = "42704 ready"
	add("Terminate of 20 kB", "closed", frame('X', many("x", 20_000)))
	then("query without an end", "08P01 ready", frame('Q', "IDENTIFY_SYSTEM"))
	then("query of nothing", "08P01 ready", frame('Q', ""))
	then("query with bytes behind its end", "08P01 ready", frame('Q', "IDENTIFY_SYSTEM\x00DROP_REPLICATION_SLOT x\x00"))
	then("query that is no UTF-8", "0A000 ready", query("\xff\xfe\x80\x81"))
	then("SQL", "0A000 ready", query("DROP TABLE pgbench_accounts"))
	then("two commands in one", "42601 ready", query("IDENTIFY_SYSTEM; DROP_REPLICATION_SLOT x"))
	then("quote without an end", "42601 ready", query("CREATE_REPLICATION_SLOT \"x"))
	then("900 kB of parentheses", "42601 ready", query("BASE_BACKUP "+many("(", 900_000)))
	then("900 kB of options", "42601 ready", query("BASE_BACKUP (x"+many(", x", 300_000)+")"))
	then("extended protocol, a thousand messages until Sync", "08P01 ready",
		frame('P', "\x00IDENTIFY_SYSTEM\x00\x00\x00"), []byte(many(string(frame('E', "\x00\x00\x00\x00\x00")), 1000)), frame('S', ""))
	then("Bind with counts that lie", "08P01 ready", frame('B', "\x00\x00\x7f\xff\x7f\xff"), frame('S', ""))
	then("Flush with a body", "08P01 ready", frame('H', "x"), frame('S', ""))
	then("function call", "08P01 ready", frame('F', "\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00"))
	then("CopyData, CopyDone and CopyFail outside of COPY", "",
		[]byte(many(string(frame('d', "w"))+string(frame('c', ""))+string(frame('f', "x\x00")), 300)))
	then("CopyData of 16 MB outside of COPY", "", frame('d', many("x", 16<<20)))
	then("500 commands at once", many("ready ", 500), []byte(many(string(query("SHOW wal_segment_size")), 500)))
	then("500 errors at once", many("0A000 ready ", 500), []byte(many(string(query("SELECT 1")), 500)))

	// These fail within COPY, where the next command would not be one: it waits for the end.
	within := func(name, code, position string) {
		all = append(all, attack{name: "command: START_REPLICATION " + name, want: "ready", play: func(p *peer) {
			p.logIn("replication=true").query("START_REPLICATION PHYSICAL " + position)
			p.judge([]string{"copy", code, "ready"})
			p.query("IDENTIFY_SYSTEM")
		}})
	}
	within("at the end of all WAL", "XX000", "FFFFFFFF/FFFFFFFF")
	within("at 0/0", "58P01", "0/0")
	within("with 40 hexadecimal digits", "XX000", many("F", 40)+"/0")
	then("START_REPLICATION on timeline 0", "42601 ready", start("PHYSICAL 0/1000000 TIMELINE 0"))
	then("START_REPLICATION on timeline 4294967295", "XX000 ready", start("PHYSICAL 0/1000000 TIMELINE 4294967295"))
	then("START_REPLICATION on timeline 18446744073709551617", "XX000 ready", start("PHYSICAL 0/1000000 TIMELINE 18446744073709551617"))
	then("START_REPLICATION at -1", "42601 ready", start("PHYSICAL -1/0"))
	then("START_REPLICATION with a slot that is not there", "42704 ready", start("SLOT nobody PHYSICAL 0/1000000"))
	then("START_REPLICATION with a logical plugin", "55000 ready", start("SLOT nobody LOGICAL 0/0 (x 'y')"))
	then("slot with a path for a name", "42602 ready", query(`CREATE_REPLICATION_SLOT "../../wal/x" PHYSICAL`))
	then("slot without a name", "42602 ready", query(`CREATE_REPLICATION_SLOT "" PHYSICAL`))
	then("slot with a name of 100 kB", "ready ready", query(`CREATE_REPLICATION_SLOT `+many("s", 100_000)+` TEMPORARY PHYSICAL`),
		query("DROP_REPLICATION_SLOT "+many("s", 63)))
	then("slot with capitals and a NUL's escape", "42602 ready", query(`CREATE_REPLICATION_SLOT "Slot\x00" PHYSICAL`))
	then("slot that is logical", "55000 ready", query("CREATE_REPLICATION_SLOT x LOGICAL test_decoding"))
	then("slot with options twice", "42601 ready", query("CREATE_REPLICATION_SLOT x PHYSICAL (RESERVE_WAL, RESERVE_WAL)"))
	then("DROP_REPLICATION_SLOT of the proxy's own", "55006 ready", query("DROP_REPLICATION_SLOT replproxy_proxy"))
	then("READ_REPLICATION_SLOT with a path", "ready", query(`READ_REPLICATION_SLOT "../../../etc/passwd"`))
	then("UPLOAD_MANIFEST, which 15 does not know", "0A000 ready", query("UPLOAD_MANIFEST"), frame('d', "{}"), frame('c', ""))
	then("UPLOAD_MANIFEST, a megabyte behind it", "0A000 ready", query("UPLOAD_MANIFEST"), frame('d', many("x", 1<<20)), frame('f', "no\x00"))
	then("TIMELINE_HISTORY of timeline 0", "42601 ready", query("TIMELINE_HISTORY 0"))
	then("TIMELINE_HISTORY of timeline 4294967295", "58P01 ready", query("TIMELINE_HISTORY 4294967295"))
	then("SHOW of 60 kB", "42704 ready", query("SHOW "+many("x", 60_000)))
	then("SHOW of a password", "42704 ready", query("SHOW primary_conninfo.password"))
	then("BASE_BACKUP with an option of nobody", "42601 ready", query("BASE_BACKUP (owner 'me')"))
	then("BASE_BACKUP to a folder of the server", "42602 ready", query("BASE_BACKUP (TARGET 'server', TARGET_DETAIL 'x')"))
	then("BASE_BACKUP at 1 kB per second", "22003 ready", query("BASE_BACKUP (MAX_RATE 1)"))
	return all
}

// slots are about names and numbers of them.
func slots() []attack {
	return []attack{
		{
			name: "command: temporary slots until there is no room", want: strings.Repeat("ready ", 1024) + "53400 ready ready",
			postgres: "-", heavy: true,
			play: func(p *peer) {
				p.logIn("replication=true")
				for i := range 1025 {
					p.query(fmt.Sprintf("CREATE_REPLICATION_SLOT many_%d TEMPORARY PHYSICAL RESERVE_WAL", i))
				}
				p.query("IDENTIFY_SYSTEM") // and the error cost the session all of them, which leftovers judges
			},
		},
		{
			name: "command: slot of another session", want: "55006 ready 55006 ready",
			play: func(p *peer) {
				name := fmt.Sprintf("other_%p", p)
				p.logIn("replication=true").query("CREATE_REPLICATION_SLOT " + name + " TEMPORARY PHYSICAL")
				p.await('Z')
				p.logIn("replication=true").query("DROP_REPLICATION_SLOT " + name)
				p.query("START_REPLICATION SLOT " + name + " PHYSICAL 0/1000000")
			},
		},
		{
			name: "command: DROP_REPLICATION_SLOT WAIT, and the client leaves", want: "closed",
			play: func(p *peer) {
				name := fmt.Sprintf("waited_%p", p)
				p.logIn("replication=true").query("CREATE_REPLICATION_SLOT " + name + " TEMPORARY PHYSICAL")
				p.await('Z')
				p.logIn("replication=true").query("DROP_REPLICATION_SLOT " + name + " WAIT").half()
			},
			postgres: "-", // which waits on without noticing
		},
	}
}

// relays are sessions whose bytes the proxy passes on: it must not change what they do.
func relays() []attack {
	return []attack{
		{name: "relay: unknown message type", want: "08P01 closed", play: func(p *peer) { p.logIn().send(frame('!', "x")) }},
		{name: "relay: length of 0", want: "closed", play: func(p *peer) { p.logIn().send(header('Q', 0)) }},
		{name: "relay: query of 2 GB", want: "closed", play: func(p *peer) { p.logIn().send(header('Q', 0x7fffffff)).half() }},
		{name: "relay: half a query, then the end", want: "closed", play: func(p *peer) { p.logIn().send(query("SELECT 1")[:8]).half() }},
		{
			name: "relay: a thousand queries at once", want: strings.Repeat("ready ", 1000),
			play: func(p *peer) { p.logIn().send([]byte(strings.Repeat(string(query("SELECT 1")), 1000))) },
		},
		{
			name: "relay: 20 MB that nobody reads", want: "", postgres: "-",
			play: func(p *peer) { p.logIn().query("SELECT repeat('x', 1000) FROM generate_series(1, 20000)") },
		},
		{
			name: "relay: COPY that ends within a message", want: "copyin 08006 08P01 closed",
			play: func(p *peer) {
				p.logIn().query("CREATE TEMP TABLE c (x text)").await('Z')
				p.query("COPY c FROM STDIN").send(frame('d', "a\n"), header('d', 1000), []byte("b")).half()
			},
		},
		{
			name: "relay: replication commands of a regular session", want: "42601 ready ready",
			play: func(p *peer) { p.logIn().query("START_REPLICATION PHYSICAL 0/0").query("SELECT 1") },
		},
		{
			name: "relay: logical walsender, feedback outside of COPY", want: "ready",
			play: func(p *peer) { p.logIn("replication=database").send(frame('d', "r")).query("IDENTIFY_SYSTEM") },
		},
	}
}
