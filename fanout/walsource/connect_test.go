package walsource

import (
	"github.com/replproxy/replproxy/fanout/walreceiver"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
)

func TestForeignSystemNeverReachesTheStore(t *testing.T) {
	w, m := newWalsender(t, nil), newMemStore()
	m.id = walstore.Identity{System: 42, SegSize: 16 << 20, ServerMajor: 15}
	r := start(t, w, m, func(o *Options) { o.Slot = "s" })
	s := r.await("refusal", func(s Status) bool { return s.LastError != "" })
	if !strings.Contains(s.LastError, "database system identifier differs between the primary and standby") ||
		!strings.Contains(s.LastError, "55000") || !strings.Contains(s.LastError, " 42") {
		t.Errorf("%s", s.LastError)
	}
	if id, _ := m.Identity(); id.System != 42 || m.Positions().Timeline != 0 {
		t.Error("the store was touched")
	}
	for _, c := range w.asked() {
		if strings.Contains(c, "SLOT") || strings.HasPrefix(c, "START") {
			t.Errorf("a foreign server was asked for %s", c)
		}
	}
}

func TestRefusedBeforeAnythingIsStored(t *testing.T) {
	for name, c := range map[string]struct {
		answers map[string][]byte
		want    string
	}{
		"old server":           {map[string][]byte{"SHOW server_version_num": ready(row("SHOW", "130023"))}, "130023 is not supported"},
		"no segment size":      {map[string][]byte{"SHOW wal_segment_size": ready(row("SHOW", "16 apples"))}, "wal_segment_size"},
		"odd identity":         {map[string][]byte{"IDENTIFY_SYSTEM": ready(row("X", "abc", "1", "0/1000100"))}, "identify system"},
		"no identity":          {map[string][]byte{"IDENTIFY_SYSTEM": ready(row("X", "1"))}, "identify system"},
		"timeline 0":           {map[string][]byte{"IDENTIFY_SYSTEM": ready(row("X", "1", "0", "0/1000100"))}, "identify system"},
		"timeline of billions": {map[string][]byte{"IDENTIFY_SYSTEM": ready(row("X", "1", "4000000000", "0/1000100"))}, "not believable"},
		"history missing": {map[string][]byte{"IDENTIFY_SYSTEM": ready(row("X", "1", "2", "0/1000100")),
			"TIMELINE_HISTORY": ready(fail("ERROR", "58P01", "could not open file"))}, "could not open file"},
		"history of another name": {map[string][]byte{"IDENTIFY_SYSTEM": ready(row("X", "1", "2", "0/1000100")),
			"TIMELINE_HISTORY": ready(row("X", "../../etc/passwd", "1\t0/5\tx"))}, "unexpected file name"},
		"garbled history": {map[string][]byte{"IDENTIFY_SYSTEM": ready(row("X", "1", "2", "0/1000100")),
			"TIMELINE_HISTORY": ready(row("X", "00000002.history", "once upon a time"))}, "invalid timeline history"},
		"ahead":        {map[string][]byte{"START_REPLICATION": ready(fail("ERROR", "XX000", "requested starting point is ahead"))}, "ahead"},
		"WAL removed":  {map[string][]byte{"START_REPLICATION": ready(fail("ERROR", "58P01", "requested WAL segment 000000010000000000000001 has already been removed"))}, "nothing is skipped"},
		"no walsender": {map[string][]byte{"IDENTIFY_SYSTEM": fail("FATAL", "53300", "number of requested standby connections exceeds max_wal_senders")}, "53300"},
	} {
		t.Run(name, func(t *testing.T) {
			w, m := newWalsender(t, c.answers), newMemStore()
			r := start(t, w, m, nil)
			r.await(name, func(s Status) bool { return strings.Contains(s.LastError, c.want) })
			if p := m.Positions(); p != (walstore.Positions{}) {
				t.Errorf("the store was touched: %+v", p)
			}
			if len(m.histories) != 0 {
				t.Errorf("histories: %q", m.histories)
			}
		})
	}
}

func TestSlotIsPrepared(t *testing.T) {
	const (
		read, create, drop = "READ_REPLICATION_SLOT", "CREATE_REPLICATION_SLOT", "DROP_REPLICATION_SLOT"
	)
	missing, idle := ready(row(read, "NULL", "NULL", "NULL")), ready(row(read, "physical", "NULL", "NULL"))
	found := ready(row(read, "physical", "0/1000003", "1"))
	created := ready(row(create, "s", "0/0", "NULL", "NULL"))
	exists := ready(fail("ERROR", "42710", `replication slot "s" already exists`))
	dropped := ready(wireTag(drop))
	v14 := ready(row("SHOW", "140024"))
	for name, c := range map[string]struct {
		answers map[string][]byte
		want    walreceiver.SlotState
		asked   []string
	}{
		"found":    {map[string][]byte{read: found}, walreceiver.SlotFound, []string{"READ_REPLICATION_SLOT s"}},
		"missing":  {map[string][]byte{read: missing, create: created}, walreceiver.SlotCreated, []string{"CREATE_REPLICATION_SLOT s PHYSICAL (RESERVE_WAL)"}},
		"idle":     {map[string][]byte{read: idle, create: created, drop: dropped}, walreceiver.SlotRecreated, []string{"DROP_REPLICATION_SLOT s", "CREATE_REPLICATION_SLOT s PHYSICAL (RESERVE_WAL)"}},
		"14":       {map[string][]byte{"SHOW server_version_num": v14, create: created}, walreceiver.SlotCreated, []string{"CREATE_REPLICATION_SLOT s PHYSICAL RESERVE_WAL"}},
		"14 found": {map[string][]byte{"SHOW server_version_num": v14, create: exists}, walreceiver.SlotFound, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w, m := newWalsender(t, c.answers), newMemStore()
			r := start(t, w, m, func(o *Options) { o.Slot = "s" })
			defer func() { (<-w.copies).Close() }()
			s := r.await("streaming", func(s Status) bool { return s.State == walreceiver.Streaming })
			if s.SlotState != c.want {
				t.Errorf("slot %s", s.SlotState)
			}
			for _, command := range c.asked {
				if !slices.Contains(w.asked(), command) {
					t.Errorf("no %s in %q", command, w.asked())
				}
			}
		})
	}
}

func wireTag(tag string) []byte {
	return append([]byte{'C', 0, 0, 0, byte(len(tag) + 5)}, tag+"\x00"...)
}

// TestBusySlotIsAwaited: an older session still holds the slot; the connection waits for it.
func TestBusySlotIsAwaited(t *testing.T) {
	w, m := newWalsender(t, map[string][]byte{
		"READ_REPLICATION_SLOT": ready(row("X", "physical", "0/1000003", "1")),
		"START_REPLICATION":     ready(fail("ERROR", "55006", `replication slot "s" is active for PID 4711`)),
	}), newMemStore()
	r := start(t, w, m, func(o *Options) { o.Slot = "s" })
	r.await("busy slot", func(s Status) bool {
		return s.SlotState == walreceiver.SlotBusy && strings.Contains(s.LastError, "4711")
	})
	w.mu.Lock()
	delete(w.answers, "START_REPLICATION")
	w.mu.Unlock()
	c := <-w.copies
	defer c.Close()
	c.send(xlog(fakeSeg, "abc"))
	c.awaitFlush(fakeSeg + 3)
	if s := r.Status(); s.Reconnects != 0 {
		t.Errorf("%d reconnects for a slot that was only busy", s.Reconnects)
	}
}

func TestLoginsAreHeldWhileAWalsenderIsWanted(t *testing.T) {
	w, m := newWalsender(t, map[string][]byte{
		"IDENTIFY_SYSTEM": fail("FATAL", "53300", "number of requested standby connections exceeds max_wal_senders"),
	}), newMemStore()
	g := &gate{}
	r := start(t, w, m, func(o *Options) { o.Logins = g })
	r.await("refusal", func(s Status) bool { return s.Reconnects > 1 })
	if !g.seen.Load() {
		t.Error("the gate was never told")
	}
	w.mu.Lock()
	delete(w.answers, "IDENTIFY_SYSTEM")
	w.mu.Unlock()
	defer func() { (<-w.copies).Close() }()
	r.await("streaming", func(s Status) bool { return s.State == walreceiver.Streaming })
	if g.now.Load() {
		t.Error("the gate is still held")
	}
}

type gate struct{ now, seen atomic.Bool }

func (g *gate) WalreceiverRefused() { g.WalreceiverWaiting(true) }

func (g *gate) WalreceiverWaiting(on bool) {
	g.now.Store(on)
	if on {
		g.seen.Store(true)
	}
}

// TestOtherHistoryOfOneNumber: ruling R3, two servers were promoted to timeline 2.
func TestOtherHistoryOfOneNumber(t *testing.T) {
	w, m := newWalsender(t, map[string][]byte{
		"IDENTIFY_SYSTEM":  ready(row("X", fakeSystem, "2", "0/1000100")),
		"TIMELINE_HISTORY": ready(row("X", "00000002.history", "1\t0/1000050\tpromoted there\n")),
	}), newMemStore()
	m.histories[2] = []byte("1\t0/1000060\tpromoted here\n")
	m.pos = walstore.Positions{Timeline: 2, Received: lsn.LSN(0x1000080)}
	r := start(t, w, m, nil)
	r.await("refusal", func(s Status) bool {
		return strings.Contains(s.LastError, "timeline 2 of the primary is not timeline 2")
	})
	if string(m.histories[2]) != "1\t0/1000060\tpromoted here\n" {
		t.Error("the stored history was replaced")
	}
}
