// Package gate bounds how many log-ins hold a connection to the primary before they have proved anything: the
// primary forks for each, and those of walsenders take one of its few (facts A6).
//
//	Acquire ─► waiting ──the address's turn──► busy ──Yield──► yielding ──somebody waits──► reclaimed
//	                                            ▲                 │
//	                                            └──────Busy───────┘      Leave from anywhere; Prove: it logged in
//
// A server has two: one for walsenders that are answered here, with the walreceiver before all of them
// (ruling R13), one for connections that are relayed. Invariants:
//
//  1. At most max tickets are counted; one that is lent to a base backup is not.
//  2. Addresses take turns: who holds fewer places, did not sit on its last one, and has used them for less time
//     lately, goes first (account.go). Addresses that logged in last time and strangers have half of the time each,
//     when both want it. So silent clients, of however many addresses, delay one that is known by two due times at
//     most, and a stranger by one due time for each silent stranger before it, per place.
//  3. Who thinks about a question while others wait is reclaimed when it is due, and never in between.
//
// core.go decides and is pure; [Gate] has the lock, the channels and the timer.
package gate
