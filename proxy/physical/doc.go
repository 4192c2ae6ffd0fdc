// Package physical serves physical walsenders: it relays their log-in to the primary, then answers
// their commands as a walsender of PostgreSQL does.
//
//	           ┌── gate: a few log-ins at a time, the walreceiver first
//	           ▼
//	startup ─ log-in ─ READY ─► Query ─┬─ IDENTIFY_SYSTEM, TIMELINE_HISTORY, *_REPLICATION_SLOT ─► hub
//	             │                     ├─ START_REPLICATION … PHYSICAL ─────────► hub (COPY BOTH)
//	             └────── link ◄────────┼─ BASE_BACKUP, UPLOAD_MANIFEST, logical ─► primary
//	      the client's own connection  ├─ SHOW ─► primary while the link is open, else known settings
//	      to the primary, short-lived  └─ SQL ──► 0A000
//
// The link is the connection on which the client proved who it is. The primary counts it as one of
// max_wal_senders, so it is closed when physical streaming starts, after ten idle seconds, or sooner
// when somebody waits. A base backup keeps its link as long as it runs.
//
// A session on a database (replication=database) logs in as a relayed one does. Then every message is
// read (database): SQL and what is logical go to the primary as they are, what is physical is answered as above.
//
//	client ══ talk: may the primary execute this now? ══ SQL, logical ══► primary
//	              └── physical, or a slot of this proxy ──► hub
//
// Invariants:
//
//  1. Nobody is let in whom the primary did not ask for a proof, the named exceptions of ruling R1
//     apart (package authwatch).
//
//  2. At most auth.max_upstream_walsenders links exist beside those of running base backups, never so
//     many that the walreceiver would find no walsender, and none is opened while it wants one (R13).
//
//  3. A place at the gate is given back only when the primary has closed the link (or a second later).
//
//  4. Every ERROR costs the session its temporary slots before the client sees it (trap K35).
//
//  5. What is virtual answers with PostgreSQL's rows, tags and errors of the primary's version.
//
//  6. A session holds bounded memory: a command of at most 1 MB, pieces of 32 kB of a base backup.
//
//  7. No byte of a session on a database reaches the primary where it would execute a physical stream or make a
//     physical slot. None streams there under a name that counts (ruling R35).
//
//  8. The primary's answers over the link must be of the system and history of the stored WAL, or are refused. A base
//     backup ends when the WAL up to its end is stored (ruling R43, docs/adr/0072).
//
// One goroutine runs a session. While it waits for the primary or the hub, a second one listens to
// the client: answers and uploads go through it, and a client that has left is noticed. A session on a
// database has a second one for as long as it lives, which passes what the primary says.
package physical
