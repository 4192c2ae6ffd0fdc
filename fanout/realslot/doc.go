// Package realslot deals with the slots that are really on the primary and bear the name of one of
// this proxy's slots: a standby's from before it was moved behind the proxy, which is taken over
// (ruling R16), and mirrors, made so that others find the name there (R18).
//
//	START_REPLICATION SLOT x ──► Find ──► an SQL session ──► pg_replication_slots
//	                               │ not active
//	                               ▼
//	                      slot.Table.Adopt (durable)
//	                               │
//	every few seconds: Run ──► decide ──► advance │ drop │ create │ clear xmin
//
// What holds always:
//
//  1. A slot that is active on the primary is never touched.
//  2. A slot that this proxy neither took over nor made is never touched.
//  3. The primary's slot is advanced at most to what this store has flushed, and not before the WAL from
//     the own slot's restart_lsn is here and its xmin is held on the primary by this proxy's feedback.
//  4. That a slot was made by this proxy is durable before it is made.
package realslot
