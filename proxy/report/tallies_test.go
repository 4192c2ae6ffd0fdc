package report

import (
	"testing"

	"github.com/replproxy/replproxy/cluster"
	"github.com/replproxy/replproxy/cluster/ledger"
	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/proxy/admin"
)

// TestLabelVoters: names of any rule in use are labels, and those that only a wildcard counts are not.
func TestLabelVoters(t *testing.T) {
	votes := cluster.Status{Rule: "FIRST 1 (S1, *)", Rules: []ledger.RuleInUse{{Rule: vote.Rule{RuleText: vote.RuleText{Names: "ANY 1 (s2)"}}}}}
	voters := []admin.QuorumVoter{{Name: "s1"}, {Name: "s2"}, {Name: "client"}, {Name: "*"}}
	labelVoters(voters, votes)
	for i, want := range []string{"s1", "s2", "", ""} {
		if voters[i].Label != want {
			t.Errorf("%s: label %q, want %q", voters[i].Name, voters[i].Label, want)
		}
	}
}
