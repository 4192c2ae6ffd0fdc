package fanout

import (
	"sync"
	"time"

	"github.com/replproxy/replproxy/fanout/walsender"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/internal/tcpopt"
)

// backups counts the base backups that run through this proxy, by the name and the host of their clients. It is safe
// for concurrent use. The zero value is ready.
type backups struct {
	mu      sync.Mutex
	running map[backupOf]int
}

// backupOf names the client of a base backup.
type backupOf struct{ name, host string }

func clientOf(who SessionInfo) backupOf {
	return backupOf{who.ApplicationName, tcpopt.Host(who.ClientAddr)}
}

// BackupBegins notes that a base backup runs for a client, until end is called, once. The WAL that pg_basebackup
// streams beside it is under the same name, which may be a voter's: see votesOnceApplied. Any goroutine may call it.
func (h *Hub) BackupBegins(who SessionInfo) (end func()) {
	b, of := &h.backups, clientOf(who)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.running == nil {
		b.running = map[backupOf]int{}
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

// backsUp reports whether a base backup runs for the client of a session.
func (h *Hub) backsUp(who SessionInfo) bool {
	h.backups.mu.Lock()
	defer h.backups.mu.Unlock()
	return h.backups.running[clientOf(who)] > 0
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

// votes returns how a session's reports count. v is its voter.
func (h *Hub) votes(who SessionInfo, v walsender.Voter) walsender.Voter {
	if h.backsUp(who) {
		return votesOnceApplied{v}
	}
	return v
}
