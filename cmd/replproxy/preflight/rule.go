package preflight

import (
	"fmt"
	"slices"
	"strings"

	"github.com/replproxy/replproxy/grammar/syncrep"
	"github.com/replproxy/replproxy/proxy/config"
)

// relay is the log-in method that needs the primary.
const relay = "relay"

// ruleChecks judges whether the primary and the other settings suit the proxy's own rule. It returns none without a
// rule.
func ruleChecks(s Setup, f Facts) []Check {
	if s.Rule == "" {
		return nil
	}
	checks := []Check{ruleOfTooFew(s)}
	add := func(name string, level Level, text, remedy string) {
		checks = append(checks, Check{Name: name, Level: level, Text: text, Remedy: remedy})
	}
	checks = append(checks, zoneChecks(s)...)
	switch {
	case s.Report != config.ReportWritten:
	case s.RuleGate != "":
		add("wal.report", Warn, "written, and slots.rule_gate is set: commits wait for this proxy's disk all the same",
			"Take one of the two out: a slot that the stream uses keeps only what was reported.")
	default:
		add("wal.report", OK,
			"written: no commit waits for this proxy's disk, the rule says where commits are durable", "")
	}
	if s.AuthMethod == relay {
		add("rule and log-in", Fail, relayWithRule, useScram)
	}
	if shared := sharedNames(s.Rule, f.Walsenders); len(shared) > 0 {
		add("rule and names", Warn,
			"it counts "+strings.Join(shared, ", ")+", a name that several standbys of the primary have",
			"Give each standby an application_name of its own (cluster_name, or primary_conninfo): two of one name "+
				"count once until both have proved to be different, and which of them has a commit is not known.")
	}
	if heldBySlot(s, f) {
		add("rule and slot", Warn, slotWithRule(s), takeSlotOut)
	}
	if twice := countedTwice(s, f); twice != "" {
		add("rule and primary", Warn, twice, countOnce)
	}
	return checks
}

// ruleAdvice returns the warnings of "replproxy run" about the rule and the primary's settings.
func ruleAdvice(s Setup, f Facts) (all []string) {
	if text := remoteApply(s, f); text != "" {
		all = append(all, text+". "+applyNothing)
	}
	if s.Rule == "" {
		return all
	}
	if s.AuthMethod == relay {
		all = append(all, relayWithRule+". "+useScram)
	}
	if heldBySlot(s, f) {
		all = append(all, slotWithRule(s)+". "+takeSlotOut)
	}
	if twice := countedTwice(s, f); twice != "" {
		all = append(all, twice+". "+countOnce)
	}
	return all
}

// relayWithRule warns that candidates can't log in anew once the primary is dead (ruling R14).
const relayWithRule = "there is a rule, but log-ins are relayed (auth.method: relay): after the primary's death " +
	"no standby can log in here, so a candidate that is not attached then cannot fetch the WAL that was acknowledged"

// What to do, for check and for a running proxy.
const (
	useScram    = "Use auth.method: scram, whose verifiers survive the primary: see docs/auth.md."
	takeSlotOut = "Take it out of synchronized_standby_slots: slots.rule_gate is for that list."
	countOnce   = "Use ANY 1 (…) or FIRST 1 (…) over proxies with one rule, and let the rule count."
)

// heldBySlot reports the end of R11: logical walsenders of the primary would wait for the rule as well, and a primary
// that shuts down for them.
func heldBySlot(s Setup, f Facts) bool { return s.Slot != "" && slices.Contains(waitedFor(f), s.Slot) }

// waitedFor returns the slots whose standbys the primary's logical walsenders wait for.
func waitedFor(f Facts) (slots []string) {
	for _, name := range strings.Split(f.Settings[newSlots], ",") {
		slots = append(slots, strings.Trim(name, ` "`))
	}
	return slots
}

func slotWithRule(s Setup) string {
	return fmt.Sprintf("there is a rule, and the primary's synchronized_standby_slots names this proxy's slot %s: "+
		"logical replication waits for it as well, and a shutdown of the primary can hang", s.Slot)
}

// countedTwice tells that the primary counts several proxies of one cluster, which all report one quorum.
func countedTwice(s Setup, f Facts) string {
	rule, err := syncrep.Parse(f.Settings["synchronous_standby_names"])
	if err != nil || rule.Count < 2 {
		return ""
	}
	var proxies []string
	for _, name := range append([]string{s.Name}, s.Members...) {
		quoted := syncrep.QuoteName(name)
		if rule.Priority(name) > 0 && !slices.Contains(proxies, quoted) {
			proxies = append(proxies, quoted)
		}
	}
	if len(proxies) < 2 {
		return ""
	}
	return fmt.Sprintf("the primary's synchronous_standby_names (%s) counts %s, which report the same quorum: "+
		"it is counted more than once, and is no safer for it", rule, strings.Join(proxies, " and "))
}

// sharedNames returns the names in a rule that several walsenders have (R6).
func sharedNames(rule string, direct []Walsender) (shared []string) {
	r, err := syncrep.Parse(rule)
	if err != nil {
		return nil
	}
	seen := map[string]int{}
	for _, w := range direct {
		name := strings.ToLower(w.ApplicationName)
		if seen[name]++; seen[name] == 2 && r.Priority(name) > 0 {
			shared = append(shared, syncrep.QuoteName(name))
		}
	}
	return shared
}
