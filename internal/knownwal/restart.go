package knownwal

import "github.com/replproxy/replproxy/grammar/lsn"

// Restart is the place in the WAL of a timeline at which its primary began to write anew, after it had gone down. It
// may have come back with less than it had.
type Restart struct {
	lsn.Point         // what it came back with ends there
	Clean     lsn.LSN // the end of the checkpoint with which it went down, if it did so in order
}

// Lacks reports whether a primary that came back so lacks WAL up to at, which was there before.
func (r Restart) Lacks(at lsn.LSN) bool { return at > r.LSN && at != r.Clean }
