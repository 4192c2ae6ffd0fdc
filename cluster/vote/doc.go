// Package vote has the messages by which the members of a cluster vote: who is attached where, and which position each
// of them has.
//
//	node proxy_a, boot 7                                         the others
//	  State{seq 3, rule, fenced, sessions [s1 s2 store]} ───────►  newest (boot, seq) wins; who is not in it has ended
//	  Report{s1, seq 41, write, flush, apply}            ───────►  maximum within one session and timeline
//	  Report{s1, seq 42, …}                              ───────►  lost, late, twice: never wrong
//
// A State says everything that changes slowly, whole, so that a lost one is mended by the next. A Report
// says what changes with every commit, and is small.
//
// Invariants:
//
//  1. A [Key] is never used again: nothing merges across two sessions, or two starts of a store.
//  2. A Report is never above what its session was sent, nor above what its node has received.
//  3. Decode accepts an encoding by Append and nothing else, in memory bounded by the limits below.
//
// Values; safe for concurrent use.
package vote
