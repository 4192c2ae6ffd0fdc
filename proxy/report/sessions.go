package report

import (
	"github.com/replproxy/replproxy/handshake"
	"github.com/replproxy/replproxy/proxy"
	"github.com/replproxy/replproxy/proxy/admin"
)

// sessionCounts counts the clients by class, and the refused ones by reason.
func sessionCounts(counts proxy.Counts, all []proxy.SessionInfo) admin.Sessions {
	s := admin.Sessions{
		StartingN: counts.Starting, Accepted: counts.Accepted, Refused: counts.Refused, RefusedBy: map[string]int64{},
		LoginFailures: counts.Failures,
		LoggingIn:     counts.Logins.Running + counts.Logins.Answered, Waiting: counts.Logins.Waiting,
	}
	for i, reason := range proxy.Reasons() {
		s.RefusedBy[reason] = counts.RefusedBy[i]
	}
	for _, info := range all {
		switch info.Class {
		case handshake.Regular:
			s.Regular++
		case handshake.PhysicalWalsender:
			s.Physical++
		case handshake.LogicalWalsender:
			s.Logical++
		}
	}
	return s
}
