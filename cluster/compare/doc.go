// Package compare finds out up to which position another member's WAL has the same bytes as ours (ruling R32).
// Timeline and position do not tell: a primary may have lost WAL and have written other WAL in its place.
//
//	reports, sealed segments, answers: (timeline, position, hash) ──► Peer ──► Equal, Differs
//	own store: hash at a position ──────────────────────────────────►  │
//	                                                                   └──► ToRead: what to read from disk,
//	                                                                        Asks: what to ask the member
//
// A hash covers the bytes from the beginning of its segment up to its position. An equal print therefore covers that
// part of one segment, and prints join to a run without a gap:
//
//	    seal     seal     seal  report
//	──────┼────────┼────────┼─────┤      equal up to here, compared from the first seal's beginning on
//
// Invariants:
//
//  1. What is not compared yet is nothing: neither equal nor different.
//  2. Equal never passes a gap, and never a position beyond what this node's store has received.
//  3. A difference counts at the end of a record that both have complete (ruling R36). It stays, over connections too,
//     until the bytes at it are found equal, or a store has them no more and no hash at hand shows them.
//  4. Equal falls with a new connection, on another timeline and where other bytes are found: not where a store has
//     removed WAL. Behind a gap that nothing can close it is kept until the comparison has begun anew.
//  5. Everything that is remembered is bounded: maxWaiting prints of reports, MaxList others.
//
// Pure: no clock, no I/O; this node's store's hashes come from a function that does not block. Not safe for concurrent
// use.
package compare
