// Package syncrep is the language of synchronous_standby_names: whom a commit waits for.
//
//	"2 (s1, s2, *)" ──► Parse ──► Rule{First, 2, [s1 s2 *]} ──► String ──► "FIRST 2 (s1, s2, *)"
//	                                  │
//	                    Priority("S2") = 2
//
// It is equal in PostgreSQL 14 to 18 (facts C). A list alone means FIRST 1, a count without a word
// means FIRST. The names any and first must be quoted, a name with a hyphen too; letters keep their
// case but compare without it. A quoted "*" is still the wildcard.
//
// Invariants:
//
//  1. Parse accepts a value that ALTER SYSTEM SET accepts, and refuses others by its SQLSTATE, message and DETAIL.
//  2. Parse(r.String()) equals r for every r that Parse returned.
//  3. Memory is linear in the length of the text; nothing panics on any input.
//
// How positions are combined under a rule is not decided here. Values; safe for concurrent use.
package syncrep
