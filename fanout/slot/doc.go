// Package slot keeps the virtual physical replication slots: names under which standbys hold WAL in
// this proxy's store. The primary never sees them.
//
//	CREATE ──► ┌───────────────── Table ─────────────────┐ ──► Oldest: retention of the store
//	START  ──► │ name ─► restart_lsn, xmin, owner, active │
//	'r'    ──► │        (memory, at once)                 │ ──► data_dir/slots/<name>  (Persist, lazily)
//	DROP   ──► └──────────────────────────────────────────┘
//
// CREATE, START and DROP are two steps each. Propose gives a claim, to which whoever shares the slots agrees: a cluster
// after asking its members (package sharing), a proxy alone at once. Create, Adopt, Acquire or Drop redeem it. A
// temporary slot is made in one step, and its claims concern nobody else.
//
// Rules, names and errors are PostgreSQL's (facts G). What holds always:
//
//  1. A name is taken from the moment its creation begins until its removal is durable.
//  2. A slot is active for at most one session; a temporary slot is active for its owner all its life.
//  3. When Create or Drop of a persistent slot returns nil, a power loss does not undo it.
//  4. Oldest is at or below every restart_lsn that a crash at this moment could bring back, so
//     retention never removes WAL that a restarted proxy would promise again.
//  5. restart_lsn follows every reported non-zero flush, even backward, in memory at once; the file
//     may hold an older value until the next Persist.
//  6. Of a slot that a cluster shares this table holds the greatest state that was heard of (package shared);
//     a dropped one leaves a tombstone.
//  7. A file that is torn, damaged or not ours stops Open with its name: a slot is never lost silently.
//
// The bytes of a file are in docs/slot-format.md and in format.go.
package slot
