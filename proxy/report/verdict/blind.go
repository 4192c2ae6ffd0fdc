package verdict

import (
	"strings"
	"time"

	"github.com/replproxy/replproxy/proxy/admin"
)

// noWAL judges that no WAL comes while nothing says that it will not: the primary is asked again and again.
func noWAL(l *look) *finding {
	u := &l.Upstream
	f := &finding{
		state: admin.VerdictBlind, since: u.Since, cause: "no WAL comes", page: pageUpstream,
		do: "see that the primary runs and lets this proxy in: replproxy check",
	}
	last := u.LastMessageAt
	if last.After(f.since) || f.since.IsZero() {
		f.since = last
	}
	silent, limit := l.Now.Sub(last), time.Duration(l.Limits.WalReceiverTimeout*float64(time.Second)/2)
	switch {
	case last.IsZero():
		f.why, f.cause, f.since = "no WAL has come from "+l.primary()+" yet", "no WAL has come yet", l.StartedAt
	case u.State != admin.Streaming:
		if silent < grace || l.Now.Sub(u.Since) < grace {
			return nil
		}
		f.why = "no WAL comes from " + l.primary()
	case u.Member != "" && l.warnedOf(admin.NoWAL) != "":
		f.why = "member " + u.Member + ", which is streamed from, gets no WAL"
		f.do = "see replproxy status of " + u.Member
	case limit > 0 && silent > limit:
		f.why = "nothing was heard from " + l.primary() + " for " + span(silent)
	default:
		return nil
	}
	if u.State != admin.Streaming {
		f.why += l.reasons()
	}
	return f
}

// notHeardYet judges a proxy that has just started: whether commits wait it knows once it has heard the others.
func notHeardYet(l *look) *finding {
	w := l.warnedOf(admin.NotHeardYet)
	if w == "" {
		return nil
	}
	_, names, _ := strings.Cut(w, ": ")
	names, _, _ = strings.Cut(names, ";")
	return &finding{
		state: admin.VerdictBlind, since: l.StartedAt, cause: "members are not heard yet",
		why: "this proxy has just started and has not heard " + names + " yet", do: "wait 15 s", page: pageWaits,
	}
}

// heldBack judges a data_dir that is new: no standby is served before the members have said which WAL was given up.
func heldBack(l *look) *finding {
	if l.HeldBack == "" {
		return nil
	}
	return &finding{
		state: admin.VerdictBlind, cause: "no standby is served", why: "no standby is served: " + l.HeldBack,
		do: "start the members that are named", page: pageCluster,
	}
}

// warnedOf returns the first warning with these words that is not about the configuration; "": there is none.
func (l *look) warnedOf(words string) string {
	for _, all := range [][]string{l.warnings.Stops, l.warnings.Loses} {
		for _, w := range all {
			if strings.Contains(w, words) {
				return w
			}
		}
	}
	return ""
}
