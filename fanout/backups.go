package fanout

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/replproxy/replproxy/fanout/walsender"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// backups counts the base backups that run through this proxy, by application_name. The host tells nothing: the two
// sessions of a pg_basebackup may come by two addresses of it. It is safe for concurrent use. The zero value is ready.
type backups struct {
	mu      sync.Mutex
	running map[string]int
}

// BackupBegins notes that a base backup runs for a client, until end is called, once. The WAL that pg_basebackup
// streams beside it is under the same name, which may be a voter's: see votesOnceApplied. Any goroutine may call it.
func (h *Hub) BackupBegins(who SessionInfo) (end func()) {
	b, of := &h.backups, who.ApplicationName
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.running == nil {
		b.running = map[string]int{}
	}
	b.running[of]++
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.running[of]--; b.running[of] == 0 {
			delete(b.running, of)
		}
	}
}

// backsUp reports whether a base backup runs under the name of a session.
func (h *Hub) backsUp(who SessionInfo) bool {
	h.backups.mu.Lock()
	defer h.backups.mu.Unlock()
	return h.backups.running[who.ApplicationName] > 0
}

// votesOnceApplied is the vote of a session that began while a base backup of its name ran. It counts once it has
// applied something, which pg_basebackup never does: without the files its WAL is no copy of a commit, and it removes
// both when it fails.
type votesOnceApplied struct{ walsender.Voter }

// Report implements [walsender.Voter].
func (v votesOnceApplied) Report(
	at time.Time, t lsn.TimelineID, sent lsn.LSN, said lsn.Progress, streaming bool,
) {
	if said.Apply != lsn.Invalid {
		v.Voter.Report(at, t, sent, said, streaming)
	}
}

// Backups returns the names of the base backups that run through this proxy, in order, each once.
func (h *Hub) Backups() (names []string) {
	h.backups.mu.Lock()
	defer h.backups.mu.Unlock()
	return slices.Sorted(maps.Keys(h.backups.running))
}

// votesOnceKnown is the vote of a session while nobody has said whether a base backup of its name runs through another
// member. What applies WAL is none and counts at once. Of another session the other members are asked: pg_receivewal
// counts when they have answered, with the last that it reported until then. pg_basebackup streams WAL once its backup
// has begun, so a member that has none now never had the files of this session.
type votesOnceKnown struct {
	walsender.Voter
	ask func() // begins to ask

	mu     sync.Mutex // calls of Report do not overlap
	asked  bool
	known  bool
	latter walsender.Voter // once known
	last   func()          // repeats the last report that was held back; nil: there is none
}

// Report implements [walsender.Voter].
func (v *votesOnceKnown) Report(
	at time.Time, t lsn.TimelineID, sent lsn.LSN, said lsn.Progress, streaming bool,
) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case v.known:
		v.latter.Report(at, t, sent, said, streaming)
	case said.Apply != lsn.Invalid:
		v.known, v.latter, v.last = true, v.Voter, nil
		v.Voter.Report(at, t, sent, said, streaming)
	default:
		v.last = func() { v.latter.Report(at, t, sent, said, streaming) }
		if !v.asked {
			v.asked = true
			v.ask()
		}
	}
}

// answered takes the answer of the other members, and counts what was held back.
func (v *votesOnceKnown) answered(backsUp bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.known {
		return
	}
	v.known, v.latter = true, v.Voter
	if backsUp {
		v.latter = votesOnceApplied{v.Voter}
	}
	if v.last != nil {
		v.last()
		v.last = nil
	}
}

// votes returns how a session's reports count. v is its voter. Call end before the voter is released: no report comes
// after it. It blocks for as long as ctx has not ended what it asks the other members.
func (h *Hub) votes(ctx context.Context, who SessionInfo, v walsender.Voter) (voter walsender.Voter, end func()) {
	switch {
	case h.backsUp(who):
		return votesOnceApplied{v}, func() {}
	case h.o.BacksUp == nil:
		return v, func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var asking sync.WaitGroup
	known := &votesOnceKnown{Voter: v}
	known.ask = func() {
		asking.Go(func() {
			if backsUp := h.o.BacksUp(ctx, who.ApplicationName); ctx.Err() == nil {
				known.answered(backsUp)
			}
		})
	}
	return known, func() {
		cancel()
		asking.Wait()
	}
}
