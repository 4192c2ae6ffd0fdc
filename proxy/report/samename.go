package report

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/replproxy/replproxy/cluster"
	"github.com/replproxy/replproxy/cluster/ledger"
	"github.com/replproxy/replproxy/grammar/syncrep"
	"github.com/replproxy/replproxy/proxy/admin"
)

// unheard is the silence after which a member is said not to be heard although its link stands: three heartbeats.
const unheard = 3 * time.Second

// silence returns the time since a member was heard. Not silent are this proxy itself, and a member that is heard.
func silence(node string, peers []admin.Peer, now time.Time) (d time.Duration, silent bool) {
	i := slices.IndexFunc(peers, func(p admin.Peer) bool { return p.Name == node })
	if i < 0 {
		return 0, false
	}
	d = now.Sub(peers[i].LastHeard)
	return d, peers[i].Heard.IsZero() || d >= unheard
}

// standings says of voters what the ledger does not: that the rule has no place for one, or why one's report is not of
// this timeline.
func standings(q *admin.Quorum, peers []admin.Peer, now time.Time) {
	for i := range q.Voters {
		v := &q.Voters[i]
		_, silent := silence(v.Node, peers, now)
		switch {
		case silent && v.Standing == string(ledger.NoReport):
			v.Standing = fmt.Sprintf("at %s, which is not heard", v.Node)
		case q.Rule != "" && v.Priority == 0 && v.Standing == admin.Counts:
			v.Standing = "not in the rule"
		}
	}
}

// sameNameWarnings returns warnings about sessions of one name, which are one voter (R6). One that is at a silent
// member was most likely left there by the standby that has come here. One that has not reported since another began
// may have been left as well: nothing is said until it has.
func sameNameWarnings(s cluster.Status, peers []admin.Peer, now time.Time) (all []string) {
	sessions := map[string][]cluster.Voter{}
	var names []string
	for _, v := range s.Voters {
		if v.Priority == 0 || v.Standing != ledger.Counts {
			continue
		}
		if sessions[v.Name] = append(sessions[v.Name], v); len(sessions[v.Name]) == 2 {
			names = append(names, v.Name)
		}
	}
	for _, name := range names {
		held := false
		for _, v := range sessions[name] {
			node := v.Node
			d, silent := silence(node, peers, now)
			if !silent {
				continue
			}
			held = true
			text := fmt.Sprintf("%s is held by its session at %s, which is not heard for %s", syncrep.QuoteName(name),
				node, d.Round(time.Second))
			if strings.HasPrefix(s.Rule, "FIRST") { // it waits for the silent one
				text += ": its position counts until that proxy is heard again"
			} else {
				text += fmt.Sprintf(": its position counts for another %s at most",
					max(0, cluster.MemberTimeout-d).Round(time.Second))
			}
			all = append(all, text)
		}
		if !held && liveTwice(sessions[name]) {
			all = append(all, fmt.Sprintf("the rule counts %s, a name that several standbys have: they are one voter "+
				"until each has proved to be another one; give each an application_name of its own",
				syncrep.QuoteName(name)))
		}
	}
	return all
}

// liveTwice reports whether a session has reported since a younger one of its name began.
func liveTwice(all []cluster.Voter) bool {
	for _, older := range all {
		for _, younger := range all {
			if older.Attached.Before(younger.Attached) && older.Moved.After(younger.Attached) {
				return true
			}
		}
	}
	return false
}
