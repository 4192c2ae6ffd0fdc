package cluster

import (
	"time"

	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// wait is since when a position has not reached a goal that was the end of WAL then. One that moves with
// the load reaches each goal soon, so its since stays recent, however far the end runs ahead.
type wait struct {
	goal  lsn.LSN
	since time.Time
}

func (w *wait) look(now time.Time, position, end lsn.LSN) {
	if w.since.IsZero() || position >= w.goal || end < w.goal {
		w.goal, w.since = end, now
	}
}

// columns are write, flush and apply.
type columns [3]wait

func (c *columns) look(now time.Time, p lsn.Progress, end lsn.LSN) {
	for i, position := range [3]lsn.LSN{p.Write, p.Flush, p.Apply} {
		c[i].look(now, position, end)
	}
}

// waits holds, for each session, since when it has not reached what there is, and under the zero Key the same of the
// reportable positions.
type waits map[vote.Key]*columns

// look takes the positions of every session at now. The caller holds n.mu.
func (w waits) look(now time.Time, n *Node) {
	seen := map[vote.Key]bool{{}: true}
	w.of(vote.Key{}).look(now, n.last.Progress, n.at.Received)
	for _, v := range n.ledger.Views(now, n.at.System, n.at.Timeline) {
		seen[v.Key] = true
		w.of(v.Key).look(now, positionsOf(v.Report, n.at.Timeline), n.at.Received)
	}
	for key := range w {
		if !seen[key] {
			delete(w, key)
		}
	}
}

func (w waits) of(key vote.Key) *columns {
	if w[key] == nil {
		w[key] = new(columns)
	}
	return w[key]
}

// positionsOf returns the positions of a report, none when it is of another timeline.
func positionsOf(r vote.Report, t lsn.TimelineID) lsn.Progress {
	if r.Timeline != t {
		return lsn.Progress{}
	}
	return r.Progress
}
