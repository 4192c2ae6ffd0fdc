package bench

import (
	"cmp"
	"slices"

	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/internal/stamp"
)

// passage is one commit's way through the proxy: when each step reached the end of its record, in nanoseconds.
type passage struct {
	at    lsn.LSN
	times [stamp.Steps]int64 // 0: never. Those of a standby are of the first one whose reply was asked about
	sent  []int64            // of every standby, the earliest first
	by    int32              // who reported, see stamp.Record
}

// complete reports whether every step was taken, and WAL was sent to so many standbys.
func (p *passage) complete(standbys int) bool {
	return !slices.Contains(p.times[:], 0) && len(p.sent) == standbys
}

// orders are steps of which one cannot be before the other. A reply may come before the write that it answers returns.
var orders = [][]stamp.Step{
	{stamp.Readable, stamp.Read, stamp.Published},
	{stamp.Published, stamp.WriterWoken, stamp.Written, stamp.SyncBegun, stamp.Synced, stamp.Flushed},
	{stamp.Written, stamp.MarkBegun, stamp.Marked, stamp.Flushed},
	{stamp.Published, stamp.SenderWoken, stamp.Sent},
	{stamp.SenderWoken, stamp.ReplyReadable, stamp.ReplyRead, stamp.Asked},
	{stamp.Flushed, stamp.Reporting}, {stamp.Asked, stamp.Reporting}, {stamp.Reporting, stamp.Reported},
}

// disorder returns two steps of which the later one has the earlier time; same: there are none.
func (p *passage) disorder() (before, after stamp.Step, same bool) {
	for _, steps := range orders {
		for i, s := range steps[1:] {
			if p.times[s] < p.times[steps[i]] {
				return steps[i], s, false
			}
		}
	}
	return 0, 0, true
}

// lane is one step of one standby, or of nobody.
type lane struct {
	step stamp.Step
	who  int32
}

// lanes have the stamps of each by time, with the highest position up to then: who has reported is no lane of its own.
type lanes map[lane][]stamp.Record

func lanesOf(records []stamp.Record) lanes {
	all := lanes{}
	for _, r := range records {
		k := lane{r.Step, r.Who}
		if r.Step == stamp.Reported {
			k.who = 0
		}
		all[k] = append(all[k], r)
	}
	for _, list := range all {
		slices.SortStableFunc(list, func(a, b stamp.Record) int { return cmp.Compare(a.Time, b.Time) })
		for i := 1; i < len(list); i++ {
			list[i].At = max(list[i].At, list[i-1].At)
		}
	}
	return all
}

// first returns the first stamp of a lane at or beyond a position.
func (l lanes) first(s stamp.Step, who int32, at lsn.LSN) (stamp.Record, bool) {
	list := l[lane{s, who}]
	i, _ := slices.BinarySearchFunc(list, at, func(r stamp.Record, at lsn.LSN) int { return cmp.Compare(r.At, at) })
	if i == len(list) {
		return stamp.Record{}, false
	}
	return list[i], true
}

// standbys returns the numbers of those that got WAL.
func (l lanes) standbys() (all []int32) {
	for k := range l {
		if k.step == stamp.Sent {
			all = append(all, k.who)
		}
	}
	return all
}

// ofStandby reports whether each standby has such a step of its own.
func ofStandby(s stamp.Step) bool { return s >= stamp.SenderWoken && s <= stamp.Asked }

// passages follows each commit by the end of its record.
func passages(records []stamp.Record, commits []lsn.LSN) []passage {
	l := lanesOf(records)
	standbys := l.standbys()
	all := make([]passage, len(commits))
	for i, at := range commits {
		p := &all[i]
		p.at = at
		first, asked := int32(0), int64(0)
		for _, who := range standbys {
			if r, ok := l.first(stamp.Sent, who, at); ok {
				p.sent = append(p.sent, r.Time)
			}
			if r, ok := l.first(stamp.Asked, who, at); ok && (asked == 0 || r.Time < asked) {
				first, asked = who, r.Time
			}
		}
		slices.Sort(p.sent)
		for s := range stamp.Steps {
			who := int32(0)
			if ofStandby(s) {
				who = first
			}
			if r, ok := l.first(s, who, at); ok {
				p.times[s] = r.Time
				p.by = r.Who // of the last one, which is Reported
			}
		}
	}
	return all
}
