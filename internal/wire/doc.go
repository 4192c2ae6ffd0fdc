// Package wire reads and builds the frames of PostgreSQL's protocol after the startup phase: one
// type byte, an int32 length that counts itself, a body.
//
//	┌──────┬────────────┬───────────────────────┐
//	│ type │ length (4) │ body (length-4 bytes) │
//	└──────┴────────────┴───────────────────────┘
//
// It exists beside pgproto3 for two things that pgproto3 copies or hides. WAL goes from the socket straight into the
// store, and a reader knows a frame's type and length before it accepts the body. A [Reader] belongs to one goroutine.
// It buffers ahead, so nothing else may read from its source; [Reader.Buffered] gives back what it holds.
package wire
