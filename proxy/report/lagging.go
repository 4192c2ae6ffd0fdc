package report

import (
	"fmt"
	"strings"
	"time"

	"github.com/replproxy/replproxy/proxy/admin"
)

// coversNothing is the time after which WAL that the rule does not cover shows that commits wait. A standby that keeps
// up reports within wal_receiver_status_interval, which is as long.
const coversNothing = 10 * time.Second

// laggingWarnings tell that commits wait although enough voters count: those stand still. Voters that count by what a
// silent member has told last do so, most likely, and the silence is long enough to say it.
func laggingWarnings(q *admin.Quorum, peers []admin.Peer, now time.Time) []string {
	var l admin.QuorumLevel
	for _, one := range q.Levels {
		if one.Position == "flush" {
			l = one
		}
	}
	if !l.Satisfiable || l.Since.IsZero() || l.Behind == nil || *l.Behind == 0 {
		return nil
	}
	who, silent := slowest(q.Voters, peers, now)
	if waits := now.Sub(l.Since); waits < coversNothing && (!silent || waits < unheard) {
		return nil
	}
	return []string{admin.CommitsWait + fmt.Sprintf("the rule has covered no more than %s since %s; %s",
		l.Quorum, l.Since.UTC().Format(time.TimeOnly), who)}
}

// slowest names the voters of the rule that have not flushed all. silent: one of them counts by what a member has told
// that is not heard now.
func slowest(all []admin.QuorumVoter, peers []admin.Peer, now time.Time) (who string, silent bool) {
	var names []string
	for _, v := range all {
		if v.Priority == 0 || v.FlushBehind == nil || *v.FlushBehind == 0 {
			continue
		}
		text := fmt.Sprintf("%s is %s behind", v.Name, short(*v.FlushBehind))
		if _, quiet := silence(v.Node, peers, now); quiet && v.Standing == admin.Counts {
			silent = true
			text += fmt.Sprintf(", as %s said, which is not heard now", v.Node)
		}
		names = append(names, text)
	}
	if names == nil {
		return "no voter says that it is behind", false
	}
	return strings.Join(names, ", "), silent
}

// unfollowedWarnings tell that commits of a primary that is refused wait, whatever the rule covers: nothing is reported
// to it. While WAL comes from a server itself, another one is meant.
func unfollowedWarnings(s *admin.Status) []string {
	u, followed := &s.Upstream, s.Upstream.State == admin.Streaming && s.Upstream.Member == ""
	if followed || u.Lack == nil && u.Stopped == "" || len(s.Quorum.Levels) > 0 && !satisfiable(&s.Quorum) {
		return nil
	}
	return []string{admin.CommitsWait + "that primary is not followed, so nothing is reported to it"}
}
