package authwatch

import (
	"encoding/binary"
	"sync"

	"github.com/replproxy/replproxy/grammar/pgerror"
)

// MaxAnswer is the largest body of a client's 'p', as PostgreSQL limits it
// (PG_MAX_AUTH_TOKEN_LENGTH): enough for a Kerberos ticket with many groups.
const MaxAnswer = 65535

// MaxQuestion is the largest body of any message of the primary before ReadyForQuery. Real ones are
// a few hundred bytes, a Kerberos token may be as long as an answer.
const MaxQuestion = 1 << 17

// The kinds of 'R' (facts A7).
const (
	kindOk           = 0
	kindCleartext    = 3
	kindMD5          = 5
	kindGSS          = 7
	kindGSSContinue  = 8
	kindSSPI         = 9
	kindSASL         = 10
	kindSASLContinue = 11
	kindSASLFinal    = 12
)

// Legs describes the two connections of a log-in.
type Legs struct {
	ClientTLS, UpstreamTLS bool
	SameCertificate        bool // the client sees the primary's own (see [SameCertificate])
	Trusted                bool // an access rule for the client's real address says trust
	Physical               bool // the client is a physical walsender
}

// Step classifies a frame of the primary by its effect on the exchange.
type Step uint8

// The steps. Before Authenticated the client owes or awaits an answer; after it the primary may
// still refuse (a role without REPLICATION, an unknown parameter).
const (
	Pass          Step = iota // nothing changes
	Ask                       // the client must answer with 'p'
	Authenticated             // AuthenticationOk, rightly
	Refused                   // ErrorResponse: the primary closes after it
	Ready                     // ReadyForQuery: the exchange is over
)

// Watch follows one exchange. Make it with [New]. Each side's messages may come from a goroutine of their own.
type Watch struct {
	legs Legs

	mu       sync.Mutex
	asked    bool // the primary put a question that the client has not answered
	answered bool // this client answered at least one question
	ok       bool // AuthenticationOk has passed
}

// New follows an exchange between the two legs.
func New(legs Legs) *Watch { return &Watch{legs: legs} }

// FromUpstream judges a frame of the primary and returns the body to pass on: body itself, or a
// shorter copy of it. An error is the FATAL that the client gets instead of the frame; the exchange
// is then over.
func (w *Watch) FromUpstream(typ byte, body []byte) (Step, []byte, error) {
	switch typ {
	case 'R':
		return w.authentication(body)
	case 'E':
		return Refused, body, nil
	case 'Z':
		if !w.authenticated() {
			return Refused, nil, protocolError("ReadyForQuery before AuthenticationOk")
		}
		return Ready, body, nil
	case 'K', 'S':
		if !w.authenticated() {
			return Refused, nil, protocolError("session data before AuthenticationOk")
		}
		return Pass, body, nil
	case 'N', 'v':
		return Pass, body, nil
	}
	return Refused, nil, protocolError("an unexpected message")
}

func (w *Watch) authenticated() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ok
}

func (w *Watch) authentication(body []byte) (Step, []byte, error) {
	if len(body) < 4 {
		return Refused, nil, protocolError("an authentication request that is too short")
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch binary.BigEndian.Uint32(body) {
	case kindOk:
		if !w.answered && !w.legs.Trusted {
			return Refused, nil, Unproven(w.legs.Physical)
		}
		w.ok, w.asked = true, false
		return Authenticated, body, nil
	case kindSASL:
		w.asked = true
		if !w.legs.ClientTLS {
			body = withoutPlus(body)
		}
		return Ask, body, nil
	case kindCleartext, kindMD5, kindGSS, kindSSPI, kindGSSContinue, kindSASLContinue:
		w.asked = true
		return Ask, body, nil
	case kindSASLFinal:
		return Pass, body, nil
	}
	// An obsolete or unknown method proves nothing to us; the client decides what it makes of it.
	return Pass, body, nil
}

// Proven reports whether AuthenticationOk has passed after an answer of this client.
func (w *Watch) Proven() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ok && w.answered
}

// FromClient judges a frame of the client before it is passed on. An error is the FATAL that the
// client gets; nothing may be passed on then.
func (w *Watch) FromClient(typ byte, body []byte) error {
	if typ != 'p' {
		return pgerror.Fatal(pgerror.ProtocolViolation,
			"expected password response, got message type %d", typ)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ok || !w.asked {
		return pgerror.Fatal(pgerror.ProtocolViolation, "unexpected password response")
	}
	if w.legs.ClientTLS && w.legs.UpstreamTLS && !w.legs.SameCertificate {
		if err := refuseBinding(body); err != nil {
			return err
		}
	}
	w.asked, w.answered = false, true
	return nil
}

func protocolError(what string) error {
	return pgerror.Fatal(pgerror.ProtocolViolation, "the primary sent %s during log-in", what)
}

// Unproven returns the FATAL for a client of whom the primary has asked no proof. The hint's rule matches a physical
// walsender, or any other client.
func Unproven(physical bool) *pgerror.Error {
	database := "all"
	if physical {
		database = "replication"
	}
	return pgerror.Fatal(pgerror.InvalidAuthorization,
		"log-in refused: the primary let replproxy in without asking this client for a proof").
		WithDetail("The primary sees replproxy's address, so its trust, peer, ident or cert rule "+
			"judged replproxy and not this client.").
		WithHint("Let pg_hba.conf of the primary ask for scram-sha-256 where connections come from "+
			"replproxy, or add an access rule with trust for this client's address, as in "+
			"--access \"host %s all 127.0.0.1/32 trust\". "+
			"With access rules nobody is let in whom none of them matches: "+
			"list the others too; all does not match physical walsenders, replication matches nothing else.", database)
}
