// Package tail answers, after the primary's death, who has which WAL and whether a candidate for its place
// has every acknowledged commit.
//
//	each proxy: MemberStatus ──link──► the one that is asked ──► Look ──► Tail: rows, one Verdict per candidate
//	                                                          │
//	      simulation, exhaustive model ──► Question.Prove ◄───┘   the arithmetic, one function for all
//
// Why it holds (docs/adr/0022 and 0033). Whatever a proxy told a primary was flushed in its own store, and covered by
// its rule. So nothing acknowledged lies beyond the end of a proxy that is fenced. For any other proxy, the voters of
// unknown end must be too few to satisfy its rule; then a voter of known end holds whatever it may have released.
//
// Invariants:
//
//  1. An end is final only if its holder never votes beyond it on the timeline that is left. That holds for a fenced
//     proxy's store, for the candidate itself, and for ends that an operator vouches for.
//  2. What is not known counts as unfavourable: a rule that was not heard, a name that nobody has, a second session
//     of a name.
//  3. A voter that forgets breaks every rule. So the proof also asks for positions that a store is known to have had,
//     and for positions that were reported or covered. A store that was removed, or restored from a copy, proves
//     nothing.
//  4. What a primary was told when it shut down (ruling R11) is no input: ends are those of stores.
//
// Pure: no clock, no I/O. Values; safe for concurrent use.
package tail
