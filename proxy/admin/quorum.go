package admin

import (
	"time"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// CommitsWait begins the warning which says that commits wait, and for whom.
const CommitsWait = "commits on the primary that wait for this proxy wait: "

// VotersAway begins the warning which names the voters that the rule does without.
const VotersAway = "voters of the rule that do not count: "

// NotHeardYet begins the warning of a proxy that has just started, and names who may yet be heard.
const NotHeardYet = "not heard yet, "

// Quorum answers why a commit waits.
type Quorum struct {
	Rule   string        `json:"rule" doc:"synchronous_standby_names; empty: the store's own positions are reported"`
	Spread string        `json:"zones_rule,omitempty" doc:"synchronous_standby_zones.rule: what has to be covered too"`
	Levels []QuorumLevel `json:"levels" doc:"one per position: write, flush, apply; none without a rule"`
	Voters []QuorumVoter `json:"voters" doc:"everybody attached to any proxy, and names of the rule without anybody"`

	Zones []QuorumZone `json:"zones,omitempty" doc:"how far each zone is; absent without a rule over zones"`

	Others []QuorumRule `json:"other_rules,omitempty" doc:"rules of others that hold as well"`

	Unconfirmed   []string `json:"unconfirmed,omitempty" doc:"proxies that have not said that they have the same rule"`
	Unestablished []string `json:"unsettled,omitempty" doc:"proxies whose older commits may rest on the rule before"`

	Withdrawn bool     `json:"own_vote_withdrawn" doc:"true while this store has no space but that of WAL it voted for"`
	Awaited   []string `json:"awaited,omitempty" doc:"proxies that are not heard and that this one waits for"`
	Forgotten []string `json:"forgotten,omitempty" doc:"proxies that an operator has removed and that are not back"`

	Violations uint64 `json:"violations_total" doc:"broken inequalities: nothing was reported instead. Should be 0"`
}

// QuorumRule is a rule that this proxy does not have, and others do.
type QuorumRule struct {
	Rule    string   `json:"rule" doc:"synchronous_standby_names there"`
	Spread  string   `json:"zones_rule,omitempty" doc:"synchronous_standby_zones.rule there"`
	Proxies []string `json:"proxies" doc:"whose it is"`
}

// QuorumLevel is one position of the rule.
type QuorumLevel struct {
	Position    string    `json:"position" doc:"write, flush or apply"`
	Commit      string    `json:"synchronous_commit" doc:"setting on the primary whose commits wait for it"`
	Quorum      lsn.LSN   `json:"quorum_lsn,omitzero" doc:"what the rule covers"`
	Reported    lsn.LSN   `json:"reported_lsn,omitzero" doc:"what the primary was told"`
	Behind      *int64    `json:"behind_bytes,omitempty" doc:"received here, but not covered; absent when nothing is"`
	Since       time.Time `json:"waiting_since,omitzero" doc:"since when nothing that was received then is covered"`
	Satisfiable bool      `json:"satisfiable" doc:"with who is attached now"`
	Why         string    `json:"why,omitempty" doc:"why it is not"`
}

// QuorumZone is a zone of synchronous_standby_zones. It is as far as the furthest of its voters that count.
type QuorumZone struct {
	Name       string    `json:"name" doc:"of the zone"`
	Wanted     bool      `json:"wanted" doc:"the rule over zones names it"`
	Candidates int       `json:"candidates" doc:"voters in it that count"`
	Write      lsn.LSN   `json:"write_lsn,omitzero" doc:"of the furthest"`
	Flush      lsn.LSN   `json:"flush_lsn,omitzero" doc:"of the furthest"`
	Apply      lsn.LSN   `json:"apply_lsn,omitzero" doc:"of the furthest"`
	Behind     *int64    `json:"flush_behind_bytes,omitempty" doc:"received, but not flushed by anybody in it"`
	Since      time.Time `json:"flush_behind_since,omitzero" doc:"for so long nobody in it has flushed an end of WAL"`
}

// QuorumVoter is a session, or a name that nobody has.
type QuorumVoter struct {
	Name     string `json:"name" doc:"application_name in lower case, or a proxy's name"`
	Label    string `json:"-"` // for /metrics: see [Tallies]
	Kind     string `json:"kind" doc:"standby, or store: a proxy's own WAL; empty when nobody is attached"`
	Zone     string `json:"zone,omitempty" doc:"by synchronous_standby_zones"`
	Node     string `json:"node,omitempty" doc:"proxy that it is attached to"`
	Standing string `json:"standing" doc:"counts, or why it does not, as: not in the rule"`
	State    string `json:"sync_state" doc:"async, potential, sync or quorum"`
	Priority int    `json:"sync_priority" doc:"0 is async"`

	Write       lsn.LSN   `json:"write_lsn,omitzero" doc:"as it counts"`
	Flush       lsn.LSN   `json:"flush_lsn,omitzero" doc:"as it counts"`
	Apply       lsn.LSN   `json:"apply_lsn,omitzero" doc:"as it counts; absent for who never applies"`
	WriteBehind *int64    `json:"write_behind_bytes,omitempty" doc:"not yet written there; absent without a report"`
	FlushBehind *int64    `json:"flush_behind_bytes,omitempty" doc:"not yet flushed there; absent without a report"`
	ApplyBehind *int64    `json:"apply_behind_bytes,omitempty" doc:"not yet applied there; absent without a report"`
	WriteSince  time.Time `json:"write_behind_since,omitzero" doc:"for so long it has not reached an end of WAL"`
	FlushSince  time.Time `json:"flush_behind_since,omitzero" doc:"the same for flush"`
	ApplySince  time.Time `json:"apply_behind_since,omitzero" doc:"the same for apply"`
}

// votersOf counts the voters that count, and those that the rule names but that don't.
func (q *Quorum) votersOf() (counting, missing int) {
	for i := range q.Voters {
		switch v := &q.Voters[i]; {
		case v.Standing == Counts && v.Priority > 0:
			counting++
		case v.Priority > 0:
			missing++
		}
	}
	return counting, missing
}

// Counts is the standing of a voter that counts.
const Counts = "counts"

var quorumPositions = []string{"write", "flush", "apply"}

// quorumMetrics are rows of [metrics].
var quorumMetrics = []metric{
	{"replproxy_quorum_position_bytes", "What the rule covers, as byte positions in WAL; absent without a rule.",
		"position", quorumPositions, gauge,
		perLevel(func(l *QuorumLevel, _ time.Time) float64 { return float64(l.Quorum) })},
	{"replproxy_quorum_behind_bytes", "Received, but not covered by the rule; absent while nothing is.",
		"position", quorumPositions, gauge,
		func(s *Status, emit func(string, float64)) {
			for i := range s.Quorum.Levels {
				if l := &s.Quorum.Levels[i]; l.Behind != nil {
					emit(l.Position, float64(*l.Behind))
				}
			}
		}},
	{"replproxy_quorum_waiting_seconds", "For how long nothing that was received then is covered by the rule.",
		"position", quorumPositions, gauge,
		perLevel(func(l *QuorumLevel, now time.Time) float64 {
			if l.Since.IsZero() {
				return 0
			}
			return now.Sub(l.Since).Seconds()
		})},
	{"replproxy_quorum_satisfiable_state", "1 while the rule can be satisfied with who is attached.",
		"position", quorumPositions, gauge,
		perLevel(func(l *QuorumLevel, _ time.Time) float64 { return truth(l.Satisfiable) })},
	{"replproxy_quorum_voters", "Voters that the rule names: counting, or not (absent, catching up, and so on).",
		"standing", []string{"counting", "missing"}, gauge,
		func(s *Status, emit func(string, float64)) {
			counting, missing := s.Quorum.votersOf()
			emit("counting", float64(counting))
			emit("missing", float64(missing))
		}},
	{"replproxy_quorum_own_vote_withdrawn_state",
		"1 while this store does not vote, for lack of space but that of WAL it voted for.", "", nil, gauge,
		single(func(s *Status) float64 { return truth(s.Quorum.Withdrawn) })},
	{"replproxy_quorum_violations_total", "Broken inequalities: nothing was reported instead. Should be 0.",
		"", nil, counter, single(func(s *Status) float64 { return float64(s.Quorum.Violations) })},
}

func perLevel(value func(*QuorumLevel, time.Time) float64) func(*Status, func(string, float64)) {
	return func(s *Status, emit func(string, float64)) {
		for i := range s.Quorum.Levels {
			emit(s.Quorum.Levels[i].Position, value(&s.Quorum.Levels[i], s.Now))
		}
	}
}
