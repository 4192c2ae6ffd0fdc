// Package walstore keeps the WAL of one PostgreSQL system: what the walreceiver brings, every
// walsender reads, on disk in PostgreSQL's own files and, the newest of it, in memory.
//
//	AppendFrom                                                          Reader.Next
//	    │                                                                 ▲     ▲
//	    ▼                       tail (memory)                             │     │
//	┌───────────────────────────────────────────────────────┐   slices   │     │
//	│ block │ block │ block │ block │ block ····            ├────────────┘     │
//	└───────────────────────────────────────────────────────┘                  │
//	    ▲ evicted   ▲ flushed  ▲ written     ▲ received                         │
//	       write(2) │ fdatasync │ mark                                          │
//	┌───────────────▼───────────▼───────────────────────────┐   file ranges    │
//	│ wal/000000010000000000000003  …4  …5   spare.7  mark   ├──────────────────┘
//	└───────────────────────────────────────────────────────┘
//
// Order of use: [Open] (recovers), [Store.SetRetention], [Store.Run] in a goroutine of the caller,
// [Store.Adopt] and [Store.PutHistory] when upstream is known, then [Store.StartStream] and
// [Store.AppendFrom], or [Store.AppendSegment], from the one goroutine that receives. [Store.Close] after Run returned.
//
// Invariants:
//
//  1. Oldest ≤ Flushed ≤ Written ≤ Received, on one timeline; each only grows, except that a new
//     timeline begins at its fork.
//  2. A message is received whole or not at all, and only after its page headers were checked.
//  3. Bytes below Received never change. Whoever has a slice of a block may keep it.
//  4. A position is published as flushed after its WAL was fsynced and then the mark that says so.
//     Recovery finds at least the mark, or ends before the damage that is there and owes the rest
//     (ruling R10).
//  5. A position published as written survives the end of the process, up to the last complete
//     record; nothing that was not received ever appears.
//  6. After a failed write of the mark or a failed fsync nothing is published any more.
//  7. A segment file is removed when no reader, slot, keep size or recovery needs it (no reader, while
//     the volume is short); a reader is registered before it looks, and files leave the index before
//     they leave the disk. What sendfile may have put into a socket is never written over: a file that was
//     read becomes no other segment, and what lies beyond the last complete record is copied, see [Chunk.OSFile].
//  8. Memory is bounded: the tail by its size (AppendFrom waits), a reader by one chunk; so are the
//     files that wait for fsync.
//  9. No byte of a complete segment is served longer than verifiedFor after it was compared with its
//     digest.
//  10. The running hash and the end of the last complete record are those of what is received, from before
//     anybody can read it; behind an XLOG_SWITCH there are zeros (rulings R32, R36, R37).
//
// Locks, in the order in which they nest: stages.housekeeping, stages.write, stages.sync, stages.markMu,
// segments.mu, Store.mu; histMu and openFile.mu are leaves, except that verification reads files.
// The format on disk and the recovery steps are in docs/walstore-format.md.
package walstore
