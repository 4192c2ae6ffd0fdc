package report

import (
	"fmt"

	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/proxy/admin"
)

// goneWarnings tell of a server that was refused for WAL which it had lost, and that does not answer any more: most
// likely it was stopped for that. Whoever comes next must not start it again. That ends when an operator gives that WAL
// up, by word, which is not used yet, or by one for which the proxy waits for its restart.
func goneWarnings(u *admin.Upstream, word *admin.Accepted, restart bool) []string {
	l := u.LostBy
	if l == nil || u.Lack != nil || u.State == admin.Streaming || restart {
		return nil
	}
	lack := admin.Lack{Timeline: l.Timeline, From: l.From, To: l.To, Of: l.Timeline, Lost: true}
	if covers(word, &lack) {
		return nil
	}
	who, since := "the primary", fmt.Sprintf("from %s to %s", l.From, l.To)
	if l.Host != "" {
		who = l.Host
	}
	if l.From == lsn.Invalid {
		since = fmt.Sprintf("up to %s", l.To)
	}
	return []string{fmt.Sprintf("%s, which does not answer now, has lost WAL %s of timeline %s: "+
		"do not start it again, and promote a server that has that WAL: docs/failover.md, The primary has lost WAL",
		who, since, l.Timeline)}
}
