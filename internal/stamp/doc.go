// Package stamp notes when a commit's WAL reaches each step of its way through the proxy. It does so in a program that
// was built with the tag stamps. Without the tag its functions are empty, and the compiler leaves nothing of them.
//
//	upstream ─► Readable ─► Read ─► Published
//	                                  │                              ┌─► SyncBegun ─► Synced ─┐
//	                                  ├─► WriterWoken ─► Written ────┴─► MarkBegun ─► Marked ─┴─► Flushed ─┐
//	                                  └─► SenderWoken ─► Sent ─► ReplyReadable ─► ReplyRead ─► Asked ──────┤
//	upstream ◄── Reported ◄── Reporting ◄──────────────────────────────────────────────────────────────────┘
//
// A stamp says that a step has reached a position. Which stamp is a commit's follows from its position: the first one
// of the step at or beyond the end of the commit's record.
//
// Times are those of the system's real-time clock in nanoseconds. Readable and ReplyReadable are the kernel's own time
// stamps (SO_TIMESTAMPNS) of the last packet of a read: what the wake-up of the reading goroutine costs lies behind
// them. All others are read by the goroutine that takes the step.
//
// Nothing is noted before the first call of [Take]. What does not fit into the memory for stamps is counted.
package stamp
