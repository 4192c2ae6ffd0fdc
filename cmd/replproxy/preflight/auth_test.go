package preflight

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

func TestDerive(t *testing.T) {
	lines, left := derive([][]string{
		{"local", "all", "all", "", "", "peer"},
		{"host", "all", "postgres", "127.0.0.1", "255.255.255.255", "trust"},
		{"host", "all", "postgres", "127.0.0.1", "255.255.255.255", "md5"}, // says the same here
		{"hostssl", "replication", "standby\nbackup", "10.0.0.0", "255.0.0.0", "scram-sha-256"},
		{"host", "my db\nother", "a\"b", "all", "", "scram-sha-256"},
		{"host", "all", "+admins", "all", "", "scram-sha-256"}, // a role's members
		{"host", "all", "all", "db.example", "", "md5"},        // a name
		{"hostgssenc", "all", "all", "all", "", "gss"},
		{"host", "all", "all", "fe80::", "ffff:ffff:ffff:ffff::", "reject"},
		{"host", "all", "all", "10.0.0.0", "255.0.255.0", "reject"},
		{"odd"},
	})
	want := []string{
		"local all all scram-sha-256",
		"host all postgres 127.0.0.1/32 scram-sha-256",
		"hostssl replication standby,backup 10.0.0.0/8 scram-sha-256",
		`host "my db",other "a""b" all scram-sha-256`,
		"host all all fe80::/64 reject",
		"host all all 10.0.0.0 255.0.255.0 reject",
	}
	if !reflect.DeepEqual(lines, want) || left != 3 {
		t.Errorf("%d left\n%s", left, strings.Join(lines, "\n"))
	}
	many := make([][]string, 2*maxDerived)
	for i := range many {
		many[i] = []string{"local", "all", strings.Repeat("u", i+1), "", "", "md5"}
	}
	if lines, left := derive(many[:60]); len(lines) != maxDerived || left != 60-maxDerived {
		t.Errorf("%d lines, %d left", len(lines), left)
	}
}

func TestAuthChecks(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Setup, *Facts)
		want   string // checks as name, level and a part of text and remedy
	}{
		{"relay", func(s *Setup, _ *Facts) { s.AuthMethod = relay }, ""},
		{"all good", func(*Setup, *Facts) {}, "auth.query ok own role, access ok 2 rules"},
		{"file", func(s *Setup, _ *Facts) { s.AuthQuery = "" }, "auth.users_file ok in a file, access ok 2 rules"},
		{"not asked", func(_ *Setup, f *Facts) { f.AuthAsked = false }, "auth.query warn not asked, access ok 2 rules"},
		{"fails", func(_ *Setup, f *Facts) { f.AuthErr = errors.New("no function") }, "auth.query fail no function, access ok 2 rules"},
		{"nobody was asked", func(_ *Setup, f *Facts) {
			f.Replication, f.SQL, f.AuthErr = errors.New("down"), errors.New("down"), errors.New("down")
		}, "access ok 2 rules"},
		{"no rules", func(s *Setup, _ *Facts) { s.AccessRules, s.AccessPhysical = 0, false }, "auth.query ok own role, access warn no standby"},
		{"no physical rule", func(s *Setup, _ *Facts) { s.AccessPhysical = false }, "auth.query ok own role, access warn no standby"},
		{"derived", func(s *Setup, f *Facts) {
			s.AccessPhysical, f.Derived, f.NotDerived = false, []string{"local all all scram-sha-256"}, 2
		},
			"auth.query ok own role, access warn - local all all scram-sha-256"},
	} {
		s, f := goodSetup(), goodFacts()
		s.AuthMethod, s.AuthQuery, s.AccessRules, s.AccessPhysical, f.AuthAsked = scram, "SELECT", 2, true, true
		c.change(&s, &f)
		checks := authChecks(s, f)
		var want []string
		if c.want != "" {
			want = strings.Split(c.want, ", ")
		}
		if len(checks) != len(want) {
			t.Errorf("%s: %+v", c.name, checks)
			continue
		}
		for i, got := range checks {
			words := strings.SplitN(want[i], " ", 3)
			if got.Name != words[0] || string(got.Level) != words[1] || !strings.Contains(got.Text+got.Remedy, words[2]) ||
				(got.Level == OK) != (got.Remedy == "") {
				t.Errorf("%s: %+v, want %s", c.name, got, want[i])
			}
		}
	}
}
