package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// fencePoll is the interval at which a fence asks whether the store has flushed all that it had received.
const fencePoll = 10 * time.Millisecond

// Ending is a fenced node's answer: the promise, and how far its store is durable.
type Ending struct {
	Node     string         `json:"node"`
	System   lsn.SystemID   `json:"system_identifier"` // that the promise is about; 0: every one
	Fenced   lsn.TimelineID `json:"fenced"`
	Timeline lsn.TimelineID `json:"timeline"`
	Flushed  lsn.LSN        `json:"flushed_lsn"`
	// Owed is the end of WAL that it may have voted for before a crash, and lacks: its end is not known. 0: it is.
	Owed lsn.LSN `json:"owed_lsn,omitzero"`
}

// Final returns the fence's result in one sentence. As an error it says that the node's end is not known, since it owes
// WAL.
func (e Ending) Final() (text string, err error) {
	of := ""
	if e.System != 0 {
		of = " of system " + e.System.String()
	}
	if e.Owed != 0 {
		return "", fmt.Errorf("%s is fenced up to timeline %s%s; its store is durable up to %s on timeline %s and "+
			"owes WAL up to %s: its end is not known", e.Node, e.Fenced, of, e.Flushed, e.Timeline, e.Owed)
	}
	return fmt.Sprintf("%s is fenced up to timeline %s; its store is durable up to %s on timeline %s%s",
		e.Node, e.Fenced, e.Flushed, e.Timeline, of), nil
}

// ending makes p, of a fenced node, its answer.
func (n *Node) ending(system lsn.SystemID, fenced lsn.TimelineID, p Positions) Ending {
	e := Ending{Node: n.o.Name, System: system, Fenced: fenced, Timeline: p.Timeline, Flushed: p.Flushed}
	if p.Owed > p.Flushed {
		e.Owed = p.Owed
	}
	return e
}

// Fenceable returns why a fence up to t may not be meant; nil: servers are there on t. seen is the highest timeline on
// which the stream has found one.
func (n *Node) Fenceable(t, seen lsn.TimelineID) error {
	known := max(n.Highest(), seen)
	if t <= known {
		return nil
	}
	return fmt.Errorf("timeline %s is above timeline %s, the highest that is known here; a fence is for good, and "+
		"this one would hold for servers to come: say --force if it is meant", t, known)
}

// Fence promises durably never again to vote or report for timelines up to t of the store's system (ruling R2). While
// the store has no system it promises that for every one. It withdraws the votes of the standbys that this node
// serves. It blocks until the store has flushed all that it had received, and returns that position. A promise is
// never taken back.
func (n *Node) Fence(ctx context.Context, t lsn.TimelineID) (Ending, error) {
	var fenced lsn.TimelineID
	system := n.o.Store.Positions().System
	err := n.change(func(r *record) error {
		r.Fenced = max(r.Fenced, t)
		return nil
	}, func() {
		n.fences = n.fences.with(system, t)
		n.ledger.Fence(t)
		fenced = n.ledger.State().Fenced
	})
	if err != nil {
		return Ending{}, err
	}
	n.noteFences()
	n.log.Warn("fenced: this proxy never again votes or reports for these timelines", "up_to_timeline", fenced,
		"system", system)
	goal := n.o.Store.Positions()
	tick := time.NewTicker(fencePoll)
	defer tick.Stop()
	for {
		p := n.o.Store.Positions()
		if p.Timeline != goal.Timeline || p.Flushed >= goal.Received {
			n.publishMemberStatus(time.Now())
			return n.ending(system, fenced, p), nil
		}
		select {
		case <-ctx.Done():
			return Ending{}, fmt.Errorf("fenced, but the store has not flushed %s: %w",
				goal.Received, context.Cause(ctx))
		case <-tick.C:
		}
	}
}

// fencesFile lists the systems that the promise in memoryFile is about (ruling R48). Its first line has the format and
// the boot that wrote it. Each further line has a system and the highest timeline that is fenced there; a CRC-32C ends
// the file. Release v0.1.0 does not write it: whenever it does not fit memoryFile, that promise is about every system,
// which is always safe.
const (
	fencesFile   = "fences"
	fencesFormat = "#replproxy-fences/1"
)

// anySystem is the key of a fence that is about every system.
const anySystem lsn.SystemID = 0

// fences are the promises not to vote or report for timelines up to a number, by system (ruling R2).
type fences map[lsn.SystemID]lsn.TimelineID

// of returns the highest timeline that is fenced in a system; of none, as in an empty store, any fence counts.
func (f fences) of(system lsn.SystemID) lsn.TimelineID {
	if system == anySystem {
		return f.highest()
	}
	return max(f[system], f[anySystem])
}

func (f fences) highest() (t lsn.TimelineID) {
	for _, x := range f {
		t = max(t, x)
	}
	return t
}

// with returns a copy of f, nil or not, with the promise about timelines of system up to t.
func (f fences) with(system lsn.SystemID, t lsn.TimelineID) fences {
	f = maps.Clone(f)
	if f == nil {
		f = fences{}
	}
	f[system] = max(f[system], t)
	return f
}

// fences returns the promises whose highest, as memoryFile has it, is highest, written by boot. A file that is missing,
// or of another start, makes highest a promise about every system. An error is of a damaged file, and has that as well.
func (m memory) fences(boot uint64, highest lsn.TimelineID) (fences, error) {
	every := fences{}
	if highest > 0 {
		every[anySystem] = highest
	}
	if m == "" || highest == 0 {
		return every, nil
	}
	body, err := checked(filepath.Join(string(m), fencesFile))
	if errors.Is(err, fs.ErrNotExist) {
		return every, nil
	} else if err != nil {
		return every, err
	}
	first, rest, _ := strings.Cut(string(body), "\n")
	if first != fmt.Sprintf("%s %d", fencesFormat, boot) {
		return every, nil
	}
	f := fences{}
	for _, line := range strings.Split(strings.TrimSpace(rest), "\n") {
		var system lsn.SystemID
		var t lsn.TimelineID
		if n, err := fmt.Sscanf(line, "%d %d", &system, &t); n != 2 || err != nil {
			return every, fmt.Errorf("%s has a line %q", fencesFile, line)
		}
		f[system] = max(f[system], t)
	}
	if f.highest() != highest {
		return every, nil
	}
	return f, nil
}

// saveFences makes f durable, of a memoryFile of boot that has its highest. It blocks for the disk. Without a fence it
// writes nothing.
func (m memory) saveFences(boot uint64, f fences) error {
	if f.highest() == 0 {
		return nil
	}
	text := fmt.Sprintf("%s %d\n", fencesFormat, boot)
	for _, system := range slices.Sorted(maps.Keys(f)) {
		text += fmt.Sprintf("%d %d\n", uint64(system), uint32(f[system]))
	}
	return m.write(fencesFile, seal([]byte(text)))
}

// heedFence tells the ledger what is promised for the system that the store is of now. The caller holds mu.
func (n *Node) heedFence(p Positions) {
	if p.System == n.fenced {
		return
	}
	n.fenced = p.System
	if n.ledger.SetFence(n.fences.of(p.System)) {
		n.touch()
	}
}

// noteFences writes of which systems the promises speak; without that they are about all.
func (n *Node) noteFences() {
	n.saving.Lock()
	defer n.saving.Unlock()
	n.mu.Lock()
	f, boot := n.fences, n.ledger.State().Boot
	n.mu.Unlock()
	if err := memory(n.o.Dir).saveFences(boot, f); err != nil {
		n.log.Error("cannot remember of which system a fence is: after a restart it is of every one", "err", err)
	}
}
