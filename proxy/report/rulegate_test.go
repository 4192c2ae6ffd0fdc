package report

import (
	"strings"
	"testing"

	"github.com/replproxy/replproxy/fanout/walreceiver"
	"github.com/replproxy/replproxy/proxy/admin"
)

// TestForeignGate: a logical or temporary slot that has the rule gate's name is a warning.
func TestForeignGate(t *testing.T) {
	t.Parallel()
	told := walreceiver.Status{State: walreceiver.Streaming, ServerVersionNum: 170000}
	for state, warned := range map[string]bool{ruleGateForeign: true, ruleGateUsed: false, ruleGateElsewhere: false} {
		got := strings.Join(ruleGateWarnings(&admin.Upstream{Gate: "gate", GateState: state}, told, true), "")
		if strings.Contains(got, "is a logical or a temporary slot") != warned {
			t.Errorf("%s: %q", state, got)
		}
	}
}

// TestStrangerAtTheGate: a standby that streams with the slot of slots.rule_gate lets logical consumers have what is not
// covered, and is named. A member's session is not.
func TestStrangerAtTheGate(t *testing.T) {
	t.Parallel()
	cluster := &admin.Cluster{Peers: []admin.Peer{{Name: "proxy_b"}}}
	for _, c := range []struct {
		holder string
		in     *admin.Cluster
		named  bool
	}{
		{"report", nil, true}, {"report", cluster, true}, {"", nil, true},
		{"proxy_b", nil, true}, {"proxy_b", cluster, false}, {"proxy_a", nil, false},
	} {
		got := strings.Join(strangerWarning("gate", c.holder, "proxy_a", c.in), "")
		if named := strings.Contains(got, "no proxy of this cluster"); named != c.named {
			t.Errorf("%q: %q", c.holder, got)
		}
	}
}
