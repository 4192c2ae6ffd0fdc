// Package logqueue stands between the writers of the log and its reader. A reader that stands still (a suspended pipe,
// a hung journald, a full terminal) then holds up nobody else (ruling R46).
//
//	slog handler ──Write──► Queue (bounded, copied) ──Run, one goroutine──► stderr
//	                          │ full: dropped, counted
//	                          └► "log lines were dropped", once there is room again
//
// Invariants:
//
//  1. Write never blocks and never fails.
//  2. Lines come out whole, one write each, in the order in which they came in; a line about dropped ones stands
//     where they are missing.
//  3. What waits is at most two times [maxBytes], or one longer line in place of either.
//  4. Close waits at most as long as it was told to.
package logqueue
