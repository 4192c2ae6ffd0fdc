// Package walreceiver is WAL in: one physical stream from the primary into the store, and one honest
// report back.
//
//	       which host, identify, timelines, slot, start point    (elect.go, connect.go, plan.go)
//	primary ═════════════════════════════════════════════► store
//	   ▲            w: header, then bytes straight into it   (stream.go, decode.go)
//	   │                                                        │ written, flushed
//	   └── r, h ◄── reporter ◄── core: what, when, may we? ◄────┘ (reporter.go, core.go)
//
// A Receiver keeps one connection, and makes it again with backoff when it ends. On a connection the
// reader goroutine is the only one that reads and feeds the store; the reporter goroutine is the only
// one that writes. They share a few atomics and one-slot channels.
//
// Invariants:
//
//  1. reported ≤ quorum ≤ received, reported write ≤ written, reported flush and apply ≤ flushed;
//     received counts what arrived on this connection only. The core checks before every report: a
//     violation ends the stream, is counted, and reports nothing. Beyond the quorum goes one position
//     only: the end of a shutdown checkpoint for which a stopping upstream waits (ruling R11).
//
//  2. Within one connection and timeline no reported position goes back (ruling R12). A flush is not
//     reported before it has reached the restart_lsn of the slot that the stream uses.
//
//  3. A keepalive's WAL end is compared, shown, and never taken for a position.
//
//  4. WAL of another system, of a timeline outside the server's history, or with a gap before it never
//     reaches the store. The refusal is logged and tried again, slowly. A stream begins with bytes that the
//     store has, wherever the upstream still has them: they tell a server of another past.
//
//  5. Nothing of a new timeline is stored before its history file is. WAL that it lacks is left behind
//     only after the server has sent WAL of it. From the moment that its history is known, that WAL is served to
//     nobody.
//
//  6. An unchanged report is repeated at the status interval, for pings a few times a second at most
//     (but at once when it is the position that a shutting-down walsender waits for), and in any case
//     before the upstream loses patience (ruling R19).
//
//  7. What is reported under a rule was promised durably before, and a timeline that lacks what was
//     promised is not followed without the operator (ruling R3).
//
//  8. Under a rule the slot follows what the store has flushed, not the reports, where the upstream lets
//     us do that (ruling R8): first the slot reserves WAL there, then the stream begins.
//
//  9. A primary is told nothing before the mirrors of slots are there, for a bounded time (ruling R18).
//
//  10. WAL that the upstream has removed is restored between connections only, from an archive, verified, and no
//     further than the server's own (docs/adr/0034).
//
// [New] starts nothing, [Receiver.Run] owns all goroutines, [Receiver.Status] is for any goroutine.
package walreceiver
