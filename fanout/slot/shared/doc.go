// Package shared decides on the slots that the proxies of a cluster share: one namespace, in which each slot has one
// owner at a time. The owner is the proxy whose session uses the slot or used it last (ruling R17).
//
//	START x at proxy_b                        proxy_a, proxy_c
//	  Next(Attach): generation + 1, owner b
//	  ── "may I?" (Wish, State) ───────────►  Side.Offer: refused while a session of x lives there
//	  Tally ◄── accepted, refused, silent ──
//	  won: the state is written at b
//	  ── "so it is" (Tell, State) ─────────►  Side.Meet: the greater state stays
//
// A state is written by its owner only, and everybody keeps the greatest that it has heard of. Nobody is elected, and a
// member that can't be heard is not waited for. Too much or too little WAL may be kept by that, but a standby never
// gets other WAL (ADR 0060).
//
// Invariants:
//
//  1. States are totally ordered, so merging them is commutative, associative and idempotent.
//  2. An offer changes nothing at who is asked but that a lesser offer of its own is beaten.
//  3. A proxy with a living session gives way to another living session only; it claims its slot again
//     from a state that has none, a drop included.
//  4. Decode accepts an encoding by Append and nothing else, in memory bounded by MaxSize.
//
// Pure values; who hears whom is told, not looked for.
package shared
