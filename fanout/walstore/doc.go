// Package walstore keeps the WAL of one PostgreSQL system, on disk in PostgreSQL's own files and the newest of it in
// memory. The walreceiver writes it, and every walsender reads it.
//
//	AppendFrom                                                          Reader.Next
//	    │                                                                 ▲     ▲
//	    ▼                       tail (memory)                             │     │
//	┌───────────────────────────────────────────────────────┐   slices   │     │
//	│ block │ block │ block │ block │ block ····            ├────────────┘     │
//	└───────────────────────────────────────────────────────┘                  │
//	    ▲ evicted   ▲ flushed  ▲ written     ▲ received                         │
//	       write(2) │ fdatasync of WAL and mark                                 │
//	┌───────────────▼───────────▼───────────────────────────┐   file ranges    │
//	│ wal/000000010000000000000003  …4  …5   spare.7  mark   ├──────────────────┘
//	└───────────────────────────────────────────────────────┘
//
// Order of use:
//
//  1. [Open], which recovers, and [Store.SetRetention].
//  2. [Store.Run] in a goroutine of the caller.
//  3. [Store.Adopt] and [Store.PutHistory] when upstream is known.
//  4. [Store.StartStream], then [Store.AppendFrom] or [Store.AppendSegment], from the one goroutine that receives.
//  5. [Store.Close] after Run returned.
//
// Invariants:
//
//  1. Oldest ≤ Flushed ≤ Reportable ≤ Written ≤ Received, on one timeline; each only grows, except that a new
//     timeline begins at its fork.
//  2. A message is received whole or not at all, and only after its page headers were checked.
//  3. Bytes below Received never change. Whoever has a slice of a block may keep it.
//  4. A position is published as flushed after its WAL was fsynced, and beside that the mark that says so, and after
//     both were found by name. Recovery finds at least that position. Where it finds less than the mark it owes the
//     rest, be it damage or what was being flushed (ruling R10).
//  5. A position published as written survives the end of the process, up to the last complete
//     record; nothing that was not received ever appears.
//  6. After a failed write of the mark or a failed fsync nothing is published any more.
//  7. A segment file is removed only when no reader, slot, keep size or recovery needs it. While the volume is
//     short, readers hold none. A reader is registered before it looks, and files leave the index before they leave
//     the disk. Pages that sendfile may have put into a socket are never written over. A file that was read becomes
//     no other segment, and WAL beyond the last complete record is copied, see [Chunk.OSFile].
//  8. Memory is bounded: the tail by its size (AppendFrom waits), a reader by one chunk; so are the
//     files that wait for fsync.
//  9. No byte of a complete segment is served longer than verifiedFor after it was compared with its
//     digest.
//  10. The running hash and the end of the last complete record cover all received WAL before anybody can read it.
//     Behind an XLOG_SWITCH there are zeros (rulings R32, R36, R37).
//
// Locks, in the order in which they nest: stages.housekeeping, stages.write, stages.sync, stages.markMu,
// segments.mu, Store.mu. histMu and openFile.mu are leaves, except that verification reads files.
// The format on disk and the recovery steps are in docs/walstore-format.md.
package walstore
