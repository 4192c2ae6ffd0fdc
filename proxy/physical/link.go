package physical

import (
	"context"
	"encoding/binary"
	"io"
	"sync"
	"time"

	"github.com/replproxy/replproxy/fanout/walsource"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/internal/deadline"
	"github.com/replproxy/replproxy/internal/hangup"
	"github.com/replproxy/replproxy/internal/wire"
	"github.com/replproxy/replproxy/proxy/gate"
	"github.com/replproxy/replproxy/proxy/relay"
)

// linkReadAhead is the read-ahead from the primary: a base backup comes in pieces of 32 kB and more,
// which bypass it.
const linkReadAhead = 16 << 10

// link is the session's own connection to the primary, logged in as its client. The log-in makes it and commands that
// are not virtualised use it. It is closed as soon as it is not needed, because the primary counts it as a walsender.
//
// The gate's ticket says who may touch it: the session while it is busy or lent, nobody but close
// once it has been reclaimed.
type link struct {
	up     *relay.Upstream
	r      *wire.Reader
	gate   *gate.Gate
	ticket *gate.Ticket
	keep   time.Duration

	loggedIn bool
	pid      uint32 // as the primary issued them
	key      []byte
	at       walsource.Whereabouts // of its server, as far as it has been asked
	agreed   lsn.TimelineID        // of the store when the server was found to be the one that is followed; 0: no

	closing sync.Once
}

// take makes the link busy. It reports false when it has been closed or is about to be.
func (l *link) take() bool { return l != nil && l.gate.Busy(l.ticket) }

// giveBack says that the session has no use for the link now.
func (l *link) giveBack() {
	now := time.Now()
	due := now.Add(min(idleGrace, l.keep))
	l.gate.Yield(l.ticket, due, now.Add(l.keep), l.close)
}

// spare says that the session will most likely not need the link: whoever waits gets the place after a moment. A nil l
// is no link.
func (l *link) spare() {
	if l == nil {
		return
	}
	now := time.Now()
	l.gate.Yield(l.ticket, now.Add(min(spareGrace, l.keep)), now.Add(l.keep), l.close)
}

// release says that streaming is about to start: whoever waits gets the place at once. If the start
// fails the session may take the link again.
func (l *link) release() {
	now := time.Now()
	l.gate.Yield(l.ticket, now, now.Add(min(startGrace, l.keep)), l.close)
}

// lend lets others log in while a base backup runs on the link.
func (l *link) lend() { l.gate.Lend(l.ticket) }

// close ends the connection and gives the place back. It may be called from anywhere, often: later
// calls wait for the first. The buffer goes at once, as the session may stay for months.
func (l *link) close() {
	l.closing.Do(func() {
		l.end()
		l.r = nil
		l.gate.Leave(l.ticket)
	})
}

// end closes as a client does and waits until the primary has ended its side: its walsender is free
// for another then.
func (l *link) end() {
	defer l.up.Conn.Close()
	_ = l.up.Conn.SetDeadline(time.Now().Add(closeTimeout))
	if l.loggedIn {
		_, _ = l.up.Conn.Write(wire.AppendFrame(nil, 'X', nil))
	}
	if hangup.EndSide(l.up.Conn) == nil {
		_, _ = io.Copy(io.Discard, l.up.Conn)
	}
}

// interrupt makes a blocked read or write on the link fail.
func (l *link) interrupt() { _ = l.up.Conn.SetDeadline(deadline.Past()) }

// endsWith interrupts the link when ctx ends, until stop returns.
func (l *link) endsWith(ctx context.Context) (stop func() bool) {
	return deadline.By(ctx, l.up.Conn.SetDeadline)
}

// cancel asks the primary to cancel the command that runs on the link, and blocks for cancelTimeout at most. nil also
// where it gave no key.
func (l *link) cancel() error {
	if l.up.Cancel == nil || len(l.key) == 0 {
		return nil
	}
	ctx, done := context.WithTimeout(context.Background(), cancelTimeout)
	defer done()
	return l.up.Cancel(ctx, cancelRequest(l.pid, l.key))
}

// cancelRequest returns a CancelRequest as a client sends it (facts A5).
func cancelRequest(pid uint32, key []byte) []byte {
	const code = 80877102
	b := binary.BigEndian.AppendUint32(nil, uint32(12+len(key)))
	b = binary.BigEndian.AppendUint32(b, code)
	b = binary.BigEndian.AppendUint32(b, pid)
	return append(b, key...)
}
