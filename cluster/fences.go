package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// fencesFile says of which systems the promise in memoryFile speaks (ruling R48), one a line with the highest timeline
// that is fenced there, behind a line with the format and the boot that wrote it; and the CRC-32C of that. Release
// v0.1.0 does not write it: whenever it does not fit memoryFile, that promise is about every system, which is always
// safe.
const (
	fencesFile   = "fences"
	fencesFormat = "#replproxy-fences/1"
)

// anySystem is the key of a fence that is about every system.
const anySystem lsn.SystemID = 0

// fences are the promises not to vote or report for timelines up to a number, by system (ruling R2).
type fences map[lsn.SystemID]lsn.TimelineID

// of is the highest timeline that is fenced in a system; of none, as in an empty store, any fence counts.
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

// with is f and a promise more.
func (f fences) with(system lsn.SystemID, t lsn.TimelineID) fences {
	f = maps.Clone(f)
	if f == nil {
		f = fences{}
	}
	f[system] = max(f[system], t)
	return f
}

// fences are the promises whose highest, as memoryFile has it, is highest, written by boot.
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

// saveFences makes f durable, of a memoryFile of boot that has its highest.
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
