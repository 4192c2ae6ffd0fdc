package relay

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
	"github.com/replproxy/replproxy/proxy/admin"
)

// TestReload changes the keys of a running proxy, one after the other, and sees what each does.
func TestReload(t *testing.T) {
	in := pgtest.Usual(t)
	primary := in.Primary(t, pgtest.InitArgs("--wal-segsize=1"), pgtest.Settings("wal_keep_size = 1GB", "max_wal_size = 1GB"))
	primary.Exec(t, "CREATE ROLE other SUPERUSER LOGIN REPLICATION")
	file := func(host, level, rest string) string {
		return fmt.Sprintf("upstream: {conninfo: %q}\nlog_level: %s\n%s", primary.Conninfo(host), level, rest)
	}
	proxy := pgtest.StartProxy(t, pgtest.ProxyOptions{Config: file("", "warn", "")})
	s := &scene.Site{In: in, Primary: primary, Proxy: proxy}
	s.CreateSlot(t, "old")
	scene.Fill(t, primary, 40)
	pgtest.WaitFor(t, time.Minute, "the WAL", func() (bool, error) {
		return scene.ProxySlot(t, proxy, "old").HeldBytes > 39<<20, nil
	})
	if slot := scene.ProxySlot(t, proxy, "old"); slot.Status != "reserved" || strings.Contains(proxy.Log(), "level=INFO") {
		t.Fatalf("before: %+v\n%s", slot, proxy.Log())
	}

	scene.Reload(t, proxy, file("", "info", ""))
	if !strings.Contains(proxy.Log(), "key=log_level old=warn new=info") {
		t.Errorf("log_level: %s", proxy.Log())
	}
	kept := "wal: {keep_size: 16MB}\n"
	scene.Reload(t, proxy, file("", "info", kept))
	if slot := scene.ProxySlot(t, proxy, "old"); slot.Status != "extended" {
		t.Errorf("wal.keep_size: %+v", slot)
	}
	capped := "wal: {keep_size: 16MB, max_slot_wal_keep_size: 20MB}\n"
	scene.Reload(t, proxy, file("", "info", capped))
	pgtest.WaitFor(t, time.Minute, "max_slot_wal_keep_size to lose the slot and keep_size its WAL", func() (bool, error) {
		st := scene.Status(t, proxy).Store
		return scene.ProxySlot(t, proxy, "old").Reason == "wal_removed" && st.Received-st.Oldest < 20<<20, nil
	})

	s.CreateSlot(t, "full")
	scene.Fill(t, primary, 20)
	pgtest.WaitFor(t, time.Minute, "the WAL", func() (bool, error) {
		return scene.ProxySlot(t, proxy, "full").HeldBytes > 18<<20, nil
	})
	scene.Reload(t, proxy, file("", "info", kept)) // or the cap would take it
	scene.Reload(t, proxy, file("", "info", "wal: {keep_size: 16MB, min_free: 1000TB}\n"))
	pgtest.WaitFor(t, time.Minute, "min_free to lose the slot", func() (bool, error) {
		return scene.ProxySlot(t, proxy, "full").Reason == "wal_removed", nil
	})
	s.CreateSlot(t, "idle")
	scene.Reload(t, proxy, file("", "info", kept+"slots: {idle_timeout: 1ms}\n"))
	pgtest.WaitFor(t, time.Minute, "idle_timeout to lose the slot", func() (bool, error) {
		return scene.ProxySlot(t, proxy, "idle").Reason == "idle_timeout", nil
	})

	pending := scene.Reload(t, proxy, file("", "info", kept+"feedback: {settle: 1s}\nlog_format: json\n")).Pending
	want := []admin.Pending{
		{Key: "log_format", Running: "text", New: "json"}, {Key: "feedback.settle", Running: "15s", New: "1s"},
	}
	if !slices.Equal(pending, want) {
		t.Errorf("pending restart: %+v", pending)
	}
	broken := scene.Reload(t, proxy, file("", "info", "wal: {keep_size: 16MB}\nwall: 1\n"))
	log := proxy.Log()
	at := strings.Index(log, `error="    4 | wall: …"`)
	if broken.LastError == "" || !slices.Equal(broken.Pending, want) || at < 0 || !strings.Contains(log[at:], `error="      | ^"`) {
		t.Errorf("a broken file: %+v\n%s", broken, log)
	}
	now := scene.Reload(t, proxy, file("host=localhost user=other", "info", kept))
	if now.LastError != "" || len(now.Pending) != 0 {
		t.Errorf("a good file again: %+v", now)
	}
	pgtest.WaitFor(t, time.Minute, "the stream by the new conninfo", func() (bool, error) {
		rows := primary.SQL(t, "SELECT usename FROM pg_stat_replication WHERE state = 'streaming'")
		up := scene.Status(t, proxy).Upstream
		return len(rows) == 1 && rows[0][0] == "other" && strings.HasPrefix(up.Endpoint, "localhost:"), nil
	})
	s.ConnectWait(t)
}
