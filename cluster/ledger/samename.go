package ledger

import (
	"cmp"
	"slices"
	"time"

	"github.com/replproxy/replproxy/cluster/quorum"
	"github.com/replproxy/replproxy/cluster/vote"
)

// voters makes one voter of each set of sessions of a name that are not proven to be different standbys:
// with the lowest position in each column (ruling R6). It numbers views by voter. Sessions that can't
// vote neither raise nor lower. held takes silent nodes' sessions in, and at 0 those whose WAL is not known to be ours.
// They are appended to out, which is empty.
func voters(out []quorum.Voter, views []View, held bool) []quorum.Voter {
	joined := false
	for i := range views {
		v := &views[i]
		if v.Voter = -1; v.Standing != Counts && (!held || v.Standing != Held && !atZero(v)) {
			continue
		}
		p := &v.Report
		mine := len(out)
		out = append(out, quorum.Voter{
			Name: v.Name, ID: p.Incarnation, Store: v.Kind == vote.Store, Streaming: true,
			Positions: p.Progress.UpTo(v.UpTo),
			AtZero:    atZero(v), Held: HeldBy(p.Silent),
		})
		views[i].Voter = mine
		// Those before that may be the same standby join, with all that had joined them.
		for j := i - 1; j >= 0 && views[j].Name == views[i].Name; j-- {
			if other := views[j].Voter; other >= 0 && other != mine && !distinct(v, &views[j]) {
				joined = true
				out[mine] = join(out[mine], out[other])
				out[other].Streaming = false
				for k := range views[:i] {
					if views[k].Voter == other {
						views[k].Voter = mine
					}
				}
			}
		}
	}
	if joined {
		out = compact(views, out)
	}
	return out
}

// atZero reports whether FIRST knows of a voter whose WAL is not known to be ours.
func atZero(v *View) bool { return v.Standing == NotCompared || v.Standing == OtherBytes }

// compact drops the voters that were joined into others, in place.
func compact(views []View, all []quorum.Voter) []quorum.Voter {
	number, out := make([]int, len(all)), all[:0]
	for i, v := range all {
		number[i] = len(out)
		if v.Streaming {
			out = append(out, v)
		}
	}
	for i := range views {
		if v := views[i].Voter; v >= 0 {
			views[i].Voter = number[v]
		}
	}
	return out
}

func join(a, b quorum.Voter) quorum.Voter {
	a.ID = min(a.ID, b.ID)
	a.Positions, a.AtZero = quorum.Least(a.Positions, b.Positions), a.AtZero || b.AtZero
	a.Held = cmp.Or(a.Held, b.Held)
	return a
}

// HeldBy says that a voter's older session holds it, because it may be one that its standby has left; "" without a
// silence.
func HeldBy(s vote.Silence) string {
	if s.Since.IsZero() {
		return ""
	}
	host := cmp.Or(s.Host, "this machine")
	return "held by an older session from " + host + ", silent since " + s.Since.UTC().Format(time.RFC3339)
}

// distinct reports whether two sessions are certainly of two voters: each outlived the other's beginning.
func distinct(a, b *View) bool {
	return a.Name != b.Name || a.Kind != b.Kind ||
		slices.Contains(a.Report.Distinct, b.Incarnation) && slices.Contains(b.Report.Distinct, a.Incarnation)
}
