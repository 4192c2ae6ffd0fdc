package relay

import (
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"errors"

	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/handshake/roles"
	"github.com/replproxy/replproxy/handshake/scramauth"
	"github.com/replproxy/replproxy/internal/wire"
)

// Prover logs a client that was verified here in to the primary, by the key that its proof gave away.
type Prover struct {
	scram   *scramauth.Client
	unasked bool // the primary need not ask
}

// NewProver returns a Prover for one log-in over upstream, of a client that has proved itself as v says; it reads and
// writes nothing. The primary need not ask when the client has proved itself by the primary's own verifier of this very
// role (ruling R1).
func NewProver(v *roles.Verified, upstream *Upstream) *Prover {
	leg := scramauth.Leg{TLS: upstream.TLS, Binding: upstream.ChannelBinding}
	if secure, ok := upstream.Conn.(*tls.Conn); ok {
		if chain := secure.ConnectionState().PeerCertificates; len(chain) > 0 {
			leg.EndPoint = scramauth.EndPoint(chain[0].Raw)
		}
	}
	random := make([]byte, scramauth.NonceSize)
	_, _ = rand.Read(random) // never fails
	return &Prover{
		scram: scramauth.NewClient(v.Keys, leg, scramauth.Nonce(random)), unasked: v.FromPrimary,
	}
}

// Step takes the body of an 'R' of the primary and gives the frame to answer with, nil for none. ok: it was
// AuthenticationOk, rightly. The error is a FATAL for the client.
func (p *Prover) Step(body []byte) (frame []byte, ok bool, err error) {
	answer, ok, err := p.scram.Step(body)
	switch {
	case errors.Is(err, scramauth.ErrUnasked) && p.unasked:
		return nil, true, nil
	case errors.Is(err, scramauth.ErrUnasked):
		return nil, false, pgerror.Fatal(pgerror.InvalidAuthorization,
			"log-in refused: the primary let replproxy in without asking for a proof").
			WithDetail("The role's verifier is from auth.users_file, so that nothing says that the primary knows it.").
			WithHint("Let pg_hba.conf of the primary ask for scram-sha-256 where connections come from replproxy.")
	case errors.Is(err, scramauth.ErrMethod):
		return nil, false, pgerror.Fatal(pgerror.InvalidAuthorization,
			"log-in refused: the primary asks for another proof than SCRAM-SHA-256").
			WithDetail("replproxy has auth.method: scram and knows no password of the client.").
			WithHint("Let pg_hba.conf of the primary ask for scram-sha-256 where connections come from replproxy.")
	case errors.Is(err, scramauth.ErrBinding):
		return nil, false, pgerror.Fatal(pgerror.InvalidAuthorization,
			"log-in refused: the primary offers no channel binding").
			WithDetail("upstream.conninfo has channel_binding=require.")
	case errors.Is(err, scramauth.ErrSignature):
		return nil, false, pgerror.Fatal(pgerror.InvalidAuthorization,
			"log-in refused: the primary could not prove that it knows the role's password").WithCause(err)
	case err != nil:
		return nil, false, pgerror.Fatal(pgerror.ProtocolViolation,
			"the primary sent a malformed SCRAM message during log-in").WithCause(err)
	case answer != nil:
		frame = wire.AppendFrame(nil, 'p', answer)
	}
	return frame, ok, nil
}

// prove answers the primary's questions and passes everything else, up to ReadyForQuery (nil). Nothing is read
// of the client.
func (l *login) prove(o *Options) (failed error) {
	defer l.endIfLeft()(&failed)
	p := NewProver(o.Verified, o.Upstream)
	authenticated := false
	for {
		typ, body, err := l.next(authenticated, o.OnRefusal)
		if err != nil {
			return err
		}
		switch {
		case typ == 'R' && !authenticated:
			var answer []byte
			answer, authenticated, err = p.Step(body)
			if authenticated {
				l.on(Authenticated)
			} else if answer != nil {
				l.on(Answered)
			}
			if err == nil && answer != nil {
				if _, werr := l.upstream.Write(answer); werr != nil {
					err = l.lost(werr)
				}
			}
			var refused *RefusedError
			if errors.As(err, &refused) {
				return err
			}
			if err != nil {
				return &RefusedError{Err: pgerror.From(err).AsFatal(), listening: true}
			}
			if !authenticated {
				continue
			}
		case typ == 'v': // the client's version was fixed before
			continue
		case typ == 'E':
			l.out = wire.AppendFrame(l.out, typ, body)
			if o.OnRefusal != nil {
				o.OnRefusal()
			}
			if err := l.flush(); err != nil {
				return err
			}
			e, _ := wire.ParseError(body)
			return &RefusedError{Err: e, Told: true}
		case typ == 'N', authenticated && (typ == 'S' || typ == 'K' || typ == 'Z'):
		default:
			return &RefusedError{Err: pgerror.Fatal(pgerror.ProtocolViolation,
				"the primary sent an unexpected message during log-in"), listening: true}
		}
		if typ == 'K' && len(body) > 4 && l.onKey != nil {
			l.onKey(binary.BigEndian.Uint32(body), body[4:])
		}
		if typ == 'S' {
			l.params.note(body)
		}
		l.out = wire.AppendFrame(l.out, typ, body)
		if typ == 'Z' {
			return l.flush()
		}
		if l.upstream.r.Buffered() == 0 || len(l.out) >= loginFlush {
			if err := l.flush(); err != nil {
				return err
			}
		}
	}
}
