package fanout

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// reports counts the reports that a voter is given.
type reports int

func (r *reports) Report(time.Time, lsn.TimelineID, lsn.LSN, lsn.Progress, bool) { *r++ }

// TestBackupDoesNotVote: a session that begins while a base backup of its name runs counts once it has applied
// something, and not before. Others count as ever.
func TestBackupDoesNotVote(t *testing.T) {
	h := new(Hub)
	who := SessionInfo{ApplicationName: "db1", ClientAddr: "10.0.0.1:5000"}
	counts := func(who SessionInfo, apply lsn.LSN) bool {
		v := new(reports)
		voter, end := h.votes(t.Context(), who, v)
		defer end()
		voter.Report(time.Now(), 1, 100, lsn.Progress{Write: 100, Flush: 100, Apply: apply}, true)
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
	if counts(SessionInfo{ApplicationName: "db1", ClientAddr: "[fd00::7]:5000"}, 0) {
		t.Error("the WAL of a base backup counts, by another address of its host")
	}
	if !counts(SessionInfo{ApplicationName: "db2", ClientAddr: stream.ClientAddr}, 0) {
		t.Error("a session of another name does not count")
	}
	first()
	if counts(stream, 0) {
		t.Error("one of two has ended, and it counts")
	}
	if second(); !counts(stream, 0) || len(h.backups.running) != 0 {
		t.Error("both have ended, and it does not count")
	}
}

// flushes keeps the flush positions of the reports that it is given.
type flushes []lsn.LSN

func (f *flushes) Report(_ time.Time, _ lsn.TimelineID, _ lsn.LSN, said lsn.Progress, _ bool) {
	*f = append(*f, said.Flush)
}

// TestBackupElsewhere: while the other members have not answered whether a base backup of its name runs there, a session
// that applies nothing does not count. Then it does, with the last that it said, unless one does. A standby counts at once.
func TestBackupElsewhere(t *testing.T) {
	for name, c := range map[string]struct {
		apply        lsn.LSN
		backsUp      bool
		before, then flushes
	}{
		"pg_receivewal":                {0, false, nil, flushes{200, 300}},
		"pg_basebackup":                {0, true, nil, nil},
		"a standby":                    {50, false, flushes{100, 200}, flushes{100, 200, 300}},
		"a standby that was made anew": {50, true, flushes{100, 200}, flushes{100, 200, 300}},
	} {
		synctest.Test(t, func(t *testing.T) {
			h, answer, asked := new(Hub), make(chan bool), 0
			h.o.BacksUp = func(ctx context.Context, name string) bool {
				if asked++; name != "db1" {
					t.Errorf("asked for %q", name)
				}
				select {
				case yes := <-answer:
					return yes
				case <-ctx.Done():
					return false
				}
			}
			var v flushes
			voter, end := h.votes(t.Context(), SessionInfo{ApplicationName: "db1"}, &v)
			report := func(flush lsn.LSN) {
				voter.Report(time.Now(), 1, 400, lsn.Progress{Write: flush, Flush: flush, Apply: c.apply}, true)
				synctest.Wait()
			}
			report(100)
			report(200)
			if !slices.Equal(v, c.before) || asked != min(1, 1-len(c.before)/2) {
				t.Errorf("%s: %v counts before the answer, asked %d times", name, v, asked)
			}
			select {
			case answer <- c.backsUp:
			default:
			}
			synctest.Wait()
			if report(300); !slices.Equal(v, c.then) {
				t.Errorf("%s: %v counts", name, v)
			}
			end()
		})
	}
}

// TestBackupElsewhereEnds: a session that ends while the members are asked is waited for, and nothing counts after it.
func TestBackupElsewhereEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := new(Hub)
		h.o.BacksUp = func(ctx context.Context, _ string) bool {
			<-ctx.Done()
			return false
		}
		var v flushes
		voter, end := h.votes(t.Context(), SessionInfo{ApplicationName: "db1"}, &v)
		voter.Report(time.Now(), 1, 100, lsn.Progress{Flush: 100}, true)
		if end(); len(v) != 0 {
			t.Errorf("%v counts", v)
		}
	})
}

// TestBackupsAreListed: the names of base backups under way, each once.
func TestBackupsAreListed(t *testing.T) {
	h := new(Hub)
	var ends []func()
	for _, addr := range []string{"10.0.0.1:1", "10.0.0.2:1"} {
		for _, name := range []string{"b", "a"} {
			ends = append(ends, h.BackupBegins(SessionInfo{ApplicationName: name, ClientAddr: addr}))
		}
	}
	if got := h.Backups(); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("%q", got)
	}
	for _, end := range ends {
		end()
	}
	if got := h.Backups(); got != nil {
		t.Errorf("%q", got)
	}
}
