// Package walsource decides whom to follow and where WAL comes from, and keeps the store supplied with it. In
// PostgreSQL this is the part of the startup process that waits for WAL (xlogrecovery.c); package walreceiver is the
// walreceiver that it starts.
//
//	     whom to follow                                from where
//	elect.go: who continues the store?          ladder.go: fenced member, chosen member,
//	known.go, lack.go: what must it have?                  any member, primary, archive
//	parting.go: since where does it lack it?    plan.go: which timeline, which segment first?
//	accepttimeline.go: what is given up?                    │
//	            │                                           │
//	            ▼                                           ▼
//	       connect.go: who is it? ──────────────► follow.go: timeline after timeline
//	            ▲                                           │ Start, Copy
//	            │                                           ▼
//	            │                                 walreceiver.Stream ═══► store
//	            │                                           │ an error
//	       backoff.go ◄─── restore.go ◄─── failed.go, stopped.go
//
// A [Source] is asked for a stream, for whole segments, or for both; the [Ladder] asks one after another. /status shows
// it as wal_sources.
//
// Beside a stream oldprimary.go looks for a server on a higher timeline, silence.go for a primary that says nothing.
// agree.go answers for other connections whether their server belongs to the stored WAL.
//
// [Supply.Run] makes one attempt after another, with backoff. What it learns at one is in a value of its own, which
// the next one begins without; only what must outlive it is kept beside.
//
// Invariants:
//
//  1. WAL of another system, or of a timeline outside the server's history never reaches the store. The refusal is
//     logged and tried again, slowly. A stream begins with bytes that the store has, wherever the upstream still has
//     them: they tell a server of another past.
//
//  2. Nothing of a new timeline is stored before its history file is. WAL that it lacks is left behind
//     only after the server has sent WAL of it. From the moment that its history is known, that WAL is served to
//     nobody.
//
//  3. A timeline that lacks what was promised, by this proxy or by a member, is not followed without the operator
//     (ruling R3).
//
//  4. WAL that the upstream has removed is restored between connections only, from an archive, verified, and no
//     further than the server's own (docs/adr/0034).
//
// [New] starts nothing, [Supply.Run] owns all goroutines, [Supply.Status] is for any goroutine.
package walsource
