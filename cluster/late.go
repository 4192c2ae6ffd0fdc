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
	"github.com/replproxy/replproxy/internal/knownwal"
)

// lateMembers are the members that had said nothing when this node's store left a timeline, each with the lowest such
// timeline. What they say of it was judged by nobody, and is told when they say it (ADR 0086). Guarded by Node.mu.
type lateMembers map[string]lsn.TimelineID

// lateFile lists them, one a line, after a line with its format and before the CRC-32C of that. Without it none is
// late. It serves a warning only: one that can't be read, or is of a later release, counts as none.
const (
	lateFile   = "late"
	lateFormat = "#replproxy-late/1"
)

// mark marks what a member says now that was not judged. What it said before it left a timeline itself is past.
func (u lateMembers) mark(all []knownwal.Known) []knownwal.Known {
	for i, k := range all {
		if from, late := u[k.By]; late && k.Acked && k.Timeline >= from {
			all[i].Late = true
		}
	}
	return all
}

// left returns u once timeline t was left while silent had said nothing.
func (u lateMembers) left(t lsn.TimelineID, silent []string) lateMembers {
	next := lateMembers{}
	for _, name := range silent {
		next[name] = max(t, 1)
		if was, known := u[name]; known {
			next[name] = min(was, next[name])
		}
	}
	return next
}

// LeaveTimeline makes durable, before this node's store leaves timeline t (0: it is empty), which members have said
// nothing since the start. All that the others have said is in the answer of [Node.Known] after the call: judge by
// that. It may wait for the disk.
func (n *Node) LeaveTimeline(t lsn.TimelineID) error {
	n.saving.Lock()
	defer n.saving.Unlock()
	n.mu.Lock()
	silent, _ := n.silent(n.o.Members) // also one that is forgotten: it may come back
	was := n.late
	next := was.left(t, silent)
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
	if m == "" {
		return u, nil
	}
	path := filepath.Join(string(m), lateFile)
	body, err := checked(path)
	if errors.Is(err, fs.ErrNotExist) {
		return u, nil
	}
	if err != nil {
		return u, err
	}
	format, lines, _ := strings.Cut(string(body), "\n")
	if format != lateFormat {
		return u, fmt.Errorf("%s has format %s, this replproxy knows %s", path, format, lateFormat)
	}
	for line := range strings.Lines(lines) {
		var name string
		var t lsn.TimelineID
		if _, err := fmt.Sscanf(line, "%s %d\n", &name, &t); err != nil {
			return lateMembers{}, fmt.Errorf("%s %w: %q", path, errDamaged, line)
		}
		u[name] = t
	}
	return u, nil
}

func (m memory) saveLate(u lateMembers) error {
	text := lateFormat + "\n"
	for _, name := range slices.Sorted(maps.Keys(u)) {
		text += fmt.Sprintf("%s %d\n", name, u[name])
	}
	return m.write(lateFile, seal([]byte(text)))
}
