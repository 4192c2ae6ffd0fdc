package relay

import (
	"errors"
	"fmt"

	"github.com/replproxy/replproxy/grammar/pgerror"
)

// Side says which connection broke.
type Side uint8

// The sides.
const (
	Client Side = iota + 1
	Primary
)

// String returns the side's word.
func (s Side) String() string {
	if s == Client {
		return "client"
	}
	return "primary"
}

// SideError is the loss of one connection. There is nobody, or nothing, to tell.
type SideError struct {
	Side Side
	Err  error
}

// Error names the side.
func (e *SideError) Error() string { return fmt.Sprintf("%s: %v", e.Side, e.Err) }

// Unwrap returns the connection's error.
func (e *SideError) Unwrap() error { return e.Err }

// ErrAgain is a primary that takes no connections now. Nothing has been sent to the client nor read from
// it, so that the same log-in can be tried on another connection.
var ErrAgain = errors.New("the primary takes no connections now")

// RefusedError says that a log-in ended without a session. If Told is set, the client has been sent an ErrorResponse.
// Otherwise it has been sent whole messages only, and the caller sends it Err.
type RefusedError struct {
	Err  *pgerror.Error
	Told bool

	listening bool // the primary has not refused and takes a Terminate
}

// Error returns the refusal's text.
func (e *RefusedError) Error() string {
	if e.Told {
		return "refused by the primary: " + e.Err.Error()
	}
	return e.Err.Error()
}

// Unwrap returns the *pgerror.Error.
func (e *RefusedError) Unwrap() error { return e.Err }

// PostgreSQL has no words for a primary that cannot be reached, the code is what it answers while it
// cannot take connections. The other two are its own.
var (
	errUnreachable           = pgerror.Fatal(pgerror.CannotConnectNow, "cannot connect to the primary")
	errAuthenticationTimeout = pgerror.Fatal(pgerror.QueryCanceled, "canceling authentication due to timeout")
	errShutdown              = pgerror.Fatal(pgerror.AdminShutdown,
		"terminating connection due to administrator command")
)

// Unreachable returns the FATAL 57P03 for a client whose primary cannot be reached. The detail is coarse: the client
// is not authenticated, addresses stay in the log.
func Unreachable(cause error) *pgerror.Error {
	return errUnreachable.WithCause(cause).WithDetail("%s", dialDetail(cause))
}
