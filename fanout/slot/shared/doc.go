// Package shared is what the proxies of a cluster agree on about their slots: one namespace, in which each
// slot has one owner at a time, the proxy whose session uses it or used it last (ruling R17).
//
//	START x at proxy_b                        proxy_a, proxy_c
//	  Next(Attach): generation + 1, owner b
//	  ── "may I?" (Wish, State) ───────────►  Side.Offer: refused while a session of x lives there
//	  Tally ◄── accepted, refused, silent ──
//	  won: the state is written at b
//	  ── "so it is" (Tell, State) ─────────►  Side.Meet: the greater state stays
//
// A state is written by its owner only, and everybody keeps the greatest that it has heard of. Nobody is
// elected: who can't be heard is gone around, and what can go wrong by that is how much WAL is kept, never
// whose WAL a standby gets (ADR 0060).
//
// Invariants:
//
//  1. States are totally ordered, so merging them is commutative, associative and idempotent.
//  2. An offer changes nothing at who is asked but that a lesser offer of its own is beaten.
//  3. A proxy with a living session gives way to another living session only; it claims its slot again
//     from a state that has none, a drop included.
//  4. Decode accepts what Append wrote and nothing else, in memory bounded by MaxSize.
//
// Pure values; who hears whom is told, not looked for.
package shared
