// Package conformance is the inspector: real PostgreSQL primaries, standbys and client programs, each
// scenario through a real replproxy process.
//
//	load ──► primary ──(one walsender)──► replproxy ──► standbys, pg_receivewal, pg_basebackup, …
//	            ▲                            │
//	            └──── relayed sessions ◄─────┘ psql, pgbench, pg_recvlogical, subscriptions
//
// The scenarios are in packages by topic, which run side by side: quorum, failover, slots, relay, crash, hostile,
// networks, operators, partitions, and pages. The last one does what the documentation says. What more than one of them
// needs is in scene. Those of partitions put each process on a host of its own (a network namespace), so that links can
// be cut in one direction. They promote by the recipe of docs/failover.md while some hosts are out of reach.
//
// After each scenario the same questions are asked:
//
//  1. Does every standby hold what the primary holds (all rows of all tables, catalogs, sequences)?
//  2. Does the primary's pg_stat_replication show one row, the proxy's, in state streaming?
//  3. Is every segment in the proxy's store equal to the primary's, byte for byte?
//  4. Did the proxy log no panic and no data race, and does it end with exit code 0 when asked to?
//
// There are tests only; their harness is pgtest, their measurements are bench. Nothing else imports these packages.
// Environment: REPLPROXY_RACE=1 builds the proxy with the race detector, and REPLPROXY_SEED makes random choices
// repeatable. REPLPROXY_SOAK (a duration) prolongs the tests that `make soak` names. With REPLPROXY_MAJOR=17 every
// test that can runs on that major version only.
package conformance
