package bench

import (
	"slices"
	"time"

	"github.com/replproxy/replproxy/internal/stamp"
)

// leg is a part of a commit's way, from one step to another.
type leg struct {
	name     string
	from, to stamp.Step
}

// legs are those of the time line. Behind published the disk's and the standby's run at the same time.
var legs = []leg{
	{"stream: wake-up of the reader, read", stamp.Readable, stamp.Read},
	{"stream: check, hash, publish", stamp.Read, stamp.Published},
	{"disk: wake-up of the writer", stamp.Published, stamp.WriterWoken},
	{"disk: write of the WAL", stamp.WriterWoken, stamp.Written},
	{"disk: wake-up of the flusher", stamp.Written, stamp.SyncBegun},
	{"disk: sync of the WAL", stamp.SyncBegun, stamp.Synced},
	{"disk: wake-up of who writes the mark", stamp.Written, stamp.MarkBegun},
	{"disk: write and sync of the mark", stamp.MarkBegun, stamp.Marked},
	{"standby: wake-up of the sender", stamp.Published, stamp.SenderWoken},
	{"standby: write to the socket", stamp.SenderWoken, stamp.Sent},
	{"standby: its reply, until it is in our socket", stamp.Sent, stamp.ReplyReadable},
	{"standby: wake-up of the reader, read", stamp.ReplyReadable, stamp.ReplyRead},
	{"standby: decode the reply, look at the store", stamp.ReplyRead, stamp.Asked},
	{"report: ledger and decision, once both are there", joined, stamp.Reporting},
	{"report: promise, write", stamp.Reporting, stamp.Reported},
	{"the proxy: readable to reported", stamp.Readable, stamp.Reported},
}

// joined stands for the later one of flushed and asked: from then on a report covers the commit.
const joined = stamp.Steps

// when returns when a passage reached a step, or joined.
func (p *passage) when(s stamp.Step) int64 {
	if s == joined {
		return max(p.times[stamp.Flushed], p.times[stamp.Asked])
	}
	return p.times[s]
}

// span is p50 and p99 of something.
type span struct{ p50, p99 time.Duration }

func spanOf(ns []int64) span {
	if len(ns) == 0 {
		return span{}
	}
	slices.Sort(ns)
	return span{time.Duration(ns[len(ns)/2]), time.Duration(ns[len(ns)*99/100])}
}

// line holds the figures of one run.
type line struct {
	clients  int
	commits  int               // complete ones, which all figures are about
	legs     []span            // of legs
	offsets  [stamp.Steps]span // since readable
	joined   span              // the same of joined
	lastSent span              // to the last standby, since readable
	diskLast float64           // share of commits for which the disk was there last
	by       [3]float64        // share of commits that each of stamp's reported
	client   sample            // as pgbench saw it
	cpu      time.Duration     // of the proxy, for each transaction; without stamps
	without  sample            // as pgbench saw that
	profile  profile
}

func lineOf(clients, standbys int, all []passage) line {
	l := line{clients: clients}
	all = slices.DeleteFunc(slices.Clone(all), func(p passage) bool { return !p.complete(standbys) })
	if l.commits = len(all); l.commits == 0 {
		return l
	}
	over := func(f func(*passage) int64) span {
		ns := make([]int64, len(all))
		for i := range all {
			ns[i] = f(&all[i])
		}
		return spanOf(ns)
	}
	for _, g := range legs {
		l.legs = append(l.legs, over(func(p *passage) int64 { return p.when(g.to) - p.when(g.from) }))
	}
	for s := range stamp.Steps {
		l.offsets[s] = over(func(p *passage) int64 { return p.times[s] - p.times[stamp.Readable] })
	}
	l.joined = over(func(p *passage) int64 { return p.when(joined) - p.times[stamp.Readable] })
	l.lastSent = over(func(p *passage) int64 { return p.sent[len(p.sent)-1] - p.times[stamp.Readable] })
	for i := range all {
		if all[i].times[stamp.Flushed] > all[i].times[stamp.Asked] {
			l.diskLast++
		}
		l.by[all[i].by]++
	}
	l.diskLast /= float64(len(all))
	for i := range l.by {
		l.by[i] /= float64(len(all))
	}
	return l
}
