// Package deadline ends blocked reads and writes of a connection, and pauses, when a context ends.
//
//	ctx ends ──► SetDeadline(Past) ──► the read or write fails with os.ErrDeadlineExceeded
//	stop     ──► waits for that when it has begun: nothing strikes after stop has returned
//
// [context.AfterFunc] alone is not enough. Its stop returns while the function still runs. The deadline that it sets
// then strikes whatever comes next. That may be the message that tells the client why, or the next command of a session
// that goes on.
package deadline
