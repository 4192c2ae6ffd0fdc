package fanout

import (
	"testing"
	"time"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// reports counts the reports that a voter is given.
type reports int

func (r *reports) Report(time.Time, lsn.TimelineID, lsn.LSN, lsn.Progress, bool) { *r++ }

// TestBackupDoesNotVote: a session that begins while a base backup of its name and host runs counts once it has applied
// something, and not before. Others count as ever.
func TestBackupDoesNotVote(t *testing.T) {
	h := new(Hub)
	who := SessionInfo{ApplicationName: "db1", ClientAddr: "10.0.0.1:5000"}
	counts := func(who SessionInfo, apply lsn.LSN) bool {
		v := new(reports)
		h.votes(who, v).Report(time.Now(), 1, 100, lsn.Progress{Write: 100, Flush: 100, Apply: apply}, true)
		return *v == 1
	}
	if !counts(who, 0) {
		t.Error("pg_receivewal does not count")
	}
	first, second := h.BackupBegins(who), h.BackupBegins(SessionInfo{ApplicationName: "db1", ClientAddr: "10.0.0.1:5001"})
	stream := SessionInfo{ApplicationName: "db1", ClientAddr: "10.0.0.1:5002"}
	if counts(stream, 0) || !counts(stream, 50) {
		t.Error("the WAL of a base backup counts, or a standby of its name does not")
	}
	for _, other := range []SessionInfo{
		{ApplicationName: "db2", ClientAddr: stream.ClientAddr}, {ApplicationName: "db1", ClientAddr: "10.0.0.2:5000"},
	} {
		if !counts(other, 0) {
			t.Errorf("%+v does not count", other)
		}
	}
	first()
	if counts(stream, 0) {
		t.Error("one of two has ended, and it counts")
	}
	if second(); !counts(stream, 0) || len(h.backups.running) != 0 {
		t.Error("both have ended, and it does not count")
	}
}
