// Package tail answers, after the primary's death, who has which WAL and whether a candidate for its place
// has every acknowledged commit.
//
//	each proxy: Account ──link──► the one that is asked ──► Look ──► Tail: rows, one Verdict per candidate
//	                                                          │
//	      simulation, exhaustive model ──► Question.Prove ◄───┘   the arithmetic, one function for all
//
// Why it holds (docs/adr/0022 and 0033). Whatever a proxy told a primary was flushed in its own store, and
// covered by its rule. So nothing acknowledged lies beyond the end of a proxy that is fenced; and what any other
// proxy may have released is held by a voter of known end, if those of unknown end can't satisfy its rule.
//
// Invariants:
//
//  1. An end is final only if its holder never votes beyond it on the timeline that is left: a fenced proxy's store,
//     the candidate itself, and what an operator vouches for.
//  2. What is not known counts as unfavourable: a rule that was not heard, a name that nobody has, a second session
//     of a name.
//  3. A voter that forgets breaks every rule. What a store is known to have had, and what was reported or covered
//     as far as anybody remembers, is asked for too: a store that was removed, or restored from a copy, proves nothing.
//  4. What a primary was told when it shut down (ruling R11) is no input: ends are those of stores.
//
// Pure: no clock, no I/O. Values; safe for concurrent use.
package tail
