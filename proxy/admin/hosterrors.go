package admin

import (
	"strings"
	"time"
)

// HostError is the reason why no WAL comes from one host, in a short line.
type HostError struct {
	Host  string    `json:"host,omitempty" doc:"host:port or socket; absent: the reason is no host's"`
	Error string    `json:"error" doc:"the reason without advice: last_error has all of it"`
	Since time.Time `json:"since" doc:"since when that host has failed, whatever the reason was"`
}

// Reasons returns the reasons why no WAL comes, the hosts' one after the other; "": it comes, or nothing has failed.
func (u *Upstream) Reasons() string {
	all := make([]string, len(u.Errors))
	for i, e := range u.Errors {
		all[i] = e.String()
	}
	return strings.Join(all, "; ")
}

// String returns the host, if there is one, and the reason.
func (e HostError) String() string {
	if e.Host == "" {
		return e.Error
	}
	return e.Host + ": " + e.Error
}
