// Package cluster holds the knowledge that several proxies have of each other: which standbys hold which WAL, and what
// position a rule in the syntax of synchronous_standby_names covers.
//
//	fanout.Voter ──► Session ──► Node ──► ledger (pure) ──► quorum (pure)
//	own store ─────► Run ──────────────►  │   ▲ acks of other proxies: link, identity; who is up: gossip
//	                                      ├──► OnReport: on the goroutine of a Report
//	                                      ├──► Reportable, Changed ──► walreceiver.Quorum
//	                                      └──► Status: why does this commit wait?
//
// The Node is the thin shell: a lock around the ledger, the clock, the wake-ups. Whoever reports to the upstream calls
// Reportable, which evaluates the rules at that moment. It does so on the goroutine of a Report, by OnReport, or woken
// by Changed. An ack so needs no goroutine between a standby's socket and the primary's.
//
// Invariants:
//
//  1. A position leaves the cluster only if every rule in force covers it, on the store's present timeline.
//  2. Knowledge is late or missing, never wrong: merging takes the maximum within one session.
//  3. A voter is counted once, however many proxies or sessions speak for it.
//  4. Attach, Ack and Gone never wait for anything but the lock, which is not held over I/O.
package cluster
