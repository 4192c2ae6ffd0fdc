package verdict

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/proxy/admin"
)

// Sections of docs/runbook.md.
const (
	pageWaits    = "commits-wait"
	pageUpstream = "the-upstream-is-not-followed"
	pageLost     = "the-primary-has-lost-wal"
	pageDisk     = "the-disk"
	pageSlots    = "slots"
	pageCluster  = "the-cluster"
	pagePlanned  = "planned-work"
)

// grace delays the judgement on what a restart of the primary ends by itself, or another member that takes the stream
// over.
const grace = 5 * time.Second

func stopping(l *look) *finding {
	if !l.Stopping {
		return nil
	}
	return &finding{
		state: admin.VerdictStopped, cause: "stopping", why: "this proxy is being stopped, in order",
		do: "nothing, or start it again once it has ended", page: pagePlanned,
	}
}

// followed reports whether WAL comes from a server itself: what is refused meanwhile is another one.
func (l *look) followed() bool { return l.Upstream.State == admin.Streaming && l.Upstream.Member == "" }

// lostWAL judges a server that is refused because it lacks WAL, or that was refused for it and answers no more.
func lostWAL(l *look) *finding {
	u := &l.Upstream
	if u.Lack == nil && u.LostBy == nil || l.followed() {
		return nil
	}
	f := &finding{state: admin.VerdictStopped, since: u.RefusedSince, page: pageLost}
	if k := u.Lack; k != nil {
		f.why = fmt.Sprintf("%s is not followed: its timeline %s lacks WAL %s", l.primary(), k.Timeline,
			between(k.From, k.To))
		f.cause = "a server without acknowledged WAL is refused"
		f.do = "promote a server that has that WAL, or give it up: replproxy accept-timeline " + k.Timeline.String()
		if !k.Lost {
			f.page = pageUpstream
			l.afterWord(f)
			return f
		}
		f.cause = "the primary has lost WAL"
		f.why = fmt.Sprintf("the primary (%s) has lost WAL %s of timeline %s and is not followed", u.Endpoint,
			between(k.From, k.To), k.Timeline)
		f.do = "stop it and " + f.do
		if k.Restart {
			f.do = "restart this proxy: that WAL is given up, and set aside at its start"
		}
		l.afterWord(f)
		return f
	}
	if l.warnedOf("which does not answer now, has lost WAL") == "" {
		return nil // an operator has said his word about it, or another server is followed
	}
	f.cause = "the primary has lost WAL, and is down"
	f.why = fmt.Sprintf("%s has lost WAL %s of timeline %s, and does not answer now",
		cmp.Or(u.LostBy.Host, "the primary"), between(u.LostBy.From, u.LostBy.To), u.LostBy.Timeline)
	f.do = "do not start it again: promote a server that has that WAL"
	return f
}

// afterWord replaces the advice in f where an operator has said a word already.
func (l *look) afterWord(f *finding) {
	t := l.Upstream.Lack.Timeline
	accepted := l.Accepted != nil && l.Accepted.Timeline == t
	switch {
	case accepted && l.warnedOf("is not followed yet: that it lacks WAL is accepted") != "":
		f.do = "wait half a minute: that it lacks WAL is accepted, and this proxy looks at it again"
	case l.warnedOf("it can be given up once this proxy has been restarted") != "" && !l.Upstream.Lack.Restart:
		f.do = "promote a server that has that WAL; it can be given up once this proxy has been restarted"
	case l.warnedOf("has given that WAL up: give it up here too") != "":
		f.do = "give it up here too: replproxy accept-timeline " + t.String() + ", or stop that primary for good and " +
			"promote a server that has that WAL"
	}
}

// between names WAL by its ends; an unknown beginning is left out.
func between(from, to lsn.LSN) string {
	if from == lsn.Invalid {
		return fmt.Sprintf("up to %s", to)
	}
	return fmt.Sprintf("from %s to %s", from, to)
}

// primary names the server that fails, is in use, or was tried last.
func (l *look) primary() string {
	if all := l.Upstream.Errors; len(all) == 1 && all[0].Host != "" {
		return all[0].Host
	}
	return cmp.Or(l.Upstream.Endpoint, "the upstream")
}

func streamStopped(l *look) *finding {
	u := &l.Upstream
	if u.Stopped == "" {
		return nil
	}
	return &finding{
		state: admin.VerdictStopped, since: u.StoppedSince, cause: "the stream has stopped for good",
		why: fmt.Sprintf("no more WAL comes from %s: %s", l.primary(), brief(u.Stopped)),
		do:  "somebody has to decide: see the runbook", page: pageUpstream,
	}
}

// noPrimary judges that no server is a primary, once that is longer than a restart takes.
func noPrimary(l *look) *finding {
	u := &l.Upstream
	if u.DownSince.IsZero() || l.Now.Sub(u.DownSince) < grace {
		return nil
	}
	f := &finding{
		state: admin.VerdictStopped, since: u.DownSince, cause: "no primary", page: pageUpstream,
		why: "no host of upstream.conninfo is a primary",
		do:  "start it; if it is gone for good, promote by docs/failover.md",
	}
	if u.Hosts == 1 {
		f.why = "the primary, " + l.primary() + ", does not answer"
	}
	f.why += l.reasons()
	return f
}

// reasons returns the reasons why no WAL comes, behind a colon; "": there are none. Where there is one host, its name
// stands before.
func (l *look) reasons() string {
	all := l.Upstream.Errors
	switch len(all) {
	case 0:
		return ""
	case 1:
		return ": " + all[0].Error
	}
	words := make([]string, len(all))
	for i, e := range all {
		words[i] = e.String()
	}
	return ": " + bounded(words)
}

func diskFull(l *look) *finding {
	if !l.Store.DiskFull || !l.Store.Paused {
		return nil
	}
	return &finding{
		state: admin.VerdictStopped, cause: "the disk is full", page: pageDisk, do: l.makeRoom(),
		why: fmt.Sprintf("the volume of data_dir is full and receiving has stopped (%s wait in memory)",
			size(int64(l.Store.Received-l.Store.Written))),
	}
}

// makeRoom names the largest slot that nobody uses, if there is one that holds WAL.
func (l *look) makeRoom() string {
	text, held, name := "make room on "+cmp.Or(l.Store.Dir, "the volume of data_dir"), int64(0), ""
	for _, s := range l.Slots {
		if !s.Active && s.HeldBytes > held {
			held, name = s.HeldBytes, s.Name
		}
	}
	if name == "" {
		return text + ", or lower wal.keep_size"
	}
	return fmt.Sprintf("%s, or drop slot %s, which nobody uses and which holds %s", text, name, size(held))
}

// brief returns the first host's reason, without the advice that follows an error.
func brief(text string) string {
	for _, end := range []string{"; HINT: ", "; DETAIL: ", "; connection to server at ", "; upstream host ", "\n"} {
		text, _, _ = strings.Cut(text, end)
	}
	return text
}
