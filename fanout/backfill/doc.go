// Package backfill gets WAL into the store that the stream does not bring: segments from before the
// store began or that retention removed, and segments that were damaged at rest.
//
//	walsender: "segment missing" ──► Need ──┐ one queue, one entry per segment,
//	walsender: "segment damaged" ──► Need ──┤ however many standbys wait for it
//	                                        ▼
//	                             Filler.Run: one fetch at a time
//	                                        │ is it there by now? ──► done
//	                    Members ◄───────────┤ of a cluster, each from its own store only
//	                    Primary ◄───────────┤ one extra walsender, never the last free one
//	                    Archive ◄───────────┘ restore_command, file by file
//	                                        │
//	                                        ▼ walstore.Import: verified, durable, readable
//	                             every waiter of the segment is woken
//
// Beside that, [Forward] puts archived segments at the store's end, when the upstream has removed what follows it.
//
// Invariants:
//
//  1. At most one connection to the primary, and only while a standby waits for WAL (ruling R25).
//  2. Nothing is readable before the store has verified it; a source is never trusted.
//  3. A fetch runs at most maxAhead beyond the segment that was asked for: what a slow standby has not
//     read yet does not fill the disk.
//  4. No older WAL is fetched while the volume has no room for it beyond wal.min_free.
//  5. A segment that nobody has is not looked for again before retryAfter has passed.
//  6. WAL counts as available from nobody only when each source has answered so; a source that could not be asked may
//     have it.
//  7. The primary is told no position on this connection, so it never waits for it.
package backfill
