// Package walreceiver takes one stream of WAL into the store, and makes one honest report of it.
//
//	walsource: a connection, who the server is, where to start
//	                │ Attach, PrepareSlot, Start, Copy
//	                ▼
//	upstream ═══ inbound ══════════════════════════════════► store
//	   ▲         w: header, then bytes straight into it         │ written, flushed
//	   └─ r, h ◄── reporter ◄── core: what, when, may we? ◄─────┘
//	                  ▲
//	                  ├── rule.go: what the rule covers, and how an upstream that stops is released
//	                  ├── promise.go: made durable before it is reported
//	                  ├── mirrors.go, slot*.go, rulegate.go: the slots that a report moves, or waits for
//	                  └── feedback.go, horizon.go: xmin
//
// A [Receiver] keeps what outlives a connection, a [Stream] the state of one. While a [Stream] copies, one goroutine
// reads and fills the store, and another one writes reports. They share a few atomics and channels of one token. A
// goroutine that brings a standby's report may write the report that follows from it (atonce.go,
// [Receiver.ReportNow]). One lock makes each of them the only writer, and that goroutine never waits for it.
//
// WAL comes by a [Conn], the walreceiver API of PostgreSQL's README: connect, receive, send, disconnect. [Session] is
// the one over PostgreSQL's protocol (session.go, identify.go, slotcommands.go, decode.go); nothing else knows of
// sockets and frames. A test of package walsource plugs in one that reads segments from a directory.
//
// Whom to follow, which server has which WAL, and what happens when a stream ends is decided in package walsource.
//
// Invariants:
//
//  1. reported ≤ quorum ≤ received, reported write ≤ written, reported flush and apply ≤ flushed, or
//     ≤ reportable (see written.go);
//     received counts what arrived on this connection only. The core checks before every report: a
//     violation ends the stream, is counted, and reports nothing. Beyond the quorum goes one position
//     only: the end of a shutdown checkpoint for which a stopping upstream waits (ruling R11).
//
//  2. Within one connection and timeline no reported position goes back (ruling R12). A flush is not
//     reported before it has reached the restart_lsn of the slot that the stream uses.
//
//  3. A keepalive's WAL end is compared, shown, and never taken for a position.
//
//  4. WAL with a gap before it never reaches the store.
//
//  5. An unchanged report is repeated at the status interval, and in any case before the upstream loses patience
//     (ruling R19). Pings get an unchanged answer a few times a second at most. The answer is given at once when a
//     shutting-down walsender waits for that position.
//
//  6. A position that is reported under a rule was promised durably before (ruling R3).
//
//  7. Under a rule the slot follows the WAL that the store has flushed, not the reports, where the upstream lets us do
//     that (ruling R8). First the slot reserves WAL there, then the stream begins.
//
//  8. A primary is told nothing before the mirrors of slots are there, for a bounded time (ruling R18).
//
// [New] starts nothing. [Stream.Copy] owns its goroutines and waits for them.
package walreceiver
