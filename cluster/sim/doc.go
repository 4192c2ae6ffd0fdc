// Package sim is a world in one goroutine and one seed: primaries, proxies, standbys, their disks, the
// network between them, and an operator. It runs the real ledger, rules and quorum, and looks after every
// step whether an acknowledged commit could be lost.
//
//	seed ──► rng ──► events in virtual time ──► step ──► checks ──► next event … ──► Stats, or the first violation
//	          │
//	          ├ clients: commits that wait for write, flush or apply
//	          ├ network: delay, loss, duplication, reorder of cluster messages; TCP that stalls, resets, stays open
//	          ├ machines: power loss (what was not synced is gone), kill, restart, clock jumps; a primary that comes
//	          │   back with less WAL than it had synced, an acknowledged commit gone or not, and writes other; a
//	          │   store whose WAL is wiped; in some worlds a member of message version 1
//	          │   a volume that is not mounted: the proxy starts on an empty data_dir
//	          └ operator: rolling changes of the rule, forget, fence and promotion by the recipe, pg_rewind; a store
//	              that is made anew; a standby that is promoted by mistake; accept-timeline, one proxy after another,
//	              base backups of the standbys that had what was lost, made-anew
//
// The shells are small models: a proxy's store is two positions, a PostgreSQL server is three. WAL is not
// bytes but a tree of lines: two positions are the same WAL if one lies on the other's line. A line has a timeline's
// number, which is all that servers and the ledger are told, and two lines may have one number: of a primary that lost
// WAL, or of a promotion by mistake and the one by the recipe. The hash of WAL up to a position is the line that it
// lies on, and the position: by these the real comparison (cluster/compare) tells whose votes are for other WAL (ruling
// R32). All WAL of a world is in one segment.
//
// Checked after every step:
//
//   - G1: what a proxy tells a primary is truly held, by the disks of as many different voters as the rule
//     counts (flush), or was written or applied there; and nothing is said before rules were compared, against the
//     rule of a live member, past a FIRST voter that is known, or beyond the own store.
//   - G2: a commit that a primary has acknowledged is on the line of every timeline that the recipe made, and of
//     every primary that was accepted although it had lost WAL, whether it was acknowledged before or after; but for
//     those that an operator gave up by that word.
//   - No standby gets other WAL than that which it has, where somebody was told of it (ADR 0070).
//   - After a promotion no standby is ahead that got what was covered only (ADR 0078).
//
// Two small models are searched to the end beside it, by tests: TestModel (reports, a change of the rule, a promotion),
// TestTakeover (who streams from whom, power loss, slots, a new upstream that has less).
//
// What the real node has and this one has not: saves that take time or fail (cluster.TestGlue plays them), limits that
// are kept until something is heard, reports that come before their State, a vote that is withdrawn for want of space,
// two holders of a name (unit tests of cluster and ledger), the last report of a primary that shuts down, hashes that
// are not at hand and those of sealed segments (cluster, compare), and what nobody within reach could know: of
// acknowledged commits a primary loses only what every store has, durably, a store is wiped when all that it had is
// promised, and where a member of message version 1 is, which has no hashes, none has other WAL at the same positions,
// and nothing is given up. ADR 0070 names a price, which is not paid here: a standby that has shown to one proxy that
// it has no lost WAL does not go to one that still has it, and one that has more of it than anybody is known to have
// had gets nothing. A base backup waits until no proxy has lost WAL. A proxy on an empty data_dir serves nobody before
// a member has answered; the real one does (ADR 0071).
// Positions inside records, disk space and standbys that attach to the primary itself are not here either.
//
// A [Fault] breaks one thing on purpose; TestFaults shows by which seed each is found, with the odds of all worlds.
// Everything is replayed by its seed: the order of maps never decides anything.
package sim
