// Package quorum computes which position a rule covers: PostgreSQL's selection of synchronous
// standbys, as a pure function.
//
//	ANY 2 (a, b, c)          write   flush   apply        FIRST 2 (a, b, c)   write   flush   apply
//	  a                        90      80      10           a  priority 1       90      80      10
//	  b                        70      70      70           b  priority 2       70      70      70
//	  c                        60      60      50           c  priority 3        (not among the first two)
//	  ──────────────────────────────────────────           ─────────────────────────────────────────────
//	  2nd largest of each      70      70      50           smallest of each    70      70      10
//
// Invariants:
//
//  1. A position is covered only if at least Count candidates have reached it, in each column apart.
//  2. A voter is no candidate if it is not streaming, is on another timeline or has no valid flush. It can then
//     neither raise nor lower the result (facts C3, K10, K16).
//  3. Fewer candidates than the rule counts cover nothing.
//  4. A [Rule] with zones covers only what both of its rules cover (docs/adr/0021).
//
// No I/O, no clock, no goroutine; values only, safe for concurrent use.
package quorum
