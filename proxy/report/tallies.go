package report

import (
	"github.com/replproxy/replproxy/cluster"
	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/syncrep"
	"github.com/replproxy/replproxy/proxy"
	"github.com/replproxy/replproxy/proxy/admin"
)

// talliesStatus returns the counts that /metrics shows beside the document.
func talliesStatus(x *Snapshot) *admin.Tallies {
	t := &admin.Tallies{
		Received: x.Stream.Bytes, Wait: x.Stream.Waits,
		FromClients: x.Counts.FromClients, ToClients: x.Counts.ToClients, Proved: x.Counts.Proved,
		FailedLogins: map[string]int64{},
	}
	for i, n := range x.Counts.FailedBy {
		t.FailedLogins[proxy.LoginReasons()[i]] = n
	}
	if x.Syncs != nil {
		t.Sync, t.PositionSync = x.Syncs.WAL.Snapshot(), x.Syncs.Position.Snapshot()
	}
	for _, b := range x.Tallies {
		t.Sent += b.Bytes
		if b.Label != "" {
			t.Standbys = append(t.Standbys, admin.StandbyTally{Label: b.Label, Sent: b.Bytes, Flush: b.Flush})
		}
	}
	return t
}

// labelVoters gives the voters that a rule names their label for /metrics. Who is counted by the wildcard alone has
// none: clients choose those names.
func labelVoters(voters []admin.QuorumVoter, votes cluster.Status) {
	rules := []string{votes.Rule}
	for _, r := range votes.Rules {
		rules = append(rules, r.Rule.Names)
	}
	named := map[string]bool{}
	for _, text := range rules {
		rule, err := syncrep.Parse(text)
		if err != nil {
			continue // never: the ledger has parsed it
		}
		for _, name := range rule.Names {
			named[vote.Fold(name)] = name != syncrep.Wildcard
		}
	}
	for i := range voters {
		if v := &voters[i]; named[v.Name] {
			v.Label = v.Name
		}
	}
}
