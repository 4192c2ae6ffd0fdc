package tail

import (
	"fmt"
	"slices"
	"time"

	"github.com/replproxy/replproxy/cluster/vote"
)

// heartbeats bounds the silence, in seconds, for which nothing is said of a proxy that still counts as reached. It is
// three heartbeats of the links.
const heartbeats = 3

// silence says for how long a proxy that still counts as reached was not heard; "": it was.
func silence(r Row) string {
	if !r.Reached || r.Silent < heartbeats {
		return ""
	}
	return fmt.Sprintf("it is not heard for %s", (time.Duration(r.Silent) * time.Second).Round(time.Second))
}

// empty says that a proxy has no WAL, as far as it was heard: one that died soon after its start may have got some.
func empty(m Member) string {
	if m.Reached && m.Silent < heartbeats {
		return "its store is empty"
	}
	return fmt.Sprintf("its store was empty when it was heard last, %s ago, and may have got WAL since",
		(time.Duration(m.Silent) * time.Second).Round(time.Second))
}

// gone tells how to go on without a proxy that does not come back.
func gone(node string) string {
	return fmt.Sprintf("if it is gone for good say where its reports end, --end %s=LSN (%s)", node, goneForGood)
}

// goneForGood names the page that tells which position that is.
const goneForGood = "docs/failover.md, A proxy is gone for good"

// sameName says why n sessions of a name prove nothing of it. Two of them are two standbys if one was heard of since
// the other began. Else a standby may have moved. That is no proof either: its older session may have more than is
// known, and the clocks of two machines are compared.
func (l *look) sameName(name string, n int) string {
	all := slices.DeleteFunc(slices.Clone(l.tail.Standbys), func(s Attached) bool { return s.Name != name })
	slices.SortStableFunc(all, func(a, b Attached) int { return a.Attached.Compare(b.Attached) })
	newest, others := all[len(all)-1], all[:len(all)-1]
	for _, s := range others {
		if s.Attached.IsZero() || s.Replied.After(newest.Attached) {
			return fmt.Sprintf("%d standbys have this name: give each one of its own, or stop the others and say "+
				"--end %s=LSN", n, name)
		}
	}
	was := others[len(others)-1].Proxy
	why := was + " does not say yet that its session there has ended"
	if quiet := silence(l.row(vote.Fold(was))); quiet != "" {
		why = was + quiet[len("it"):]
	}
	return fmt.Sprintf("it has come from %s to %s, and %s: ask again in some seconds, or stop what else has this name "+
		"and say --end %s=LSN", was, newest.Proxy, why, name)
}

// holders names the proxies that are not reached and have WAL up to the position that the candidate needs. Of each it
// says what can be done.
func (l *look) holders(v Verdict) (text string) {
	for _, r := range l.tail.Proxies {
		if r.Reached || r.Timeline != l.tail.Timeline || max(r.Flushed, r.Written) < v.Target {
			continue
		}
		text += "; " + r.Node + " has it, and is not reached"
		switch _, vouched := l.ask.Ends[vote.Fold(r.Node)]; {
		case l.acknowledged() >= v.Target:
			text += "; that was acknowledged"
		case !vouched:
			text += ": " + gone(r.Node)
		}
	}
	return text
}
