package sim

import (
	"github.com/replproxy/replproxy/cluster/ledger"
	"github.com/replproxy/replproxy/cluster/vote"
)

// Fault is one thing that is broken on purpose; each must be found.
type Fault string

// The faults.
const (
	None             Fault = ""
	LooseRule        Fault = "one voter less than the rule counts"
	UnsyncedFlush    Fault = "a standby reports as flushed what it has written"
	UnsyncedStore    Fault = "a store votes before fsync"
	NotOwnFlush      Fault = "flush is reported without the own store"
	SameNameTwice    Fault = "sessions of one name are taken for different standbys"
	OthersRules      Fault = "rules of other members are ignored"
	StaleStates      Fault = "an old state of a member replaces a newer one"
	OldTimelineVotes Fault = "a vote on another timeline counts"
	ForgetsSilent    Fault = "silent members are forgotten (FIRST)"
	NoCompare        Fault = "rules are not compared after a start"
	HiddenMember     Fault = "a member votes as a standby too"
	ForgottenFence   Fault = "a fence does not survive a restart"
	EmptyFence       Fault = "a fence is promised and not kept"
	NoFence          Fault = "promotion without a fence"
	NoFeed           Fault = "promotion of a candidate that was not fed"
	NoBeginning      Fault = "promotion of a candidate that lacks the beginning of the timeline that is left"
	IgnoresBefore    Fault = "promotion by the new rule alone, while it is not established"
	TrustsNumbers    Fault = "a primary's WAL is ours by timeline and position"
	AsksStoreOnly    Fault = "an empty store follows whoever has the timeline"
	NamelessVotes    Fault = "members' votes count without their bytes"
	WipedIsFinal     Fault = "the end of a store that has lost WAL is final"
	WordForAny       Fault = "accept-timeline holds for whatever is lost later"
	LossNoFirst      Fault = "nobody is asked what it has of WAL that was given up"
	LossByName       Fault = "one standby that is made anew speaks for its name"
	LossForgotten    Fault = "what was given up is forgotten by a restart"
	LossServed       Fault = "WAL that was given up elsewhere is served to who has none of it"
	LossUnheard      Fault = "members do not hear of WAL that was given up"
	BeginsUnsaved    Fault = "a store that takes other WAL than what was lost does not keep that"
	HorizonReceived  Fault = "a covered standby gets what is received"
	HorizonByOne     Fault = "a covered standby gets what one voter has"
	EmptyDirVotes    Fault = "a proxy votes from an empty data_dir under its old name"
	EmptyDirServes   Fault = "a proxy serves standbys from an empty data_dir before a member has answered"
	FollowsAlone     Fault = "a proxy follows a new timeline before it has heard another one"
	BoundForgotten   Fault = "what may have been reported beyond the disk is forgotten with it"
	MembersOwed      Fault = "a member that may have reported more than it has counts by what it has"
	PaidIsForgotten  Fault = "a debt for what may have been reported is forgotten once it is paid"
	OwingBelieves    Fault = "a proxy that owes WAL follows a primary by its word"
	RestartsAnywhere Fault = "a stopped standby comes back at a proxy of the old timeline"
)

// Faults lists every Fault, for the test that must find each of them.
func Faults() []Fault {
	return []Fault{
		LooseRule, UnsyncedFlush, UnsyncedStore, NotOwnFlush, SameNameTwice, OthersRules, StaleStates, OldTimelineVotes,
		ForgetsSilent, NoCompare, HiddenMember, ForgottenFence, EmptyFence, NoFence, NoFeed, NoBeginning, IgnoresBefore,
		RestartsAnywhere, TrustsNumbers, AsksStoreOnly, NamelessVotes, WipedIsFinal, WordForAny,
		LossNoFirst, LossByName, LossForgotten, LossServed, LossUnheard, BeginsUnsaved,
		HorizonReceived, HorizonByOne, EmptyDirVotes, EmptyDirServes, FollowsAlone,
		BoundForgotten, MembersOwed, PaidIsForgotten, OwingBelieves,
	}
}

// effective returns the rule that the ledger is given.
func (p *proxy) effective(r vote.Rule) vote.Rule {
	if p.w.fault != LooseRule {
		return r
	}
	d, err := ledger.Parse(r.RuleText)
	p.must(err)
	d.Names.Count = max(1, d.Names.Count-1)
	r.Names = d.Names.String()
	return r
}

// bend breaks a State before the ledger gets it.
func (p *proxy) bend(s vote.State) vote.State {
	switch p.w.fault {
	case OthersRules:
		s.Rule = p.rule
	case StaleStates:
		s.Boot, s.Seq = 1<<40, uint64(p.w.now)<<20+p.w.order
	}
	return s
}

// twist breaks a Report before the ledger gets it.
func (p *proxy) twist(r vote.Report) vote.Report {
	switch p.w.fault {
	case OldTimelineVotes:
		r.Timeline = p.number()
	case SameNameTwice:
		r.Distinct = p.w.recent
	}
	return r
}
