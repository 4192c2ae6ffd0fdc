package preflight

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/handshake/upstream"
)

func find(checks []Check, name string) Check {
	for _, c := range checks {
		if c.Name == name {
			return c
		}
	}
	return Check{}
}

// TestSQLErrors: what is wrong with SQL is told by what the server said, not as a missing line of pg_hba.conf.
func TestSQLErrors(t *testing.T) {
	const line = "a line of pg_hba.conf"
	login := func(c pgerror.Code, text string) error {
		return &upstream.ConnectError{Attempts: []upstream.Attempt{{Err: pgerror.Fatal(c, "%s", text)}}}
	}
	for _, tc := range []struct {
		err  error
		want string
	}{
		{login("28000", `no pg_hba.conf entry for host "::1"`), line},
		{login("28000", `role "repl" is not permitted to log in`), "LOGIN"},
		{login("28P01", "password authentication failed"), "password"},
		{login("3D000", `database "nope" does not exist`), "dbname"},
		{login("42501", `permission denied for database "postgres"`), `GRANT CONNECT ON DATABASE "postgres" TO "repl"`},
		{login("53300", "sorry, too many clients already"), "max_connections"},
		{login("57P03", "the database system is starting up"), "try again"},
		{fmt.Errorf("read pg_stat_replication: %w", pgerror.New("42501", "permission denied for view")), `GRANT pg_monitor TO "repl"`},
		{fmt.Errorf("read pg_stat_replication: %w", pgerror.New("57014", "canceling statement due to statement timeout")), "statement_timeout"},
		{io.ErrUnexpectedEOF, "log of the primary"},
	} {
		s, f := goodSetup(), goodFacts()
		s.Database, f.SQL = "postgres", tc.err
		got := find(Judge(s, f), "role")
		if got.Level != Warn || !strings.Contains(got.Remedy, tc.want) || tc.want != line && strings.Contains(got.Remedy, "pg_hba") {
			t.Errorf("%v: %+v, want %q", tc.err, got, tc.want)
		}
	}
}

// TestSQLIsNeeded: nobody is told that SQL is not needed, as a standby's slot on the primary is taken over by it.
func TestSQLIsNeeded(t *testing.T) {
	s, f := goodSetup(), goodFacts()
	s.Mirror, s.AuthQuery, f.SQL = presence, "SELECT", pgerror.Fatal("28000", "no")
	got := find(Judge(s, f), "role")
	for _, want := range []string{"taken over", "slots.mirror", "auth.query"} {
		if !strings.Contains(got.Remedy, want) || strings.Contains(got.Remedy, "Not needed") || strings.Contains(got.Remedy, "rule_gate") {
			t.Errorf("no %q in %q", want, got.Remedy)
		}
	}
}

// TestGoesOn: what SQL tells is judged although no walsender connection works.
func TestGoesOn(t *testing.T) {
	s, f := goodSetup(), goodFacts()
	f.Replication, f.Settings["wal_level"], f.Major = pgerror.Fatal("53300", "no"), "minimal", 13
	checks := Judge(s, f)
	for name, level := range map[string]Level{"upstream": Fail, "wal_level": Fail, "version": Fail, "slot": OK, "max_wal_senders": OK} {
		if got := find(checks, name); got.Level != level {
			t.Errorf("%s: %+v, want %s", name, got, level)
		}
	}
	f.SQL = errors.New("nor this")
	if got := find(Judge(s, f), "wal_level"); got.Name != "" {
		t.Errorf("nobody was asked: %+v", got)
	}
}

// TestNobodySatisfies: a synchronous_standby_names of the primary that nobody can satisfy fails, as commits hang.
func TestNobodySatisfies(t *testing.T) {
	for _, tc := range []struct {
		setting string
		via     bool
		sql     error
		level   Level
		has     string
	}{
		{"nobody", false, nil, Fail, "waits for 1"},
		{"ANY 2 (s1, nobody)", false, nil, Fail, "waits for 2 of its names, and 1"},
		{"ANY 2 (s1, proxy_a)", false, nil, OK, ""},
		{"FIRST 2 (proxy_a, proxy_b)", false, nil, OK, ""},
		{"FIRST 2 (proxy_a, proxy_b)", true, nil, Fail, "one proxy at a time"},
		{"ANY 1 (s1, nobody)", false, nil, Warn, "does not see nobody"},
		{"2 (*)", false, nil, OK, ""}, // s1 and this proxy
		{"3 (*)", false, nil, OK, ""}, // and proxy_b
		{"4 (*)", false, nil, Fail, "waits for 4"},
		{"s1", false, errors.New("no"), Warn, "unknown without SQL"},
		{"proxy_a", false, errors.New("no"), OK, ""},
	} {
		s, f := goodSetup(), goodFacts()
		s.Rule, s.Members, s.ViaCluster = "ANY 1 (x)", []string{"proxy_b"}, tc.via
		f.Walsenders = []Walsender{{"s1", "streaming"}, {"proxy_a", "streaming"}}
		f.Settings["synchronous_standby_names"], f.SQL = tc.setting, tc.sql
		if got := syncNames(s, f); got.Level != tc.level || !strings.Contains(got.Text, tc.has) {
			t.Errorf("%q: %+v, want %s with %q", tc.setting, got, tc.level, tc.has)
		}
	}
}

// TestRemoteApply: commits that ask for apply need a rule that standbys alone can satisfy.
func TestRemoteApply(t *testing.T) {
	for _, tc := range []struct {
		rule, spread, primary string
		bad                   bool
	}{
		{"", "", "proxy_a", true},
		{"", "", "s1", false},
		{"ANY 1 (proxy_b, proxy_c)", "", "proxy_a", true},
		{"ANY 2 (s1, Proxy_B, proxy_c)", "", "proxy_a", true},
		{"ANY 1 (s1, proxy_b)", "", "proxy_a", false},
		{"ANY 2 (*)", "", "proxy_a", false},
		{"FIRST 1 (proxy_b, s1)", "", "proxy_a", true},
		{"FIRST 1 (s1, proxy_b)", "", "proxy_a", false},
		{"ANY 2 (s1, s2, proxy_b)", "ANY 2 (*)", "*", true}, // west has a store alone
	} {
		s, f := goodSetup(), goodFacts()
		s.Members = []string{"proxy_b", "proxy_c"}
		s.Rule, s.RuleText = tc.rule, vote.RuleText{Names: tc.rule, Spread: tc.spread}
		if tc.spread != "" {
			s.RuleText.Zones = []vote.Zone{{Name: "east", Voters: []string{"s1", "s2"}}, {Name: "west", Voters: []string{"proxy_b"}}}
		}
		f.Settings["synchronous_standby_names"], f.Settings["synchronous_commit"] = tc.primary, "remote_apply"
		got := find(Judge(s, f), "remote_apply")
		if (got.Level == Fail) != tc.bad || tc.bad != strings.Contains(strings.Join(Advise(s, f, nil), "\n"), "remote_apply") {
			t.Errorf("%q, primary %q: %+v and %q", tc.rule, tc.primary, got, Advise(s, f, nil))
		}
		f.Settings["synchronous_commit"] = "on"
		if got := find(Judge(s, f), "remote_apply"); got.Name != "" {
			t.Errorf("on: %+v", got)
		}
	}
}

// TestRuleOfTooFew: a rule that counts more voters than it names is a warning.
func TestRuleOfTooFew(t *testing.T) {
	for rule, level := range map[string]Level{"ANY 3 (s1, s2)": Warn, "ANY 2 (s1, S1)": Warn, "ANY 2 (s1, s2)": OK, "9 (*)": OK} {
		s, f := goodSetup(), goodFacts()
		s.Rule, s.RuleText.Names = rule, rule
		if got := find(Judge(s, f), "rule"); got.Level != level {
			t.Errorf("%q: %+v", rule, got)
		}
	}
}

// TestAuthErrors: what is wrong with auth.query is told by what the server said.
func TestAuthErrors(t *testing.T) {
	for c, want := range map[pgerror.Code]string{
		"42883": "Make the function", "3F000": "Make the function", "42501": "EXECUTE", "42703": "Correct auth.query",
	} {
		s, f := goodSetup(), goodFacts()
		s.AuthMethod, s.AuthQuery, f.AuthAsked, f.AuthErr = scram, "SELECT", true, fmt.Errorf("ask: %w", pgerror.New(c, "no"))
		if got := find(Judge(s, f), "auth.query"); got.Level != Fail || !strings.Contains(got.Remedy, want) ||
			strings.Contains(got.Remedy, "pg_hba") {
			t.Errorf("%s: %+v, want %q", c, got, want)
		}
	}
}

// TestUnknownSystem: a store is not said to be another's when the server did not say who it is.
func TestUnknownSystem(t *testing.T) {
	s, f := goodSetup(), goodFacts()
	f.System, f.Disk.Store = "", walstore.Identity{System: 1, SegSize: 16 << 20, ServerMajor: 15}
	if got := find(Judge(s, f), storeName); got.Level != Warn || !strings.Contains(got.Text, "unknown") {
		t.Errorf("%+v", got)
	}
}
