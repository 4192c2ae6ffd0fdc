// Package compare finds out up to where another member's WAL has the bytes that ours has (ruling R32): a timeline's
// number and a position do not say it, since a primary may have lost WAL and have written other WAL in its place.
//
//	reports, sealed segments, answers: (timeline, position, hash) ──► Peer ──► Equal, Differs
//	own store: hash at a position ──────────────────────────────────►  │
//	                                                                   └──► Lacks: what to read from disk,
//	                                                                        Asks: what to ask the member
//
// The hash at a position is that of its segment's bytes from the first one up to it, so an equal pair covers that part
// of one segment; pairs join to a run without a gap:
//
//	    seal     seal     seal  report
//	──────┼────────┼────────┼─────┤      equal up to here, compared from the first seal's beginning on
//
// Invariants:
//
//  1. What is not compared yet is nothing: neither equal nor different.
//  2. Equal never passes a gap, and never a position beyond what the own store has received.
//  3. A difference counts at the end of a record that both have complete (ruling R36). It stays, over connections too,
//     until the bytes at it are found equal, or neither store has them any more.
//  4. Everything that is remembered is bounded: maxWaiting pairs of reports, MaxList others.
//
// Pure: no clock, no I/O; the own store's hashes come from a function that does not block. Not safe for concurrent use.
package compare
