package physical

import (
	"errors"

	"github.com/replproxy/replproxy/grammar/pgerror"
)

// errRefused ends a session whose client has seen the primary's own refusal.
var errRefused = errors.New("log-in refused by the primary")

func errAuthenticationTimeout() *pgerror.Error {
	return pgerror.Fatal(pgerror.QueryCanceled, "canceling authentication due to timeout")
}

func errAnswerDue() *pgerror.Error {
	return errAuthenticationTimeout().WithDetail(
		"Other walsenders wait to log in, and each log-in takes a walsender of the primary.")
}

func errShutdown() *pgerror.Error {
	return pgerror.Fatal(pgerror.AdminShutdown, "terminating connection due to administrator command")
}

func errNoWalsender() *pgerror.Error {
	return pgerror.Fatal(pgerror.TooManyConnections, "no walsender of the primary is free for a log-in").
		WithDetail("max_wal_senders of the primary leaves none beside the one of replproxy itself.").
		WithHint("Raise max_wal_senders on the primary.")
}

func errQueue() *pgerror.Error {
	return pgerror.Fatal(pgerror.TooManyConnections, "too many walsenders wait to log in").
		WithHint("Raise auth.max_upstream_walsenders, and max_wal_senders on the primary to match.")
}
