package proxy

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/handshake"
	"github.com/replproxy/replproxy/handshake/roles"
	"github.com/replproxy/replproxy/handshake/scramauth"
	"github.com/replproxy/replproxy/internal/deadline"
	"github.com/replproxy/replproxy/internal/wire"
)

// Roles finds the roles that may log in; [roles.Lookup] is one. Methods are called from many goroutines.
type Roles interface {
	// Find may ask the primary; ctx ends that.
	Find(ctx context.Context, name string) roles.Found
	// Mock is the verifier that a client without hope is shown.
	Mock(name string) scramauth.Verifier
	// Doubt says that a client failed by what Find said of name.
	Suspect(name string)
}

// maxSteps bounds a SCRAM exchange: the mechanism alone, the first message, the last one.
const maxSteps = 3

// errLength refuses a message of a log-in that is longer than any that a client sends there.
var errLength = errors.New("invalid message length")

// errGuess marks the error that a client is told whose proof is not right, or could not be.
var errGuess = errors.New("the proof is wrong")

// isGuess reports whether err is about a wrong proof, whatever SQLSTATE the client gets.
func isGuess(err error) bool { return errors.Is(err, errGuess) }

// errHungUp is a client that left within the exchange.
var errHungUp = errors.New("the client left during authentication")

// verify lets the client prove that it is the role that it names, and tells it everything up to
// AuthenticationSASLFinal. An error that the client has to be told is marked by [Tell]. What comes behind
// the client's last answer has not been read.
func (s *Server) verify(ctx context.Context, req *handshake.Request) (*roles.Verified, error) {
	ctx, done := context.WithTimeout(ctx, s.o.AuthenticationTimeout)
	defer done()
	conn := req.Conn
	if end, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(end)
	}
	stop := deadline.By(ctx, conn.SetDeadline)
	v, err := s.exchange(ctx, req)
	struck := stop()
	_ = conn.SetDeadline(time.Time{})
	if struck && !errors.Is(err, errHungUp) { // whatever else seems to be wrong
		told := errAuthenticationTimeout()
		if context.Cause(ctx) != context.DeadlineExceeded {
			told = errShutdown()
		}
		if isGuess(err) {
			told = told.WithCause(err) // which still counts
		}
		err = Tell(told)
	}
	if err != nil {
		return nil, err
	}
	return v, nil
}

func errAuthenticationTimeout() *pgerror.Error {
	return pgerror.Fatal(pgerror.QueryCanceled, "canceling authentication due to timeout")
}

func errShutdown() *pgerror.Error {
	return pgerror.Fatal(pgerror.AdminShutdown, "terminating connection due to administrator command")
}

func (s *Server) exchange(ctx context.Context, req *handshake.Request) (*roles.Verified, error) {
	user := req.User()
	found, err := s.find(ctx, req.Conn, user)
	if err != nil {
		return nil, err
	}
	verifier, why := found.Verifier(time.Now())
	if why != "" {
		verifier = s.o.Roles.Mock(user)
	}
	random := make([]byte, scramauth.NonceSize)
	_, _ = rand.Read(random) // never fails
	scram := scramauth.NewServer(verifier, why != "", endPoint(req), scramauth.Nonce(random))
	var out []byte
	if n, _ := req.Negotiate(s.o.NewestMinor()); n != nil {
		out = n.Append(out)
	}
	out = appendAuthentication(out, authSASL, scram.Offer())
	for range maxSteps {
		if _, err := req.Conn.Write(out); err != nil {
			return nil, fmt.Errorf("%w: %w", errHungUp, err)
		}
		body, err := readAnswer(req.Conn)
		if errors.Is(err, errLength) {
			return nil, Tell(passwordFailed(user, err)) // as PostgreSQL says it
		}
		if err != nil {
			return nil, err
		}
		answer, done, err := scram.Step(body)
		if errors.Is(err, scramauth.ErrProof) {
			return nil, Tell(s.wrongPassword(ctx, user, found, why))
		}
		if err != nil {
			return nil, Tell(err)
		}
		if !done {
			out = appendAuthentication(nil, authSASLContinue, answer)
			continue
		}
		if _, err := req.Conn.Write(appendAuthentication(nil, authSASLFinal, answer)); err != nil {
			return nil, fmt.Errorf("%w: %w", errHungUp, err)
		}
		return &roles.Verified{
			Role: found.Role, FromPrimary: found.FromPrimary,
			Keys: scramauth.Keys{ClientKey: scram.ClientKey(), ServerKey: verifier.ServerKey},
		}, nil
	}
	return nil, Tell(pgerror.Fatal(pgerror.ProtocolViolation, "malformed SCRAM message"))
}

// find looks a role up. It may have to ask the primary, and fails when the client leaves meanwhile.
func (s *Server) find(ctx context.Context, conn net.Conn, name string) (found roles.Found, err error) {
	err = attended(ctx, conn, &grace{}, nil, func(ctx context.Context) error {
		found = s.o.Roles.Find(ctx, name)
		return ctx.Err()
	})
	if end, ok := ctx.Deadline(); ok { // of verify, which the watch has taken away
		_ = conn.SetReadDeadline(end)
	}
	if ctx.Err() != nil {
		_ = conn.SetDeadline(deadline.Past())
	}
	if errors.Is(err, errHungUp) {
		return found, err
	}
	return found, nil
}

// wrongPassword returns the error for a client whose proof is not right, or could not be: the same for both, after as
// long. While the primary cannot be asked nobody knows whether the proof would be right there.
func (s *Server) wrongPassword(ctx context.Context, user string, found roles.Found, why string) *pgerror.Error {
	if !found.Asked {
		s.o.Roles.Suspect(user)
	}
	unasked := !found.Certain && why != "" // nobody could say what the proof has to be, so it may be right
	found = s.o.Roles.Find(ctx, user)
	cause := errGuess
	if why != "" {
		cause = fmt.Errorf("%w: %s", errGuess, why)
	}
	if unasked || !found.Certain {
		return pgerror.Fatal(pgerror.CannotConnectNow, "cannot connect to the primary").
			WithDetail("The password could not be verified without it.").WithCause(cause)
	}
	return passwordFailed(user, cause)
}

func passwordFailed(user string, cause error) *pgerror.Error {
	return pgerror.Fatal(pgerror.InvalidPassword, "password authentication failed for user \"%s\"", user).
		WithCause(cause)
}

// endPoint returns the data to which the client's channel can be bound, nil for none.
func endPoint(req *handshake.Request) []byte {
	if _, secure := req.Conn.(*tls.Conn); !secure {
		return nil
	}
	return scramauth.EndPoint(req.Certificate)
}

// The kinds of 'R' that a client is sent here (facts A7).
const (
	authSASL         = 10
	authSASLContinue = 11
	authSASLFinal    = 12
)

func appendAuthentication(b []byte, kind uint32, data []byte) []byte {
	return wire.AppendFrame(b, 'R', append(binary.BigEndian.AppendUint32(nil, kind), data...))
}

// readAnswer reads one 'p' and not a byte more. It blocks until the deadline that conn has. An error that the client
// has to be told is marked by [Tell]; errHungUp: the client left, or its time is over.
func readAnswer(conn net.Conn) ([]byte, error) {
	var head [5]byte
	if _, err := io.ReadFull(conn, head[:1]); err != nil {
		return nil, fmt.Errorf("%w: %w", errHungUp, err)
	}
	if head[0] != 'p' {
		return nil, Tell(pgerror.Fatal(pgerror.ProtocolViolation,
			"expected SASL response, got message type %d", head[0]))
	}
	if _, err := io.ReadFull(conn, head[1:]); err != nil {
		return nil, fmt.Errorf("%w: %w", errHungUp, err)
	}
	n := int64(binary.BigEndian.Uint32(head[1:])) - 4
	if n < 0 || n > scramauth.MaxMessage {
		return nil, errLength
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(conn, body); err != nil {
		return nil, fmt.Errorf("%w: %w", errHungUp, err)
	}
	return body, nil
}
