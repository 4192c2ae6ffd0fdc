package preflight

import (
	"errors"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/handshake/upstream"
)

// TestFixes: what a statement mends has one, in an order that works, and nothing is dropped or decided by it.
func TestFixes(t *testing.T) {
	denied := pgerror.New(pgerror.InsufficientPrivilege, "must be superuser or replication role to start walsender")
	for name, c := range map[string]struct {
		change func(*Setup, *Facts)
		want   string
	}{
		"nothing":        {func(*Setup, *Facts) {}, ""},
		"no replication": {func(_ *Setup, f *Facts) { f.Replication = denied }, `ALTER ROLE "repl" REPLICATION`},
		"no log-in": {func(_ *Setup, f *Facts) {
			f.SQL = pgerror.New(pgerror.InvalidAuthorization, `role "repl" is not permitted to log in`)
		}, `ALTER ROLE "repl" LOGIN`},
		"no database": {func(s *Setup, f *Facts) {
			s.Database, f.SQL = `o"d`, errors.Join(&upstream.ConnectError{}, denied)
		}, `GRANT CONNECT ON DATABASE "o""d" TO "repl"`},
		"no view":    {func(_ *Setup, f *Facts) { f.SQL = denied }, `GRANT pg_monitor TO "repl"`},
		"wal_level":  {func(_ *Setup, f *Facts) { f.Settings["wal_level"] = "minimal" }, "ALTER SYSTEM SET wal_level = 'replica'!|" + reload},
		"no timeout": {func(_ *Setup, f *Facts) { f.Settings["wal_sender_timeout"] = "0" }, "ALTER SYSTEM SET wal_sender_timeout = '60s'|" + reload},
		"few senders": {func(_ *Setup, f *Facts) { f.Settings["max_wal_senders"] = "3" },
			"ALTER SYSTEM SET max_wal_senders = 4!|" + reload}, // s1, this one, and two log-ins
		"no slot left": {func(_ *Setup, f *Facts) {
			f.Settings["max_replication_slots"], f.Slots = "1", []Slot{{Name: "x"}}
		}, "ALTER SYSTEM SET max_replication_slots = 2!|" + reload},
		"ours is there": {func(s *Setup, f *Facts) {
			f.Settings["max_replication_slots"], f.Slots = "1", []Slot{{Name: s.Slot}}
		}, ""},
	} {
		s, f := goodSetup(), goodFacts()
		c.change(&s, &f)
		var got []string
		for _, x := range Fixes(s, f, nil) {
			text := x.SQL
			if x.Restart {
				text += "!"
			}
			got = append(got, text)
		}
		if all := strings.Join(got, "|"); all != c.want {
			t.Errorf("%s: %s, want %s", name, all, c.want)
		}
	}
	b := Standby{Endpoint: "s1:5432", Settings: map[string]string{"recovery_target_timeline": "current"}}
	if all := Fixes(goodSetup(), goodFacts(), []Standby{b}); len(all) != 2 || all[0].Where != "s1:5432" || !all[0].Restart {
		t.Errorf("a standby: %+v", all)
	}
}
