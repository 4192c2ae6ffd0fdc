package proxy

import (
	"errors"
	"sync/atomic"

	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/handshake"
)

// Reason names a cause of refused connections.
type Reason uint8

// The reasons.
const (
	ReasonSilent      Reason = iota // it said nothing: a health check, most often
	ReasonStartup                   // no startup packet that PostgreSQL would go on with, TLS that failed included
	ReasonTimeout                   // none within authentication_timeout
	ReasonCrowded                   // dropped for others while it had not sent one, or had not logged in
	ReasonAccess                    // an access rule, or tls.mode or clientcert
	ReasonConnections               // limits.max_connections
	ReasonAddress                   // limits.max_connections_per_address
	ReasonLogins                    // limits.max_logins: its turn did not come in time
	reasons
)

// Reasons returns the reasons' words, in their order.
func Reasons() []string {
	return []string{"silent", "startup", "timeout", "crowded", "access", "connections", "address", "logins"}
}

// refusals counts them. The zero value is ready.
type refusals [reasons]atomic.Int64

func (r *refusals) add(why Reason) { r[why].Add(1) }

// counts returns the totals, by the order of Reasons, and their sum.
func (r *refusals) counts() (all []int64, sum int64) {
	for i := range r {
		n := r[i].Load()
		all, sum = append(all, n), sum+n
	}
	return all, sum
}

// LoginReasons returns the words for why a log-in fails for who the client is: a wrong password (28P01), no right to
// come in (28000), another error.
func LoginReasons() []string { return []string{"password", "authorization", "other"} }

// loginFailures counts them. The zero value is ready.
type loginFailures [3]atomic.Int64

func (f *loginFailures) add(reason int) { f[reason].Add(1) }

// counts returns the totals, by the order of LoginReasons, and their sum.
func (f *loginFailures) counts() (all []int64, sum int64) {
	for i := range f {
		n := f[i].Load()
		all, sum = append(all, n), sum+n
	}
	return all, sum
}

// loginReasonOf returns the place of an error's reason in LoginReasons.
func loginReasonOf(e *pgerror.Error) int {
	switch e.Code {
	case pgerror.InvalidPassword:
		return 0
	case pgerror.InvalidAuthorization:
		return 1
	}
	return 2
}

// reasonOf returns the reason of a failed startup phase.
func reasonOf(err error) Reason {
	switch {
	case errors.Is(err, errCrowdedOut):
		return ReasonCrowded
	case errors.Is(err, handshake.ErrNoData):
		return ReasonSilent
	case errors.Is(err, handshake.ErrTimeout):
		return ReasonTimeout
	}
	return ReasonStartup
}
