// Package gate bounds the log-ins that hold a connection to the primary before they have proved anything. The primary
// forks for each, and each of a walsender takes one of its few (facts A6).
//
//	Enter ─► waiting ──the address's turn──► busy ◄─Busy, Yield─► yielding ──somebody waits──► reclaimed
//	                                          └──Answer─► answered ◄─Answer─┘
//	                                                          Leave from anywhere; Prove: it logged in
//
// A server has two: one for walsenders that are answered here, with the walreceiver before all of them
// (ruling R13), one for connections that are relayed. Invariants:
//
//  1. At most max tickets are counted. One that is lent to a base backup is not. Nor is a bounded number of those that
//     can be spared and whose clients have proved themselves, or have answered a question and logged in last time.
//     They are apart until they leave. One that waits for the primary after its client has answered is counted apart
//     too, at most answeredShare times max of them.
//
//  2. Addresses take turns: who holds fewer places, did not sit on its last one, and has used them for less time
//     lately, goes first (usage.go). Addresses that logged in last time and strangers have half of the time each, when
//     both want it. So silent clients, of however many addresses, delay a known one by two due times at most. They
//     delay a stranger, per place, by one due time for each silent stranger before it. Of an address whose clients sit
//     on their places the last that came goes first most of the time. One that answers therefore waits there for two
//     due times at most, not for all silent ones before it. A client that opens new ones all the time holds up its own
//     address.
//
//  3. Who thinks about a question while others wait is reclaimed when it is due, and never in between.
//
//  4. No address and no database has all places of either kind (pool.go), unless there are three or fewer.
//
//  5. Whoever may have left goes after all others.
//
// core.go and pick.go decide and are pure; [Gate] has the lock, the channels and the timer.
package gate
