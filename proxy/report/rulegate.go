package report

import (
	"fmt"
	"slices"

	"github.com/replproxy/replproxy/fanout/realslot"
	"github.com/replproxy/replproxy/fanout/walreceiver"
	"github.com/replproxy/replproxy/proxy/admin"
)

// What the status says of the rule gate.
const (
	ruleGateUsed      = "used"
	ruleGateElsewhere = "elsewhere" // another member's stream uses it
	ruleGateFree      = "free"      // nobody does
	ruleGateLost      = "lost"
	ruleGateMissing   = "missing"
	ruleGateForeign   = "foreign" // a logical or a temporary slot has its name
	ruleGateUnknown   = "unknown"
)

// ruleGateStatus shows the user of the rule gate, and the WAL that it holds (ruling R8).
func ruleGateStatus(u *admin.Upstream, r walreceiver.Status, st *realslot.RuleGateStatus) {
	if st == nil {
		return
	}
	u.Gate, u.GateState = st.Slot, ruleGateUnknown
	switch {
	case r.RuleGated && r.State == walreceiver.Streaming:
		u.GateState = ruleGateUsed
	case !st.Known:
	case st.Foreign:
		u.GateState = ruleGateForeign
	case st.Lost:
		u.GateState = ruleGateLost
	case !st.Exists:
		u.GateState = ruleGateMissing
	case st.ActivePID != 0:
		u.GateState = ruleGateElsewhere
	default:
		u.GateState = ruleGateFree
	}
	u.GateRestart, u.GateHeld, u.GateSafe, u.GateTaken = st.Restart, st.HeldBytes, st.Safe, st.Taken
}

// ruleGateWarnings tell why logical consumers of the primary wait, and what that costs. satisfiable: enough voters are
// there. There are none without a stream.
func ruleGateWarnings(u *admin.Upstream, r walreceiver.Status, satisfiable bool) (all []string) {
	if u.Gate == "" || r.State != walreceiver.Streaming {
		return nil
	}
	switch {
	case r.ServerVersionNum < 170000:
		return []string{fmt.Sprintf("slots.rule_gate needs PostgreSQL 17: %s is not used", u.Gate)}
	case u.GateState == ruleGateForeign:
		return []string{fmt.Sprintf("%s (slots.rule_gate) is a logical or a temporary slot on the primary: the stream "+
			"does not use it, and logical consumers that wait for it go on waiting; name another one", u.Gate)}
	case u.GateState == ruleGateLost:
		all = append(all, fmt.Sprintf("the primary has invalidated %s (slots.rule_gate): its logical consumers wait "+
			"until the rule is satisfied, then it is made anew", u.Gate))
	case u.GateState == ruleGateUsed && r.Ruled && !satisfiable:
		all = append(all, fmt.Sprintf("the rule is not satisfied: logical consumers that wait for %s "+
			"(slots.rule_gate) wait, as commits do", u.Gate))
	case u.GateState == ruleGateUnknown:
		all = append(all, fmt.Sprintf("%s (slots.rule_gate) is not looked after: let the role log in for SQL", u.Gate))
	}
	if u.GateSafe != nil && *u.GateSafe < u.GateHeld {
		all = append(all, fmt.Sprintf("%s (slots.rule_gate) holds %s of WAL on the primary and will be lost "+
			"after %s more (max_slot_wal_keep_size)", u.Gate, short(u.GateHeld), short(max(*u.GateSafe, 0))))
	}
	return all
}

// strangerWarnings name a session that uses the rule gate and is no proxy's: nobody sees to it that it has no more than
// the rule covers. Node is this proxy's name.
func strangerWarnings(u *admin.Upstream, g *realslot.RuleGateStatus, node string, c *admin.Cluster) []string {
	if g == nil || u.GateState != ruleGateElsewhere {
		return nil
	}
	return strangerWarning(u.Gate, g.Holder, node, c)
}

func strangerWarning(gate, holder, node string, c *admin.Cluster) []string {
	if holder == node || c != nil && slices.ContainsFunc(c.Peers, func(p admin.Peer) bool { return p.Name == holder }) {
		return nil
	}
	return []string{fmt.Sprintf("%s (slots.rule_gate) is used by %q, which is no proxy of this cluster: logical "+
		"consumers get what that has, covered by the rule or not; give it a slot of its own", gate, holder)}
}
