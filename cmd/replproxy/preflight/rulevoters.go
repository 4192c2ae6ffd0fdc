package preflight

import (
	"fmt"
	"slices"

	"github.com/replproxy/replproxy/cluster/ledger"
	"github.com/replproxy/replproxy/cluster/quorum"
	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/syncrep"
)

// ruleVoters returns the voters that a rule and its zones name, each once, as if all streamed and had all WAL. Stores
// of proxies apply nothing. Names that stand for any standby (*) add none.
func ruleVoters(s Setup, d quorum.Rule) (all []quorum.Voter) {
	add := func(name string) {
		v := quorum.Voter{Name: vote.Fold(name), ID: uint64(len(all)), Store: s.proxy(name), Streaming: true,
			Positions: lsn.Progress{Write: 1, Flush: 1, Apply: 1}}
		if v.Store {
			v.Positions.Apply = 0
		}
		same := func(o quorum.Voter) bool { return o.Name == v.Name }
		if name != syncrep.Wildcard && !slices.ContainsFunc(all, same) {
			all = append(all, v)
		}
	}
	for _, name := range d.Names.Names {
		add(name)
	}
	for _, z := range s.RuleText.Zones {
		for _, name := range z.Voters {
			add(name)
		}
	}
	return all
}

// withAnybody adds as many standbys as a rule with a wildcard counts: any name will do for it.
func withAnybody(d quorum.Rule, all []quorum.Voter) []quorum.Voter {
	if !slices.Contains(d.Names.Names, syncrep.Wildcard) {
		return all
	}
	for i := range min(int(d.Names.Count), maxAnybody) {
		all = append(all, quorum.Voter{Name: fmt.Sprintf("standby %d", i), ID: uint64(len(all)), Streaming: true,
			Positions: lsn.Progress{Write: 1, Flush: 1, Apply: 1}})
	}
	return all
}

// maxAnybody bounds the standbys of [withAnybody]: no rule for real ones counts more.
const maxAnybody = 1000

// ruleOfTooFew returns the rule's own check, with a warning where the rule counts more voters than it names.
func ruleOfTooFew(s Setup) Check {
	d, err := ledger.Parse(s.RuleText)
	if err != nil || d.Names.Empty() || (quorum.Rule{Names: d.Names}).Satisfiable(withAnybody(d, ruleVoters(s, d))) {
		return Check{Name: "rule", Level: OK, Text: s.Rule}
	}
	return Check{"rule", Warn, s.Rule + " counts more voters than it names: no commit is released unless several " +
		"standbys have one name",
		"Name more voters in synchronous_standby_names, or count fewer."}
}

// remoteApply tells that the primary waits for this proxy until commits are applied, and nobody who counts here can
// apply them. "": that is not so.
func remoteApply(s Setup, f Facts) string {
	setting := f.Settings["synchronous_standby_names"]
	names, err := syncrep.Parse(setting)
	if err != nil || names.Priority(s.Name) == 0 || f.Settings["synchronous_commit"] != "remote_apply" {
		return ""
	}
	if s.Rule == "" {
		return fmt.Sprintf("the primary's synchronous_commit is remote_apply and its synchronous_standby_names (%s) "+
			"waits for this proxy, which applies nothing and whose own rule is empty: commits wait for ever", setting)
	}
	d, err := ledger.Parse(s.RuleText)
	if err != nil || d.Names.Empty() || d.Evaluate(withAnybody(d, ruleVoters(s, d))).Positions.Apply > 0 {
		return ""
	}
	return fmt.Sprintf("the primary's synchronous_commit is remote_apply, and the rule (%s) cannot be satisfied "+
		"without stores of proxies, which apply nothing: commits wait for ever", s.Rule)
}

const applyNothing = "Use synchronous_commit = on, or a rule over standbys here"

// remoteApplyCheck returns a failure of [remoteApply], or none.
func remoteApplyCheck(s Setup, f Facts) []Check {
	if text := remoteApply(s, f); text != "" {
		return []Check{{"remote_apply", Fail, text, applyNothing + "."}}
	}
	return nil
}
