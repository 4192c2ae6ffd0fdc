package link

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"time"

	"github.com/replproxy/replproxy/cluster/identity"
	"github.com/replproxy/replproxy/internal/nudge"
)

// sender keeps one peer supplied. Make it with newSender.
type sender struct {
	link *Link
	peer Peer
	// up, the message version while it is, and why the last connection ended; under link.mu.
	up      bool
	version int
	last    string
	strange bool // it speaks none of our versions
	// again has room for one token: the peer has just shown that it is there, so the delay ends.
	again nudge.Chan
}

func newSender(l *Link, p Peer) *sender {
	return &sender{link: l, peer: p, again: nudge.New()}
}

// keep connects, again and again with growing pauses, until ctx ends. A member that comes back connects to us
// itself; it is answered at once, since it waits a few seconds for what the others say before it acts alone.
func (s *sender) keep(ctx context.Context) {
	s.link.mu.Lock()
	s.link.senders[s.peer.Name] = s
	s.link.mu.Unlock()
	defer func() {
		s.link.mu.Lock()
		defer s.link.mu.Unlock()
		if s.link.senders[s.peer.Name] == s {
			delete(s.link.senders, s.peer.Name)
			s.link.gone[s.peer.Name] = s
			if s.up || s.last == "" {
				s.up, s.last = false, "the cluster has lost it"
			}
		}
	}()
	backoff := firstBackoff
	for ctx.Err() == nil {
		began := time.Now()
		err := s.once(ctx)
		if ctx.Err() != nil {
			return
		}
		if identity.Refused(err) {
			err = s.refused(err)
		}
		s.state(0, err.Error())
		s.link.mu.Lock()
		s.strange = errors.Is(err, errForeign)
		s.link.mu.Unlock()
		if time.Since(began) > lastBackoff {
			backoff = firstBackoff
		}
		s.link.Logger.Info("cannot send acks to a member", "member", s.peer.Name, "addr", s.peer.Addr,
			"retry_in", backoff, "err", err)
		if s.rest(ctx, backoff/2+rand.N(backoff/2)) {
			backoff = firstBackoff
			continue
		}
		backoff = min(2*backoff, lastBackoff)
	}
}

// errRefused reports a member that takes this proxy for none.
var errRefused = errors.New("it takes this proxy for a stranger")

// refused returns an error that says what is lacking at the peer, and logs it when it is new.
func (s *sender) refused(err error) error {
	err = fmt.Errorf("%w: its cluster.members lacks %q: %w", errRefused, s.link.Node.Line(), err)
	s.link.mu.Lock()
	known := s.last == err.Error()
	s.link.mu.Unlock()
	if !known {
		s.link.Logger.Warn("a member refuses this proxy", "member", s.peer.Name, "addr", s.peer.Addr, "err", err)
	}
	return err
}

// rest waits for d, or until ctx ends; early: the peer has shown that it is there.
func (s *sender) rest(ctx context.Context, d time.Duration) (early bool) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	case <-s.again:
		return true
	}
	return false
}

// dialAgain ends the delay of the sender to a peer that is not connected to.
func (l *Link) dialAgain(peer string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := l.senders[peer]; s != nil && !s.up {
		s.again.Wake()
	}
}

// state notes the version of a connection, 0 for none, and why there is none.
func (s *sender) state(version int, last string) {
	s.link.mu.Lock()
	defer s.link.mu.Unlock()
	s.up, s.version, s.last = version > 0, version, last
}

// once makes one connection and serves it from dialling to its end, which is always an error. It blocks as long;
// dialTimeout bounds the beginning.
func (s *sender) once(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	dctx, done := context.WithTimeout(ctx, dialTimeout)
	defer done()
	offer := protocols(s.link.Version)
	dialer := tls.Dialer{Config: identity.Client(s.link.Node, s.link.Members, s.peer.Name, offer...)}
	conn, err := dialer.DialContext(dctx, "tcp", s.peer.Addr)
	if err != nil {
		return foreign(err, s.link.Version)
	}
	version := versionOf(agreed(conn))
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()

	// The acceptor says hello when it lets us speak, and then heartbeats: it hears us.
	in := &reader{r: conn, version: version}
	if err := write(conn, appendHello(nil, version, s.link.run)); err != nil {
		return err
	}
	if err := conn.SetReadDeadline(time.Now().Add(silence + conflictHold)); err != nil {
		return err
	}
	if f, err := in.next(); err != nil {
		return fmt.Errorf("no answer: %w", err)
	} else if f.typ != frameHello {
		return fmt.Errorf("%w: type %q instead of hello", ErrGarbled, f.typ)
	}
	s.state(version, "")
	s.link.Logger.Info("sending acks to a member", "member", s.peer.Name, "addr", s.peer.Addr,
		"message_version", version)
	heard := make(chan error, 1)
	go func() { heard <- listen(conn, in) }()
	err = s.pump(ctx, conn, version, heard)
	_ = conn.Close()
	if err == nil {
		err = <-heard
	}
	return err
}

// noCommonProtocol is the text of the TLS error when the other end serves none of the offered protocols.
const noCommonProtocol = "tls: no application protocol"

// foreign wraps err in errForeign if the other end speaks none of the versions up to newest. Other errors stay as they
// are; nil is none.
func foreign(err error, newest int) error {
	if strings.Contains(err.Error(), noCommonProtocol) {
		return fmt.Errorf("%w: it speaks none of %d to %d, as this proxy does", errForeign, Oldest, newest)
	}
	return err
}

// errForeign reports a member of a release that is too far away from this one.
var errForeign = errors.New("no common message version")

// listen expects heartbeats until there is none for the time of silence, which is an error as any other end.
func listen(conn net.Conn, in *reader) error {
	for {
		if err := conn.SetReadDeadline(time.Now().Add(silence)); err != nil {
			return err
		}
		if f, err := in.next(); err != nil {
			return fmt.Errorf("connection: %w", err)
		} else if f.typ != frameHeartbeat && !lenient(in.version) {
			return fmt.Errorf("%w: type %q instead of a heartbeat", ErrGarbled, f.typ)
		}
	}
}

// pump writes changed items at once, all items now and then, and a heartbeat when there is nothing. When the listener
// ended first, it gives its error back to heard.
func (s *sender) pump(ctx context.Context, conn net.Conn, version int, heard chan error) error {
	wake, stop := s.link.Outbox.watch()
	defer stop()
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	var buf []byte
	var at uint64
	resync := time.Now().Add(resyncInterval)
	for {
		buf, at = s.link.Outbox.collect(buf[:0], at, version)
		if len(buf) == 0 {
			buf = appendFrame(buf, frameHeartbeat, nil)
		}
		if err := write(conn, buf); err != nil {
			select {
			case end := <-heard: // its reason is the better one
				return end
			default:
				return errors.Join(err, conn.Close(), <-heard)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case err := <-heard:
			return err
		case <-wake:
		case now := <-beat.C:
			if now.After(resync) {
				at, resync = 0, now.Add(resyncInterval)
			}
		}
	}
}

// write gives each piece its own deadline: a slow link may take long for a snapshot, a dead one may not.
func write(conn net.Conn, b []byte) error {
	for len(b) > 0 {
		if err := conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
			return err
		}
		n, err := conn.Write(b[:min(len(b), writePiece)])
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}
