package preflight

import (
	"errors"
	"strings"
	"testing"
)

// TestHosts: every server of upstream.conninfo is told of, not only the one that is followed.
func TestHosts(t *testing.T) {
	for name, c := range map[string]struct {
		host  Host
		level Level
		text  string
	}{
		"a standby":       {Host{Endpoint: "db2:5432", Standby: true, System: "1", Timeline: "3"}, OK, "db2:5432 is a standby, on timeline 3"},
		"one that is off": {Host{Endpoint: "db2:5432", Err: errors.New("connection refused")}, Warn, "db2:5432: connection refused"},
		"another system":  {Host{Endpoint: "db2:5432", System: "2", Timeline: "1"}, Fail, "db2:5432 is another database system (2) than db1:5432 (1)"},
		"the same server, perhaps": {Host{Endpoint: "db1.lan:5432", System: "1", Timeline: "1"}, Warn,
			"db1.lan:5432 is a primary too, on timeline 1, or another name of db1:5432"},
		"a primary too": {Host{Endpoint: "db2:5432", System: "1", Timeline: "2"}, Warn, "db2:5432 is a primary too, on timeline 2"},
	} {
		f := goodFacts()
		f.Hosts = []Host{{Endpoint: f.Endpoint, System: "1", Timeline: "1"}, c.host}
		checks := hostChecks(f)
		if len(checks) != 1 || checks[0].Level != c.level || checks[0].Text != c.text || (checks[0].Remedy == "") != (c.level == OK) {
			t.Errorf("%s: %+v", name, checks)
		}
	}
	f := goodFacts()
	f.Replication = errors.New("no host is a primary")
	f.Hosts = []Host{{Endpoint: f.Endpoint, Standby: true, System: "1", Timeline: "1"}, {Endpoint: "db2:5432", Err: errors.New("silent")}}
	if checks := hostChecks(f); len(checks) != 2 || !strings.Contains(checks[0].Text, "is a standby") {
		t.Errorf("none is followed: %+v", checks)
	}
}
