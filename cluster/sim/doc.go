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
// The shells are small models: a proxy's store is two positions, a PostgreSQL server is three. WAL is not bytes but a
// tree of branches: two positions are the same WAL if one lies on the other's branch. Servers and the ledger are told
// only the number of a branch's timeline. Two branches may have one number: of a primary that lost WAL, or of a
// promotion by mistake beside the one by the recipe. The hash of WAL up to a position is its branch and the position.
// By these the real comparison (cluster/compare) finds votes for other WAL (ruling R32). All WAL of a world is in one
// segment.
//
// Checked after every step:
//
//   - G1: positions that a proxy reports are on the disks of as many different voters as the rule counts (flush), or
//     were written or applied there. Nothing is reported before rules were compared, against the rule of a live
//     member, past a known FIRST voter, or beyond the proxy's store.
//   - G2: a commit that a primary has acknowledged is on the branch of every timeline that the recipe made. It is on
//     that of every primary that was accepted although it had lost WAL, too. It does not matter whether it was
//     acknowledged before or after. Only commits that an operator gave up by that word are excepted.
//   - No standby gets other WAL than that which it has, where somebody was told of it (ADR 0070).
//   - After a promotion no standby is ahead that got what was covered only (ADR 0078).
//
// TestBlackout plays worlds of another kind, in which nothing else happens: all proxies and the primary die. Proxies
// come back one after another, beside a server that was promoted by mistake.
//
// Tests search two small models to the end: TestModel (reports, a change of the rule, a promotion) and TestTakeover
// (streams, power loss, slots, a new upstream with less WAL).
//
// The simulation leaves out much of the real node. Saves take time or fail in cluster.TestGlue. Unit tests of cluster,
// ledger and compare play early reports, withdrawn votes, two holders of a name and hashes that are not in memory. It
// also leaves out what no member could know: a primary loses only acknowledged commits that every store has durably, or
// that its proxy has reported and loses with it. A standby that has those does not stay away for longer than a proxy
// waits for it. A
// store is wiped only when all that it had is promised. With a member of message version 1, which has no hashes,
// nobody has other WAL at the same positions, and nothing is given up. ADR 0070 names a price, which is not paid here.
// A standby that has shown to one proxy that it has no lost WAL does not go to one that still has it. One that has
// more of it than anybody is known to have had gets nothing. A base backup waits until no proxy has lost WAL. Positions
// inside records, disk space and standbys that attach to the primary itself are not here either.
//
// A [Fault] breaks one thing on purpose; TestFaults shows by which seed each is found, with the odds of all worlds.
// Everything is replayed by its seed: the order of maps never decides anything.
package sim
