// Package sharing makes the slots of a cluster's members one namespace (ruling R17). It tells the other members of
// changes to the slots of this one, and hears of theirs. It asks them before a slot is made, used or dropped.
//
//	hub: CREATE, START, DROP ──► Claim ──┬── "may I?" ──► each member that can be reached
//	                                     ▼                        │ accepted, or why not
//	                       slot.Table.Propose … Acquire ◄─ shared.Tally
//	                                     │
//	        Told: now, Run: each second  └── "so it is" ─► Serve at each member ──► slot.Table.Meet
//
// Members talk over the cluster's port, with their keys, in the highest message version that both speak (ALPN
// replproxy-slots/1 and /2, ruling R39). A member that speaks none of them is like one that can't be reached.
// Each question has one answer, on the same connection.
//
// Invariants:
//
//  1. Nothing here waits longer than askTimeout for another member.
//  2. What a member does not know yet is said again until it has confirmed it.
//  3. A member that lies can make this one keep WAL, within its limits, and end sessions of a slot. It can neither
//     make anybody get other WAL, nor be counted for a quorum.
//  4. Messages, connections per member, and what is remembered of each are bounded.
//
// Package shared decides, and package slot keeps the durable state.
package sharing
