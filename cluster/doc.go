// Package cluster is what several proxies know of each other: which standbys hold which WAL, and what
// position a rule in the syntax of synchronous_standby_names covers.
//
//	standbys' reports ──► voters ──► quorum.Evaluate(rule, voters) ──► position that may be reported
//	                        ▲
//	   acks of other proxies (package link), whose names are proved (identity); who is up (gossip)
//
// Today it holds the arithmetic of agreement only, in package quorum: pure, and compared with
// PostgreSQL's own selection by an independent computation. Nothing runs it yet: a non-empty rule in
// the configuration is refused as not supported (ruling R26).
//
// Invariants that whatever grows here keeps:
//
//  1. A position leaves the cluster only if every rule in force covers it.
//  2. Knowledge is late or missing, never wrong: merging takes the maximum within one incarnation.
//  3. A voter is counted once, however many proxies or sessions speak for it.
package cluster
