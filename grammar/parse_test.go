package grammar_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/grammar"
	"github.com/replproxy/replproxy/grammar/pgerror"
)

func str(s string) *string { return &s }

// TestTrees: what each command becomes. Acceptance is the golden corpus's matter.
func TestTrees(t *testing.T) {
	backup := func(change func(*grammar.BaseBackup)) *grammar.BaseBackup {
		b := grammar.DefaultBaseBackup()
		b.ManifestChecksums = "NONE"
		change(b)
		return b
	}
	long := strings.Repeat("a", 64)
	for _, c := range []struct {
		v    grammar.Version
		text string
		want grammar.Command
	}{
		{140023, "IDENTIFY_SYSTEM;", &grammar.IdentifySystem{}},
		{180004, "UPLOAD_MANIFEST", &grammar.UploadManifest{}},
		{150018, `SHOW A . "B.c"`, &grammar.Show{Name: "a.B.c"}},
		{150018, "TIMELINE_HISTORY 4294967297", &grammar.TimelineHistory{Timeline: 1}},
		{150018, `READ_REPLICATION_SLOT "a b"`, &grammar.ReadSlot{Name: "a b"}},
		{150018, "DROP_REPLICATION_SLOT S WAIT", &grammar.DropSlot{Name: "s", Wait: true}},
		{150018, "DROP_REPLICATION_SLOT " + long, &grammar.DropSlot{Name: long[:63]}},
		{140023, "CREATE_REPLICATION_SLOT s TEMPORARY PHYSICAL RESERVE_WAL",
			&grammar.CreateSlot{Name: "s", Temporary: true, ReserveWAL: true}},
		{150018, "CREATE_REPLICATION_SLOT s PHYSICAL (reserve_wal 'off')", &grammar.CreateSlot{Name: "s"}},
		{170010, "CREATE_REPLICATION_SLOT s LOGICAL p (two_phase, failover 1, snapshot 'use')",
			&grammar.CreateSlot{Name: "s", Logical: true, Plugin: "p", Snapshot: grammar.SnapshotUse,
				TwoPhase: true, Failover: true}},
		{140023, "CREATE_REPLICATION_SLOT s LOGICAL p NOEXPORT_SNAPSHOT",
			&grammar.CreateSlot{Name: "s", Logical: true, Plugin: "p", Snapshot: grammar.SnapshotNothing}},
		{160014, "CREATE_REPLICATION_SLOT s LOGICAL p",
			&grammar.CreateSlot{Name: "s", Logical: true, Plugin: "p", Snapshot: grammar.SnapshotExport}},
		{180004, "ALTER_REPLICATION_SLOT s (failover false, two_phase)",
			&grammar.AlterSlot{Name: "s", Failover: grammar.Off, TwoPhase: grammar.On}},
		{150018, "START_REPLICATION 16/b374d848", &grammar.StartPhysical{At: 0x16B374D848}},
		{150018, `START_REPLICATION SLOT "" PHYSICAL 123456789/0 TIMELINE 3`,
			&grammar.StartPhysical{WithSlot: true, At: 0x23456789 << 32, Timeline: 3}},
		{150018, "START_REPLICATION 11111111111111111/1", &grammar.StartPhysical{At: 0xFFFFFFFF<<32 | 1}},
		{150018, `START_REPLICATION SLOT s LOGICAL 0/0 ("A" 'x''y', b)`,
			&grammar.StartLogical{Slot: "s", Options: []grammar.PluginOption{
				{Name: "A", Value: "x'y", HasValue: true}, {Name: "b"}}}},
		{150018, "BASE_BACKUP", backup(func(*grammar.BaseBackup) {})},
		{140023, "BASE_BACKUP NOWAIT FAST NOVERIFY_CHECKSUMS", backup(func(b *grammar.BaseBackup) {
			b.NoWait, b.FastCheckpoint, b.NoVerifyChecksums = true, true, true
		})},
		{170010, "BASE_BACKUP (wait off, manifest y, manifest_checksums sha256, target client, incremental, " +
			"compression gzip, compression_detail 4294967295)", backup(func(b *grammar.BaseBackup) {
			b.NoWait, b.Manifest, b.ManifestChecksums, b.Incremental = true, grammar.ManifestYes, "SHA256", true
			b.Target, b.Compression, b.CompressionDetail = str("client"), str("gzip"), str("-1")
		})},
		{150018, "BASE_BACKUP (target 'shell', target_detail 'x')", backup(func(b *grammar.BaseBackup) {
			b.Target, b.TargetDetail = str("shell"), str("x")
		})},
		{150018, "IDENTIFY_SYSTEM\x00 and what follows a NUL", &grammar.IdentifySystem{}},
	} {
		got, _, err := grammar.Parse(c.text, c.v)
		if err != nil {
			t.Errorf("%s %q: %v", c.v, c.text, err)
		} else if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s %q:\n got  %#v\n want %#v", c.v, c.text, got, c.want)
		}
	}
}

// TestDoubledQuotes: the one rule that changed in minor releases, on both sides of the change.
func TestDoubledQuotes(t *testing.T) {
	for v, doubled := range map[grammar.Version]bool{
		140023: false, 140024: true, 150018: false, 150019: true, 160014: false, 160015: true,
		170010: false, 170011: true, 180005: false, 180006: true, 190000: true, 130023: false,
	} {
		c, _, err := grammar.Parse(`SHOW "a""b"`, v)
		if doubled != (err == nil) {
			t.Errorf("%s: %v", v, err)
		}
		if doubled && err == nil && c.(*grammar.Show).Name != `a"b` {
			t.Errorf("%s: %#v", v, c)
		}
	}
}

func TestDispatch(t *testing.T) {
	for _, c := range []struct {
		text    string
		v       grammar.Version
		command bool
		err     string
	}{
		{"IDENTIFY_SYSTEM", 150018, true, ""},
		{"IDENTIFY_SYSTEM 'unterminated", 150018, true, ""},
		{" \n\tSHOW;x", 150018, true, ""},
		{"identify_system", 150018, false, ""},
		{"UPLOAD_MANIFEST", 160014, false, ""},
		{"UPLOAD_MANIFEST", 170010, true, ""},
		{"ALTER_REPLICATION_SLOT", 160014, false, ""},
		{"READ_REPLICATION_SLOT", 140023, false, ""},
		{"READ_REPLICATION_SLOT", 150018, true, ""},
		{"\vSHOW a", 160014, false, ""},
		{"\vSHOW a", 170010, true, ""},
		{"", 150018, false, ""},
		{"select 'unterminated", 150018, false, ""},
		{"'unterminated", 150018, false, "unterminated quoted string"},
		{`"unterminated`, 150018, false, "unterminated quoted string"},
	} {
		command, err := grammar.IsReplicationCommand(c.text, c.v)
		var pe *pgerror.Error
		if errors.As(err, &pe); command != c.command || (pe != nil) != (c.err != "") ||
			pe != nil && pe.Message != c.err {
			t.Errorf("%s %q: %v, %v", c.v, c.text, command, err)
		}
	}
}

// TestDatabaseDialect: SQL is no error of the language there, and characters are not cut.
func TestDatabaseDialect(t *testing.T) {
	d := grammar.Dialect{Version: 150018, Database: true}
	if _, _, err := d.Parse("select 1"); !errors.Is(err, grammar.ErrSQL) {
		t.Errorf("select: %v", err)
	}
	name := "a" + strings.Repeat("é", 32) // 65 bytes
	for database, want := range map[bool]string{true: name[:63], false: name[:63]} {
		checkClip(t, grammar.Dialect{Version: 150018, Database: database}, name, want)
	}
	name = strings.Repeat("é", 32) // byte 63 is the first half of a character
	for database, want := range map[bool]string{true: name[:62], false: name[:63]} {
		checkClip(t, grammar.Dialect{Version: 150018, Database: database}, name, want)
	}
}

func checkClip(t *testing.T, d grammar.Dialect, name, want string) {
	t.Helper()
	c, notices, err := d.Parse("SHOW " + name)
	if err != nil || c.(*grammar.Show).Name != want {
		t.Errorf("%+v: %#v, %v", d, c, err)
	}
	wantNotice := `identifier "` + name + `" will be truncated to "` + want + `"`
	if len(notices) != 1 || notices[0].Message != wantNotice || notices[0].Code != pgerror.NameTooLong ||
		notices[0].Severity != pgerror.SeverityNotice {
		t.Errorf("%+v: notices %v, want %s", d, notices, wantNotice)
	}
}

// TestNoticesInOrder: the notice of a token comes only when that token is reached.
func TestNoticesInOrder(t *testing.T) {
	long := strings.Repeat("a", 64)
	for text, want := range map[string]int{
		"SHOW " + long:                  1,
		"SHOW " + long + " " + long:     2,
		"SHOW x x " + long:              0,
		"TIMELINE_HISTORY 0 " + long:    0,
		"IDENTIFY_SYSTEM; " + long:      1,
		long:                            1,
		long + " " + long:               1,
		"SHOW " + long + " 'x":          1,
		"START_REPLICATION 0/0 " + long: 1,
	} {
		_, notices, _ := grammar.Parse(text, 150018)
		if len(notices) != want {
			t.Errorf("%q: %d notices, want %d", text, len(notices), want)
		}
	}
}

func TestValidateSlotName(t *testing.T) {
	for name, code := range map[string]pgerror.Code{
		"a": "", "a_1": "", "_": "", "1": "", strings.Repeat("a", 63): "",
		"": pgerror.InvalidName, "A": pgerror.InvalidName, "a-b": pgerror.InvalidName, "é": pgerror.InvalidName,
		"a b": pgerror.InvalidName, strings.Repeat("a", 64): pgerror.NameTooLong,
	} {
		err := grammar.ValidateSlotName(name)
		if got := pgerror.From(err); code == "" && err != nil || code != "" && (got == nil || got.Code != code) {
			t.Errorf("%q: %v, want %q", name, err, code)
		}
	}
}

func TestVersion(t *testing.T) {
	v := grammar.Version(150018)
	if v.Major() != 15 || v.Minor() != 18 || v.String() != "15.18" {
		t.Errorf("%d.%d %s", v.Major(), v.Minor(), v)
	}
	// What is older than 14 or newer than 18 is read as its neighbour.
	if _, _, err := grammar.Parse("BASE_BACKUP FAST", 130000); err != nil {
		t.Errorf("13: %v", err)
	}
	if _, _, err := grammar.Parse("ALTER_REPLICATION_SLOT s (two_phase)", 200000); err != nil {
		t.Errorf("20: %v", err)
	}
}
