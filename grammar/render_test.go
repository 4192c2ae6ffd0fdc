package grammar_test

import (
	"reflect"
	"testing"

	"github.com/replproxy/replproxy/grammar"
)

// allVersions are the live ones and, for doubled quotes, one after the change.
func allVersions() []grammar.Version {
	return []grammar.Version{140023, 140024, 150018, 150020, 160014, 170010, 180004, 180006}
}

// fullCommands have every field set to something that is not its default.
func fullCommands() []grammar.Command {
	return []grammar.Command{
		&grammar.IdentifySystem{},
		&grammar.UploadManifest{},
		&grammar.Show{Name: "a.B c..d"},
		&grammar.TimelineHistory{Timeline: 4294967295},
		&grammar.ReadSlot{Name: "Ä.b"},
		&grammar.DropSlot{Name: "SLOT", Wait: true},
		&grammar.CreateSlot{Name: "s", Temporary: true, ReserveWAL: true},
		&grammar.CreateSlot{Name: "s", Temporary: true, Logical: true, Plugin: "A-b",
			Snapshot: grammar.SnapshotNothing, TwoPhase: true, Failover: true},
		&grammar.CreateSlot{Name: "s", Logical: true, Plugin: "p", Snapshot: grammar.SnapshotUse},
		&grammar.CreateSlot{Name: "s", Logical: true, Plugin: "p", Snapshot: grammar.SnapshotExport},
		&grammar.AlterSlot{Name: "s", Failover: grammar.Off, TwoPhase: grammar.On},
		&grammar.StartPhysical{Slot: "ab", WithSlot: true, At: 0xAB_0000CD, Timeline: 7},
		&grammar.StartPhysical{WithSlot: true, At: 1},
		&grammar.StartLogical{Slot: "s", At: 1, Options: []grammar.PluginOption{
			{Name: "Publication", Value: `'"\`, HasValue: true}, {Name: "b"}, {Name: "b", HasValue: true}}},
		&grammar.BaseBackup{Label: "it's\n", Progress: true, FastCheckpoint: true, NoWait: true, WAL: true,
			Incremental: true, MaxRate: 1024, TablespaceMap: true, NoVerifyChecksums: true,
			Manifest: grammar.ManifestForceEncode, ManifestChecksums: "SHA512", Target: str("server"),
			TargetDetail: str("/x"), Compression: str("zstd"), CompressionDetail: str("level=3,workers=2,long")},
		&grammar.BaseBackup{Label: "", Manifest: grammar.ManifestYes, ManifestChecksums: "NONE"},
	}
}

// TestRoundTrip: the newest dialect reads back every field of every command.
func TestRoundTrip(t *testing.T) {
	for _, want := range fullCommands() {
		text := grammar.Render(want, 180004)
		got, notices, err := grammar.Parse(text, 180004)
		if err != nil || len(notices) != 0 {
			t.Errorf("%s: %v %v", text, notices, err)
		} else if !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n got  %#v\n want %#v", text, got, want)
		}
	}
}

// TestFullCommandsAreFull: the test above is worth nothing for a field that it leaves zero.
func TestFullCommandsAreFull(t *testing.T) {
	set := map[string]bool{}
	for _, c := range fullCommands() {
		v := reflect.ValueOf(c).Elem()
		for i := range v.NumField() {
			name := v.Type().Name() + "." + v.Type().Field(i).Name
			set[name] = set[name] || !v.Field(i).IsZero()
		}
	}
	for name, ok := range set {
		if !ok {
			t.Errorf("%s is zero in every command", name)
		}
	}
}

// TestRoundTripOfCorpus: what any version accepts, it reads back from the rendered text.
func TestRoundTripOfCorpus(t *testing.T) {
	accepted := 0
	for _, text := range append(readTexts(t, "testdata"), readTexts(t, "testdata/database")...) {
		for _, v := range allVersions() {
			for _, database := range []bool{false, true} {
				if identity(t, grammar.Dialect{Version: v, Database: database}, text) {
					accepted++
				}
			}
		}
	}
	if accepted < 2000 {
		t.Errorf("only %d texts were accepted", accepted)
	}
}

// identity checks render∘parse on the tree and reports whether the text was accepted.
func identity(t *testing.T, d grammar.Dialect, text string) bool {
	t.Helper()
	c, _, err := d.Parse(text)
	if err != nil {
		return false
	}
	rendered := grammar.Render(c, d.Version)
	again, notices, err := d.Parse(rendered)
	if err != nil || len(notices) != 0 {
		t.Errorf("%+v %q rendered as %q: %v %v", d, text, rendered, notices, err)
	} else if !reflect.DeepEqual(again, c) {
		t.Errorf("%+v %q rendered as %q:\n first  %#v\n second %#v", d, text, rendered, c, again)
	}
	return true
}

func TestRender(t *testing.T) {
	logical := &grammar.CreateSlot{Name: "s", Logical: true, Plugin: "pgoutput",
		Snapshot: grammar.SnapshotNothing, TwoPhase: true, Failover: true}
	backup := &grammar.BaseBackup{Label: "l", FastCheckpoint: true, NoWait: true, NoVerifyChecksums: true}
	for _, c := range []struct {
		v    grammar.Version
		c    grammar.Command
		want string
	}{
		{140023, logical, "CREATE_REPLICATION_SLOT s LOGICAL pgoutput NOEXPORT_SNAPSHOT"},
		{150018, logical, "CREATE_REPLICATION_SLOT s LOGICAL pgoutput (SNAPSHOT 'nothing', TWO_PHASE)"},
		{170010, logical, "CREATE_REPLICATION_SLOT s LOGICAL pgoutput (SNAPSHOT 'nothing', TWO_PHASE, FAILOVER)"},
		{140023, backup, "BASE_BACKUP LABEL 'l' FAST NOWAIT NOVERIFY_CHECKSUMS"},
		{150018, backup, "BASE_BACKUP (LABEL 'l', CHECKPOINT 'fast', WAIT false, VERIFY_CHECKSUMS false)"},
		{150018, grammar.DefaultBaseBackup(), "BASE_BACKUP"},
		{150018, &grammar.StartPhysical{Slot: "Sl ot", At: 0x1_0000000A, Timeline: 2},
			`START_REPLICATION SLOT "Sl ot" PHYSICAL 1/A TIMELINE 2`},
		{150018, &grammar.StartPhysical{At: 0}, "START_REPLICATION PHYSICAL 0/0"},
		{150018, &grammar.Show{Name: `a.B"c`}, `SHOW a."B""c"`},
	} {
		if got := grammar.Render(c.c, c.v); got != c.want {
			t.Errorf("%s:\n got  %s\n want %s", c.v, got, c.want)
		}
	}
}

func TestQuote(t *testing.T) {
	for name, want := range map[string]string{
		"a": "a", "a_$1": "a_$1", "": `""`, "A": `"A"`, "1a": `"1a"`, "a b": `"a b"`, `a"b`: `"a""b"`, "é": `"é"`,
	} {
		if got := grammar.QuoteIdent(name); got != want {
			t.Errorf("QuoteIdent(%q) = %s, want %s", name, got, want)
		}
	}
	if got := grammar.QuoteLiteral(`it's \n`); got != `'it''s \n'` {
		t.Errorf("QuoteLiteral: %s", got)
	}
}
