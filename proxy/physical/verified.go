package physical

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/handshake/roles"
	"github.com/replproxy/replproxy/internal/wire"
	"github.com/replproxy/replproxy/proxy/relay"
)

// admit answers a client that has proved its role to us. No walsender of the primary is taken, and the primary
// may be down.
func (s *session) admit(ctx context.Context, v *roles.Verified) error {
	if s.h.o.Parameters == nil {
		return pgerror.Fatal(pgerror.FeatureNotSupported, "physical replication is not served without the primary")
	}
	err := s.awaitPrimary(ctx, ctx, func() bool { return s.h.o.Parameters()["server_version"] != "" })
	if err == nil {
		err = s.learn()
	}
	if err != nil {
		return err
	}
	version, err := serverVersion(s.parameters["server_version"])
	if err != nil {
		return errUnknownVersion(err)
	}
	if e := v.Role.MayReplicate(version); e != nil {
		return e
	}
	s.version = version
	notices, e := s.applySettings(v)
	if e != nil {
		return e
	}
	if err := s.client.put(appendNotices(nil, notices)); err != nil {
		return err
	}
	s.parameters["session_authorization"] = s.req.User()
	s.parameters["is_superuser"] = map[bool]string{true: "on", false: "off"}[v.Role.Superuser]
	return s.greet()
}

// linked makes the link busy; for a client that was verified here it opens one if there is none. false: there
// is none.
func (s *session) linked(parent context.Context) (bool, error) {
	if s.link.take() {
		return true, nil
	}
	v := s.server.Verified()
	if v == nil || s.console != nil {
		return false, nil
	}
	if s.link != nil {
		s.link.close() // or it would keep a walsender
	}
	return true, s.open(parent, v)
}

// open logs in to the primary as the client, by the key that its proof gave away. The link is busy then. The
// error is an ERROR for the client, whose session goes on, or says that the client has gone.
func (s *session) open(parent context.Context, v *roles.Verified) error {
	limited, done := context.WithTimeoutCause(parent, s.h.o.AuthenticationTimeout, errAuthenticationTimeout())
	defer done()
	ctx, fail := context.WithCancelCause(limited)
	defer fail(nil)
	defer s.client.listen(ctx, ifGone(fail), holdBack)()
	l := &login{s: s, ctx: ctx, fail: fail}
	err := l.prove(v)
	if err == nil {
		s.link = l.link
		s.server.SetUpstream(s.link.up)
		return nil
	}
	if ctx.Err() != nil {
		err = l.cause(parent)
	}
	if l.link != nil {
		l.link.close()
	}
	if errors.Is(err, errClientGone) || parent.Err() != nil {
		return err
	}
	e := *pgerror.From(err)
	e.Severity = pgerror.SeverityError
	return &e
}

// prove logs in to the primary for a client that was verified here, and answers the primary's questions by v. The
// client hears nothing of it. It blocks until the primary is ready, also while the log-in waits for its turn, and until
// l.ctx ends. After nil l.link is idle. After an error the caller closes l.link, if there is one.
func (l *login) prove(v *roles.Verified) error {
	gate := l.s.h.o.Gate
	l.s.h.learnLimit()
	if gate.Limit() == 0 {
		return errNoWalsender()
	}
	l.late = errQueue()
	from := l.s.server.Origin()
	gate.Know(from)
	t, err := gate.Acquire(l.ctx, from)
	if err != nil {
		return err
	}
	gate.Prove(t)
	l.late = nil
	first, err := l.reach(t)
	if err != nil {
		gate.Leave(t)
		return err
	}
	defer l.link.endsWith(l.ctx)()
	p := &proving{link: l.link, prover: relay.NewProver(v, l.link.up)}
	for _, f := range first {
		if err := p.frame(f.typ, f.body); err != nil {
			return err
		}
	}
	for !l.link.loggedIn {
		h, body, err := l.read()
		if err == nil && body == nil && h.Size > 0 { // a large one, of which the client hears nothing
			if err = l.link.r.Discard(h.Size); err == nil && h.Type != 'E' {
				continue
			}
		}
		if err == nil {
			err = p.frame(h.Type, body)
		}
		l.in = p.ok
		if err != nil {
			return err
		}
	}
	return nil
}

// proving is a log-in of our own for a client.
type proving struct {
	link   *link
	prover *relay.Prover
	ok     bool
}

func (p *proving) frame(typ byte, body []byte) error {
	switch {
	case typ == 'R' && !p.ok:
		answer, ok, err := p.prover.Step(body)
		if err != nil {
			return err
		}
		p.ok = ok
		if answer != nil {
			if _, err := p.link.up.Conn.Write(answer); err != nil {
				return relay.Unreachable(fmt.Errorf("answer the primary: %w", err))
			}
		}
	case typ == 'E':
		e, ok := wire.ParseError(body)
		if !ok {
			e = pgerror.Fatal(pgerror.ProtocolViolation, "the primary sent a malformed error during log-in")
		}
		return e
	case typ == 'K' && p.ok && len(body) >= 8 && len(body) <= 4+maxCancelKey:
		p.link.pid, p.link.key = binary.BigEndian.Uint32(body), append([]byte(nil), body[4:]...)
	case typ == 'Z' && p.ok:
		p.link.loggedIn = true
	case typ == 'N', typ == 'v', typ == 'S' && p.ok:
	default:
		return pgerror.Fatal(pgerror.ProtocolViolation, "the primary sent an unexpected message during log-in")
	}
	return nil
}
