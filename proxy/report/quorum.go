package report

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/replproxy/replproxy/cluster"
	"github.com/replproxy/replproxy/cluster/ledger"
	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/proxy/admin"
)

// quorumStatus returns the reasons why a commit waits.
func quorumStatus(s cluster.Status, told lsn.Progress) admin.Quorum {
	q := admin.Quorum{
		Rule: s.Rule, Spread: s.Spread, Violations: s.Counters.Violations,
		Levels: []admin.QuorumLevel{}, Voters: []admin.QuorumVoter{},
		Unconfirmed: s.Confirmation.Missing, Unestablished: s.Confirmation.Unestablished,
		Withdrawn: s.Withdrawn,
		Awaited:   s.Awaited, Forgotten: s.Forgotten,
	}
	names := [3]string{"write", "flush", "apply"}
	commits := [3]string{"remote_write", "on", "remote_apply"}
	reported := [3]lsn.LSN{told.Write, told.Flush, told.Apply}
	for i, l := range s.Levels {
		if s.Rule == "" && len(s.Rules) < 2 {
			break // and no other proxy has one
		}
		level := admin.QuorumLevel{
			Position: names[i], Commit: commits[i], Reported: reported[i],
			Behind: behind(l.Position, s.End), Since: l.Since, Satisfiable: l.Satisfiable, Why: l.Why,
		}
		if l.Position != ledger.Max {
			level.Quorum = l.Position
		}
		q.Levels = append(q.Levels, level)
	}
	for _, r := range s.Others() {
		q.Others = append(q.Others, admin.QuorumRule{Rule: r.Rule.Names, Spread: r.Rule.Spread, Proxies: r.Nodes})
	}
	for _, z := range s.Zones {
		q.Zones = append(q.Zones, admin.QuorumZone{
			Name: z.Name, Wanted: z.Wanted, Candidates: z.Candidates,
			Write: z.Positions.Write, Flush: z.Positions.Flush, Apply: z.Positions.Apply,
			Behind: behind(z.Positions.Flush, s.End), Since: utc(z.Since[1]),
		})
	}
	for _, v := range s.Voters {
		q.Voters = append(q.Voters, voterStatus(v, s.End))
	}
	return q
}

func voterStatus(v cluster.Voter, end lsn.LSN) admin.QuorumVoter {
	kind := v.Kind.String()
	if v.Node == "" {
		kind = ""
	}
	row := admin.QuorumVoter{
		Name: v.Name, Kind: kind, Zone: v.Zone, Node: v.Node, Standing: string(v.Standing),
		State: v.SyncState, Priority: v.Priority,
		Write: v.Positions.Write, Flush: v.Positions.Flush, Apply: v.Positions.Apply,
		WriteBehind: behind(v.Positions.Write, end), FlushBehind: behind(v.Positions.Flush, end),
		ApplyBehind: behind(v.Positions.Apply, end),
		WriteSince:  utc(v.Since[0]), FlushSince: utc(v.Since[1]), ApplySince: utc(v.Since[2]),
	}
	if v.Kind == vote.Store && v.Standing == ledger.NodeFenced { // its last report stands still for good: none follows
		row.WriteBehind, row.FlushBehind, row.ApplyBehind = nil, nil, nil
		row.WriteSince, row.FlushSince, row.ApplySince = time.Time{}, time.Time{}, time.Time{}
	}
	return row
}

// quorumWarnings describe the state of the rule for an operator: that commits can't be released, who is waited for, and
// that a name is shared (R6). A member gets its time to be heard after the start.
func quorumWarnings(s cluster.Status, peers []admin.Peer, now time.Time, up time.Duration) (all []string) {
	if l := s.Levels[1]; !l.Satisfiable {
		if unheard := notHeardYet(s.Forgotten, peers); len(unheard) > 0 && up <= cluster.MemberTimeout {
			all = append(all, admin.NotHeardYet+fmt.Sprintf("%s after the start: %s; commits may wait for no other "+
				"reason", up.Round(time.Second), strings.Join(unheard, ", ")))
		}
		all = append(all, admin.CommitsWait+l.Why)
	}
	if len(s.Awaited) > 0 && up > cluster.MemberTimeout {
		all = append(all, fmt.Sprintf("this proxy waits for %s, which it does not hear: start it again; only if it "+
			"is gone for good, say so: replproxy forget %s", strings.Join(s.Awaited, " and "), s.Awaited[0]))
	}
	if s.Rule == "" {
		return all
	}
	if s.Withdrawn {
		all = append(all, "this store does not vote: its volume is out of space, and only WAL that it voted for "+
			"could be removed; it votes again when standbys have flushed that WAL (store.voted_from_lsn), or when "+
			"there is space")
	}
	return append(all, sameNameWarnings(s, peers, now)...)
}

// notHeardYet returns the members that were not heard since the start, without those that an operator has forgotten.
func notHeardYet(forgotten []string, peers []admin.Peer) (names []string) {
	for _, p := range peers {
		if p.Heard.IsZero() && p.LastHeard.IsZero() && !slices.Contains(forgotten, p.Name) {
			names = append(names, p.Name)
		}
	}
	return names
}

// behind returns the distance of a position from the end of WAL; nil where there is no position.
func behind(position, end lsn.LSN) *int64 {
	if position == lsn.Invalid {
		return nil
	}
	n := int64(0)
	if position < end {
		n = int64(end - position)
	}
	return &n
}

// utc drops the monotonic clock; zero stays zero.
func utc(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.UTC()
}
