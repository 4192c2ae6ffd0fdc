package report

import (
	"fmt"
	"time"

	"github.com/replproxy/replproxy/fanout/walreceiver"
	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/proxy/admin"
)

// withoutWAL delays the warning that no WAL comes. A primary that is restarted, or another member that takes the stream
// over, is back within it.
const withoutWAL = 5 * time.Second

// stateSince returns the start of what the status calls the state of the upstream. Attempts that fail one after the
// other are one state, which began with the end of the last stream, or with the first of them.
func stateSince(r walreceiver.Status) time.Time {
	if r.State == walreceiver.Streaming || r.Ended.IsZero() {
		return r.Since
	}
	return r.Ended
}

// followsWarnings tell that nobody is followed: all commits that wait for this proxy hang. why has the hosts' reasons.
// heard is when something last came from the primary itself, by way of a member or not.
func followsWarnings(r walreceiver.Status, why string, heard, now time.Time) []string {
	since := stateSince(r)
	switch {
	case r.State == walreceiver.Streaming && r.Member != "" && !heard.IsZero() && heard.Before(r.LastMessage):
		why = fmt.Sprintf("member %s, which is streamed from, gets none", r.Member)
		if heard.After(since) { // else that member has just taken the stream over, and has not said so yet
			since = heard
		}
	case r.State == walreceiver.Streaming || since.IsZero():
		return nil
	}
	if now.Sub(since) < withoutWAL {
		return nil
	}
	if !heard.IsZero() {
		since = heard
	}
	text := admin.NoWAL + since.UTC().Format(time.TimeOnly)
	if why != "" {
		text += ": " + why
	}
	return []string{text}
}

// SQLWarnings tell that the proxy's role may not log in for SQL, by the refusal; nil: it may.
func SQLWarnings(refusal error) []string {
	switch {
	case refusal == nil:
		return nil
	case pgerror.HasCode(refusal, pgerror.InvalidPassword):
		return []string{fmt.Sprintf("the primary refuses the password of this proxy's role (%v): the stream goes on, "+
			"and once it ends it does not come back; give upstream.conninfo, or its passfile, the role's present "+
			"password, and reload", refusal)}
	}
	return []string{fmt.Sprintf("the primary's settings are known only from the moment the proxy connected, "+
		"because its role may not log in for SQL (%v): "+
		"changes of synchronous_standby_names are not noticed; give it a line for SQL in pg_hba.conf", refusal)}
}
