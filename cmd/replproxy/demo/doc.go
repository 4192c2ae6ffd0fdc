// Package demo builds a whole topology on this machine, shows it under load, proves that it is right, and takes it away
// again.
//
//	pgbench ──►┐                 ┌──► standby_1
//	           ├── replproxy ────┼──► standby_2      all cloned through the proxy
//	psql ─────►┘    │            └──► standby_3
//	                └─ one walsender ─► primary
//
// With Quorum there are three proxies with one rule and at least one standby behind each. The primary waits for any of
// the proxies. Two are stopped for a while, with them the way to most voters, so commits wait.
//
// Run is a list of steps, each of which says how long it took. A step registers what it makes for removal before the
// next one begins. The end is therefore the same after success, failure and Ctrl-C: every process has ended and the
// directory is gone.
//
// Invariants:
//
// 1. Nothing outside one temporary directory is written; every port is on loopback and free before.
// 2. PostgreSQL never runs as root: under root everything runs as postgres or nobody.
// 3. No child outlives the demo, not even when it is killed (where the system can do that).
// 4. The summary says "equal" only after the tables of each standby were compared with the primary's.
// 5. With Quorum it is an error when a commit returns while voters are cut off, or none is seen waiting.
package demo
