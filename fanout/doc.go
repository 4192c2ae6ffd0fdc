// Package fanout is one stream in and many out: the Hub answers for the primary whatever a standby
// asks on a physical walsender session.
//
//	                     ┌──────────────────────── Hub ────────────────────────┐
//	IDENTIFY_SYSTEM ───► │ identity ◄── walstore (tail + segments) ──► senders  │ ──► standbys
//	TIMELINE_HISTORY ──► │                  ▲ retention                   │     │
//	*_REPLICATION_SLOT ► │ slots (package slot) ◄──── flush, xmin ────────┤     │
//	START_REPLICATION ─► │ registry: who is attached ◄──── status updates ┘     │ ──► Voter
//	                     └──────────────────────────────────┬──────────────────┘
//	                                                        └──► Feedback: merged, for the upstream
//
// A session calls StartReplication from its own goroutine and blocks in it: a sender (package
// walsender) pulls from the store at its own pace. The hub starts nothing but the ticker of Run.
// Nobody waits for anybody: standbys share only the registry's and the slots' short locks.
//
// What holds always:
//
//  1. IDENTIFY_SYSTEM shows a position at which START_REPLICATION is accepted at that moment (R28).
//  2. A sender never sends beyond its horizon: what is received on its timeline, or the switch point.
//  3. Positions that leave the hub are at most what this proxy has received: in slots, and the bound of a vote.
//  4. WAL is kept from the oldest slot on, also from a slot's older state that a crash would restore.
//  5. A standby that is bounded (send_when: covered) is sent no byte beyond the last record that the rule covers.
//  6. Merged feedback is offered only when every slot's last xmin is in it (R20).
//
// In a cluster the other members are asked, by Members, before a slot is made, used or dropped.
//
// Locks: registry.mu and slot.Table's are leaves; no call leaves the package under them.
package fanout
