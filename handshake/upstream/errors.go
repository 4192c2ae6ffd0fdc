package upstream

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/replproxy/replproxy/grammar/pgerror"
)

// Attempt names an endpoint that was tried, and the reason for which no session with it was kept.
type Attempt struct {
	Endpoint Endpoint
	Err      error
}

// ConnectError says for every endpoint that was tried why it did not do. errors.Is and errors.As
// reach each reason; a server's refusal is a *pgerror.Error.
type ConnectError struct{ Attempts []Attempt }

// errRefusedTLS says that a server answered SSLRequest with 'N': it has no TLS.
var errRefusedTLS = errors.New("server refused TLS connection")

// telling returns the attempts that say something of their own. With sslmode prefer and allow a server is tried twice,
// with TLS and in clear, and one of the two may add nothing. An attempt that found out the server's role (in recovery
// or not) stands for both. If only one of them failed for want of TLS, the other one stands for both. If the server was
// silent in both, the later one does.
func (e *ConnectError) telling() (all []Attempt) {
	for i, a := range e.Attempts {
		pointless := slices.ContainsFunc(e.Attempts, func(b Attempt) bool {
			return a.sameAddress(b) && isRole(b.Err) && !isRole(a.Err) ||
				a.sameAddress(b) && errors.Is(a.Err, errRefusedTLS) && !errors.Is(b.Err, errRefusedTLS)
		}) || errors.As(a.Err, new(errSilent)) && slices.ContainsFunc(e.Attempts[i+1:], func(b Attempt) bool {
			return a.sameAddress(b) && errors.As(b.Err, new(errSilent))
		})
		if !pointless {
			all = append(all, a)
		}
	}
	return all
}

func (a Attempt) sameAddress(b Attempt) bool {
	_, one := a.Endpoint.target()
	_, other := b.Endpoint.target()
	return one == other
}

// Error lists host, port and reason of each attempt that says something of its own, see telling.
func (e *ConnectError) Error() string {
	if len(e.Attempts) == 0 {
		return "connect to upstream: no endpoint was tried"
	}
	all := e.telling()
	parts := make([]string, len(all))
	for i, a := range all {
		if errors.As(a.Err, new(errDial)) {
			a.Endpoint.tls = nil // it did not come to TLS
		}
		if a.Endpoint == (Endpoint{}) {
			parts[i] = a.Err.Error()
			continue
		}
		parts[i] = fmt.Sprintf("connection to server at %s failed: %v", a.Endpoint.describe(), a.Err)
	}
	return strings.Join(parts, "; ")
}

// Unwrap returns the reasons of all attempts.
func (e *ConnectError) Unwrap() []error {
	errs := make([]error, len(e.Attempts))
	for i, a := range e.Attempts {
		errs[i] = a.Err
	}
	return errs
}

// unreadable returns the error when no endpoint was tried because conninfo, or a file that it names, cannot be read
// now. That says nothing about a server.
func unreadable(err error) *ConnectError {
	return &ConnectError{Attempts: []Attempt{{Err: fmt.Errorf("read upstream conninfo: %w", err)}}}
}

// describe names an endpoint in errors.
func (e Endpoint) describe() string {
	if e.Unix() {
		_, path := e.target()
		return fmt.Sprintf("%q", path)
	}
	s := fmt.Sprintf("%q, port %d", e.Host, e.Port)
	if e.Addr != "" {
		s += " (" + e.Addr + ")"
	}
	if e.TLS() {
		s += " with TLS"
	}
	return s
}

// reasonOf strips the library's wrapping (it repeats host, user and database) and turns a server's
// refusal into ours.
func reasonOf(err error) error {
	var server *pgconn.PgError
	if errors.As(err, &server) {
		e := pgerror.New(pgerror.Code(server.Code), "%s", server.Message)
		e.Detail, e.Hint = server.Detail, server.Hint
		if e.Severity = pgerror.Severity(server.SeverityUnlocalized); e.Severity == "" {
			e.Severity = pgerror.Severity(server.Severity)
		}
		return e
	}
	var outer *pgconn.ConnectError
	if errors.As(err, &outer) {
		if inner := outer.Unwrap(); inner != nil {
			return inner
		}
	}
	return err
}
