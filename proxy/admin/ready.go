package admin

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// pingGrace is added to the limit. On an idle primary every answer comes late, because a walreceiver asks for a reply
// only when it has heard nothing for half of its timeout (as PostgreSQL's does).
const pingGrace = 2 * time.Second

// refusedGrace bounds how long a proxy of several hosts stays ready while a host that it reaches is refused for its
// WAL. The primary may be restarting meanwhile. A proxy of one host stops being ready at once.
const refusedGrace = 10 * time.Second

// readyRule is the value of ready_when by which a proxy whose rule is not covered is not ready.
const readyRule = "rule"

// waits reports whether commits that wait for this proxy hang, or the next one would.
func (s *Status) waits() bool {
	return s.Verdict.State == VerdictWaits || slices.ContainsFunc(s.Quorum.Levels, func(l QuorumLevel) bool {
		return l.Position == "flush" && !l.Satisfiable
	})
}

// Readiness decides /readyz. A proxy is ready when its listeners are up, and it takes and serves the WAL of its
// upstream. WAL or a keepalive must have come within half of wal_receiver_timeout. A server of another system, or a
// refusal by the only host, ends readiness at once. With ready_when: rule the rule has to be covered, too.
//
// It is a function of the snapshot, so the page and the probe agree. The reason is for people; "" when ready.
func Readiness(s *Status) (bool, string) {
	half := time.Duration(s.Limits.WalReceiverTimeout * float64(time.Second) / 2)
	age, stopped := s.Now.Sub(s.Upstream.LastMessageAt), s.Now.Sub(s.Upstream.StoppedSince)
	why := cmp.Or(s.Upstream.Reasons(), s.Upstream.LastError)
	switch {
	case s.Stopping:
		return false, "stopping"
	case len(s.Listen) == 0:
		return false, "not listening yet"
	case s.Upstream.LastMessageAt.IsZero() && s.Upstream.LastError != "":
		return false, "no WAL has arrived yet: " + why
	case s.Upstream.LastMessageAt.IsZero():
		return false, "no WAL has arrived yet: the upstream is " + s.Upstream.State
	case s.Upstream.Stopped != "" && (s.Upstream.Foreign || half > 0 && stopped > half+pingGrace):
		return false, "no more WAL comes from the upstream: " + s.Upstream.Stopped
	case !s.Upstream.RefusedSince.IsZero() &&
		(s.Upstream.Hosts == 1 || s.Now.Sub(s.Upstream.RefusedSince) > refusedGrace):
		return false, "no WAL is taken from the upstream: " + cmp.Or(s.Upstream.Stopped, why)
	case half > 0 && age > half+pingGrace:
		reason := fmt.Sprintf("nothing from the upstream for %s (limit %s), it is %s",
			age.Round(time.Second), half, s.Upstream.State)
		if why != "" {
			reason += ": " + why
		}
		return false, reason
	case s.HeldBack != "":
		return false, "standbys are not served yet: " + s.HeldBack
	case s.ReadyWhen == readyRule && s.waits():
		return false, "commits wait: " + s.Verdict.Why
	}
	return true, ""
}
