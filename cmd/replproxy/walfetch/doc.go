// Package walfetch brings one file of pg_wal out of a proxy's store, as restore_command wants it.
//
//	restore_command ──► Fetch ──► a walsender connection to the proxy
//	                      │         TIMELINE_HISTORY, or START_REPLICATION for one segment
//	                      ▼
//	              <path>.tmp ── fsync, rename, fsync of the directory ──► <path>
//
// Invariants:
//
//  1. The path holds the whole file, durable, or was not touched.
//  2. ErrAbsent is said only when the proxy answered that neither it nor anybody whom it asks has the file, or the
//     whole of it. Any other refusal is a failure.
//  3. No position is reported, so the connection is nobody's synchronous standby.
package walfetch
