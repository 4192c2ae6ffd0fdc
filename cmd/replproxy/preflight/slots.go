package preflight

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/replproxy/replproxy/cmd/replproxy/show"
)

// mirrors counts the primary's slots that slots.mirror is going to need (R18): one for each slot of this
// proxy, which data_dir lists, and for each that its standbys will make.
func mirrors(s Setup, f Facts) Check {
	c := Check{Name: "slots.mirror"}
	most, err := strconv.Atoi(f.Settings["max_replication_slots"])
	if err != nil || f.SQL != nil {
		c.Level, c.Text = Warn, "how many slots are free on the primary is unknown"
		c.Remedy = "Mirrors are made by SQL: let the role log in, and leave room for one slot per standby in " +
			"max_replication_slots."
		return c
	}
	var missing []string
	for _, name := range append([]string{s.Slot}, f.Disk.Slots...) {
		if name != "" && !slices.ContainsFunc(f.Slots, func(have Slot) bool { return have.Name == name }) {
			missing = append(missing, name)
		}
	}
	free := most - len(f.Slots)
	c.Text = fmt.Sprintf("%s: %d of %d slots free on the primary, %d missing for slots that are here already",
		s.Mirror, max(0, free), most, len(missing))
	switch {
	case free < len(missing):
		c.Level = Fail
		c.Remedy = fmt.Sprintf("Raise max_replication_slots (needs a restart) to %d and one more for each standby to "+
			"come, or drop slots that are not used.", len(f.Slots)+len(missing))
	case free == len(missing):
		c.Level = Warn
		c.Remedy = "No further slot can be mirrored: raise max_replication_slots (needs a restart)."
	default:
		c.Level = OK
	}
	return c
}

// presence is a kind of mirrors.
const presence = "presence"

// ruleGate judges slots.rule_gate: it is one slot more on the primary, and does something only where logical walsenders
// wait for it (R45).
func ruleGate(s Setup, f Facts) Check {
	c := Check{Name: "slots.rule_gate", Level: OK, Text: s.RuleGate + " is in the primary's synchronized_standby_slots"}
	at := slices.IndexFunc(f.Slots, func(have Slot) bool { return have.Name == s.RuleGate })
	most, err := strconv.Atoi(f.Settings["max_replication_slots"])
	switch {
	case f.Major != 0 && f.Major < 17:
		c.Level, c.Text = Warn, fmt.Sprintf("PostgreSQL %d has no synchronized_standby_slots: it is not used", f.Major)
		c.Remedy = "Leave it out, or upgrade to 17."
	case f.SQL != nil:
		c.Level, c.Text = Warn, s.RuleGate+" cannot be looked after without SQL: it is not used"
		c.Remedy = "Let the role log in for SQL."
	case at >= 0 && (f.Slots[at].Type != "physical" || f.Slots[at].Temporary):
		c.Level, c.Text = Fail, s.RuleGate+" is a logical or a temporary slot on the primary: it is not used"
		c.Remedy = "Name another one in slots.rule_gate: it is made when it is missing."
	case at >= 0 && f.Slots[at].Active && strange(s, f.Slots[at].Holder):
		c.Level, c.Text = Fail, fmt.Sprintf("%s is used by %q, which is no proxy of this cluster: logical consumers "+
			"get what that has, covered by the rule or not", s.RuleGate, f.Slots[at].Holder)
		c.Remedy = "Give that standby or program a slot of its own."
	case err == nil && at < 0 && len(f.Slots) >= most:
		c.Level, c.Text = Fail, "no slot is left for "+s.RuleGate+" on the primary"
		c.Remedy = "Raise max_replication_slots (needs a restart), or drop slots that are not used."
	case gateUnnamed(s, f) != "":
		c.Level, c.Text, c.Remedy = Warn, gateUnnamed(s, f), nameGate
	}
	return c
}

// strange reports whether a session is no proxy's of this cluster.
func strange(s Setup, application string) bool {
	return application != s.Name && !slices.Contains(s.Members, application)
}

// gateUnnamed tells that nobody waits for the rule gate.
func gateUnnamed(s Setup, f Facts) string {
	if s.RuleGate == "" || f.Standby || f.Major < 17 || slices.Contains(waitedFor(f), s.RuleGate) {
		return ""
	}
	return fmt.Sprintf("the primary's synchronized_standby_slots does not name %s (slots.rule_gate): logical "+
		"consumers see transactions that a failover can undo", s.RuleGate)
}

const nameGate = "Set synchronized_standby_slots on the primary, and reload there; the subscriptions need " +
	"failover = true."

// openGates returns a text about mirrors that the primary takes for standbys, though they say what this proxy has
// (R18).
func openGates(s Setup, f Facts) string {
	var names []string
	for _, name := range waitedFor(f) {
		if s.Mirror == presence && name != s.Slot && slices.Contains(f.Disk.Slots, name) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return fmt.Sprintf("the primary's synchronized_standby_slots names %s, which slots.mirror: presence advances to "+
		"what this proxy has flushed: logical replication runs ahead of the standbys that own these slots",
		strings.Join(names, ", "))
}

const shutGates = "Take them out of synchronized_standby_slots: slots.rule_gate is for that list."

// idleSlots warns of slots that hold WAL on the primary while nobody streams from them (R16). After a standby was moved
// behind the proxy such a slot may be its old one.
func idleSlots(s Setup, f Facts) Check {
	c := Check{Name: "idle slots", Level: OK, Text: "nobody's slot holds WAL on the primary"}
	own := append([]string{s.Slot, s.RuleGate}, s.MemberSlots...) // each member advances its own
	var all []string
	for _, have := range f.Slots {
		if have.Active || slices.Contains(own, have.Name) || have.Held < 0 || have.WALStatus == "lost" {
			continue
		}
		mirrored := s.Mirror != "" && s.Mirror != "false" && slices.Contains(f.Disk.Slots, have.Name)
		if !mirrored {
			all = append(all, fmt.Sprintf("%s (%s, %s)", have.Name, have.Type, show.Bytes(have.Held)))
		}
	}
	if len(all) > 0 {
		c.Level, c.Text = Warn, "inactive, and holding WAL on the primary: "+strings.Join(all, ", ")
		c.Remedy = "A standby's slot is taken over when the standby asks this proxy for it; " +
			"drop what nobody will use again: SELECT pg_drop_replication_slot('…'); " +
			"replproxy_NAME is the slot of the proxy NAME: not while that one exists."
	}
	return c
}
