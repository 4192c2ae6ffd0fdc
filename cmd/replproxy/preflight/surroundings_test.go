package preflight

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// TestSurroundings: a slow disk, a clock that is off, and limits of the primary that a break would exceed are told.
func TestSurroundings(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Facts)
		check  string
		level  Level
		has    string
	}{
		"fast disk":    {func(f *Facts) { f.Disk.Sync = SyncTime{time.Millisecond, time.Second} }, "fsync of data_dir", OK, "1ms, the longest of 21 took 1s"},
		"slow disk":    {func(f *Facts) { f.Disk.Sync = SyncTime{20 * time.Millisecond, time.Second} }, "fsync of data_dir", Warn, "20ms"},
		"same clock":   {func(f *Facts) { f.Clock = Clock{true, -time.Second, time.Millisecond} }, "clock", OK, "is 1s behind this machine's"},
		"other clock":  {func(f *Facts) { f.Clock = Clock{true, 5 * time.Second, time.Millisecond} }, "clock", Warn, "5s ahead of"},
		"slow answer":  {func(f *Facts) { f.Clock = Clock{true, 3 * time.Second, 2 * time.Second} }, "clock", OK, "give or take 2s"},
		"no timeout":   {func(f *Facts) { f.Settings["wal_sender_timeout"] = "0" }, "wal_sender_timeout", Warn, "never notices"},
		"usual":        {func(f *Facts) { f.Settings["wal_sender_timeout"] = "1min" }, "wal_sender_timeout", OK, "1min"},
		"too short":    {func(f *Facts) { f.Settings["wal_sender_timeout"] = "500ms" }, "wal_sender_timeout", Warn, "500ms"},
		"no limit":     {func(f *Facts) { f.Settings["max_slot_wal_keep_size"] = "-1" }, "max_slot_wal_keep_size", OK, "until its disk is full"},
		"some":         {func(f *Facts) { f.Settings["max_slot_wal_keep_size"] = "100GB" }, "max_slot_wal_keep_size", OK, "100GB"},
		"little limit": {func(f *Facts) { f.Settings["max_slot_wal_keep_size"] = "64MB" }, "max_slot_wal_keep_size", Warn, "64MB"},
	} {
		f := goodFacts()
		c.change(&f)
		found := false
		for _, got := range Judge(goodSetup(), f) {
			if got.Name == c.check {
				found = true
				if got.Level != c.level || !strings.Contains(got.Text, c.has) || (got.Level == Warn) != (got.Remedy != "") {
					t.Errorf("%s: %+v", name, got)
				}
			}
		}
		if !found {
			t.Errorf("%s: nothing about %s", name, c.check)
		}
	}
}

// TestSyncIsTimed: fsyncs of a directory take some time, and leave nothing there.
func TestSyncIsTimed(t *testing.T) {
	if s := timeSync(t.TempDir()); s.Median <= 0 || s.Longest < s.Median {
		t.Errorf("%+v", s)
	}
	if s := timeSync("/nowhere"); s != (SyncTime{}) {
		t.Errorf("of no directory: %+v", s)
	}
}

// TestJudgeStandby: what keeps a standby from following this proxy is told, with what to do.
func TestJudgeStandby(t *testing.T) {
	good := func() Standby {
		return Standby{Endpoint: "s1:5432", Major: 15, Version: "15.20", System: "1", Recovery: true, Settings: map[string]string{
			"primary_conninfo":  "host=proxy port=6543 user=standby application_name=s1 sslmode=verify-full sslrootcert=/elsewhere",
			"primary_slot_name": "s1", "recovery_target_timeline": "latest", "cluster_name": "c1",
		}}
	}
	for name, c := range map[string]struct {
		change func(*Standby)
		level  Level
		has    string
	}{
		"good":              {func(*Standby) {}, OK, "s1:5432, PostgreSQL 15.20, follows this proxy"},
		"no answer":         {func(b *Standby) { b.Err = errors.New("refused") }, Fail, "refused"},
		"a primary":         {func(b *Standby) { b.Recovery = false }, Fail, "is not in recovery"},
		"another system":    {func(b *Standby) { b.System = "2" }, Fail, "database system 2"},
		"another major":     {func(b *Standby) { b.Major = 16 }, Fail, "is PostgreSQL 16"},
		"denied":            {func(b *Standby) { b.Denied, b.Settings = true, map[string]string{} }, Warn, "settings may be read"},
		"follows nobody":    {func(b *Standby) { b.Settings["primary_conninfo"] = "" }, Warn, "is empty"},
		"follows elsewhere": {func(b *Standby) { b.Settings["primary_conninfo"] = "host=db1 application_name=s1" }, Warn, "leads to host db1, port 5432"},
		"nonsense":          {func(b *Standby) { b.Settings["primary_conninfo"] = "host=" + "'" }, Warn, "cannot be read"},
		"no name":           {func(b *Standby) { b.Settings["primary_conninfo"], b.Settings["cluster_name"] = "port=6543", "" }, Warn, "no name of its own"},
		"a proxy's name":    {func(b *Standby) { b.Settings["primary_conninfo"] = "port=6543 application_name=proxy_a" }, Warn, "that of a proxy"},
		"no slot":           {func(b *Standby) { b.Settings["primary_slot_name"] = "" }, Warn, "no primary_slot_name"},
		"our slot":          {func(b *Standby) { b.Settings["primary_slot_name"] = "replproxy_proxy_a" }, Warn, "this proxy on the primary"},
		"unknown slot":      {func(b *Standby) { b.Settings["primary_slot_name"] = "s9" }, Warn, "neither here nor on the primary"},
		"stays behind":      {func(b *Standby) { b.Settings["recovery_target_timeline"] = "current" }, Warn, "does not follow a promotion"},
		"its clock":         {func(b *Standby) { b.Clock = Clock{true, time.Minute, 0} }, Warn, "1m0s ahead"},
	} {
		f, b := goodFacts(), good()
		f.Disk.Slots = []string{"s1"}
		c.change(&b)
		all := JudgeStandby(goodSetup(), f, b, []string{"6543"})
		found := false
		for _, got := range all {
			found = found || got.Level == c.level && strings.Contains(got.Text, c.has) && (got.Level == OK) == (got.Remedy == "")
		}
		if !found {
			t.Errorf("%s: %+v", name, all)
		}
	}
}
