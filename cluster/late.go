package cluster

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/internal/knownwal"
)

// lateMembers are the members whose word was lacking when this node's store left a timeline. What they say of it was
// judged by nobody, and is told when they say it (ADR 0086). Guarded by Node.mu.
type lateMembers map[string]late

// late describes the part of a member's word that was not judged.
type late struct {
	from lsn.TimelineID // the lowest timeline that was left without it
	// run is that of a member which had spoken and was away: it may have gone on reporting. Once it is another run, its
	// word is a bound, which is higher after nearly every crash. 0: it had said nothing, and all that it says is told.
	run uint64
}

// lateFile lists them, one a line with timeline and run, if that is known, after a line with its format and before the
// CRC-32C of that. Without it none is late. It serves a warning only: one that can't be read, or is of a later release,
// counts as none.
const (
	lateFile   = "late"
	lateFormat = "#replproxy-late/1"
)

// noteLate sets Late in all where a member says now what was not judged, and returns all. run is the run of the member,
// 0: not known. What it said before it left a timeline itself is past.
func (u lateMembers) noteLate(all []knownwal.Known, run uint64) []knownwal.Known {
	for i, k := range all {
		if x, late := u[k.By]; late && k.Acked && k.Timeline >= x.from && (x.run == 0 || x.run == run) {
			all[i].Late = true
		}
	}
	return all
}

// left returns u once timeline t was left while silent had said nothing, and away, by their runs, were not reached.
func (u lateMembers) left(t lsn.TimelineID, silent []string, away map[string]uint64) lateMembers {
	next := lateMembers{}
	for name, run := range away {
		next[name] = late{from: max(t, 1), run: run}
	}
	for _, name := range silent {
		x := late{from: max(t, 1)}
		if was, known := u[name]; known {
			x.from = min(was.from, x.from)
		}
		next[name] = x
	}
	return next
}

// away returns the runs of members that have spoken, and have not answered the newest question. The caller holds mu.
func (n *Node) away() map[string]uint64 {
	runs := map[string]uint64{}
	for _, m := range n.ledger.Members(time.Now()) {
		a, said := n.statuses.heard[m.Node]
		answered := m.Reached && n.asking.num != 0 && a.Answers[n.o.Name] == n.asking.num
		if m.Node != n.o.Name && said && a.run != 0 && !answered {
			runs[m.Node] = a.run
		}
	}
	return runs
}

// LeaveTimeline makes durable, before this node's store leaves timeline t (0: it is empty), which members have said
// nothing since the start, or are away. All that the others have said is in the answer of [Node.Known] after the call:
// judge by that. It may wait for the disk.
func (n *Node) LeaveTimeline(t lsn.TimelineID) error {
	n.saving.Lock()
	defer n.saving.Unlock()
	n.mu.Lock()
	silent, _ := n.silent(n.o.Members) // also one that is forgotten: it may come back
	was := n.late
	next := was.left(t, silent, n.away())
	n.late = next
	n.mu.Unlock()
	if maps.Equal(was, next) {
		return nil
	}
	if err := memory(n.o.Dir).saveLate(next); err != nil {
		n.mu.Lock()
		n.late = was
		n.mu.Unlock()
		return fmt.Errorf("remember which members are not heard yet: %w", err)
	}
	return nil
}

// late returns the members that are remembered as late. With an error there are none.
func (m memory) late() (lateMembers, error) {
	u := lateMembers{}
	path, lines, err := m.text(lateFile, lateFormat)
	if err != nil {
		return u, err
	}
	for line := range strings.Lines(lines) {
		var x late
		f := strings.Fields(line)
		if len(f) == 2 {
			f = append(f, "0")
		}
		bad := len(f) != 3
		if !bad {
			_, err := fmt.Sscanf(f[1]+" "+f[2], "%d %d", &x.from, &x.run)
			bad = err != nil
		}
		if bad {
			return lateMembers{}, fmt.Errorf("%s %w: %q", path, errDamaged, line)
		}
		u[f[0]] = x
	}
	return u, nil
}

func (m memory) saveLate(u lateMembers) error {
	text := lateFormat + "\n"
	for _, name := range slices.Sorted(maps.Keys(u)) {
		text += fmt.Sprintf("%s %d", name, u[name].from)
		if u[name].run != 0 {
			text += fmt.Sprintf(" %d", u[name].run)
		}
		text += "\n"
	}
	return m.write(lateFile, seal([]byte(text)))
}
