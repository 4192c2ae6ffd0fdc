package walsource

import (
	"github.com/replproxy/replproxy/fanout/walreceiver"
	"maps"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// promotedAt are the answers of a server on timeline 2.
func promotedAt(fork string) map[string][]byte {
	return map[string][]byte{
		"IDENTIFY_SYSTEM":    ready(row("X", fakeSystem, "2", "0/1000100", "NULL")),
		"TIMELINE_HISTORY 2": ready(row("X", "00000002.history", "1\t"+fork+"\tpromoted\n")),
	}
}

// TestOtherServerOfARefusedNumber: the history of a timeline that was not followed does not speak against another
// server that is promoted to the same number. Ruling R3 tells an operator to "promote a server that has this WAL".
func TestOtherServerOfARefusedNumber(t *testing.T) {
	w, m := newWalsender(t, promotedAt("0/1000050")), newMemStore()
	m.start, m.data, m.promised = lsn.LSN(0x1000000), make([]byte, 0x80), lsn.LSN(0x1000070)
	m.pos = walstore.Positions{
		Timeline: 1, Oldest: m.start, Received: m.start + 0x80, Written: m.start + 0x80, Flushed: m.start + 0x80,
	}
	r := start(t, w, m, nil)
	r.await("refusal", func(s Status) bool { return s.Lack() != nil })
	if b, err := m.HistoryFile(2); err == nil {
		t.Errorf("the history of a timeline that is not followed is there for standbys: %q", b)
	}
	w.mu.Lock()
	maps.Copy(w.answers, promotedAt("0/1000080"))
	w.mu.Unlock()
	r.Reconnect()
	c := <-w.copies
	c.send(xlog(0x1000000, string(make([]byte, 0x90))))
	r.await("the other server", func(s Status) bool { return s.State == walreceiver.Streaming && s.Received == 0x1000090 })
	if b, err := m.HistoryFile(2); err != nil || !strings.Contains(string(b), "0/1000080") {
		t.Errorf("history %q, %v", b, err)
	}
}

// TestServerDiesBeforeItsTimelineIsReached: the store is behind the fork of a promoted server, which dies; the
// next one takes the same number from another position.
func TestServerDiesBeforeItsTimelineIsReached(t *testing.T) {
	w, m := newWalsender(t, promotedAt("0/1000090")), newMemStore()
	m.start, m.data = lsn.LSN(0x1000000), make([]byte, 0x80)
	m.pos = walstore.Positions{
		Timeline: 1, Oldest: m.start, Received: m.start + 0x80, Written: m.start + 0x80, Flushed: m.start + 0x80,
	}
	r := start(t, w, m, nil)
	first := <-w.copies
	r.await("the rest of timeline 1", func(s Status) bool { return s.State == walreceiver.Streaming && s.Timeline == 1 })
	w.mu.Lock()
	maps.Copy(w.answers, promotedAt("0/1000080"))
	w.mu.Unlock()
	first.Close()
	c := <-w.copies
	c.send(xlog(0x1000000, string(make([]byte, 0x90))))
	r.await("the other server", func(s Status) bool {
		return s.State == walreceiver.Streaming && s.Timeline == 2 && s.Received == 0x1000090
	})
}

// TestForkIsHeeded: WAL beyond a fork is held back from the moment that a history is known which leaves the stored
// timeline there. A server that is refused, or one that is on the stored timeline, releases it (ruling R3).
func TestForkIsHeeded(t *testing.T) {
	w, m := newWalsender(t, promotedAt("0/1000050")), newMemStore()
	m.start, m.data = lsn.LSN(0x1000000), make([]byte, 0x80)
	m.pos = walstore.Positions{
		Timeline: 1, Oldest: m.start, Received: m.start + 0x80, Written: m.start + 0x80, Flushed: m.start + 0x80,
	}
	held := func() (at lsn.LSN) {
		m.locked(func() { at = m.held })
		return at
	}
	start(t, w, m, nil)
	c := <-w.copies // its WAL does not come
	if held() != 0x1000050 || m.Positions().Timeline != 1 {
		t.Fatalf("held back beyond %s, on timeline %s", held(), m.Positions().Timeline)
	}
	w.mu.Lock()
	maps.Copy(w.answers, map[string][]byte{
		"IDENTIFY_SYSTEM": ready(row("X", fakeSystem, "1", "0/1000080", "NULL")),
	})
	w.mu.Unlock()
	c.Close()
	<-w.copies
	if held() != lsn.Invalid {
		t.Fatalf("on timeline 1 held back beyond %s", held())
	}
}

// TestRefusedForkIsReleased: what acknowledged WAL a refused server lacks is still for standbys.
func TestRefusedForkIsReleased(t *testing.T) {
	w, m := newWalsender(t, promotedAt("0/1000050")), newMemStore()
	m.start, m.data, m.promised, m.held = lsn.LSN(0x1000000), make([]byte, 0x80), lsn.LSN(0x1000070), 0x1000050
	m.pos = walstore.Positions{
		Timeline: 1, Oldest: m.start, Received: m.start + 0x80, Written: m.start + 0x80, Flushed: m.start + 0x80,
	}
	r := start(t, w, m, nil)
	r.await("refusal", func(s Status) bool { return s.Lack() != nil })
	m.locked(func() {
		if m.held != lsn.Invalid {
			t.Errorf("held back beyond %s", m.held)
		}
	})
}
