// Package walsender sends WAL: one Sender per standby, from CopyBothResponse to the end of COPY.
//
//	store ──wake──► send loop ──'w' 'k' 'c'──► standby
//	                   │  ▲ nudge                 │
//	                   ▼  │                       ▼
//	                  core (pure) ◄── replies loop ──'r' 'h' 'c'──► slot, voter
//
// The core decides: event and time in, one action out. Around it two thin shells: the send loop is
// the only writer of the connection, the replies loop its only reader. They share the core under one
// lock that is never held over I/O.
//
//	startup ──'W'──► catchup ──sent = horizon──► streaming ──drain──► stopping
//
// Cut-through: WAL is sent as soon as the store has received it, not when it is flushed. The positions are:
//
//   - sent, the next byte to send
//   - the end of the WAL that there is: received, or the switch point of a historic timeline
//   - the horizon, the end of the WAL that may be sent: the end, or for a bounded standby the covered position below it
//
// What holds always, and fails the sender, not the process, when broken:
//
//  1. A message starts at sent, ends at or below the horizon, and only then sent moves.
//  2. The end of a current timeline never goes back, unless WAL beyond a fork is held back. Nothing beyond the horizon
//     is sent, and a stream that is beyond waits: without bound, where it is not beyond the end.
//  3. The slot gets positions at or below the end, the voter a bound below it; what the standby claims beyond is
//     counted.
//  4. Once part of a frame is out, only the rest of it follows, or the connection is closed.
//  5. A stream ends with CopyDone only together with a next timeline, or when the standby began it.
//  6. The standby's clock stands still while this process does: its own stalls drop nobody (K29).
//
// A slow standby costs no memory: a sender holds one message's references to the store's memory or one
// open file, whatever the distance.
package walsender
