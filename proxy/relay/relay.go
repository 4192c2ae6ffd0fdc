package relay

import (
	"context"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/handshake/authwatch"
	"github.com/replproxy/replproxy/handshake/roles"
	"github.com/replproxy/replproxy/internal/deadline"
	"github.com/replproxy/replproxy/internal/hangup"
)

const (
	// DefaultLoginTimeout bounds the client's answers: authentication_timeout, counted again after the startup
	// packet as PostgreSQL does. How long the primary takes has no bound here, as it has none for a direct client.
	DefaultLoginTimeout = time.Minute
	// endTimeout bounds the time for the client to close after the server has closed, and for the server to take the
	// client's last bytes. A client that read the end answers at once; one that is gone must not hold a session.
	endTimeout = 10 * time.Second
	// hangUpTimeout and hangUpBytes bound a polite good-bye to a primary whose log-in was refused
	// here. What it sends until it has read the Terminate is a few parameter statuses.
	hangUpTimeout = time.Second
	hangUpBytes   = 64 << 10
)

// Options of Run. Upstream is closed by Run in any case. Client stays the caller's to close, though a
// session that got as far as being copied may find it closed already.
type Options struct {
	Client    net.Conn
	ClientTLS bool
	// Certificate is the certificate, in DER, that a client within TLS was shown.
	Certificate []byte
	Upstream    *Upstream
	// Engine copies after the log-in; nil copies by goroutines.
	Engine *Engine
	// Startup is the client's startup packet, sent first and unchanged.
	Startup []byte
	// Verified: the client has proved itself to us and been sent AuthenticationSASLFinal; we log in for it. nil:
	// its log-in is passed through.
	Verified *roles.Verified
	// OnRefusal is called when the primary refuses a client that was verified here; nil is nobody.
	OnRefusal func()
	// OnFailure is told of a refusal before AuthenticationOk, before the client is; nil is nobody. It may block, within
	// LoginTimeout, to hold the answer back.
	OnFailure func(*pgerror.Error)
	// Trusted: an access rule lets this client in though the primary asks it nothing (ruling R1).
	Trusted bool
	// LoginTimeout bounds the client's answers in all, and each write of the log-in. 0 is the default.
	LoginTimeout time.Duration
	// Again is asked when the primary takes no connections now (57P03), or hangs up, before the client has been sent
	// anything. true ends Run with [ErrAgain]; nil passes the primary's message on.
	Again func() bool
	// On is told whose turn it is during the log-in; nil is nobody. It must not block.
	On func(Event)
	// OnKey is told the pid and the key of BackendKeyData, the key valid for as long as needed.
	OnKey func(pid uint32, key []byte)
	// OnReady is called after ReadyForQuery has been passed on.
	OnReady func()
	// Serve takes the session over after OnReady, instead of copying; nil copies. It blocks until the session is
	// over and may leave both connections to Run. Its error is Run's.
	Serve func(context.Context, Legs) error
	// OnEnd is told whose connection has ended in order: of both when both have, the first one first. It must not
	// block. nil is nobody.
	OnEnd func(Side)
	// FromClient and ToClient, when set, are counted up as bytes pass.
	FromClient, ToClient *atomic.Int64
}

// Run relays one session and blocks until it is over. nil means that both sides ended in order.
// Otherwise a *RefusedError ended the log-in (the client is owed its text unless Told), a *SideError
// names the connection that broke, or the error is ctx's cause, or ErrAgain. When ctx ends during the log-in the
// client is owed a 57P01; later nobody knows where a message begins, and all that can be done is to
// close.
func Run(ctx context.Context, o Options) error {
	defer o.Upstream.Conn.Close()
	if o.FromClient == nil {
		o.FromClient = new(atomic.Int64)
	}
	if o.ToClient == nil {
		o.ToClient = new(atomic.Int64)
	}
	if o.OnEnd == nil {
		o.OnEnd = func(Side) {}
	}
	if o.On == nil {
		o.On = func(Event) {}
	}
	if o.LoginTimeout <= 0 {
		o.LoginTimeout = DefaultLoginTimeout
	}
	client, upstream := newLeg(o.Client), newLeg(o.Upstream.Conn)
	var params parameters
	if o.Serve != nil {
		params = parameters{}
	}
	var pid uint32
	if onKey := o.OnKey; o.Serve != nil {
		o.OnKey = func(p uint32, key []byte) {
			if pid = p; onKey != nil {
				onKey(p, key)
			}
		}
	}
	proven, err := logIn(ctx, client, upstream, params, &o)
	if err != nil {
		return err
	}
	if o.OnReady != nil {
		o.OnReady()
	}
	if o.Serve != nil {
		return o.Serve(ctx, newLegs(client, upstream, params, proven, pid, &o))
	}
	return copyAll(ctx, client, upstream, &o)
}

// copyAll passes on the bytes that the log-in read ahead and everything after it.
func copyAll(ctx context.Context, client, upstream *leg, o *Options) error {
	out := &direction{
		src: client.Conn, dst: upstream.Conn, from: Client, count: o.FromClient, buffers: o.Engine.pool(),
		ended: o.OnEnd,
	}
	in := &direction{
		src: upstream.Conn, dst: client.Conn, from: Primary, count: o.ToClient, buffers: out.buffers, ended: o.OnEnd,
	}
	both := func(at time.Time) error {
		return errors.Join(o.Client.SetDeadline(at), o.Upstream.Conn.SetDeadline(at))
	}
	stop := deadline.By(ctx, both)
	err := out.begin(client)
	if err == nil {
		err = in.begin(upstream)
	}
	if err == nil {
		if l := o.Engine.pick(); l != nil && !stop() {
			if ok, err := relayInLoop(ctx, l, o); ok {
				return err
			}
			stop = deadline.By(ctx, both)
		}
		err = copyBoth(in, out)
	}
	if stop() {
		return context.Cause(ctx)
	}
	return err
}

// logIn passes the log-in through, or logs in for a client that has proved itself to us. proven: the client has proved
// itself, to the primary or to us.
func logIn(ctx context.Context, client, upstream *leg, params parameters, o *Options) (proven bool, err error) {
	end := time.Now().Add(o.LoginTimeout)
	_ = upstream.SetWriteDeadline(end)
	stop := deadline.By(ctx, func(at time.Time) error {
		return errors.Join(upstream.SetDeadline(at), client.SetReadDeadline(at))
	})
	l := &login{
		client: client, upstream: upstream, timeout: o.LoginTimeout, deadline: end,
		onKey: o.OnKey, again: o.Again, on: o.On, params: params, failure: o.OnFailure,
		watch: authwatch.New(authwatch.Legs{
			ClientTLS: o.ClientTLS, UpstreamTLS: o.Upstream.TLS, Trusted: o.Trusted,
			SameCertificate: authwatch.SameCertificate(o.Certificate, o.Upstream.Conn),
		}),
	}
	o.On(Begun)
	_, err = upstream.Write(o.Startup)
	switch {
	case err == nil && o.Verified != nil:
		err = l.prove(o)
	case err == nil:
		err = l.run()
	case o.Again != nil && notYet(0, nil, err) && o.Again():
		err = ErrAgain
	default:
		err = l.lost(err)
	}
	if brokenBy(err, Client) && ctx.Err() == nil {
		o.On(Left)
		l.leave(ctx)
	}
	stopped := stop()
	_ = client.SetDeadline(time.Time{})
	_ = upstream.SetDeadline(time.Time{})
	if stopped {
		err = &RefusedError{Err: ended(context.Cause(ctx))}
	}
	var refused *RefusedError
	if errors.As(err, &refused) && refused.listening {
		hangUp(upstream)
	}
	return o.Verified != nil || l.watch.Proven(), err
}

// leave ends the side of the primary and waits until it has noticed, up to the time of a log-in. Until then the
// primary has a process for a client that has gone. A crowd of those must not be larger than one of waiting clients.
func (l *login) leave(ctx context.Context) {
	if hangup.EndSide(l.upstream.Conn) != nil {
		return
	}
	_ = l.upstream.SetReadDeadline(time.Now().Add(l.timeout))
	if ctx.Err() == nil { // else it strikes from now on
		_, _ = io.CopyN(io.Discard, l.upstream.Conn, hangUpBytes)
	}
}

// ended returns the error for the client when ctx ended the log-in: its cause, if that has words for the client, else
// that of a shutdown.
func ended(cause error) *pgerror.Error {
	var e *pgerror.Error
	if errors.As(cause, &e) {
		return e.AsFatal()
	}
	return errShutdown.WithCause(cause)
}

// hangUp ends a session that the primary may already have granted: a Terminate, so that its log has
// no complaint about a client that vanished.
func hangUp(upstream *leg) {
	_ = upstream.SetDeadline(time.Now().Add(hangUpTimeout))
	if _, err := upstream.Write([]byte{'X', 0, 0, 0, 4}); err != nil {
		return
	}
	_, _ = io.CopyN(io.Discard, upstream.Conn, hangUpBytes)
}

// copyBoth copies both directions by goroutines until both have ended or one has failed.
func copyBoth(in, out *direction) error {
	client, upstream := out.src, in.src
	ended := make(chan error, 1)
	go func() {
		err := Contained(out.run)
		switch {
		case brokenBy(err, Client):
			expire(upstream) // nobody is left to answer
		case err != nil && !brokenBy(err, Primary):
			expire(client) // a panic
			expire(upstream)
		case err != nil:
			// The primary is going; what it said last, a FATAL above all, may still be unread.
			_ = upstream.SetReadDeadline(time.Now().Add(endTimeout))
		}
		ended <- err
	}()
	err := in.run()
	if err != nil {
		expire(client)
	} else {
		end := time.Now().Add(endTimeout) // which need not take what the client still says
		_, _ = client.SetReadDeadline(end), upstream.SetWriteDeadline(end)
	}
	return firstCause(err, <-ended)
}

// expire fails every pending and later operation of c, while c itself stays its owner's to close.
func expire(c net.Conn) { _ = c.SetDeadline(deadline.Past()) }

func brokenBy(err error, side Side) bool {
	var e *SideError
	return errors.As(err, &e) && e.Side == side
}

// firstCause picks the failure that the other one followed from. After the primary has ended in
// order, whatever the client did is no failure; an expiry is never a cause.
func firstCause(in, out error) error {
	if in == nil {
		return nil
	}
	if isTimeout(in) && out != nil && !isTimeout(out) {
		return out
	}
	return in
}
