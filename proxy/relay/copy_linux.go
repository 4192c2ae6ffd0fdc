package relay

import (
	"context"
	"time"

	"golang.org/x/sys/unix"
)

// relayInLoop gives both sockets to a loop and waits until it is done with them. When a connection is no plain socket,
// or there is no loop, ok is false and nothing has happened.
func relayInLoop(ctx context.Context, l *loop, o *Options) (ok bool, err error) {
	plainClient, clientTCP := socket(o.Client)
	plainUpstream, upstreamTCP := socket(o.Upstream.Conn)
	if l == nil || !plainClient || !plainUpstream {
		return false, nil
	}
	clientFD, err := take(o.Client)
	if err != nil {
		return true, err
	}
	upstreamFD, err := take(o.Upstream.Conn)
	if err != nil {
		_ = unix.Close(clientFD)
		return true, err
	}
	p := newPair(clientFD, upstreamFD, clientTCP, upstreamTCP, o)
	if !l.do(func() { l.begin(p) }) {
		_, _ = unix.Close(clientFD), unix.Close(upstreamFD)
		return true, errEngineStopped
	}
	return true, p.wait(ctx, l)
}

// wait returns when the session is over.
func (p *pair) wait(ctx context.Context, l *loop) error {
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		return p.kill(l, context.Cause(ctx))
	case <-p.half:
	}
	t := time.NewTimer(endTimeout)
	defer t.Stop()
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		return p.kill(l, context.Cause(ctx))
	case <-t.C:
		return p.kill(l, nil)
	}
}

// kill closes the session from outside its loop, blocks until the loop has, and returns how the session ended.
func (p *pair) kill(l *loop, cause error) error {
	l.do(func() { l.end(p, cause) })
	<-p.done
	return p.err
}
